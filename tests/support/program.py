"""The program itself, as a child process: through pipes, and on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pexpect

PROGRAM = (sys.executable, "-m", "autonomousai")

#: Generous: a machine that is busy elsewhere must not fail a test.
PATIENCE = 120

UP, ENTER, CTRL_C, CTRL_D, CTRL_Z, ALT_ENTER, TAB = "\x1b[A", "\r", "\x03", "\x04", "\x1a", "\x1b\r", "\t"

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def without(*modules: str) -> tuple[str, ...]:
    """The program where these optional libraries are not installed."""
    code = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); from autonomousai.cli import main; sys.exit(main())"
    return sys.executable, "-c", code


class Ended(NamedTuple):
    """How a program ended, and what it wrote."""

    code: int | None
    out: str
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    """A newcomer's environment: an empty home, and nothing of ours."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        **({"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}),  # the tree under test
        **more,
    }


async def start(
    *arguments: str | bytes, env: Mapping[str, str], program: tuple[str, ...] = PROGRAM, **options: Any
) -> asyncio.subprocess.Process:
    """Start the program with pipes."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *program, *arguments, env=env, **{"stdin": asyncio.subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, **options}
    )


async def start_unread(*arguments: str, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start the program with a stderr whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return await start(*arguments, env=env, stderr=writing)
    finally:
        os.close(writing)


async def finish(process: asyncio.subprocess.Process, given: bytes | None = None) -> Ended:
    """Wait for its end."""
    out, err = await asyncio.wait_for(process.communicate(given), PATIENCE)
    assert process.returncode is not None
    return Ended(_as_shells_count(process.returncode), (out or b"").decode(), (err or b"").decode())


def _as_shells_count(code: int) -> int:
    """Return the exit code as `$?` has it, where a signal has ended the program too."""
    return code if code >= 0 else 128 - code


async def run(*arguments: str | bytes, env: Mapping[str, str], given: bytes | None = None, **options: Any) -> Ended:
    """Run the program to its end; *given*: its standard input."""
    if given is not None:
        options["stdin"] = asyncio.subprocess.PIPE
    return await finish(await start(*arguments, env=env, **options), given)


class OnTerminal:
    """The program on a terminal of 100 columns: ``async with OnTerminal("chat", env=env) as terminal``."""

    def __init__(self, *arguments: str, env: Mapping[str, str], program: tuple[str, ...] = PROGRAM) -> None:
        self._command = [*program, *arguments]
        self._env = {**env, "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.child: pexpect.spawn[str]

    async def __aenter__(self) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of a fork beside threads: the child execs at once
            self.child = pexpect.spawn(
                self._command[0],
                self._command[1:],
                env=self._env,
                dimensions=(40, 100),
                timeout=PATIENCE,
                encoding="utf-8",
                codec_errors="replace",
            )
        self.child.delaybeforesend = None
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.child.close(force=True)
        except pexpect.ExceptionPexpect:  # it was killed, and a machine that is busy elsewhere takes more than a moment for it
            with contextlib.suppress(ChildProcessError):
                await asyncio.to_thread(os.waitpid, self.child.pid, 0)

    async def sees(self, text: str) -> str:
        """Wait until *text* is on the screen, and return what came before it."""
        await asyncio.to_thread(self.child.expect_exact, text)
        return str(self.child.before)

    def types(self, text: str, *, key: str = ENTER) -> None:
        """Type *text* and press *key*."""
        self.child.send(text + key)

    async def ends(self) -> tuple[int | None, str]:
        """Wait for the end; the exit code, and what was shown since the last look."""
        await asyncio.to_thread(self.child.expect_exact, pexpect.EOF)
        shown = str(self.child.before)
        await asyncio.to_thread(self.child.wait)
        signal = self.child.signalstatus
        return self.child.exitstatus if signal is None else _as_shells_count(-signal), shown


def plain(shown: str) -> str:
    """What was shown, without escape sequences and with simple newlines."""
    return _ESCAPES.sub("", shown).replace("\r\n", "\n").replace("\r", "")
