"""Records: what the log of a stream holds; how they are written down in stores, and how they become a wire's events.

A record is one batch of an answer's events, as it came; the first one has the stream's header, and the last one the end or the
error. It belongs to no wire. Written down, a record is a JSON object (RFC 8259): what came through JSON goes through it again
unchanged.

`RecordEncoder` makes records into server-sent events of one wire (WHATWG HTML, 9.2, "Server-sent events"), each with its number
as its ``id``, counted from 1 on in each wire. Encoding the same records again gives the same bytes, however they are read: so a
connection that comes back with ``Last-Event-ID`` gets what it missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from sys import getsizeof
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec

from ..errors import HTTPError, ProviderError, StatusError, StreamError
from ..events import Batch, FinishReason
from ..late import late_decoder
from ..report import Attempt, Splice
from ..request import ChatRequest
from ..wires.base import AnswerHead, StreamEncoder, Wire
from ..wires.errors import encode_error

#: Bytes that a record takes in memory beside its events, about: the object and the list.
_RECORD_SIZE: Final = 150


#: How long the answer to a request that is kept is generated without a reader: not at all, as long as that of any stream that
#: can be resumed, or to its end. ``""``: it is not kept, and a stream without a returning reader is dropped.
Kept: TypeAlias = Literal["", "attended", "resumable", "background"]


class RecordedRequest(msgspec.Struct, frozen=True):
    """A request, with all that another server needs to answer it. ``wire``: the name of the one that it came over; ``id``: what
    the answer is named after. ``kept``: whether the answer is kept for its caller. ``created``: when it came, in seconds since
    the epoch; 0 for when its answer began. ``key``: the name of its caller's key, ``""`` where it has none; ``hold``: what that
    key reserves for the answer, as `QuotaHold.written` says; ``request_id`` and ``came``, in seconds since the epoch: what else
    is noted of the answer at its end. ``context``: the id of the conversation before it, where that is stored beside it."""

    request: ChatRequest
    wire: str
    id: str
    kept: Kept = ""
    created: int = 0
    key: str = ""
    request_id: str = ""
    came: float = 0.0
    hold: bytes = b""
    context: str = ""


class StreamHeader(msgspec.Struct, frozen=True):
    """What every event of a stream repeats, in whichever wire. ``wire``: the name of the one that the stream was begun over.
    ``request_id``: what the answer is named after. ``created``: seconds since the epoch. ``include_usage``, ``echo``: see
    `ChatRequest`."""

    wire: str
    request_id: str
    created: int
    model: str
    include_usage: bool
    echo: dict[str, Any] | None = None


class ResumeState(msgspec.Struct, frozen=True):
    """What another server must know of an answer beside its events, to continue it.

    ``author``: the upstream that began it; ``seed``: what that was asked with, where it can be asked for the same again;
    ``repeated``: pieces that were generated and are not in the text. See `Report`.
    """

    author: str | None
    seed: int | None
    attempts: list[Attempt]
    splices: list[Splice]
    repeated: int


class RecordedError(msgspec.Struct, frozen=True):
    """An error that ended a stream, as callers may see it: without keys, and without the addresses of upstreams.

    ``upstream_type``: how an upstream called an error in mid-stream, for wires whose clients know it by that.
    """

    status: int
    message: str
    type: str | None
    param: str | None
    code: str | None
    upstream_type: str | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: ProviderError) -> RecordedError:
        """Return *error* as it is shown to callers."""
        status, _, body = encode_error(error)
        return cls(
            status,
            **msgspec.json.decode(body)["error"],
            upstream_type=error.type if isinstance(error, StreamError) else None,
            retry_after=error.retry_after if isinstance(error, HTTPError) else None,
        )

    def as_error(self) -> HTTPError:
        """Return the error that a wire encodes."""
        error: HTTPError = StatusError(self.message, status=self.status, type=self.type)
        if self.upstream_type is not None:
            error = StreamError(self.message, status=self.status, type=self.upstream_type)
        error.param, error.code, error.retry_after = self.param, self.code, self.retry_after
        return error


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One entry of a stream's log.

    ``end``: nothing follows. ``header``: in the first record. ``state``: in records that change it. ``provenance``: with the
    `FinishReason`, the ``x_autonomousai`` object. ``error``: what the stream ends with instead of a `FinishReason`.
    """

    events: Batch = []
    end: bool = False
    header: StreamHeader | None = None
    state: ResumeState | None = None
    provenance: dict[str, Any] | None = None
    error: RecordedError | None = None


