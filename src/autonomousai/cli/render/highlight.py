"""Colours for lines of code, with Pygments where it is installed. Sixteen colours: they suit dark terminals and light ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

#: Lines that are looked at again for what a line means: a string may have begun above it.
_BACK: Final = 200

#: token of Pygments, by the beginning of its name -> colour
_COLOURS: Final = (
    ("Comment.Preproc", "35"),
    ("Comment", "90"),
    ("Keyword.Constant", "36"),
    ("Keyword.Type", "36"),
    ("Keyword", "35"),
    ("Operator.Word", "35"),
    ("Name.Function", "34"),
    ("Name.Class", "34;1"),
    ("Name.Decorator", "33"),
    ("Name.Builtin", "36"),
    ("Name.Tag", "34"),
    ("Name.Attribute", "33"),
    ("Literal.String", "32"),
    ("Literal.Number", "36"),
    ("Generic.Deleted", "31"),
    ("Generic.Inserted", "32"),
    ("Generic.Heading", "1"),
    ("Generic.Subheading", "35"),
)


class Highlighter:
    """Colours one block of code, line by line as it comes. ``language``: as the block names it; "" for none."""

    def __init__(self, language: str) -> None:
        name = language.partition(" ")[0].strip("{}.").lower()
        self._lexer = _lexer(name) if name else None
        self._lines: list[str] = []

    def line(self, text: str) -> str:
        """The next line, coloured."""
        if self._lexer is None:
            return text
        self._lines = [*self._lines[-_BACK:], text]
        return "".join(self._last_line())

    def _last_line(self) -> Iterator[str]:
        assert self._lexer is not None
        left = len(self._lines) - 1  # line ends before the last line
        for kind, value in self._lexer.get_tokens("\n".join(self._lines)):
            if left:
                ends = value.count("\n")
                if ends < left:
                    left -= ends
                    continue
                value = value.split("\n", left)[left]
                left = 0
            value = value.split("\n", 1)[0]
            name = str(kind).removeprefix("Token.")
            colour = next((code for prefix, code in _COLOURS if name.startswith(prefix)), None)
            yield f"\x1b[{colour}m{value}\x1b[0m" if colour and value.strip() else value


def _lexer(language: str) -> Any:
    """Pygments' lexer; None where there is none for that language, or no Pygments."""
    try:
        # An optional extra, and 30 ms that only an answer with code in it should cost.
        from pygments.lexers import get_lexer_by_name  # noqa: PLC0415
        from pygments.util import ClassNotFound  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
