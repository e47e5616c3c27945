"""The policies of routes: which upstream is asked first, and that the others still follow."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.answer import Answer
from autonomousai.config import BreakerConfig, RetryConfig
from autonomousai.errors import ConnectError, HTTPError, ProviderError, StatusError
from autonomousai.gateway import Gateway, Upstream
from autonomousai.gateway.policies import RoutePolicy
from autonomousai.request import CallOptions, ChatRequest, OriginalRequest
from autonomousai.settings import RouteConfig
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.jumping import run_at_once

POLICIES = ("weighted", "least_busy", "fastest")


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def said(*texts: str, **fields: Any) -> ChatRequest:
    """A conversation: the system's word, and then the user's and the assistant's in turn."""
    roles = ("system", "user", "assistant")
    messages = [{"role": roles[0 if not number else 2 - number % 2], "content": text} for number, text in enumerate(texts)]
    return ChatRequest("llama", messages, fields=fields)


HELLO = said("Be brief.", "Hello")


def upstreams(*weights: float, clock: Clock | None = None, **more: Any) -> list[Upstream]:
    return [
        Upstream(f"u{number}", ScriptedProvider(answer("A")), weight=weight, time=clock or Clock(), **more)
        for number, weight in enumerate(weights)
    ]


def policy(name: Any, route: Sequence[Upstream], **more: Any) -> RoutePolicy:
    return RoutePolicy(RouteConfig(name, **more), route, random.Random(7))


def firsts(made: RoutePolicy, route: Sequence[Upstream], count: int, request: ChatRequest = HELLO) -> Counter[str]:
    return Counter(made.order(request, route)[0].name for _ in range(count))


# ---- what holds of all


@given(
    name=st.sampled_from(POLICIES),
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=6),
    events=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["fail", "refuse", "measure", "run", "wait"])), max_size=30),
    sticky=st.booleans(),
)
def test_every_upstream_is_asked_once(name: str, weights: list[float], events: list[tuple[int, str]], sticky: bool) -> None:
    """Whatever befell them: an order is complete, and the first one is well and has a weight where any is and has."""
    clock = Clock()
    route = upstreams(*weights, clock=clock)
    made = policy(name, route, sticky=sticky)
    for number, event in events:
        upstream = route[number % len(route)]
        load = made.loads[upstream.name]
        match event:
            case "fail":
                upstream.breaker.failure()
            case "refuse":
                load.refused(None)
            case "measure":
                load.measure(number / 10)
            case "run":
                upstream.breaker.admit()
            case "wait":
                clock.now += number

    ordered = made.order(HELLO, route)

    assert sorted(route, key=id) == sorted(ordered, key=id)
    able = [upstream for upstream in route if upstream.weight and made.loads[upstream.name].is_ready]
    assert not able or ordered[0] in able


@pytest.mark.parametrize("name", POLICIES)
def test_the_others_follow_in_the_order_of_the_route(name: str) -> None:
    """After the first choice: those that are well, those without a weight, those that rest."""
    route = upstreams(1, 0, 1, 1, 1)
    made = policy(name, route)
    made.loads["u2"].refused(None)

    first, *rest = [upstream.name for upstream in made.order(HELLO, route)]

    assert [each for each in ("u0", "u3", "u4", "u1", "u2") if each != first] == rest


@pytest.mark.parametrize("name", POLICIES)
def test_the_only_upstream_is_asked_whatever_it_did(name: str) -> None:
    """A rest, or an open breaker, takes nothing from a route of one."""
    route = upstreams(1, breaker=BreakerConfig(failures=1))
    made = policy(name, route)
    route[0].breaker.failure()
    made.loads["u0"].refused(60)

    assert route == made.order(HELLO, route)


@pytest.mark.parametrize("name", POLICIES)
def test_without_any_weight_the_order_is_the_routes(name: str) -> None:
    """As where all others rest."""
    route = upstreams(0, 0, 0)

    assert route == list(policy(name, route).order(HELLO, route))


@pytest.mark.parametrize("name", POLICIES)
def test_an_upstream_without_weight_is_never_first_while_others_are_well(name: str) -> None:
    """It is the last resort, and is one."""
    route = upstreams(1, 0, 1)
    made = policy(name, route)

    assert 0 == firsts(made, route, 100)["u1"]
    for well in ("u0", "u2"):
        made.loads[well].refused(30)
    assert "u1" == made.order(HELLO, route)[0].name


