"""The program: its arguments in, an exit code out, whatever becomes of its standard streams."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from typing import Any, TextIO

from .commands import run
from .parser import make_parser
from .terminal import silence

READER_LEFT = 128 + signal.SIGPIPE
INTERRUPTED = 128 + signal.SIGINT


def main(argv: list[str] | None = None) -> int:
    """Run the command that *argv* (by default the program's arguments) names and return the exit code."""
    _fill_standard_streams()
    try:
        argv, passed_on = _split_passed_on(sys.argv[1:] if argv is None else argv)
        parser = make_parser(*argv[:1])
        args, unknown = parser.parse_known_args(argv)
        args.passed_on = passed_on
        if unknown:
            args.parser.unknown(unknown, _hint(args.command, unknown))
        if args.command is None:
            sys.stderr.write(parser.format_short_help())
            return 2
        code = run(args)
    except SystemExit as end:  # argparse ends so, after --help and after a mistake
        code = int(end.code or 0)
    except BrokenPipeError:
        code = READER_LEFT
    except KeyboardInterrupt:
        code = INTERRUPTED
    _flush(sys.stderr)
    return _flush(sys.stdout) or code


def _split_passed_on(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments that are ours, and those of the program that `launch` starts, which follow the first ``--``.

    Versions of argparse differ in which ``--`` they take away.
    """
    if argv[:1] != ["launch"] or "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _hint(command: str, unknown: list[str]) -> str:
    """Return what was probably meant by arguments that have no place."""
    if command == "launch":
        return " (arguments of the program come after --)"
    if command == "chat" and not unknown[0].startswith("-"):
        return " (put a prompt of several words in quotes)"
    return ""


def _fill_standard_streams() -> None:
    """Where we were started without some (`2>&-`), the next file or socket would get its number, and what is said on stderr
    would be written there. A stdout that is missing stays so for Python: an answer that goes nowhere is an error."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  it stays open
    sys.stdout = _complete(sys.stdout)


class _PatientFile(io.FileIO):
    """A file that waits where it cannot take more. A process that shares a pipe or a terminal may have made it non-blocking:
    what there is no room for would be lost."""

    def write(self, data: Any, /) -> int:
        while (written := super().write(data)) is None:
            poll = select.poll()
            poll.register(self, select.POLLOUT)
            poll.poll()
        return written


def _complete(stream: TextIO) -> TextIO:
    """Return standard output as it writes all that it is given, in whatever state its descriptor is. Without a buffer
    (PYTHONUNBUFFERED) Python drops what a write leaves over, without an error."""
    if type(stream) is not io.TextIOWrapper:  # it is closed, or not the interpreter's own
        return stream
    buffer = io.BufferedWriter(_PatientFile(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering)


def _flush(stream: TextIO | None) -> int:
    """Flush now, and return an exit code."""
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        assert stream is not None
        silence(stream)
        return READER_LEFT if isinstance(error, BrokenPipeError) else 1
    return 0
