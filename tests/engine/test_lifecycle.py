"""The engine's process: started once, watched, started again, given up, and gone with its owner in every way of leaving.

Most of it needs no model: a module that stands in for llama.cpp does what the test says, in a child process that is real.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from autonomousai.engine import process as child
from autonomousai.engine import supervisor, weights
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import ConfigError, ConnectError, HTTPError
from autonomousai.events import FinishReason, Messages
from autonomousai.models import DEFAULT_WEIGHTS
from tests.support.engine import until, wait_until_gone

STAND_IN = """
import os, pathlib, signal, socket, sys, threading, time, types

here = pathlib.Path(__file__).parent
with (here / "starts").open("a") as file:
    print(os.getpid(), file=file)
(here / "seen").write_text(repr((sys.argv, dict(os.environ))))

class CommonParams:
    def __init__(self):
        self.model, self.cpuparams, self.cpuparams_batch = (types.SimpleNamespace() for _ in range(3))

def Server(params):
    {body}
    listening = socket.create_server(params.hostnames[0], family=socket.AF_UNIX)
    threading.Thread(target=be_healthy, args=(listening,), daemon=True).start()

def be_healthy(listening):
    while True:
        connection, _ = listening.accept()
        connection.recv(1000)
        connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
        connection.close()
"""

NO_VOCABULARY = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)

HELLO: Messages = [{"role": "user", "content": "Hello"}]


class StandIn:
    """What stands in for llama.cpp, and what it has seen."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.weights = directory / "model.gguf"
        self.weights.write_bytes(NO_VOCABULARY)
        self.does("pass")

    def does(self, body: str) -> None:
        (self.directory / "xllamacpp.py").write_text(STAND_IN.format(body=body))

    def engine(self) -> LlamaCpp:
        return LlamaCpp(str(self.weights))

    @property
    def starts(self) -> list[int]:
        path = self.directory / "starts"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return StandIn(tmp_path)


def socket_of(engine: LlamaCpp) -> Path:
    current = engine._engines.current()
    assert current is not None
    return Path(current.supervisor.settings.socket)


def is_there(pid: int | None) -> bool:
    """Whether that process is there, if only as a zombie."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def crash(engine: LlamaCpp) -> None:
    """Kill the child, and wait until that is noticed."""
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: engine.pid != pid)


# ---- starting ---------------------------------------------------------------------------------------------------------


async def test_starting_is_shared(stand_in: StandIn) -> None:
    """However many start it at once, there is one child; started again, it is the same."""
    engine = stand_in.engine()
    states = [engine.state]
    starting = [asyncio.create_task(engine.start()) for _ in range(5)]
    await asyncio.sleep(0)
    states.append(engine.state)

    await asyncio.gather(*starting)
    await engine.start()
    states.append(engine.state)
    pid = engine.pid
    await engine.aclose()

    assert ["stopped", "starting", "ready"] == states
    assert [pid] == stand_in.starts


async def test_closing_leaves_nothing(stand_in: StandIn) -> None:
    """No process, no directory; and it can be started again."""
    async with stand_in.engine() as engine:
        socket, pid = socket_of(engine), engine.pid
        private = socket.parent.stat().st_mode & 0o777
    closed = engine.state
    await engine.aclose()

    async with engine:
        again = engine.pid

    assert (0o700, "stopped", False) == (private, closed, socket.parent.exists())
    assert [pid, again] == stand_in.starts
    assert [False, False] == [is_there(pid), is_there(again)]


async def test_the_child_is_told_nothing_secret_in_public(stand_in: StandIn) -> None:
    """Its key stands neither in its arguments nor in its environment."""
    async with stand_in.engine() as engine:
        current = engine._engines.current()
        assert current is not None
        key = current.supervisor.settings.api_key

    seen = (stand_in.directory / "seen").read_text()
    assert "PYTHONPATH" in seen
    assert 40 < len(key)
    assert key not in seen


async def test_ctrl_c_in_the_terminal_is_not_for_the_child(stand_in: StandIn) -> None:
    """It is in a session of its own: its owner may have an answer to finish."""
    async with stand_in.engine() as engine:
        session = os.getsid(engine.pid or 0)

        assert engine.pid == session


async def test_a_socket_fits_where_the_temporary_directory_is_deep(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a Unix socket has about a hundred bytes."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    async with stand_in.engine() as engine:
        socket = socket_of(engine)

        assert len(bytes(socket)) <= 100
        assert [] == list(deep.iterdir())


async def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And fetching them is enough: nothing remembers the failure."""
    monkeypatch.setenv("AUTONOMOUSAI_CACHE", str(tmp_path))
    engine = LlamaCpp("qwen2.5-coder-1.5b")

    with pytest.raises(ConfigError, match=r"run: autonomousai pull qwen2\.5-coder-1\.5b"):
        await engine.start()

    assert "stopped" == engine.state


