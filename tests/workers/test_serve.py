"""`autonomousai serve` as a process: the one line, the signals, the drain, and what it cannot start with."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from autonomousai.testing import Pause, Script, ScriptedServer
from autonomousai.testing.completions import chunks
from autonomousai.testing.steps import Head, Send
from autonomousai.workers.sockets import cannot_listen
from tests.support.program import PATIENCE, Ended, environment, finish, run, start, start_unread
from tests.support.sockets import CHAT, HELLO, Connection, ask, events, request, text_of

STREAM = {**HELLO, "stream": True}
STOPPING = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])

#: The exit code for what must be set up first.
SETUP = 3


@dataclass
class Process:
    """A server process that has said where it is."""

    process: asyncio.subprocess.Process
    port: int
    line: str

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> Ended:
        return await finish(self.process)

    async def draining(self) -> None:
        """Wait until it refuses what is new."""
        async with asyncio.timeout(PATIENCE):
            while (await ask(self.port, request("GET", "/readyz"))).status != 503:
                pass


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedServer]:
    """An OpenAI-compatible server that says "Hello world"."""
    async with ScriptedServer() as server:
        yield server


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]
Launch = Callable[..., Awaitable[Process]]


@pytest.fixture
async def launch(tmp_path: Path, upstream: ScriptedServer) -> AsyncIterator[Launch]:
    """Start a server whose one upstream is the scripted one; more arguments, and lines of its [server] table, can be given."""
    async with AsyncExitStack() as stack:

        async def begin(*arguments: str, server: str = "", start: Start = start, **env: str) -> Process:
            config = tmp_path / "config.toml"
            config.write_text(
                f"[server]\n{server}\n"
                f'[upstreams.far]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\n'
                '[models.llama]\nroute = ["far"]\n[models."org/own"]\nroute = ["far"]\naliases = ["own"]\n'
            )
            process = await start("serve", "--config", str(config), "--port", "0", *arguments, env=environment(tmp_path, **env))
            stack.callback(lambda: process.returncode is None and process.kill())
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
            assert line, await finish(process)
            return Process(process, int(line.rpartition(":")[2]), line)

        yield begin


@STOPPING
async def test_it_says_where_it_is_and_ends_when_told_to(launch, number):
    """On stdout stands one line and no other, from the start to the end; a signal ends it with 0."""
    process = await launch()

    answer = await ask(process.port, request("POST", CHAT, HELLO))
    process.signal(number)
    ended = await process.ended()

    assert f"listening on http://127.0.0.1:{process.port}\n" == process.line
    assert (200, 0, "") == (answer.status, ended.code, ended.out)


async def test_an_answer_comes_through_the_gateway(launch):
    """Stream and document carry the upstream's text, its name, and the account of the one attempt."""
    process = await launch()

    stream = await ask(process.port, request("POST", CHAT, STREAM))
    document = (await ask(process.port, request("POST", CHAT, {**HELLO, "model": "own"}))).json()
    process.signal(signal.SIGTERM)
    await process.ended()

    told = [events(stream.body)[-2]["x_autonomousai"], document["x_autonomousai"]]
    assert ("Hello world", "Hello world") == (text_of(events(stream.body)), document["choices"][0]["message"]["content"])
    assert ("scripted", ["far", "far"]) == (document["model"], [each["upstream"] for each in told])
    assert [[("far", "ok", 200)]] * 2 == [
        [(each["upstream"], each["outcome"], each["status"]) for each in one["attempts"]] for one in told
    ]


async def test_models_without_a_route_are_not_served(launch):
    """No llamacpp upstream, no engine: what nobody routed is not listed, and a 404; the others are there."""
    process = await launch()

    listed = (await ask(process.port, request("GET", "/v1/models"))).json()["data"]
    missing = await ask(process.port, request("POST", CHAT, {**HELLO, "model": "hermes"}))
    process.signal(signal.SIGTERM)
    await process.ended()

    assert {"llama": ["llama-3.3-70b"], "org/own": ["own"], "own": []} == {entry["id"]: entry["aliases"] for entry in listed}
    assert (404, "model_not_found") == missing.told


async def test_an_image_for_an_upstream_that_cannot_see_is_a_400(launch, upstream):
    """The upstream is not even asked."""
    process = await launch()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    got = await ask(process.port, request("POST", CHAT, {**HELLO, "messages": [{"role": "user", "content": [image]}]}))
    process.signal(signal.SIGTERM)
    await process.ended()

    assert (400, "messages[0].content", []) == (got.status, got.error["param"], upstream.requests)


