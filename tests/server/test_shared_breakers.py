"""Breakers that several servers share by way of Redis: a real one, of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from autonomousai.config import BreakerConfig, Config, ServerConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import shared_breakers
from autonomousai.server.app import App
from autonomousai.server.shared_breakers import SharedBreakers
from autonomousai.testing import ScriptedProvider, answer
from tests.support.redis import redis_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(url) as client:
        await client.flushall()
        yield client


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A gateway, and what it shares."""

    def __init__(self, url: str, machine: str = "m", **more: Any) -> None:
        self.clock = Clock()
        settings = BreakerConfig(failures=1, cooldown=3)
        self.upstream = Upstream("u", ScriptedProvider(answer("A")), machine=machine, breaker=settings, time=self.clock)
        self.gateway = Gateway([self.upstream], {"llama": ["u"]}, **more)
        self.shared = SharedBreakers(url, self.gateway)
        self.gateway._on_started()
        self.gateway.breaker_watchers.append(self.shared._tell)

    @property
    def state(self) -> str:
        return self.upstream.breaker.state

    async def exchange(self, redis: Redis) -> None:
        await self.shared.exchange(redis, self.gateway)


async def test_what_one_server_finds_out_all_know(url: str, redis: Redis) -> None:
    """A breaker that opened there is open here, for as long; and closed, when a trial there has succeeded."""
    one, other = Server(url), Server(url)
    one.upstream.breaker.failure()
    for each in (one, other, one):
        await each.exchange(redis)
    opened = other.state
    resting = other.upstream.breaker.cooling
    one.clock.now += 3
    one.upstream.breaker.admit()
    one.upstream.breaker.success()
    for each in (one, other, one):
        await each.exchange(redis)

    assert "open" == opened
    assert 2 < resting <= 3
    assert ["closed", "closed"] == [one.state, other.state]


async def test_a_server_that_starts_later_knows_too(url: str, redis: Redis) -> None:
    """As long as the cool-down lasts."""
    one = Server(url)
    one.upstream.breaker.failure()
    await one.exchange(redis)

    await (late := Server(url)).exchange(redis)

    assert "open" == late.state


async def test_a_change_is_taken_over_once(url: str, redis: Redis) -> None:
    """A trial here that succeeded meanwhile is not undone by what was said before."""
    one, other = Server(url), Server(url)
    one.upstream.breaker.failure()
    await one.exchange(redis)
    await other.exchange(redis)
    other.clock.now += 3
    other.upstream.breaker.admit()
    other.upstream.breaker.success()
    other.shared._told.clear()  # it could not say so
    other.clock.now += 10

    await other.exchange(redis)

    assert "closed" == other.state


async def test_who_has_just_got_an_answer_does_not_believe_it(url: str, redis: Redis) -> None:
    """The fault may be the other server's own."""
    one, other = Server(url), Server(url)
    one.upstream.breaker.failure()
    other.upstream.breaker.success()
    await one.exchange(redis)

    await other.exchange(redis)

    assert "closed" == other.state


async def test_an_upstream_elsewhere_of_the_same_name_is_another(url: str, redis: Redis) -> None:
    """Two configs may share one Redis."""
    one, other = Server(url, "m"), Server(url, "n")
    one.upstream.breaker.failure()
    await one.exchange(redis)

    await other.exchange(redis)

    assert "closed" == other.state


async def test_what_is_no_notice_is_passed_over(url: str, redis: Redis) -> None:
    """Of another version, say."""
    await redis.set("autonomousai:breaker:1:u:m", b"\xff{")

    await (one := Server(url)).exchange(redis)

    assert "closed" == one.state


async def test_notices_expire(url: str, redis: Redis) -> None:
    """Nothing is left in Redis of an upstream that is gone."""
    one = Server(url)
    one.upstream.breaker.failure()

    await one.exchange(redis)

    keys = await redis.keys("*")
    assert 1 == len(keys)
    assert 0 < await redis.pttl(keys[0]) <= 5000


async def test_servers_share_while_they_run(url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By themselves, from their start to their end; a request has nothing to do with it."""
    monkeypatch.setattr(shared_breakers, "POLL_S", 0.01)
    config = Config(server=ServerConfig(state=url))
    gateways = [Server(url).gateway for _ in range(2)]
    for each in gateways:
        each.breaker_watchers.clear()
    apps = [App(config, each) for each in gateways]
    for app in apps:
        await app.start()

    gateways[0].upstreams["u"].breaker.failure()
    async with asyncio.timeout(30):
        while gateways[1].upstreams["u"].breaker.is_closed:
            await asyncio.sleep(0.01)
    for app in apps:
        await app.aclose()

    assert [[], []] == [each.breaker_watchers for each in gateways]


async def test_a_redis_that_is_away_is_no_failure(tmp_path: Any) -> None:
    """Each server finds out for itself; and one without Redis shares nothing."""
    one = Server(f"unix://{tmp_path}/none.sock")
    one.shared.start()
    one.upstream.breaker.failure()
    for _ in range(20):
        await asyncio.sleep(0)
    running = one.shared._running
    assert running is not None
    assert not running.done()
    await one.shared.aclose()

    alone = Server("memory:")
    alone.shared.start()

    assert alone.shared._running is None
