"""One resumable stream as this server knows it, and its readers. A reader knows the number of the last event that it has, and
asks for what comes after: so it misses nothing and gets nothing twice, whatever happens in between.

The latest pieces are at hand; for older ones the store is asked, where every piece was before it came here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from types import TracebackType
from typing import Final, Self

import msgspec

from ..errors import ProviderError
from ..telemetry.metrics import AnswerMeter
from .recorder import Piece, RescueProgress, after, without_numbers
from .stores import GoneError, LostError, Page, StateError, Store

#: Bytes of a stream's latest pieces that are kept at hand.
_AT_HAND: Final = 64 * 1024

_log = logging.getLogger("autonomousai.server")


class StreamLog:
    """One stream. ``last``: the number of its last event. ``lease``: of its writer, if that is us.

    It ends in one of two ways: ``ended``, nothing comes after event ``last``; or ``closed`` without that, no more comes *here*.
    ``error``: what ended it, where that was an error.
    """

    def __init__(self, id: str, store: Store, last: int, name: str) -> None:
        self.id = id
        self.name = name
        self.last = last
        self.lease: int | None = None
        self.ended = False
        self.closed = False
        self.error: ProviderError | None = None
        #: What is known of its generation, where it is written here.
        self.meter: AnswerMeter | None = None
        self.repair: RescueProgress | None = None
        self.source: asyncio.Task[None] | None = None
        self.grace: asyncio.TimerHandle | None = None
        #: Whether somebody reads it at another server.
        self.is_watched = False
        #: Whether the store has all of it.
        self.is_stored = True
        self.readers = 0
        self._store = store
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._start = last  # the events after this one are at hand
        self._bytes = 0
        self._grown: asyncio.Event | None = None  # there while somebody waits

    async def append(self, piece: Piece) -> None:
        """Add what its writer wrote: to the store first, and only then for readers. Raises `LostError`.

        Where the store fails, the answer goes on without it: from then on nobody can resume after what was not stored.
        """
        data = piece.data
        if self.is_stored:
            if self.lease is None:
                raise LostError
            note = msgspec.json.encode(piece.note) if piece.note is not None and self._store.shared else None
            try:
                await self._store.append(self.id, self.lease, piece.last, data, note=note, end=piece.end)
            except StateError as error:
                _log.warning("%s: the rest of an answer cannot be resumed: %s", self.name, error)
                self.is_stored = False
        if not self.is_stored:
            data = without_numbers(data)
        self.grow(data, piece.last, ended=piece.end)

    def grow(self, data: bytes, last: int, *, ended: bool = False) -> None:
        """Events up to number *last* have come."""
        self.last = last
        self.ended = ended
        if data:
            self._pieces.append((last, data))
            self._bytes += len(data)
            while self._bytes > _AT_HAND and len(self._pieces) > 1:
                self._start, oldest = self._pieces.popleft()
                self._bytes -= len(oldest)
        self._wake()

    def tell(self, progress: RescueProgress) -> None:
        """Here it can be seen how its writing gets on."""
        self.repair = progress

    def stop(self) -> None:
        """Bring no more events."""
        if self.source is not None:
            self.source.cancel()

    def close(self) -> None:
        """No more events will be brought."""
        self.closed = True
        if self.grace is not None:
            self.grace.cancel()
        self._wake()

    async def page(self, number: int) -> Page:
        """The events after that number, of which there are some. Raises `GoneError` and `StateError`."""
        if number >= self._start:
            newer = takewhile(lambda piece: piece[0] > number, reversed(self._pieces))
            pieces = [data for _, data in newer]
            pieces.reverse()
            return Page(pieces, self.last, self.ended)
        page = await self._store.read(self.id, number)
        if not page.pieces:
            raise GoneError  # they were here, and are nowhere else
        return page

    async def more(self, number: int) -> bool:
        """Wait for events after that number. False where none will come."""
        while self.last <= number and not (self.ended or self.closed):
            if self._grown is None:
                self._grown = asyncio.Event()
            await self._grown.wait()
        return self.last > number

    def _wake(self) -> None:
        if self._grown is not None:
            self._grown.set()
            self._grown = None


class StreamReader:
    """``with streams.reader(stream, last) as reader``: somebody who reads a stream. ``last``: the number of the last event that
    they have; ``ended``: nothing comes after it."""

    def __init__(self, stream: StreamLog, last: int, on_left: Callable[[StreamLog], None]) -> None:
        self.stream = stream
        self.last = last
        self.ended = False
        self._on_left = on_left

    def __enter__(self) -> Self:
        stream = self.stream
        stream.readers += 1
        if stream.grace is not None:
            stream.grace.cancel()
            stream.grace = None
        return self

    async def read(self) -> bytes | None:
        """Everything that has come since the last time, waiting for it if need be. None when no more comes here: then the
        stream has ``ended``, or can be looked for again."""
        stream = self.stream
        if not await stream.more(self.last):
            self.ended = stream.ended
            return None
        try:
            page = await stream.page(self.last)
        except (GoneError, StateError) as error:
            _log.debug("%s: a reader is sent away: %s", stream.name, error)
            return None
        data = after(b"".join(page.pieces), self.last)
        self.last = page.last
        self.ended = page.ended
        return data

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stream = self.stream
        stream.readers -= 1
        if not stream.readers and not stream.closed:
            self._on_left(stream)