@pytest.mark.parametrize("name", POLICIES)
async def test_an_open_breaker_is_passed_over_until_a_trial_is_due(name: str) -> None:
    """Then one request is its trial, and no more than one."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock, breaker=BreakerConfig(failures=1, cooldown=3))
    made = policy(name, route)
    made.loads["u1"].measure(0.001)
    route[0].breaker.failure()

    resting = firsts(made, route, 10)
    clock.now += 3
    due = firsts(made, route, 2)
    route[0].breaker.admit()

    assert Counter(u1=10) == resting
    assert due["u0"] >= 1
    assert Counter(u1=10) == firsts(made, route, 10)


# ---- weighted


def test_weights_are_kept_to_within_one() -> None:
    """Of any row of requests, not only of many."""
    route = upstreams(5, 1, 2)
    made = policy("weighted", route)
    chosen: Counter[str] = Counter()

    for asked in range(1, 81):
        chosen += firsts(made, route, 1)
        assert all(abs(chosen[upstream.name] - asked * upstream.weight / 8) < 1 for upstream in route)


def test_fractions_are_weights_too() -> None:
    """As percentages are written."""
    route = upstreams(0.75, 0.25)

    assert Counter(u0=75, u1=25) == firsts(policy("weighted", route), route, 100)


# ---- least busy


def test_the_least_busy_for_its_weight_is_chosen() -> None:
    """Two requests on a weight of four are less than one on a weight of one."""
    route = upstreams(4, 1)
    made = policy("least_busy", route)
    for upstream in (route[0], route[0], route[1]):
        upstream.breaker.admit()

    assert "u0" == made.order(HELLO, route)[0].name


def test_idle_upstreams_take_turns() -> None:
    """The first of the route is not worn out while the others wait."""
    route = upstreams(1, 1, 1)

    assert Counter(u0=10, u1=10, u2=10) == firsts(policy("least_busy", route), route, 30)


ENDS: dict[str, list[Any]] = {
    "an answer": answer("A"),
    "a failure": [StatusError("no", status=500)],
    "a break": ["A", HTTPError("reset", retryable=True)],
    "a stop without an end": ["A"],
    "a refusal": [StatusError("no", status=400)],
}


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_no_count_of_requests_leaks(script: list[Any]) -> None:
    """However an answer ends, nothing runs afterwards. How long a rescue waits for its upstream takes no time here."""
    made = gateway("least_busy", ScriptedProvider(script), ScriptedProvider(script))

    async def ask() -> None:
        for _ in range(3):
            await outcome_of(made)

    run_at_once(ask())

    assert [0, 0] == [upstream.breaker.running for upstream in made.upstreams.values()]


@pytest.mark.parametrize("heard", [0, 1, 2])
@pytest.mark.parametrize("cancelled", [False, True], ids=["closed", "cancelled"])
async def test_a_caller_who_leaves_is_counted_out(heard: int, cancelled: bool) -> None:
    """Before the first token, and in mid-answer; by closing and by cancelling."""
    pause = Pause()
    made = gateway("least_busy", *(ScriptedProvider([*["A"] * heard, pause, *answer("B")]) for _ in range(2)))
    result = made.create_async_generator("llama", HELLO.messages, stream=True)

    async def read() -> None:
        async for _ in result:
            pass

    reading = asyncio.create_task(read())
    await pause.reached.wait()
    running = sum(upstream.breaker.running for upstream in made.upstreams.values())
    if cancelled:
        reading.cancel()
    else:
        await result.aclose()
    pause.release()
    await asyncio.gather(reading, return_exceptions=True)
    await result.aclose()

    assert 1 == running
    assert [0, 0] == [upstream.breaker.running for upstream in made.upstreams.values()]
    assert [0, 0] == [load.waiting for load in made.policies["llama"].loads.values()]


def gateway(name: Any, *providers: ScriptedProvider, time: Clock | None = None, **more: Any) -> Gateway:
    route = [Upstream(f"u{number}", provider, time=time or Clock()) for number, provider in enumerate(providers)]
    return Gateway(
        route,
        {"llama": [upstream.name for upstream in route]},
        retry=RetryConfig(attempts=1, backoff=0),
        policies={"llama": RouteConfig(name, **more)},
    )


async def outcome_of(made: Gateway) -> str | ProviderError:
    try:
        return await made.create_async_generator("llama", HELLO.messages, stream=True).text()
    except ProviderError as error:
        return error


# ---- an upstream that fails at once


FAILURES: dict[str, HTTPError] = {
    "busy": StatusError("busy", status=429),
    "no key": StatusError("no key", status=401),
    "no such model": StatusError("no model", status=404),
    "no connection": ConnectError("refused"),
    "broken": StatusError("broken", status=500),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
async def test_who_fails_at_once_is_neither_idle_nor_quick(name: str, error: HTTPError) -> None:
    """It rests, for longer each time, and no request is lost meanwhile."""
    clock = Clock()
    bad, good = ScriptedProvider([error]), ScriptedProvider(answer("B"))
    made = gateway(name, bad, good, time=clock)

    for _ in range(60):
        assert "B" == await outcome_of(made)
        clock.now += 0.5

    assert 60 == len(good.calls)
    assert 1 <= len(bad.calls) <= 6


async def test_a_rest_lasts_as_long_as_the_upstream_asks() -> None:
    """Up to a minute; an answer ends it."""
    clock = Clock()
    busy = StatusError("busy", status=429, retry_after=40)
    first = ScriptedProvider([busy], answer("A"))
    made = gateway("weighted", first, ScriptedProvider(answer("B")), time=clock)

    said_before = [await outcome_of(made) for _ in range(10)]
    clock.now += 41
    said_after = [await outcome_of(made) for _ in range(10)]

    assert 10 * ["B"] == said_before
    assert 5 == said_after.count("A")


def test_failures_at_once_are_one() -> None:
    """Twenty requests that fail together, or one that tries three times, make no long rest."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock)
    load = policy("weighted", route).loads["u0"]

    for _ in range(20):
        load.refused(None)
    clock.now += 2
    first = load.is_ready
    load.refused(None)
    clock.now += 3.9
    second = load.is_ready
    clock.now += 0.1

    assert [True, False, True] == [first, second, load.is_ready]


