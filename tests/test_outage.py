"""Stores that are away: said once, and counted; and files that were removed while they are open."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from autonomousai.config import Config, KeyConfig, LedgerConfig, Secret, ServerConfig
from autonomousai.keys.limits import Demand, Limits
from autonomousai.keys.stores import CounterStoreError
from autonomousai.keys.stores.sqlite import SqliteCounters
from autonomousai.ledger.database import Database
from autonomousai.ledger.key_rows import insert_key, read_keys
from autonomousai.ledger.place import place_of
from autonomousai.limiter import RequestLimiter
from autonomousai.outage import Outage
from autonomousai.request import ChatRequest
from autonomousai.server import create_app
from autonomousai.settings import CacheConfig, ResumeConfig
from autonomousai.streams.broker import StreamBroker
from autonomousai.streams.stores import StoreError, StreamVanishedError
from autonomousai.streams.stores.sqlite import SqliteStore
from autonomousai.testing import ScriptedProvider
from autonomousai.wires.registry import OPENAI_CHAT
from tests.ledger.entries import entry
from tests.ledger.test_writer import ids_in
from tests.support.fleet import DurableRedis
from tests.support.metrics import counted
from tests.support.sockets import CHAT, HELLO, PATIENCE, ask, events, listening, request

MONTH = "2027-01"
LIMITS = Limits(token_budget=100)


def test_an_outage_is_said_once(caplog):
    """Whatever fails in it, and with no secret of a URL."""
    outage = Outage("this is away", "this is back")

    for _ in range(3):
        outage.begin(ConnectionError("redis://user:secret@host refused"))
    was_on = outage.is_on
    for _ in range(3):
        outage.end()

    first, last = [record.message for record in caplog.records]
    assert (True, False) == (was_on, outage.is_on)
    assert first.startswith("this is away: ")
    assert "secret" not in first
    assert "this is back" == last


# ---- a file that is open, and was removed or replaced


def remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def replace(path: Path) -> None:
    """Put another file in its place, as a copy that is brought back is."""
    remove(path)
    path.touch()


removed = pytest.mark.parametrize("happen", [remove, replace])


@removed
async def test_counters_continue_in_the_file_that_is_there(tmp_path, happen):
    """So that all workers count together, those too that were started since."""
    first, second = (SqliteCounters(str(tmp_path / "state")) for _ in range(2))
    await first.open()
    await first.reserve("k", MONTH, LIMITS, Demand(60, 60), "a")

    happen(tmp_path / "state")
    await first.reserve("k", MONTH, LIMITS, Demand(50, 50), "b")
    await second.open()
    refused = await second.reserve("k", MONTH, LIMITS, Demand(60, 60), "c")
    for store in (first, second):
        await store.aclose()

    assert "token_budget" == refused.refused


@removed
async def test_streams_continue_in_the_file_that_is_there(tmp_path, happen):
    """What was begun before is not there any more; what begins then, another process finds."""
    first, second = (SqliteStore(tmp_path / "state", keep_s=300) for _ in range(2))
    await first.open()
    lease = await first.create("lost", b"owner", b"")

    happen(tmp_path / "state")
    with pytest.raises(StreamVanishedError):
        await first.append("lost", lease, 1, b"a")
    lease = await first.create("kept", b"owner", b"")
    await first.append("kept", lease, 1, b"a")
    await second.open()
    page = await second.read("kept", 0)
    for store in (first, second):
        await store.aclose()

    assert [b"a"] == page.records


@removed
async def test_the_ledger_continues_in_the_file_that_is_there(tmp_path, happen, caplog):
    """Entries, and keys that are made: what is written to a file without a name is lost. It is said."""
    path = tmp_path / "ledger.db"
    place = place_of(str(path))
    assert place is not None
    with closing(Database(place)) as database:
        database.open()
        database.write([entry("before")])
        happen(path)
        database.write([entry("after")])
        happen(path)
        insert_key(database, "key_1", "shop", b"{}")
        keys = read_keys(database)
        database.write([entry("last")])

    assert ([b"{}"], ["last"]) == (keys, ids_in(str(path)))
    assert 2 == sum("removed or replaced" in record.message for record in caplog.records)


# ---- a disk that is full


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Let no file of this process grow beyond what the largest of these has, until the block is left."""
    largest = max(each.stat().st_size for each in path.parent.glob(f"{path.name}*")) + 100_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_counters_are_used_again_once_the_disk_has_room(tmp_path):
    """No transaction stays open: each would fail for ever. What was refused is not counted."""
    store = SqliteCounters(str(tmp_path / "state"))
    await store.open()
    held = await store.reserve("k", MONTH, LIMITS, Demand(10, 10), "a")

    with full_disk(tmp_path / "state"):
        for _ in range(3):
            with pytest.raises(CounterStoreError):
                await fill(lambda number: store.reserve(f"k{number}", MONTH, LIMITS, Demand(10, 10), "x" * 5_000))
    await store.settle("k", MONTH, "a", 7, 0, held)
    standing = await store.look("k", MONTH)
    await store.aclose()

    assert (7, 0) == (standing.spent_tokens, standing.holds)


