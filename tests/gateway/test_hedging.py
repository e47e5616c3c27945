"""Hedging: a second upstream is asked where the first is slow, within a budget, and the loser is left at once."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.answer import Answer
from autonomousai.clients.openai import OpenAICompatible
from autonomousai.config import Config, ModelConfig, OpenAIConfig, RetryConfig
from autonomousai.errors import HTTPError, StatusError
from autonomousai.gateway import Gateway, Upstream
from autonomousai.gateway.hedges import HedgeBudget, may_be_asked_twice
from autonomousai.gateway.load import UpstreamLoad
from autonomousai.request import CallOptions, ChatRequest, OriginalRequest
from autonomousai.result import AsyncResult
from autonomousai.server import create_app
from autonomousai.settings import RouteConfig
from autonomousai.testing import Hang, Head, Pause, Script, ScriptedProvider, ScriptedServer, Send, answer, chunks
from tests.support.sockets import CHAT, ask, listening, request

HELLO_BODY = {"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}
HELLO = [{"role": "user", "content": "Hello"}]


def gateway(
    *providers: Any, machines: tuple[str | None, ...] = (), hedge: float = 1.0, policy: Any = "order", attempts: int = 1
) -> Gateway:
    """A gateway whose first upstream is slow after no time at all: whatever waits is hedged at once."""
    where = machines or tuple(f"m{number}" for number in range(len(providers)))
    route = [
        Upstream(f"u{number}", provider, machine=machine, time=lambda: 0.0)
        for number, (provider, machine) in enumerate(zip(providers, where, strict=True))
    ]
    made = Gateway(
        route,
        {"llama": [upstream.name for upstream in route]},
        retry=RetryConfig(attempts=attempts, backoff=0),
        policies={"llama": RouteConfig(policy, hedge=hedge)},
    )
    for load in made.policies["llama"].loads.values():
        for _ in range(20):
            load.measure(0.0)
    return made


def asked(made: Gateway, **fields: Any) -> AsyncResult:
    return made.create_async_generator("llama", HELLO, stream=True, **fields)


def attempts_of(result: AsyncResult) -> list[tuple[str, str]]:
    assert result.report is not None
    return [(attempt.upstream, attempt.outcome) for attempt in result.report.attempts]


def hedges_of(made: Gateway) -> dict[tuple[str, str, str], int]:
    return dict(made.policies["llama"].hedged)


async def test_the_second_answers_where_the_first_is_slow() -> None:
    """The first is left, and its attempt says so; the answer is the second's alone."""
    slow = ScriptedProvider([Pause(), *answer("A")])
    made = gateway(slow, ScriptedProvider(answer("B", "C")))

    result = asked(made)
    text = await result.text()
    await result.aclose()

    assert ("BC", "u1") == (text, result.upstream)
    assert [("u0", "hedged"), ("u1", "ok")] == attempts_of(result)
    assert (1, {("u0", "u1", "won"): 1}) == (result.report.begun if result.report else None, hedges_of(made))
    assert "cancelled" == await slow.calls[0].over()
    assert [0, 0] == [upstream.breaker.running for upstream in made.upstreams.values()]
    assert [0, 0] == [load.waiting for load in made.policies["llama"].loads.values()]


async def test_the_first_may_still_win() -> None:
    """Then the second is left."""
    pause = Pause()
    second = ScriptedProvider([Pause(), *answer("B")])
    made = gateway(ScriptedProvider([pause, *answer("A")]), second)

    result = asked(made)
    reading = asyncio.ensure_future(result.text())
    while not second.calls or not second.calls[0].read:
        await asyncio.sleep(0)
    pause.release()
    text = await reading
    await result.aclose()

    assert ("A", "u0") == (text, result.upstream)
    assert [("u1", "hedged"), ("u0", "ok")] == attempts_of(result)
    assert {("u0", "u1", "lost"): 1} == hedges_of(made)
    assert "cancelled" == await second.calls[0].over()