def test_an_old_answer_ends_no_rest() -> None:
    """A long one that was begun before: the upstream refuses nevertheless."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock)
    load = policy("weighted", route).loads["u0"]
    clock.now += 10
    load.refused(60)

    load.answered(clock.now - 5)
    old = load.is_ready
    load.answered(clock.now)

    assert [False, True] == [old, load.is_ready]


async def test_what_the_request_is_to_blame_for_makes_none_rest() -> None:
    """A field that one upstream cannot honour: the next request is asked there again."""
    error = StatusError("no such field", status=400, code="unsupported_parameter")
    first = ScriptedProvider([error])
    made = gateway("weighted", first, ScriptedProvider(answer("B")))

    for _ in range(10):
        assert "B" == await outcome_of(made)

    assert 5 == len(first.calls)


# ---- fastest


def test_the_fastest_is_chosen_once_each_was_measured() -> None:
    """Each unknown one gets one request; from then on the quickest is first."""
    route = upstreams(1, 1, 1)
    made = policy("fastest", route)

    order = []
    for seconds in (0.5, 0.1, 0.9):
        order.append(made.order(HELLO, route)[0].name)
        made.loads[order[-1]].measure(seconds)

    assert ["u0", "u1", "u2"] == order
    assert firsts(made, route[:2], 20) == Counter(u1=20)
    assert firsts(made, route, 100)["u2"] == 0


def test_a_slow_start_is_not_for_ever() -> None:
    """One of twenty requests at most finds out whether the slow one still is; then it is the fastest."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock)
    made = policy("fastest", route)
    made.loads["u0"].measure(30.0)
    made.loads["u1"].measure(0.5)

    chosen: list[str] = []
    for _ in range(400):
        clock.now += 1
        chosen.append(name := made.order(HELLO, route)[0].name)
        made.loads[name].measure(0.1 if name == "u0" else 0.5)

    asked = chosen.index("u0")
    assert asked <= 40
    assert chosen[100:].count("u0") > 280


