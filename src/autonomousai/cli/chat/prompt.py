"""The text of a question: the command line's argument, and what standard input holds."""

from __future__ import annotations

import os
import select
import stat
from typing import TextIO

from ..exit_codes import UsageError
from ..terminal import Terminal
from .files import LARGEST, decode


def read_prompt(argument: str | None, stdin: TextIO | None, terminal: Terminal, *, needed: bool = True) -> str | None:
    """The question: the argument, a blank line, and what standard input holds; None where a person is to be asked.

    Raises `UsageError` where there is nothing and something is *needed*, where a pipe brings nothing, or no text.
    """
    interactive = stdin is not None and stdin.isatty()
    piped = "" if stdin is None or interactive else _read_all(stdin, terminal)
    if argument is None and interactive:
        return None
    if argument and stdin is not None and not piped.strip() and stat.S_ISFIFO(os.fstat(stdin.fileno()).st_mode):
        raise UsageError("standard input is empty, where the PROMPT was to be asked of a text; to ask it alone, add </dev/null")
    parts = [part for part in (argument, piped) if part and part.strip()]
    if not parts and needed:
        raise UsageError("there is nothing to ask: give a PROMPT, or text on standard input")
    return "\n\n".join(parts)


def as_utf8(text: str, what: str) -> str:
    """Return *text* of the command line or of a terminal; bytes that the locale knows no characters for (PEP 383), as an ASCII
    locale none of UTF-8, are read as UTF-8. Raises `UsageError` for what is not."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        at = next(index for index, character in enumerate(text) if "\ud800" <= character <= "\udfff")
        raise UsageError(f"{what} is not valid UTF-8 (character {at})") from None


#: Seconds after which a note says what the program is waiting for.
_PATIENCE = 1.0


def _read_all(stdin: TextIO, terminal: Terminal) -> str:
    """All of standard input, without the newlines at its very end."""
    pieces: list[bytes] = []
    size = 0
    waiting_is_told = False
    try:
        while True:
            # Never a read that waits: a signal that comes just before it would be seen after it, and that may be never.
            if not select.select([stdin], [], [], _PATIENCE)[0]:
                if not (waiting_is_told or pieces):
                    terminal.note("reading standard input up to its end (where nothing comes from there, add </dev/null)")
                    waiting_is_told = True
                continue
            piece = os.read(stdin.fileno(), 1 << 16)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                raise UsageError(f"standard input is larger than {LARGEST / 1e6:.0f} MB; give a part of it")
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror}") from None
    data = b"".join(pieces)
    try:
        return decode(data).rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text (byte {data[error.start]:#04x} at offset {error.start}); convert it first, "
            "for example with iconv"
        ) from None
