"""Tables for people: rows in, columns out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from .render.inline import cell_width
from .render.tables import fit
from .terminal import megabytes


def table(rows: list[dict[str, Any]], *, without: tuple[str, ...] = (), width: int | None = None) -> str:
    """*rows* in columns, with a heading; sizes and yes or no as people write them. ``without``: what only JSON tells.
    ``width``: of the terminal, where there is one: cells that do not fit are broken into lines."""
    keys = [key for key in (rows or [{}])[0] if key not in without]
    cells = [[key.upper() for key in keys], *([_cell(key, row[key]) for key in keys] for row in rows)]
    widths = [max(map(cell_width, column)) for column in zip(*cells, strict=True)]
    if width is not None:
        widths = fit(widths, width - 2 * (len(keys) - 1))
    lines = ("  ".join(map(_pad, line, widths)).rstrip() for row in cells for line in _broken(row, widths))
    return "\n".join(lines) + "\n"


def _broken(row: list[str], widths: list[int]) -> Iterator[tuple[str, ...]]:
    """A row of cells as lines of cells."""
    cells = (
        textwrap.wrap(cell, width) if cell_width(cell) > width else [cell] for cell, width in zip(row, widths, strict=True)
    )
    return zip_longest(*cells, fillvalue="")


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - cell_width(cell))


def _cell(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value is None:
        return ""
    return megabytes(value) if key == "size" else str(value)
