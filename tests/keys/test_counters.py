"""The rules of limits, in each store: what is admitted, what is refused and for how long, and what an end gives back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from autonomousai.keys.limits import Decision, Demand, Limits, Standing
from autonomousai.keys.stores import CounterStore, CounterStoreError, FallbackCounters, MemoryCounters
from autonomousai.keys.stores.redis import RedisCounters
from autonomousai.keys.stores.sqlite import SqliteCounters
from tests.support.redis import redis_server
from tests.support.sockets import PATIENCE

#: As many servers as the tests of races have, and requests at each of them.
SERVERS, EACH = 10, 30

MONTH = "2027-01"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[CounterStore]]:
    """The same counters, as ten servers have them; in memory there is one server."""
    made: list[CounterStore]
    if request.param == "memory":
        made = [MemoryCounters()]
    elif request.param == "sqlite":
        made = [SqliteCounters(str(tmp_path / "state")) for _ in range(SERVERS)]
    else:
        url = request.getfixturevalue("redis_url")
        made = [RedisCounters(url, timeout_s=PATIENCE) for _ in range(SERVERS)]
    async with AsyncExitStack() as stack:
        for store in made:
            await store.open()
            stack.push_async_callback(store.aclose)
        yield made


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of each test's own, as they share a Redis."""
    return request.node.name


async def race(stores: list[CounterStore], key: str, limits: Limits, demand: Demand) -> list[Decision]:
    """Let all servers' requests come at once, and return what was decided of each."""
    return await asyncio.gather(
        *(
            store.reserve(key, MONTH, limits, demand, f"{server}-{number}")
            for server, store in enumerate(stores)
            for number in range(EACH)
        )
    )


def admitted(decisions: list[Decision]) -> list[Decision]:
    return [each for each in decisions if not each.refused]


@pytest.mark.parametrize(
    ("limits", "demand", "expected", "refusal"),
    [
        (Limits(requests=25), Demand(), 25, "requests"),
        (Limits(concurrency=7), Demand(), 7, "concurrency"),
        (Limits(tokens=1_000), Demand(60, 60), 16, "tokens"),
        (Limits(token_budget=1_000), Demand(60, 60), 16, "token_budget"),
        (Limits(token_budget=2**53 - 1), Demand(2**50, 2**50), 7, "token_budget"),
        (Limits(nano_budget=10**15), Demand(0, 0, 10**14, 10**14), 10, "budget"),
    ],
)
async def test_never_more_than_the_limit_is_admitted(stores, key, limits, demand, expected, refusal):
    """However many servers ask at the same moment: exactly as much as there is."""
    decisions = await race(stores, key, limits, demand)

    assert min(expected, len(decisions)) == len(admitted(decisions))
    assert {refusal} == {each.refused for each in decisions if each.refused}


async def test_what_may_be_less_is_what_is_left(stores, key):
    """A request that does not say how much it needs gets the rest, and the sum is the limit."""
    decisions = await race(stores, key, Limits(token_budget=1_000), Demand(10, 300))

    assert 1_000 == sum(each.tokens for each in decisions)
    assert [100, 300, 300, 300] == sorted(each.tokens for each in admitted(decisions))


async def test_an_end_gives_back_what_was_not_used(stores, key):
    """Of the window, of the budget, and of those under way."""
    first, last = stores[0], stores[-1]
    limits = Limits(tokens=1_000, concurrency=1, token_budget=1_000, nano_budget=1_000)

    held = await first.reserve(key, MONTH, limits, Demand(900, 900, 900, 900), "a")
    refused = await last.reserve(key, MONTH, limits, Demand(900, 900, 900, 900), "b")
    await last.settle(key, MONTH, "a", 100, 10, held)
    again = await first.reserve(key, MONTH, limits, Demand(900, 900, 900, 900), "c")

    assert ("", "concurrency", "") == (held.refused, refused.refused, again.refused)
    assert (100, 10, 0) == (again.spent_tokens, again.spent_nano, again.tokens_left)


async def test_an_end_that_took_more_than_was_reserved_counts_as_it_was(stores, key):
    """An estimate may be too low: the next request is refused sooner."""
    store = stores[0]
    limits = Limits(tokens=1_000, token_budget=10_000)

    held = await store.reserve(key, MONTH, limits, Demand(10, 10), "a")
    await store.settle(key, MONTH, "a", 995, 0, held)
    next_one = await store.reserve(key, MONTH, limits, Demand(10, 10), "b")

    assert ("tokens", 995, 5) == (next_one.refused, next_one.spent_tokens, next_one.tokens_left)
    assert 1 <= next_one.wait <= 61


