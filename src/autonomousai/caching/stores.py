"""Where answers are kept that may be given again: the interface, and this process's memory. Knows keys and bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

#: Bytes that an entry takes in memory beside its data, about: its key, and its place in the order.
_ENTRY: Final = 250


class CacheError(Exception):
    """The store cannot be reached."""


class CacheStore(Protocol):
    """A store of answers. Both methods raise `CacheError` where it cannot be reached."""

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under *key*; None where nothing is, or its time is over."""

    async def set(self, key: str, data: bytes) -> None:
        """Keep *data* under *key* for the time that the store was made with."""

    async def aclose(self) -> None:
        """Close the store."""


class MemoryCache:
    """Answers in this process, at most *max_bytes* of them: the one that was given longest ago makes room.

    Example::

        async def keep():
            store = MemoryCache(ttl_s=60, max_bytes=1000)
            await store.set("a", b"data")
            assert await store.get("a") == b"data"
    """

    def __init__(self, *, ttl_s: float, max_bytes: int, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._now = now
        self._bytes = 0
        #: By key, until when, and what; the one that was given longest ago first.
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._now():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[1]

    async def set(self, key: str, data: bytes) -> None:
        if key in self._kept:
            self._drop(key)
        self._kept[key] = self._now() + self._ttl_s, data
        self._bytes += len(data) + _ENTRY
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    async def aclose(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def _drop(self, key: str) -> None:
        _, data = self._kept.pop(key)
        self._bytes -= len(data) + _ENTRY
