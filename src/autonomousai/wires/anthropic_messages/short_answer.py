"""Short answers of text alone that came as a whole stream in one read (Anthropic API reference, "Streaming Messages").

A proof: what is taken here are the usual events in their usual order, each found by one typed decode, or known by its bytes but
for its text or its counts; it gives the events that `decoder` gives. What is anything else is None, and takes that longer road.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from ...events import Batch, Extra, FinishReason, Started
from ...late import late_decoder
from ..openai_chat.chunks import UNREADABLE
from .decoder import TextDelta
from .members import FINISH_REASONS, Json, extra, merge_usage, text_in, unknown_of_message, usage_of

#: Bytes of a stream above which a template reads it at less cost.
_SHORT: Final = 4096

#: An event is a line with its type, one with its data, and a blank one.
_TYPE: Final = b"event: "
_DATA: Final = b"\ndata: "
_BLANK: Final = b"\n\n"

#: What a stream begins and ends with, and a ping.
_BEGINNING: Final = b"event: message_start\ndata: "
END: Final = b"}\n\n"
_PING: Final = b"event: ping\n"

#: Events of the shortest stream that says something.
_LEAST: Final = 6

#: To look for a number takes a tenth of looking for a byte of bytes.
_CR: Final = 0x0D
_LF: Final = 0x0A


class _Start(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="message_start"):
    message: Json


class _TextBlock(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text"]
    text: Literal[""]


class _StartBlock(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="content_block_start"):
    content_block: _TextBlock
    index: Any = None


class _Continue(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="content_block_delta"):
    delta: TextDelta
    index: Any = None


class _StopBlock(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="content_block_stop"):
    index: Any = None


class _Change(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="message_delta"):
    delta: Json
    usage: Any = None


class _Stop(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="message_stop"):
    pass


class _Ping(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="ping"):
    pass


_AnyEvent = _Start | _StartBlock | _Continue | _StopBlock | _Change | _Stop | _Ping
_EVENT: msgspec.json.Decoder[_AnyEvent] = late_decoder(_AnyEvent)  # type: ignore[arg-type]  # a union is no class


class _UsualMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A message as most begin: of its members the usage alone has no event."""

    model: str
    id: Any = None
    type: Any = None
    role: Any = None
    content: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    stop_reason: Any = None
    stop_sequence: Any = None
    usage: Json | None = None


class _UsualStart(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="type", tag="message_start"):
    message: _UsualMessage


_USUAL_START: Final = late_decoder(_UsualStart)
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_counts: Final = msgspec.json.Decoder(Json).decode
_json = msgspec.json.Encoder().encode

#: What most streams have alike, by its bytes. Of events that say nothing else, their type; what stands before a piece of text;
#: by what stands before its counts, what an end says. None holds what an answer says.
_kinds: Final[dict[bytes, type[_AnyEvent]]] = {}
_begun: Final[dict[bytes, None]] = {}
_ends: Final[dict[bytes, Extra]] = {}
_KNOWN: Final = 64

#: The types of events that say nothing else.
_CONSTANT: Final = frozenset({_StartBlock, _StopBlock, _Stop, _Ping})

#: The member with a text, and that with counts; and what stands after it, as a rule.
_TEXT: Final = b'"text":'
_AFTER_TEXT: Final = b"}}"
_USAGE: Final = b'"usage":'
_AFTER_USAGE: Final = b"}"

#: A text and counts in place of others: where these are read as such, any are that stand there.
_PROBE: Final = "probe"
_PROBED: Final = {"output_tokens": 0}


def read_short_message(data: bytes) -> Batch | None:
    """Return the answer that *data* is: `Started`, its text, `FinishReason`. None where it is not a whole stream of the usual
    events that say one block of text, end in one with a reason, and in ``message_stop``."""
    if len(data) > _SHORT or not (data.startswith(_BEGINNING) and data.endswith(END)) or _CR in data:
        return None
    events = data[: -len(_BLANK)].split(_BLANK)
    try:
        if len(events) > _LEAST:
            events = [event for event in events if not event.startswith(_PING) or _kind(event) is not _Ping]
        if len(events) < _LEAST:
            return None
        start, block, *said, stopped, change, stop = events
        if _kind(block) is not _StartBlock or _kind(stopped) is not _StopBlock or _kind(stop) is not _Stop:
            return None
        texts: Batch = [text for event in said if (text := _text(event))]
        return _folded(start, texts, change) if texts else None
    except UNREADABLE:
        return None


