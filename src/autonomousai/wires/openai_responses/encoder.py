"""Events -> server-sent events of the Responses API, and its whole answer (OpenAI API reference, "Streaming events"; Open
Responses, "Streaming"). Knows no network and no server.

Each event has its type twice, in its ``event`` line and in its data, and a number that grows. The end is ``[DONE]``, as Open
Responses wants it. Nothing says ``response.completed`` that was not handed in as the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ...answer import RUN, split_run
from ...events import Batch, Extra, FinishReason, ForeignEvent, LogProbs
from ..base import AnswerHead
from ..finish_reasons import with_reason
from ..json import unquoted_strings
from ..provenance import KEY
from .errors import error_event_of, failure_of
from .open_items import Change
from .output import output_for, with_log_probs
from .response import WIRE, encode_begun, encode_ended, incomplete_reason, response_of

_json = msgspec.json.Encoder().encode

#: What an event of text has before its number.
_TEXT: Final = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":'

#: What it has after its text.
_AFTER_TEXT: Final = b'","logprobs":[]}\n\n'

#: What one of several such events is joined of.
_PIECES: Final = 4


class ResponsesStreamEncoder:
    """Events become the bytes of one streamed answer; see `StreamEncoder`. *ids*, *begun*: see `Wire.encoder`."""

    __slots__ = ("_begun", "_head", "_ids", "_number", "_output", "_place", "_prefix", "_unknown")

    def __init__(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> None:
        self._head = head
        self._ids = ids
        self._begun = begun
        self._number = 0
        self._output = output_for(head)
        self._unknown: dict[str, Any] = {}
        #: Of the open part of text, what its events have before the delta.
        self._place = (-1, -1)
        self._prefix = b""

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`. The first bytes are the response's beginning."""
        if len(batch) == 1 and type(text := batch[0]) is str and text and (part := self._output.text_part) is not None:
            part.add(text)
            if self._ids is not None or part.place != self._place:
                return self._text_delta(text, part.place)
            number = self._number
            self._number = number + 1
            return b'%b%d,%b%b,"logprobs":[]}\n\n' % (_TEXT, number, self._prefix, _json(text))
        pieces: list[bytes] = []
        if not self._begun:
            self._begun = True
            response = msgspec.Raw(encode_begun(self._head))
            self._add(pieces, "response.created", {"response": response})
            self._add(pieces, "response.in_progress", {"response": response})
        if len(batch) > RUN:
            before, run, batch = split_run(batch)
            if not run or self._ids is not None or any(type(event) is LogProbs for event in before):
                batch = [*before, *run, *batch]
            else:
                self._write_each(pieces, [*before, run[0]])  # the first may begin a part
                self._add_texts(pieces, run[1:] if all(run) else [text for text in run[1:] if text])
        self._write_each(pieces, batch)
        return b"".join(pieces)

    def _write_each(self, pieces: list[bytes], batch: Batch) -> None:
        for event, log_probs in with_log_probs(batch):
            if type(event) is str and log_probs is None and event and (part := self._output.text_part) is not None:
                part.add(event)
                pieces.append(self._text_delta(event, part.place))
            elif isinstance(event, ForeignEvent):
                self._pass_on(pieces, event)
            elif isinstance(event, Extra) and event.wire == WIRE and "response" in event.members:
                self._unknown |= event.members["response"]
            else:
                self._add_all(pieces, self._output.add(event, log_probs))

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`."""
        pieces = [] if self._begun else [self.write([finish])]
        is_incomplete = incomplete_reason(finish) is not None
        self._add_all(pieces, self._output.finish(is_incomplete=is_incomplete))
        unknown = self._unknown if extension is None else {**self._unknown, KEY: with_reason(extension, finish)}
        if unknown.get("status") == "incomplete":  # for a reason that is not known here
            is_incomplete = True
        response = encode_ended(self._head, finish, _json(self._output.documents()), unknown)
        self._add(pieces, f"response.{'incomplete' if is_incomplete else 'completed'}", {"response": msgspec.Raw(response)})
        pieces += (self._id_line(), b"data: [DONE]\n\n")
        return b"".join(pieces)

    def sign(self, progress: int) -> bytes:
        """Return an event that repeats that the response is in progress, and the last number: it is no part of the stream
        that a connection could resume after."""
        response = response_of(self._head, output=self._output.documents(), **{KEY: {"progress": progress}})
        return encode("response.in_progress", max(0, self._number - 1), {"response": response})

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        if not self._begun:
            return encode_error_event(error, self._head)
        response = response_of(self._head, status="failed", output=self._output.documents(), **failure_of(error))
        return encode("response.failed", self._number, {"response": response})

    def _add_texts(self, pieces: list[bytes], texts: list[str]) -> None:
        """Write an event for each of *texts*, which continue the open part."""
        part = self._output.text_part
        if part is None or not texts:  # all of a run may be empty
            self._write_each(pieces, list(texts))
            return
        part.add_all(texts)
        self._turn_to(part.place)
        count, number = len(texts), self._number
        self._number = number + count
        # Each event is four pieces: its number, what stands before its text, the text, and what ends it and begins the next.
        parts = [b',%b"' % self._prefix] * (_PIECES * count)
        parts[::_PIECES] = _json(list(range(number, self._number)))[1:-1].split(b",")
        parts[2::_PIECES] = unquoted_strings(texts)
        parts[3::_PIECES] = [_AFTER_TEXT + _TEXT] * count
        parts[-1] = _AFTER_TEXT
        pieces.append(_TEXT)
        pieces += parts

    def _turn_to(self, place: tuple[int, int]) -> None:
        """Write events of the part of text at that *place* from now on."""
        self._place = place
        item = _json(self._output.text_id)
        self._prefix = b'"item_id":%b,"output_index":%d,"content_index":%d,"delta":' % (item, *place)

    def _text_delta(self, text: str, place: tuple[int, int]) -> bytes:
        """Return the event of a piece of text, as most are."""
        if place != self._place:
            self._turn_to(place)
        number = self._number
        self._number = number + 1
        return b'%b%b%d,%b%b,"logprobs":[]}\n\n' % (self._id_line(), _TEXT, number, self._prefix, _json(text))

    def _pass_on(self, pieces: list[bytes], event: ForeignEvent) -> None:
        """Write an event that came from an upstream of the same wire as it came, with this stream's number."""
        if event.wire != WIRE:
            return
        try:
            data = msgspec.json.decode(event.data)
        except msgspec.DecodeError:
            return
        if isinstance(data, dict):
            members = {name: value for name, value in data.items() if name not in ("type", "sequence_number")}
            if (index := self._output.index_of(data.get("item_id"))) is not None:
                members["output_index"] = index
            self._add(pieces, event.event, members)

    def _add_all(self, pieces: list[bytes], changes: list[Change]) -> None:
        for kind, members in changes:
            self._add(pieces, kind, members)

    def _add(self, pieces: list[bytes], kind: str, members: dict[str, Any]) -> None:
        pieces += (self._id_line(), encode(kind, self._number, members))
        self._number += 1

    def _id_line(self) -> bytes:
        """Return what stands before the next event."""
        return b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()


def encode(kind: str, number: int, members: dict[str, Any]) -> bytes:
    """Return one event."""
    data = _json({"type": kind, "sequence_number": number, **members})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


#: What a response is called that failed before it had a name.
_NAMELESS: Final = AnswerHead("resp_" + "0" * 32, 0, "")


def encode_error_event(error: BaseException, head: AnswerHead = _NAMELESS) -> bytes:
    """Return the events that report *error* where nothing was said yet: an error, which OpenAI's clients raise, and a response
    that failed, for agents that read nothing else."""
    failed = encode("response.failed", 1, {"response": response_of(head, status="failed", **failure_of(error))})
    return b"event: error\ndata: %b\n\n%b" % (_json(error_event_of(error)), failed)
