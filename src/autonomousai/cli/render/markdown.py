"""Markdown on a terminal, while it is being written: text in, styled text out. Knows no model and no stream of events.

Nothing that was written is written again, so nothing flickers, and a terminal may be resized as it likes: what may yet turn out
to be something else (a `**`, a table's first row) is held back until that is decided. Only a word that does not fit its line
moves to the next one. Lines end where the text ends them: poems stay poems.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from ...late import late_pattern
from .highlight import Highlighter
from .inline import WIDE, WIDE_CHAR, InlineReader, Span, Styles, cell_width, parse
from .tables import draw_table, is_delimiter

#: What begins a line and may still become something else when more of the line has come.
_UNDECIDED = late_pattern(
    r"(?:[ ]{0,3}>)*[ ]*(?:#{1,6}[ ]*|[-*+][ ]*|\d{1,9}(?:[.)][ ]*)?|`{1,2}|~{1,2}|[-*_ ]+|(?:```|~~~|\|).*)?"
)
_FENCE = late_pattern(r"([ ]*)(`{3,}|~{3,})[ ]*([^`]*)")
_RULE = late_pattern(r"[ ]{0,3}([-*_])(?:[ ]*\1){2,}[ ]*")
_HEADING = late_pattern(r"[ ]{0,3}(#{1,6})[ ]+")
_BULLET = late_pattern(r"([ ]*)[-*+][ ]+")
_NUMBER = late_pattern(r"([ ]*)(\d{1,9}[.)])[ ]+")
_QUOTE = late_pattern(r"[ ]{0,3}>[ ]?")
_SPACE = late_pattern(r"[ ]*")

#: What text breaks into where lines are filled: spaces, words, and single wide characters.
_WORDS = late_pattern(rf"[ ]+|[^ {WIDE}]+|.")

_CODES: Final = {"bold": "1", "dim": "2", "italic": "3", "underline": "4", "strike": "9", "code": "36"}


class _Table(NamedTuple):
    """Rows that came so far, and what stands before each line of it."""

    rows: list[str]
    prefix: str


class _Code(NamedTuple):
    """A block of code: the fence that ends it, what stands before each of its lines, and who colours them."""

    fence: str
    indent: int
    prefix: str
    highlighter: Highlighter


class _Formula(NamedTuple):
    """A formula over several lines: what closes it, and the quotations around it. A blank line ends it too, as in TeX."""

    close: str
    quotations: int


class MarkdownStream:
    """``feed`` it what comes, and ``close`` it. ``write`` takes what is to be shown, escape sequences included; ``width`` tells
    the terminal's columns as they are now. ``colours``: whether it may be coloured; bold and its kin are none."""

    def __init__(self, write: Callable[[str], None], *, width: Callable[[], int], colours: bool) -> None:
        self._write = write
        self._width = width
        self._colours = colours
        self._out: list[Span] = []
        self._pending = ""
        self._block: _Table | _Code | _Formula | None = None
        self._in_line = False
        self._base: Styles = ()  # of the line as a whole
        self._prefix = ""  # what a line that was broken continues with
        self._inline = InlineReader()
        self._column = 0
        self._word: list[Span] = []
        self._word_width = 0

    @property
    def holds_table(self) -> bool:
        """Whether a table is coming, of which nothing can be shown yet."""
        return isinstance(self._block, _Table)

    def feed(self, text: str) -> None:
        """Show as much as is decided."""
        self._pending += text.replace("\r\n", "\n").replace("\t", "    ")
        while self._step(complete=False):
            pass
        self._flush()

    def close(self) -> None:
        """No more comes: show what was held back, and end the line."""
        while self._pending and self._step(complete=True):
            pass
        if isinstance(self._block, _Table):
            self._end_table(self._block)
        self._block = None
        if self._in_line:
            self._end_line()
        self._flush()

    def _flush(self) -> None:
        if self._out:
            runs = groupby(self._out, key=itemgetter(1))
            self._write("".join(self._styled("".join(text for text, _ in run), styles) for styles, run in runs))
            self._out = []

    # ---- blocks

    def _step(self, complete: bool) -> bool:
        """Take one piece of what is pending; False where it has to wait for more."""
        if self._in_line:
            return self._continue_line(complete)
        line, newline, rest = self._pending.partition("\n")
        whole = bool(newline) or complete
        if not whole and (self._block is not None or _UNDECIDED.fullmatch(line)):
            return False
        if whole and not line and not newline:
            return False
        if isinstance(self._block, _Formula):
            self._formula_line(self._block, line)
            return True
        if isinstance(self._block, _Code):
            self._code_line(self._block, line)
        elif isinstance(self._block, _Table) and line.lstrip().startswith("|"):
            self._block.rows.append(line)
        else:
            if isinstance(self._block, _Table):
                self._end_table(self._block)
            if not (whole and self._whole_line(line)):
                self._begin_line(line)
                return True
        self._pending = rest
        return True

    def _whole_line(self, line: str) -> bool:
        """A line that is a block by itself, or opens one. False where it is text."""
        if fence := _FENCE.fullmatch(line):
            self._block = _Code(fence[2], len(fence[1]), fence[1], Highlighter(fence[3].strip() if self._colours else ""))
            self._show(line, ("dim",), end="\n")
        elif line.lstrip().startswith("|"):
            self._block = _Table([line], _SPACE.match(line)[0])  # type: ignore[index]  # it matches anything
        elif _RULE.fullmatch(line):
            self._show("─" * max(3, min(40, self._width() - 1)), ("dim",), end="\n")
        elif not line.strip():
            self._show("", end="\n")
        else:
            return False
        return True

    def _code_line(self, block: _Code, line: str) -> None:
        if line.strip().startswith(block.fence) and not line.strip().strip(block.fence[0]):
            self._block = None
            self._show(block.prefix + block.fence, ("dim",), end="\n")
            return
        indent = min(block.indent, len(line) - len(line.lstrip(" ")))
        self._show(block.prefix + block.highlighter.line(line[indent:]), end="\n")

    def _formula_line(self, block: _Formula, line: str) -> None:
        """Write a line of the formula as it is; what stands behind the formula's end is text."""
        prefix = ""
        for _ in range(block.quotations):
            if quote := _QUOTE.match(line):
                prefix += "│ "
                line = line[quote.end() :]
        end = line.find(block.close)
        if end >= 0 or not line.strip():
            self._block = None
        end = len(line) if end < 0 else end + len(block.close)
        begin = min(end, len(line) - len(line.lstrip(" ")))
        self._begin(line[end:], prefix + line[:begin], ())
        self._inline = InlineReader(line[end - 1 : end])
        self._put(line[begin:end], ())

    def _end_table(self, block: _Table) -> None:
        self._block = None
        if len(block.rows) > 1 and is_delimiter(block.rows[1]):
            for line in draw_table(block.rows, width=self._width() - 1 - len(block.prefix)):
                self._out += [(block.prefix, ()), *line, ("\n", ())]
        else:
            for row in block.rows:
                self._begin(row, "", ())
                for span in parse(row):
                    self._put(*span)
                self._end_line()

    # ---- lines

    def _begin_line(self, line: str) -> None:
        """Write what stands for the beginning of the line, which is a heading, an item, a quotation or plain text."""
        prefix = ""
        while quote := _QUOTE.match(line):
            prefix += "│ "
            line = line[quote.end() :]
        if heading := _HEADING.match(line):
            self._begin(line[heading.end() :], prefix, ("bold",) if len(heading[1]) > 1 else ("bold", "underline"))
        elif bullet := _BULLET.match(line):
            self._begin(line[bullet.end() :], f"{prefix}{bullet[1]}• ", (), hang=prefix + bullet[1] + "  ")
        elif number := _NUMBER.match(line):
            mark = f"{number[1]}{number[2]} "
            self._begin(line[number.end() :], prefix + mark, (), hang=prefix + " " * len(mark))
        else:
            space = _SPACE.match(line)
            assert space is not None
            self._begin(line[space.end() :], prefix + space[0], ())

    def _begin(self, line: str, prefix: str, base: Styles, hang: str | None = None) -> None:
        """Begin a line of text; *line* is what of it has come, without its mark."""
        _, newline, rest = self._pending.partition("\n")
        if not self.holds_table:
            self._pending = line + newline + rest
        self._in_line, self._base, self._inline = True, base, InlineReader()
        self._prefix = prefix if hang is None else hang
        self._column = len(prefix)
        self._word, self._word_width = [], 0
        self._show(prefix, ("dim",))

    def _end_line(self) -> None:
        self._in_line = False
        self._show("", end="\n")

    def _continue_line(self, complete: bool) -> bool:
        text, newline, rest = self._pending.partition("\n")
        at, spans = self._inline.read(text, complete or bool(newline))
        for span in spans:
            self._put(*span)
        if at == len(text) and newline:
            if self._inline.open:
                self._block = _Formula(self._inline.open, self._prefix.count("│"))
            self._end_line()
            self._pending = rest
            return True
        self._pending = text[at:] + newline + rest
        return False

    # ---- words on a line

    def _put(self, text: str, styles: Styles) -> None:
        """Write on the present line; what does not fit continues in the next one."""
        styles = (*self._base, *styles)
        limit = self._width() - 1
        for piece in _WORDS.findall(text):
            if piece[0] == " ":
                self._word, self._word_width = [], 0
                room = max(0, limit - self._column)
                self._write_piece(piece[:room], len(piece[:room]), styles)
                self._column += len(piece) - len(piece[:room])
                self._word, self._word_width = [], 0
                continue
            width = cell_width(piece)
            if width == 2 and WIDE_CHAR.match(piece):
                self._word, self._word_width = [], 0
            if self._column + width > limit:
                self._wrap()
            self._write_piece(piece, width, styles)
            if self._column > limit:
                self._column %= max(1, limit + 1)  # the terminal has broken it

    def _write_piece(self, piece: str, width: int, styles: Styles) -> None:
        self._show(piece, styles)
        self._word.append((piece, styles))
        self._word_width += width
        self._column += width

    def _wrap(self) -> None:
        """Take the word that is being written to the next line, unless it began its line: then the terminal breaks it."""
        begin, word, taken = cell_width(self._prefix), self._word, self._word_width
        if self._column - taken <= begin:
            return
        if taken:
            self._show(f"\x1b[{taken}D\x1b[K")
        self._show("\n")
        self._show(self._prefix, ("dim",))
        self._column, self._word, self._word_width = begin, [], 0
        for piece, styles in word:
            self._write_piece(piece, cell_width(piece), styles)

    def _show(self, text: str, styles: Styles = (), *, end: str = "") -> None:
        if text:
            self._out.append((text, styles))
        if end:
            self._out.append((end, ()))

    def _styled(self, text: str, styles: Styles) -> str:
        codes = [_CODES[style] for style in dict.fromkeys(styles) if self._colours or style not in ("dim", "code")]
        blank = text.isspace() and styles == ("dim",)
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes and not blank else text