async def test_streams_are_stored_again_once_the_disk_has_room(tmp_path):
    """The same of streams."""
    store = SqliteStore(tmp_path / "state", keep_s=300)
    await store.open()
    lease = await store.create("s", b"owner", b"")

    with full_disk(tmp_path / "state"):
        for _ in range(3):
            with pytest.raises(StoreError):
                await fill(lambda number: store.create(f"{number}-{id(lease)}", b"owner", bytes(100_000)))
    await store.append("s", lease, 1, b"a", end=True)
    page = await store.read("s", 0)
    await store.aclose()

    assert ([b"a"], True) == (page.records, page.ended)


async def fill(write: Callable[[int], Awaitable[Any]]) -> None:
    for number in range(10_000):
        await write(number)


# ---- a server


async def test_an_outage_lasts_until_something_can_be_written(tmp_path, monkeypatch, caplog):
    """A store that can only be read is away: looking at it each second ends nothing, and says nothing again."""
    store = SqliteStore(tmp_path / "state", keep_s=300)
    broker = StreamBroker(
        store, ScriptedProvider(), ready=ready, resolve=str, places=RequestLimiter(4, 1), config=ResumeConfig(), heartbeat_s=60
    )
    await broker.open()

    async def refuse(*arguments: Any) -> int:
        raise StoreError("it can only be read")

    with monkeypatch.context() as reading:
        reading.setattr(store, "create", refuse)
        begun = await broker.begin(ChatRequest("llama", HELLO["messages"]), b"key", "req_1", OPENAI_CHAT)
        for _ in range(3):
            await broker.heartbeat()
        lasted = broker.outage.is_on
    await broker.heartbeat()
    ended = not broker.outage.is_on
    await broker.aclose()

    assert (None, True, True) == (begun, lasted, ended)
    assert ["answers cannot be resumed: it can only be read", "answers can be resumed again"] == caplog.messages


async def ready() -> None:
    """Nothing is to be started."""


async def test_an_outage_of_redis_is_said_once_and_counted(tmp_path, caplog, monkeypatch):
    """Answers come all the same; what is shared is shared again when it is back, without a restart."""
    monkeypatch.setattr("autonomousai.keys.stores.fallback.AWAY_S", 0.01)
    monkeypatch.setattr("autonomousai.caching.provider._REST_S", 0.01)
    redis = DurableRedis(tmp_path)
    redis.start()
    config = Config(
        server=ServerConfig(state=redis.url, admin_keys=(Secret("sk-admin"),)),
        keys={"shop": KeyConfig(key=Secret("sk-shop"), requests_per_minute=1_000)},
        ledger=LedgerConfig(url=str(tmp_path / "ledger.db")),
        cache=CacheConfig(store=redis.url),
    )
    try:
        async with listening(create_app(config, provider=ScriptedProvider())) as place:

            async def answered(resumable: bool) -> bool:
                headers = {"authorization": "Bearer sk-shop", **({"x_stream_resumable": "1"} if resumable else {})}
                said = await ask(place.port, request("POST", CHAT, {**HELLO, "stream": resumable}, **headers))
                return said.status == 200 and (not resumable or events(said.body)[-1] == "[DONE]")

            async def failing(wanted: set[str]) -> None:
                """Wait until these stores are away, and no other."""
                async with asyncio.timeout(PATIENCE):
                    while {(each,) for each in wanted} != (await counted(place.port, "sk-admin")).by(
                        "store_failing", "store"
                    ).keys():
                        assert all([await answered(True), await answered(False)])

            assert await answered(True)
            redis.kill()
            await failing({"limits", "streams", "cache"})
            redis.start()
            await failing(set())
    finally:
        redis.kill()

    said = [record.message.partition(":")[0] for record in caplog.records if record.name == "autonomousai.server"]
    assert sorted(said) == sorted(
        [
            "keys' limits are counted by each process for itself",
            "keys' limits are counted together again",
            "answers cannot be resumed",
            "answers can be resumed again",
            "answers are neither cached nor found in the cache",
            "the cache of answers is used again",
        ]
    )