async def test_a_quick_answer_is_not_hedged() -> None:
    """What comes in time is asked once."""
    second = ScriptedProvider(answer("B"))
    made = gateway(ScriptedProvider(answer("A")), second)
    load = made.policies["llama"].loads["u0"]
    for _ in range(100):
        load.measure(1000.0)

    result = asked(made)

    assert ("A", []) == (await result.text(), second.calls)
    assert [("u0", "ok")] == attempts_of(result)


async def test_without_enough_measurements_nothing_is_hedged() -> None:
    """What is late for an upstream is not known yet."""
    pause, second = Pause(), ScriptedProvider(answer("B"))
    made = gateway(ScriptedProvider([pause, *answer("A")]), second)
    policy = made.policies["llama"]
    policy.loads["u0"] = UpstreamLoad(made.upstreams["u0"])

    reading = asyncio.ensure_future(asked(made).text())
    await pause.reached.wait()
    pause.release()

    assert ("A", []) == (await reading, second.calls)


FAILURES: dict[str, Any] = {
    "a failure": StatusError("no", status=500),
    "a reset": HTTPError("reset", retryable=True),
    "a stop": None,
    "a refusal": StatusError("bad", status=400),
}


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
async def test_a_second_that_fails_harms_nothing(error: Any) -> None:
    """The first answers, however late, and whatever the second said."""
    pause = Pause()
    second = ScriptedProvider([error] if error else [])
    made = gateway(ScriptedProvider([pause, *answer("A")]), second)

    result = asked(made)
    reading = asyncio.ensure_future(result.text())
    while not second.calls or await second.calls[0].over() is None:
        await asyncio.sleep(0)
    pause.release()

    assert "A" == await reading
    assert ["u1", "u0"] == [name for name, _ in attempts_of(result)]
    assert {("u0", "u1", "failed"): 1} == hedges_of(made)


async def test_a_first_that_fails_leaves_the_answer_to_the_second() -> None:
    """It is not asked again meanwhile."""
    fails, pause = Pause(), Pause()
    second = ScriptedProvider([pause, *answer("B")])
    made = gateway(ScriptedProvider([fails, StatusError("no", status=500)]), second)

    result = asked(made)
    reading = asyncio.ensure_future(result.text())
    await pause.reached.wait()
    fails.release()
    while len(attempts_of(result)) < 1:
        await asyncio.sleep(0)
    pause.release()

    assert "B" == await reading
    assert [("u0", "status"), ("u1", "ok")] == attempts_of(result)


async def test_a_refusal_by_the_first_is_the_answer() -> None:
    """The caller's own mistake: the second is left."""
    refuses = Pause()
    second = ScriptedProvider([Pause(), *answer("B")])
    made = gateway(ScriptedProvider([refuses, StatusError("bad", status=400)]), second)

    result = asked(made)
    reading = asyncio.ensure_future(result.text())
    while not second.calls or not second.calls[0].read:
        await asyncio.sleep(0)
    refuses.release()

    with pytest.raises(StatusError, match="bad"):
        await reading
    assert "cancelled" == await second.calls[0].over()
    assert [0, 0] == [upstream.breaker.running for upstream in made.upstreams.values()]


async def test_where_both_fail_the_route_continues() -> None:
    """The next upstream is asked, then the last: no request is lost to a hedge."""
    first, second = (ScriptedProvider([Pause(seconds=0.001), StatusError("no", status=500)]) for _ in range(2))
    made = gateway(first, second, ScriptedProvider(answer("C")))

    result = asked(made)

    assert "C" == await result.text()
    assert ("u2", {("u0", "u1", "failed"): 1}) == (result.upstream, hedges_of(made))


async def test_a_break_after_a_hedge_is_rescued() -> None:
    """The winner dies in mid-answer: the rest comes from the route, as ever."""
    first = ScriptedProvider([Pause(), *answer("A")], answer("One ", "two"))
    second = ScriptedProvider(["One ", HTTPError("reset", retryable=True)])
    made = gateway(first, second)

    result = asked(made)

    assert "One two" == await result.text()
    assert "hedged" == attempts_of(result)[0][1]


