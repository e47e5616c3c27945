"""The server itself is killed in mid-answer, with SIGKILL: another one on the same Redis, or the next on the same file, goes on
with the answer. The caller's loop ends with the whole text, and never notices."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from autonomousai import AutonomousAI
from autonomousai.engine.weights import weights_path
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.testing import Hang, Head, Script, ScriptedServer, Send, chunks
from tests.support.chaos import ChaosProxy
from tests.support.program import PATIENCE, environment, finish, start
from tests.support.redis import redis_server

from .sample import sample

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
WORDS = [f" {number}" for number in range(40)]

STATES = ("redis", "sqlite")


class Kill(NamedTuple):
    """One case: where streams are kept, and after how many pieces the server is killed."""

    state: str
    after: int


SCRIPTED = [kill for state in STATES for kill in sample([Kill(state, after) for after in (1, 2, 20, len(WORDS) - 1)], 2)]
REAL = [kill for state in STATES for kill in sample([Kill(state, after) for after in range(1, 40, 4)], 1)]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def state_of(redis_url: str, tmp_path: Path) -> Callable[[str], str]:
    """The place for streams, of either kind."""
    return lambda kind: redis_url if kind == "redis" else f"sqlite:{tmp_path / 'state.db'}"


class Server:
    """`autonomousai serve`, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    async def kill(self) -> None:
        """At once; and see it gone."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await finish(self.process)


Launch = Callable[..., Awaitable[Server]]


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    """Start a server whose streams are kept there, with this upstream behind the model."""
    async with AsyncExitStack() as stack:

        async def begin(state: str, upstream: str) -> Server:
            config = tmp_path / "config.toml"
            config.write_text(
                f'[server]\nstate = "{state}"\n[upstreams.one]\n{upstream}\n[models.llama]\nroute = ["one"]\n', encoding="utf-8"
            )
            env = environment(tmp_path, AUTONOMOUSAI_CACHE=str(weights_path(DEFAULT_WEIGHTS).parents[1]))
            process = await start("serve", "--config", str(config), "--port", "0", env=env)
            server = Server(process)
            stack.push_async_callback(server.kill)
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
            assert line, await finish(process)
            server.port = int(line.rpartition(":")[2])
            return server

        yield begin


async def ask_and_kill(kill: Kill, launch: Launch, state: str, upstream: str, **fields: Any) -> tuple[list[str], str]:
    """Ask, kill the server that answers after that many pieces, and read on. Returns the pieces, and what the next server
    replays of them to somebody who has nothing yet."""
    first = await launch(state, upstream)
    async with ChaosProxy(first.port) as network, AutonomousAI(network.url, timeout={"idle": PATIENCE}) as client:
        async with client.create_async_generator("llama", MESSAGES, stream=True, **fields) as result:
            pieces: list[str] = []
            async for chunk in result:
                pieces.append(str(chunk))
                if len(pieces) == kill.after:
                    await first.kill()
                    network.target = (await launch(state, upstream)).port
        assert result.finish is not None
    return pieces, result.finish.evidence


@pytest.mark.parametrize("kill", SCRIPTED, ids=lambda kill: f"{kill.state} after {kill.after}")
async def test_a_killed_server_costs_no_character(launch: Launch, state_of: Callable[[str], str], kill: Kill) -> None:
    """The upstream was asked twice, and what had been delivered was not delivered again."""
    whole = Script.body(chunks(*WORDS))
    begun = Script(Head(), Send(chunks(*WORDS[: kill.after], finish=None, done=False)), Hang())
    async with ScriptedServer(begun, whole) as upstream:
        settings = f'kind = "openai"\nbase_url = "{upstream.url}/v1"\nprefill = "no"'
        pieces, evidence = await ask_and_kill(kill, launch, state_of(kill.state), settings)
        asked = len(upstream.requests)

    assert ([*WORDS, ""], "finish_reason", 2) == (pieces, evidence, asked)


@pytest.mark.parametrize("kill", SCRIPTED[::2], ids=lambda kill: f"{kill.state} after {kill.after}")
async def test_a_response_in_the_background_outlives_its_server(
    launch: Launch, state_of: Callable[[str], str], kill: Kill
) -> None:
    """OpenAI's client reads on at the next server, after the last event that it had; the response is completed there."""
    whole = Script.body(chunks(*WORDS))
    begun = Script(Head(), Send(chunks(*WORDS[: kill.after], finish=None, done=False)), Hang())
    async with ScriptedServer(begun, whole) as upstream:
        settings = f'kind = "openai"\nbase_url = "{upstream.url}/v1"\nprefill = "no"'
        first = await launch(state_of(kill.state), settings)
        name, last, words = "", -1, list[str]()
        async with client_of(first) as client:
            stream = await client.responses.create(model="llama", input="Hi", stream=True, background=True)
            with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of a connection that is reset
                async for event in stream:
                    last = event.sequence_number
                    if event.type == "response.created":
                        name = event.response.id
                    elif event.type == "response.output_text.delta":
                        words.append(event.delta)
                        if len(words) == kill.after:
                            await first.kill()
        async with client_of(await launch(state_of(kill.state), settings)) as client:
            async for event in await client.responses.retrieve(name, stream=True, starting_after=last):
                if event.type == "response.output_text.delta":
                    words.append(event.delta)
            response = await client.responses.retrieve(name)

    assert words == WORDS
    assert (response.status, response.output_text) == ("completed", "".join(WORDS))


def client_of(server: Server) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="k", max_retries=0)


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 0.9, "seed": 7}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("kill", REAL, ids=lambda kill: f"{kill.state} after {kill.after}")
async def test_a_killed_server_with_its_engine(
    launch: Launch, state_of: Callable[[str], str], kill: Kill, sampling: dict[str, Any]
) -> None:
    """The engine dies with its server; another one's brings the same text as if nothing had been."""
    settings = 'kind = "llamacpp"\nslots = 1\ncontext = 512'
    fields = {"max_tokens": 48, **sampling}
    pieces, _ = await ask_and_kill(kill, launch, state_of(kill.state), settings, **fields)
    undisturbed = await launch(state_of(kill.state), settings)
    async with AutonomousAI(f"http://127.0.0.1:{undisturbed.port}") as client:
        text = await client.create_async_generator("llama", MESSAGES, stream=True, **fields).text()

    assert text == "".join(pieces)
