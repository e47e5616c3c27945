"""The usual request of the Messages API, proven by one typed decode; any other one takes the longer road of `request`.

Usual is a conversation of texts alone, after a system prompt that is a text, with the sampling fields that most callers send.
What is decoded here is equal to what the longer road makes of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from ...late import late_decoder
from ...request import ChatRequest, OriginalRequest
from ..usual_request import UNREADABLE, PlainText, as_document, checked
from .content import ACCOUNTING
from .message import WIRE


class _PlainTurn(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: PlainText


class _UsualMessagesRequest(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """What is None is absent: a member that is null takes the longer road, and stays one."""

    messages: Annotated[list[_PlainTurn], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    model: str = None  # type: ignore[assignment]
    stream: bool = None  # type: ignore[assignment]
    system: PlainText = None  # type: ignore[assignment]
    temperature: int | float = None  # type: ignore[assignment]
    top_p: int | float = None  # type: ignore[assignment]
    stop_sequences: Annotated[list[str], msgspec.Meta(min_length=1)] = None  # type: ignore[assignment]


_USUAL = late_decoder(_UsualMessagesRequest)

#: The members that become fields, and those fields.
_FIELDS: Final = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("stop_sequences", "stop"),
)


def read_usual_messages(body: bytes) -> ChatRequest | None:
    """Return the request in *body*, None where it is not a usual one, or none at all."""
    try:
        request = _USUAL.decode(body)
    except UNREADABLE:
        return None
    document = as_document(request)
    messages: list[dict[str, Any]] = document["messages"]  # each of a role and a text: as chat completions have them
    if (system := request.system) is not None:
        if system.startswith(ACCOUNTING):
            return None
        messages = [{"role": "system", "content": system}, *messages]
    return ChatRequest(
        request.model or "",
        checked(messages),
        request.stream is True,
        fields={field: document[name] for name, field in _FIELDS if name in document},
        origin=OriginalRequest(WIRE, document),
    )