async def test_a_caller_who_leaves_stops_both() -> None:
    """And no count leaks."""
    first, second = (ScriptedProvider([Pause(), *answer("A")]) for _ in range(2))
    made = gateway(first, second)
    result = asked(made)
    reading = asyncio.ensure_future(result.text())
    while not second.calls or not second.calls[0].read:
        await asyncio.sleep(0)

    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await result.aclose()

    assert reading.cancelled()
    assert ["cancelled", "cancelled"] == [await each.calls[0].over() for each in (first, second)]
    assert [("u0", "left"), ("u1", "left")] == sorted(attempts_of(result))
    assert [0, 0] == [upstream.breaker.running for upstream in made.upstreams.values()]
    assert [0, 0] == [load.waiting for load in made.policies["llama"].loads.values()]


async def test_the_same_machine_is_not_asked_twice() -> None:
    """Under another name it would be as slow."""
    pause, same = Pause(), ScriptedProvider(answer("B"))
    made = gateway(ScriptedProvider([pause, *answer("A")]), same, ScriptedProvider(answer("C")), machines=("m", "m", "n"))

    assert "C" == await asked(made).text()
    assert [] == same.calls


@pytest.mark.parametrize("unwell", ["rests", "breaker open", "without weight"])
async def test_an_upstream_that_is_unwell_is_no_second(unwell: str) -> None:
    """It waits for the first instead."""
    pause, second = Pause(), ScriptedProvider(answer("B"))
    made = gateway(ScriptedProvider([pause, *answer("A")]), second)
    load = made.policies["llama"].loads["u1"]
    if unwell == "rests":
        load.refused(30)
    elif unwell == "breaker open":
        for _ in range(5):
            load.upstream.breaker.failure()
    else:
        load.weight = 0.0

    reading = asyncio.ensure_future(asked(made).text())
    await pause.reached.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    pause.release()

    assert ("A", []) == (await reading, second.calls)


# ---- how many


@given(
    share=st.floats(0, 1),
    requests=st.lists(st.integers(0, 3), max_size=300),
)
def test_hedges_never_exceed_their_share(share: float, requests: list[int]) -> None:
    """However often and whenever one is wanted: at no time were there more than the share of the requests until then."""
    budget = HedgeBudget(share)
    hedged = 0

    for asked, wanted in enumerate(requests, 1):
        budget.earn()
        hedged += sum(budget.spend() for _ in range(wanted))
        assert hedged <= share * asked + 1e-6


def test_one_of_twenty() -> None:
    """The fractions add up to a hedge, to the request."""
    budget = HedgeBudget(0.05)

    hedged = []
    for _ in range(100):
        budget.earn()
        hedged.append(budget.spend())

    assert [19, 39, 59, 79, 99] == [number for number, each in enumerate(hedged) if each]


def test_what_quiet_times_save_is_bounded() -> None:
    """An outage after a quiet day is not multiplied by the day's requests."""
    budget = HedgeBudget(0.05)
    for _ in range(100_000):
        budget.earn()

    assert 10 == sum(budget.spend() for _ in range(1000))


async def test_where_all_are_slow_few_are_asked_twice() -> None:
    """A hundred requests, each of them late: five hedges."""
    first, second = (ScriptedProvider([Pause(seconds=0.001), *answer("A")]) for _ in range(2))
    made = gateway(first, second, hedge=0.05)

    for _ in range(100):
        assert "A" == await asked(made).text()

    assert 105 == len(first.calls) + len(second.calls)


# ---- the percentile


@given(st.lists(st.floats(0, 100), min_size=20, max_size=150))
def test_one_of_twenty_is_slower_than_the_percentile(times: list[float]) -> None:
    """At most five in a hundred of the last hundred are above it."""
    load = UpstreamLoad(Upstream("u", ScriptedProvider()))
    for seconds in times:
        load.measure(seconds)
    window = times[-100:]

    slow = load.slow_after

    assert slow in window
    assert sum(seconds > slow for seconds in window) <= len(window) / 20
    assert sum(seconds >= slow for seconds in window) >= len(window) / 20


