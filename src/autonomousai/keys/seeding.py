"""What keys had spent of their budgets before a server began to count: as the ledger has it. Where that is away, this process
begins without, and adds it once the ledger is back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from ..outage import Outage
from .limits import NANO, bounds_of, period_of
from .records import KeyRecord
from .stores.store import CounterStore, CounterStoreError

#: Seconds between two looks whether the ledger is back.
AGAIN_S: Final = 2.0


class Spent(Protocol):
    """Returns what a key's name has spent since a moment, and up to another: tokens, and US dollars."""

    def __call__(self, name: str, since: float, until: float | None = None, /) -> Awaitable[tuple[int, float]]: ...


class BudgetSeeds:
    """*spent*: asks the ledger, None where there is none; ``now``: seconds since the epoch."""

    def __init__(self, store: CounterStore, spent: Spent | None, now: Callable[[], float]) -> None:
        self._store = store
        self._spent = spent
        self._now = now
        self._outage = Outage("budgets begin without what was spent before", "budgets have what was spent before")
        #: By keys' ids, those whose budgets began without, and when.
        self._owing: dict[str, tuple[KeyRecord, float]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def seed(self, records: Iterable[KeyRecord]) -> None:
        """Let counters that are not there begin with what their keys have spent in their period."""
        if self._spent is None:
            return
        for record in records:
            policy = record.policy
            if (policy.budget is None and policy.token_budget is None) or record.id in self._owing:
                continue
            now = self._now()
            try:
                tokens, money = await self._spent(record.name, _since(record, now))
                await self._store.seed(record.id, period_of(policy, now), tokens, round(money * NANO))
            except CounterStoreError as error:
                self._outage.begin(error)
                if not self._store.shared:  # what others share outlives a server
                    self._owing[record.id] = (record, now)
        if self._owing and self._asking is None:
            self._asking = asyncio.create_task(self._ask_again(self._spent))

    async def _ask_again(self, spent: Spent) -> None:
        while self._owing:
            await asyncio.sleep(AGAIN_S)
            try:
                for key, (record, began) in list(self._owing.items()):
                    period = period_of(record.policy, began)
                    if period == period_of(record.policy, self._now()):
                        tokens, money = await spent(record.name, _since(record, began), began)
                        await self._store.report(key, period, tokens, round(money * NANO), secrets.token_hex(12))
                    del self._owing[key]
            except CounterStoreError:
                continue
        self._asking = None
        self._outage.end()

    async def aclose(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


def _since(record: KeyRecord, now: float) -> float:
    """Return the moment from which on a key's spending counts: a deleted key may have had its name before."""
    return max(bounds_of(record.policy, now)[0], record.created)
