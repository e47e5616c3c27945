"""Texts in many pieces, kept in few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autonomousai.answer import MANY, RECENT, fold


@given(st.lists(st.integers(0, 9000), min_size=MANY, max_size=3 * MANY), st.integers(1, 40))
def test_a_folded_text_is_the_same_text(lengths: list[int], step: int) -> None:
    """However many pieces come at once, and however long they are; and the last ones stay as they came."""
    all_pieces = [chr(97 + number % 26) * length for number, length in enumerate(lengths)]
    pieces: list[str] = []
    for start in range(0, len(all_pieces), step):
        pieces += all_pieces[start : start + step]
        if len(pieces) > MANY:
            fold(pieces)
            assert pieces[-RECENT:] == all_pieces[: start + step][-RECENT:]
    assert "".join(pieces) == "".join(all_pieces)


def test_a_long_text_is_kept_in_few_pieces_and_copied_seldom() -> None:
    """A million words: no more blocks than the logarithm of their length, each more than all that follow it together."""
    pieces: list[str] = []
    longest = 0
    for _ in range(1_000_000):
        pieces.append("word ")
        if len(pieces) > MANY:
            fold(pieces)
            longest = max(longest, len(pieces))
    blocks = [len(block) for block in pieces[:-RECENT] if len(block) > 4096]

    assert len("".join(pieces)) == 5_000_000
    assert longest < RECENT + 20
    assert all(block > sum(blocks[number + 1 :]) for number, block in enumerate(blocks))
