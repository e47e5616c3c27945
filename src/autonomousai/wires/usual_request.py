"""The usual request of chat completions, proven by one typed decode; any other one takes the longer road of
`openai_chat.request`. Other wires have a usual request too, which is made of the same parts.

Usual is a request of messages of a role and text alone, with the sampling fields that most callers send. What is decoded here
is equal to what the longer road makes of it; what cannot be decoded here may still be valid, and has its errors there.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec

from ..events import Messages
from ..late import late_decoder
from ..request import ChatRequest
from .messages import CheckedMessages

#: What a typed decoder raises for anything but its type.
UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)

#: Text that says something.
PlainText = Annotated[str, msgspec.Meta(min_length=1)]

Temperature = Annotated[int, msgspec.Meta(ge=0, le=2)] | Annotated[float, msgspec.Meta(ge=0, le=2)]
Share = Annotated[int, msgspec.Meta(ge=0, le=1)] | Annotated[float, msgspec.Meta(ge=0, le=1)]


class _PlainMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _StreamOptions(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    include_usage: bool | None = None


_Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _UsualRequest(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    messages: Annotated[list[_PlainMessage], msgspec.Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    max_tokens: _Tokens | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    user: str | None = None


_USUAL = late_decoder(_UsualRequest)


def as_document(request: msgspec.Struct) -> dict[str, Any]:
    """Return the body that *request* was read from: what it does not hold was not there."""
    document: dict[str, Any] = msgspec.to_builtins(request)
    return document


#: The members that become fields.
_FIELDS = ("temperature", "top_p", "max_tokens", "seed", "user")
_values: Callable[[_UsualRequest], tuple[Any, ...]] = attrgetter(*_FIELDS)


def read_usual_request(body: bytes) -> ChatRequest | None:
    """Return the request in *body*, None where it is not a usual one, or none at all."""
    try:
        request = _USUAL.decode(body)
    except UNREADABLE:
        return None
    options = request.stream_options
    if options is not None and request.stream is not True:
        return None  # an error, by the longer road
    messages = CheckedMessages([{"role": message.role, "content": message.content} for message in request.messages])
    messages.plain = True
    fields: dict[str, Any] = {}
    if (
        request.temperature is not None
        or request.top_p is not None
        or request.max_tokens is not None
        or request.seed is not None
        or request.user is not None
    ):
        fields = {name: value for name, value in zip(_FIELDS, _values(request), strict=True) if value is not None}
    include_usage = options is not None and options.include_usage is True
    return ChatRequest(request.model or "", messages, request.stream is True, include_usage, fields)


def checked(messages: Messages) -> CheckedMessages:
    """Return *messages* that are each of a known role and text alone, as decoded here."""
    plain = CheckedMessages(messages)
    plain.plain = True
    return plain
