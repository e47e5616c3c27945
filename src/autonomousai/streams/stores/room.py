"""How many bytes streams may take in a store that several servers share and that cannot tell. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import ceil
from typing import Final

from .store import StoreError

#: The time for which bytes are kept has so many parts; what was written in each is one number.
_PARTS: Final = 8

#: Bytes that a record takes beside its own, about.
_RECORD: Final = 50


class SharedRoom:
    """*max_bytes* for all servers, of what was written within *keep_s*. Past it, each drops those of its own streams that ended
    first; with none left, nothing more is taken."""

    def __init__(self, max_bytes: int, keep_s: float) -> None:
        self._max_bytes = max_bytes
        self._part_s = max(1, ceil(keep_s / _PARTS))
        self._others = 0  # bytes, as the store last told
        self._here = 0  # bytes written here since then
        self._part = 0
        self._running: dict[str, int] = {}  # bytes of the streams that are written here
        self._ended: deque[tuple[str, int, int]] = deque()  # with their bytes and the part of their end

    def check(self, size: int) -> None:
        """Raise `StoreError` where there is no room for *size* bytes more."""
        if self._others + self._here + size > self._max_bytes:
            raise StoreError("it is full; see resume.max_bytes")

    def add(self, id: str, size: int, *, ended: bool = False) -> None:
        """Count what was written of a stream."""
        size += _RECORD
        self._here += size
        self._running[id] = self._running.get(id, 0) + size
        if ended:
            self._ended.append((id, self._running.pop(id), self._part))

    def parts(self, second: int) -> range:
        """Return the numbers of the parts whose bytes are still kept in that second; the last is that of the second."""
        part = second // self._part_s
        if not self._part:  # what has ended before did so just now
            self._ended = deque((ended, size, part) for ended, size, _ in self._ended)
        self._part = part
        return range(self._part - _PARTS, self._part + 1)

    def take(self, written: Collection[str]) -> int:
        """Return the bytes that were written here since the last time. *written*: the streams that are written here now."""
        self._running = {each: size for each, size in self._running.items() if each in written}
        while self._ended and self._ended[0][2] < self._part - _PARTS:
            self._ended.popleft()
        here, self._here = self._here, 0
        return here

    def learn(self, total: int) -> list[str]:
        """Take in what all servers have written. Returns the streams to drop, which then count no more."""
        self._others = total
        dropped: list[str] = []
        while total > self._max_bytes and self._ended:
            ended, size, _ = self._ended.popleft()
            dropped.append(ended)
            total -= size
            self._here -= size  # told to the others with what is written next
        return dropped