def test_explorations_are_few() -> None:
    """Where each measurement is old, because requests are rare, the slow one still gets one of twenty."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock)
    made = policy("fastest", route)
    for name, seconds in (("u0", 5.0), ("u1", 0.5)):
        made.loads[name].measure(seconds)

    chosen: Counter[str] = Counter()
    for _ in range(200):
        clock.now += 60
        name = made.order(HELLO, route)[0].name
        made.loads[name].measure(5.0 if name == "u0" else 0.5)
        chosen[name] += 1

    assert 1 <= chosen["u0"] <= 10


def test_an_upstream_that_hangs_is_slow_before_a_timeout_says_so() -> None:
    """What waits for its first token counts as long as it waits."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock)
    made = policy("fastest", route)
    made.loads["u0"].measure(0.1)
    made.loads["u1"].measure(0.5)
    made.loads["u0"].begin(1)

    clock.now += 2

    assert "u1" == made.order(HELLO, route)[0].name


async def test_only_first_tokens_are_measured() -> None:
    """By the upstream's own clock, and no failure."""
    clock = Clock()
    pause = Pause()
    made = gateway("fastest", ScriptedProvider([pause, *answer("A")]), ScriptedProvider(answer("B")), time=clock)

    asked = asyncio.create_task(outcome_of(made))
    await pause.reached.wait()
    clock.now += 0.25
    pause.release()
    await asked

    loads = made.policies["llama"].loads
    assert (0.25, None, 0) == (loads["u0"].first_token, loads["u1"].first_token, loads["u0"].waiting)


# ---- sticky


def conversations(count: int) -> list[ChatRequest]:
    return [said("Be brief.", f"Question {number}") for number in range(count)]


@pytest.mark.parametrize("name", POLICIES)
def test_a_conversation_stays_where_it_began(name: str) -> None:
    """Each turn has the same beginning, and goes to the same upstream; in another process too."""
    route = upstreams(1, 1, 1)
    made, other = policy(name, route, sticky=True), policy(name, route, sticky=True)
    for each in (made, other):
        for load in each.loads.values():
            load.measure(0.1)

    for number in range(30):
        turns = [
            said("Be brief.", f"Question {number}"),
            said("Be brief.", f"Question {number}", "Answer", "More"),
            said("Be brief.", f"Question {number}", "Answer", "More", "Answer", "And more"),
        ]
        homes = {each.order(turn, route)[0].name for turn in turns for each in (made, other)}
        assert 1 == len(homes)


def test_without_sticky_conversations_are_shared_out() -> None:
    """The key has an effect."""
    route = upstreams(1, 1)

    assert Counter(u0=5, u1=5) == firsts(policy("weighted", route), route, 10)


def test_conversations_are_shared_by_weight() -> None:
    """Of a thousand, three quarters go to the one of three times the weight."""
    route = upstreams(3, 1)
    made = policy("weighted", route, sticky=True)

    homes = Counter(made.order(each, route)[0].name for each in conversations(1000))

    assert 700 <= homes["u0"] <= 800


@given(st.integers(2, 6))
def test_a_further_upstream_takes_its_share_and_moves_nothing_else(count: int) -> None:
    """Each conversation stays, or moves to the new one."""
    route = upstreams(*[1.0] * (count + 1))
    asked = conversations(100)
    before = policy("weighted", route[:-1], sticky=True)
    after = policy("weighted", route, sticky=True)

    moves = [
        (before.order(each, route[:-1])[0], after.order(each, route)[0])
        for each in asked
    ]  # fmt: skip

    assert all(new in (old, route[-1]) for old, new in moves)
    assert 0 < sum(new is not old for old, new in moves) < 100 * 3 / (count + 1)


def test_a_conversation_leaves_an_upstream_that_is_away_and_returns() -> None:
    """While it rests all turns go to one other."""
    clock = Clock()
    route = upstreams(1, 1, 1, clock=clock)
    made = policy("weighted", route, sticky=True)
    home = made.order(HELLO, route)[0].name

    made.loads[home].refused(None)
    away = firsts(made, route, 10)
    clock.now += 3

    assert 1 == len(away)
    assert home not in away
    assert Counter({home: 10}) == firsts(made, route, 10)


