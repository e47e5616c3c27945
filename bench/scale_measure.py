"""Measure what `scale_simulation.py` counts with: what two servers, one Redis and one PostgreSQL spend on a request, a stream,
an event and a second.

All of it is CPU time of the processes themselves, so that a busy machine changes little. What the idle servers spend is
subtracted. PostgreSQL runs with its usual durability; the load comes from this process, and so do the upstream's answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import aiohttp
import psycopg
from redis import Redis

from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from autonomousai.testing import Head, Pause, Script, ScriptedServer, Send, chunks
from bench.measure import ROOT, machine
from tests.ledger.entries import entry
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.redis import redis_server

FIGURES = ROOT / "docs/performance/figures.json"

SERVERS = 2
KEY = "sk-scale"
#: What PostgreSQL does where data are to outlive a power cut.
DURABLE = ("fsync=on", "full_page_writes=on", "shared_buffers=128MB")

CONFIG = """
[server]
state = "{redis}"
api_keys = []
max_concurrency = 5000
[clocks]
idle = 600
[ledger]
url = "{postgres}"
[keys.scale]
key = "{key}"
requests_per_minute = 100_000_000
tokens_per_minute = 2_000_000_000
max_concurrency = 1_000_000
token_budget = 2_000_000_000
[upstreams.there]
kind = "openai"
base_url = "{upstream}/v1"
[models.llama]
route = ["there"]
"""


class Spent(NamedTuple):
    """CPU seconds of Redis, PostgreSQL and the servers together, and the seconds that passed."""

    redis: float
    postgres: float
    servers: float
    seconds: float

    def without(self, idle: Spent) -> Spent:
        """Return what was spent beside what idle servers spend in that time."""
        share = self.seconds / idle.seconds
        return Spent(*(max(0.0, mine - its * share) for mine, its in zip(self[:3], idle[:3], strict=True)), self.seconds)


class Effort(NamedTuple):
    """How much is measured."""

    idle_s: float = 15
    requests: int = 3000
    streams: int = 600
    paced: int = 50
    events: int = 100
    pause_s: float = 0.05
    held: int = 200
    held_s: float = 21
    batches: int = 200


QUICK = Effort(idle_s=0.3, requests=40, streams=20, paced=4, events=5, pause_s=0.01, held=10, held_s=0.3, batches=5)


class Rig:
    """The servers, what they share, and what it has spent."""

    def __init__(self, urls: list[str], pids: list[int], redis: Redis, postgres: PostgresServer) -> None:
        self.urls = urls
        self.pids = pids
        self.redis = redis
        self.postgres = postgres
        self._turn = 0

    def url(self) -> str:
        """Return each server's URL in turn."""
        self._turn += 1
        return self.urls[self._turn % len(self.urls)]

    def now(self) -> Spent:
        used = self.redis.info("cpu")
        redis = used["used_cpu_user"] + used["used_cpu_sys"]
        return Spent(redis, self.postgres_cpu(), sum(map(_cpu, self.pids)), time.monotonic())

    def postgres_cpu(self) -> float:
        """Return the CPU seconds of the postmaster, of its processes, and of those that have ended."""
        parent = self.postgres.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return sum(map(_cpu, [parent, *map(int, children)]))

    async def spend(self, work: Awaitable[Any]) -> Spent:
        """Return what was spent while *work* was done."""
        before = self.now()
        await work
        return Spent(*(after - early for after, early in zip(self.now(), before, strict=True)))

    def fill_window(self) -> None:
        """Give the key a minute behind it: a request reads all of it."""
        window = {int(time.time()) - second: "10:1000" for second in range(1, 61)}
        self.redis.hset("autonomousai:key:1:{config/scale}:window", mapping=window)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, with its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _servers(folder: Path, config: str) -> Iterator[tuple[list[str], list[int]]]:
    path = folder / "config.toml"
    path.write_text(config, encoding="utf-8")
    with ExitStack() as stack:
        urls, pids = [], []
        for _ in range(SERVERS):
            command = [sys.executable, "-m", "autonomousai", "serve", "--config", path, "--port", "0"]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            )
            stack.callback(process.terminate)
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError("a server did not start")
            urls.append(line.split()[-1])
            pids.append(process.pid)
        yield urls, pids


