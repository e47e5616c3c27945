"""Streams cut into reads, anywhere."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

#: Where to cut: positions modulo the stream's length, in any order.
cuts = st.lists(st.integers(min_value=0, max_value=2**32), max_size=12)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(edges)]


def every_byte(stream: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in stream]
