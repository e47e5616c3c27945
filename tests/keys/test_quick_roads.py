"""What is reserved at once, and written in one piece, is what the longer rules make of it."""

from __future__ import annotations

import datetime as dt
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.keys.counters import KeyCounters
from autonomousai.keys.estimates import prompt_tokens
from autonomousai.keys.limits import Decision, Demand, Limits, period_of
from autonomousai.keys.quotas import KeyQuotas
from autonomousai.keys.records import KeyRecord
from autonomousai.keys.refusals import limit_headers, limit_lines
from autonomousai.keys.stores import MemoryCounters
from autonomousai.request import ChatRequest
from autonomousai.settings import KeyPolicy
from autonomousai.wires.messages import CheckedMessages, check_messages

NOW = 1_800_000_000.0

small = st.integers(0, 40)
limits = st.builds(Limits, small, small, st.integers(0, 4), small, small)
demands = st.builds(lambda least, more, nano, rest: Demand(least, least + more, nano, nano + rest), small, small, small, small)
#: By how much the time moves, what is asked, and what an earlier request took, where one ends first.
steps = st.lists(st.tuples(st.sampled_from([0, 0, 0.5, 1, 7, 70]), demands, st.none() | st.tuples(small, small)), max_size=30)


class Closely(KeyCounters):
    """Counters that look closely at each request."""

    def grant(self, *arguments: Any) -> Decision | None:
        moment, period = int(arguments[0]), arguments[1]
        if moment != self.current or period != self.period or self.earliest <= arguments[0]:
            self._advance(arguments[0], period)
        return None


@given(limits, steps)
def test_a_request_that_clearly_fits_is_decided_as_by_a_closer_look(bounds: Limits, asked: list[Any]) -> None:
    """Whatever came before: the same is reserved, refused, said, and kept."""
    seen = []
    for counters in (KeyCounters(), Closely()):
        now, held, told = NOW, [], []
        for number, (later, demand, ended) in enumerate(asked):
            now += later
            if ended is not None and held:
                hold, reserved = held.pop(0)
                counters.settle(now, "2027-01", hold, *ended, reserved)
            decision = counters.reserve(now, "2027-01", bounds, demand, f"{number}", 60.0)
            told.append(decision)
            if not decision.refused:
                held.append((f"{number}", decision))
        seen.append((told, msgspec.to_builtins(counters)))

    quick, closely = seen
    assert closely == quick


@given(st.lists(st.tuples(st.sampled_from([-70, -1, -0.5, 0, 0.5, 1, 7, 70]), small), min_size=1, max_size=30))
def test_a_limit_is_free_again_when_its_last_bucket_has_left(moves: list[tuple[float, int]]) -> None:
    """Wherever the clock is set."""
    counters, now, said = KeyCounters(), NOW, []
    for number, (later, tokens) in enumerate(moves):
        now += later
        decision = counters.grant(now, "", Limits(10**6, 10**6), tokens, 0, f"{number}", inf)
        assert decision is not None
        last = [max(buckets, default=None) for buckets in (counters.requests, counters.tokens)]
        expected = [0 if second is None else second + 61 - int(now) for second in last]
        said.append(([decision.requests_reset, decision.tokens_reset], expected))

    assert [expected for _, expected in said] == [resets for resets, _ in said]


@pytest.mark.parametrize("anthropic", [False, True])
@pytest.mark.parametrize("bounds", [Limits(), Limits(requests=9), Limits(tokens=9), Limits(10**6, 10**9, 3, 4, 5)])
def test_the_lines_of_a_head_are_its_headers(bounds: Limits, anthropic: bool) -> None:
    """In their order."""
    decision = Decision(requests_left=7, requests_reset=61, tokens_left=0, tokens_reset=12)

    lines = limit_lines(bounds, decision, NOW, anthropic=anthropic).splitlines(keepends=True)

    headers = limit_headers(bounds, decision, NOW, anthropic=anthropic)
    assert [b"%b: %b\r\n" % each for each in headers] == lines


