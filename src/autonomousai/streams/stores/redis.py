"""Streams in Redis or Valkey, which any number of servers share. Only here redis-py is imported.

A stream is a hash (what is known of it) and a Redis stream (its records, each under its number); its lease and the notice that
it is read are keys of their own, which expire by the server's clock. What must happen at once is a script. All keys of a stream
lie in one slot of a cluster.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import sleep
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from ...errors import ConfigError
from ...outage import said_by
from .redis_records import RecordConnection, packed
from .room import SharedRoom
from .store import (
    LEASE_S,
    PAGE,
    REMEMBERED_S,
    Claim,
    GoneError,
    Heartbeat,
    LeaseLostError,
    Page,
    StoreError,
    StreamInfo,
    StreamVanishedError,
    context_keep_s,
)

#: The layout has a number: what servers of another layout left behind has other keys, and expires.
_KEY: Final = "autonomousai:stream:3:{%s}"

#: Milliseconds that a stream is remembered after its records have gone.
_REMEMBERED: Final = round(REMEMBERED_S * 1000)

#: What a heartbeat says of a stream that Redis knows nothing of.
_VANISHED: Final = -2

#: The bytes that are kept for so long, and were written in such a part of that time, by all servers together.
_WRITTEN: Final = "autonomousai:bytes:3:%d:%d"

_UNBOUNDED: Final = 2**63

#: Seconds that a connection may take, and that a reply may.
_TIMEOUT_S: Final = 5.0

#: Records that are stored in one round trip at most.
_GATHERED: Final = 256

#: Seconds between two round trips: one costs as much as some ten records more in it. A record that comes alone waits for none.
_PAUSE_S: Final = 0.008

#: Commands at once; more of them wait. Those that wait for records are not counted, and have a connection each.
_CONCURRENCY: Final = 50
_MAX_CONNECTIONS: Final = 10_000

# KEYS in all scripts: the hash, the records, the lease, the notice that the stream is read. *keep*, *remember*: milliseconds.

_APPEND: Final = """
local known = redis.call('HMGET', KEYS[1], 'lease', 'state', 'last', 'keep')
local lease, number, data, ending, remember = unpack(ARGV)
local keep = tonumber(known[4])
if not known[1] then return -1 end
if known[1] ~= lease then return 0 end
if tonumber(known[3]) >= tonumber(number) then return keep end  -- sent again, because the reply was lost
if known[2] ~= 'running' then return 0 end
redis.call('XADD', KEYS[2], number .. '-0', 'd', data)
redis.call('HSET', KEYS[1], 'last', number)
if ending == '1' then
    redis.call('HSET', KEYS[1], 'state', 'ended')
    redis.call('DEL', KEYS[3])
end
redis.call('PEXPIRE', KEYS[1], keep + remember)
redis.call('PEXPIRE', KEYS[2], keep)
return keep
"""

_FIND: Final = """
local known = redis.call('HMGET', KEYS[1], 'owner', 'state', 'last')
if known[3] and known[3] ~= '0' and redis.call('EXISTS', KEYS[2]) == 0 then known[2] = 'gone' end
return known
"""

_READ: Final = """
local known = redis.call('HMGET', KEYS[1], 'state', 'last')
if not known[1] or known[1] == 'gone' then return {'gone'} end
local records = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-1', '+', 'COUNT', ARGV[2])
return {known[1], known[2], records}
"""

_CLAIM: Final = """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return false end
if ARGV[2] == '0' and redis.call('EXISTS', KEYS[3]) == 1 then return false end
local lease = redis.call('HINCRBY', KEYS[1], 'lease', 1)
redis.call('SET', KEYS[3], lease, 'PX', ARGV[1])
local known = redis.call('HMGET', KEYS[1], 'last', 'request')
return {lease, known[1], known[2]}
"""

_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'lease') == ARGV[1] then redis.call('DEL', KEYS[3]) end
"""

_DROP: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('HSET', KEYS[1], 'state', 'gone')
redis.call('HDEL', KEYS[1], 'request')
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""

_HEARTBEAT: Final = """
local known = redis.call('HMGET', KEYS[1], 'lease', 'state', 'keep')
if not known[1] then return -2 end
if known[1] ~= ARGV[1] or known[2] == 'gone' then return -1 end
if known[2] ~= 'running' then return 0 end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[2], known[3])
redis.call('PEXPIRE', KEYS[1], known[3] + ARGV[3])
return redis.call('EXISTS', KEYS[4])
"""


class _Append(msgspec.Struct, eq=False):
    """A record that is to be stored. ``stored``: done when it is."""

    id: str
    lease: int
    number: int
    data: bytes
    end: bool
    stored: asyncio.Future[None]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return those of the script."""
        return self.lease, self.number, self.data, int(self.end), _REMEMBERED

    def packed(self, sha: bytes) -> bytes:
        """Return the script's call, as Redis reads it. *sha*: of the script."""
        return packed(sha, (_KEY % self.id).encode(), self.lease, self.number, self.data, self.end, _REMEMBERED)


