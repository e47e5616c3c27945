"""Counters in this process alone."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from math import inf

from ..counters import KeyCounters
from ..limits import Decision, Demand, Limits, Standing
from .store import Holds


class MemoryCounters:
    """``now``: seconds since the epoch. ``keys``: the counters of each."""

    shared = False

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.keys: defaultdict[str, KeyCounters] = defaultdict(KeyCounters)

    async def open(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    def reserve_now(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision:
        """Reserve as `CounterStore.reserve` does, at once."""
        return self.keys[key].reserve(self._now(), period, limits, demand, hold, inf)

    async def reserve(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision:
        return self.reserve_now(key, period, limits, demand, hold)

    async def settle(self, key: str, period: str, hold: str, tokens: int, nano: int, decision: Decision) -> None:
        self.keys[key].settle(self._now(), period, hold, tokens, nano, decision)

    async def report(self, key: str, period: str, tokens: int, nano: int, name: str) -> None:
        self.keys[key].report(self._now(), period, tokens, nano)

    async def renew(self, holds: Holds) -> None:
        now = self._now()
        for hold, (key, _) in holds.items():
            self.keys[key].renew(now, hold, inf)

    async def look(self, key: str, period: str) -> Standing:
        return self.keys[key].look(self._now(), period)

    def raise_to(self, key: str, period: str, tokens: int, nano: int) -> None:
        """Let at least so much be spent of a key in *period*."""
        self.keys[key].raise_to(period, tokens, nano)

    async def seed(self, key: str, period: str, tokens: int, nano: int) -> None:
        self.keys[key].seed(period, tokens, nano)
