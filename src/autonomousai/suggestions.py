"""What a mistyped word was to be. Words in, a question out."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?", which stands behind a message, for the nearest of *known*; "" where none is near."""
    import difflib  # noqa: PLC0415  3 ms that a mistake alone should cost

    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
