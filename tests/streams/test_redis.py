"""What is particular to Redis: it may be away, and it forgets by itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from autonomousai.errors import ConfigError
from autonomousai.streams.stores import LeaseLostError, StoreError, StreamVanishedError, open_state
from autonomousai.streams.stores.redis import RedisStore
from autonomousai.streams.stores.redis_records import RecordConnection
from tests.support.lines import LineCounter
from tests.support.redis import redis_server

NOWHERE = "unix:///nowhere/redis.sock"


async def test_a_server_that_is_not_there() -> None:
    """At the start the operator is told; what the URL carries is not repeated."""
    store = open_state("redis://:secret@127.0.0.1:1", keep_s=300, max_bytes=1)

    with pytest.raises(ConfigError) as caught:
        await store.open()
    await store.aclose()

    assert "server.state: Redis at 127.0.0.1 cannot be used" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_server_that_goes_away() -> None:
    """While serving it is an error of the place, whatever is asked."""
    with redis_server() as url:
        store = RedisStore(url, keep_s=300)
        await store.open()
        lease = await store.create("s", b"owner", b"")

    for work in (
        lambda: store.create("t", b"owner", b""),
        lambda: store.find("s"),
        lambda: store.append("s", lease, 1, b"a"),
        lambda: store.read("s", 0),
        lambda: store.wait("s", 0, 1),
        lambda: store.claim("s"),
        lambda: store.release("s", lease),
        lambda: store.drop("s"),
        lambda: store.heartbeat({"s": lease}, ["t"]),
    ):
        with pytest.raises(StoreError):
            await work()
    await store.aclose()


async def test_an_error_quotes_no_command(tmp_path: Path) -> None:
    """What Redis refuses holds what a caller wrote."""
    with redis_server() as url:
        store = RedisStore(url, keep_s=300)
        await store.open()
        async with Redis.from_url(url) as redis:
            await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(StoreError) as caught:
                await store.create("s", b"o", b"a prompt")
        await store.aclose()

    assert "Redis at the socket: You can't write against a read only replica." == str(caught.value)


async def test_nothing_stays_for_ever(redis_url: str) -> None:
    """Every key has its time, from the first moment on: a server that dies leaves nothing behind that does not go by itself."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        lease = await store.create("s", b"owner", b"request")
        left = [[await redis.ttl(key) for key in await redis.keys("*")]]
        await store.append("s", lease, 1, b"a")
        await store.heartbeat({"s": lease}, ["s"])
        left.append([await redis.ttl(key) for key in await redis.keys("*")])
        await store.drop("s")
        left.append([await redis.ttl(key) for key in await redis.keys("*")])
    await store.aclose()

    assert [2, 5, 3] == [len(each) for each in left]  # with the bytes that were written
    assert all(seconds > 0 for each in left for seconds in each)


async def test_a_record_that_is_sent_again(redis_url: str) -> None:
    """Where the answer to an append was lost, redis-py sends it again: it is stored once, the last one as well."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    lease = await store.create("s", b"owner", b"")
    for _ in range(2):
        await store.append("s", lease, 1, b"a")
    for _ in range(2):
        await store.append("s", lease, 2, b"b", end=True)
    page = await store.read("s", 0)
    await store.aclose()

    assert ([b"a", b"b"], True) == (page.records, page.ended)


async def test_records_that_are_sent_again_together(redis_url: str) -> None:
    """All that were in one piece are, where its answers were lost: each is stored once."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    lease = await store.create("s", b"owner", b"")
    for _ in range(2):
        await asyncio.gather(*(store.append("s", lease, number, b"%d" % number, end=number == 3) for number in (1, 2, 3)))
    page = await store.read("s", 0)
    await store.aclose()

    assert ([b"1", b"2", b"3"], True) == (page.records, page.ended)