encode_record: Final = msgspec.json.Encoder().encode
_RECORD: Final = late_decoder(Record)


def decode_record(data: bytes) -> Record:
    """Return the record that `encode_record` made *data* of."""
    return _RECORD.decode(data)


#: The kinds of events in a usual record.
_TEXT_ALONE: Final = {str}


def size_of(record: Record) -> int:
    """Return about how many bytes of memory *record* takes."""
    events = record.events
    if len(events) == 1 and type(text := events[0]) is str:  # as usual
        return _RECORD_SIZE + getsizeof(text)
    size = _RECORD_SIZE + sum(map(getsizeof, events))
    if set(map(type, events)) != _TEXT_ALONE:
        size += len(encode_record(record))  # what the structs refer to has about the size of its JSON text
    return size


# ---- encoded in a wire


class UnknownWireError(Exception):
    """A stream was begun over a wire that this version does not have, and no other was asked for."""


class RecordEncoder:
    """Encodes the records of one stream in one *wire*, from the first one on. *wires*: all that there are, by name.

    ``position``: how many records it has encoded; ``last``: the number of the last event. ``wire``: None until the first
    record, where it is to be the wire that the stream was begun over.

    It is the iterator of its own events' ids: their numbers, or ``-`` for what no connection can resume after.
    """

    __slots__ = ("_encoder", "_is_stored", "_wires", "last", "position", "wire")

    def __init__(self, wire: Wire | None, wires: Mapping[str, Wire]) -> None:
        self._wires = wires
        self.position = 0
        self.last = 0
        self.wire = wire
        self._is_stored = True
        self._encoder: StreamEncoder

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self._is_stored:
            return "-"
        self.last += 1
        return str(self.last)

    def encode(self, records: Sequence[Record], stored_last: int | None = None) -> bytes:
        """Return the events of the next *records*. *stored_last*: the number of the last record that is stored, if not all are.

        Raises `UnknownWireError` at the first record.
        """
        if len(records) == 1 and (one := records[0]).header is None and not one.end:  # as usual
            self.position += 1
            self._is_stored = stored_last is None or self.position <= stored_last
            return self._encoder.write(one.events)
        pieces = []
        for record in records:
            self.position += 1
            self._is_stored = stored_last is None or self.position <= stored_last
            if record.header is not None:
                self._begin(record.header)
            if record.end:
                pieces.append(self._end(record))
            else:
                pieces.append(self._encoder.write(record.events))
        return b"".join(pieces)

    def sign(self, progress: int) -> bytes:
        """Return an event without a number, which says that a broken answer is being rescued."""
        return self._encoder.sign(progress)

    def fail(self, error: BaseException) -> bytes:
        """Return an event without a number, which reports *error* and ends the stream on this connection."""
        return self._encoder.fail(error)

    def copy(self) -> Self:
        """Return an encoder in the same state, which is independent of this one."""
        return deepcopy(self)

    def _begin(self, header: StreamHeader) -> None:
        self.wire = wire = self.wire or self._wires.get(header.wire)
        if wire is None:
            raise UnknownWireError(header.wire)
        echo = header.echo if wire.name == header.wire else None
        head = AnswerHead(wire.answer_id(header.request_id), header.created, header.model, header.include_usage, echo)
        self._encoder = wire.encoder(head, ids=self)

    def _end(self, record: Record) -> bytes:
        if record.error is not None:
            return b"id: %b\n%b" % (next(self).encode(), self._encoder.fail(record.error.as_error()))
        finish = record.events[-1]
        assert type(finish) is FinishReason
        return self._encoder.write(record.events) + self._encoder.end(finish, extension=record.provenance)


def after_events(data: bytes, count: int) -> bytes:
    """Return *data*, whole server-sent events, without the first *count* of them."""
    return b"\n\n".join(data.split(b"\n\n", count)[count:])
