"""Reservations of requests, whose stores other servers share: each is settled once, however its request ends."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from autonomousai.keys.quotas import KeyQuotas
from autonomousai.keys.records import KeyRecord
from autonomousai.keys.stores import CounterStoreError, MemoryCounters
from autonomousai.request import ChatRequest
from autonomousai.settings import KeyPolicy
from tests.support.sockets import PATIENCE


class Ended(msgspec.Struct, frozen=True):
    """What the ledger notes of an answer."""

    id: str
    outcome: str = "ok"
    prompt_tokens: int = 5
    total_tokens: int = 7
    cost: float | None = 0.25
    cache: str | None = None


class Shared(MemoryCounters):
    """Counters that take their time, as those do which others share. ``asked``: set when a reservation is under way."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def reserve(self, *arguments: Any) -> Any:
        self.asked.set()
        await self.answers.wait()
        return await super().reserve(*arguments)


def record(**policy: Any) -> KeyRecord:
    return KeyRecord(id="key_1", name="shop", digest=b"", policy=KeyPolicy(**policy))


def asked(most: int = 100) -> ChatRequest:
    return ChatRequest("llama", [{"role": "user", "content": "Hello"}], {"max_tokens": most})


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def test_a_caller_who_leaves_while_it_is_reserved_holds_nothing():
    """The store finishes what it began, and then gives it back: of the window too."""
    store = Shared()
    quotas = KeyQuotas(store)
    shop = record(token_budget=1_000, tokens_per_minute=1_000, max_concurrency=1)
    leaving = asyncio.create_task(quotas.reserve(shop, "a", "llama", asked()))
    await store.asked.wait()

    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    store.answers.set()
    counters = store.keys["key_1"]
    await until(lambda: counters.period and not counters.holds)
    await quotas.aclose()

    assert (0, 0, 0) == (counters.spent_tokens, counters.held_tokens, counters.token_sum)


async def test_a_stream_that_is_taken_over_is_noted_and_renewed_by_a_server_that_had_no_request():
    """Else its answer would cost what it reserved, and its hold would end before it."""
    store, notes = Shared(), []
    first = KeyQuotas(store)
    store.answers.set()
    held = await first.reserve(record(token_budget=1_000), "a", "llama", asked())
    second = KeyQuotas(store, subscribe=notes.append)

    adopted = second.adopt(held.written(), held.record)
    for note in notes:
        note(Ended("a"))
    is_renewing = second._renewing is not None
    held.leave()
    adopted.settle()
    await first.aclose()
    await second.aclose()

    assert is_renewing
    assert 7 == store.keys["key_1"].spent_tokens


@pytest.mark.parametrize(
    ("entry", "tokens", "nano"),
    [
        (Ended("a"), 7, 250_000_000),
        (Ended("a", cost=None), 7, 0),
        (Ended("a", cache="hit"), 0, 0),
        (Ended("a", outcome="left", cache="hit", total_tokens=0), 0, 0),
        (Ended("a", cache="miss"), 7, 250_000_000),
    ],
)
async def test_what_an_answer_took(entry, tokens, nano):
    """Money too, for a budget that the key may get later; and nothing of what came from the cache."""
    store, notes = MemoryCounters(), []
    quotas = KeyQuotas(store, subscribe=notes.append)
    held = await quotas.reserve(record(token_budget=1_000), "a", "llama", asked())

    notes[0](entry)
    held.settle()

    counters = store.keys["key_1"]
    assert (tokens, nano, {}) == (counters.spent_tokens, counters.spent_nano, counters.holds)


async def test_a_new_key_with_a_deleted_ones_name_begins_with_nothing_of_it():
    """A key of the config has no time at which it was made: all of its name is its own."""
    asked_since = []

    async def spent(name: str, since: float) -> tuple[int, float]:
        asked_since.append(since)
        return 0, 0.0

    now = 1_790_000_000.0
    quotas = KeyQuotas(MemoryCounters(), spent=spent, now=lambda: now)
    shop = record(token_budget=10)
    await quotas.seed([shop, *(msgspec.structs.replace(shop, created=made) for made in (now - 5, 5.0))])

    begin, made, long_ago = asked_since
    assert (now - 5, begin) == (made, long_ago)
    assert begin < made


class Ledger:
    """A ledger that is away first. ``asked``: for which moments, once it is back."""

    def __init__(self) -> None:
        self.is_away = True
        self.asked: list[tuple[str, float, float | None]] = []

    async def __call__(self, name: str, since: float, until: float | None = None) -> tuple[int, float]:
        if self.is_away:
            raise CounterStoreError("away")
        self.asked.append((name, since, until))
        return 90, 0.5


async def test_a_budget_that_began_without_its_ledger_gets_what_was_spent(monkeypatch, caplog):
    """A server that is started while the ledger is away counts from nothing; when it is back, what was spent before is added,
    once."""
    monkeypatch.setattr("autonomousai.keys.seeding.AGAIN_S", 0)
    ledger, store = Ledger(), MemoryCounters(lambda: NOW)
    quotas = KeyQuotas(store, spent=ledger, now=lambda: NOW)
    shop = record(token_budget=100)
    await quotas.open([shop])
    alone = await quotas.reserve(shop, "a", "llama", asked(1))
    assert alone is not None
    quotas.note(Ended("a"))
    alone.settle()

    ledger.is_away = False
    await until(lambda: not quotas._seeds._owing)
    await quotas.seed([shop])
    standing = await store.look("key_1", "2027-01")
    await quotas.aclose()

    assert (97, NOW) == (standing.spent_tokens, ledger.asked[0][2])
    assert ["budgets begin without what was spent before: away", "budgets have what was spent before"] == caplog.messages


#: In January of 2027.
NOW = 1_800_000_000.0
