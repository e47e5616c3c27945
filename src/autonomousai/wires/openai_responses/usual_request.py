"""The usual request of the Responses API, proven by one typed decode; any other one takes the longer road of `request`.

Usual is a text, or messages of a role and a text, after instructions, with the sampling fields that most callers send. What is
decoded here is equal to what the longer road makes of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from ...late import late_decoder
from ...request import ChatRequest, OriginalRequest
from ..messages import with_one_system_message
from ..usual_request import UNREADABLE, PlainText, Share, Temperature, as_document, checked
from .response import WIRE


class _PlainItem(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: PlainText
    type: Literal["message"] = None  # type: ignore[assignment]


class _UsualResponsesRequest(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """What is None is absent: a member that is null takes the longer road, and stays one."""

    input: PlainText | Annotated[list[_PlainItem], msgspec.Meta(min_length=1)]
    model: str = None  # type: ignore[assignment]
    stream: bool = None  # type: ignore[assignment]
    instructions: PlainText = None  # type: ignore[assignment]
    store: bool = None  # type: ignore[assignment]
    max_output_tokens: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = None  # type: ignore[assignment]
    temperature: Temperature = None  # type: ignore[assignment]
    top_p: Share = None  # type: ignore[assignment]


_USUAL = late_decoder(_UsualResponsesRequest)

#: The members that become fields, and those fields; the answer repeats them all.
_FIELDS: Final = (("max_output_tokens", "max_tokens"), ("temperature", "temperature"), ("top_p", "top_p"))

#: The members that the answer repeats.
_ECHO: Final = frozenset({"instructions", "max_output_tokens", "temperature", "top_p"})

#: A developer's messages are the system's elsewhere.
_ROLES: Final = {"developer": "system"}


def read_usual_response(body: bytes) -> ChatRequest | None:
    """Return the request in *body*, None where it is not a usual one, or none at all."""
    try:
        request = _USUAL.decode(body)
    except UNREADABLE:
        return None
    said = request.input
    messages: list[dict[str, Any]] = (
        [{"role": "user", "content": said}]
        if isinstance(said, str)
        else [{"role": _ROLES.get(message.role, message.role), "content": message.content} for message in said]
    )
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    document = as_document(request)
    echo = {} if _ECHO.isdisjoint(document) else {name: document[name] for name in document if name in _ECHO}
    return ChatRequest(
        request.model or "",
        checked(with_one_system_message(messages)),
        request.stream is True,
        fields={field: echo[name] for name, field in _FIELDS if name in echo} if echo else {},
        origin=OriginalRequest(WIRE, document),
        echo=echo,
    )
