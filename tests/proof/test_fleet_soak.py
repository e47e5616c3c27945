"""A soak of two servers, one Redis and one PostgreSQL: servers are killed and drained, Redis and PostgreSQL crash, keys are
made, rotated and deleted, configs are reloaded, and callers with keys notice as little as is documented. Nothing is counted
twice, and nothing is lost beyond what a killed server had not written yet: by the log of the upstream, which counts for itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from redis import Redis

from autonomousai import AutonomousAI, HTTPError
from autonomousai.keys.stores.store import RENEW_S
from autonomousai.testing import Head, Pause, Request, Script, ScriptedServer, Send, chunks, completion
from tests.ledger.test_writer import rows_in
from tests.support.fleet import Balancer, DurableRedis, FleetServer, fleet
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.program import PATIENCE

from .fleet_ledger import FIRST, Call, Harm, Verdict, log_of, number_in, words_of
from .sample import SEED, WHOLE

#: SOAK=seconds: another length. The short form ends when each disturbance has been.
SECONDS = float(os.environ.get("SOAK") or (600 if WHOLE else 0))
CALLERS = 8
#: Answers that are complete between two disturbances.
CALM = 12 if WHOLE else 6

#: Seconds after which Redis knows what was spent while it was away: a server reports it with the next renewal of what it holds.
REPORTED_S = 3 * RENEW_S

TEAM, ADMIN = "sk-team", "sk-admin"

CONFIG = """
[server]
state = "{redis}"
admin_keys = ["{admin}"]
drain_s = 1
keepalive_s = 1
[clocks]
total = 60
[ledger]
url = "{postgres}"
[keys.team]
key = "{team}"
requests_per_minute = {limit}
token_budget = 2_000_000_000
[upstreams.there]
kind = "openai"
base_url = "{upstream}/v1"
prefill = "no"
price = {{ input = 1, output = {price} }}
[models.llama]
route = ["there"]
"""


def answer_to(request: Request) -> Script:
    """What the upstream plays: the pieces of the answer of that number, with pauses."""
    number = number_in(request)
    words = words_of(number)
    usage = {"prompt_tokens": number, "completion_tokens": len(words), "total_tokens": number + len(words)}
    if not request.json().get("stream"):
        body = completion("".join(words), usage=usage)
        return Script(Head(content_type="application/json", length=len(body)), Send(body))
    pause = Pause(seconds=0.01)
    steps = [step for word in words for step in (Send(chunks(word, finish=None, done=False)), pause)]
    return Script(Head(), *steps, Send(chunks(usage=usage)))


@dataclass
class Soak:
    """The load, the disturbances, and what came of them. ``harm``: when a server was gone, from and to; ``allowed``: entries
    that killed servers had not written; ``held``: answers whose tokens they had not reported to Redis."""

    servers: list[FleetServer]
    balancer: Balancer
    redis: DurableRedis
    postgres: PostgresServer
    config: Callable[..., None]
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    calls: list[Call] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    harm: list[Harm] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    made: dict[str, str] = field(default_factory=dict)
    allowed: int = 0
    held: int = 0
    complete: int = 0
    is_over: bool = False

    # ---- callers

    async def caller(self, session: aiohttp.ClientSession) -> None:
        """Ask one after the other, in one of four ways."""
        ways = [self.plain, self.plain, self.resumable, self.resumable, self.with_made_key, self.leaver]
        while not self.is_over:
            await self.dice.choice(ways)(session)

    def call(self, key: str = "team") -> Call:
        self.calls.append(Call(FIRST + len(self.calls), key, time.monotonic()))
        return self.calls[-1]

    def end(self, call: Call, outcome: str, text: str | None = None) -> None:
        """Note how it ended. A complete text must be the right one, and any other its beginning."""
        call.ended, call.outcome = time.monotonic(), outcome
        self.complete += outcome == "complete"
        right = "".join(words_of(call.number))
        if text is not None and (text != right if outcome == "complete" else not right.startswith(text)):
            self.wrong.append(f"answer {call.number}, {outcome}, was {text!r}")

    async def plain(self, session: aiohttp.ClientSession, key: str = "team", secret: str = TEAM) -> None:
        """Ask for a stream, or a document, that cannot be resumed."""
        call, stream = self.call(key), self.dice.random() < 0.7
        said = b""
        try:
            async with session.post(self.url, json=body_of(call, stream), headers=bearer(secret)) as response:
                async for data in response.content.iter_any():
                    said += data
                if response.status != 200:
                    self.end(call, f"status {response.status}: {said.decode()}")
                elif stream:
                    text, is_whole = read_stream(said)
                    self.end(call, "complete" if is_whole else "cut", text)
                else:
                    self.end(call, "complete", json.loads(said)["choices"][0]["message"]["content"])
        except (aiohttp.ClientError, ConnectionError) as error:
            self.end(call, f"cut: {type(error).__name__}", read_stream(said)[0] if stream else None)

    async def resumable(self, _: aiohttp.ClientSession) -> None:
        """Ask with a client of this package, which comes back for its stream."""
        call = self.call()
        call.resumable = True
        messages = body_of(call, True)["messages"]
        async with AutonomousAI(self.balancer.url, api_key=TEAM) as client:
            try:
                async with client.create_async_generator("llama", messages, stream=True) as result:
                    text = await result.text()
                self.end(call, "complete", text)
            except HTTPError as error:
                self.end(call, f"{type(error).__name__}: {error}", error.partial)

    async def with_made_key(self, session: aiohttp.ClientSession) -> None:
        """Ask with a key that was made while the servers ran."""
        if self.made:
            name = self.dice.choice(list(self.made))
            await self.plain(session, name, self.made[name])
        else:
            await self.plain(session)

    async def leaver(self, session: aiohttp.ClientSession) -> None:
        """Read a little, and leave."""
        call = self.call()
        with suppress(aiohttp.ClientError, ConnectionError):
            async with session.post(self.url, json=body_of(call, True), headers=bearer(TEAM)) as response:
                await response.content.readany()
                response.close()
        self.end(call, "left")

    @property
    def url(self) -> str:
        return f"{self.balancer.url}/v1/chat/completions"

    # ---- disturbances

    async def disturb(self) -> None:
        """Do each, in any order, again and again; a while between two of them."""
        every = [self.kill, self.drain, self.crash_redis, self.crash_postgres, self.restart_postgres, self.change_keys]
        every += [self.reload, self.reload_a_wrong_config]
        until = time.monotonic() + SECONDS
        while not self.done or time.monotonic() < until:
            self.dice.shuffle(every)
            for each in every:
                await self.calm()
                await each()
                self.done[each.__name__] += 1
        await self.calm()
        self.is_over = True

    async def calm(self) -> None:
        """Wait until some answers are complete."""
        wanted = self.complete + CALM
        async with asyncio.timeout(PATIENCE):
            while self.complete < wanted:
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """Kill a server, which loses what it has not written, and start it again."""
        server = self.dice.choice(self.servers)
        before = len(self.calls)
        samples = await metrics_of(server)
        under_way = int(samples["autonomousai_requests_in_flight"])
        began = time.monotonic()
        await server.end(signal.SIGKILL)
        started_since = len(self.calls) - before
        self.allowed += int(samples["autonomousai_ledger_waiting"]) + under_way + started_since
        self.held += under_way + started_since + self.unreported()
        await server.start()
        self.harm.append(Harm("kill", began, time.monotonic()))

    def unreported(self) -> int:
        """At most how many ends of answers a server keeps to itself, because Redis was away a moment ago."""
        away = [harm for harm in self.harm if harm.kind == "redis" and harm.ended > time.monotonic() - REPORTED_S]
        return sum(call.ended >= min(harm.began for harm in away) for call in self.calls) if away else 0

    async def drain(self) -> None:
        """Replace a server: it ends what it can, and hands over the rest."""
        server = self.dice.choice(self.servers)
        began = time.monotonic()
        assert 0 == await server.end(signal.SIGTERM)
        await server.start()
        self.harm.append(Harm("drain", began, time.monotonic()))

    async def crash_redis(self) -> None:
        """Kill Redis, and start it again after some answers without it."""
        began = time.monotonic()
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(self.dice.uniform(0, 1))
        await asyncio.to_thread(self.redis.start)
        self.harm.append(Harm("redis", began, time.monotonic()))

    async def crash_postgres(self) -> None:
        """Let PostgreSQL crash."""
        await self.without_postgres(signal.SIGQUIT)

    async def restart_postgres(self) -> None:
        """Restart PostgreSQL, which breaks all connections."""
        await self.without_postgres(signal.SIGINT)

    async def without_postgres(self, number: int) -> None:
        await asyncio.to_thread(self.postgres.stop, number)
        await self.calm()  # no answer waits for it
        await asyncio.to_thread(self.postgres.start)
        for server in self.servers:
            await until(lambda server=server: written(server))

    async def change_keys(self) -> None:
        """Make a key, use it, rotate it, and delete another."""
        server, name = self.dice.choice(self.servers), f"made-{len(self.made)}-{len(self.calls)}"
        status, made = await server.call("/admin/keys", ADMIN, {"name": name, "requests_per_minute": 100_000})
        assert 201 == status, made
        await self.accepted(made["key"])
        self.made[name] = made["key"]
        await self.calm()
        status, rotated = await server.call(f"/admin/keys/{name}/rotate", ADMIN, {"keep_old_s": 60})
        assert 200 == status, rotated
        await self.accepted(rotated["key"])
        self.made[name] = rotated["key"]
        if len(self.made) > 2:
            old = next(iter(self.made))
            secret = self.made.pop(old)
            status, said = await server.call(f"/admin/keys/{old}", ADMIN, method="DELETE")
            assert status in (200, 204), said
            self.harm.append(Harm(old, time.monotonic() - 60, float("inf")))
            for each in self.servers:
                await until(lambda each=each: refused(each, secret))

    async def accepted(self, secret: str) -> None:
        """Wait until all servers know the key."""
        for server in self.servers:
            await until(lambda server=server: knows(server, secret))

    async def reload(self) -> None:
        """Reload another config: by a signal, and by the admin's key."""
        self.config(limit=self.dice.randrange(100_000, 1_000_000), price=self.dice.randrange(1, 5))
        first, *others = self.servers
        first.reload()
        for server in others:
            status, said = await server.call("/admin/reload", ADMIN, {})
            assert 200 == status, said

    async def reload_a_wrong_config(self) -> None:
        """A config that cannot be served is refused, and the servers keep theirs."""
        self.config(limit="'many'")
        for server in self.servers:
            status, said = await server.call("/admin/reload", ADMIN, {})
            assert 400 == status, said
        self.config()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.05)


