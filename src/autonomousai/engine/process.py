"""One run of the engine's child process: started, watched, stopped. Knows processes; no HTTP, and nothing of starting again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from subprocess import PIPE
from typing import Final

import msgspec

from ..errors import ConfigError
from .chat_template import ThoughtStyle
from .ipc import EngineReady, EngineSettings

#: Seconds that loading may take, and seconds that leaving may take before the child is killed.
_PATIENCE: Final = 300
_FAREWELL: Final = 3

#: Lines of the log in an error's message.
_QUOTED: Final = 10

#: Bytes that are read at once: more than a pipe holds.
_PIPE: Final = 1 << 20


class EngineLog:
    """The last that was said on stderr. Kept in memory alone: it never reaches a terminal unasked."""

    def __init__(self, *, lines: int = 200, size: int = 64 * 1024) -> None:
        self._lines = lines
        self._size = size
        self._tail = b""
        self.written = 0  # bytes, ever

    def add(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-self._size :]
        self.written += len(data)

    def text(self) -> str:
        """The last lines, without an end of line after the last one."""
        return self._last(self._tail, self._lines)

    def quoted(self, since: int) -> str:
        """The last of what came when *since* bytes had been written, as the end of an error's message."""
        new = self.written - since
        said = self._last(self._tail[-new:], _QUOTED) if new else ""
        return f"; its last words:\n{said}" if said else ""

    def _last(self, data: bytes, lines: int) -> str:
        return "\n".join(data.decode(errors="replace").splitlines()[-lines:])


#: What llama.cpp says where it gets no memory.
_OUT_OF_MEMORY: Final = ("insufficient memory", "failed to allocate")


class EngineProcess:
    """A child whose socket answers. ``control``, ``longest``: see `gguf.Tokenizer`; ``tools``, ``thoughts``: see
    `chat_template`.

    Its end is the end of its stdout, which no other process holds. asyncio's own subprocesses are not used: a loop that ends
    while it makes one waits for ever, and one that ends while the process does warns of pipes that cannot be closed any more.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: EngineLog) -> None:
        self.pid = process.pid
        self.control: list[str] = []
        self.longest = 0
        self.tools = ""
        self.thoughts: ThoughtStyle = ""
        self._why = ""  # it was killed
        self._process = process
        self._log = log
        self._said = bytearray()  # on stdout
        self._has_spoken = asyncio.Event()
        self._gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        assert process.stdout is not None
        assert process.stderr is not None
        self._out, self._err = process.stdout.fileno(), process.stderr.fileno()
        for pipe, hear in ((self._out, self._on_word), (self._err, self._on_log)):
            os.set_blocking(pipe, False)
            self._loop.add_reader(pipe, hear)

    @classmethod
    async def start(cls, settings: EngineSettings, log: EngineLog) -> EngineProcess:
        """Load the weights and listen. Raises `ConfigError` that says why not, in the child's own words.

        Only there are these quoted to callers: later they may hold something of another caller's request.
        """
        before = log.written
        child = cls(_spawn(), log)
        try:
            ready = await child._first_word(settings)
        except BaseException:
            await child.stop()
            raise
        if ready.error:
            await child.stop(leaves=True)
            said = log.quoted(before)
            why = ready.error
            if any(word in said for word in _OUT_OF_MEMORY):
                why = f"there is not enough memory for a context of {settings.context} tokens a slot; choose fewer"
            file = settings.weights.rpartition("/")[2]
            raise ConfigError(f"the embedded engine cannot start with {file}: {why}{said}")
        child.control, child.longest = ready.control, ready.longest
        child.tools, child.thoughts = ready.tools, ready.thoughts
        return child

    async def _first_word(self, settings: EngineSettings) -> EngineReady:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError):
            stdin.write(msgspec.json.encode(settings) + b"\n")  # far less than a pipe holds
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._has_spoken.wait()
        except TimeoutError:
            return EngineReady(error=f"the weights were not loaded within {_PATIENCE} s")
        if not self._said.endswith(b"\n"):
            return EngineReady(error=f"the process {await self.wait()} while it loaded the weights")
        return msgspec.json.decode(self._said, type=EngineReady)

    async def wait(self) -> str:
        """Wait for its end, and tell it."""
        await self._gone.wait()
        return self._why or describe(self._process.returncode)

    def kill(self, why: str) -> None:
        """End it at once; its end is reported as *why*."""
        if not self._gone.is_set():
            self._why = why
            self._process.kill()

    async def stop(self, *, leaves: bool = False) -> None:
        """End it, and wait until it is gone; who cancels that makes it quick. *leaves*: it ends by itself, and what it writes
        until then is wanted."""
        if self._gone.is_set():
            return
        if not leaves:
            self._process.terminate()
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._gone.wait()
        except TimeoutError:
            pass
        finally:
            self._bury()

    def _on_word(self) -> None:
        if data := _read(self._out):
            self._said += data
            if data.endswith(b"\n"):
                self._has_spoken.set()
        elif data is not None:
            self._bury()

    def _on_log(self) -> None:
        if data := _read(self._err):
            self._log.add(data)
        elif data is not None:
            self._loop.remove_reader(self._err)

    def _bury(self) -> None:
        """Its last words, and then its pipes. One that closed its stdout is dying, and any other one is ended."""
        if self._gone.is_set():
            return
        for pipe in (self._out, self._err):
            self._loop.remove_reader(pipe)
        self._process.kill()
        self._process.wait()
        self._log.add(_read(self._err) or b"")
        for file in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert file is not None
            file.close()
        self._has_spoken.set()
        self._gone.set()


def _spawn() -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-P",  # the working directory is no place to import from
        "-u",  # the last words of one that is killed must not be lost in a buffer
        *("-X", "faulthandler"),
        *("-m", "autonomousai.engine.child"),
    ]
    # In a session of its own: Ctrl-C in the terminal is for its owner, who may have an answer to finish.
    return subprocess.Popen(command, bufsize=0, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)


def _read(pipe: int) -> bytes | None:
    """What is in a pipe, everything at once; nothing at its end, and None where there is nothing now."""
    try:
        return os.read(pipe, _PIPE)
    except BlockingIOError:
        return None


def describe(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
