"""The same call without end is one call; what is meant, or ends of itself, stays as it is."""

from __future__ import annotations

import pytest

from autonomousai.engine.repeated_calls import RepeatedCalls
from autonomousai.events import REPEATED, REPETITION, Batch, Event, FinishReason, ToolCallDelta


def call(index: int, arguments: str, name: str = "f") -> list[Event]:
    """A call as the parser brings it: its head, and its arguments in pieces of two characters."""
    pieces = [arguments[place : place + 2] for place in range(0, len(arguments), 2)]
    return [ToolCallDelta(index, f"call_{index}", name), *(ToolCallDelta(index, arguments=piece) for piece in pieces)]


def fed(events: list[Event], size: int) -> Batch:
    """All that is passed on, of batches of that size."""
    calls = RepeatedCalls()
    return [event for at in range(0, len(events), size) for event in calls.feed(events[at : at + size])]


CUT = FinishReason("length", "finish_reason")
LOOPED = FinishReason(REPETITION, "finish_reason", notes=(REPEATED,))
STOPPED = FinishReason("tool_calls", "finish_reason")
SAME = [event for index in range(5) for event in call(index, '{"a": 1}')]


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("end", [CUT, LOOPED], ids=["cut", "looped"])
@pytest.mark.parametrize("rest", [[], call(6, '{"a": 1}')[:2]], ids=["complete", "begun"])
def test_a_call_without_end_is_one(size: int, end: FinishReason, rest: list[Event]) -> None:
    """It ends as an answer with calls does, whatever had begun of the next one."""
    more = [*SAME, *call(5, '{"a": 1}'), *rest]

    assert [*call(0, '{"a": 1}'), STOPPED] == fed([*more, end], size)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    "events",
    [
        [*SAME, STOPPED],
        [*call(0, "{}"), *call(1, "{}"), CUT],
        [*call(0, '{"a": 1}'), *call(1, '{"a": 2}'), *call(2, '{"a": 2}'), *call(3, '{"a": 1}'), STOPPED],
        [*call(0, "{}"), *call(1, "{}", "g"), *call(2, "{}"), CUT],
        [*SAME[: len(call(0, '{"a": 1}')) * 4], *call(4, '{"a": 12}'), CUT],
        [*SAME, *call(5, '{"a": 1}'), *call(6, '{"a": 23}')[:5], CUT],
        [*call(0, "{}"), *call(1, "{}"), "text", *call(2, "{}"), STOPPED],
        ["text", STOPPED],
    ],
    ids=[
        "ends of itself",
        "twice",
        "in turns",
        "other functions",
        "the last differs",
        "cut in another",
        "text between",
        "no calls",
    ],
)
def test_anything_else_stays(events: list[Event], size: int) -> None:
    """To the letter, and in its order."""
    assert events == fed(events, size)
