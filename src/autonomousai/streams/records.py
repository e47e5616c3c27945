"""Records: what the log of a stream holds, and how it is written down for stores that other processes read.

A record is one batch of an answer's events, as it came; the first one has the stream's header, and the last one the end or the
error. It belongs to no wire: a reader encodes records in the wire that it reads over. Written down, a record is a JSON object
(RFC 8259): what has passed through JSON to get here passes through it again unchanged.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final

import msgspec

from ..errors import ProviderError, StatusError
from ..events import Attempt, Batch, Report, Splice
from ..wires.errors import encode_error

#: Bytes that a record takes in memory beside its events, about: the object and the list.
_RECORD_SIZE: Final = 150

#: The kinds of events in a usual record.
_TEXT_ALONE: Final = {str}


class StreamHeader(msgspec.Struct, frozen=True):
    """What every event of a stream repeats, in whichever wire. ``wire``: the name of the one that the stream was begun over.
    ``request_id``: what the answer is named after. ``created``: seconds since the epoch. ``include_usage``: see `ChatRequest`.
    """

    wire: str
    request_id: str
    created: int
    model: str
    include_usage: bool


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

    @classmethod
    def of(cls, report: Report, author: str | None) -> ResumeState:
        """Return the state of the answer that *report* is about."""
        return cls(author, report.seed, list(report.attempts), list(report.splices), report.repeated)


class RecordedError(msgspec.Struct, frozen=True):
    """An error that ended a stream, as callers may see it: without keys, and without the addresses of upstreams."""

    status: int
    message: str
    type: str | None
    param: str | None
    code: str | None

    @classmethod
    def of(cls, error: ProviderError) -> RecordedError:
        """Return *error* as it is shown to callers."""
        status, _, body = encode_error(error)
        return cls(status, **msgspec.json.decode(body)["error"])

    def as_error(self) -> StatusError:
        """Return the error that a wire encodes."""
        return StatusError(self.message, status=self.status, type=self.type, param=self.param, code=self.code)


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

    def __len__(self) -> int:
        """Return about how many bytes of memory the record takes."""
        events = self.events
        if len(events) == 1 and type(text := events[0]) is str:  # as usual
            return _RECORD_SIZE + getsizeof(text)
        size = _RECORD_SIZE + sum(map(getsizeof, events))
        if set(map(type, events)) != _TEXT_ALONE:
            size += len(encode_record(self))  # what the structs refer to has about the size of its JSON text
        return size

    def __bool__(self) -> bool:
        return True


encode_record: Final = msgspec.json.Encoder().encode
decode_record: Final = msgspec.json.Decoder(Record).decode