def test_the_answers_that_hedges_end_do_not_fade_from_the_percentile() -> None:
    """Else each hedge would make the next one come earlier, until every answer is late."""
    draw = random.Random(5)
    load = UpstreamLoad(Upstream("u", ScriptedProvider(), time=lambda: 0.0))
    for _ in range(100):
        load.measure(draw.uniform(1, 2))

    for _ in range(2000):
        seconds = draw.uniform(1, 2)
        slow = load.slow_after
        assert slow is not None
        if seconds > slow:
            load.measure_at_least(slow)  # hedged then, and lost
        else:
            load.measure(seconds)

    assert load.slow_after is not None
    assert load.slow_after > 1.6


# ---- which


EFFECTS: dict[str, dict[str, Any]] = {
    "store": {"store": True},
    "background": {"background": True},
    "a conversation": {"conversation": "conv_1"},
    "a thread": {"threadId": "t1"},
    "a tool of the upstream": {"tools": [{"type": "web_search"}]},
    "its servers": {"mcp_servers": [{"url": "https://example.org"}]},
    "a search": {"web_search_options": {"a": 1}},
}
NO_EFFECTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "store false": {"store": False},
    "store null": {"store": None},
    "functions": {"tools": [{"type": "function", "function": {"name": "f"}}, {"name": "g", "input_schema": {}}]},
    "tools null": {"tools": None},
    "a user": {"user": "u1", "prompt_cache_key": "k"},
}


@pytest.mark.parametrize("members", EFFECTS.values(), ids=EFFECTS)
def test_what_has_effects_is_asked_once(members: dict[str, Any]) -> None:
    """In the caller's fields, and in the body of another wire."""
    served = ChatRequest("llama", HELLO, origin=OriginalRequest("openai_responses", members))

    assert [False, False] == [may_be_asked_twice(each) for each in (ChatRequest("llama", HELLO, fields=members), served)]


@pytest.mark.parametrize("members", NO_EFFECTS.values(), ids=NO_EFFECTS)
def test_what_has_none_may_be_asked_twice(members: dict[str, Any]) -> None:
    """The usual request."""
    served = ChatRequest("llama", HELLO, origin=OriginalRequest("openai_responses", members))

    assert [True, True] == [may_be_asked_twice(each) for each in (ChatRequest("llama", HELLO, fields=members), served)]


def test_what_is_no_conversation_is_asked_once() -> None:
    """Embeddings and raw prompts: their first token is all of them."""
    assert not may_be_asked_twice(ChatRequest("llama", [], origin=OriginalRequest("openai_embeddings", {"input": "a"})))


async def test_a_request_with_effects_is_not_hedged() -> None:
    """The rule is asked, not only there."""
    pause, second = Pause(), ScriptedProvider(answer("B"))
    made = gateway(ScriptedProvider([pause, *answer("A")]), second)

    reading = asyncio.ensure_future(asked(made, store=True).text())
    await pause.reached.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    pause.release()

    assert ("A", []) == (await reading, second.calls)


# ---- over sockets


@asynccontextmanager
async def served(*scripts: Script) -> AsyncIterator[tuple[Gateway, list[ScriptedServer]]]:
    """A gateway before servers with one script each."""
    servers = [ScriptedServer(each) for each in scripts]
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        providers = [OpenAICompatible(f"{server.url}/v1", retries=0, prefill="no") for server in servers]
        made = gateway(*providers)
        stack.push_async_callback(made.aclose)
        yield made, servers


def in_two(pause: Pause) -> Script:
    """An answer of two tokens, the second of which waits."""
    data = chunks("C", "D")
    cut = data.index(b"\n\n", data.index(b'"C"')) + 2
    return Script(Head(), Send(data[:cut]), pause, Send(data[cut:]))


