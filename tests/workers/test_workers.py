"""`autonomousai serve --workers 2`, as processes: who takes requests, what they share, and what becomes of it when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from autonomousai import AutonomousAI
from autonomousai.engine.weights import weights_path
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.testing import Hang, Head, Pause, Script, ScriptedServer, Send, chunks
from tests.support.engine import wait_until_gone
from tests.support.metrics import counted
from tests.support.program import PATIENCE, Ended, environment, finish, run, start, start_unread
from tests.support.sockets import CHAT, HELLO, Connection, ask, events, request, text_of
from tests.support.workers import ENGINE, WORKER, another, children, connection_to, stopped, waiting_at

STREAM = {**HELLO, "stream": True}
STOPPING = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
SETUP = 3

#: An answer that would go on for long after anybody has left.
STORY = {**STREAM, "messages": [{"role": "user", "content": "Tell me a long story about a lighthouse and its keeper."}]}
ENDLESS = {**STORY, "max_tokens": 400, "temperature": 0}

#: So many callers that it is as good as certain (1 - 2e-9) that some of them are given to each of two sockets.
CALLERS = 30

ENGINE_OF_ONE_SLOT = 'kind = "llamacpp"\nslots = 1\ncontext = 512\nmax_tokens = 400'


@dataclass
class Served:
    """A parent that has said where it is, with two workers."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def workers(self) -> list[int]:
        return children(self.process.pid, WORKER)

    @property
    def engines(self) -> list[int]:
        return children(self.process.pid, ENGINE)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> Ended:
        return await finish(self.process)

    async def says(self, text: str) -> str:
        """The next line of stderr that holds that *text*."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while text not in (line := (await self.process.stderr.readline()).decode()):
                assert line, "it has ended"
        return line


Launch = Callable[..., Awaitable[Served]]


def configure(directory: Path, upstream: str, server: str = "") -> Path:
    config = directory / "config.toml"
    config.write_text(
        f'[server]\nstate = "sqlite:{directory / "state.db"}"\n{server}\n[upstreams.one]\n{upstream}\n'
        '[models.llama]\nroute = ["one"]\n'
    )
    return config


def with_weights(home: Path) -> dict[str, str]:
    return environment(home, AUTONOMOUSAI_CACHE=str(weights_path(DEFAULT_WEIGHTS).parents[1]))


async def leave(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await finish(process)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedServer]:
    """An OpenAI-compatible server that says "Hello world"."""
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def launch(tmp_path: Path, upstream: ScriptedServer) -> AsyncIterator[Launch]:
    """Start two workers before the scripted upstream, or another; lines of the [server] table can be given."""
    async with AsyncExitStack() as stack:

        async def begin(
            upstream: str = f'kind = "openai"\nbase_url = "{upstream.url}/v1"', server: str = "", workers: int = 2
        ) -> Served:
            config = configure(tmp_path, upstream, server)
            process = await start(
                *("serve", "--workers", str(workers), "--config", str(config), "--port", "0"), env=with_weights(tmp_path)
            )
            stack.push_async_callback(leave, process)
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
            assert line.startswith("listening on http://127.0.0.1:"), await finish(process)
            return Served(process, int(line.rpartition(":")[2]))

        yield begin


# ---- starting and ending ----------------------------------------------------------------------------------------------


@STOPPING
async def test_they_say_one_line_together_and_end_when_told_to(launch, number):
    """When it is said, each of them answers; one signal to the parent ends all with 0, and nobody is left."""
    served = await launch()
    workers = served.workers

    texts = []
    for worker in workers:
        async with connection_to(worker, served.port, workers) as connection:
            answer = await connection.ask(request("POST", CHAT, HELLO))
            texts.append(answer.json()["choices"][0]["message"]["content"])
    served.signal(number)
    ended = await served.ended()
    for worker in workers:
        wait_until_gone(worker)

    assert (["Hello world"] * 2, 0, "") == (texts, ended.code, ended.out)
    assert (1, 1) == (ended.err.count("draining"), ended.err.count("serves\n"))


async def test_a_signal_lets_the_answers_of_all_finish(launch, upstream):
    """Two answers, one at each: both go on to their end, new requests get 503, and it exits with 0."""
    pauses = [Pause(), Pause()]
    upstream.play(*(Script(Head(), Send(chunks("Hello", finish=None, done=False)), each, Send(chunks("!"))) for each in pauses))
    served = await launch()
    first, second = workers = served.workers

    async with connection_to(first, served.port, workers) as one, connection_to(second, served.port, workers) as other:
        for connection in (one, other):
            await connection.send(request("POST", CHAT, STREAM))
            await connection.until(b"Hello")
        served.signal(signal.SIGTERM)
        await served.says("draining")
        while (refused := await ask(served.port, request("GET", "/v1/models"))).status != 503:
            pass
        for pause in pauses:
            pause.release()
        rests = [await connection.until(b"data: [DONE]\n\n") for connection in (one, other)]
    ended = await served.ended()

    assert ("shutting_down", 0) == (refused.error["code"], ended.code)
    assert all(b'"content":"!"' in rest for rest in rests)


async def test_who_comes_while_the_last_one_drains_is_refused(launch, upstream):
    """Not left waiting at the socket of the worker that has ended already."""
    pause = Pause()
    upstream.play(Script(Head(), Send(chunks("Hello", finish=None, done=False)), pause, Send(chunks("!"))))
    served = await launch()
    first, second = workers = served.workers

    async with connection_to(second, served.port, workers) as running:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        served.signal(signal.SIGTERM)
        await asyncio.to_thread(wait_until_gone, first)
        refused = [await ask(served.port, request("POST", CHAT, HELLO)) for _ in range(CALLERS)]
        pause.release()
        rest = await running.until(b"data: [DONE]\n\n")
    ended = await served.ended()

    assert [(503, "shutting_down")] * CALLERS == [each.told for each in refused]
    assert (0, True) == (ended.code, b'"content":"!"' in rest)


@STOPPING
async def test_a_second_signal_ends_them_now(launch, upstream, number):
    """Who cannot wait for the drain signals again; the exit code tells it from an orderly end."""
    upstream.play(Script.stall("Hello"))
    served = await launch(server="drain_s = 1000")

    async with Connection(served.port) as running:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        served.signal(number)
        await served.says("draining")
        served.signal(number)
        ended = await served.ended()

    assert 128 + number == ended.code


async def test_a_signal_to_the_whole_group_is_one_signal(launch, upstream):
    """A service manager signals all processes at once: that is the first signal, not the second, and answers finish."""
    pause = Pause()
    upstream.play(Script(Head(), Send(chunks("Hello", finish=None, done=False)), pause, Send(chunks("!"))))
    served = await launch()
    first, _ = workers = served.workers

    async with connection_to(first, served.port, workers) as running, connection_to(first, served.port, workers) as watching:
        await running.send(request("POST", CHAT, STREAM))
        await running.until(b"Hello")
        served.signal(signal.SIGTERM)
        await served.says("draining")
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        told = {(await watching.ask(request("GET", "/readyz"))).status for _ in range(20)}
        pause.release()
        rest = await running.until(b"data: [DONE]\n\n")
    ended = await served.ended()

    assert (0, {503}, True) == (ended.code, told - {200}, b'"content":"!"' in rest)


async def test_a_killed_parent_leaves_no_orphan(launch):
    """SIGKILL: the engine and all workers go with it, one that hangs as well."""
    served = await launch(ENGINE_OF_ONE_SLOT)
    family = [*served.workers, *served.engines]

    os.kill(served.workers[0], signal.SIGSTOP)
    served.signal(signal.SIGKILL)
    await served.process.wait()
    for pid in family:
        wait_until_gone(pid)

    assert 3 == len(family)


async def test_memory_is_no_place_for_the_streams_of_several(tmp_path):
    """The error names the places that are."""
    ended = await run("serve", "--workers", "2", "--port", "0", env=with_weights(tmp_path))

    assert (SETUP, "") == (ended.code, ended.out)
    assert all(word in ended.err for word in ("server.state", "sqlite:PATH", "redis://"))


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        ('kind = "openai"\nbase_url = "http://127.0.0.1:9"', "state.db"),
        ('kind = "llamacpp"\nweights = "{home}/none.gguf"', "none.gguf"),
        ('kind = "llamacpp"\nweights = "{home}/cut.gguf"', "the embedded engine cannot start"),
    ],
)
async def test_what_they_cannot_start_with_ends_it(tmp_path, upstream, says):
    """A place for streams that is none, weights that are missing or cut: said once, and the exit code is that of one worker."""
    (tmp_path / "cut.gguf").write_bytes(b"GGUF")
    if says == "state.db":
        (tmp_path / "state.db").mkdir()
    config = configure(tmp_path, upstream.format(home=tmp_path))

    ended = await run("serve", "--workers", "2", "--config", str(config), "--port", "0", env=with_weights(tmp_path))

    assert (SETUP, "", 1) == (ended.code, ended.out, ended.err.count("error:"))
    assert says in ended.err


@pytest.mark.parametrize(("running", "starting"), [(2, 2), (2, 1), (1, 2)])
async def test_a_port_in_use_is_said(launch, tmp_path, upstream, running, starting):
    """A second server does not take connections away from the first one, however many workers each has."""
    served = await launch(workers=running)
    config = configure(tmp_path, f'kind = "openai"\nbase_url = "{upstream.url}/v1"')

    ended = await run(
        *("serve", "--workers", str(starting), "--config", str(config), "--port", str(served.port)), env=with_weights(tmp_path)
    )

    assert (SETUP, "") == (ended.code, ended.out)
    assert f"server.port: cannot listen on 127.0.0.1:{served.port} (Address already in use)" in ended.err


# ---- what they share --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not share connections out")
async def test_connections_are_shared_out(launch):
    """Of 400 callers who come at once, between 30 and 70 in a hundred wait at each of two workers: more or fewer are eight
    standard deviations off. All are answered."""
    served = await launch()
    workers = served.workers

    async with AsyncExitStack() as stack:
        with stopped(*workers):
            callers = [await stack.enter_async_context(Connection(served.port)) for _ in range(400)]
            waiting = [waiting_at(worker) for worker in workers]
        answers = [await caller.ask(request("GET", "/healthz")) for caller in callers]

    assert (400, True) == (sum(waiting), 120 <= min(waiting))
    assert [200] * 400 == [answer.status for answer in answers]


async def test_a_worker_that_hangs_keeps_nobody_waiting(launch):
    """What waits at its socket is taken by the other one."""
    served = await launch()

    with stopped(served.workers[0]):
        answers = [await ask(served.port, request("POST", CHAT, HELLO)) for _ in range(CALLERS)]

    assert [200] * CALLERS == [answer.status for answer in answers]


async def test_the_metrics_are_those_of_all(launch):
    """Whichever is asked tells the sum, and a worker's death takes nothing of it back."""
    served = await launch()
    first, second = workers = served.workers

    async with connection_to(first, served.port, workers) as one, connection_to(second, served.port, workers) as other:
        for connection, times in ((one, 3), (other, 2)):
            for _ in range(times):
                await connection.ask(request("POST", CHAT, HELLO))
        told = [_answered((await connection.ask(request("GET", "/metrics"))).body) for connection in (one, other)]
        os.kill(first, signal.SIGKILL)
        await another(served.process.pid, first, 2)
        told.append(_answered((await other.ask(request("GET", "/metrics"))).body))

    assert [5, 5, 5] == told


