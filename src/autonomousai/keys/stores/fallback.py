"""Counters that others share, as long as they can be reached; while they cannot, this process counts by itself.

So a store that is away stops no request. Until it is back, each process admits up to the limits: with N of them, N times as
much a minute, and of a budget what each last knew to be left. What was spent meanwhile is added when the store is back: with
the first request that it takes again, or with the next renewal.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from ...outage import Outage
from ..limits import Decision, Demand, Limits, Standing
from .memory import MemoryCounters
from .store import CounterStore, CounterStoreError, Holds

_log = logging.getLogger("autonomousai.server")

#: Seconds after a failure in which the store is not asked.
AWAY_S: Final = 5.0

#: Ends of requests that wait for the store; of more, the reservation is what counts.
_MAX_LATE: Final = 10_000


class FallbackCounters:
    """*store*: that which is shared. ``clock``: monotonic seconds. ``outage``: whether it is away."""

    shared = True

    def __init__(self, store: CounterStore, *, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._local = MemoryCounters()
        self._away_until = 0.0
        self.outage = Outage("keys' limits are counted by each process for itself", "keys' limits are counted together again")
        #: What was spent of each key in each period, when the store last said so.
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        #: What was spent without the store, the reports of it that it may have, and ends of requests that it has not heard of.
        self._owed: dict[tuple[str, str], tuple[int, int]] = {}
        self._reports: deque[tuple[str, str, int, int, str]] = deque()
        self._late: deque[tuple[str, str, str, int, int, Decision]] = deque(maxlen=_MAX_LATE)
        self._catching_up = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self._store.open()

    async def aclose(self) -> None:
        await self._catch_up()
        await self._store.aclose()

    async def reserve(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision:
        if self._clock() >= self._away_until:
            try:
                decision = await self._store.reserve(key, period, limits, demand, hold)
            except CounterStoreError as error:
                self._note_away(error)
                # It may have heard of the hold all the same, and would spend it as a whole.
                self._late.append((key, period, hold, 0, 0, Decision()))
            else:
                self._note_back()
                spent, known = (decision.spent_tokens, decision.spent_nano), self._known.get((key, period), (0, 0))
                if period and any(known) and not any(spent):
                    await self._restore(key, period, known)
                else:
                    self._known[key, period] = spent
                return decision
        self._local.raise_to(key, period, *self._known.get((key, period), (0, 0)))
        decision = await self._local.reserve(key, period, limits, demand, hold)
        decision.is_local = True
        return decision

    async def _restore(self, key: str, period: str, known: tuple[int, int]) -> None:
        """Report what the store has lost: it was emptied, or began anew. Every server does so; the first report counts."""
        _log.warning("the counters of a key were lost: its budget continues with what was known here")
        try:
            await self._store.report(key, period, *known, f"lost {period}")
        except CounterStoreError as error:
            self._note_away(error)

    async def settle(self, key: str, period: str, hold: str, tokens: int, nano: int, decision: Decision) -> None:
        if decision.is_local:
            await self._local.settle(key, period, hold, tokens, nano, decision)
            owed_tokens, owed_nano = self._owed.get((key, period), (0, 0))
            self._owed[key, period] = (owed_tokens + tokens, owed_nano + nano)
            return
        try:
            await self._store.settle(key, period, hold, tokens, nano, decision)
        except CounterStoreError as error:
            self._note_away(error)
            self._late.append((key, period, hold, tokens, nano, decision))

    async def report(self, key: str, period: str, tokens: int, nano: int, name: str) -> None:
        await self._store.report(key, period, tokens, nano, name)

    async def renew(self, holds: Holds) -> None:
        await self._catch_up()
        try:
            await self._store.renew({hold: held for hold, held in holds.items() if not held[1].is_local})
        except CounterStoreError as error:
            self._note_away(error)

    async def look(self, key: str, period: str) -> Standing:
        if self._clock() >= self._away_until:
            try:
                return await self._store.look(key, period)
            except CounterStoreError as error:
                self._note_away(error)
        self._local.raise_to(key, period, *self._known.get((key, period), (0, 0)))
        return await self._local.look(key, period)

    async def seed(self, key: str, period: str, tokens: int, nano: int) -> None:
        self._known.setdefault((key, period), (tokens, nano))
        try:
            await self._store.seed(key, period, tokens, nano)
        except CounterStoreError as error:
            self._note_away(error)

    async def _catch_up(self) -> None:
        """Report to the store what was spent without it. Who stops waiting for that stops no report: it would be made again."""
        await asyncio.shield(self._begin_report())

    def _begin_report(self) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._report_alone())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _report_alone(self) -> None:
        async with self._catching_up:
            await self._report()

    async def _report(self) -> None:
        try:
            while self._late:
                await self._store.settle(*self._late[0])
                self._late.popleft()
            while self._reports or self._owed:
                if not self._reports:  # what is owed meanwhile is another report: the store may have this one
                    owed, self._owed = self._owed, {}
                    self._reports.extend((*where, *spent, secrets.token_hex(12)) for where, spent in owed.items() if any(spent))
                if self._reports:
                    await self._store.report(*self._reports[0])
                    self._reports.popleft()
        except CounterStoreError as error:
            self._note_away(error)

    def _note_away(self, error: CounterStoreError) -> None:
        self._away_until = self._clock() + AWAY_S
        self.outage.begin(error)

    def _note_back(self) -> None:
        if self.outage.is_on:
            self.outage.end()
            self._begin_report()  # a server that is killed from then on has reported it
