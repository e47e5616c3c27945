"""A table of Markdown, drawn with lines between its columns, within a width. Rows in, lines of spans out."""

from __future__ import annotations

from ...late import late_pattern
from .inline import Span, cell_width, parse

_DELIMITER = late_pattern(r"[ ]*\|?[ ]*:?-+:?[ ]*(?:\|[ ]*:?-+:?[ ]*)*\|?[ ]*")
_CELLS = late_pattern(r"(?:\\\||`[^`]*`|[^|])+|(?<=\|)(?=\|)")
_PIECES = late_pattern(r"[ ]+|[^ ]+")
_NARROWEST = 6
_BREAK = late_pattern(r"<br\s*/?>")


def is_delimiter(row: str) -> bool:
    """Whether *row* is the line of dashes under a table's head."""
    return _DELIMITER.fullmatch(row) is not None


def draw_table(rows: list[str], *, width: int) -> list[list[Span]]:
    """The lines of the table whose second row is the delimiter. Columns that do not fit into *width* are broken into lines."""
    head, delimiter, *body = map(_split, rows)
    cells = [[[*map(_bold, parse(cell))] for cell in head], *([parse(_BREAK.sub(" ", cell)) for cell in row] for row in body)]
    count = len(delimiter)
    cells = [(row + [[]] * count)[:count] for row in cells]
    widths = fit([max(_width(row[column]) for row in cells) for column in range(count)], width - 3 * (count - 1))
    lines: list[list[Span]] = []
    for number, row in enumerate(cells):
        lines += _row(row, widths, delimiter)
        if number == 0:
            lines.append([("─┼─".join("─" * each for each in widths), ("dim",))])
    return lines


def _split(row: str) -> list[str]:
    row = row.strip().removeprefix("|")
    if row.endswith("|") and not row.endswith("\\|"):
        row = row[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _CELLS.findall(row)]


def _bold(span: Span) -> Span:
    return span[0], ("bold", *span[1])


def _width(spans: list[Span]) -> int:
    return sum(cell_width(text) for text, _ in spans)


def fit(widths: list[int], room: int) -> list[int]:
    """Take from the widest columns until all fit, as far as that can be read."""
    widths = [max(1, width) for width in widths]
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(row: list[list[Span]], widths: list[int], delimiter: list[str]) -> list[list[Span]]:
    wrapped = [_wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wrapped))):
        line: list[Span] = []
        for column, (cell, width) in enumerate(zip(wrapped, widths, strict=True)):
            spans = cell[number] if number < len(cell) else []
            if column:
                line.append((" │ ", ("dim",)))
            line += _align(spans, width - _width(spans), delimiter[column], last=column == len(widths) - 1)
        lines.append(line)
    return lines


def _align(spans: list[Span], gap: int, delimiter: str, *, last: bool) -> list[Span]:
    left = 0
    if delimiter.endswith(":"):
        left = gap // 2 if delimiter.startswith(":") else gap
    right = 0 if last else gap - left
    return [(" " * left, ()), *spans, (" " * right, ())]


def _wrap(spans: list[Span], width: int) -> list[list[Span]]:
    """*spans* in lines of *width*: broken at spaces, and a word that is too long wherever it must be."""
    lines: list[list[Span]] = [[]]
    used = 0
    for text, styles in spans:
        for piece in _PIECES.findall(text):
            if used + cell_width(piece) > width:
                if used:
                    lines.append([])
                    used = 0
                if piece[0] == " ":
                    continue
            while cell_width(piece) > width:
                cut = next(at for at in range(len(piece), 0, -1) if at == 1 or cell_width(piece[:at]) <= width)
                lines[-1].append((piece[:cut], styles))
                lines.append([])
                piece = piece[cut:]
            lines[-1].append((piece, styles))
            used += cell_width(piece)
    return lines
