"""Probes of upstreams that cost no tokens: what they ask, and what becomes of their findings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.clients.anthropic import Anthropic
from autonomousai.clients.vendors import VENDORS
from autonomousai.config import BreakerConfig
from autonomousai.errors import ConnectError, ProviderError, StatusError
from autonomousai.gateway import Gateway, Upstream
from autonomousai.gateway.breaker import BreakerChange
from autonomousai.gateway.probes import HealthProbes
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.testing import Close, Hang, Head, Script, ScriptedProvider, ScriptedServer, Send, answer


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Probed(ScriptedProvider):
    """A provider whose probes find what a test says, one after the other, the last of it again and again."""

    def __init__(self, *found: bool | ProviderError | None) -> None:
        super().__init__(answer("A"))
        self.found = list(found)
        self.probes = 0

    async def check_health(self) -> bool | None:
        self.probes += 1
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, ProviderError):
            raise found
        return found


def upstream(provider: ScriptedProvider, clock: Clock | None = None, failures: int = 5) -> Upstream:
    return Upstream("u", provider, breaker=BreakerConfig(failures=failures, cooldown=3), time=clock or Clock())


async def probe(each: Upstream) -> HealthProbes:
    probes = HealthProbes([each], 10)
    await probes.probe(each)
    return probes


# ---- what becomes of it


@pytest.mark.parametrize("down", [False, ConnectError("refused"), StatusError("no", status=500)], ids=repr)
async def test_an_upstream_that_is_down_is_known_before_a_caller_finds_out(down: Any) -> None:
    """Its breaker opens, and the next upstream answers without a first attempt."""
    first = upstream(Probed(down))
    made = Gateway([first, Upstream("v", ScriptedProvider(answer("B")))], {"llama": ["u", "v"]})

    probes = await probe(first)
    result = made.create_async_generator("llama", [{"role": "user", "content": "Hello"}], stream=True)

    assert "B" == await result.text()
    assert ["v"] == [attempt.upstream for attempt in (result.report.attempts if result.report else [])]
    assert {"u": False} == probes.up


async def test_one_probe_that_fails_is_no_outage() -> None:
    """A lost packet: it is tried once more."""
    provider = Probed(ConnectError("lost"), True)

    probes = await probe(each := upstream(provider))

    assert (True, 2, {"u": True}) == (each.breaker.is_closed, provider.probes, probes.up)


async def test_an_upstream_without_a_probe_is_left_as_it_is() -> None:
    """None says nothing: a closed breaker stays closed, an open one open."""
    probes = await probe(well := upstream(Probed(None)))
    broken = upstream(Probed(None), failures=1)
    broken.breaker.failure()

    await probe(broken)

    assert (True, False, {}) == (well.breaker.is_closed, broken.breaker.is_closed, probes.up)


async def test_an_answer_is_worth_more_than_a_probe() -> None:
    """Where one came while the probe was under way, the upstream is not down."""
    clock = Clock()

    class Answers(Probed):
        async def check_health(self) -> bool | None:
            clock.now += 1
            each.breaker.success()
            return await super().check_health()

    each = upstream(Answers(False), clock)

    await probe(each)

    assert each.breaker.is_closed


async def test_a_probe_closes_what_probes_have_opened() -> None:
    """No caller has to try."""
    await probe(each := upstream(Probed(False, False, True)))
    opened = each.breaker.state

    await probe(each)

    assert ("open", "closed") == (opened, each.breaker.state)


async def test_a_probe_lets_a_caller_try_what_callers_have_found_broken() -> None:
    """At once, in place of after the cool-down; but once: a server that lives and fails is not tried with each probe."""
    clock = Clock()
    each = upstream(Probed(True), clock, failures=1)
    each.breaker.failure()
    before = each.breaker.would_admit()

    await probe(each)
    tried = each.breaker.admit()
    each.breaker.failure()
    each.breaker.release(trial=True)
    await probe(each)

    assert (False, True, False) == (before, tried, each.breaker.would_admit())
    clock.now += 6
    assert each.breaker.would_admit()


async def test_a_probe_keeps_callers_from_trying_what_is_still_down() -> None:
    """The cool-down is over, and no caller pays for a trial."""
    clock = Clock()
    each = upstream(Probed(False), clock, failures=1)
    each.breaker.failure()
    clock.now += 10

    await probe(each)

    assert not each.breaker.would_admit()
    assert each.breaker.admit(last=True)


async def test_probes_are_made_again_and_again_until_the_gateway_is_closed() -> None:
    """At once, and then every interval, give or take a tenth."""
    slept: list[float] = []
    rounds = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            rounds.set()
            await asyncio.Event().wait()

    provider = Probed(True)
    made = Gateway([upstream(provider)], {"llama": ["u"]}, probe_every=10)
    assert made.probes is not None
    made.probes._sleep = sleep

    async with made:
        await rounds.wait()
        probed = provider.probes
    await asyncio.sleep(0)

    assert (5, 5) == (probed, provider.probes)
    assert all(9 <= seconds <= 11 for seconds in slept)
    assert len(set(slept)) > 1


async def test_a_gateway_that_adopts_another_probes_as_that_does() -> None:
    """The old probes end, and who watches the breakers watches the new ones."""
    old, new = Probed(True), Probed(False)
    made = Gateway([upstream(old)], {"llama": ["u"]}, probe_every=1000)
    changes: list[BreakerChange] = []
    made.breaker_watchers.append(changes.append)

    async with made:
        for _ in range(5):
            await asyncio.sleep(0)
        made.adopt(Gateway([upstream(new)], {"llama": ["u"]}, probe_every=1000))
        for _ in range(5):
            await asyncio.sleep(0)

    assert (1, 2) == (old.probes, new.probes)
    assert [BreakerChange("u", True, 3.0)] == changes


async def test_without_an_interval_nothing_is_probed() -> None:
    """The default."""
    provider = Probed(True)
    made = Gateway([upstream(provider)], {"llama": ["u"]})

    async with made:
        await asyncio.sleep(0)

    assert (None, 0) == (made.probes, provider.probes)


# ---- what they ask


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as made:
        yield made


def ask_openai(url: str, **more: Any) -> AsyncGeneratorProvider:
    return OpenAICompatible(f"{url}/v1", retries=0, **more)


KINDS: dict[str, tuple[Any, str]] = {
    "any": (ask_openai, "/v1/models"),
    "vllm": (lambda url: ask_openai(url, vendor="vllm"), "/health"),
    "sglang": (lambda url: ask_openai(url, vendor="sglang"), "/health"),
    "llama-server": (lambda url: ask_openai(url, vendor="llama-server"), "/health"),
    "groq": (lambda url: ask_openai(url, vendor="groq", api_key="k"), "/v1/models"),
    "a query": (lambda url: OpenAICompatible(f"{url}/v1?api-version=1", retries=0), "/v1/models?api-version=1"),
    "behind a path": (lambda url: OpenAICompatible(f"{url}/a/v1", vendor="vllm", retries=0), "/a/health"),
    "anthropic": (lambda url: Anthropic(url, api_key="k", retries=0), "/v1/models?limit=1"),
    "autonomousai": (lambda url: AutonomousAI(url, api_key="k", retries=0), "/readyz"),
}


@pytest.mark.parametrize(("make", "path"), KINDS.values(), ids=KINDS)
async def test_each_kind_is_asked_for_what_costs_nothing(server: ScriptedServer, make: Any, path: str) -> None:
    """A GET without a body."""
    server.play(Script.status(200, "{}"))
    provider = make(server.url)

    up = await provider.check_health()
    await provider.aclose()

    assert (True, [("GET", path, b"")]) == (up, [(each.method, each.path, each.body) for each in server.requests])


STATUSES = {200: True, 401: True, 403: True, 429: True, 404: None, 405: None, 501: None, 500: False, 502: False, 503: False}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
async def test_what_a_status_says(server: ScriptedServer, status: int, expected: bool | None) -> None:
    """A refusal is an answer of a server that lives; a path that is not there says nothing."""
    server.play(Script.status(status))
    async with OpenAICompatible(f"{server.url}/v1", retries=0) as provider:
        assert expected is await provider.check_health()


async def test_a_server_that_is_away_is_down() -> None:
    """As is one that closes the connection."""
    async with ScriptedServer(Script(Close())) as server:
        url = server.url
        each = Upstream("u", OpenAICompatible(f"{url}/v1", retries=0))
        await probe(each)
        assert not each.breaker.is_closed
    gone = Upstream("u", OpenAICompatible(f"{url}/v1", retries=0))

    await probe(gone)

    assert not gone.breaker.is_closed


async def test_a_long_list_of_models_is_not_read_to_its_end(server: ScriptedServer) -> None:
    """Some vendors' is larger than a megabyte."""
    server.play(Script(Head(content_type="application/json"), Send(b"[" + b" " * 100_000), Hang()))
    async with OpenAICompatible(f"{server.url}/v1", retries=0) as provider:
        up = await provider.check_health()
        left = await (await server.request(0)).over()

    assert (True, "left") == (up, left)


async def test_what_has_no_probe_is_not_asked() -> None:
    """A vendor whose row says so, the hosted service, and providers that know of none."""
    without = OpenAICompatible(vendor="perplexity", api_key="k")

    assert [None] * 3 == [await each.check_health() for each in (without, AutonomousAI(), ScriptedProvider())]
    assert {"perplexity", "bedrock", "cohere", "volcengine", "github"} == {
        name for name, row in VENDORS.items() if not row.health
    }
