"""The gateway's way along a route: retries, failover, and what the caller is told when nobody answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from autonomousai.clients.options import clocks_of, read_timeout
from autonomousai.config import BreakerConfig, RetryConfig
from autonomousai.errors import (
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.events import Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.gateway.breaker import Breaker
from autonomousai.request import CallOptions
from autonomousai.testing import ScriptedProvider, answer
from autonomousai.timeouts import ENGINE_FIRST_TOKEN, Clocks
from autonomousai.wires.errors import for_callers

HELLO = [{"role": "user", "content": "Hello"}]
QUICK = RetryConfig(attempts=3, backoff=0)


def status(number: int, **more: Any) -> StatusError:
    return StatusError(f"scripted {number}", status=number, **more)


def gateway(
    *providers: ScriptedProvider, contexts: tuple[int | None, ...] = (), breaker: BreakerConfig | None = None
) -> Gateway:
    sizes = contexts or (None,) * len(providers)
    upstreams = [
        Upstream(f"u{number}", provider, context=size, breaker=breaker)
        for number, (provider, size) in enumerate(zip(providers, sizes, strict=True))
    ]
    return Gateway(upstreams, {"llama": [upstream.name for upstream in upstreams]}, retry=QUICK)


async def attempts_of(gateway: Gateway) -> tuple[str | ProviderError, list[tuple[str, str]]]:
    result = gateway.create_async_generator("llama", HELLO, stream=True)
    assert result.report is not None
    outcome: str | ProviderError
    try:
        outcome = await result.text()
    except ProviderError as error:
        outcome = error
    return outcome, [(attempt.upstream, attempt.outcome) for attempt in result.report.attempts]


async def test_the_preferred_upstream_answers() -> None:
    """The first of the route answers, and the report names it; the second is not asked."""
    first, second = ScriptedProvider(answer("A")), ScriptedProvider(answer("B"))
    made = gateway(first, second)

    result = made.create_async_generator("llama", HELLO, stream=True)
    batches = [batch async for batch in result.batches()]

    assert batches[0] == [Started("scripted", "u0"), "A"]
    assert (result.upstream, second.calls) == ("u0", [])


MENDABLE: dict[str, Callable[[], ProviderError]] = {
    "no connection": lambda: ConnectError("refused"),
    "reset before an answer": lambda: HTTPError("reset", retryable=True),
    "cut before any text": IncompleteStreamError,
    **{str(code): (lambda code=code: status(code)) for code in (408, 409, 429, 500, 502, 503, 504, 529)},
}


@pytest.mark.parametrize("error", MENDABLE.values(), ids=MENDABLE)
async def test_what_retrying_can_mend_is_tried_again(error: Callable[[], ProviderError]) -> None:
    """The same upstream is asked again, and its second answer is the caller's."""
    outcome, attempts = await attempts_of(gateway(ScriptedProvider([error()], answer("A")), ScriptedProvider(answer("B"))))

    assert outcome == "A"
    assert [name for name, _ in attempts] == ["u0", "u0"]


@pytest.mark.parametrize("error", MENDABLE.values(), ids=MENDABLE)
async def test_after_its_attempts_the_next_upstream_is_asked(error: Callable[[], ProviderError]) -> None:
    """Three tries on the first, then the second."""
    outcome, attempts = await attempts_of(gateway(ScriptedProvider([error()]), ScriptedProvider(answer("B"))))

    assert outcome == "B"
    assert [name for name, _ in attempts] == ["u0", "u0", "u0", "u1"]


OPERATORS: dict[str, Callable[[], ProviderError]] = {
    **{str(code): (lambda code=code: status(code)) for code in (401, 403, 404)},
    "quota": lambda: status(429, code="insufficient_quota"),
    "unknown model": lambda: ModelNotFoundError("x", ()),
    "a field that it cannot honour": lambda: status(400, code="unsupported_parameter"),
    "more than it takes at once": lambda: status(413, code="rate_limit_exceeded"),
    "501": lambda: status(501),
}


@pytest.mark.parametrize("error", OPERATORS.values(), ids=OPERATORS)
async def test_what_retrying_cannot_mend_goes_on_at_once(error: Callable[[], ProviderError]) -> None:
    """A wrong key, a wrong address, an empty account: not asked twice, the next one answers."""
    outcome, attempts = await attempts_of(gateway(ScriptedProvider([error()]), ScriptedProvider(answer("B"))))

    assert outcome == "B"
    assert [name for name, _ in attempts] == ["u0", "u1"]


