"""What stands inside a line of Markdown: emphasis, code, links. Text -> spans of text with their styles; writes nothing.

A mark is one only where it is closed on its line: `2 * 3`, `snake_case_name` and a lone `**` stay what they are. Formulas of
LaTeX come through as they are, with their marks: between `\\(` and `\\)`, `\\[` and `\\]`, `$`, `$$`, and in an environment.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, TypeAlias

from ...late import late_pattern

Styles: TypeAlias = tuple[str, ...]
Span: TypeAlias = tuple[str, Styles]
_Found: TypeAlias = tuple[int, list[Span]] | None

#: Characters within which a mark is closed: so many of a line are held back for one that may never be.
_PATIENCE: Final = 400

#: Where something other than plain text may begin.
_SPECIAL = late_pattern(r"[*_`~\[!\\$]")

#: What a backslash makes plain text. Before a bracket it is a formula's mark, and stays.
_ESCAPED = frozenset("!\"#$%&'*+,-./:;<=>?@^_`{|}~\\")
_LINK = late_pattern(
    r"!?\[((?:[^\[\]\\]|\\.)*)\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_LINK_BEGUN = late_pattern(r"!|!?\[(?:[^\[\]\\]|\\.)*(?:\\|\](?:\(\s*\S*(?:\s+[\"'].*)?)?)?")
_RUN = late_pattern(r"(.)\1*")
_CODE_SPAN = r"(?:(?<!`)(`+)(?!`).*?(?<!`)\1(?!`))"

#: What begins a formula, and what ends it; an environment names its own end.
_OPENS = late_pattern(r"\\\(|\\\[|\\begin\{([A-Za-z]+\*?)\}")
_OPENS_BEGUN = late_pattern(r"\\(?:b|be|beg|begi|begin|begin\{[A-Za-z]*\*?)?")
_CLOSES: Final = {"\\(": "\\)", "\\[": "\\]"}
#: `$` is a mark where no space is inside it, and no digit behind it, as in pandoc; `$5`, `$5k` and `$1,000` are rather prices.
_DOLLAR_CLOSES = late_pattern(r"[^`]*?(?<=[^\s\\])\$(?!\d)")
_PRICE = late_pattern(r"\$\d[\d.,]*(?:[kKmMbB]n?\b)?(?![\w\\^{}=+*<>|(])")
#: What no mark is looked for in, while the end of an emphasis is; ``open``: its end has not come.
_CLOSED = rf"{_CODE_SPAN}|\\\(.*?\\\)|\\\[.*?\\\]|(?P<open>`+|\\[(\[])"

#: Scripts that are written without spaces, and that are broken between any two characters.
WIDE: Final = r"\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6"
WIDE_CHAR: Final = late_pattern(rf"[{WIDE}]")

#: mark -> style, and what closes it: behind a character that is no space, and not within a word.
_MARKS: dict[str, tuple[Styles, re.Pattern[str]]] = {
    mark: (styles, late_pattern(rf"{_CLOSED}|(?<=[^\s\\{mark[0]}])(?P<close>{re.escape(mark)})(?!{tail})"))
    for mark, styles, tail in (
        ("***", ("bold", "italic"), r"\*"),
        ("___", ("bold", "italic"), r"\w"),
        ("__", ("bold",), r"\w"),
        ("*", ("italic",), rf"\*|(?![{WIDE}])\w"),
        ("_", ("italic",), r"\w"),
        ("~~", ("strike",), r"~"),
    )
}
#: Bold may end in italic words: `**a *b***`.
_MARKS["**"] = (("bold",), late_pattern(rf"{_CLOSED}|(?<=[^\s\\])(?P<close>\*\*)(?!\*)"))


def parse(text: str) -> list[Span]:
    """Return the spans of a line, or a cell, that is whole."""
    return InlineReader().read(text, True)[1]


class InlineReader:
    """Reads one line while it comes. ``before``: the character that was shown before it.

    ``open``: what closes the formula that the line began and did not end; "" where there is none.
    """

    def __init__(self, before: str = "") -> None:
        self.open = ""
        self._before = before
        self._formula = ""  # behind a `$`: the special characters that may be part of its formula

    def read(self, text: str, complete: bool) -> tuple[int, list[Span]]:
        """Return how much of *text* is decided, and its spans. That is all of it where the line is *complete*."""
        spans: list[Span] = []
        at = 0
        while at < len(text):
            special = _SPECIAL.search(text, at)
            end = len(text) if special is None else special.start()
            new: list[Span] = [(text[at:end], ())]
            if end == at:
                found = self._scan(text, at, complete)
                if found is None:
                    break
                end, new = found
            at = end
            spans += new
            self._before = "".join(words for words, _ in new)[-1:] or self._before
        return at, spans

    def _scan(self, text: str, at: int, complete: bool) -> _Found:
        """Return where what begins with the special character at *at* ends, and its spans.

        None where that cannot be said before more of the line has come; never where it is *complete*.
        """
        char = text[at]
        if char == "$":
            return self._dollar(text, at, complete)
        window = text[at : at + _PATIENCE]
        decided = complete or len(text) - at > _PATIENCE
        if self._formula:
            close = _DOLLAR_CLOSES.match(window) if char in self._formula else None
            if close and (decided or close.end() < len(window)):
                self._formula = ""
                return at + close.end(), [(close[0], ())]
            if char in self._formula and not decided and "`" not in window:
                return None
            self._formula = ""
        if char == "\\":
            return self._backslash(text, at, complete)
        if char == "`":
            found = _code(window, decided)
        elif char in "[!":
            found = _link(window, decided)
        else:
            found = _emphasis(window, decided, self._before)
        return found and (at + found[0], found[1])

    def _dollar(self, text: str, at: int, complete: bool) -> _Found:
        run = _run(text, at)
        end = at + len(run)
        if end == len(text) and not complete:
            return None
        following = text[end : end + 1]
        if run == "$$":
            return self._verbatim(text, at, run, "$$", complete, may_stay_open=not self._before and not following.isspace())
        if run == "$" and self._formula:
            if self._before.strip() and not following.isdigit():
                self._formula = ""
        elif run == "$" and following.strip():
            price = _PRICE.match(text, at)
            if price and price.end() == len(text) and not complete:
                return None
            self._formula = "\\" if price else "\\*_~[!"
        return end, [(run, ())]

    def _backslash(self, text: str, at: int, complete: bool) -> _Found:
        if mark := _OPENS.match(text, at):
            close = f"\\end{{{mark[1]}}}" if mark[1] else _CLOSES[mark[0]]
            return self._verbatim(text, at, mark[0], close, complete, may_stay_open=mark[0] != "\\(")
        if not complete and _OPENS_BEGUN.fullmatch(text, at):
            return None
        following = text[at + 1 : at + 2]
        return (at + 2, [(following, ())]) if following in _ESCAPED else (at + 1, [("\\", ())])

    def _verbatim(self, text: str, at: int, mark: str, close: str, complete: bool, *, may_stay_open: bool) -> _Found:
        """A formula as it is. One that *may_stay_open* continues in the next line, where it is not closed in this one."""
        begin = at + len(mark)
        end = text.find(close, begin, None if may_stay_open else at + _PATIENCE)
        if end >= 0:
            return end + len(close), [(text[at : end + len(close)], ())]
        if not complete and (may_stay_open or len(text) - at <= _PATIENCE):
            return None
        if may_stay_open:
            self.open = close
            return len(text), [(text[at:], ())]
        return begin, [(mark, ())]


def _run(text: str, at: int = 0) -> str:
    run = _RUN.match(text, at)
    assert run is not None
    return run[0]


def _code(text: str, complete: bool) -> _Found:
    run = _run(text)
    begin = len(run)
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


def _link(text: str, complete: bool) -> _Found:
    if link := _LINK.match(text):
        label, target = link[1], link[2]
        shown = [(words, (*styles, "underline")) for words, styles in parse(label)] if label else []
        if target and target not in (label, f"mailto:{label}"):
            shown.append((f" ({target})" if shown else target, ("dim",)))
        return link.end(), shown
    if not complete and _LINK_BEGUN.fullmatch(text):
        return None
    return 1, [(text[0], ())]


def _emphasis(text: str, complete: bool, before: str) -> _Found:
    run = _run(text)
    begin = len(run)
    if begin == len(text) and not complete:
        return None
    following = text[begin : begin + 1]
    is_within_word = before.isalnum() and (run[0] == "_" or not WIDE_CHAR.match(before))
    if run in _MARKS and following.strip() and not is_within_word:
        styles, pattern = _MARKS[run]
        found = next((each for each in pattern.finditer(text, begin) if each["close"] or (each["open"] and not complete)), None)
        close = found if found and found["close"] else None
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
