"""One timer for the deadlines of many connections: a sweep looks at each of them now and then.

A timer for each request costs more than the look; and a deadline that is a number can be moved by assignment.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

#: Seconds between two sweeps, unless a deadline is nearer.
INTERVAL_S: Final = 0.25

#: Seconds by which a sweep may be late before the event loop itself is suspected to have stood still.
LATE_S: Final = 0.25


class Swept(Protocol):
    """What a sweep looks at."""

    def look(self, now: float) -> None:
        """Act on deadlines that lie before *now*, the event loop's time."""


class Sweep:
    """Calls `look` of each of its items every quarter of a second, in the running event loop, as long as there are any. Where
    there are none any more, the timer is left to run out: a next one may come before.

    After the event loop stood still, nothing is looked at once: what came meanwhile has not been read yet, and its sender would
    be blamed for the delay. Once, and not as long as the loop is slow: a flood that makes it so must not escape its deadline.
    """

    __slots__ = ("_handle", "_interval", "_items", "_loop", "_was_late", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float = INTERVAL_S) -> None:
        self._loop = loop
        self._interval = interval
        self._items: dict[Swept, None] = {}
        self._handle: asyncio.TimerHandle | None = None
        self.due = 0.0
        self._was_late = False

    def add(self, item: Swept) -> None:
        """Look at *item* from now on."""
        self._items[item] = None
        if self._handle is None:
            self._arm(self._loop.time() + self._interval)

    def discard(self, item: Swept) -> None:
        """Look at *item* no more."""
        self._items.pop(item, None)

    def stop(self) -> None:
        """Let no timer run, where nothing is to be looked at."""
        if not self._items and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def by(self, when: float) -> None:
        """Sweep at the loop's time *when*, if none is due before."""
        if self._handle is not None and when < self.due:
            self._handle.cancel()
            self._arm(when)

    def _arm(self, when: float) -> None:
        self.due = when
        self._handle = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        if not self._items:
            self._handle = None
            return
        now = self._loop.time()
        self._was_late = late = now - self.due > LATE_S and not self._was_late
        self._arm(now + self._interval)
        if not late:
            for item in list(self._items):
                item.look(now)
