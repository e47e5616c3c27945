"""An answer ends at the texts that its caller named: tables of texts, each cut at every character."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.answer import Answer
from autonomousai.engine.generation import take_stops
from autonomousai.events import Batch, Extra, FinishReason, Reasoning, Started, ToolCallDelta
from autonomousai.stop_texts import StopTexts

STOP, LENGTH = FinishReason("stop", "finish_reason"), FinishReason("length", "finish_reason")


def read(pieces: list[str], *texts: str) -> tuple[str, str | None]:
    """The text that *pieces* make, and what ended it."""
    stops, answer = StopTexts(texts), Answer()
    for piece in pieces:
        answer.add(stops.feed([piece]))
    answer.add(stops.feed([LENGTH]))
    named = None if stops.found is None else {"choices": [{"index": 0, "stop_reason": stops.found}]}
    assert answer.finish is not None
    assert ("length" if stops.found is None else "stop", named) == (answer.finish.reason, answer.finish.extra)
    return answer.text, stops.found


TEXTS: list[tuple[str, tuple[str, ...], tuple[str, str | None]]] = [
    ("Hello.", ("!",), ("Hello.", None)),
    ("Hello! You.", ("!",), ("Hello", "!")),
    ("one END two", ("END",), ("one ", "END")),
    ("one EN two E", ("END",), ("one EN two E", None)),
    ("ENEND", ("END",), ("EN", "END")),
    ("END", ("END",), ("", "END")),
    ("abcd", ("c", "bcd"), ("ab", "c")),
    ("abcd", ("bcd", "d"), ("a", "bcd")),
    ("a\n\nb", ("\n\n", "\nObservation:"), ("a", "\n\n")),
    ("日本語。終", ("。終",), ("日本語", "。終")),
    ("aaab", ("aab",), ("a", "aab")),
]


@pytest.mark.parametrize(("text", "texts", "expected"), TEXTS, ids=[repr(case[:2]) for case in TEXTS])
def test_an_answer_ends_at_a_text(text: str, texts: tuple[str, ...], expected: tuple[str, str | None]) -> None:
    """Whole, in two pieces cut at every character, and in single characters: always at the same place, and by the same text."""
    cuts = [[text], list(text), *([text[:cut], text[cut:]] for cut in range(1, len(text)))]

    assert [expected] * len(cuts) == [read(pieces, *texts) for pieces in cuts]


def test_calls_and_thoughts_have_no_texts_to_end_at() -> None:
    """They pass in their order; behind a text that was found there is the end alone."""
    stops, call = StopTexts(["}", "!"]), ToolCallDelta(0, "c", "now", '{"a": {}}')

    said: Batch = []
    for batch in ([Started("m"), Reasoning("Hm!"), "So"], [call], [Extra({}, 2, "openai_chat"), "Well! Yes"], ["no"], [STOP]):
        said += stops.feed(batch)

    named = FinishReason("stop", "finish_reason", extra={"choices": [{"index": 0, "stop_reason": "!"}]})
    assert [Started("m"), Reasoning("Hm!"), "So", call, "Well", named] == said


def test_an_answer_with_calls_stays_one() -> None:
    """Though a text ended what was said behind them: its reader is to run them."""
    stops = StopTexts(["!"])

    stops.feed(["Well!"])
    (end,) = stops.feed([FinishReason("tool_calls", "finish_reason")])

    assert isinstance(end, FinishReason)
    assert "tool_calls" == end.reason


@pytest.mark.parametrize(
    ("fields", "texts", "left"),
    [
        ({"stop": "!"}, ("!",), {"timings_per_token": True}),
        ({"stop": ["a", "b"], "seed": 1}, ("a", "b"), {"seed": 1, "timings_per_token": True}),
        ({"stop": []}, (), {"stop": []}),
        ({"seed": 1}, (), {"seed": 1}),
        ({"stop": "!", "logprobs": True}, (), {"stop": "!", "logprobs": True}),
    ],
    ids=str,
)
def test_the_engine_does_not_look_for_them(fields: dict[str, Any], texts: tuple[str, ...], left: dict[str, Any]) -> None:
    """Unless its probabilities are asked for."""
    assert texts == take_stops(fields)
    assert left == fields