@pytest.mark.parametrize("text", ["", "Hello", "Grüße, 世界 \U0001f98a", "data:" + 600 * "x"])
def test_plain_messages_are_measured_as_others(text: str) -> None:
    """In any script."""
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Hello"}]
    plain = check_messages(messages)
    assert type(plain) is CheckedMessages
    assert plain.plain

    assert prompt_tokens(ChatRequest("llama", messages)) == prompt_tokens(ChatRequest("llama", plain))


class Doubling:
    """Prices that are higher for long prompts."""

    def estimate(self, model: str, prompt_tokens: int, completion_tokens: int, tier: str | None = None) -> float | None:
        if model == "unpriced":
            return None
        factor = 2 if prompt_tokens > 20 or tier is not None else 1
        return factor * (prompt_tokens * 1e-6 + completion_tokens * 3e-6)


@pytest.mark.parametrize(
    "fields", [{}, {"max_tokens": 5}, {"max_tokens": 5, "n": 2}, {"temperature": 1}, {"service_tier": "flex"}]
)
@pytest.mark.parametrize(
    "policy", [{"budget": 10.0}, {"token_budget": 10**6}, {"tokens_per_minute": 10**6}, {"max_concurrency": 9}]
)
@pytest.mark.parametrize("text", ["Hello", 40 * "Hello"])
def test_what_is_granted_is_what_would_be_reserved(text: str, policy: dict[str, Any], fields: dict[str, Any]) -> None:
    """Of each limit, with steps in the prices."""
    record = KeyRecord(id="key_1", name="shop", digest=b"", policy=KeyPolicy(requests_per_minute=9, **policy))
    request = ChatRequest("llama", [{"role": "user", "content": text}], fields=fields)
    held = []
    for grants in (True, False):
        store = MemoryCounters(lambda: NOW)
        quotas = KeyQuotas(store, prices=Doubling(), now=lambda: NOW)
        quotas.reserve_now(record, "before", "llama", request, cheaper=lambda _: False)
        reservation = quotas.grant(record, "a", "llama", request) if grants else None
        if reservation is None:
            assert not grants or "service_tier" in fields
            reservation = quotas.reserve_now(record, "a", "llama", request, cheaper=lambda _: False)
        assert reservation is not None
        kept = msgspec.to_builtins(store.keys["key_1"])
        reservation.settle()
        held.append(
            (reservation.decision, reservation.prompt, kept, msgspec.to_builtins(store.keys["key_1"]), list(quotas._live))
        )

    assert held[0] == held[1]
    assert inf == held[0][2]["earliest"]


def test_a_model_without_a_price_is_not_granted() -> None:
    """Nor held: the longer rules say why."""
    record = KeyRecord(id="key_1", name="shop", digest=b"", policy=KeyPolicy(budget=10.0))
    store = MemoryCounters(lambda: NOW)
    quotas = KeyQuotas(store, prices=Doubling(), now=lambda: NOW)
    request = ChatRequest("llama", [{"role": "user", "content": "Hello"}])
    quotas.reserve_now(record, "before", "llama", request, cheaper=lambda _: False)

    assert quotas.grant(record, "a", "unpriced", request) is None
    assert ["before"] == list(store.keys["key_1"].holds)


@given(st.lists(st.tuples(st.sampled_from(["day", "month"]), st.floats(0, 4e9)), max_size=5), st.sampled_from([0, -0.25, 0.25]))
def test_a_period_is_named_as_its_time_is(asked: list[tuple[Any, float]], beside: float) -> None:
    """Whatever was asked before, and close to midnight."""
    for kind, now in [*asked, *((kind, max(0.0, now // 86400 * 86400 + beside)) for kind, now in asked)]:
        moment = dt.datetime.fromtimestamp(now, dt.UTC)

        assert period_of(KeyPolicy(budget_period=kind), now) == f"{moment:{'%Y-%m-%d' if kind == 'day' else '%Y-%m'}}"