async def knows(server: FleetServer, secret: str) -> bool:
    return (await server.call("/v1/models", secret))[0] == 200


async def refused(server: FleetServer, secret: str) -> bool:
    return (await server.call("/v1/models", secret))[0] == 401


async def written(server: FleetServer) -> bool:
    return (await metrics_of(server))["autonomousai_ledger_failing"] == 0


async def metrics_of(server: FleetServer) -> dict[str, float]:
    status, text = await server.call("/metrics", ADMIN)
    assert 200 == status, text
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def body_of(call: Call, stream: bool) -> dict[str, Any]:
    return {"model": "llama", "messages": [{"role": "user", "content": f"number {call.number}"}], "stream": stream}


def read_stream(said: bytes) -> tuple[str, bool]:
    """The text of a stream's complete events, and whether it has come to its end."""
    text = ""
    for event in said.split(b"\n\n")[:-1]:
        data = event.removeprefix(b"data: ")
        if data.startswith(b"{"):
            for choice in json.loads(data).get("choices", []):
                text += choice["delta"].get("content") or ""
    return text, b"data: [DONE]\n\n" in said


async def test_nothing_is_counted_twice_and_nothing_is_lost(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """Each answer that ended has one entry, with the tokens of the upstream's log; only killed servers lose entries, at most
    those that they had not written; complete answers are right, and only what a dead server answered is cut."""
    redis = DurableRedis(tmp_path)
    redis.start()
    path = tmp_path / "config.toml"
    try:
        with postgres_server("fsync=on", "full_page_writes=on") as postgres:
            async with ScriptedServer(answer_to) as upstream:
                values: dict[str, Any] = {"redis": redis.url, "postgres": postgres.url, "upstream": upstream.url}
                values |= {"admin": ADMIN, "team": TEAM, "limit": 1_000_000, "price": 1}

                def write_config(**changes: Any) -> None:
                    path.write_text(CONFIG.format(**{**values, **changes}), encoding="utf-8")

                write_config()
                async with fleet(tmp_path, path) as servers, Balancer(servers) as balancer:
                    soak = Soak(servers, balancer, redis, postgres, write_config)
                    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
                        async with asyncio.TaskGroup() as group:
                            group.create_task(soak.disturb())
                            for _ in range(CALLERS):
                                group.create_task(soak.caller(session))
                    for server in servers:
                        assert 0 == await server.end(signal.SIGTERM), server.log
                    logs = {server.name: server.log for server in servers}
                rows = rows_in(postgres.url)
                spent = spent_of(redis, "team")
    finally:
        redis.kill()

    verdict = Verdict(soak.calls, soak.harm, rows, log_of(upstream))
    record_property("calls", verdict.outcomes())
    record_property("disturbances", ", ".join(f"{count} {name}" for name, count in sorted(soak.done.items())))
    record_property("ledger", f"{len(rows)} entries, {verdict.lost()} answers without one, at most {soak.allowed} allowed")
    assert not soak.wrong, "\n".join(soak.wrong)
    assert [] == verdict.unexplained()
    assert [] == verdict.counted_twice()
    assert [] == verdict.miscounted()
    assert verdict.lost() <= soak.allowed
    assert [] == [bug for log in logs.values() for bug in bugs_in(log)]
    low, high = verdict.tokens_of("team", held=soak.held, allowed=soak.allowed)
    assert low <= spent <= high
    assert {each.__name__ for each in (soak.kill, soak.drain, soak.crash_redis, soak.change_keys, soak.reload)} <= set(
        soak.done
    )


def bugs_in(log: str) -> list[str]:
    """What a server's log has of bugs, with what stands around each."""
    return [log[max(0, found.start() - 300) : found.end() + 3000] for found in re.finditer("a bug|Traceback", log)]


def spent_of(redis: DurableRedis, key: str) -> int:
    """The tokens that Redis has for a key: those that were spent, and those that are still held for killed servers."""
    with Redis.from_url(redis.url) as client:
        totals = client.hgetall(f"autonomousai:key:1:{{config/{key}}}")
    return int(totals.get(b"st", 0)) + int(totals.get(b"ht", 0))