@pytest.mark.parametrize("clock", ["connect", "first_token", "idle"])
async def test_a_silent_upstream_is_not_asked_twice_while_there_is_another(clock: Any) -> None:
    """Silence costs time: the next one is asked."""
    first = ScriptedProvider([TimeoutError(clock, 1)])

    outcome, attempts = await attempts_of(gateway(first, ScriptedProvider(answer("B"))))

    assert (outcome, attempts) == ("B", [("u0", f"{clock}_timeout"), ("u1", "ok")])


async def test_an_upstream_that_could_not_be_reached_is_asked_again_when_it_is_the_only_one() -> None:
    """Where there is no other, asking again is all that is left: nothing was generated."""
    outcome, attempts = await attempts_of(gateway(ScriptedProvider([TimeoutError("connect", 1)], answer("A"))))

    assert (outcome, len(attempts)) == ("A", 2)


@pytest.mark.parametrize("clock", ["first_token", "idle", "total"])
async def test_a_silent_upstream_is_never_asked_again(clock: Any) -> None:
    """It may have generated all the while, and would be silent for as long again: each time somebody pays."""
    made = TimeoutError(clock, 1)

    outcome, attempts = await attempts_of(gateway(ScriptedProvider([made], answer("A"))))

    assert (outcome, attempts) == (made, [("u0", f"{clock}_timeout")])


async def test_the_last_upstream_is_tried_twice_as_often() -> None:
    """Where nothing else is on the route: six tries instead of three."""
    outcome, attempts = await attempts_of(gateway(*(ScriptedProvider([status(500)]) for _ in range(2))))

    assert isinstance(outcome, StatusError)
    assert [name for name, _ in attempts] == 3 * ["u0"] + 6 * ["u1"]


async def test_whoever_wants_one_try_gets_one() -> None:
    """attempts = 1 says that nothing is to be tried again, on the last upstream either."""
    made = Gateway([Upstream("u0", ScriptedProvider([status(500)]))], {"llama": ["u0"]}, retry=RetryConfig(attempts=1))

    _, attempts = await attempts_of(made)

    assert [("u0", "status")] == attempts


async def test_an_upstream_before_one_that_rests_counts_as_the_last() -> None:
    """The second upstream's breaker is open: the first is tried twice as often."""
    flaky, dead = ScriptedProvider(*([status(500)] for _ in range(4)), answer("A")), ScriptedProvider([status(500)])
    made = gateway(flaky, dead, breaker=BreakerConfig(failures=5, cooldown=1000))
    for _ in range(5):
        made.upstreams["u1"].breaker.failure()

    outcome, attempts = await attempts_of(made)

    assert (outcome, [name for name, _ in attempts]) == ("A", 5 * ["u0"])


async def test_an_empty_budget_fills_while_others_are_answered() -> None:
    """On the last upstream a retry waits for the budget, as long as there is hope."""
    made = gateway(ScriptedProvider([status(500)], answer("A")))
    budget = made.upstreams["u0"].budget
    while budget.spend():
        pass
    made.upstreams["u0"].breaker.admit()  # another request, which runs

    async def others() -> None:
        await asyncio.sleep(0)
        budget.success()
        budget.success()

    (outcome, attempts), _ = await asyncio.gather(attempts_of(made), others())

    assert (outcome, len(attempts)) == ("A", 2)


async def test_without_a_budget_the_next_upstream_is_asked() -> None:
    """Nobody waits for a retry while there is another."""
    made = gateway(ScriptedProvider([status(500)]), ScriptedProvider(answer("B")))
    while made.upstreams["u0"].budget.spend():
        pass

    assert ("B", [("u0", "status"), ("u1", "ok")]) == await attempts_of(made)


PERMANENT: dict[str, Callable[[], ProviderError]] = {
    "a certificate": lambda: ConnectError("TLS failed", retryable=False),
    "not HTTP": lambda: HTTPError("not HTTP"),
    "a web page": lambda: StreamError("a web page", status=200),
    "the request's own time": lambda: TimeoutError("total", 1),
    "configuration": lambda: ConfigError("no weights"),
    "501": lambda: status(501),
    "429": lambda: status(429),
}


@pytest.mark.parametrize("error", PERMANENT.values(), ids=PERMANENT)
async def test_a_breaker_opens_for_what_waiting_can_mend_alone(error: Callable[[], ProviderError]) -> None:
    """A rest mends no certificate, and an upstream that refuses is alive."""
    first = ScriptedProvider([error()])
    made = gateway(first, ScriptedProvider(answer("B")), breaker=BreakerConfig(failures=1, cooldown=1000))

    await attempts_of(made)

    assert "closed" == made.upstreams["u0"].breaker.state