@asynccontextmanager
async def _rig(upstream: ScriptedServer) -> AsyncIterator[Rig]:
    with TemporaryDirectory() as name, redis_server() as state, postgres_server(*DURABLE) as postgres:
        config = CONFIG.format(redis=state, postgres=postgres.url, key=KEY, upstream=upstream.url)
        with _servers(Path(name), config) as (urls, pids), Redis.from_url(state) as redis:
            yield Rig(urls, pids, redis, postgres)


async def measure(effort: Effort) -> dict[str, Any]:
    """Return all constants, with the machine and the day."""
    played: list[Script] = [Script.stream("Hello", " world")]
    async with ScriptedServer(lambda _: played[0]) as upstream, _rig(upstream) as rig:
        unbounded = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=unbounded, headers={"authorization": f"Bearer {KEY}"}) as session:
            await _many(64, lambda: _ask(session, rig.url(), resumable=True))  # what is loaded once is loaded
            idle = await rig.spend(asyncio.sleep(effort.idle_s))
            rig.fill_window()
            small = await _requests(rig, session, effort, idle)
            paced = await _events(rig, session, effort, idle, played)
            held = await _held(rig, session, effort, idle, played)
            connections = _connections(rig)
        written = _ledger(rig, effort.batches)
    per_second = 1e6 / idle.seconds / SERVERS
    return {
        "machine": machine(),
        "redis": {
            "process_second_us": idle.redis * per_second,
            **small["redis"], **paced["redis"], **held["redis"],
            "connections": connections["redis"],
        },
        "postgres": {
            "process_second_us": idle.postgres * per_second,
            **written,
            "connections": connections["postgres"],
        },
        "server": {"process_second_us": idle.servers * per_second, **small["server"], **paced["server"]},
        "balancer": _balancer(),
    }  # fmt: skip


async def _requests(rig: Rig, session: aiohttp.ClientSession, effort: Effort, idle: Spent) -> dict[str, dict[str, float]]:
    """Measure answers that are done at once: of a key with limits, and beside that, resumable ones."""
    ask, resume = (lambda: _ask(session, rig.url())), (lambda: _ask(session, rig.url(), resumable=True))
    plain = (await rig.spend(_many(effort.requests, ask))).without(idle)
    kept = (await rig.spend(_many(effort.streams, resume))).without(idle)
    request, stream = plain.redis / effort.requests * 1e6, kept.redis / effort.streams * 1e6
    server = plain.servers / effort.requests * 1e6
    return {
        "redis": {"request_us": request, "stream_us": max(0.0, stream - request)},
        "server": {"request_us": server, "stream_us": max(0.0, kept.servers / effort.streams * 1e6 - server)},
    }


async def _events(
    rig: Rig, session: aiohttp.ClientSession, effort: Effort, idle: Spent, played: list[Script]
) -> dict[str, dict[str, float]]:
    """Measure events that come one by one: of resumable streams, and of others."""
    pace = Pause(seconds=effort.pause_s)
    steps = [step for at in range(effort.events) for step in (Send(chunks(f" {at}", finish=None, done=False)), pace)]
    played[0] = Script(Head(), *steps, Send(chunks()))
    number = effort.paced * effort.events
    before = _calls(rig, "xadd")
    kept = (await rig.spend(_all(effort.paced, lambda: _ask(session, rig.url(), resumable=True)))).without(idle)
    appended = _calls(rig, "xadd") - before
    plain = (await rig.spend(_all(effort.paced, lambda: _ask(session, rig.url())))).without(idle)
    return {
        "redis": {"append_us": kept.redis / appended * 1e6, "appends_an_event": appended / number},
        "server": {"event_us": plain.servers / number * 1e6, "kept_event_us": kept.servers / number * 1e6},
    }


