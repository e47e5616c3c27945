"""Streams in the memory of this process, bounded in bytes and in time. They end with the process."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from .store import LEASE_S, PAGE, REMEMBERED_S, Claim, GoneError, Heartbeat, LeaseLostError, Page, StreamInfo

#: Bytes that a stream and a record take beside what they hold, about: entries in tables and queues.
_STREAM: Final = 1000
_RECORD: Final = 100

#: Dropped streams that are remembered.
_MAX_GONE: Final = 10_000


class MemoryStore:
    """Past *max_bytes* in all, drops streams that have ended, the next to go first; with none left, the largest loses its
    beginning."""

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
        self._ended: dict[str, _StoredStream] = {}
        self._queues: dict[float, dict[str, _StoredStream]] = {}  # the same by `keep_s`, in the order of their ends
        self._gone: dict[str, tuple[bytes, float]] = {}  # owner, when; in this order

    async def open(self) -> None:
        """See `Store.open`: there is nothing to do."""

    async def aclose(self) -> None:
        self._running.clear()
        self._ended.clear()
        self._queues.clear()
        self._gone.clear()
        self._bytes = 0

    async def create(self, id: str, owner: bytes, request: bytes, keep_s: float | None = None) -> int:
        keep_s = self._keep_s if keep_s is None else keep_s
        self._running[id] = _StoredStream(owner, request, self._now() + self._lease_s, keep_s)
        self._bytes += _STREAM + len(request)
        if self._bytes > self._max_bytes:
            self._make_room()
        return 1

    async def find(self, id: str) -> StreamInfo | None:
        self._sweep()
        if id in self._gone:
            return StreamInfo(self._gone[id][0], "gone", 0)
        stream = self._running.get(id) or self._ended.get(id)
        if stream is None:
            return None
        return StreamInfo(stream.owner, "running" if id in self._running else "ended", stream.last, stream.start)

    async def request(self, id: str) -> bytes:
        stream = self._running.get(id) or self._ended.get(id)
        if stream is None:
            raise GoneError
        return stream.request

    async def append(self, id: str, lease: int, number: int, data: bytes, *, end: bool = False) -> None:
        self.append_now(id, lease, number, data, len(data), end=end)

    def append_now(self, id: str, lease: int, number: int, data: Any, size: int, *, end: bool = False) -> None:
        stream = self._running.get(id)
        if stream is None or stream.lease != lease:
            raise LeaseLostError
        size += _RECORD
        stream.records.append((number, data, size))
        stream.last = number
        stream.bytes += size
        if stream.changed is not None:
            stream.wake()
        self._bytes += size
        if end:
            stream.until = self._now() + stream.keep_s
            self._ended[id] = self._running.pop(id)
            self._queues.setdefault(stream.keep_s, {})[id] = stream
        if self._bytes > self._max_bytes:
            self._make_room()

    async def read(self, id: str, after: int) -> Page:
        stream = self._running.get(id) or self._ended.get(id)
        if stream is None or after < stream.start:
            raise GoneError
        records, last = stream.after(after)
        return Page(records, last, id in self._ended and last >= stream.last)

    async def wait(self, id: str, after: int, seconds: float) -> None:
        stream = self._running.get(id)
        if stream is not None and stream.last <= after:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stream.change()

    async def claim(self, id: str, *, force: bool = False) -> Claim | None:
        stream = self._running.get(id)
        if stream is None or (stream.lease_until > self._now() and not force):
            return None
        stream.lease += 1
        stream.lease_until = self._now() + self._lease_s
        return Claim(stream.lease, stream.last, stream.request)

    async def release(self, id: str, lease: int) -> None:
        stream = self._running.get(id)
        if stream is not None and stream.lease == lease:
            stream.lease_until = self._now()

    async def drop(self, id: str) -> None:
        self._drop(id)

    async def heartbeat(self, written: Mapping[str, int], read: Collection[str]) -> Heartbeat:
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
        return Heartbeat(lost, watched)

    def _drop(self, id: str) -> None:
        stream = self._running.pop(id, None) or self._ended.pop(id, None)
        if stream is None:
            return
        self._queues.get(stream.keep_s, {}).pop(id, None)
        self._bytes -= stream.bytes
        stream.wake()
        self._gone[id] = (stream.owner, self._now())
        if len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def _sweep(self) -> None:
        """Drop what is past its time."""
        now = self._now()
        while (oldest := self._next()) is not None and self._ended[oldest].until <= now:
            self._drop(oldest)
        while self._gone and next(iter(self._gone.values()))[1] + REMEMBERED_S <= now:
            del self._gone[next(iter(self._gone))]

    def _next(self) -> str | None:
        """Return the ended stream whose time is over first."""
        first = (next(iter(queue)) for queue in self._queues.values() if queue)
        return min(first, key=lambda each: self._ended[each].until, default=None)

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and (oldest := self._next()) is not None:
            self._drop(oldest)
        while self._bytes > self._max_bytes and self._running:
            largest = max(self._running.values(), key=lambda stream: stream.bytes)
            freed = largest.drop_half()
            if not freed:
                break
            self._bytes -= freed


class _StoredStream:
    """One stream: its records, and what is known of it."""

    def __init__(self, owner: bytes, request: bytes, lease_until: float, keep_s: float) -> None:
        self.owner = owner
        self.request = request
        self.start = 0
        self.last = 0
        self.bytes = _STREAM + len(request)
        self.lease = 1
        self.lease_until = lease_until
        self.keep_s = keep_s
        self.watched_until = 0.0
        self.until = 0.0  # after its end: when its time is over
        self.records: deque[tuple[int, Any, int]] = deque()  # number, data, bytes
        self.changed: asyncio.Event | None = None  # while a task waits for it

    async def change(self) -> None:
        """Wait for the next record, or until the stream is dropped."""
        if self.changed is None:
            self.changed = asyncio.Event()
        await self.changed.wait()

    def wake(self) -> None:
        """Wake the tasks that wait for a change."""
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    def after(self, after: int) -> tuple[list[Any], int]:
        """Return a page of the records after number *after*, and the number of the last of them."""
        first = bisect_right(self.records, after, key=_number)
        page = list(islice(self.records, first, first + PAGE))
        return [data for _, data, _ in page], page[-1][0] if page else after

    def drop_half(self) -> int:
        """Drop the older half of the records, never the last one. Returns how many bytes that frees."""
        freed = 0
        for _ in range(len(self.records) // 2):
            self.start, _, size = self.records.popleft()
            freed += size
        self.bytes -= freed
        return freed


def _number(record: tuple[int, Any, int]) -> int:
    return record[0]