ANSWERS: dict[str, Callable[[], ProviderError]] = {
    "bad request": lambda: status(400),
    "unprocessable": lambda: status(422),
    "content policy": lambda: status(400, code="content_filter"),
    "content policy, as 5xx": lambda: status(500, code="content_policy_violation"),
    "messages": lambda: InvalidMessagesError("is empty"),
}


@pytest.mark.parametrize("error", ANSWERS.values(), ids=ANSWERS)
async def test_the_callers_own_fault_is_the_answer(error: Callable[[], ProviderError]) -> None:
    """A bad request and a policy rejection are not a reason to shop around."""
    made = error()

    outcome, attempts = await attempts_of(gateway(ScriptedProvider([made]), ScriptedProvider(answer("B"))))

    assert outcome is made
    assert [name for name, _ in attempts] == ["u0"]


async def test_a_long_prompt_goes_only_where_more_fits() -> None:
    """Too long for 4096 tokens: not to another 4096, but to 8192, and to one of unknown size."""
    too_long = status(400, code="context_length_exceeded")
    small, same = ScriptedProvider([too_long]), ScriptedProvider(answer("same"))
    large = ScriptedProvider(answer("large"))

    outcome, attempts = await attempts_of(gateway(small, same, large, contexts=(4096, 4096, 8192)))

    assert (outcome, attempts) == ("large", [("u0", "status"), ("u2", "ok")])


async def test_a_prompt_too_long_for_all_is_told_as_it_is() -> None:
    """When it fits nowhere the caller gets the 400 that says so."""
    too_long = status(400, code="context_length_exceeded")

    outcome, _ = await attempts_of(gateway(ScriptedProvider([too_long]), ScriptedProvider(), contexts=(4096, 4096)))

    assert outcome is too_long


async def test_a_role_alone_is_not_an_answer() -> None:
    """An upstream that only said it would begin, and then broke, is left without a trace in the stream."""
    begun = ScriptedProvider([Started("liar"), TimeoutError("first_token", 1)])
    made = gateway(begun, ScriptedProvider(answer("B"), name="honest"))

    result = made.create_async_generator("llama", HELLO, stream=True)
    batches = [batch async for batch in result.batches()]

    assert batches[0] == [Started("honest", "u1"), "B"]


async def test_when_all_are_rate_limited_the_earliest_time_is_told() -> None:
    """429 from everyone is a 429, with the earliest Retry-After and the attempts."""
    first = ScriptedProvider([status(429, retry_after=9)])
    second = ScriptedProvider([status(429, retry_after=7)])

    outcome, _ = await attempts_of(
        Gateway([Upstream("u0", first), Upstream("u1", second)], {"llama": ["u0", "u1"]}, retry=RetryConfig(attempts=1))
    )

    assert isinstance(outcome, StatusError)
    assert (outcome.status, outcome.retry_after, len(outcome.attempts)) == (429, 7, 2)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((TimeoutError("first_token", 1), TimeoutError("idle", 1)), 504),
        ((ConnectError("refused"), TimeoutError("idle", 1)), 502),
        ((status(429), status(500)), 502),
    ],
)
async def test_a_mixture_of_causes_has_a_true_status(errors: tuple[ProviderError, ...], expected: int) -> None:
    """Different causes: the first is told, under a status that is true of all."""
    outcome, _ = await attempts_of(gateway(*(ScriptedProvider([error]) for error in errors)))

    assert isinstance(outcome, StatusError)
    assert outcome.status == expected
    assert for_callers(errors[0]) in str(outcome)


async def test_a_long_retry_after_means_the_next_one_now() -> None:
    """An upstream that asks for minutes is not waited for while there is another."""
    first = ScriptedProvider([status(503, retry_after=300)])

    outcome, attempts = await attempts_of(gateway(first, ScriptedProvider(answer("B"))))

    assert (outcome, [name for name, _ in attempts]) == ("B", ["u0", "u1"])


async def test_a_retry_after_past_the_deadline_is_not_waited_for() -> None:
    """Where there is no other, the error is told at once, with the time that the upstream asked for."""
    made = Gateway([Upstream("u0", ScriptedProvider([status(503, retry_after=3600)]))], {"llama": ["u0"]}, total=60)

    outcome, attempts = await attempts_of(made)

    assert isinstance(outcome, StatusError)
    assert (outcome.status, outcome.retry_after, len(attempts)) == (503, 3600, 1)


