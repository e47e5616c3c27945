"""Answers of the Messages API as a stream (Anthropic API reference, "Streaming Messages"): bytes in, events out. Knows no
network, no timeouts, no provider.

It is lenient in all but two things: an event that cannot be read is an error, for it may have held text; and the end of an
answer must be proven, by ``message_stop`` or by a reason in ``message_delta``.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...errors import IncompleteStreamError, StreamError
from ...events import Batch, Evidence, Extra, FinishReason, ForeignEvent, Started
from ...late import late_decoder
from ..event_stream import EventStreamDecoder
from ..finish_reasons import broken_off
from ..finish_reasons import finish_reason_of as said_reason
from ..foreign_errors import error_in_event
from ..openai_chat.chunks import UNREADABLE
from ..provenance import KEY
from ..sse import DEFAULT_MAX_EVENT, ServerSentEvent
from ..unreadable import first_foreign, notes_on, shown_bytes, unreadable, without_end
from .block_reader import BlockReader
from .members import (
    Json,
    beside,
    extra,
    finish_reason_of,
    load_object,
    merge_usage,
    text_in,
    unknown_of_message,
    usage_of,
)
from .message import WIRE

#: A sentinel of other wires that some servers send after the last event.
_DONE: Final = b"[DONE]"


#: What a gateway does that asks again when its upstream breaks off, and sends on both answers.
_ANOTHER: Final = "another message begins before the answer has ended: the answer is not complete"


class TextDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text_delta"]
    text: str


class _TextEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The usual event: text by which an answer only continues."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextDelta


#: What such an event begins with on most servers.
_LEAD: Final = b"event: content_block_delta\ndata: "

_TEXT_EVENT = late_decoder(_TextEvent)


def _text_of(data: bytes) -> str | None:
    """Return the text of the usual event; None of any other one."""
    try:
        return _TEXT_EVENT.decode(data).delta.text
    except UNREADABLE:
        return None


class MessageStreamDecoder(EventStreamDecoder):
    """One streamed answer, bytes in and events out; a `StreamDecoder`."""

    __slots__ = (
        "_blocks",
        "_has_said",
        "_held",
        "_id",
        "_model",
        "_notes",
        "_reason",
        "_started",
        "_stopped",
        "_usage",
    )

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        super().__init__(max_event=max_event)
        self._blocks = BlockReader()
        self._started = False  # a message has begun
        self._has_said = False  # and something of it was said
        self._held: Batch = []  # what came before that
        self._id = ""  # the message's
        self._model: str | None = None
        self._notes: tuple[str, ...] = ()
        self._usage: Json | None = None
        self._reason: str | None = None
        self._stopped = False

    @property
    def ending(self) -> bool:
        """See `StreamDecoder`: a reason came, and only ``message_stop`` can follow."""
        return self._reason is not None

    @property
    def is_proven(self) -> bool:
        """See `StreamDecoder`."""
        return self.failure is None and (self._reason is not None or self._stopped)

    def next_text(self, data: bytes) -> str | None:
        """See `StreamDecoder.next_text`: of one event by which a block continues."""
        if not (self._is_continuing and self._sse.is_between) or self.complete or self.failure is not None:
            return None
        template = self._template
        if template is not None and len(data) <= self._max_event and (text := template.text_of_event(data)):
            return text
        if not data.startswith(_LEAD) or data.find(b"\n", len(_LEAD)) != len(data) - 2 or b"\r" in data:
            return None
        if text := _text_of(data := data[len(_LEAD) : -2]):
            self._learn(data, text, _text_of, member=b"text", lead=_LEAD)
        return text or None

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """See `StreamDecoder.finish`."""
        if self.failure is not None:
            raise self.failure
        if self.complete and not self._started:
            raise IncompleteStreamError("the stream held no answer: nothing came before its message_stop")
        if not self.is_proven:
            raise without_end(self._sse.stray() or first_foreign(self._held))
        evidence: Evidence = "done" if self._reason is None else "finish_reason"
        reason = finish_reason_of(self._reason, has_calls=self._blocks.has_calls)
        return FinishReason(reason, evidence, usage_of(self._usage), self._model, None, (*self._notes, *self._blocks.notes))

    # ---- events of the stream

    def _is_object(self, data: bytes) -> bool:
        return load_object(data) is not None

    def _read_all(self, events: list[bytes | ServerSentEvent], batch: Batch) -> None:
        for event in events:
            if isinstance(event, ServerSentEvent):
                if self._is_continuing and self._is_text(event.data, batch):
                    continue
                self._read(event.data, event.event, batch)
            else:
                self._read(event, "message", batch)
            if self.complete or self.failure is not None:
                return

    def _read(self, data: bytes, event: str, batch: Batch) -> None:
        if self._is_continuing and self._is_text(data, batch):
            return
        stripped = data.strip()
        if not stripped or stripped == _DONE:
            return  # a sign of life
        obj = load_object(data)
        self._notes = self._notes or notes_on(data)
        if obj is None:
            self._read_unreadable(data, event, batch)
            return
        self.extension = extension if isinstance(extension := obj.get(KEY), dict) else self.extension
        kind = text_in(obj.get("type")) or event
        if event == "error" or kind == "error":
            self.failure = error_in_event(obj, event="error")
        elif (read := _READERS.get(kind)) is not None:
            before = len(batch)
            read(self, obj, batch)
            said_more = kind == "content_block_delta" and len(batch) > before and type(batch[-1]) is str
            self._is_continuing = said_more and not self._blocks.has_half
        elif kind == "ping":
            self.pings += 1
        else:
            self._read_foreign(obj, data, kind, event, batch)

    def _is_text(self, data: bytes, batch: Batch) -> bool:
        """Return whether *data* is text by which the answer only continues, and add it then."""
        text = _text_of(data)
        if text is None:
            self._is_continuing = False
            return False
        if text:
            batch.append(text)
            self._learn(data, text, _text_of, member=b"text", lead=_LEAD)
        return True

    def _read_unreadable(self, data: bytes, event: str, batch: Batch) -> None:
        """Read data that is no JSON object: of an event of a type of its own it may be anything."""
        if event == "error":
            self.failure = error_in_event({"error": {"message": shown_bytes(data)}}, event="error")
        elif event in _READERS or event in ("message", "ping"):
            if event != "ping":
                self.failure = unreadable("an event of the stream", data)
        else:
            self._hold(ForeignEvent(event, data, WIRE), batch)

    def _read_foreign(self, obj: Json, data: bytes, kind: str, event: str, batch: Batch) -> None:
        """Read an event of an unknown type; servers tell errors in objects of other shapes, too."""
        if "type" not in obj and (error := error_in_event(obj, event=event)) is not None:
            self.failure = error
        elif kind != "message" or obj.keys() - {KEY}:
            self._hold(ForeignEvent(kind, data, WIRE), batch)

    def _hold(self, event: ForeignEvent | Extra, batch: Batch) -> None:
        """Add what is no part of the answer's text; before that begins it is held back: it restarts no timeout."""
        (batch if self._has_said else self._held).append(event)

    # ---- what each event says

    def _start_message(self, obj: Json, batch: Batch) -> None:
        message = obj.get("message")
        message = message if isinstance(message, dict) else {}
        named = text_in(message.get("id"))
        if self._has_said and named and self._id and named != self._id:
            self.failure = StreamError(_ANOTHER, status=200, retryable=True, code="another_message")
            return
        self._id = named or self._id
        self._model = text_in(message.get("model")) or self._model
        self._usage = merge_usage(self._usage, message.get("usage"))
        members, others = unknown_of_message(message), beside(obj, "message")
        self._started = True
        if members or others:
            self._hold(extra("message_start", members, others), batch)
        content = message.get("content")
        for block in content if isinstance(content, list) else ():  # some servers begin with more than nothing
            if isinstance(block, dict):
                self._begin(batch)
                self._blocks.start(None, block, batch)

    def _begin(self, batch: Batch) -> None:
        """The answer says something: what was held back is said before it."""
        self._started = True
        if not self._has_said:
            self._has_said = True
            batch += [Started(self._model), *self._held]
            self._held = []

    def _start_block(self, obj: Json, batch: Batch) -> None:
        self._begin(batch)
        block = obj.get("content_block")
        if isinstance(block, dict):
            self._blocks.start(_index(obj), block, batch, beside(obj, "content_block"))

    def _continue_block(self, obj: Json, batch: Batch) -> None:
        self._begin(batch)
        delta = obj.get("delta")
        if isinstance(delta, dict):
            self._blocks.delta(_index(obj), delta, batch, beside(obj, "delta"))

    def _stop_block(self, obj: Json, batch: Batch) -> None:
        self._blocks.stop(_index(obj), batch, beside(obj, ""))

    def _change_message(self, obj: Json, batch: Batch) -> None:
        delta = obj.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        self._usage = merge_usage(self._usage, obj.get("usage"))
        if "stop_reason" not in delta and "stop_reason" in obj:  # beside the delta, or without one
            delta = {**delta, "stop_reason": obj.pop("stop_reason"), "stop_sequence": obj.pop("stop_sequence", None)}
        reason = said_reason(delta.get("stop_reason"))
        members = {name: value for name, value in delta.items() if reason or name not in ("stop_reason", "stop_sequence")}
        others = beside(obj, "delta")
        if not reason and not members and not others:
            return
        self._begin(batch)
        if reason:
            self._blocks.close(batch)
            if (error := broken_off(reason)) is not None:
                self.failure = error
                return
            self._reason = reason
        batch.append(extra("message_delta", members, others))

    def _stop_message(self, obj: Json, batch: Batch) -> None:
        self.complete = True
        if self._started:
            self._stopped = True
            self._begin(batch)
            self._blocks.close(batch)
            if others := beside(obj, ""):
                batch.append(extra("message_stop", others))


_READERS: Final = {
    "message_start": MessageStreamDecoder._start_message,
    "content_block_start": MessageStreamDecoder._start_block,
    "content_block_delta": MessageStreamDecoder._continue_block,
    "content_block_stop": MessageStreamDecoder._stop_block,
    "message_delta": MessageStreamDecoder._change_message,
    "message_stop": MessageStreamDecoder._stop_message,
}


def _index(obj: Json) -> int | None:
    index = obj.get("index")
    return index if type(index) is int else None
