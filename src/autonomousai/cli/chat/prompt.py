"""The text of a question: the command line's argument, and what standard input holds."""

from __future__ import annotations

import os
import stat
from typing import TextIO

from ..exit_codes import UsageError
from ..terminal import Terminal
from .files import STDIN, decode, read_stream


def read_prompt(argument: str | None, stdin: TextIO | None, terminal: Terminal, *, needed: bool = True) -> str | None:
    """The question: the argument, a blank line, and what standard input holds; None where a person is to be asked. The argument
    ``-`` is standard input alone.

    Raises `UsageError` where there is nothing and something is *needed*, where a pipe brings nothing, or no text.
    """
    is_named = argument == STDIN
    if is_named:
        argument = None
    interactive = stdin is not None and stdin.isatty() and not is_named
    piped = "" if stdin is None or interactive else _read_all(stdin, terminal)
    if argument is None and interactive:
        return None
    if argument and stdin is not None and not piped.strip() and stat.S_ISFIFO(os.fstat(stdin.fileno()).st_mode):
        raise UsageError("standard input is empty, where the PROMPT was to be asked of a text; to ask it alone, add </dev/null")
    parts = [part for part in (argument, piped) if part and part.strip()]
    if not parts and needed:
        raise UsageError("there is nothing to ask: give a PROMPT, or text on standard input")
    return "\n\n".join(parts)


def _read_all(stdin: TextIO, terminal: Terminal) -> str:
    """All of standard input, without the newlines at its very end."""
    waiting = "reading standard input up to its end (where nothing comes from there, add </dev/null)"
    data = read_stream(stdin, lambda: terminal.note(waiting))
    try:
        return decode(data).rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text (byte {data[error.start]:#04x} at offset {error.start}); convert it first, "
            "for example with iconv"
        ) from None
