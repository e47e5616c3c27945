"""Streams in the memory of this process: bounded in bytes and in time, and gone with it."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final

from .store import LEASE_S, PAGE, REMEMBERED_S, Beat, Claim, Found, GoneError, LostError, Page

#: Bytes that a stream and a piece take beside what they hold, about.
_STREAM: Final = 1000
_PIECE: Final = 100

#: Streams that were let go and are remembered as such.
_MOST_GONE: Final = 10_000


class MemoryStore:
    """Past *max_bytes* in all, the streams that ended first go first; with none left, the largest loses its beginning."""

    shared = False

    def __init__(
        self, *, keep_s: float, max_bytes: int, lease_s: float = LEASE_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._lease_s = lease_s
        self._now = now
        self._bytes = 0
        self._running: dict[str, _StoredStream] = {}
        self._ended: dict[str, _StoredStream] = {}  # in the order of their ends
        self._gone: dict[str, tuple[bytes, float]] = {}  # owner, when; in this order

    async def open(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        self._running.clear()
        self._ended.clear()
        self._gone.clear()
        self._bytes = 0

    async def create(self, id: str, owner: bytes, question: bytes) -> int:
        self._running[id] = _StoredStream(owner, question, self._now() + self._lease_s)
        self._bytes += _STREAM + len(question)
        self._make_room()
        return 1

    async def find(self, id: str) -> Found | None:
        self._sweep()
        if id in self._gone:
            return Found(self._gone[id][0], "gone", 0)
        stream = self._running.get(id) or self._ended.get(id)
        if stream is None:
            return None
        return Found(stream.owner, "running" if id in self._running else "ended", stream.last, stream.start)

    async def append(
        self, id: str, lease: int, last: int, data: bytes, *, note: bytes | None = None, end: bool = False
    ) -> None:
        stream = self._held(id, lease)
        if stream is None:
            raise LostError
        if note is not None:
            stream.note = note
        stream.append(last, data)
        self._bytes += _PIECE + len(data)
        if end:
            stream.ended_at = self._now()
            self._ended[id] = self._running.pop(id)
        self._make_room()

    async def read(self, id: str, after: int) -> Page:
        stream = self._running.get(id) or self._ended.get(id)
        if stream is None or after < stream.start:
            raise GoneError
        pieces, last = stream.after(after)
        return Page(pieces, last, id in self._ended and last >= stream.last)

    async def wait(self, id: str, after: int, seconds: float) -> None:
        stream = self._running.get(id)
        if stream is not None and stream.last <= after:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stream.growth()

    async def claim(self, id: str) -> Claim | None:
        stream = self._running.get(id)
        if stream is None or stream.lease_until > self._now():
            return None
        stream.lease += 1
        stream.lease_until = self._now() + self._lease_s
        return Claim(stream.lease, stream.last, stream.question, stream.note)

    async def release(self, id: str, lease: int) -> None:
        if stream := self._held(id, lease):
            stream.lease_until = self._now()

    async def drop(self, id: str) -> None:
        self._drop(id)

    async def beat(self, written: Mapping[str, int], read: Collection[str]) -> Beat:
        now = self._now()
        lost, watched = set(), set()
        for each in read:
            if each in self._running:
                self._running[each].watched_until = now + self._lease_s
        for each, lease in written.items():
            stream = self._running.get(each) or self._ended.get(each)
            if stream is None or stream.lease != lease:
                lost.add(each)
                continue
            stream.lease_until = now + self._lease_s
            if stream.watched_until > now:
                watched.add(each)
        self._sweep()
        return Beat(lost, watched)

    def _held(self, id: str, lease: int) -> _StoredStream | None:
        """The stream, if it is running and that is its lease."""
        stream = self._running.get(id)
        return stream if stream is not None and stream.lease == lease else None

    def _drop(self, id: str) -> None:
        stream = self._running.pop(id, None) or self._ended.pop(id, None)
        if stream is None:
            return
        self._bytes -= stream.bytes
        stream.wake()
        self._gone[id] = (stream.owner, self._now())
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]

    def _sweep(self) -> None:
        """Let go of what is past its time. The oldest come first."""
        now = self._now()
        while self._ended and next(iter(self._ended.values())).ended_at + self._keep_s <= now:
            self._drop(next(iter(self._ended)))
        while self._gone and next(iter(self._gone.values()))[1] + REMEMBERED_S <= now:
            del self._gone[next(iter(self._gone))]

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and self._ended:
            self._drop(next(iter(self._ended)))
        while self._bytes > self._max_bytes and self._running:
            largest = max(self._running.values(), key=lambda stream: stream.bytes)
            freed = largest.forget_half()
            if not freed:
                break
            self._bytes -= freed


class _StoredStream:
    """One stream: its pieces, and what is noted beside them."""

    def __init__(self, owner: bytes, question: bytes, lease_until: float) -> None:
        self.owner = owner
        self.question = question
        self.note = b""
        self.start = 0
        self.last = 0
        self.bytes = _STREAM + len(question)
        self.lease = 1
        self.lease_until = lease_until
        self.watched_until = 0.0
        self.ended_at = 0.0
        self._grown: asyncio.Event | None = None  # there while somebody waits
        self._pieces: deque[tuple[int, bytes]] = deque()

    def append(self, last: int, data: bytes) -> None:
        self._pieces.append((last, data))
        self.last = last
        self.bytes += _PIECE + len(data)
        self.wake()

    async def growth(self) -> None:
        """Wait for the next piece, or the end."""
        if self._grown is None:
            self._grown = asyncio.Event()
        await self._grown.wait()

    def wake(self) -> None:
        if self._grown is not None:
            self._grown.set()
            self._grown = None

    def after(self, after: int) -> tuple[list[bytes], int]:
        """A page of the pieces that hold events after number *after*, and the number of the last of them."""
        first = bisect_right(self._pieces, after, key=_number)
        page = list(islice(self._pieces, first, first + PAGE))
        return [data for _, data in page], page[-1][0] if page else after

    def forget_half(self) -> int:
        """Let go of the older half of the pieces, the last one excepted. Returns how many bytes that frees."""
        freed = 0
        for _ in range(len(self._pieces) // 2):
            self.start, data = self._pieces.popleft()
            freed += _PIECE + len(data)
        self.bytes -= freed
        return freed


def _number(piece: tuple[int, bytes]) -> int:
    return piece[0]