async def test_what_servers_of_the_former_layout_left(redis_url: str) -> None:
    """It has other keys: it is neither found nor taken over."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        await redis.hset(
            "autonomousai:stream:{s}", mapping={"owner": b"o", "question": b"{}", "state": "running", "last": 1, "lease": 1}
        )
        await redis.xadd("autonomousai:stream:{s}:pieces", {"d": b"id: 1"}, id="1-0")
    found, claim = await store.find("s"), await store.claim("s")
    await store.aclose()

    assert (None, None) == (found, claim)


def test_a_url_that_is_none() -> None:
    """A mistake of the config."""
    with pytest.raises(ConfigError, match=r"server\.state: is not a URL of Redis"):
        open_state("redis://host:port", keep_s=300, max_bytes=1)


@pytest.mark.parametrize("option", ["colour", "socket_timeouts"])
def test_an_option_that_there_is_not(option: str) -> None:
    """A mistake of the config that names it, and no traceback at the first request; what there is, is taken."""
    with pytest.raises(ConfigError, match=f"server.state: has the option '{option}', which redis-py does not know"):
        open_state(f"redis://host?{option}=1", keep_s=300, max_bytes=1)
    open_state("redis://host/3?protocol=2&socket_keepalive=yes", keep_s=300, max_bytes=1)


async def test_all_servers_together_are_bounded(redis_url: str) -> None:
    """What one has written counts at the other; streams that have ended go first, and then nothing more is taken."""
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    stores = [RedisStore(redis_url, keep_s=300, max_bytes=100_000) for _ in range(2)]
    for name in "ab":
        lease = await stores[0].create(name, b"owner", b"")
        await stores[0].append(name, lease, 1, bytes(45_000), end=True)
    lease = await stores[1].create("s", b"owner", b"")
    await stores[1].append("s", lease, 1, bytes(50_000))
    await stores[1].heartbeat({"s": lease}, ())
    await stores[0].heartbeat({}, ())
    states = [info.state for name in "abs" if (info := await stores[1].find(name))]
    await stores[0].heartbeat({}, ())
    await stores[1].heartbeat({"s": lease}, ())
    with pytest.raises(StoreError, match="is full"):
        for number in range(2, 5):
            await stores[1].append("s", lease, number, bytes(40_000))
    for store in stores:
        await store.aclose()

    assert ["gone", "ended", "running"] == states


async def test_what_another_server_keeps_for_longer_counts(redis_url: str) -> None:
    """Also at one that has kept nothing of the kind yet; and what is dropped makes room at once."""
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    stores = [RedisStore(redis_url, keep_s=300, kept_s=86_400, max_bytes=100_000) for _ in range(2)]
    lease = await stores[0].create("long", b"owner", b"", 86_400)
    await stores[0].append("long", lease, 1, bytes(95_000), end=True)
    for store in stores:
        await store.heartbeat({}, ())
    with pytest.raises(StoreError, match="is full"):
        await stores[1].create("s", b"owner", bytes(10_000))
    await stores[0].drop("long")
    for store in stores:
        await store.heartbeat({}, ())
    lease = await stores[1].create("s", b"owner", bytes(10_000))
    for store in stores:
        await store.aclose()

    assert 1 == lease


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py is only needed where it is used; where it is missing, the error says how to get it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "autonomousai.streams.stores.redis", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_WithoutRedis(), *sys.meta_path])

    open_state("memory:", keep_s=300, max_bytes=1)
    open_state(f"sqlite:{Path('x')}", keep_s=300, max_bytes=1)
    with pytest.raises(ConfigError, match=r"pip install 'autonomousai\[redis\]'"):
        open_state(NOWHERE, keep_s=300, max_bytes=1)


class _WithoutRedis:
    """An environment in which redis-py is not installed."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.split(".", maxsplit=1)[0] == "redis":
            raise ModuleNotFoundError(f"No module named {name!r}", name="redis")


async def connections(url: str) -> int:
    """How many Redis has taken so far."""
    async with Redis.from_url(url) as redis:
        return int((await redis.info("stats"))["total_connections_received"])


async def test_records_that_come_at_once_are_stored_together(redis_url: str) -> None:
    """Those of all streams take one connection, and not one each; every record is there."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    names = [f"s{number}" for number in range(600)]  # more than go together
    leases = [await store.create(name, b"owner", b"") for name in names]
    before = await connections(redis_url)

    await asyncio.gather(*(store.append(name, lease, 1, name.encode()) for name, lease in zip(names, leases, strict=True)))

    after = await connections(redis_url)
    pages = [await store.read(name, 0) for name in names]
    await store.aclose()
    assert after - before <= 2  # one of them counts
    assert [[name.encode()] for name in names] == [page.records for page in pages]


async def test_records_that_come_shortly_after_others_wait_for_more(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one waits for none; what comes within the pause behind it goes in one round trip."""
    store = RedisStore(redis_url, keep_s=300)
    await store.open()
    lease = await store.create("s", b"owner", b"")
    trips: list[int] = []
    exchange, pause = RecordConnection.exchange, asyncio.Event()

    async def counted(self: RecordConnection, commands: Sequence[bytes]) -> list[Any]:
        trips.append(len(commands))
        return await exchange(self, commands)

    async def until_set(seconds: float) -> None:
        assert seconds > 0
        await pause.wait()

    monkeypatch.setattr(RecordConnection, "exchange", counted)
    monkeypatch.setattr("autonomousai.streams.stores.redis._PAUSE_S", 3600)
    monkeypatch.setattr("autonomousai.streams.stores.redis.sleep", until_set)
    try:
        await store.append("s", lease, 1, b"a")
        later = []
        for number in range(2, 6):
            later.append(store.append("s", lease, number, b"b"))
            await asyncio.sleep(0)
        pause.set()
        await asyncio.gather(*later)
    finally:
        await store.drop("s")
        await store.aclose()

    assert trips == [1, 4]