async def test_a_refusal_changes_nothing(stores, key):
    """Neither the window nor the holds: a caller who asks on and on keeps nothing filled."""
    store = stores[0]
    limits = Limits(requests=1)
    await store.reserve(key, MONTH, limits, Demand(), "a")

    refused = [await store.reserve(key, MONTH, limits, Demand(), f"b{number}") for number in range(5)]

    assert {"requests"} == {each.refused for each in refused}
    assert 1 == len({each.wait for each in refused} - {refused[0].wait - 1})


async def test_what_never_fits_says_so(stores, key):
    """A request that is larger than a whole minute's limit waits for nothing."""
    refused = await stores[0].reserve(key, MONTH, Limits(tokens=100), Demand(101, 101), "a")

    assert ("tokens", -1) == (refused.refused, refused.wait)


async def test_a_budget_that_is_held_is_not_spent(stores, key):
    """What answers under way may leave is waited for; what is spent is not."""
    store = stores[0]
    limits = Limits(token_budget=100)
    held = await store.reserve(key, MONTH, limits, Demand(80, 80), "a")

    waits = await store.reserve(key, MONTH, limits, Demand(50, 50), "b")
    await store.settle(key, MONTH, "a", 80, 0, held)
    spent = await store.reserve(key, MONTH, limits, Demand(50, 50), "c")

    assert [("token_budget", 1), ("token_budget", 0)] == [(each.refused, each.wait) for each in (waits, spent)]


async def test_a_new_period_begins_with_nothing_spent(stores, key):
    """And an answer that is under way then counts in the period in which it ends."""
    store = stores[0]
    limits = Limits(token_budget=100)
    held = await store.reserve(key, "2027-01-31", limits, Demand(90, 90), "a")

    next_day = await store.reserve(key, "2027-02-01", limits, Demand(10, 10), "b")
    await store.settle(key, "2027-02-01", "a", 90, 0, held)
    full = await store.reserve(key, "2027-02-01", limits, Demand(10, 10), "c")

    assert ("", 0, "token_budget") == (next_day.refused, next_day.spent_tokens, full.refused)


async def test_an_answer_from_before_a_budget_does_not_begin_it_anew(stores, key):
    """It was reserved without one, and ends after the counters began with what the ledger has."""
    store = stores[0]
    held = await store.reserve(key, "", Limits(tokens=100), Demand(10, 10), "a")
    await store.seed(key, MONTH, 95, 0)

    await store.settle(key, "", "a", 2, 0, held)
    refused = await store.reserve(key, MONTH, Limits(token_budget=100), Demand(10, 10), "b")

    assert ("token_budget", 97) == (refused.refused, refused.spent_tokens)


DAY = "2027-01-31"


async def spend(store: CounterStore, key: str, period: str, tokens: int) -> None:
    """Let an answer begin and end."""
    held = await store.reserve(key, period, Limits(token_budget=1_000), Demand(tokens, tokens), "spend")
    await store.settle(key, period, "spend", tokens, tokens, held)


async def spent_in(store: CounterStore, key: str, period: str) -> tuple[int, int]:
    """Return what a request of that period would read: the tokens and the money spent in it."""
    refused = await store.reserve(key, period, Limits(token_budget=1_000), Demand(5_000, 5_000), "spent_in")
    return refused.spent_tokens, refused.spent_nano


@pytest.mark.parametrize(("before", "after"), [(DAY, MONTH), (MONTH, DAY)])
async def test_an_answer_from_before_a_change_of_the_period_does_not_begin_it_anew(stores, key, before, after):
    """It ends by the policy that it began with, and counts in the period that holds now."""
    store = stores[0]
    held = await store.reserve(key, before, Limits(token_budget=1_000), Demand(10, 10), "a")
    await store.seed(key, after, 400, 40)

    await store.settle(key, before, "a", 7, 1, held)

    assert (407, 41) == await spent_in(store, key, after)