@pytest.mark.usefixtures("transport")
async def test_a_losers_connection_is_closed_before_another_token_arrives() -> None:
    """Over sockets: when the winner's second token is still to come, the loser has been left. It never said anything."""
    pause = Pause()
    async with served(Script(Head(), Hang()), in_two(pause)) as (made, (slow, quick)):
        result = asked(made)
        first = await anext(result)
        left = await (await slow.request(0)).over()
        pause.release()
        rest = [chunk async for chunk in result]

        assert ("C", "left", "D") == (first, left, rest[0])
        assert [("u0", "hedged"), ("u1", "ok")] == attempts_of(result)
        await slow.all_closed()
        assert 1 == len(quick.requests)


@pytest.mark.usefixtures("transport")
async def test_a_second_that_loses_is_closed_too() -> None:
    """The first begins to answer after all: of the second nothing is heard."""
    begins, pause = Pause(), Pause()
    steps = in_two(pause).steps
    async with served(Script(begins, *steps), Script(Head(), Hang())) as (made, (first, second)):
        result = asked(made)
        reading = asyncio.ensure_future(anext(result))
        other = await second.request(0)
        begins.release()
        token = await reading
        left = await other.over()
        pause.release()
        rest = [chunk async for chunk in result]

        assert ("C", "left", "D") == (token, left, rest[0])
        assert [("u1", "hedged"), ("u0", "ok")] == attempts_of(result)
        assert [1, 1] == [len(first.requests), len(second.requests)]


@pytest.mark.usefixtures("transport")
async def test_a_caller_who_leaves_closes_both_connections() -> None:
    """Neither has answered yet."""
    async with served(Script(Hang()), Script(Head(), Hang())) as (made, servers):
        result = asked(made)
        reading = asyncio.ensure_future(result.text())
        requests = [await server.request(0) for server in servers]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

        assert ["left", "left"] == [await request.over() for request in requests]


async def test_a_config_with_a_hedge_is_served() -> None:
    """From the file's keys to what the caller reads: the first upstream was quick twenty times, and is silent then."""
    quick = [Script.stream("A")] * 20
    async with ScriptedServer(*quick, Script(Hang())) as first, ScriptedServer(Script.stream("B")) as second:
        upstreams = {name: OpenAIConfig(base_url=f"{each.url}/v1") for name, each in (("a", first), ("b", second))}
        config = Config(upstreams=upstreams, models={"llama": ModelConfig(route=("a", "b"), hedge=1.0)})
        async with listening(create_app(config)) as place:
            answers = [json.loads((await ask(place.port, request("POST", CHAT, HELLO_BODY))).body) for _ in range(21)]
        left = await first.requests[-1].over()

    told = [each["x_autonomousai"] for each in answers]
    last = answers[-1]["choices"][0]["message"]["content"]
    assert (["a"] * 20 + ["b"], "B", "left") == ([each["upstream"] for each in told], last, left)
    assert {("a", "hedged"), ("b", "ok")} == {(each["upstream"], each["outcome"]) for each in told[-1]["attempts"]}


async def test_the_one_that_lost_answers_where_the_winner_breaks() -> None:
    """A caller without streaming has seen nothing of the broken answer, and the loser was well: it was slow alone."""
    first = ScriptedProvider([Pause(), *answer("A")], answer("A"))
    second = ScriptedProvider(["One ", HTTPError("reset", retryable=True)])
    made = gateway(first, second, attempts=2)

    said = Answer()
    batches = made.stream(ChatRequest("llama", HELLO, True), CallOptions(answer=said, whole=True))
    async for batch in batches:
        said.add(batch)
    await batches.aclose()

    assert ("A", "u0") == (said.text, said.report.upstream)
    assert [("u0", "hedged"), ("u1", "reset"), ("u0", "ok")] == [(each.upstream, each.outcome) for each in said.report.attempts]
    assert [2, 1] == [len(first.calls), len(second.calls)]