class RedisStore:
    """*url*: ``redis://[[user]:password@]host[:port][/number]``, with ``rediss`` over TLS, or ``unix://path``."""

    shared = True

    def __init__(
        self,
        url: str,
        *,
        keep_s: float,
        max_bytes: int = _UNBOUNDED,
        kept_s: float | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._keep = _milliseconds(keep_s)
        self._lease = _milliseconds(lease_s)
        try:
            self._where = urlsplit(url).hostname or "the socket"
            self._redis: Redis = Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, max_connections=_MAX_CONNECTIONS
            )
            pool: Any = self._redis.connection_pool
            pool.make_connection()  # connects to nothing, and takes only options that there are
        except (ValueError, TypeError) as error:
            option = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            what = f"has the option {option[1]!r}, which redis-py does not know" if option else "is not a URL of Redis"
            raise ConfigError(f"server.state: {what}; write redis://host[:port]") from None
        # What other servers keep counts from the first moment on.
        keeps = (keep_s, kept_s, context_keep_s(kept_s)) if kept_s is not None else (keep_s,)
        self._room = SharedRoom(max_bytes, *map(_milliseconds, keeps))
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._scripts = {
            script: self._redis.register_script(script)
            for script in (_APPEND, _FIND, _READ, _CLAIM, _RELEASE, _DROP, _HEARTBEAT)
        }  # fmt: skip
        #: Records that have come while others were being stored, and the task that stores them.
        self._gathered: list[_Append] = []
        self._records = RecordConnection(url, connect_timeout_s=_TIMEOUT_S)
        self._appending: asyncio.Task[None] | None = None
        self._next_at = 0.0  # the loop's time before which no more are stored

    async def open(self) -> None:
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise ConfigError(
                f"server.state: Redis at {self._where} cannot be used ({error}); start it, or correct the URL"
            ) from None

    async def aclose(self) -> None:
        if self._appending is not None:
            await asyncio.wait([self._appending])
        await self._records.aclose()
        await self._redis.aclose()

    async def create(self, id: str, owner: bytes, request: bytes, keep_s: float | None = None) -> int:
        self._room.check(len(request))
        keep = self._keep if keep_s is None else _milliseconds(keep_s)
        known: dict[Any, Any] = {
            "owner": owner, "request": request, "state": "running", "last": 0, "lease": 1, "keep": keep
        }  # fmt: skip
        keys = _keys(id)
        batch = self._redis.pipeline()
        batch.hset(keys[0], mapping=known)
        batch.pexpire(keys[0], keep + _REMEMBERED)
        batch.set(keys[2], 1, px=self._lease)
        await self._do(batch.execute)
        self._room.add(id, len(request), keep)
        return 1

    async def find(self, id: str) -> StreamInfo | None:
        owner, state, last = await self._call(_FIND, id)
        return None if state is None else StreamInfo(owner, state.decode(), int(last))

    async def request(self, id: str) -> bytes:
        data: bytes | None = await self._do(lambda: self._redis.hget(_keys(id)[0], "request"))
        if data is None:
            raise GoneError
        return data

    def append(self, id: str, lease: int, number: int, data: bytes, *, end: bool = False) -> Awaitable[None]:
        """Store a record: at once where none was stored just now, else with all that come meanwhile, of whichever stream."""
        self._room.check(len(data))
        loop = asyncio.get_running_loop()
        append = _Append(id, lease, number, data, end, loop.create_future())
        self._gathered.append(append)
        if self._appending is None:
            self._appending = loop.create_task(self._store_gathered())
        return append.stored

    async def _store_gathered(self) -> None:
        under_way: list[_Append] = []
        try:
            while self._gathered:
                await self._pause()
                under_way, self._gathered = self._gathered[:_GATHERED], self._gathered[_GATHERED:]
                answers: Sequence[Any]
                try:
                    answers = await self._append_all(under_way)
                except Exception as error:  # whose writers learn of it
                    answers = [error] * len(under_way)
                for append, answer in zip(under_way, answers, strict=True):
                    self._note_append(append, answer)
        finally:
            self._appending = None
            for append in (*under_way, *self._gathered):  # none, unless this task was cancelled
                append.stored.cancel()
            self._gathered.clear()

    async def _pause(self) -> None:
        """Let more records come, where others were stored just now."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._next_at and len(self._gathered) < _GATHERED:
            await sleep(self._next_at - now)
            now = loop.time()
        self._next_at = now + _PAUSE_S

    async def _append_all(self, appends: Sequence[_Append]) -> Sequence[Any]:
        """Return what the script said of each record, or Redis of the script. Raises `StoreError` where that is not known."""
        sha = self._scripts[_APPEND].sha.encode()
        commands = [append.packed(sha) for append in appends]
        answers: list[Any]
        with self._translated_errors():
            async with asyncio.timeout(_TIMEOUT_S):
                answers = await _sent_again(lambda: self._records.exchange(commands))
        failure: StoreError | None = None
        for index, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):  # Redis is new, or was restarted
                try:
                    answers[index] = failure or await self._append_one(appends[index])
                except StoreError as error:  # those before are stored, and none after is tried
                    answers[index] = failure = error
        return answers

    async def _append_one(self, append: _Append) -> Any:
        script = self._scripts[_APPEND]
        return await self._do(lambda: _sent_again(lambda: script(_keys(append.id), append.arguments)))

    def _note_append(self, append: _Append, answer: Any) -> None:
        """Tell the writer of a record what became of it."""
        stored = append.stored
        error: Exception | None = None
        if isinstance(answer, RedisError):
            error = StoreError(f"Redis at {self._where}: {said_by(answer)}")
        elif isinstance(answer, Exception):
            error = answer
        elif answer <= 0:
            error = StreamVanishedError() if answer < 0 else LeaseLostError()
        else:
            self._room.add(append.id, len(append.data), answer, ended=append.end)
        if stored.done():  # its writer has gone
            return
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)

    def append_now(self, id: str, lease: int, number: int, data: Any, size: int, *, end: bool = False) -> None:
        raise NotImplementedError

    async def read(self, id: str, after: int) -> Page:
        state, *more = await self._call(_READ, id, after, PAGE)
        if state == b"gone":
            raise GoneError
        last, records = int(more[0]), more[1]
        read = int(records[-1][0].partition(b"-")[0]) if records else after
        if not records and after < last:
            raise GoneError  # they were past their time
        return Page([fields[1] for _, fields in records], read, state == b"ended" and read >= last)

    async def wait(self, id: str, after: int, seconds: float) -> None:
        wait = min(_milliseconds(seconds), _milliseconds(_TIMEOUT_S / 2))
        with self._translated_errors():
            await self._redis.xread({_keys(id)[1]: f"{after}-0"}, count=1, block=wait)

    async def claim(self, id: str, *, force: bool = False) -> Claim | None:
        claimed = await self._call(_CLAIM, id, self._lease, int(force))
        return claimed and Claim(int(claimed[0]), int(claimed[1]), claimed[2])

    async def release(self, id: str, lease: int) -> None:
        await self._call(_RELEASE, id, lease)

    async def drop(self, id: str) -> None:
        await self._call(_DROP, id, _REMEMBERED)
        self._room.drop(id)

    async def heartbeat(self, written: Mapping[str, int], read: Collection[str]) -> Heartbeat:
        await self._make_room(written)
        batch = self._redis.pipeline(transaction=False)
        for each in read:
            batch.set(_keys(each)[3], 1, px=self._lease)
        for each, lease in written.items():
            await self._scripts[_HEARTBEAT](_keys(each), [lease, self._lease, _REMEMBERED], client=batch)
        said = dict(zip(written, (await self._do(batch.execute))[len(read) :], strict=True))
        return Heartbeat(
            {each for each, watch in said.items() if watch == -1},
            {each for each, watch in said.items() if watch > 0},
            {each for each, watch in said.items() if watch == _VANISHED},
        )

    async def _make_room(self, written: Collection[str]) -> None:
        """Tell the other servers what was written here, learn what they have written, and drop streams if it is too much."""
        room = self._room
        batch = self._redis.pipeline(transaction=False)
        now = await self._do(self._redis.time)
        for part, change in room.tell(now[0] * 1000, written).items():
            batch.incrby(_WRITTEN % part, change)
            batch.pexpire(_WRITTEN % part, 2 * part[0] + 1000)
        batch.mget([_WRITTEN % part for part in room.parts()])
        for old in room.learn(sum(map(int, filter(None, (await self._do(batch.execute))[-1])))):
            await self.drop(old)

    async def _call(self, script: str, id: str, *arguments: Any) -> Any:
        return await self._do(lambda: self._scripts[script](_keys(id), arguments))

    async def _do(self, work: Callable[[], Any]) -> Any:
        """Return what *work* awaits, when fewer than `_CONCURRENCY` commands are under way."""
        with self._translated_errors():
            async with asyncio.timeout(_TIMEOUT_S), self._slots:
                return await work()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise StoreError(f"Redis at {self._where}: {said_by(error)}") from None


async def _sent_again(work: Callable[[], Awaitable[Any]]) -> Any:
    """Return what *work* awaits, which may be done twice: it is where its connection broke. All streams have that in common."""
    try:
        return await work()
    except RedisConnectionError:
        return await work()


def _keys(id: str) -> list[str]:
    key = _KEY % id
    return [key, f"{key}:records", f"{key}:lease", f"{key}:read"]


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