async def _held(
    rig: Rig, session: aiohttp.ClientSession, effort: Effort, idle: Spent, played: list[Script]
) -> dict[str, dict[str, float]]:
    """Measure streams under way in which nothing happens: resumable ones, and others, which hold what their key reserves."""
    found = {}
    for name, resumable in (("hold", False), ("stream", True)):
        pause = Pause()
        played[0] = Script(Head(), Send(chunks("Hello", finish=None, done=False)), pause, Send(chunks(" world")))
        empty = rig.redis.info("memory")["used_memory"]
        asked = [asyncio.create_task(_ask(session, rig.url(), resumable=resumable)) for _ in range(effort.held)]
        await _until(lambda: rig.redis.zcard("autonomousai:key:1:{config/scale}:holds") == effort.held)
        full = rig.redis.info("memory")["used_memory"]
        spent = (await rig.spend(asyncio.sleep(effort.held_s))).without(idle)
        pause.release()
        await asyncio.gather(*asked)
        found[f"{name}_second_us"] = spent.redis / effort.held / spent.seconds * 1e6
        found[f"{name}_bytes"] = (full - empty) / effort.held
    return {"redis": {**found, "stream_second_us": max(0.0, found["stream_second_us"] - found["hold_second_us"])}}


def _connections(rig: Rig) -> dict[str, float]:
    """Return how many connections a process has, after such a load."""
    with psycopg.connect(rig.postgres.url) as database:
        row = database.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'autonomousai'").fetchone()
    assert row is not None
    return {"redis": (rig.redis.info("clients")["connected_clients"] - 1) / SERVERS, "postgres": row[0] / SERVERS}


def _ledger(rig: Rig, batches: int) -> dict[str, float]:
    """Measure batches of two sizes, written as servers write them: the line through both is an entry's and a batch's cost."""
    place = place_of(rig.postgres.database("entries"))
    assert place is not None
    database = Database(place)
    database.open()
    costs, sizes, seconds = [], (1, 101), 0.0
    for size in sizes:
        before, began = rig.postgres_cpu(), time.monotonic()
        for batch in range(batches):
            database.write([entry(f"req_{size}_{batch}_{number}") for number in range(size)])
        seconds = seconds or (time.monotonic() - began) / batches
        costs.append((rig.postgres_cpu() - before) / batches * 1e6)
    each = (costs[1] - costs[0]) / (sizes[1] - sizes[0])
    with psycopg.connect(rig.postgres.url.replace("/postgres?", "/entries?")) as connection:
        row = connection.execute("SELECT pg_total_relation_size('entries')").fetchone()
    database.close()
    assert row is not None
    return {
        "entry_us": max(0.0, each),
        "batch_us": max(0.0, costs[0] - each),
        "batch_ms": seconds * 1e3,
        "entry_bytes": row[0] / (batches * sum(sizes)),
    }


def _balancer() -> dict[str, float]:
    """Return what nginx costs as a balancer, from the benchmark of gateways."""
    kept = json.loads(FIGURES.read_text(encoding="utf-8"))
    of = {name: sorted(rounds["nginx"]) for name, rounds in kept["server"]["figures"].items() if rounds.get("nginx")}
    return {"request_us": of["small"][len(of["small"]) // 2], "event_us": of["paced"][len(of["paced"]) // 2]}


def _calls(rig: Rig, command: str) -> int:
    return int(rig.redis.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


async def _ask(session: aiohttp.ClientSession, url: str, *, resumable: bool = False) -> None:
    """Ask for an answer, and read it to its end."""
    body = {"model": "llama", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "stream": True}
    headers = {"x-stream-resumable": "1"} if resumable else {}
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
        said = await response.read()
    if b"[DONE]" not in said:
        raise RuntimeError(f"no answer: {said[:300]!r}")


async def _many(number: int, ask: Callable[[], Awaitable[None]], at_once: int = 32) -> None:
    left = iter(range(number))

    async def caller() -> None:
        for _ in left:
            await ask()

    await _all(at_once, caller)


async def _all(number: int, work: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(work() for _ in range(number)))


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  Redis tells nobody
        await asyncio.sleep(0.02)


def rounded(value: Any) -> Any:
    """Return *value* with three digits that count in each number."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value