def test_a_conversation_leaves_an_upstream_that_has_too_much() -> None:
    """One and a half times its share, and more than a few."""
    route = upstreams(1, 1)
    made = policy("weighted", route, sticky=True)
    home = made.order(HELLO, route)[0]

    placed = []
    for _ in range(20):
        placed.append(upstream := made.order(HELLO, route)[0])
        upstream.breaker.admit()

    assert 4 * [home] == placed[:4]
    assert 5 <= sum(upstream is not home for upstream in placed) <= 10


def test_a_conversation_leaves_an_upstream_that_is_much_slower() -> None:
    """With fastest: three times as slow as another one."""
    clock = Clock()
    route = upstreams(1, 1, clock=clock)
    made = policy("fastest", route, sticky=True)
    for load in made.loads.values():
        load.measure(0.5)
    home, other = made.order(HELLO, route)

    for _ in range(10):
        made.loads[home.name].measure(5.0)

    assert other is made.order(HELLO, route)[0]


NAMES = ["prompt_cache_key", "session_id", "session", "conversation", "user", "threadId"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_conversation_wins_over_its_beginning(name: str) -> None:
    """As the request gives it, in any wire, whatever its messages."""
    route = upstreams(1, 1, 1)
    made = policy("weighted", route, sticky=True)

    homes: Counter[str] = Counter()
    for key in range(30):
        value: Any = {"id": f"c{key}"} if name == "conversation" else f"c{key}"
        plain = [said("Be brief.", f"Question {turn}", **{name: value}) for turn in range(3)]
        served = [
            ChatRequest("llama", each.messages, origin=OriginalRequest("openai_responses", {name: value})) for each in plain
        ]
        found = {made.order(each, route)[0].name for each in (*plain, *served)}
        assert 1 == len(found)
        homes.update(found)

    assert 3 == len(homes)


def test_a_session_of_the_messages_api_is_a_conversation() -> None:
    """``metadata.user_id``, as its agents send it."""
    route = upstreams(1, 1, 1)
    made = policy("weighted", route, sticky=True)
    origin = OriginalRequest("anthropic_messages", {"metadata": {"user_id": "s"}})
    asked = [ChatRequest("llama", said("", f"Question {turn}").messages, origin=origin) for turn in range(10)]

    assert 1 == len({made.order(each, route)[0].name for each in asked})


def test_marks_for_caches_move_no_conversation() -> None:
    """Clients move them from turn to turn, and write one text in several pieces."""
    route = upstreams(1, 1, 1, 1, 1, 1, 1)
    made = policy("weighted", route, sticky=True)
    content: list[Any] = [
        "Hello there",
        [{"type": "text", "text": "Hello there"}],
        [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there", "cache_control": {"type": "ephemeral"}}],
    ]

    homes = {made.order(ChatRequest("llama", [{"role": "user", "content": each}]), route)[0].name for each in content}

    assert 1 == len(homes)


@pytest.mark.parametrize("content", [None, "\ud800", [None, {"type": "image_url", "image_url": {}}], 7])
def test_odd_content_is_no_failure(content: Any) -> None:
    """What is refused later is refused by what knows why."""
    route = upstreams(1, 1)

    assert 2 == len(policy("weighted", route, sticky=True).order(ChatRequest("llama", [{"content": content}]), route))


# ---- callers over their budget


async def test_a_caller_over_its_budget_is_answered_by_the_cheaper_route() -> None:
    """Whatever the policy; where there is none, by the usual one."""
    dear, cheap = ScriptedProvider(answer("A")), ScriptedProvider(answer("B"))
    made = Gateway(
        [Upstream("dear", dear), Upstream("cheap", cheap)],
        {"llama": ["dear"], "hermes": ["dear"]},
        policies={"llama": RouteConfig("weighted")},
        cheaper={"llama": ["cheap"]},
    )

    texts = []
    for model, over in (("llama", False), ("llama", True), ("hermes", True)):
        kept = Answer()
        asked = ChatRequest(model, HELLO.messages, True, over_budget=over)
        async for batch in made.stream(asked, CallOptions(answer=kept)):
            kept.add(batch)
        texts.append(kept.text)

    assert ["A", "B", "A"] == texts
    assert [True, False] == [made.has_cheaper_route(model) for model in ("llama", "hermes")]
