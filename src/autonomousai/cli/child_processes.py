"""Programs that the command line starts: one that takes over the terminal, and a server for as long as that runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final

from ..engine.parent_death import die_with_parent
from ..errors import ConfigError
from .terminal import Terminal

#: Signals for the program that was started, not for us.
_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

#: Those that a terminal sends to all processes in its foreground: the program has them already.
_TYPED: Final = frozenset({signal.SIGINT, signal.SIGQUIT})

#: Seconds that the server has for its end: no program waits for its answers any more.
_END_SECONDS: Final = 10


def run_child(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run *command* on our own standard streams, pass signals on to it, and return its exit code as a shell counts it."""
    early: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number in _TYPED and _in_foreground():
            return
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # What is ignored stays so, for the child as well: `nohup`.
    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON if signal.getsignal(number) != signal.SIG_IGN}
    try:
        child = subprocess.Popen(command, env=env)
        for number in early:
            child.send_signal(number)
        code = _wait(child)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Return how *child* ended. It is looked at again and again: a signal that comes just before a call that waits would be
    handled after it, and so be passed on to a child that has ended."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(1.0)


def _in_foreground() -> bool:
    """Return whether the terminal, if there is one, sends what is typed to our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextlib.contextmanager
def own_server(config: Path | None, terminal: Terminal) -> Iterator[str]:
    """Start `autonomousai serve` on a free port of this machine; yield its root URL; end it with the block.

    It is in a session of its own, so that Ctrl-C, which is for the program beside it, does not end it. What it says on
    standard error would be drawn over that program, and is shown only where the server fails. Raises `ConfigError` then.
    """
    command = [sys.executable, "-m", "autonomousai", "serve", "--host", "127.0.0.1", "--port", "0", "--log", "off"]
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(
            [*command, *(["--config", str(config)] if config else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  no other thread runs here
        )
        try:
            assert server.stdout is not None
            with server.stdout as out:
                line = out.readline().decode()
                if not line.startswith("listening on "):
                    server.wait()
                    _show(said, terminal)
                    raise ConfigError("the server could not be started")
                yield line.removeprefix("listening on ").strip()
            if server.poll() is not None:
                _show(said, terminal)
                terminal.note(f"the server had ended before, with exit code {server.returncode}")
        finally:
            _end(server)


def _end_with_parent() -> None:
    die_with_parent(signal.SIGTERM)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server, and wait for it: the first signal asks, the second does not wait for answers that still run."""
    for _ in range(2):
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_END_SECONDS / 2)
            return
    server.kill()
    server.wait()


def _show(said: IO[bytes], terminal: Terminal) -> None:
    said.seek(0)
    terminal.write_aside(said.read().decode(errors="replace"))
