"""One run of the engine's child process: started, watched, stopped. Knows processes; no HTTP, and nothing of starting again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Final

import msgspec

from ..errors import ConfigError
from .engine_words import Ready, Settings

#: Seconds that loading may take, and seconds that leaving may take before the child is killed.
_PATIENCE: Final = 300
_FAREWELL: Final = 3

#: Lines of the log in an error's message.
_QUOTED: Final = 10

#: The control tokens of a large vocabulary are on one line.
_LINE: Final = 1 << 24


class Log:
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


class Child:
    """A child whose socket answers. ``control``: the texts that its tokenizer takes for control tokens."""

    def __init__(self, process: Process, logging: asyncio.Task[None], control: list[str]) -> None:
        self.pid = process.pid
        self.control = control
        self._process = process
        self._logging = logging

    @classmethod
    async def start(cls, settings: Settings, log: Log) -> Child:
        """Load the weights and listen. Raises `ConfigError` that says why not, in the child's own words.

        Only there are these quoted to callers: later they may hold something of another caller's request.
        """
        before = log.written
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the working directory is no place to import from
            "-u",  # the last words of one that is killed must not be lost in a buffer
            *("-X", "faulthandler"),
            *("-m", "autonomousai.providers.engine"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE,
            start_new_session=True,  # Ctrl-C in the terminal is for its owner, who may have an answer to finish
        )
        child = cls(process, asyncio.create_task(_read_log(process, log)), [])
        try:
            ready = await child._first_word(settings)
        except BaseException:
            await child.stop()
            raise
        if ready.error:
            await child.stop()
            raise ConfigError(f"the embedded engine cannot start: {ready.error}{log.quoted(before)}")
        child.control = ready.control
        return child

    async def _first_word(self, settings: Settings) -> Ready:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            async with asyncio.timeout(_PATIENCE):
                stdin.write(msgspec.json.encode(settings) + b"\n")
                with contextlib.suppress(ConnectionError):
                    await stdin.drain()
                line = await stdout.readline()
        except TimeoutError:
            return Ready(error=f"the weights were not loaded within {_PATIENCE} s")
        if not line:
            return Ready(error=f"the process {describe(await self._process.wait())} while it loaded the weights")
        return msgspec.json.decode(line, type=Ready)

    async def wait(self) -> str:
        """Wait for its end, and tell it."""
        status = await self._process.wait()
        await self._close()
        return describe(status)

    async def stop(self) -> None:
        """End it, and wait until it is gone."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(_FAREWELL):
                    await self._process.wait()
            except TimeoutError:
                pass
            finally:
                if self._process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        self._process.kill()
            await self._process.wait()
        await self._close()

    async def _close(self) -> None:
        """Its last words, and then its pipes: what is open when the loop ends would be warned of."""
        await self._logging
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        with contextlib.suppress(ConnectionError):
            await stdin.wait_closed()


async def _read_log(process: Process, log: Log) -> None:
    assert process.stderr is not None
    while data := await process.stderr.read(1 << 16):
        log.add(data)


def describe(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