@pytest.mark.parametrize(("before", "after"), [(DAY, MONTH), (MONTH, DAY)])
async def test_servers_that_learn_of_a_change_one_after_the_other_reset_nothing(stores, key, before, after):
    """Requests by the policy before and by the one after come in turns, and each spends of both periods."""
    first, last = stores[0], stores[-1]
    await spend(first, key, before, 100)
    await first.seed(key, after, 400, 400)

    for _ in range(2):
        await spend(last, key, before, 5)
        await spend(first, key, after, 20)
    await last.seed(key, after, 400, 400)

    assert (450, 450) == await spent_in(first, key, after)
    assert (150, 150) == await spent_in(last, key, before)
    assert (450, 450) == await spent_in(last, key, after)


async def test_a_budgets_period_is_changed_and_back(stores, key):
    """What was spent of the day while there was a budget of the month is counted; of another day, nothing is."""
    store = stores[0]
    await spend(store, key, DAY, 100)
    await spend(store, key, MONTH, 20)

    same_day = await spent_in(store, key, DAY)
    await spend(store, key, "2027-02", 5)
    next_day = await spent_in(store, key, "2027-02-01")

    assert ((120, 120), (0, 0)) == (same_day, next_day)


async def test_a_budget_that_some_servers_do_not_know_yet_is_not_begun_anew(stores, key):
    """Nor is one that some still know: their requests come without a period, or with one, for a second."""
    first, last = stores[0], stores[-1]
    await first.seed(key, MONTH, 400, 40)
    held = await last.reserve(key, "", Limits(tokens=1_000), Demand(7, 7), "a")
    await last.settle(key, "", "a", 7, 0, held)

    assert (407, 40) == await spent_in(first, key, MONTH)


async def test_a_budget_that_comes_back_begins_with_what_was_spent_without_it(stores, key):
    """As the ledger has it, where that is more than was counted here."""
    store = stores[0]
    await spend(store, key, MONTH, 100)
    await store.reserve(key, "", Limits(requests=1_000), Demand(), "a")

    await store.seed(key, MONTH, 300, 50)

    assert (300, 100) == await spent_in(store, key, MONTH)


async def test_what_is_counted_can_be_looked_at(stores, key):
    """In each period, with what is held; and it begins no period, nor ends one."""
    first, last = stores[0], stores[-1]
    limits = Limits(token_budget=1_000, nano_budget=1_000)
    nothing = await last.look(key, MONTH)
    await spend(first, key, DAY, 100)
    await spend(first, key, MONTH, 20)
    await first.reserve(key, MONTH, limits, Demand(30, 30, 3, 3), "a")

    seen = [await last.look(key, period) for period in (MONTH, DAY, "2027-02", MONTH)]

    month = Standing(20, 20, 30, 3, 1)
    assert Standing() == nothing
    assert [month, Standing(120, 120, 30, 3, 1), Standing(0, 0, 30, 3, 1), month] == seen


async def test_an_end_that_is_heard_of_in_the_next_period_does_not_begin_the_one_before(stores, key):
    """A server that could not reach the store reports late what it spent."""
    store = stores[0]
    held = await store.reserve(key, DAY, Limits(token_budget=1_000), Demand(10, 10), "a")
    await spend(store, key, "2027-02-01", 300)

    await store.settle(key, DAY, "a", 10, 10, held)

    assert (310, 310) == await spent_in(store, key, "2027-02-01")


async def test_a_hold_whose_time_ran_out_is_spent_of_both_kinds_of_period(clock, tmp_path):
    """Its end, which comes late, puts both right."""
    store = SqliteCounters(str(tmp_path / "state"), clock)
    await store.open()
    limits = Limits(token_budget=1_000)
    await store.seed("k", DAY, 100, 0)
    held = await store.reserve("k", MONTH, limits, Demand(60, 60), "a")

    clock.now += 31
    lost = await spent_in(store, "k", DAY)
    await store.settle("k", MONTH, "a", 20, 0, held)
    spent = [await spent_in(store, "k", period) for period in (DAY, MONTH)]
    await store.aclose()

    assert ((160, 0), [(120, 0), (20, 0)]) == (lost, spent)


async def test_counters_begin_with_what_was_spent_before(stores, key):
    """Once: what is counted here already is not counted again."""
    store = stores[0]
    limits = Limits(token_budget=100)

    await store.seed(key, MONTH, 95, 0)
    refused = await store.reserve(key, MONTH, limits, Demand(10, 10), "a")
    await store.seed(key, MONTH, 0, 0)
    still = await store.reserve(key, MONTH, limits, Demand(10, 10), "b")

    assert ["token_budget", "token_budget"] == [refused.refused, still.refused]


