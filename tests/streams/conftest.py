"""The three stores, each with its clock in the test's hand. Redis is a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from autonomousai.streams.broker import StreamBroker
from autonomousai.streams.stores import Store
from autonomousai.streams.stores.memory import MemoryStore
from autonomousai.streams.stores.redis import RedisStore
from autonomousai.streams.stores.sqlite import SqliteStore
from tests.support.redis import redis_server

KEEP_S = 300.0


@dataclass
class Place:
    """A store, another process's view of the same place, and time that passes when it is told to."""

    store: Store
    other: Store
    pass_time: Callable[[float], Awaitable[None]]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server for all tests; each of them empties it first."""
    with redis_server() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Each of the three in turn, open and empty. In memory there is no other process: both are one store."""
    time = 1_000_000.0

    async def pass_time(seconds: float) -> None:
        nonlocal time
        time += seconds

    stores: list[Store]
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            stores = [MemoryStore(keep_s=KEEP_S, max_bytes=10**9, now=lambda: time)] * 2
        elif request.param == "sqlite":
            stores = [SqliteStore(tmp_path / "state.db", keep_s=KEEP_S, now=lambda: time) for _ in range(2)]
        else:
            url = request.getfixturevalue("redis_url")
            redis = await stack.enter_async_context(Redis.from_url(url))
            await redis.flushall()
            stores = [RedisStore(url, keep_s=KEEP_S) for _ in range(2)]

            async def pass_time(seconds: float) -> None:
                """Redis has a clock of its own: what would have lapsed by then lapses now."""
                for key in await redis.keys("*"):
                    left = await redis.pttl(key)
                    if left >= 0 and left <= seconds * 1000:
                        await redis.delete(key)
                    elif left >= 0:
                        await redis.pexpire(key, left - round(seconds * 1000))

        for store in stores:
            await store.open()
            stack.push_async_callback(store.aclose)
        yield Place(stores[0], stores[1], pass_time)


async def soon(work: Awaitable[object]) -> None:
    """Something that does not take long, on any machine."""
    await asyncio.wait_for(work, 60)


async def quiet(streams: StreamBroker) -> None:
    """Until nothing is at work in *streams*: what ends may begin one thing more, a lease that is given back."""
    while not streams.idle.is_set():
        await soon(streams.idle.wait())
