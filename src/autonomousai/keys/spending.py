"""What a key has used in its budget's period, and what is left of it, for administrators.

Of a key with a budget the counters say so, by which its requests are admitted; of another one the ledger does.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable
from typing import Any

from ..wires.redaction import redact
from .limits import NANO, UNLIMITED, Limits, Standing, bounds_of, period_of
from .records import KeyRecord
from .seeding import Spent
from .stores import CounterStore, CounterStoreError

_log = logging.getLogger("autonomousai.server")


class KeySpending:
    """*store*: the counters; *spent*: asks the ledger, None where there is none; ``now``: seconds since the epoch."""

    def __init__(self, store: CounterStore, spent: Spent | None, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._spent = spent
        self._now = now

    async def of(self, record: KeyRecord) -> dict[str, Any]:
        """Return the ``period`` and its end, ``until``; what was used of ``tokens`` and in US dollars, ``cost``; what is left
        of the budgets there are, without what answers under way have reserved; and how many are ``under_way``. What is counted
        nowhere is left out."""
        limits, now = Limits.of(record.policy), self._now()
        period = period_of(record.policy, now)
        begin, end = bounds_of(record.policy, now)
        usage: dict[str, Any] = {"period": period, "until": f"{dt.datetime.fromtimestamp(end, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"}
        has_budget = bool(limits.token_budget or limits.nano_budget)
        standing: Standing | None = None
        try:
            if limits != UNLIMITED:
                standing = await self._store.look(record.id, period)
            if has_budget and standing is not None:
                usage |= {"tokens": standing.spent_tokens, "cost": standing.spent_nano / NANO}
            elif self._spent is not None:
                usage["tokens"], usage["cost"] = await self._spent(record.name, max(begin, record.created))
        except CounterStoreError as error:
            _log.warning("what a key has used cannot be read: %s", redact(str(error)))
        if standing is not None:
            if limits.token_budget:
                left = limits.token_budget - standing.spent_tokens - standing.held_tokens
                usage["tokens_left"] = max(0, left)
            if limits.nano_budget:
                usage["budget_left"] = max(0, limits.nano_budget - standing.spent_nano - standing.held_nano) / NANO
            usage["under_way"] = standing.holds
        return usage