async def test_a_hold_that_another_server_takes_over_is_settled_once(stores, key):
    """By the one that ends the answer; it stays a hold meanwhile."""
    first, last = stores[0], stores[-1]
    limits = Limits(token_budget=100, concurrency=1)
    held = await first.reserve(key, MONTH, limits, Demand(60, 60), "a")

    await last.renew({"a": (key, held)})
    full = await last.reserve(key, MONTH, limits, Demand(10, 10), "b")
    await last.settle(key, MONTH, "a", 20, 0, held)
    after = await first.reserve(key, MONTH, limits, Demand(10, 10), "c")

    assert ("concurrency", "", 20) == (full.refused, after.refused, after.spent_tokens)


async def test_a_renewal_that_is_late_holds_nothing_again(stores, key):
    """It was under way when the answer ended, perhaps from the server that began it: what is settled stays so."""
    first, last = stores[0], stores[-1]
    limits = Limits(token_budget=100, concurrency=1)
    held = await first.reserve(key, MONTH, limits, Demand(60, 60), "a")

    await last.settle(key, MONTH, "a", 20, 0, held)
    await first.renew({"a": (key, held)})
    after = await first.reserve(key, MONTH, limits, Demand(80, 80), "b")

    assert ("", 20) == (after.refused, after.spent_tokens)


async def test_a_hold_whose_time_ran_out_is_not_counted_twice(clock):
    """It is spent as a whole then, and its end puts that right, whether it was renewed in between or not."""
    store = MemoryCounters(clock)
    counters = store.keys["k"]
    held = counters.reserve(clock.now, MONTH, Limits(token_budget=100), Demand(60, 60), "a", 30.0)
    clock.now += 31
    lost = await store.reserve("k", MONTH, Limits(token_budget=100), Demand(), "b")

    await store.renew({"a": ("k", held)})
    await store.settle("k", MONTH, "a", 20, 0, held)

    assert (60, 20, 0) == (lost.spent_tokens, counters.spent_tokens, counters.held_tokens)


async def test_in_no_minute_more_is_admitted_than_the_limit_says(clock):
    """Wherever the minute begins: requests come as fast as they are admitted, for ten minutes."""
    store = MemoryCounters(clock)
    moments = []

    for tick in range(6_000):
        clock.now = 1_000_000.05 + tick / 10
        if not (await store.reserve("k", MONTH, Limits(requests=7), Demand(), str(tick))).refused:
            moments.append(clock.now)

    assert 7 == max(sum(begin <= each < begin + 60 for each in moments) for begin in moments)
    assert len(moments) >= 7 * 9


async def test_the_wait_that_is_said_is_enough(clock):
    """And one second less is not."""
    store = MemoryCounters(clock)
    limits = Limits(requests=2)
    for number in range(2):
        await store.reserve("k", MONTH, limits, Demand(), str(number))
        clock.now += 10
    refused = await store.reserve("k", MONTH, limits, Demand(), "x")

    clock.now += refused.wait - 1
    early = await store.reserve("k", MONTH, limits, Demand(), "y")
    clock.now += 1
    late = await store.reserve("k", MONTH, limits, Demand(), "z")

    assert ("requests", "requests", "") == (refused.refused, early.refused, late.refused)


async def test_what_a_server_held_that_is_gone_is_spent(clock, tmp_path):
    """Nothing tells how much of it was used, and the budget is not overrun; the place is free again."""
    store = SqliteCounters(str(tmp_path / "state"), clock)
    await store.open()
    limits = Limits(token_budget=100, concurrency=1)
    await store.reserve("k", MONTH, limits, Demand(60, 60), "a")

    clock.now += 31
    after = await store.reserve("k", MONTH, limits, Demand(10, 10), "b")
    await store.aclose()

    assert ("", 60) == (after.refused, after.spent_tokens)


async def test_what_a_server_held_that_is_gone_is_spent_in_redis_too(redis_url):
    """By Redis's own clock: asked until the lease is over."""
    store = RedisCounters(redis_url, lease_s=0.05, timeout_s=PATIENCE)
    limits = Limits(token_budget=100, concurrency=1)
    await store.reserve("gone", MONTH, limits, Demand(60, 60), "a")

    async with asyncio.timeout(PATIENCE):
        while (after := await store.reserve("gone", MONTH, limits, Demand(10, 10), "b")).refused:
            await asyncio.sleep(0)
    await store.aclose()

    assert 60 == after.spent_tokens


