"""Arguments of a call that a server has written as JSON twice: a text of JSON that holds the object. Knows no call."""

from __future__ import annotations

from typing import Final

from .json import lenient_decoder, mend

_QUOTE: Final = '"'

#: Characters that are held back until the text has ended.
_MOST_HELD: Final = 256 * 1024

#: How often arguments are unwrapped.
_DEPTH: Final = 3


def is_quoted(arguments: str) -> bool:
    """Return whether the *arguments* with which a call begins are text of JSON: it expects an object."""
    return arguments.lstrip()[:1] == _QUOTE


def unquoted(arguments: str) -> str:
    """Return the object that *arguments* hold as text of JSON, as it is written there; *arguments* where they hold none.

    Example::

        assert unquoted('"{\\\\"a\\\\": 1}"') == '{"a": 1}'
        assert unquoted('"Paris"') == '"Paris"'
    """
    inner = arguments
    for _ in range(_DEPTH):
        try:
            value = lenient_decoder().decode(inner)
        except (ValueError, RecursionError):
            return arguments
        if isinstance(value, dict):
            return mend(inner)
        if not isinstance(value, str):
            return arguments
        inner = value
    return arguments


class QuotedArguments:
    """Arguments that begin as text of JSON, piece by piece: held back until the text has ended, or is too long to be held."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[str] | None = []  # None: they have been said
        self._size = 0

    def add(self, piece: str) -> str:
        """Return what can be said now."""
        if self._pieces is None:
            return piece
        is_first = not self._size
        self._pieces.append(piece)
        self._size += len(piece)
        end = piece.rstrip()
        may_end = end.endswith(_QUOTE) and not (is_first and end.lstrip() == _QUOTE) and not self._is_escaped(end[:-1])
        return self.rest() if may_end or self._size > _MOST_HELD else ""

    def rest(self) -> str:
        """Return what is still held back: the text has ended, or no more of it comes."""
        arguments, self._pieces = "".join(self._pieces or ()), None
        return unquoted(arguments)

    def _is_escaped(self, before: str) -> bool:
        """Return whether a quote behind *before*, the beginning of the last piece, is one of the text."""
        count = 0
        for piece in (before, *reversed((self._pieces or [])[:-1])):
            stripped = piece.rstrip("\\")
            count += len(piece) - len(stripped)
            if stripped:
                break
        return count % 2 == 1
