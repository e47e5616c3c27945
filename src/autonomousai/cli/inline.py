"""What stands inside a line of Markdown: emphasis, code, links. Text <-> spans of text with their styles; writes nothing.

A mark is one only where it is closed on its line: `2 * 3`, `snake_case_name` and a lone `**` stay what they are.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeAlias

Styles: TypeAlias = tuple[str, ...]
Span: TypeAlias = tuple[str, Styles]

#: Where something other than plain text may begin.
SPECIAL = re.compile(r"[*_`~\[!\\]")

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_LINK = re.compile(
    r"!?\[((?:[^\[\]\\]|\\.)*)\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_LINK_BEGUN = re.compile(r"!|!?\[(?:[^\[\]\\]|\\.)*(?:\\|\](?:\(\s*\S*(?:\s+[\"'].*)?)?)?")
_RUN = re.compile(r"(.)\1*")
_CODE_SPAN = r"(?:(?<!`)(`+)(?!`).*?(?<!`)\1(?!`))"

#: mark -> style, and what closes it: behind a character that is no space, and not within a word.
_MARKS: dict[str, tuple[Styles, re.Pattern[str]]] = {
    mark: (styles, re.compile(rf"{_CODE_SPAN}|(?<=[^\s\\{mark[0]}])(?P<close>{re.escape(mark)})(?!{tail})"))
    for mark, styles, tail in (
        ("***", ("bold", "italic"), r"\*"),
        ("___", ("bold", "italic"), r"\w"),
        ("__", ("bold",), r"\w"),
        ("*", ("italic",), r"[*\w]"),
        ("_", ("italic",), r"\w"),
        ("~~", ("strike",), r"~"),
    )
}
#: Bold may end in italic words: `**a *b***`.
_MARKS["**"] = (("bold",), re.compile(rf"{_CODE_SPAN}|(?<=[^\s\\])(?P<close>\*\*)(?!\*)"))


def parse(text: str) -> list[Span]:
    """A line, or a cell, that is whole."""
    spans: list[Span] = []
    at = 0
    while at < len(text):
        special = SPECIAL.search(text, at)
        end = len(text) if special is None else special.start()
        if end > at:
            spans.append((text[at:end], ()))
            at = end
        else:
            found = scan(text, at, True, spans[-1][0][-1:] if spans else "")
            assert found is not None
            at, new = found
            spans += new
    return spans


def scan(text: str, at: int, complete: bool, before: str) -> tuple[int, list[Span]] | None:
    """What the special character at *at* begins: where it ends, and its spans. None where that cannot be said before more of
    the line has come; never where it is *complete*. ``before``: the character before it."""
    char = text[at]
    if char == "\\":
        return _escape(text, at, complete)
    if char == "`":
        return _code(text, at, complete)
    if char in "[!":
        return _link(text, at, complete)
    return _emphasis(text, at, complete, before)


def _escape(text: str, at: int, complete: bool) -> tuple[int, list[Span]] | None:
    if at + 1 == len(text):
        return (at + 1, [("\\", ())]) if complete else None
    return (at + 2, [(text[at + 1], ())]) if text[at + 1] in _PUNCTUATION else (at + 1, [("\\", ())])


def _run(text: str, at: int) -> str:
    run = _RUN.match(text, at)
    assert run is not None
    return run[0]


def _code(text: str, at: int, complete: bool) -> tuple[int, list[Span]] | None:
    run = _run(text, at)
    begin = at + len(run)
    if begin == len(text) and not complete:
        return None
    close = re.compile(rf"(?<!`){run}(?!`)").search(text, begin)
    if close is None:
        return (begin, [(run, ())]) if complete else None
    if close.end() == len(text) and not complete:
        return None
    code = text[begin : close.start()]
    if code.strip() and code[0] == code[-1] == " ":
        code = code[1:-1]
    return close.end(), [(code, ("code",))]


def _link(text: str, at: int, complete: bool) -> tuple[int, list[Span]] | None:
    if link := _LINK.match(text, at):
        label, target = link[1], link[2]
        shown = [(words, (*styles, "underline")) for words, styles in parse(label)] if label else []
        if target and target not in (label, f"mailto:{label}"):
            shown.append((f" ({target})" if shown else target, ("dim",)))
        return link.end(), shown
    if not complete and _LINK_BEGUN.fullmatch(text, at):
        return None
    return at + 1, [(text[at], ())]


def _emphasis(text: str, at: int, complete: bool, before: str) -> tuple[int, list[Span]] | None:
    run = _run(text, at)
    begin = at + len(run)
    if begin == len(text) and not complete:
        return None
    following = text[begin : begin + 1]
    if run in _MARKS and following.strip() and not before.isalnum():
        styles, pattern = _MARKS[run]
        close = next((match for match in pattern.finditer(text, begin) if match["close"]), None)
        if close is not None and (complete or close.end() < len(text)):
            inner = parse(text[begin : close.start()])
            return close.end(), [(words, (*styles, *more)) for words, more in inner]
        if not complete:
            return None
    return begin, [(run, ())]


def cell_width(text: str) -> int:
    """The columns that *text* takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