def _answered(exposition: bytes) -> float:
    """How many chats were answered."""
    lines = exposition.decode().splitlines()
    found = [line for line in lines if line.startswith("autonomousai_requests_total{") and CHAT in line and '"200"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


async def test_the_engines_slots_are_shared(launch):
    """One slot, taken at one worker: another worker's caller waits for it in the one line, and is told how long at the most;
    the slot is free again when who has it leaves, and when the worker is killed that has it."""
    served = await launch(ENGINE_OF_ONE_SLOT, server="queue_s = 0.2")
    first, second = workers = served.workers
    engine = served.engines

    async with connection_to(second, served.port, workers) as other:
        async with connection_to(first, served.port, workers) as one:
            await one.send(request("POST", CHAT, ENDLESS))
            await one.until(b'"content":"')
            refused = await other.ask(request("POST", CHAT, {**HELLO, "max_tokens": 3}))
        after_leaving = await _until_free(other)
        async with connection_to(first, served.port, workers) as one:
            await one.send(request("POST", CHAT, ENDLESS))
            await one.until(b'"content":"')
            os.kill(first, signal.SIGKILL)
            after_death = await _until_free(other)

    assert (503, "engine_busy") == refused.told
    assert refused["retry-after"] is not None
    assert [200, 200] == [after_leaving, after_death]
    assert engine == served.engines


async def _until_free(connection: Connection) -> int:
    """Ask until the slot is free: who has left is not noticed by everybody in the same moment."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await connection.ask(request("POST", CHAT, {**HELLO, "max_tokens": 3}))).status == 503:
            pass
    return answer.status


async def test_a_crash_of_the_engine_costs_no_answer_of_any_worker(launch):
    """It is killed in mid-answer, while another worker's caller waits for the slot: both texts are whole, and the same."""
    served = await launch(ENGINE_OF_ONE_SLOT)
    first, second = workers = served.workers
    asked = {**STORY, "max_tokens": 60, "temperature": 1, "seed": 7}
    undisturbed = text_of(events((await ask(served.port, request("POST", CHAT, asked))).body))
    (engine,) = served.engines

    async with connection_to(first, served.port, workers) as one, connection_to(second, served.port, workers) as other:
        await one.send(request("POST", CHAT, asked))
        begun = await one.until(b'"content":"')
        await other.send(request("POST", CHAT, asked))
        os.kill(engine, signal.SIGKILL)
        texts = [
            text_of(events(_unchunked(begun + await one.until(b"data: [DONE]\n\n")))),
            text_of(events((await other.answer()).body)),
        ]
        ready = await other.ask(request("GET", "/readyz"))

    assert [undisturbed, undisturbed] == texts
    assert (200, 1) == (ready.status, len(served.engines))
    assert [engine] != served.engines


def _unchunked(raw: bytes) -> bytes:
    """What of a chunked response is lines of events; no chunk of ours ends within a line."""
    return b"\n".join(line for line in raw.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: "))


# ---- a worker's end ---------------------------------------------------------------------------------------------------


async def test_who_waits_in_the_socket_is_answered_by_the_next_ones(launch):
    """All workers are killed before they could take a connection: nothing of it is lost, and it is said."""
    served = await launch()
    workers = served.workers

    async with AsyncExitStack() as stack:
        with stopped(*workers):
            connection = await stack.enter_async_context(Connection(served.port))
            await connection.send(request("POST", CHAT, HELLO))
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        answer = await connection.answer()
    said = [await served.says("another is started") for _ in workers]

    assert 200 == answer.status
    assert [True] * 2 == ["was ended by SIGKILL; another is started" in line for line in said]
    assert sorted(workers) == sorted(worker for worker in workers if any(f"process {worker})" in line for line in said))


async def test_who_waits_at_a_killed_worker_is_answered_by_its_successor(launch):
    """The other one hangs meanwhile: who waits there is answered, too."""
    served = await launch()
    first, second = served.workers

    async with AsyncExitStack() as stack:
        with stopped(first, second):
            waiting = [await stack.enter_async_context(Connection(served.port)) for _ in range(CALLERS)]
            for connection in waiting:
                await connection.send(request("POST", CHAT, HELLO))
            os.kill(first, signal.SIGKILL)
            answers = [await connection.answer() for connection in waiting]

    assert [200] * CALLERS == [answer.status for answer in answers]


async def test_a_dead_worker_is_replaced_where_nobody_reads_of_it(tmp_path, upstream):
    """Whoever read stderr is gone: that a worker died cannot be said, and is mended all the same."""
    config = configure(tmp_path, f'kind = "openai"\nbase_url = "{upstream.url}/v1"')
    process = await start_unread(
        *("serve", "--workers", "2", "--config", str(config), "--port", "0"), env=with_weights(tmp_path)
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        first = children(process.pid, WORKER)[0]
        os.kill(first, signal.SIGKILL)
        workers = await another(process.pid, first, 2)
        process.terminate()
        ended = await finish(process)
    finally:
        await leave(process)

    assert (2, 0) == (len(workers), ended.code)


#: Read by every Python below the test: a worker stands still where it begins, as on a busy machine, once that file is there.
STANDSTILL = """
import os, pathlib, signal, sys
if "{worker}" in sys.orig_argv and pathlib.Path("{flag}").exists():
    os.kill(os.getpid(), signal.SIGSTOP)
"""


async def test_the_end_waits_for_no_worker_that_has_not_begun(tmp_path, upstream):
    """One is being started in the place of a dead one: however long that takes, no caller waits for it."""
    site, flag = tmp_path / "site", tmp_path / "flag"
    site.mkdir()
    (site / "sitecustomize.py").write_text(STANDSTILL.format(worker=WORKER, flag=flag))
    config = configure(tmp_path, f'kind = "openai"\nbase_url = "{upstream.url}/v1"', "drain_s = 3600")
    env = with_weights(tmp_path)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), env.get("PYTHONPATH")]))
    process = await start("serve", "--workers", "2", "--config", str(config), "--port", "0", env=env)
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        flag.touch()
        first = children(process.pid, WORKER)[0]
        os.kill(first, signal.SIGKILL)
        await another(process.pid, first, 2)
        process.terminate()
        ended = await finish(process)
    finally:
        await leave(process)

    assert 0 == ended.code
    assert "draining for up to 3600 s" in ended.err


