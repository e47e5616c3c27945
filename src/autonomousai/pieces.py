"""A text that grows by small pieces, in a list that stays short: as an object of its own, each of them takes ten times its
letters. Imports nothing of ours."""

from __future__ import annotations

from typing import Final

#: Pieces after which a list is worth folding. To count them is all that a piece costs.
MANY: Final = 64

#: Of the last pieces, how many stay as they came.
RECENT: Final = 32

#: Characters up to which a part at the end is joined again, whatever comes after it.
_SMALL: Final = 4096


def fold(pieces: list[str]) -> None:
    """Join all but the last `RECENT` of more pieces than those. A long part is joined again only when what follows it is half
    as long, so that a text of n characters is copied no more than log n times, and is kept in no more parts."""
    start, end = 0, len(pieces) - RECENT
    while start < end - 1 and len(pieces[start]) > _SMALL:
        start += 1
    size = sum(map(len, pieces[start:end]))
    while start and len(pieces[start - 1]) <= 2 * size:
        start -= 1
        size += len(pieces[start])
    pieces[start:end] = ["".join(pieces[start:end])]