async def test_a_missing_extra_says_how_to_get_it(stand_in: StandIn) -> None:
    """The child says so: we never import it."""
    stand_in.does("raise ImportError('no xllamacpp here')")

    with pytest.raises(ConfigError, match=r"no xllamacpp here.*pip install 'autonomousai\[local\]'"):
        await stand_in.engine().start()


async def test_a_missing_library_of_the_system_says_how_to_get_it(stand_in: StandIn) -> None:
    """As in the slim image of Python, where the extra is there and cannot be loaded."""
    stand_in.does("raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')")

    with pytest.raises(ConfigError, match=r"cannot be loaded here \(libgomp\.so\.1.*apt-get install libgomp1") as raised:
        await stand_in.engine().start()

    assert "pip install" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("print('E out of memory', file=sys.stderr); raise RuntimeError('failed')", "RuntimeError: failed.*E out of memory"),
        ("print('bad weights'); os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL while it loaded.*bad weights"),
        (
            "print('E failed to allocate buffer for kv cache', file=sys.stderr); raise RuntimeError('failed')",
            "not enough memory for a context of 4096 tokens a slot; choose fewer.*kv cache",
        ),
        ("os._exit(3)", "ended with status 3 while it loaded"),
    ],
)
async def test_an_engine_that_cannot_start_says_why_and_is_left_alone(body: str, why: str, stand_in: StandIn) -> None:
    """The child's own last words; who asks gets the same, without another try, until it is closed."""
    stand_in.does(body)
    engine = stand_in.engine()

    for attempt in (engine.start(), engine.start(), engine.create_async_generator("llama", HELLO).text()):
        with pytest.raises(ConfigError, match=f"(?s){why}"):
            await attempt
    tries, state = len(stand_in.starts), engine.state
    await engine.aclose()
    stand_in.does("pass")
    async with engine:
        mended = engine.state

    assert (1, "failed", "ready") == (tries, state, mended)


#: A log as llama.cpp's: a thread writes it, more than a pipe holds, here only when the child is about to leave.
LATE_LOG = """
    def write_log():
        threading.main_thread().join()
        for _ in range(5000):
            os.write(2, b"E a line of a long log" * 50 + b"\\n")
        os.write(2, b"E the cause\\n")
    threading.Thread(target=write_log).start()
    raise RuntimeError("failed")"""


async def test_a_log_that_is_written_late_is_quoted_all_the_same(stand_in: StandIn) -> None:
    """The child leaves when it is written, and its owner waits for that."""
    stand_in.does(LATE_LOG)

    with pytest.raises(ConfigError, match=r"RuntimeError: failed(?s:.*)E the cause$"):
        await stand_in.engine().start()


async def test_weights_that_are_cut_say_so() -> None:
    """llama.cpp's own words, with the file's name."""
    whole = weights.pull(DEFAULT_WEIGHTS)
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        with whole.open("rb") as source:
            file.write(source.read(10_000_000))
        file.flush()

        with pytest.raises(ConfigError, match="corrupted or incomplete"):
            await LlamaCpp(file.name).start()


def children() -> set[str]:
    """The processes that are ours, dead ones included that nobody has buried."""
    pids: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            pids.update((task / "children").read_text().split())
    return pids


