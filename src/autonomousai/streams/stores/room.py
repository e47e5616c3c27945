"""How many bytes streams may take in a store that several servers share and that cannot tell. No I/O.

What is written is counted in numbers that the servers share: one for each *part* of the time for which it is kept, and for each
such time. All times are whole milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final, NamedTuple, TypeAlias

from .store import StoreFullError

#: The time for which bytes are kept has so many parts; what was written in each is one number.
_PARTS: Final = 8

#: Bytes that a record takes beside its own, about.
_RECORD: Final = 50

#: How long bytes are kept, and the number of the part in which they were written.
Part: TypeAlias = tuple[int, int]


class _Written(NamedTuple):
    """A stream that was written here: its bytes, how long it is kept, and when it ended."""

    id: str
    size: int
    keep: int
    ended: int = 0

    @property
    def part(self) -> Part:
        """Return where it is counted: it took little time."""
        return self.keep, self.ended // _part_of(self.keep)


class SharedRoom:
    """*max_bytes* for all servers, of what was written within the time that it is kept for. Past it, each drops ended streams
    of its own, the next to go first; with none left, nothing more is taken. *keeps*: the times that there are."""

    def __init__(self, max_bytes: int, *keeps: int) -> None:
        self._max_bytes = max_bytes
        self._now = 0  # as the store last told
        self._others = 0  # bytes, as the store last told
        self._here: Counter[int] = Counter()  # bytes written here since then, by how long they are kept
        self._freed: Counter[Part] = Counter()  # bytes dropped here since then
        self._running: dict[str, _Written] = {}
        self._just_ended: dict[str, _Written] = {}  # since then
        self._ended: dict[int, dict[str, _Written]] = {keep: {} for keep in keeps}  # by that time, in the order of their ends

    def check(self, size: int) -> None:
        """Raise `StoreFullError` where there is no room for *size* bytes more."""
        if self._others + self._here.total() - self._freed.total() + size > self._max_bytes:
            raise StoreFullError("it is full; see resume.max_bytes")

    def add(self, id: str, size: int, keep: int, *, ended: bool = False) -> None:
        """Count what was written of a stream, which is kept for *keep* after its end."""
        size += _RECORD
        self._here[keep] += size
        self._ended.setdefault(keep, {})
        before = self._running.pop(id, None)
        written = _Written(id, size + (before.size if before is not None else 0), keep)
        (self._just_ended if ended else self._running)[id] = written

    def drop(self, id: str) -> None:
        """Count no more what was written here of a stream, which was dropped."""
        written = self._running.pop(id, None) or self._just_ended.pop(id, None)
        if written is not None:
            self._here[written.keep] -= written.size
        for queue in self._ended.values():
            if (ended := queue.pop(id, None)) is not None:
                self._freed[ended.part] += ended.size

    def tell(self, now: int, running: Collection[str]) -> dict[Part, int]:
        """Return by how much the shared numbers have changed here since the last time. *running*: what is written here now."""
        self._now = now
        self._running = {each: written for each, written in self._running.items() if each in running}
        for each, written in self._just_ended.items():
            self._ended[written.keep][each] = written._replace(ended=now)
        self._just_ended.clear()
        counted = set(self.parts())
        for queue in self._ended.values():
            while queue and (first := next(iter(queue.values()))).part not in counted:
                del queue[first.id]
        changes = Counter({(keep, now // _part_of(keep)): size for keep, size in self._here.items()})
        changes.subtract(self._freed)
        self._here.clear()
        self._freed.clear()
        return {part: change for part, change in changes.items() if change}

    def parts(self) -> list[Part]:
        """Return the parts whose bytes are still kept."""
        ends = {keep: self._now // _part_of(keep) for keep in self._ended}
        return [(keep, part) for keep, end in ends.items() for part in range(end - _PARTS, end + 1)]

    def learn(self, total: int) -> list[str]:
        """Take in what all servers have written. Returns the streams to drop, which then count no more."""
        self._others = total
        dropped: list[str] = []
        while total > self._max_bytes and (firsts := [next(iter(queue.values())) for queue in self._ended.values() if queue]):
            first = min(firsts, key=lambda written: written.ended + written.keep)
            self.drop(first.id)
            dropped.append(first.id)
            total -= first.size
        return dropped


def _part_of(keep: int) -> int:
    """Return how long a part is."""
    return max(1000, -(-keep // _PARTS))