async def test_a_worker_that_is_told_to_leave_is_replaced(launch):
    """SIGTERM for one alone: it finishes its answer, and another takes its place."""
    served = await launch()
    first = served.workers[0]

    os.kill(first, signal.SIGTERM)
    workers = await another(served.process.pid, first, 2)
    answer = await ask(served.port, request("POST", CHAT, HELLO))
    served.signal(signal.SIGTERM)
    ended = await served.ended()

    assert (2, 200, 0) == (len(workers), answer.status, ended.code)
    assert "ended with status 0; another is started" in ended.err


async def test_a_killed_worker_costs_no_character(launch, upstream):
    """The one that answers is killed in mid-answer: the client goes on at another one, and its caller does not notice."""
    words = [f" {number}" for number in range(40)]
    upstream.play(Script(Head(), Send(chunks(*words[:9], finish=None, done=False)), Hang()), Script.stream(*words))
    served = await launch(f'kind = "openai"\nbase_url = "{upstream.url}/v1"\nprefill = "no"')

    pieces = await _ask_and_kill(served, after=9)

    assert ([*words, ""], 2) == (pieces, len(upstream.requests))


async def test_a_killed_worker_of_an_engine_costs_no_character(launch):
    """The engine is the parent's and stays; the dead worker's slot goes to the one that finishes the answer, exactly."""
    served = await launch(ENGINE_OF_ONE_SLOT)
    fields = {"max_tokens": 48, "temperature": 0.9, "seed": 7}
    (engine,) = served.engines

    pieces = await _ask_and_kill(served, after=12, **fields)
    async with AutonomousAI(f"http://127.0.0.1:{served.port}") as client:
        text = await client.create_async_generator("llama", HELLO["messages"], stream=True, **fields).text()

    assert text == "".join(pieces)
    assert [engine] == served.engines


