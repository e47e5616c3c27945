"""A chunk by which an answer continues, and an answer in one piece, as most servers send them: read in one typed decode.

That a chunk can be decoded as `PlainChunk` is the proof that it does not fail and has no unknown members; as `UsualChunk`, that
it has none but those named here, which servers repeat in every chunk. Where `chunks` can read the same JSON, it reads the same
in it. Knows no stream and no order of chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ...events import Batch, Extra, FinishReason, Reasoning, Started
from ...late import late_decoder
from ..finish_reasons import STANDARD, broken_off
from .chunks import UNREADABLE, WIRE, CallPiece, FunctionPiece, Json
from .usage import usage_of

_Silent = Literal[""] | None
_Object = Literal["chat.completion.chunk", "chat.completion", "text_completion", ""] | None  # another one may say "error"


class UsualFunction(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    name: str | None = None
    arguments: str | None = None


class UsualCall(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    index: Annotated[int, msgspec.Meta(ge=0)] | None = None
    id: str | None = None
    type: Literal["function"] | None = None
    function: UsualFunction | None = None


class UsualDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: _Silent = None
    tool_calls: list[UsualCall] | None = None
    refusal: _Silent = None
    function_call: None = None
    annotations: None = None
    images: None = None


class PlainChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    delta: UsualDelta
    index: Literal[0] = 0
    finish_reason: str | None = None  # every answer ends with one, and an error costs more than a look
    logprobs: None = None
    error: None = None


class UsualChoice(PlainChoice, gc=False, forbid_unknown_fields=True):
    """A choice with its unknown members."""

    token_ids: UnsetType | None = UNSET
    stop_reason: UnsetType | None = UNSET
    native_finish_reason: str | UnsetType | None = UNSET


class _PlainDocument(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What stands around the choices."""

    id: str | None = None
    object: _Object = None
    created: float | None = None
    model: str | None = None
    usage: Json | None = None
    finish_reason: str | None = None
    obfuscation: str | None = None
    error: None = None
    x_autonomousai: Json | None = None


class _UsualDocument(_PlainDocument, gc=False, forbid_unknown_fields=True):
    """The same with its unknown members."""

    system_fingerprint: str | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    provider: str | UnsetType = UNSET
    prompt_token_ids: UnsetType | None = UNSET
    prompt_logprobs: UnsetType | None = UNSET
    kv_transfer_params: UnsetType | None = UNSET


class PlainChunk(_PlainDocument, gc=False, forbid_unknown_fields=True, kw_only=True):
    choices: Annotated[list[PlainChoice], msgspec.Meta(max_length=1)]


class UsualChunk(_UsualDocument, gc=False, forbid_unknown_fields=True, kw_only=True):
    choices: Annotated[list[UsualChoice], msgspec.Meta(max_length=1)]


class _SoleTextDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str | None = None
    role: str | None = None
    reasoning_content: _Silent = None
    reasoning: _Silent = None
    tool_calls: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    refusal: _Silent = None
    function_call: None = None
    annotations: None = None
    images: None = None


class _SoleTextChoice(UsualChoice, gc=False, forbid_unknown_fields=True, kw_only=True):
    delta: _SoleTextDelta  # type: ignore[assignment]