@STOPPING
async def test_a_signal_lets_running_answers_finish(launch, upstream, number):
    """While it drains, the running answer goes on to its end, new requests get 503 on an open door, and it exits with 0."""
    pause = Pause()
    upstream.play(Script(Head(), Send(chunks("Hello", finish=None, done=False)), pause, Send(chunks(" world"))))
    process = await launch()

    async with Connection(process.port) as running:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        process.signal(number)
        await process.draining()
        refused = await ask(process.port, request("POST", CHAT, HELLO))
        pause.release()
        rest = await running.until(b"data: [DONE]\n\n")
    ended = await process.ended()

    assert (503, "shutting_down", 0) == (*refused.told, ended.code)
    assert b" world" in rest


async def test_a_stderr_that_nobody_reads_costs_no_answer(launch, upstream):
    """Whoever read the log is gone: it serves all the same, and a signal lets the running answer finish."""
    pause = Pause()
    upstream.play(Script(Head(), Send(chunks("Hello", finish=None, done=False)), pause, Send(chunks(" world"))))
    process = await launch(start=start_unread)

    async with Connection(process.port) as running:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        process.signal(signal.SIGTERM)
        await process.draining()
        pause.release()
        rest = await running.until(b"data: [DONE]\n\n")

    assert b" world" in rest
    assert 0 == (await process.ended()).code


async def test_who_is_not_finished_in_time_is_told(launch, upstream):
    """After drain_s the rest of an answer is an error event; the upstream is left, and it exits with 0."""
    upstream.play(Script.stall("Hello"))
    process = await launch(server="drain_s = 0.05")

    async with Connection(process.port) as running:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        process.signal(signal.SIGTERM)
        told = await running.rest()
    ended = await process.ended()

    assert (0, "left") == (ended.code, await upstream.requests[0].over())
    assert b'"code":"shutting_down"' in told
    assert b"data: [DONE]" not in told
    assert told.endswith(b"0\r\n\r\n")


@STOPPING
async def test_a_second_signal_ends_it_now(launch, upstream, number):
    """Who cannot wait for the drain signals again; the exit code tells it from an orderly end."""
    upstream.play(Script.stall("Hello"))
    process = await launch(server="drain_s = 1000")

    async with Connection(process.port) as running:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        process.signal(number)
        await process.draining()
        process.signal(number)
        ended = await process.ended()

    assert 128 + number == ended.code


async def test_idle_connections_do_not_hold_it_up(launch):
    """Connections that are kept alive, or have never said anything, are closed at the end."""
    process = await launch(server="drain_s = 1000")

    async with Connection(process.port) as used, Connection(process.port) as silent:
        await used.ask(request("GET", "/healthz"))
        process.signal(signal.SIGTERM)
        ended = await process.ended()
        rests = [await used.rest(), await silent.rest()]

    assert (0, [b"", b""]) == (ended.code, rests)


async def test_neither_prompts_nor_keys_are_logged(launch, upstream):
    """Whatever happens to a request, what it said stays out of stderr, and so do keys."""
    upstream.play(Script.status(401), Script.not_http())
    secret = "sk-very-secret"
    process = await launch(server='api_keys = ["env:KEY"]', KEY=secret)
    document = {**HELLO, "messages": [{"role": "user", "content": "my very own prompt"}]}

    for data in (
        request("POST", CHAT, document, authorization=f"Bearer {secret}"),
        request("POST", CHAT, document, authorization=f"Bearer {secret}"),
        request("POST", CHAT, document, authorization="Bearer sk-wrong"),
        request("POST", CHAT, {**document, "temperature": "my very own prompt"}, authorization=f"Bearer {secret}"),
    ):
        await ask(process.port, data)
    process.signal(signal.SIGTERM)
    ended = await process.ended()

    assert (False, False, False) == tuple(text in ended.err for text in ("very own", secret, "sk-wrong"))


