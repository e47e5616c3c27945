"""The program's outputs: an answer goes to stdout, everything else to stderr; and the signals that stop it.

Knows streams of text; no answer, no provider, no network, no command. Colours, spinners and bars are for a terminal
alone. What a model or a server wrote reaches a terminal without its control characters; a pipe gets the exact text.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self, TextIO

PROGRAM = "autonomousai"

#: C0, DEL and C1 but for newline and tab: with these a text could move the cursor, retitle the window or type for the user.
#: Control characters, and those that turn the direction of what follows: text could be shown in another order than it has.
_CONTROLS: dict[int, None] = dict.fromkeys(
    code
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if code not in (0x09, 0x0A)
)

_STYLES = {"dim": "2", "bold": "1", "red": "31"}
_ERASE_LINE = "\r\x1b[K"


def printable(text: str) -> str:
    """*text* without the control characters that a terminal would obey; newline and tab stay."""
    return text.translate(_CONTROLS)


def megabytes(size: int) -> str:
    """*size* bytes, as people write it."""
    return f"{size / 1e6:,.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


class OutputError(Exception):
    """Standard output cannot be written, and not because its reader left."""


class Terminal:
    """The program's two outputs. ``draws``: stderr is a terminal that can rewrite a line; ``colours``: and may be coloured."""

    def __init__(self, out: TextIO | None, err: TextIO | None, env: Mapping[str, str]) -> None:
        self.out = out
        self.err = err
        #: Whether errors alone are said on stderr.
        self.quiet = False
        for stream in (out, err):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # what the terminal's encoding lacks is a "?", no traceback
        self.out_is_terminal = out is not None and out.isatty()
        self.err_is_terminal = err is not None and err.isatty()
        self.draws = self.err_is_terminal and env.get("TERM", "dumb") != "dumb"
        self.colours = self.draws and not env.get("NO_COLOR")
        #: Whether stdout is a terminal that takes styled text, and whether that may be coloured.
        self.styled_out = self.out_is_terminal and env.get("TERM", "dumb") != "dumb"
        self.coloured_out = self.styled_out and not env.get("NO_COLOR")
        self.interrupts = Interrupts()
        self.stuck = False  # a signal ended a write that may never have ended by itself

    def style(self, text: str, *styles: str) -> str:
        """*text* in these styles, where colours are wanted."""
        if not self.colours:
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

    def write(self, text: str, *, safe: bool = False) -> None:
        """Write to stdout and flush. The text is exact in a pipe, and without control characters on a terminal, unless it is
        *safe*: ours, or freed of them already.

        Raises BrokenPipeError when the reader has left, `OutputError` when it is the disk's fault.
        """
        if self.out is None:
            raise OutputError("standard output is closed")
        try:
            with self.interrupts.writing(self.out):
                self.out.write(printable(text) if self.out_is_terminal and not safe else text)
                self.out.flush()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.stuck = True
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None

    def columns(self) -> int:
        """The terminal's width, as it is now."""
        return shutil.get_terminal_size().columns

    def write_aside(self, text: str) -> None:
        """Write to stderr, as it is, and flush. Where that cannot be, the answer is what matters."""
        if self.err is not None:
            with suppress(OSError):
                self.err.write(text)
                self.err.flush()

    def note(self, message: str) -> None:
        """Write one line on stderr, unless the program is to be quiet."""
        if self.quiet:
            return
        self.write_aside(self.style(f"{PROGRAM}: {printable(message)}", "dim") + "\n")

    def copy(self, text: str) -> None:
        """Put *text* on the clipboard by the terminal's own means (xterm's OSC 52), which also works over SSH."""
        self.write_aside(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07")

    def remark(self, message: str) -> None:
        """One line for a person; nothing where stderr is no terminal."""
        if self.err_is_terminal:
            self.note(message)

    def error(self, message: str, *, command: str = "") -> None:
        """Say on stderr what went wrong."""
        program = f"{PROGRAM} {command}".rstrip()
        self.write_aside(f"{program}: {self.style('error:', 'red', 'bold')} {printable(message)}\n")

    def end_interrupted(self) -> int:
        """After a signal has ended the program: leave the cursor where a shell's prompt may come. Returns the signal."""
        received = self.interrupts.received or signal.SIGINT
        if self.stuck and self.out is not None:
            silence(self.out)
        if self.err_is_terminal and received == signal.SIGINT:
            self.write_aside("\n")  # the terminal has echoed ^C
        return received

    def spinner(self, label: str | Callable[[], str]) -> Spinner:
        """A sign of life on stderr, from now until ``stop()``; nothing where stderr is no terminal. Inside an event loop. A
        *label* that changes is a function."""
        return Spinner(self, label)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[ProgressBar]:
        """A bar on stderr, erased at the end; where stderr is no terminal, one line at the start."""
        bar = ProgressBar(self, label)
        if self.draws:
            bar(0, total)
        else:
            self.note(f"{label} ({megabytes(total)})")
        try:
            yield bar
        finally:
            bar.erase()


class Spinner:
    """One line on stderr that moves while nothing else does. It appears only after a moment: a quick answer needs none."""

    def __init__(self, terminal: Terminal, label: str | Callable[[], str]) -> None:
        self._terminal = terminal
        self._label = label
        self._drawn = False
        self._task = asyncio.create_task(self._spin()) if terminal.draws and not terminal.quiet else None

    async def _spin(self) -> None:
        frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if getattr(self._terminal.err, "encoding", "").lower().startswith("utf") else "|/-\\"
        begin = time.monotonic()
        await asyncio.sleep(0.2)
        turn = 0
        while True:
            seconds = int(time.monotonic() - begin)
            label = self._label if isinstance(self._label, str) else self._label()
            line = f"{frames[turn % len(frames)]} {label}" + (f" ({seconds} s)" if seconds else "")
            self._terminal.write_aside(_ERASE_LINE + self._terminal.style(line, "dim"))
            self._drawn = True
            turn += 1
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        """Stop and leave no trace. Safe to call again."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._drawn:
            self._drawn = False
            self._terminal.write_aside(_ERASE_LINE)


class ProgressBar:
    """Called with the bytes that are here and the bytes there will be; draws only when what it shows has changed."""

    def __init__(self, terminal: Terminal, label: str) -> None:
        self._terminal = terminal
        self._label = label
        self._shown = ""

    def __call__(self, done: int, total: int) -> None:
        if not self._terminal.draws or self._terminal.quiet:
            return
        share = min(1.0, done / total) if total else 0.0
        figures = f"{100 * share:3.0f} %  {done / 1e6:,.1f} of {total / 1e6:,.1f} MB"
        width = min(40, shutil.get_terminal_size().columns - len(self._label) - len(figures) - 6)
        bar = f"[{('#' * int(width * share)).ljust(width, '-')}]" if width > 4 else ""
        line = f"{self._label} {bar} {figures}"[: shutil.get_terminal_size().columns - 1]
        if line != self._shown:
            self._shown = line
            self._terminal.write_aside(_ERASE_LINE + line)

    def erase(self) -> None:
        """Leave no trace."""
        if self._shown:
            self._shown = ""
            self._terminal.write_aside(_ERASE_LINE)


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal. In the event loop they cancel a task; elsewhere, and where they come again before
    the first has had its effect, they raise KeyboardInterrupt. What the parent told us to ignore stays ignored.

    ``received``: the signal that ends the program. In a conversation Ctrl-C is none: it stops the answer.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.received: int | None = None
        self._reading = False
        self._writing: TextIO | None = None
        self._main: asyncio.Task[Any] | None = None
        self._answer: asyncio.Task[Any] | None = None
        self._conversing = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self.SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Signals do what they did before."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        before = self.received
        stops_answer = number == signal.SIGINT and self._conversing
        if not stops_answer:
            self.received = number
        if self._reading:
            raise KeyboardInterrupt
        if self._main is not None and self._writing is not None and not _takes_more(self._writing):
            raise asyncio.CancelledError  # out of a write that holds the event loop
        task = self._answer if stops_answer else self._main
        if not stops_answer and (task is None or before is not None):
            raise KeyboardInterrupt
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    @contextmanager
    def writing(self, stream: TextIO) -> Iterator[None]:
        """Around a write to *stream*: where it is not read, and it holds the event loop, a signal gets out of it."""
        self._writing = stream
        try:
            yield
        finally:
            self._writing = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around a blocking read inside the event loop: a signal raises KeyboardInterrupt."""
        self._reading = True
        try:
            yield
        finally:
            self._reading = False

    @contextmanager
    def cancel_main(self) -> Iterator[None]:
        """Signals cancel the current task."""
        self._main = asyncio.current_task()
        try:
            yield
        finally:
            self._main = None

    @contextmanager
    def conversing(self) -> Iterator[None]:
        """Ctrl-C stops the answer that is running, or nothing; the other signals still end the program."""
        self._conversing = True
        try:
            yield
        finally:
            self._conversing = False

    @contextmanager
    def cancel_answer(self, task: asyncio.Task[Any]) -> Iterator[None]:
        """*task* is the answer that Ctrl-C stops."""
        self._answer = task
        try:
            yield
        finally:
            self._answer = None


def _takes_more(stream: TextIO) -> bool:
    """Whether a write to *stream* would not block now."""
    return bool(select.select([], [stream], [], 0)[1])


def silence(stream: TextIO) -> None:
    """Point *stream*, which has no reader, at nothing: the interpreter's own last flush shall neither complain nor wait."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