async def test_an_open_breaker_costs_no_attempt() -> None:
    """After enough failures the upstream is not asked at all: the next answers at once."""
    first, second = ScriptedProvider([status(500)]), ScriptedProvider(answer("B"))
    made = gateway(first, second, breaker=BreakerConfig(failures=3, cooldown=1000))
    await attempts_of(made)

    outcome, attempts = await attempts_of(made)

    assert (outcome, attempts, len(first.calls)) == ("B", [("u1", "ok")], 3)


async def test_the_only_upstream_is_asked_though_its_breaker_is_open() -> None:
    """A gateway must not be worse than nothing: what has recovered answers at once, and closes the breaker."""
    made = gateway(ScriptedProvider([status(500)], answer("A")), breaker=BreakerConfig(failures=1, cooldown=1000))
    made.upstreams["u0"].breaker.failure()
    assert "open" == made.upstreams["u0"].breaker.state

    outcome, attempts = await attempts_of(made)

    assert (outcome, attempts, made.upstreams["u0"].breaker.state) == ("A", [("u0", "status"), ("u0", "ok")], "closed")


async def test_who_finds_no_room_among_the_trials_is_told_when_to_come_back() -> None:
    """503 with a Retry-After, about as long as the trials have taken until now, and not one attempt."""
    now = 1000.0
    upstream = Upstream("u0", ScriptedProvider(), breaker=BreakerConfig(failures=1, cooldown=1000), time=lambda: now)
    made = Gateway([upstream], {"llama": ["u0"]}, total=0.01)
    upstream.breaker.failure()
    while upstream.breaker.admit(last=True):
        pass
    now += 7

    outcome, attempts = await attempts_of(made)

    assert isinstance(outcome, StatusError)
    assert (outcome.status, outcome.code, outcome.retry_after, attempts) == (503, "upstreams_unavailable", 7, [])


async def test_a_caller_who_leaves_says_nothing_of_the_upstream() -> None:
    """Leaving closes the upstream's answer, is noted as such, and counts neither way."""
    provider = ScriptedProvider(answer("A", "B"))
    result = gateway(provider).create_async_generator("llama", HELLO, stream=True)
    async with result:
        async for _ in result:
            break

    assert result.report is not None
    assert (provider.calls[0].left, [each.outcome for each in result.report.attempts]) == ("closed", ["left"])


async def test_upstreams_are_asked_for_a_stream_with_the_time_that_is_left() -> None:
    """Whatever the caller asked for, the gateway streams; and it hands down the rest of the total clock, not the fields."""
    provider = ScriptedProvider(answer("A"))

    await gateway(provider).create_async_generator("llama", HELLO, stream=False, temperature=0).text()

    assert provider.calls[0].stream is True
    assert set(provider.calls[0].kwargs) == {"temperature"}
    assert provider.calls[0].options.deadline is not None


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        (Clocks(), 600),
        (Clocks(first_token=5), 5),
        (Clocks(first_token=ENGINE_FIRST_TOKEN), 600),
        (Clocks(first_token=5, first_token_last=50), 50),
        (read_timeout({"first_token": 20}, Clocks()), 20),
        (read_timeout(30, Clocks()), 600),
    ],
)
def test_the_last_upstream_gets_the_callers_patience(clocks: Clocks, expected: float) -> None:
    """The first token is waited for as long as the answer may take, unless that clock was set."""
    assert expected == clocks_of(CallOptions(last=True), clocks).first_token


async def test_patience_is_for_the_last_upstream_alone() -> None:
    """An upstream is told that no other can be asked: where it is the last, or those after it rest."""
    first, second = ScriptedProvider([status(500)]), ScriptedProvider([status(500)])
    made = gateway(first, second, breaker=BreakerConfig(failures=1000, cooldown=1000))
    await attempts_of(made)
    made.upstreams["u1"].breaker = Breaker(failures=1, cooldown=1000, time=lambda: 0)
    made.upstreams["u1"].breaker.failure()
    before = len(first.calls)
    await attempts_of(made)

    assert {False} == {call.options.last for call in first.calls[:before]}
    assert {True} == {call.options.last for call in first.calls[before:]} | {call.options.last for call in second.calls}


def test_an_unknown_model_is_named_at_the_call() -> None:
    """A model without a route raises at the call."""
    with pytest.raises(ModelNotFoundError, match="the models are: llama"):
        gateway(ScriptedProvider()).create_async_generator("gpt-9", HELLO)