async def test_of_records_that_are_stored_together_each_has_its_own_fate(redis_url: str) -> None:
    """One writer has lost its lease, one stream is not there: the others are stored, also where Redis forgot the script."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        lease = await store.create("s", b"owner", b"")
        await store.create("t", b"owner", b"")
        for number in (1, 2):
            first = store.append("s", lease, 2 * number - 1, b"first")
            others = [store.append("s", lease, 2 * number, b"last"), store.append("t", 7, 1, b""), store.append("u", 1, 1, b"")]
            await first
            fates = await asyncio.gather(*others, return_exceptions=True)

            assert [type(None), LeaseLostError, StreamVanishedError] == [type(fate) for fate in fates]
            await redis.script_flush()
    page = await store.read("s", 0)
    await store.aclose()

    assert [b"first", b"last"] * 2 == page.records


async def test_a_connection_that_breaks_costs_no_stream(redis_url: str) -> None:
    """The records of all streams take it: they are sent again, and each is stored once."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        names = [f"s{number}" for number in range(20)]
        leases = [await store.create(name, b"owner", b"") for name in names]

        async def write(name: str, lease: int) -> None:
            for number in range(1, 41):
                await store.append(name, lease, number, b"%d" % number)
                if name == "s0" and number % 10 == 0:
                    await redis.client_kill_filter(_type="normal", skipme=True)

        fates = await asyncio.gather(*map(write, names, leases), return_exceptions=True)
    pages = [await store.read(name, 0) for name in names]
    await store.aclose()

    assert [None] * 20 == fates
    assert [[b"%d" % number for number in range(1, 41)]] * 20 == [page.records for page in pages]


async def test_records_that_were_stored_are_known_to_be(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis forgot the script, and goes away while the records of a batch are stored again, one by one."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        leases = [await store.create(name, b"owner", b"") for name in "abcd"]
        await redis.script_flush()
    append_one, calls = store._append_one, 0

    async def goes_away(append: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise StoreError("away")
        return await append_one(append)

    monkeypatch.setattr(store, "_append_one", goes_away)
    appends = [store.append(name, lease, 1, b"") for name, lease in zip("abcd", leases, strict=True)]
    fates = await asyncio.gather(*appends, return_exceptions=True)
    await store.aclose()

    assert [type(None), type(None), StoreError, StoreError] == [type(fate) for fate in fates]


async def test_without_redis_every_record_that_waits_is_refused() -> None:
    """None is left waiting."""
    with redis_server() as url:
        store = RedisStore(url, keep_s=300)
        lease = await store.create("s", b"owner", b"")

    fates = await asyncio.gather(*(store.append("s", lease, number, b"a") for number in range(1, 9)), return_exceptions=True)
    await store.aclose()

    assert [StoreError] * 8 == [type(fate) for fate in fates]


async def appended(store: RedisStore, names: dict[str, int], number: int) -> None:
    """Store a record of each stream, at once."""
    await asyncio.gather(*(store.append(name, lease, number, b"x" * 100) for name, lease in names.items()))


@pytest.mark.parametrize(("streams", "bound"), [(1, 900), (40, 350)])
async def test_a_record_costs_little_whether_others_come_with_it_or_not(redis_url: str, streams: int, bound: int) -> None:
    """In lines of Python, of asyncio and redis-py too: with its pool it was 1,440 for one, and 600 for each of forty."""
    store = RedisStore(redis_url, keep_s=300)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    names = {f"s{number}": await store.create(f"s{number}", b"owner", b"") for number in range(streams)}
    for number in (1, 2):  # the first connects, and loads the script
        await appended(store, names, number)
    with LineCounter() as counter:
        for number in range(3, 13):
            await appended(store, names, number)
    await store.aclose()

    assert counter.count / 10 / streams < bound