class TextChunk(_UsualDocument, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A `UsualChunk` that says text alone, or nothing; with no choice it counts tokens."""

    choices: Annotated[list[_SoleTextChoice], msgspec.Meta(max_length=1)]
    finish_reason: _Silent = None
    x_autonomousai: None = None


class RestOfChunk(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    """What of a `TextChunk` may come after its choices, and those."""

    choices: Annotated[list[_SoleTextChoice], msgspec.Meta(max_length=1)]
    usage: Json | None = None
    finish_reason: _Silent = None
    obfuscation: str | None = None
    error: None = None
    x_autonomousai: None = None
    system_fingerprint: str | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    provider: str | UnsetType = UNSET
    prompt_token_ids: UnsetType | None = UNSET
    prompt_logprobs: UnsetType | None = UNSET
    kv_transfer_params: UnsetType | None = UNSET


class _PlainTextChoice(PlainChoice, gc=False, forbid_unknown_fields=True, kw_only=True):
    delta: _SoleTextDelta  # type: ignore[assignment]
    finish_reason: _Silent = None


class PlainText(_PlainDocument, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A `PlainChunk` that says text alone, or nothing."""

    choices: Annotated[list[_PlainTextChoice], msgspec.Meta(min_length=1, max_length=1)]
    usage: None = None
    finish_reason: _Silent = None
    x_autonomousai: None = None


class UsualMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str | None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: _Silent = None
    tool_calls: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    refusal: _Silent = None
    function_call: None = None


class UsualWholeChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: UsualMessage
    finish_reason: str
    index: Literal[0] = 0
    logprobs: None = None
    error: None = None
    token_ids: UnsetType | None = UNSET
    stop_reason: UnsetType | None = UNSET
    native_finish_reason: str | UnsetType | None = UNSET


class UsualCompletion(_UsualDocument, gc=False, forbid_unknown_fields=True, kw_only=True):
    choices: Annotated[list[UsualWholeChoice], msgspec.Meta(min_length=1, max_length=1)]


#: Each raises one of `UNREADABLE` for anything but its type.
PLAIN: Final = late_decoder(PlainChunk)
USUAL: Final = late_decoder(UsualChunk)
_TEXTS: Final = late_decoder(PlainText)
_COMPLETION: Final = late_decoder(UsualCompletion)

_UNKNOWN_IN_CHUNK: Final = (
    "system_fingerprint",
    "service_tier",
    "provider",
    "prompt_token_ids",
    "prompt_logprobs",
    "kv_transfer_params",
)
_UNKNOWN_IN_CHOICE: Final = ("token_ids", "stop_reason", "native_finish_reason")

#: The values of the unknown members: chunks, or choices, in which they are equal have the same unknown members.
unknown_in_chunk: Final[Callable[[_UsualDocument | RestOfChunk], tuple[Any, ...]]] = attrgetter(*_UNKNOWN_IN_CHUNK)
unknown_in_choice: Final[Callable[[PlainChoice | UsualWholeChoice], tuple[Any, ...]]] = attrgetter(*_UNKNOWN_IN_CHOICE)

#: Where there are none.
NONE_IN_CHUNK: Final = (UNSET,) * len(_UNKNOWN_IN_CHUNK)
_NONE_IN_CHOICE: Final = (UNSET,) * len(_UNKNOWN_IN_CHOICE)


def unknown_of(document: UsualChunk | UsualCompletion) -> Json:
    """Return the unknown members; see `chunks.unknown_members`."""
    choices = document.choices
    return unknown_members_of(unknown_in_chunk(document), unknown_in_choice(choices[0]) if choices else ())


def unknown_members_of(in_chunk: tuple[Any, ...], in_choice: tuple[Any, ...]) -> Json:
    """Return the unknown members that have these values; *in_choice* is empty where there is no choice."""
    members: Json = {}
    if in_chunk != NONE_IN_CHUNK:
        members = {name: value for name, value in zip(_UNKNOWN_IN_CHUNK, in_chunk, strict=True) if value is not UNSET}
    if in_choice and in_choice != _NONE_IN_CHOICE:
        known = {name: value for name, value in zip(_UNKNOWN_IN_CHOICE, in_choice, strict=True) if value is not UNSET}
        members["choices"] = [{"index": 0, **known}]
    return members


def decode_usual_completion(body: bytes) -> Batch | None:
    """Return a whole answer that was not streamed; None where it is not the usual one, and may be anything."""
    try:
        document = _COMPLETION.decode(body)
    except UNREADABLE:
        return None
    if document.finish_reason or document.choices[0].finish_reason not in STANDARD:
        return None
    choice, model = document.choices[0], document.model or None
    if choice.native_finish_reason and broken_off(choice.native_finish_reason) is not None:
        return None
    said: Batch = []
    if choice.message.reasoning_content:
        said.append(Reasoning(choice.message.reasoning_content))
    if choice.message.content:
        said.append(choice.message.content)
    events: Batch = [Started(model)]
    if unknown := unknown_of(document):
        events.append(Extra(unknown, len(said), WIRE))
    return [*events, *said, FinishReason(choice.finish_reason, "finish_reason", usage_of(document.usage), model)]


def sole_text(data: bytes) -> str | None:
    """Return the text of a usual chunk that holds nothing besides; None for any other."""
    try:
        chunk = PLAIN.decode(data)
    except UNREADABLE:
        return None
    if len(chunk.choices) != 1 or chunk.usage or chunk.finish_reason or chunk.x_autonomousai:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    return None if choice.finish_reason or delta.reasoning_content or delta.tool_calls else delta.content


def sole_texts(chunks: list[bytes]) -> list[str] | None:
    """Return the texts of *chunks*, none of which has a line end, where each is one of which `sole_text` returns it, or says
    nothing; None elsewhere. To decode all of them in one call costs half."""
    try:
        found = _TEXTS.decode_lines(b"\n".join(chunks))
    except UNREADABLE:
        return None
    if len(found) != len(chunks):  # a blank line is no chunk
        return None
    return [text for chunk in found if (text := chunk.choices[0].delta.content)]


def text_beside(data: bytes, values: tuple[tuple[Any, ...], ...] | None) -> str | None:
    """Return the text of a usual chunk that holds nothing besides but unknown members of these *values*, first the chunk's,
    then its choice's; None for any other."""
    try:
        chunk = USUAL.decode(data)
    except UNREADABLE:
        return None
    if len(chunk.choices) != 1 or chunk.usage or chunk.finish_reason or chunk.x_autonomousai:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    if choice.finish_reason or delta.reasoning_content or delta.tool_calls:
        return None
    return delta.content if (unknown_in_chunk(chunk), unknown_in_choice(choice)) == values else None


def widened_call(call: UsualCall | CallPiece) -> CallPiece:
    """Return *call* in the shape of any call."""
    if isinstance(call, CallPiece):
        return call
    function = call.function
    return CallPiece(call.index, call.id, None if function is None else FunctionPiece(function.name, function.arguments))
