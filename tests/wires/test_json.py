"""Nesting is measured alike in a JSON text, without decoding it, and in what it decodes to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.wires.json import decode, join_strings, text_too_deep, too_deep


@pytest.fixture
def _raised_limit() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("value", "depth"),
    [
        (1, 0),
        ("[[[", 0),
        ([], 1),
        ({}, 1),
        ({"a": [1]}, 2),
        ([[], {"a": {"b": []}}], 4),
        ([{"[[[": '"]]\\'}, "\\", "\\\\[", '[\\"'], 2),
    ],
)
def test_measures_nesting(value: Any, depth: int) -> None:
    """A list in a list is two levels; text and numbers are none, whatever they look like."""
    text = json.dumps(value).encode()

    limits = range(6)
    expected = [depth > limit for limit in limits]
    assert expected == [too_deep(value, limit) for limit in limits]
    assert expected == [text_too_deep(text, limit) for limit in limits]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[" * 64, False),
        (b"[" * 65, True),
        (b"]" * 65 + b"[" * 64, False),
        (b'{"a":[' * 33, True),
        (b"[]" * 1_000 + b"[" * 65, True),
        (b'{"a":"' + b"[" * 1_000, False),
    ],
)
def test_measures_text_that_is_cut(text: bytes, expected: bool) -> None:
    """What was opened counts, for a decoder would follow it."""
    assert expected is text_too_deep(text)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
def test_decoding_is_bounded_by_the_interpreter(text: bytes) -> None:
    """By its recursion limit."""
    with pytest.raises(RecursionError):
        decode(text)


@pytest.mark.usefixtures("_raised_limit")
@pytest.mark.parametrize("text", [b"[" * 1_000_000, b"[" * 1_000_000 + b"]" * 1_000_000, b'{"a":' * 1_000_000])
def test_decoding_is_bounded_where_the_interpreter_allows_more(text: bytes) -> None:
    """An application around us may have raised the limit, beyond what the stack can bear."""
    with pytest.raises(RecursionError):
        decode(text)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(st.sampled_from('[]{}"\\a'), max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('[{"\\'), max_size=3), inner, max_size=2)
        ),
        max_leaves=20,
    ),
    st.integers(0, 6),
)
def test_text_and_value_agree(value: Any, limit: int) -> None:
    """For any document."""
    assert too_deep(value, limit) is text_too_deep(json.dumps(value).encode(), limit)


@pytest.mark.parametrize(
    "texts",
    [
        [","],
        ["a", ",", "b"],
        ['"', '",', ',"', '"'],
        ['","'],
        ["\\", '",', "\\"],
        ["", ",", ""],
        ['\\","', "x"],
        ["ä", "\n", ","],
    ],
    ids=repr,
)
def test_strings_are_joined_as_each_is_written(texts: list[str]) -> None:
    """Whatever looks like the end of one and the beginning of the next."""
    assert b"; ".join(msgspec.json.encode(text) for text in texts) == join_strings(texts, b"; ")


@pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
def test_a_number_beyond_all_is_refused_beside_half_a_character(number: bytes) -> None:
    """It is refused alone; the slower reader, which takes halves, would make an infinity of it."""
    for text in (number, b'{"a":"\\ud83d","b":' + number + b"}"):
        with pytest.raises(ValueError, match=r"out of range|malformed"):
            decode(text)
