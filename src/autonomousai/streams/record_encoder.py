"""Records -> numbered server-sent events of one wire (WHATWG HTML, 9.2, "Server-sent events").

Every event has its number as its ``id``, counted from 1 on in each wire. An encoder that starts from the first record again
gives the same bytes, however the records are read: so a connection that comes back with ``Last-Event-ID`` gets what it missed.
"""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Self

from ..events import FinishReason
from ..wires.base import StreamEncoder, Wire
from ..wires.registry import WIRES
from .records import Record, RecordedError, StreamHeader


class UnknownWireError(Exception):
    """A stream was begun over a wire that this version does not have, and no other was asked for."""


class EventNumbers:
    """The ids of events: 1, 2, 3, …; or ``-``, after which no connection can resume, where ``is_counting`` is unset."""

    __slots__ = ("is_counting", "last")

    def __init__(self) -> None:
        self.last = 0
        self.is_counting = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self.is_counting:
            return "-"
        self.last += 1
        return str(self.last)


class RecordEncoder:
    """Encodes the records of one stream in one wire, from the first one on. ``position``: how many it has encoded.

    ``wire``: None until the first record, where the wire is to be the one that the stream was begun over.
    """

    __slots__ = ("_encoder", "_numbers", "position", "wire")

    def __init__(self, wire: Wire | None) -> None:
        self.position = 0
        self.wire = wire
        self._numbers = EventNumbers()
        self._encoder: StreamEncoder

    @property
    def last(self) -> int:
        """Return the number of the last event."""
        return self._numbers.last

    def encode(self, record: Record, *, stored: bool = True) -> bytes:
        """Return the events of the next record. *stored*: whether they can be resumed after; else they get no numbers.

        Raises `UnknownWireError` at the first record.
        """
        self.position += 1
        self._numbers.is_counting = stored
        if record.header is not None:
            self._begin(record.header)
        if not record.end:
            return self._encoder.write(record.events)
        if record.error is not None:
            return self._encode_error(record.error)
        finish = record.events[-1]
        assert type(finish) is FinishReason
        return self._encoder.write(record.events) + self._encoder.end(finish, extension=record.provenance)

    def _begin(self, header: StreamHeader) -> None:
        self.wire = wire = self.wire or WIRES.get(header.wire)
        if wire is None:
            raise UnknownWireError(header.wire)
        self._encoder = wire.encoder(
            id=wire.answer_id(header.request_id),
            created=header.created,
            model=header.model,
            include_usage=header.include_usage,
            ids=self._numbers,
        )

    def _encode_error(self, error: RecordedError) -> bytes:
        assert self.wire is not None
        return b"id: %b\n%b" % (next(self._numbers).encode(), self.wire.encode_error_event(error.as_error()))

    def sign(self, progress: int) -> bytes:
        """Return an event without a number, which says that a broken answer is being rescued."""
        return self._encoder.sign(progress)

    def copy(self) -> Self:
        """Return an encoder in the same state, which is independent of this one."""
        twin = copy(self)
        twin._numbers, twin._encoder = deepcopy((self._numbers, self._encoder))  # the encoder holds the numbers as well
        return twin


def after_events(data: bytes, count: int) -> bytes:
    """Return *data*, whole server-sent events, without the first *count* of them."""
    return b"\n\n".join(data.split(b"\n\n", count)[count:])
