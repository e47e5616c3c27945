"""A soak: callers of every kind at once, connections that are cut, callers who leave or hardly read, and an engine that is
killed again and again. Nothing is lost, nothing is left: sockets, tasks, processes and memory return to where they were.

Linux alone says all of that (`/proc`). The short form takes seconds, the whole one ten minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from autonomousai import AutonomousAI, FinishReason, HTTPError, OpenAICompatible
from tests.support.chaos import ChaosProxy
from tests.support.sockets import CHAT, Connection, request

from .sample import SEED, WHOLE

#: SOAK=seconds: another length.
SECONDS = int(os.environ.get("SOAK") or (600 if WHOLE else 12))
#: Seconds between two kills of the engine, at the least: in between it must have completed an answer.
BETWEEN_KILLS = 4.0
#: How long it may take until all is quiet again.
PATIENCE = 120

LENGTH = 24
PROMPTS = ("Why is the sky blue?", "What is a prime number?", "Tell me a story about a lighthouse.", "How does a bicycle work?")

#: How much the server's own memory may have grown, once all is quiet: what was loaded meanwhile, and what the allocator keeps.
GROWTH = 64 * 1024 * 1024

CONFIG = """
[server]
keepalive_s = 1
[resume]
grace_s = 1
keep_s = 2
[upstreams.embedded]
kind = "llamacpp"
slots = 4
context = 1024
"""

PROGRAM = Path(__file__).parents[1] / "support" / "soak_server.py"


class Usage(NamedTuple):
    """What a process holds."""

    tasks: tuple[str, ...]
    sockets: int
    files: int
    children: int


@dataclass
class Server:
    """The server under test, and what can be seen of it from outside."""

    url: str
    port: int
    process: asyncio.subprocess.Process
    told: Path

    @property
    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    @property
    def memory(self) -> int:
        """Bytes resident."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def usage(self) -> Usage:
        self.told.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(PATIENCE):
            while not self.told.exists():
                await asyncio.sleep(0.01)
        links = list(self._links())
        sockets = sum(link.startswith("socket:") for link in links)
        return Usage(tuple(self.told.read_text().split()), sockets, len(links) - sockets, len(self.children))

    def _links(self) -> Iterator[str]:
        for each in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                yield str(each.readlink())
            except FileNotFoundError:
                continue  # closed meanwhile

    async def counters(self) -> dict[str, float]:
        """The samples of ``/metrics``."""
        async with aiohttp.ClientSession(headers={"Connection": "close"}) as session:
            async with session.get(f"{self.url}/metrics") as response:
                lines = (await response.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def idle(self) -> dict[str, float]:
        """Wait until nobody is inside, and the engine is up and has nothing to do, by its own count; the counters then."""
        async with asyncio.timeout(PATIENCE):
            while True:
                counters = await self.counters()
                processing = counters.get('autonomousai_engine_requests_processing{upstream="embedded"}')
                if counters["autonomousai_requests_in_flight"] == 0 and processing == 0:
                    return counters
                await asyncio.sleep(0.05)


@asynccontextmanager
async def server(directory: Path) -> AsyncIterator[Server]:
    """The program, in a process of its own; it must end with exit code 0, and all its children with it."""
    config, told = directory / "config.toml", directory / "tasks"
    config.write_text(CONFIG)
    with (directory / "log").open("w+") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, PROGRAM, "serve", "--port", "0", "--config", config),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TASKS": str(told)},
        )
        try:
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            assert line.startswith("listening on "), (directory / "log").read_text()
            url = line.removeprefix("listening on ").strip()
            made = Server(url, int(url.rpartition(":")[2]), process, told)
            yield made
            last = made.children
            process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), PATIENCE)
            assert (0, []) == (code, [pid for pid in last if is_alive(pid)]), (directory / "log").read_text()
            assert "a bug" not in (directory / "log").read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Soak:
    """The load, and what came of it. ``right``: the text of each question, from an undisturbed run."""

    server: Server
    network: ChaosProxy
    dice: random.Random
    right: dict[int, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    completed: int = 0
    #: The kinds of callers that come next: dealt like cards, so that each comes soon, however few there are.
    deck: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def question(self) -> tuple[int, list[dict[str, str]]]:
        number = self.dice.randrange(len(PROMPTS))
        return number, [{"role": "user", "content": PROMPTS[number]}]

    async def ask(self, provider: Any, number: int, *, stream: bool) -> str:
        """The whole text of an answer; a client of ours checks its sum."""
        messages = [{"role": "user", "content": PROMPTS[number]}]
        async with provider.create_async_generator(
            "llama", messages, stream=stream, max_tokens=LENGTH, temperature=0
        ) as result:
            text: str = await result.text()
        assert type(result.finish) is FinishReason
        return text

    def note(self, number: int, text: str) -> None:
        self.completed += 1
        self.outcomes["whole"] += 1
        if text != self.right[number]:
            self.wrong.append(f"{PROMPTS[number]!r} was answered {text!r}, not {self.right[number]!r}")

    async def note_error(self, error: HTTPError) -> None:
        """Over a good network nobody is told anything but when to come back, and nothing that was begun is lost."""
        if error.status == 503 and error.retry_after is not None and not error.partial:
            self.outcomes["sent away"] += 1
            await asyncio.sleep(error.retry_after)
        else:
            self.wrong.append(f"over a good network, after {error.partial!r}: {type(error).__name__}: {error}")

    # Callers, each of them one request

    async def whole(self) -> None:
        """Asks over a good network: must get the whole answer, whatever happens to the engine."""
        number, _ = self.question()
        make = self.dice.choice([AutonomousAI, lambda url: OpenAICompatible(f"{url}/v1")])
        async with make(self.server.url) as provider:
            try:
                self.note(number, await self.ask(provider, number, stream=self.dice.random() < 0.7))
            except HTTPError as error:
                await self.note_error(error)

    async def over_a_bad_network(self) -> None:
        """Asks over connections that are cut: the whole answer, or a typed error with a true beginning of it."""
        number, _ = self.question()
        async with AutonomousAI(self.network.url) as provider:
            try:
                self.note(number, await self.ask(provider, number, stream=self.dice.random() < 0.8))
            except HTTPError as error:
                self.outcomes["told of a cut"] += 1
                if not self.right[number].startswith(error.partial):
                    self.wrong.append(f"{error.partial!r} is no beginning of {self.right[number]!r}")

    async def leaver(self) -> None:
        """Reads a little, and leaves on purpose."""
        _, messages = self.question()
        left = self.dice.randrange(1, 8)
        async with AutonomousAI(self.server.url) as provider:
            try:
                async with provider.create_async_generator("llama", messages, stream=True, max_tokens=500) as result:
                    async for _chunk in result:
                        left -= 1
                        if not left:
                            break
                self.outcomes["left"] += 1
            except HTTPError as error:
                await self.note_error(error)

    async def vanisher(self) -> None:
        """Is cut off, and never comes back; some of them had asked for a stream that can be resumed."""
        _, messages = self.question()
        body = {"model": "llama", "messages": messages, "stream": self.dice.random() < 0.7, "max_tokens": 300}
        headers = {"x_stream_resumable": "1"} if self.dice.random() < 0.5 else {}
        async with Connection(self.server.port) as connection:
            await connection.send(request("POST", CHAT, body, **headers))
            await asyncio.sleep(self.dice.uniform(0, 1))
            connection.reset()
        self.outcomes["vanished"] += 1

    async def slow_reader(self) -> None:
        """Takes a few bytes at a time."""
        _, messages = self.question()
        body = {"model": "llama", "messages": messages, "stream": True, "max_tokens": LENGTH}
        said = b""
        async with Connection(self.server.port) as connection, asyncio.timeout(PATIENCE):
            await connection.send(request("POST", CHAT, body, connection="close"))
            while data := await connection.reader.read(512):
                said += data
                await asyncio.sleep(0.01)
        if b"data: [DONE]" in said:
            self.completed += 1
            self.outcomes["read slowly"] += 1
        elif said.startswith(b"HTTP/1.1 503") and b"retry-after" in said:
            self.outcomes["sent away"] += 1
            await asyncio.sleep(1)
        else:
            self.wrong.append(f"a slow reader got {said[-500:]!r}")

    # All of them

    async def caller(self, until: float) -> None:
        """One caller after another, until then."""
        while time.monotonic() < until:
            if not self.deck:
                self.deck = [self.whole, self.whole, self.over_a_bad_network, self.leaver, self.vanisher, self.slow_reader]
                self.dice.shuffle(self.deck)
            await self.deck.pop()()

    async def killer(self, until: float) -> None:
        """Kills the engine's process; the next time only after answers have come whole since the last."""
        while time.monotonic() + BETWEEN_KILLS < until:
            before = self.completed
            await asyncio.sleep(BETWEEN_KILLS * self.dice.uniform(1, 2))
            while self.completed < before + 2 and time.monotonic() < until:
                await asyncio.sleep(0.1)
            for pid in self.server.children:
                os.kill(pid, signal.SIGKILL)
                self.outcomes["engines killed"] += 1


def cuts(dice: random.Random) -> Iterator[int]:
    """Most connections of the bad network live for a few thousand bytes."""
    while True:
        yield dice.choice([dice.randrange(300, 6_000), dice.randrange(300, 6_000), 10**9])


async def test_everything_returns_to_where_it_was(tmp_path: Path, record_property: Callable[[str, Any], None]) -> None:
    """Every answer whole and right, or a typed error with a true beginning; and afterwards all is as before."""
    dice = random.Random(SEED)
    async with server(tmp_path) as under_test, ChaosProxy(under_test.port, cuts(dice)) as network:
        soak = Soak(under_test, network, dice)
        async with AutonomousAI(under_test.url) as provider:
            for number in range(len(PROMPTS)):
                soak.right[number] = await soak.ask(provider, number, stream=True)
        until = time.monotonic() + 1
        await asyncio.gather(*(soak.caller(until) for _ in range(8)))  # so that all that is loaded once is loaded
        before, memory = await settled(under_test), under_test.memory
        soak.outcomes.clear()

        until = time.monotonic() + SECONDS
        await asyncio.gather(soak.killer(until), *(soak.caller(until) for _ in range(8)))
        counters = await under_test.idle()
        after = await settled(under_test, before)
        grown = under_test.memory - memory

    record_property("load", ", ".join(f"{count} {name}" for name, count in sorted(soak.outcomes.items())) + f" in {SECONDS} s")
    record_property("memory", f"{memory / 1e6:.0f} MB before, {grown / 1e6:+.1f} MB after")
    assert not soak.wrong, "\n".join(soak.wrong)
    assert before == after
    assert grown < GROWTH
    assert 0 == counters['autonomousai_engine_requests_deferred{upstream="embedded"}']
    assert 0 == counters.get("autonomousai_orphaned_generations_total", 0)
    assert {"whole", "left", "vanished", "read slowly", "engines killed"} <= set(soak.outcomes)


async def settled(under_test: Server, wanted: Usage | None = None) -> Usage:
    """What the server holds when it has come to rest: twice the same, or as *wanted*; or at last, if it never does."""
    await under_test.idle()
    usage = await under_test.usage()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        await asyncio.sleep(4.0 if wanted is None else 0.5)
        last, usage = usage, await under_test.usage()
        if usage == (last if wanted is None else wanted):
            break
    return usage
