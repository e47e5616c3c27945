"""The log of one resumable stream in this process, and its readers.

The latest records are kept in memory; older ones are read from the store, which has every record before any reader gets it. A
reader encodes records in the wire that it reads over, and knows how many it has read: so it misses nothing and gets nothing
twice, however its connections come and go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from ..answer import Answer
from ..errors import ProviderError
from ..limiter import QuotaHold
from ..outage import Outage
from ..report import Report
from ..telemetry.metrics import AnswerMeter
from ..wires.base import Wire
from ..wires.redaction import redact
from ..wires.registry import WIRES
from .records import Kept, Record, RecordedRequest, RecordEncoder, after_events, decode_record, encode_record, size_of
from .stores import GoneError, LeaseLostError, Store, StoreError, StoreFullError, StreamVanishedError

#: A stream's latest records that are kept in memory.
_RECENT: Final = 64

#: The same for a stream that the store has failed: its readers find older ones nowhere else.
_UNSTORED: Final = 16_384

#: Records of a stream that are being stored at once, before its writer waits for the store.
_STORING: Final = 64

#: Records between two checkpoints of a wire, and how many of those are kept.
_CHECKPOINT: Final = 512
_CHECKPOINTS: Final = 8

_log = logging.getLogger("autonomousai.server")


class StreamLog:
    """One stream. ``last``: the number of its last record. ``lease``: the writer's, where this process writes it.

    It ends in one of two ways: ``ended``, nothing comes after record ``last``; or ``closed`` without that, no more comes in
    this process. ``error``: what ended it, where that was an error in this process. *outage*: of the store.
    """

    def __init__(self, id: str, store: Store, last: int, name: str, outage: Outage) -> None:
        self.id = id
        self.name = name
        self.last = last
        self.lease: int | None = None
        self.ended = False
        self.closed = False
        self.error: ProviderError | None = None
        #: What its writer knows: what it answers, and whether it is to end as cancelled.
        self.recorded: RecordedRequest | None = None
        self.is_cancelled = False
        #: Whether another server writes the rest, or may.
        self.is_handed_over = False
        #: The wire that it was begun over, where it was begun in this process.
        self.wire: Wire | None = None
        #: What is known of the generation, where it runs in this process.
        self.meter: AnswerMeter | None = None
        self.report: Report | None = None
        self.answer: Answer | None = None
        #: What its caller's key reserves for it, where its writer is here.
        self.hold: QuotaHold | None = None
        self.source: asyncio.Task[None] | None = None
        self.grace: asyncio.TimerHandle | None = None
        #: Whether it is read at another server.
        self.is_watched = False
        #: The number of the last record that is stored, where the store has failed since.
        self.stored_last: int | None = None
        self.readers = 0
        self._store = store
        self._outage = outage
        #: Readers whose `on_growth` is called when records come, and when none will come any more, until it returns False.
        self.waiting: list[StreamReader] = []
        self._recent: deque[Record] = deque(maxlen=_RECENT)
        self._checkpoints: dict[str, deque[RecordEncoder]] = {}
        #: Records that are being stored, in their order, each with what is done when it is; None for those behind them that are
        #: not to be. What is done when all of them are, and why one was not.
        self._storing: deque[tuple[Record, asyncio.Future[None] | None]] = deque()
        self._stored: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None

    @property
    def kept(self) -> Kept:
        """Return how long the answer is generated without a reader, as far as its writer is here."""
        return "" if self.recorded is None else self.recorded.kept

    @property
    def is_stored(self) -> bool:
        """Return whether the store has all of it."""
        return self.stored_last is None

    async def append(self, record: Record) -> None:
        """Add the next record: to the store first, then for readers. Raises `LeaseLostError`.

        Where the store fails, the answer continues without it: from then on no connection can resume it.
        """
        self.append_soon(record)
        if self._storing:
            await self.settled()
        if self._failure is not None:
            raise self._failure

    def append_soon(self, record: Record) -> bool:
        """Add the next record as `append` does, without waiting for the store. Returns False where `append` is to add the one
        after it: many are being stored, or one could not be, for which that raises what is to be raised.

        Raises `LeaseLostError`.
        """
        storing = self._storing
        if self._failure is not None:
            return False
        if not storing and self.append_now(record):
            return True
        future: asyncio.Future[None] | None = None
        if self.stored_last is None:  # else it comes after those that are still being stored
            assert self.lease is not None
            future = self._stores(self.lease, self.last + len(storing) + 1, record)
            future.add_done_callback(self._on_stored)
        storing.append((record, future))
        return len(storing) < _STORING

    async def settled(self) -> None:
        """Wait until no record is being stored, also where the task is cancelled meanwhile: one may be stored all the same, and
        then its number is taken."""
        cancelled: asyncio.CancelledError | None = None
        while self._storing:
            self._stored = asyncio.get_running_loop().create_future()
            try:
                await self._stored
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _stores(self, lease: int, number: int, record: Record) -> asyncio.Future[None]:
        """Begin to store a record, and return what is done when it is."""
        try:
            return asyncio.ensure_future(self._store.append(self.id, lease, number, encode_record(record), end=record.end))
        except StoreError as error:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _on_stored(self, _stored: asyncio.Future[None]) -> None:
        """Hand on the records that are stored, in their order, and those that the store has failed."""
        storing = self._storing
        while storing and ((future := storing[0][1]) is None or future.done()):
            record, _ = storing.popleft()
            error: BaseException | None = None
            if future is not None:
                error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if isinstance(error, StoreError | StreamVanishedError):
                self.detach(error)
            elif error is not None:
                self._failure = self._failure or error
                continue
            self.grow((record,), ended=record.end)
        if not storing and self._stored is not None and not self._stored.done():
            self._stored.set_result(None)

    def detach(self, error: StoreError | StreamVanishedError) -> None:
        """Note that the store has failed: the answer continues without it. An outage is logged once, for all streams."""
        if self.stored_last is None:
            self.stored_last = self.last
            self._recent = deque(self._recent, _UNSTORED)
            if isinstance(error, StoreError) and not isinstance(error, StoreFullError):
                self._outage.begin(error)
            else:
                reason = str(error) or "the store has forgotten it"
                _log.warning("%s: the rest of an answer cannot be resumed: %s", self.name, redact(reason))

    def append_now(self, record: Record) -> bool:
        """Add the next record, where the store needs no I/O for it. Returns False where it does, and has added nothing.

        Raises `LeaseLostError`.
        """
        if self.stored_last is None:
            store, lease = self._store, self.lease
            if lease is None:
                raise LeaseLostError
            if store.shared:
                return False
            store.append_now(self.id, lease, self.last + 1, record, size_of(record), end=record.end)
        self.grow((record,), ended=record.end)
        return True

    def grow(self, records: Sequence[Record], *, ended: bool = False) -> None:
        """Take in the next records, which are stored, and hand them to the readers that wait."""
        self.last += len(records)
        self.ended = ended
        self._recent.extend(records)
        if len(waiting := self.waiting) == 1:  # as usual
            if not waiting[0].on_growth(records):
                self.waiting = []
        elif waiting:
            self.waiting = [reader for reader in waiting if reader.on_growth(records)]

    def stop(self) -> None:
        """Stop the task that brings records."""
        if self.source is not None:
            self.source.cancel()

    def close(self) -> None:
        """Note that no more records come in this process."""
        self.closed = True
        if self.grace is not None:
            self.grace.cancel()
        self.grow((), ended=self.ended)  # which wakes the readers

    async def read(self, after: int) -> list[Record]:
        """Return the records after number *after*, of which there are some; where they are many, the first of them.

        Raises `GoneError` and `StoreError`.
        """
        missing = self.last - after
        if missing <= len(self._recent):
            return [self._recent[index] for index in range(-missing, 0)]
        page = (await self._store.read(self.id, after)).check(after)
        records = page.records[:missing]  # there may be more, which do not count yet
        if not records:
            raise GoneError  # they were here, and are nowhere else
        return [decode_record(data) for data in records] if self._store.shared else records

    def remember(self, encoder: RecordEncoder) -> None:
        """Keep a copy of *encoder*, unless one of its wire has come as far: a reader that comes back starts from there."""
        assert encoder.wire is not None
        checkpoints = self._checkpoints.setdefault(encoder.wire.name, deque(maxlen=_CHECKPOINTS))
        if not checkpoints or encoder.position // _CHECKPOINT > checkpoints[-1].position // _CHECKPOINT:
            checkpoints.append(encoder.copy())

    def checkpoint(self, encoder: RecordEncoder, last: int) -> RecordEncoder:
        """Return the encoder of the same wire that has come farthest, but not beyond event number *last*."""
        if encoder.wire is not None:
            for remembered in reversed(self._checkpoints.get(encoder.wire.name, ())):
                if remembered.last <= last:
                    return remembered.copy()
        return encoder


class StreamReader:
    """``with streams.reader(stream, last, wire) as reader``: reads a stream as server-sent events of one wire.

    ``last``: the number of the last event that the caller has. *wire*: None for the one that the stream was begun over.
    ``ended``: nothing comes after what was read.
    """

    def __init__(self, stream: StreamLog, last: int, wire: Wire | None, on_left: Callable[[StreamLog], None]) -> None:
        self.stream = stream
        self.last = last
        self.ended = False
        self._encoder = RecordEncoder(wire or stream.wire, WIRES)
        self._ahead = b""  # what `seek` has encoded already of what comes next
        self._growth: asyncio.Future[bool] | None = None  # while `read` or `pipe_to` waits
        self._put: Callable[[bytes], bool] | None = None
        self._on_left = on_left

    @property
    def encoder(self) -> RecordEncoder | None:
        """Return what encodes the records; None before the first."""
        return self._encoder if self._encoder.position else None

    def __enter__(self) -> Self:
        stream = self.stream
        stream.readers += 1
        if stream.grace is not None:
            stream.grace.cancel()
            stream.grace = None
        return self

    async def seek(self) -> bool:
        """Skip the events that the caller has. Returns False where the stream has ended with the last of them.

        Raises `GoneError` where there is no such event, or what comes next was dropped, `StoreError` and `UnknownWireError`.
        """
        stream = self.stream
        self._encoder = encoder = stream.checkpoint(self._encoder, self.last)
        while encoder.position < stream.last and not self._ahead:
            for record in await stream.read(encoder.position):
                had = self.last - encoder.last  # events that the caller has, of those that come now
                data = self._encode((record,))
                self._ahead += after_events(data, had) if had > 0 else data
            await asyncio.sleep(0)  # the beginning of a long stream is much work
        if encoder.last < self.last:
            raise GoneError
        return bool(self._ahead) or not (stream.ended and encoder.position == stream.last)

    async def gather(self) -> list[Record]:
        """Return all records, when the last has come, or when no more come here. Raises `GoneError` and `StoreError`."""
        stream = self.stream
        records: list[Record] = []
        while not (stream.ended and stream.last == len(records)):
            while stream.last == len(records) and not (stream.ended or stream.closed):
                await self._wait()
            if stream.last == len(records):
                break
            records += await stream.read(len(records))
        self.ended = stream.ended
        return records

    async def read(self) -> bytes | None:
        """Return the events that have come since the last call; wait for some. None when no more come here: then the stream
        has ``ended``, or can be looked for again."""
        stream, encoder = self.stream, self._encoder
        data, self._ahead = self._ahead, b""
        while not data:
            while stream.last == encoder.position and not (stream.ended or stream.closed):
                await self._wait()
            if stream.last == encoder.position:
                self.ended = stream.ended
                return None
            try:
                records = await stream.read(encoder.position)
            except (GoneError, StoreError) as error:
                _log.debug("%s: a reader cannot continue: %s", stream.name, error)
                return None
            data = self._encode(records)
        self.last = encoder.last
        self.ended = stream.ended and encoder.position == stream.last
        return data

    async def pipe_to(self, put: Callable[[bytes], bool]) -> bool:
        """Hand the events that come next to *put* on arrival, without a task switch.

        It returns when something is left for `read`: the end, or what came after *put* returned False. Returns what *put* did.
        """
        stream = self.stream
        if stream.last == self._encoder.position and not (stream.ended or stream.closed):
            self._put = put
            try:
                return await self._wait()
            finally:
                self._put = None
        return True

    async def _wait(self) -> bool:
        """Wait for the stream to grow, or as `pipe_to` says."""
        self._growth = asyncio.get_running_loop().create_future()
        self.stream.waiting.append(self)
        try:
            return await self._growth
        finally:
            if self in self.stream.waiting:  # this task was cancelled
                self.stream.waiting.remove(self)
            self._growth = None

    def on_growth(self, records: Sequence[Record]) -> bool:
        """Hand on *records*, which have come, if that can be. Returns whether to call again; else the waiting task is woken."""
        growth = self._growth
        if growth is None or growth.done():  # cancelled
            return False
        goes_on = True
        try:
            if self._put is not None and records and not self.stream.ended:
                data = self._encode(records)
                self.last = self._encoder.last
                goes_on = not data or self._put(data)
                if goes_on:
                    return True
        except Exception as error:  # it must not reach the writer of the stream
            growth.set_exception(error)
        else:
            growth.set_result(goes_on)
        return False

    def _encode(self, records: Sequence[Record]) -> bytes:
        """Return the events of the next records."""
        encoder = self._encoder
        before = encoder.position
        data = encoder.encode(records, self.stream.stored_last)
        if encoder.position // _CHECKPOINT > before // _CHECKPOINT:
            self.stream.remember(encoder)
        return data

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stream = self.stream
        stream.readers -= 1
        if not stream.readers and not stream.closed:
            self._on_left(stream)
