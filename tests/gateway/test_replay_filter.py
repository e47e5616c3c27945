"""Joining streams: what was delivered is swallowed while it repeats, and never blended with anything else."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autonomousai.answer import Answer
from autonomousai.events import Batch, FinishReason, Reasoning, ToolCallDelta
from autonomousai.gateway.replay_filter import DivergedError, ReplayFilter, to_last_whole_word

STOP = FinishReason("stop", "finish_reason")


def delivered(*events: str | Reasoning | ToolCallDelta) -> Answer:
    made = Answer()
    made.add(list(events))
    return made


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.sets(st.integers(0, len(text)))))
    return [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True) if start < stop]


@given(st.text(min_size=1), st.data())
def test_a_stream_that_repeats_goes_on_where_the_first_ended(text: str, data: st.DataObject) -> None:
    """However both were cut into pieces, the caller's text is the whole, once."""
    at = data.draw(st.integers(0, len(text)))
    before, again = data.draw(cuts(text[:at])), data.draw(cuts(text))
    repetition = ReplayFilter(delivered(*before))

    fresh = [event for piece in again for event in repetition.feed([piece])]

    assert text == "".join([*before, *map(str, fresh)])


@given(st.text(min_size=1), st.text(), st.data())
def test_another_text_is_never_blended(first: str, second: str, data: st.DataObject) -> None:
    """Either the second begins with the first, or it is refused before anything new was let through."""
    repetition = ReplayFilter(delivered(first))
    fresh: Batch = []
    try:
        for piece in data.draw(cuts(second)):
            fresh += repetition.feed([piece])
        fresh += repetition.feed([STOP])
    except DivergedError:
        assert fresh == []
    else:
        assert second == first + "".join(map(str, fresh))


@given(st.lists(st.lists(st.text("ab", max_size=3), min_size=1, max_size=90), max_size=40))
@example([["a"]] * 3000)
@example([["ab"] * 7] * 500)
@example([["abc"] * 90] * 40)
def test_the_last_deltas_are_counted_exactly(batches: list[list[str]]) -> None:
    """However long the text, and though most of it is kept in few pieces: of the last 64 it is known where each ended."""
    made = Answer()
    for batch in batches:
        made.add(list(batch))
    pieces = [piece for batch in batches for piece in batch]
    ends = list(accumulate(map(len, pieces)))

    assert (made.text, made.deltas) == ("".join(pieces), len(pieces))
    for end in ends[-64:]:
        assert made.deltas_after(end) == sum(one > end for one in ends)


def test_the_last_deltas_are_counted_exactly_at_any_time() -> None:
    """A long answer, after each of its pieces."""
    made = Answer()
    for number in range(1, 6000):
        made.add(["a" * 300])
        exact = min(number, 64)
        assert made.deltas_after(300 * (number - exact)) == exact


def test_one_that_ends_early_has_diverged() -> None:
    """A second answer that is shorter than what was delivered is another answer."""
    repetition = ReplayFilter(delivered("Hello"))
    repetition.feed(["Hel"])

    with pytest.raises(DivergedError):
        repetition.feed([STOP])


def test_reasoning_and_tool_calls_are_swallowed_too() -> None:
    """All that was delivered comes again; the ids that a second generation draws are not told."""
    repetition = ReplayFilter(delivered(Reasoning("hm"), "a", ToolCallDelta(0, "call_1", "f", '{"x"')))
    second = ToolCallDelta(1, "c2", "g", "")

    fresh = repetition.feed([Reasoning("h"), Reasoning("m"), "a", ToolCallDelta(0, "call_9", "f", '{"x":1}'), second, STOP])

    assert fresh == [ToolCallDelta(0, None, None, ":1}"), second, STOP]


@pytest.mark.parametrize(
    "second",
    [
        [Reasoning("hmm"), "a", STOP],
        [Reasoning("hm"), "ab", ToolCallDelta(0, "c", "f", "{}"), STOP],
        [Reasoning("hm"), "a", ToolCallDelta(1, "c", "g", "{}"), STOP],
        [Reasoning("hm"), "a", STOP],
    ],
    ids=["longer reasoning", "longer text", "another call", "no call"],
)
def test_nothing_new_before_everything_has_come_again(second: Batch) -> None:
    """What goes on in one place while something is missing in another is another answer, and nothing of it is let through."""
    repetition = ReplayFilter(delivered(Reasoning("hm"), "a", ToolCallDelta(0, "c", "f", "{")))

    with pytest.raises(DivergedError):
        repetition.feed(second)


def test_a_continuation_repeats_only_the_rest_of_a_word() -> None:
    """A stream that continues the text brings half a word again, and no reasoning."""
    repetition = ReplayFilter(delivered(Reasoning("hm"), "The sky is bl"), text=" bl")

    assert repetition.feed([" blu", "e."]) == ["u", "e."]


@pytest.mark.parametrize(
    ("text", "kept", "rest"),
    [
        ("The sky is bl", "The sky is", " bl"),
        ("The sky is ", "The sky is", " "),
        ("The sky\n\n", "The sky", "\n\n"),
        ("Hello", "Hello", ""),
        ("Hello, w", "Hello,", " w"),
        (" Hel", " Hel", ""),
        ("天空是蓝色的", "天空是蓝色的", ""),
        ("a " + "x" * 100, "a " + "x" * 100, ""),
        ("", "", ""),
    ],
)
def test_half_a_word_is_not_handed_over(text: str, kept: str, rest: str) -> None:
    """What a continuation is given ends with a whole word; the rest is what it will repeat."""
    assert (kept, rest) == to_last_whole_word(text)


def test_a_name_may_come_in_other_pieces() -> None:
    """Servers cut names as they cut texts."""
    repetition = ReplayFilter(delivered(ToolCallDelta(0, "c1", "get_weather", '{"a"')))

    again = [ToolCallDelta(0, "c2", "get_", ""), ToolCallDelta(0, None, "weather", ""), ToolCallDelta(0, None, None, '{"a":1}')]

    assert repetition.feed([*again]) == [ToolCallDelta(0, None, None, ":1}")]


@pytest.mark.parametrize(
    "second",
    [
        [ToolCallDelta(0, "c2", "delete_", '{"path":"/etc"}'), STOP],
        [ToolCallDelta(0, "c2", "delete_file_now", ""), ToolCallDelta(0, None, None, '{"path":"/etc"}'), STOP],
        [ToolCallDelta(0, "c2", "read_file", '{"path":"/etc"}'), STOP],
        ["Sorry, I cannot.", STOP],
        [STOP],
    ],
    ids=["half a name", "a longer name", "another name", "prose", "nothing"],
)
def test_the_name_of_one_call_never_gets_the_arguments_of_another(second: Batch) -> None:
    """A call whose name was delivered comes again under that name, or nothing of the second answer is let through."""
    for first in (ToolCallDelta(0, "c1", "delete_file", '{"path":'), ToolCallDelta(0, "c1", "delete_file", "")):
        with pytest.raises(DivergedError):
            ReplayFilter(delivered(first)).feed(second)
