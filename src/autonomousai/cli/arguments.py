"""The texts of the command line, as UTF-8, whatever the locale; and what stands for one that is not given."""

from __future__ import annotations

import argparse
from typing import Final

from .exit_codes import UsageError

#: The variable of the key for a server that is no vendor's.
KEY_ENV: Final = "AUTONOMOUSAI_API_KEY"

#: Arguments that may be the path of a file, which has whatever bytes it has.
_PATHS = frozenset({"name", "weights", "schema", "file", "image"})


def read_arguments(args: argparse.Namespace) -> None:
    """Read the texts of the command line as UTF-8. Raises `UsageError` for one that is not."""
    for key, value in vars(args).items():
        what = "PROMPT" if key == "prompt" else f"the argument {key}"
        if key in _PATHS:
            continue
        if isinstance(value, str):
            setattr(args, key, as_utf8(value, what))
        elif isinstance(value, list):
            setattr(args, key, [as_utf8(each, what) if isinstance(each, str) else each for each in value])


def as_utf8(text: str, what: str) -> str:
    """Return *text* of the command line or of a terminal; bytes that the locale knows no characters for (PEP 383), as an ASCII
    locale none of UTF-8, are read as UTF-8. Raises `UsageError` for what is not."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        at = next(index for index, character in enumerate(text) if "\ud800" <= character <= "\udfff")
        raise UsageError(f"{what} is not valid UTF-8 (character {at})") from None