class Away:
    """A store that can be switched off."""

    shared = True

    def __init__(self) -> None:
        self.inner = MemoryCounters()
        self.is_away = False
        self.asked = 0

    def __getattr__(self, name: str):
        async def call(*arguments):
            self.asked += 1
            if self.is_away:
                raise CounterStoreError("away")
            return await getattr(self.inner, name)(*arguments)

        return call


async def test_the_store_hears_of_what_was_spent_as_soon_as_it_is_back(clock):
    """With the first request: a server that is killed after that has reported it."""
    away = Away()
    store = FallbackCounters(away, clock=clock)
    limits = Limits(token_budget=100)
    away.is_away = True
    alone = await store.reserve("k", MONTH, limits, Demand(60, 60), "a")
    await store.settle("k", MONTH, "a", 50, 0, alone)

    away.is_away = False
    clock.now += 6
    await store.reserve("k", MONTH, limits, Demand(1, 1), "b")
    await asyncio.gather(*store._tasks)

    assert 50 == (await away.inner.look("k", MONTH)).spent_tokens


async def test_a_report_that_is_under_way_at_the_end_is_made_once(clock):
    """Renewals stop with the server; the store may have taken what was being reported with one."""

    class Slow(Away):
        reported = None

        def __getattr__(self, name: str):
            call = super().__getattr__(name)

            async def late(*arguments):
                done = await call(*arguments)
                if name == "report" and self.reported is not None:
                    self.reported.set()
                    await asyncio.sleep(0.01)
                return done

            return late

    away = Slow()
    store = FallbackCounters(away, clock=clock)
    away.is_away = True
    alone = await store.reserve("k", MONTH, Limits(token_budget=100), Demand(60, 60), "a")
    await store.settle("k", MONTH, "a", 50, 0, alone)
    away.is_away, away.reported = False, asyncio.Event()

    renewing = asyncio.create_task(store.renew({}))
    await away.reported.wait()
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    await store.aclose()

    assert 50 == (await away.inner.look("k", MONTH)).spent_tokens


async def test_a_store_that_is_away_again_leaves_what_was_known_last(clock):
    """What others have spent between two outages is spent."""
    away = Away()
    store = FallbackCounters(away, clock=clock)
    limits = Limits(token_budget=100)
    away.is_away = True
    first = await store.reserve("k", MONTH, limits, Demand(1, 1), "a")
    await store.settle("k", MONTH, "a", 1, 0, first)
    away.is_away = False
    clock.now += 6
    await spend(away.inner, "k", MONTH, 90)
    await store.reserve("k", MONTH, limits, Demand(1, 1), "b")

    away.is_away = True
    again = await store.reserve("k", MONTH, limits, Demand(50, 50), "c")

    assert ("token_budget", True) == (again.refused, again.is_local)


async def test_while_the_store_is_away_each_server_counts_by_itself(clock, caplog):
    """Its limits hold for each alone, a budget begins with what was known, and the store hears later what was spent."""
    away = Away()
    store = FallbackCounters(away, clock=clock)
    limits = Limits(token_budget=100)
    held = await store.reserve("k", MONTH, limits, Demand(30, 30), "a")
    await store.settle("k", MONTH, "a", 30, 0, held)
    known = await store.reserve("k", MONTH, limits, Demand(10, 10), "b")

    away.is_away = True
    alone = [await store.reserve("k", MONTH, limits, Demand(60, 60), name) for name in "cd"]
    asked = away.asked
    await store.settle("k", MONTH, "c", 50, 0, alone[0])
    await store.settle("k", MONTH, "b", 10, 0, known)
    away.is_away = False
    clock.now += 6
    await store.renew({})
    back = await store.reserve("k", MONTH, limits, Demand(11, 11), "e")

    assert [("", True), ("token_budget", True)] == [(each.refused, each.is_local) for each in alone]
    assert 4 == asked, "the second request did not ask a store that is known to be away"
    assert ("token_budget", 90) == (back.refused, back.spent_tokens)
    assert 2 == len(caplog.records)


async def test_while_the_store_is_away_what_is_known_can_be_looked_at(clock):
    """It is what this server admits requests by."""
    away = Away()
    store = FallbackCounters(away, clock=clock)
    await store.seed("k", MONTH, 30, 3)

    near = await store.look("k", MONTH)
    away.is_away = True
    alone = [await store.look("k", MONTH) for _ in range(2)]

    assert [Standing(30, 3)] * 3 == [near, *alone]


