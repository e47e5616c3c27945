"""Short answers of text alone that came as a whole stream in one read (Anthropic API reference, "Streaming Messages").

A proof: what is taken here are the usual events in their usual order, each found by one typed decode, and it gives the events
that `decoder` gives. What is anything else is None, and takes that longer road.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from ...events import Batch, Event, FinishReason, Started
from ...late import late_decoder
from ..openai_chat.chunks import UNREADABLE
from .decoder import TextDelta
from .members import FINISH_REASONS, Json, extra, merge_usage, text_in, unknown_of_message, usage_of

#: Bytes of a stream above which a template reads it at less cost.
_SHORT: Final = 4096

#: The lines of an event: its type, its data, and a blank one.
_LINES: Final = 3
_DATA: Final = b"data: "
_DATA_LINE: Final = b"\n" + _DATA

#: The beginning of a stream, and that of its last event.
_BEGINNING: Final = b"event: message_start\ndata: {"
_LAST: Final = b"}\n\nevent: message_stop\ndata: {"

#: To look for a number takes a tenth of looking for a byte of bytes.
_CR: Final = 0x0D

#: What a stream ends with.
END: Final = b"}\n\n"


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

#: The first line of an event of each type.
_FIRST_LINES: Final[dict[type, bytes]] = {
    kind: f"event: {kind.__struct_config__.tag}".encode()
    for kind in (_Start, _StartBlock, _Continue, _StopBlock, _Change, _Stop, _Ping)
}


def read_short_message(data: bytes) -> Batch | None:
    """Return the answer that *data* is: `Started`, its text, `FinishReason`. None where it is not a whole stream of the usual
    events that say one block of text, end in one with a reason, and in ``message_stop``."""
    if len(data) > _SHORT or not (data.startswith(_BEGINNING) and data.endswith(END)) or data.rfind(_LAST) < 0 or _CR in data:
        return None
    lines = data[:-1].split(b"\n")
    try:
        events = [_EVENT.decode(line[len(_DATA) :]) for line in lines[1::_LINES]]
    except UNREADABLE:
        return None
    kinds = [*map(type, events)]
    # No other line can begin as one with data does: so as many as there are events is each of those lines.
    if lines[::_LINES] != [*map(_FIRST_LINES.__getitem__, kinds)] or any(lines[2::_LINES]):
        return None
    if len(lines) != _LINES * len(events) or data.count(_DATA_LINE) != len(events):
        return None
    if _Ping in kinds:
        events = [event for event in events if type(event) is not _Ping]
        kinds = [*map(type, events)]
    return _events(events) if kinds[:2] == _BEGIN and kinds[-3:] == _END_WITH else None


def _events(read: list[Any]) -> Batch | None:
    """Return what the events say that *read* are, but for those between its first two and its last three."""
    start, _, *deltas, _, change, _ = read
    message, delta = start.message, change.delta
    if message.get("content") or (reason := delta.get("stop_reason")) not in _REASONS:
        return None
    texts: list[Event] = []
    for each in deltas:
        if type(each) is not _Continue:
            return None
        if each.delta.text:
            texts.append(each.delta.text)
    if not texts:
        return None
    model = text_in(message.get("model")) or None
    batch: Batch = [Started(model)]
    if members := unknown_of_message(message):
        batch.append(extra("message_start", members))
    batch += texts
    batch.append(extra("message_delta", delta))
    usage = usage_of(merge_usage(merge_usage(None, message.get("usage")), change.usage))
    batch.append(FinishReason(FINISH_REASONS[reason], "finish_reason", usage, model))
    return batch


#: Reasons that need no closer look; a list, for what is looked for may be any JSON.
_REASONS: Final = list(FINISH_REASONS)

#: The types of the events that a stream begins with, and of those that it ends with.
_BEGIN: Final[list[type]] = [_Start, _StartBlock]
_END_WITH: Final[list[type]] = [_StopBlock, _Change, _Stop]