def _read(event: bytes) -> _AnyEvent:
    """Return what an event says. Raises one of `UNREADABLE` where it is none of these, or has other lines than usual."""
    line, _, data = event.partition(_DATA)
    read = _EVENT.decode(data)
    if _LF in data or line != b"%b%b" % (_TYPE, str(read.__struct_config__.tag).encode()):
        raise ValueError
    return read


def _kind(event: bytes) -> type[_AnyEvent]:
    """Return the type of an event, and remember it where it says nothing else."""
    kind = _kinds.get(event)
    if kind is None:
        kind = type(_read(event))
        if kind in _CONSTANT:
            _remember(_kinds, event, kind)
    return kind


def _remember(known: dict[bytes, Any], key: bytes, value: Any) -> None:
    if len(known) >= _KNOWN:
        known.clear()
    known[key] = value


def _text(event: bytes) -> str:
    """Return the piece of text that an event brings."""
    before, _, after = event.partition(_TEXT)
    if before in _begun:
        text = after.removesuffix(_AFTER_TEXT)
        if len(text) < len(after) and _LF not in text:
            try:
                return _decode_text(text)
            except UNREADABLE:
                pass  # another member may follow, or a text that is read otherwise
    read = _read(event)
    if type(read) is not _Continue:
        raise ValueError
    if _takes_any_text(before):
        _remember(_begun, before, None)
    return read.delta.text


def _takes_any_text(before: bytes) -> bool:
    """Return whether what stands after *before* is the text of an event, and its last: a name may come twice."""
    try:
        probe = _read(before + _TEXT + _json(_PROBE) + _AFTER_TEXT)
    except UNREADABLE:
        return False
    return type(probe) is _Continue and probe.delta.text == _PROBE


def _folded(start: bytes, texts: Batch, change: bytes) -> Batch | None:
    """Return the events of an answer that begins with *start*, says the *texts*, and ends with *change*."""
    data = start.removeprefix(_BEGINNING)
    counts: Json | None
    try:
        message = _USUAL_START.decode(data)
    except UNREADABLE:
        read = _read(start)
        if type(read) is not _Start or read.message.get("content"):
            return None
        model, counts, members = text_in(read.message.get("model")), read.message.get("usage"), unknown_of_message(read.message)
    else:
        if _LF in data:
            return None
        model, counts = message.message.model, message.message.usage
        members = {"usage": counts} if counts else {}
    end, later = _end(change)
    if (reason := end.members["message_delta"].get("stop_reason")) not in _REASONS:
        return None
    batch: Batch = [Started(model or None)]
    if members:
        batch.append(extra("message_start", members))
    batch += texts
    batch.append(end)
    usage = usage_of(merge_usage(counts if isinstance(counts, dict) else None, later))
    batch.append(FinishReason(FINISH_REASONS[reason], "finish_reason", usage, model or None))
    return batch


def _end(event: bytes) -> tuple[Extra, Any]:
    """Return what an event says of the end, and its counts."""
    before, name, after = event.partition(_USAGE)
    end = _ends.get(before)
    if end is not None:
        counts = after.removesuffix(_AFTER_USAGE)
        if len(counts) < len(after) and _LF not in counts:
            try:
                return end, _decode_counts(counts)
            except UNREADABLE:
                pass
    read = _read(event)
    if type(read) is not _Change:
        raise ValueError
    end = extra("message_delta", read.delta)
    if name and _takes_any_counts(before, read.delta):
        _remember(_ends, before, end)
    return end, read.usage


def _takes_any_counts(before: bytes, delta: Json) -> bool:
    """Return whether what stands after *before* are the counts beside a *delta* that says no more than its reason."""
    if any(value is not None for name, value in delta.items() if name != "stop_reason"):
        return False
    try:
        probe = _read(before + _USAGE + _json(_PROBED) + _AFTER_USAGE)
    except UNREADABLE:
        return False
    return type(probe) is _Change and probe.usage == _PROBED and probe.delta == delta


#: Reasons that need no closer look; a list, for what is looked for may be any JSON.
_REASONS: Final = list(FINISH_REASONS)
