"""Ten servers with one Redis, and workers with one file: limits and budgets hold for all of them together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autonomousai.config import Config, KeyConfig, LedgerConfig, ServerConfig
from autonomousai.events import Usage
from autonomousai.server import create_app
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.keys.conftest import key
from tests.support.redis import redis_server
from tests.support.sockets import CHAT, HELLO, Listening, ask, listening, request

SERVERS, EACH = 10, 8
SHOP = "sk-shop"
BEARER = {"authorization": f"Bearer {SHOP}"}


@asynccontextmanager
async def servers(
    state: str, policy: dict[str, Any], provider: ScriptedProvider, count: int = SERVERS
) -> AsyncIterator[list[Listening]]:
    """Serve *provider* by that many servers with one key and one state."""
    keys: dict[str, KeyConfig] = {"shop": key(SHOP, **policy)}
    async with AsyncExitStack() as stack:
        places = []
        for _ in range(count):
            app = create_app(
                Config(server=ServerConfig(state=state), keys=keys, ledger=LedgerConfig(url="off")), provider=provider
            )
            places.append(await stack.enter_async_context(listening(app)))
            await app.start()
        yield places


class Rendezvous(Pause):
    """A pause that ``count`` answers come to: then ``complete`` is set."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.complete = asyncio.Event()
        self._missing = count

    async def wait(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self.complete.set()
        await super().wait()


def settled(server: Listening, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set when that server's store has settled an answer."""
    done = asyncio.Event()
    store = server.app._keys._quotas._store
    settle = store.settle

    async def noted(*arguments: Any) -> None:
        await settle(*arguments)
        done.set()

    monkeypatch.setattr(store, "settle", noted)
    return done


@pytest.fixture(params=["sqlite", "redis"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path / 'state.db'}"
    else:
        with redis_server() as url:
            yield url


async def flood(places: list[Listening], **body: Any) -> Counter[int]:
    """Let each server get its requests, all at once; return how many had which status."""
    asked = [ask(place.port, request("POST", CHAT, {**HELLO, **body}, **BEARER)) for place in places for _ in range(EACH)]
    return Counter(answered.status for answered in await asyncio.gather(*asked))


async def test_requests_a_minute(state):
    """Eighty come to ten servers in one moment, and as many are answered as one server would answer."""
    async with servers(state, {"requests_per_minute": 23}, ScriptedProvider()) as places:
        assert {200: 23, 429: 57} == await flood(places)


async def test_a_budget_is_never_overrun(state):
    """Each answer takes what it reserves: what is spent is not above the budget, and the last that fits is answered."""
    provider = ScriptedProvider(["x", answer(usage=Usage(30, 70, 100))])
    async with servers(state, {"token_budget": 1_000}, provider) as places:
        counted = await flood(places, max_tokens=90)
        again = await flood(places, max_tokens=90)

    assert 9 <= counted[200] <= 10
    assert counted[200] + again[200] <= 10
    assert 10 * 100 >= 100 * (counted[200] + again[200])


async def test_answers_at_once(state):
    """Those that wait at ten servers together."""
    pause = Rendezvous(5)
    async with servers(state, {"max_concurrency": 5}, ScriptedProvider(["x", pause, answer()])) as places:
        flooding = asyncio.create_task(flood(places))
        await pause.complete.wait()
        pause.release()
        counted = await flooding

    assert counted[200] >= 5
    assert 80 == counted[200] + counted[429]


async def test_a_stream_that_another_server_takes_over_is_settled_once(monkeypatch):
    """By the one that ends it; nothing stays reserved."""
    pause = Pause()
    provider = ScriptedProvider(
        ["Hello", pause, answer(usage=Usage(5, 2, 7))], ["Hello", " world", answer(usage=Usage(5, 2, 7))]
    )
    with redis_server() as url:
        async with servers(url, {"token_budget": 10_000, "max_concurrency": 1}, provider, 2) as places:
            reader, writer = await asyncio.open_connection("127.0.0.1", places[0].port)
            writer.write(request("POST", CHAT, {**HELLO, "stream": True}, x_stream_resumable="1", **BEARER))
            head = (await reader.readuntil(b"Hello")).decode()
            stream = next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("x-stream-id"))
            places[0].app.cancel_all()
            writer.close()
            await places[0].app.empty()
            is_settled = settled(places[1], monkeypatch)
            rest = await ask(places[1].port, request("GET", f"/v1/streams/{stream}", **BEARER))
            await is_settled.wait()
            await asyncio.gather(*places[1].app._keys._quotas._tasks)  # the renewal of what was taken over may come last
            redis = places[1].app._keys._quotas._store._store._redis
            holds = await redis.zcard("autonomousai:key:1:{config/shop}:holds")
            totals = await redis.hgetall("autonomousai:key:1:{config/shop}")

    assert b"Hello" in rest.body
    assert 0 == holds
    assert [b"0", b"0"] == [totals.get(name, b"0") for name in (b"ht", b"hn")]
    assert 1_024 <= int(totals[b"st"]) <= 1_050, "it cannot be continued, and what was generated is not known"


async def test_without_redis_each_server_counts_by_itself():
    """Requests are answered, up to each server's own count of the limit."""
    with redis_server() as url:
        async with servers(url, {"requests_per_minute": 3}, ScriptedProvider(), 2) as places:
            together = await flood(places)
            for place in places:
                await place.app._keys._quotas._store._store._redis.aclose()
                place.app._keys._quotas._store._store._do = away
            alone = await flood(places)

    assert 3 == together[200]
    assert 2 * 3 == alone[200]


async def away(work: Any) -> Any:
    from autonomousai.keys.stores import CounterStoreError  # noqa: PLC0415

    raise CounterStoreError("away")