async def test_a_store_that_reserved_without_saying_so_gives_it_back(clock):
    """A command that was not answered in time is carried out all the same: here it is counted by this server alone."""
    away = Away()
    store = FallbackCounters(away, clock=clock)
    limits = Limits(token_budget=100)
    away.is_away = True
    alone = await store.reserve("k", MONTH, limits, Demand(60, 60), "a")
    await away.inner.reserve("k", MONTH, limits, Demand(60, 60), "a")

    away.is_away = False
    await store.settle("k", MONTH, "a", 7, 0, alone)
    await store.renew({})
    counters = away.inner.keys["k"]

    assert (7, 0, {}) == (counters.spent_tokens, counters.held_tokens, counters.holds)


class Ailing(RedisCounters):
    """Counters in Redis, which may be ``"away"``, or ``"deaf"``: then it does what it is asked, and its replies are lost."""

    ails = ""

    async def _call(self, script, key, *arguments):
        done = None if self.ails == "away" else await super()._call(script, key, *arguments)
        if self.ails:
            raise CounterStoreError("no answer")
        return done


@pytest.fixture
async def ailing(redis_url: str) -> AsyncIterator[Ailing]:
    store = Ailing(redis_url, timeout_s=PATIENCE)
    yield store
    await store.aclose()


async def test_an_end_whose_reply_was_lost_counts_once(ailing, clock, key):
    """A Redis that stood still does what it was asked, after the server has given it up: what others spent stays."""
    store = FallbackCounters(ailing, clock=clock)
    limits = Limits(tokens=10_000, token_budget=10_000, nano_budget=10_000)
    await spend(ailing, key, MONTH, 500)
    held = await store.reserve(key, MONTH, limits, Demand(400, 400, 400, 400), "a")

    ailing.ails = "deaf"
    await store.settle(key, MONTH, "a", 7, 7, held)
    await store.renew({})
    ailing.ails = ""
    await store.renew({})
    after = await ailing.reserve(key, MONTH, limits, Demand(1, 1, 1, 1), "b")

    assert Standing(507, 507, 1, 1, 1) == await ailing.look(key, MONTH)
    assert 10_000 - 7 - 1 == after.tokens_left


async def test_a_report_whose_reply_was_lost_counts_once(ailing, clock, key):
    """And what is spent without Redis after that is in another one."""
    store = FallbackCounters(ailing, clock=clock)

    async def spend_alone(hold: str, tokens: int) -> None:
        ailing.ails = "away"
        alone = await store.reserve(key, MONTH, Limits(token_budget=10_000), Demand(60, 60), hold)
        await store.settle(key, MONTH, hold, tokens, tokens, alone)

    await spend_alone("a", 50)
    store._late.clear()  # of the reservation: it would come before the report
    ailing.ails = "deaf"
    for _ in range(2):
        await store.renew({})
    await spend_alone("b", 5)
    ailing.ails = ""
    await store.renew({})

    assert Standing(55, 55, 0, 0, 0) == await ailing.look(key, MONTH)


async def test_what_was_spent_without_the_store_fills_no_minute(stores, key):
    """It may be of an hour ago: the budget counts it, and the tokens of this minute do not."""
    store, limits = stores[0], Limits(tokens=1_000, token_budget=100_000)
    await store.reserve(key, MONTH, limits, Demand(10, 10), "a")

    await store.report(key, MONTH, 50_000, 0, "report")
    after = await store.reserve(key, MONTH, limits, Demand(10, 10), "b")

    assert ("", 50_000, 980) == (after.refused, after.spent_tokens, after.tokens_left)


async def test_a_budget_continues_where_redis_has_lost_it(redis_url, key, clock, caplog):
    """It was emptied, or came back without what it had: each server knows what was spent, and one of them says so."""
    limits = Limits(token_budget=1_000)
    made = [RedisCounters(redis_url, timeout_s=PATIENCE) for _ in range(2)]
    servers = [FallbackCounters(store, clock=clock) for store in made]
    await spend(made[0], key, MONTH, 700)
    for number, server in enumerate(servers):
        await server.settle(
            key, MONTH, f"a{number}", 0, 0, await server.reserve(key, MONTH, limits, Demand(1, 1), f"a{number}")
        )

    for _ in range(2):
        async with Redis.from_url(redis_url) as redis:
            await redis.delete(*[each for each in await redis.keys("*") if key.encode() in each])
        for number, server in enumerate(servers):
            await server.reserve(key, MONTH, limits, Demand(1, 1), f"b{number}")
        assert Standing(700, 700, 2, 0, 2) == await servers[1].look(key, MONTH)
    refused = await servers[0].reserve(key, MONTH, limits, Demand(300, 300), "c")
    for server in servers:
        await server.aclose()

    assert "token_budget" == refused.refused
    assert 2 == sum("were lost" in record.message for record in caplog.records)


