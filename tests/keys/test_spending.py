"""What a key has used and what is left of it, as administrators read it."""

from __future__ import annotations

import pytest

from autonomousai.keys.limits import NANO, Demand, Limits
from autonomousai.keys.records import KeyRecord
from autonomousai.keys.spending import KeySpending
from autonomousai.keys.stores import CounterStoreError, MemoryCounters
from autonomousai.settings import KeyPolicy

#: The 15th of January 2027, noon, in UTC.
NOW = 1_800_014_400.0


def now() -> float:
    return NOW


async def ledger(name: str, since: float) -> tuple[int, float]:
    return 700, 1.25


def record(created: float = 0.0, **policy) -> KeyRecord:
    return KeyRecord(id="k", name="shop", digest=b"", policy=KeyPolicy(**policy), created=created)


@pytest.fixture
async def store() -> MemoryCounters:
    """Counters that have an answer that was, and one under way."""
    counters = MemoryCounters(now)
    limits = Limits(token_budget=10_000, nano_budget=10 * NANO)
    held = await counters.reserve("k", "2027-01", limits, Demand(100, 100), "a")
    await counters.settle("k", "2027-01", "a", 60, NANO // 2, held)
    await counters.reserve("k", "2027-01", limits, Demand(40, 40, NANO, NANO), "b")
    return counters


async def test_a_budget_is_shown_by_the_counters(store):
    """By which requests are admitted; what is reserved is not left."""
    used = await KeySpending(store, ledger, now=now).of(record(token_budget=1_000, budget=4.0))

    assert {
        "period": "2027-01",
        "until": "2027-02-01T00:00:00Z",
        "tokens": 60,
        "cost": 0.5,
        "tokens_left": 900,
        "budget_left": 2.5,
        "under_way": 1,
    } == used


async def test_without_a_budget_the_ledger_is_asked(store):
    """From the begin of the month on, or since the key was made."""
    asked = []

    async def spent(name: str, since: float) -> tuple[int, float]:
        asked.append(since)
        return await ledger(name, since)

    spending = KeySpending(store, spent, now=now)
    used = [await spending.of(each) for each in (record(), record(NOW - 5, requests_per_minute=3))]

    month = {"period": "2027-01", "until": "2027-02-01T00:00:00Z", "tokens": 700, "cost": 1.25}
    assert [month, {**month, "under_way": 1}] == used
    assert [NOW - 14.5 * 24 * 3600, NOW - 5] == asked


async def test_what_is_counted_nowhere_is_left_out(store, caplog):
    """Neither a ledger that is away nor none is a reason to say nothing of the rest."""

    async def away(name: str, since: float) -> tuple[int, float]:
        raise CounterStoreError("away")

    limited = record(requests_per_minute=3)
    without = await KeySpending(store, None, now=now).of(limited)
    failing = await KeySpending(store, away, now=now).of(limited)

    assert {"period": "2027-01", "until": "2027-02-01T00:00:00Z", "under_way": 1} == without == failing
    assert ["what a key has used cannot be read: away"] == [each.getMessage() for each in caplog.records]


async def test_a_budget_that_is_overdrawn_has_nothing_left(store):
    """And not less than nothing."""
    used = await KeySpending(store, ledger, now=now).of(record(token_budget=50, budget=0.25))

    assert (0, 0.0) == (used["tokens_left"], used["budget_left"])