async def test_an_engine_that_takes_too_long_is_stopped(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever; and one that does not listen to SIGTERM is killed."""
    monkeypatch.setattr(child, "_PATIENCE", 0.3)
    monkeypatch.setattr(child, "_FAREWELL", 0.1)
    stand_in.does("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1e6)")
    before = children()

    with pytest.raises(ConfigError, match=r"not loaded within 0\.3 s"):
        await stand_in.engine().start()

    assert before == children()


async def test_the_log_is_bounded(stand_in: StandIn) -> None:
    """Whatever the child says is kept, on stdout as well, but no more than its last 200 lines."""
    stand_in.does("[print(f'line {number}', flush=True) for number in range(1000)]")

    async with stand_in.engine() as engine:
        await until(lambda: engine.last_log().endswith("line 999"))
        lines = engine.last_log().splitlines()

    assert (200, "line 800") == (len(lines), lines[0])


# ---- crashing ---------------------------------------------------------------------------------------------------------


async def test_a_crash_is_noticed_and_mended(stand_in: StandIn) -> None:
    """At once: a new child takes over."""
    async with stand_in.engine() as engine:
        first = engine.pid

        await crash(engine)
        noticed = engine.state
        await engine.start()

        assert ("starting", "ready") == (noticed, engine.state)
        assert [first, engine.pid] == stand_in.starts


async def test_after_five_crashes_it_is_left_alone(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a completed answer between them; it says so to everybody who asks, and its log to the operator alone."""
    monkeypatch.setattr(supervisor, "_BACKOFF", (0, 0, 0, 0))
    stand_in.does("print('cannot go on', file=sys.stderr)")
    engine = stand_in.engine()
    for _ in range(5):
        await engine.start()
        await crash(engine)
    await until(lambda: engine.state != "starting")

    for attempt in (engine.start(), engine.create_async_generator("llama", HELLO).text()):
        with pytest.raises(ConnectError, match=r"crashed 5 times.*was ended by SIGKILL$") as caught:
            await attempt
    state = engine.state
    await engine.aclose()

    assert ["cannot go on"] * 5 == engine.last_log().splitlines()
    assert ("failed", 5, False) == (state, len(stand_in.starts), caught.value.retryable)


async def test_a_completed_answer_forgives_the_crashes(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """What crashes later is other trouble."""
    monkeypatch.setattr(supervisor, "_BACKOFF", (0, 0, 0, 0))
    async with stand_in.engine() as engine:
        current = engine._engines.current()
        assert current is not None
        for _ in range(6):
            await crash(engine)
            await engine.start()
            current.supervisor.completed()

        assert ("ready", 7) == (engine.state, len(stand_in.starts))


async def test_who_waits_for_an_engine_that_is_closed_is_told(stand_in: StandIn) -> None:
    """Nobody hangs."""
    stand_in.does("time.sleep(1e6)")
    engine = stand_in.engine()
    waiting = asyncio.create_task(engine.create_async_generator("llama", HELLO).text())
    await until(lambda: bool(stand_in.starts))

    await engine.aclose()

    with pytest.raises(ConnectError, match="was stopped"):
        await waiting


@pytest.mark.parametrize("stream", [True, False])
async def test_a_crash_ends_the_running_answer_and_the_same_can_be_had_again(stream: bool) -> None:
    """With the text so far; and then, from a fresh child with the same seed, byte for byte, with that same beginning."""
    options = {"seed": 5, "temperature": 1.0, "max_tokens": 40}
    tell: Messages = [{"role": "user", "content": "Tell me about the sea."}]
    async with LlamaCpp(slots=1, context=512) as engine:
        whole = await engine.create_async_generator("llama", tell, **options).text()
        broken = engine.create_async_generator("llama", tell, stream=stream, **options)
        killing = asyncio.create_task(kill_when_it_generates(engine))

        with pytest.raises(HTTPError) as caught:
            await broken.text()
        await killing
        again = await engine.create_async_generator("llama", tell, **options).text()

    assert whole == again
    assert caught.value.retryable
    assert caught.value.partial != whole
    assert whole.startswith(caught.value.partial)


async def kill_when_it_generates(engine: LlamaCpp) -> None:
    before = (await engine.metrics())["n_decode_total"]
    while (await engine.metrics())["n_decode_total"] < before + 8:
        pass
    await crash(engine)


# ---- leaving ----------------------------------------------------------------------------------------------------------

OWNER = """
import asyncio, os, sys
from autonomousai.engine.provider import LlamaCpp

engine = LlamaCpp(sys.argv[1])

async def start():
    await engine.start()
    print(engine.pid, flush=True)

{leave}
"""

AND_NOBODY_IS_LEFT = """
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print(engine.state)
"""


def owner(stand_in: StandIn, leave: str) -> subprocess.Popen[str]:
    """A process that owns an engine, starts it, says its child's pid and leaves; every warning there is an error."""
    command = [sys.executable, "-W", "error", "-c", OWNER.format(leave=leave), str(stand_in.weights)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def last_words(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said until its end, which must come."""
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "leave",
    [
        "asyncio.run(start())",
        "asyncio.run(start()); asyncio.run(start())",
        "import uvloop; uvloop.run(start()); uvloop.run(start())",
        (
            "loop = asyncio.new_event_loop(); loop.run_until_complete(start()); "
            "loop.run_until_complete(loop.shutdown_asyncgens()); loop.close()"
        ),
    ],
    ids=["asyncio", "twice", "uvloop", "by-hand"],
)
def test_an_event_loop_takes_its_engine_along(leave: str, stand_in: StandIn) -> None:
    """Nobody closed it; there is no warning, no zombie, and another loop has another child."""
    said, complaints = owner(stand_in, leave + AND_NOBODY_IS_LEFT).communicate()

    assert ([*map(str, stand_in.starts), "stopped"], "") == (said.split(), complaints)


def test_an_event_loop_that_ends_while_its_engine_starts_takes_it_along(stand_in: StandIn) -> None:
    """At whichever step of that: nobody waits for ever, and there is no warning and no zombie."""
    leave = """
async def begin(steps):
    beginning = asyncio.create_task(engine.start())
    for _ in range(steps):
        await asyncio.sleep(0)

for steps in range(10):
    asyncio.run(begin(steps))
"""
    said, complaints = last_words(owner(stand_in, leave + AND_NOBODY_IS_LEFT))

    assert ("stopped\n", "") == (said, complaints)


def test_an_event_loop_that_ends_as_its_engine_dies_buries_it(stand_in: StandIn) -> None:
    """At whichever step of that."""
    leave = """
async def die(steps):
    await engine.start()
    os.kill(engine.pid, 9)
    for _ in range(steps):
        await asyncio.sleep(0)

for steps in range(4):
    asyncio.run(die(steps))
"""
    said, complaints = last_words(owner(stand_in, leave + AND_NOBODY_IS_LEFT))

    assert ("stopped", "") == (said.split()[-1], complaints)


def test_a_process_that_just_ends_takes_its_engine_along(stand_in: StandIn) -> None:
    """Without so much as closing its loop."""
    said, _ = owner(stand_in, "loop = asyncio.new_event_loop(); loop.run_until_complete(start()); os._exit(0)").communicate()

    wait_until_gone(int(said))
    assert [int(said)] == stand_in.starts


def test_a_killed_owner_leaves_no_orphan(stand_in: StandIn) -> None:
    """SIGKILL: the child is gone, and has taken the socket's directory along."""
    socket_of = "engine._engines.current().supervisor.settings.socket"
    leave = f"async def stay(): await start(); print({socket_of}, flush=True); sys.stdin.read()"
    process = owner(stand_in, f"{leave}\nasyncio.run(stay())")
    assert process.stdout is not None
    pid, socket = int(process.stdout.readline()), Path(process.stdout.readline().strip())
    existed = socket.parent.is_dir()

    process.kill()
    process.communicate()
    wait_until_gone(pid)

    assert (True, False) == (existed, socket.parent.exists())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the child learns of it when it has loaded the weights")
def test_an_owner_killed_while_it_starts_leaves_no_orphan(stand_in: StandIn) -> None:
    """A child that loads holds the interpreter's lock, and cannot look; the system tells it."""
    stand_in.does("print('loads', file=open(here / 'loads', 'w')); time.sleep(1e6)")
    process = owner(stand_in, "asyncio.run(start())")
    while not (stand_in.directory / "loads").exists():
        os.sched_yield()

    process.kill()
    process.communicate()

    wait_until_gone(stand_in.starts[0])
    assert 1 == len(stand_in.starts)


async def test_an_engine_that_is_dropped_is_gone(stand_in: StandIn) -> None:
    """With its last reference, and nobody closes anything."""
    engine = stand_in.engine()
    await engine.start()
    pid, socket = engine.pid, socket_of(engine)

    del engine
    gc.collect()
    await until(lambda: not is_there(pid))

    assert [pid] == stand_in.starts
    await until(lambda: not socket.parent.exists())


def test_no_word_of_the_engine_reaches_the_terminal() -> None:
    """With real weights: the answer alone is said, though the child is killed and started again in between."""
    script = """
import asyncio, os
from autonomousai.engine.provider import LlamaCpp

async def main():
    async with LlamaCpp(slots=1, context=512) as engine:
        pid = engine.pid
        os.kill(pid, 9)
        while engine.pid == pid:
            await asyncio.sleep(0)
        question = [{"role": "user", "content": "What is the capital of France?"}]
        print(await engine.create_async_generator("llama", question, temperature=0).text())

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)

    assert (0, "The capital of France is Paris.\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_blocking_caller_has_one_engine() -> None:
    """However often `create_completion` is called, the engine is started once; it goes with `close`, for good."""
    engine = LlamaCpp(slots=1, context=256)
    pids: list[int | None] = []
    for _ in range(4):
        chunks = list(engine.create_completion("llama", HELLO, temperature=0, max_tokens=4, stream=True))
        pids.append(engine.pid)
    engine.close()
    closed = (engine.state, is_there(pids[0]))
    with pytest.raises(RuntimeError, match="was closed"):
        engine.create_completion("llama", HELLO)

    assert isinstance(chunks[-1], FinishReason)
    assert [4] == list(Counter(pids).values())
    assert ("stopped", False) == closed


BLOCKING = """
import sys
from autonomousai.engine.provider import LlamaCpp

engine = LlamaCpp(slots=1, context=256)
hello = [{"role": "user", "content": "Hello"}]
chunks = engine.create_completion("llama", hello, max_tokens=100, stream=True)
next(chunks)
print(engine.pid, flush=True)
"""


@pytest.mark.parametrize("leave", ["", "import gc; del engine, chunks; gc.collect()", "engine.close()"])
def test_a_blocking_caller_who_leaves_takes_the_engine_along(leave: str) -> None:
    """At the end of the program, or before it, in the midst of an answer: no warning, and nobody is left."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BLOCKING + leave], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said, complaints = last_words(process)

    assert ("", 0, False) == (complaints, process.returncode, is_there(int(said)))


def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once whether the child answers, and give it little time."""
    monkeypatch.setattr(supervisor, "_LOOK", 0.02)
    monkeypatch.setattr(supervisor, "_ANSWERS_WITHIN", 0.5)


async def test_a_child_that_hangs_is_replaced(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is alive and does not answer never ends by itself."""
    sooner(monkeypatch)
    async with stand_in.engine() as engine:
        await engine.start()
        first = engine.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await until(lambda: engine.pid not in (None, first))

        assert "ready" == engine.state
        assert 2 == len(stand_in.starts)
        assert 1 == (await engine.supervise()).condition.crashes


async def test_a_child_whose_socket_is_gone_is_replaced(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleaner of temporary files took it away: nobody can reach the child any more."""
    sooner(monkeypatch)
    async with stand_in.engine() as engine:
        await engine.start()
        first = engine.pid
        Path((await engine.supervise()).settings.socket).unlink()
        await until(lambda: engine.pid not in (None, first))

        assert "ready" == engine.state


async def test_a_child_that_answers_is_left_alone(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is looked at."""
    sooner(monkeypatch)
    looks = 0
    async with stand_in.engine() as engine:
        kept = await engine.supervise()
        alive = kept.alive
        assert alive is not None

        async def counted() -> None:
            nonlocal looks
            await alive()
            looks += 1

        kept.alive = counted
        await engine.start()
        await until(lambda: looks > 2 * supervisor._MISSES)

        assert 1 == len(stand_in.starts)


async def test_damaged_weights_are_noticed_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The size is right and a byte is not: the engine says so, and pull fetches them again."""
    whole = weights.pull(DEFAULT_WEIGHTS)
    monkeypatch.setenv("AUTONOMOUSAI_CACHE", str(tmp_path))
    path = weights.weights_path(DEFAULT_WEIGHTS)
    path.parent.mkdir()
    data = bytearray(whole.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    fetched: list[str] = []
    monkeypatch.setattr(weights._Fetch, "run", lambda fetch: fetched.append(fetch.row.name))

    engine = LlamaCpp()
    with pytest.raises(ConfigError, match=f"damaged.*autonomousai pull {DEFAULT_WEIGHTS}"):
        await engine.start()
    await engine.aclose()
    weights.pull(DEFAULT_WEIGHTS)

    assert [DEFAULT_WEIGHTS] == fetched
