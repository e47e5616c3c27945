"""What a mistyped word was to be. Words in, a question out."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?", which stands behind a message, for the nearest of *known*; "" where none is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the nearest of *known*; None where none is near. *likeness*: from 0 to 1."""
    import difflib  # noqa: PLC0415  3 ms that a mistake alone should cost

    return next(iter(difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=likeness)), None)