async def test_what_a_server_held_that_is_gone_is_put_right_once(redis_url, key):
    """Its time ran out, so that all of it is spent; its end, which comes late and twice, takes back what was not used."""
    store = RedisCounters(redis_url, lease_s=0.001, timeout_s=PATIENCE)
    limits = Limits(token_budget=1_000)
    held = await store.reserve(key, MONTH, limits, Demand(60, 60), "a")
    await store.settle(key, MONTH, "other", 5, 0, held)

    async with asyncio.timeout(PATIENCE):
        while (lost := await store.look(key, MONTH)).holds:
            pass
    for _ in range(2):
        await store.settle(key, MONTH, "a", 20, 0, held)
    put_right = await store.look(key, MONTH)
    await store.aclose()

    assert (Standing(60), Standing(20)) == (lost, put_right)


async def test_redis_that_is_not_there_refuses_nothing(tmp_path):
    """A request waits for it at most five seconds, and is counted here."""
    store = FallbackCounters(RedisCounters(f"unix://{tmp_path}/none.sock"))
    await store.open()

    decisions = [await store.reserve("k", MONTH, Limits(requests=2), Demand(), str(number)) for number in range(3)]
    await store.aclose()

    assert ["", "", "requests"] == [each.refused for each in decisions]


@pytest.mark.parametrize("periods", [("2027-01-31", "2027-02-01"), ("2027-01", "2027-02")], ids=["days", "months"])
async def test_servers_whose_clocks_differ_lose_nothing_where_a_period_ends(stores, key, periods):
    """One is in the next day already, the other is not: each request is counted in its own, however they take turns."""
    before, after = periods
    for period in (before, after, before, after, before):
        await spend(stores[0], key, period, 60)
    limits = Limits(token_budget=200)

    refused = [(await stores[-1].reserve(key, period, limits, Demand(100, 100), period)).refused for period in (before, after)]

    assert ["token_budget", "token_budget"] == refused
    assert [(180, 180), (120, 120)] == [await spent_in(stores[0], key, period) for period in periods]


@pytest.mark.parametrize(
    "store_of", [lambda clock, _: MemoryCounters(clock), lambda clock, path: SqliteCounters(str(path), clock)]
)
@pytest.mark.parametrize("seconds", [5, 3_600, 40 * 86_400])
async def test_a_clock_that_is_set_back_fills_no_minute_for_longer(clock, tmp_path, seconds, store_of):
    """What was counted in a time that is to come leaves the window a minute after the change."""
    store = store_of(clock, tmp_path / "state")
    await store.open()
    limits = Limits(requests=2, tokens=100)
    for hold in "ab":
        await store.reserve("k", "", limits, Demand(50, 50), hold)

    clock.now -= seconds
    full = await store.reserve("k", "", limits, Demand(50, 50), "c")
    clock.now += 61
    free = await store.reserve("k", "", limits, Demand(50, 50), "d")
    await store.aclose()

    assert ("requests", 61, "", 1) == (full.refused, full.wait, free.refused, free.requests_left)


async def test_redis_forgets_a_minute_that_is_to_come(redis_url):
    """Its clock was set back: what is counted later than now counts as of now."""
    store, limits = RedisCounters(redis_url, timeout_s=PATIENCE), Limits(requests=2)
    async with Redis.from_url(redis_url) as redis:
        second, _ = await redis.time()
        window = "autonomousai:key:1:{set-back}:window"
        await redis.hset(window, mapping={str(second + 3_600): "1:0", str(second + 7_200): "1:0"})

        full = await store.reserve("set-back", "", limits, Demand(0, 0), "a")
        kept = await redis.hgetall(window)
    await store.aclose()

    assert ("requests", True) == (full.refused, full.wait <= 61)
    assert [b"2:0"] == [*kept.values()]
