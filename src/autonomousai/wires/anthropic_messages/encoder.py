"""Events -> the stream of the Messages API (Anthropic API reference, "Streaming messages"): ``message_start``, blocks,
``message_delta``, ``message_stop``. Knows no network and no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from ...answer import RUN, split_run
from ...events import Batch, Event, Extra, FinishReason, ForeignEvent, Started
from ..base import AnswerHead
from ..finish_reasons import with_reason
from ..json import join_strings
from ..sse import encode_event
from ..tool_names import NAMES
from .blocks import BlockWriter
from .errors import write_error_event
from .message import WIRE, Payload, SaidMembers, encode_begun, members_of, usage_of
from .stop import OWN_REASONS, stop_of, stop_text_in

_json = msgspec.json.Encoder().encode

#: An event without an id that says nothing.
PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


#: What stands before and after a piece of text that continues a block.
_TEXT_BEFORE: Final = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)
_TEXT_AFTER: Final = b"}}\n\n"


class MessagesStreamEncoder:
    """Events become the bytes of one streamed answer; see `StreamEncoder`. *ids*: each event gets the next of them. *begun*:
    the answer's beginning was written before."""

    __slots__ = ("_begun", "_blocks", "_delta", "_head", "_ids", "_stop", "_stopped_at")

    def __init__(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> None:
        self._head = head
        self._ids = ids
        self._begun = begun
        self._blocks = BlockWriter(head.id.removeprefix("msg_"), (head.echo or {}).get(NAMES))
        self._delta = SaidMembers({}, {})  # of message_delta
        self._stop = SaidMembers({}, {})  # of message_stop
        self._stopped_at: str | None = None

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`. The first event of an answer is ``message_start``."""
        blocks = self._blocks
        if self._begun and len(batch) == 1 and type(text := batch[0]) is str and text and self._ids is None and blocks.is_text:
            return b"".join((_TEXT_BEFORE % blocks.index, _json(text), _TEXT_AFTER))
        pieces: list[bytes] = []
        if not self._begun:
            self._begun = True
            said = members_of(batch, "message_start")
            message = msgspec.Raw(encode_begun(self._head.id, self._head.model, said.part))
            pieces.append(self._event({"type": "message_start", "message": message, **said.event}))
        if len(batch) > RUN:
            before, run, after = split_run(batch)
            self._write_each(pieces, before)
            if run and not blocks.is_text:  # the first begins a block
                self._write_each(pieces, run[:1])
                run = run[1:]
            if run and blocks.is_text:
                self._add_texts(pieces, run if all(run) else [text for text in run if text])
                run = []
            batch = [*run, *after]
        self._write_each(pieces, batch)
        return b"".join(pieces)

    def _write_each(self, pieces: list[bytes], batch: Sequence[Event]) -> None:
        blocks = self._blocks
        texts: list[str] = []  # that follow one another
        for event in batch:
            if type(event) is str and blocks.is_text:
                if event:
                    texts.append(event)
                continue
            if texts:
                self._add_texts(pieces, texts)
                texts = []
            if isinstance(event, ForeignEvent):
                if event.wire == WIRE:
                    pieces += map(self._event, blocks.settle())
                    pieces += (self._id_line(), encode_event(event.data, event=event.event))
            elif not isinstance(event, FinishReason):
                if type(event) is Extra or (type(event) is Started and event.extra):
                    self._note_end(event)
                pieces += map(self._event, blocks.add(event))
        if texts:
            self._add_texts(pieces, texts)

    def _add_texts(self, pieces: list[bytes], texts: list[str]) -> None:
        """Write an event for each of *texts*, which continue the open block."""
        if not texts:
            return
        before = _TEXT_BEFORE % self._blocks.index
        if self._ids is None:
            pieces += (before, join_strings(texts, _TEXT_AFTER + before), _TEXT_AFTER)
        else:
            for text in texts:
                pieces += (self._id_line(), before, _json(text), _TEXT_AFTER)

    def _note_end(self, event: Extra | Started) -> None:
        """Note what an upstream said of the end."""
        self._stopped_at = stop_text_in(event) or self._stopped_at
        for name, known in (("message_delta", self._delta), ("message_stop", self._stop)):
            said = members_of([event], name)
            known.part.update(said.part)
            known.event.update(said.event)

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`. *extension* goes into the ``message_delta``."""
        pieces = [] if self._begun else [self.write([finish])]
        blocks = self._blocks
        pieces += map(self._event, blocks.finish())
        stop = stop_of(finish, has_calls=blocks.has_calls, is_refused=blocks.is_refused, stopped_at=self._stopped_at)
        delta: Payload = {"type": "message_delta", "delta": {**stop, **self._delta.part}, "usage": usage_of(finish.usage)}
        delta |= self._delta.event
        if extension is not None:
            delta["x_autonomousai"] = with_reason(extension, finish, *OWN_REASONS)
        pieces += map(self._event, (delta, {"type": "message_stop", **self._stop.part}))
        return b"".join(pieces)

    def sign(self, progress: int) -> bytes:
        """See `StreamEncoder.sign`: a ``ping`` that says how far the repair has come."""
        return b'event: ping\ndata: {"type":"ping","x_autonomousai":{"progress":%d}}\n\n' % progress

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        return write_error_event(error)

    def _event(self, payload: Payload) -> bytes:
        return b"%bevent: %b\ndata: %b\n\n" % (self._id_line(), payload["type"].encode(), _json(payload))

    def _id_line(self) -> bytes:
        return b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()