async def test_a_port_in_use_is_said(tmp_path):
    """Two cannot listen in one place: the second says so, and what to do."""
    config = tmp_path / "config.toml"
    config.write_text('[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = await run("serve", "--config", str(config), "--port", str(port), env=environment(tmp_path))

    assert (SETUP, "") == (ended.code, ended.out)
    assert f"cannot listen on 127.0.0.1:{port}" in ended.err
    assert "--port" in ended.err


@pytest.mark.parametrize(
    ("number", "key", "says"),
    [
        (errno.EADDRINUSE, "server.port", "choose another with --port (0 takes any free one)"),
        (errno.EADDRNOTAVAIL, "server.host", "this machine has no such address"),
        (errno.EACCES, "server.port", "ports below 1024 are the system's"),
    ],
)
def test_why_it_cannot_listen_is_told_with_what_mends_it(number, key, says):
    """A foreign address is no taken port, and another port would not help."""
    message = str(cannot_listen("10.1.2.3:80", OSError(number, os.strerror(number))))

    assert message.startswith(f"{key}: cannot listen on 10.1.2.3:80 (")
    assert says in message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "server.api_keys"),
        (["--host", "no.such.host.invalid"], "server.api_keys"),
        (["--workers", "2"], "server.state"),
    ],
)
async def test_what_it_cannot_start_with_is_said(tmp_path, arguments, says):
    """An address for others without a key, more workers than one: an error before anything is started."""
    config = tmp_path / "config.toml"
    config.write_text('[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n')

    ended = await run("serve", "--config", str(config), *arguments, env=environment(tmp_path))

    assert (SETUP, "") == (ended.code, ended.out)
    assert says in ended.err


@pytest.mark.parametrize(
    ("arguments", "says"), [(["--host", "0.0.0.0"], "server.api_keys"), (["--workers", "2"], "server.state")]
)
async def test_nothing_is_fetched_for_a_server_that_cannot_start(tmp_path, arguments, says):
    """Without a config the engine's weights are missing: the refusal comes before them."""
    nowhere = environment(tmp_path, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")

    ended = await run("serve", *arguments, env=nowhere)

    assert (SETUP, "") == (ended.code, ended.out)
    assert says in ended.err
    assert "smollm2" not in ended.err


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_nothing_is_fetched_for_a_port_that_is_taken(tmp_path, workers):
    """A port in use is reported at once, not after a download."""
    nowhere = environment(tmp_path, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")
    config = tmp_path / "config.toml"
    config.write_text(f'[server]\nstate = "sqlite:{tmp_path}/state.db"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--config", str(config), "--workers", workers, "--port", where.rpartition(":")[2]]

        ended = await run("serve", *arguments, env=nowhere)

    assert (SETUP, "") == (ended.code, ended.out)
    assert f"cannot listen on {where}" in ended.err
    assert "smollm2" not in ended.err


async def test_a_host_that_does_not_exist_is_said(tmp_path):
    """A name that is no address of this machine is an error that names it."""
    config = tmp_path / "config.toml"
    config.write_text(
        '[server]\napi_keys = ["sk-1"]\nhost = "no.such.host.invalid"\n'
        '[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    )

    ended = await run("serve", "--config", str(config), env=environment(tmp_path))

    assert SETUP == ended.code
    assert "no.such.host.invalid" in ended.err


async def test_a_server_that_would_serve_nothing_does_not_start(tmp_path):
    """An upstream that no model has a route to: that is said, with what to write."""
    config = tmp_path / "config.toml"
    config.write_text('[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n')

    ended = await run("serve", "--config", str(config), "--port", "0", env=environment(tmp_path))

    assert (SETUP, "") == (ended.code, ended.out)
    assert 'write [models.llama] and route = ["far"]' in ended.err


async def test_the_hosts_of_the_command_line_are_the_ones_that_are_checked(launch):
    """--host goes over the config's, for the Host header too."""
    process = await launch("--host", "0.0.0.0", server='api_keys = ["sk-1"]')

    got = await ask(process.port, request("GET", "/v1/models", host="ai.example.org", authorization="Bearer sk-1"))
    process.signal(signal.SIGTERM)
    ended = await process.ended()

    assert (200, 0, True) == (got.status, ended.code, process.line.startswith("listening on http://0.0.0.0:"))


async def test_without_a_stderr_nothing_is_written_elsewhere(tmp_path):
    """Started with `2>&-`, on stdout stands the one line, and the descriptor 2 is nobody's socket or file."""
    program = ("sh", "-c", 'exec "$0" -m autonomousai "$@" 2>&-', sys.executable)
    config = tmp_path / "config.toml"
    config.write_text('[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.llama]\nroute = ["far"]\n')
    process = await start("serve", "--config", str(config), "--port", "0", env=environment(tmp_path), program=program)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
    descriptor = Path(f"/proc/{process.pid}/fd/2").readlink()
    process.terminate()
    ended = await finish(process)

    assert line.startswith("listening on http://127.0.0.1:")
    assert Path("/dev/null") == descriptor
    assert (0, "") == (ended.code, ended.out)