async def _ask_and_kill(served: Served, after: int, **fields: object) -> list[str]:
    """Ask one worker with our client, and kill it after that many pieces."""
    first, second = served.workers
    pieces: list[str] = []
    async with AutonomousAI(f"http://127.0.0.1:{served.port}", timeout={"idle": PATIENCE}) as client:
        with stopped(second):
            result = client.create_async_generator("llama", HELLO["messages"], stream=True, **fields)
            pieces.append(str(await anext(result)))
        async with result:
            async for chunk in result:
                pieces.append(str(chunk))
                if len(pieces) == after:
                    os.kill(first, signal.SIGKILL)
    return pieces


async def test_what_one_worker_finds_out_of_an_upstream_the_others_know(launch: Launch, upstream: ScriptedServer) -> None:
    """One connection, and so one worker, meets the failures; the breakers of both are open."""
    upstream.play(Script.status(500))
    served = await launch()
    body = {**HELLO, "stream": False}

    async with Connection(served.port) as connection:
        for _ in range(4):
            await connection.ask(request("POST", CHAT, body))
    async with asyncio.timeout(PATIENCE):
        while (seen := await counted(served.port)).by("breaker_state", "upstream", "state") != {("one", "open"): 2}:
            pass

    assert 2 == seen.of("processes")
    served.signal(signal.SIGTERM)
    assert 0 == (await served.ended()).code
