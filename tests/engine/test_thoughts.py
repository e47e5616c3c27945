"""A model's thoughts come apart from its answer: tables of texts, each cut at every character."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.answer import Answer
from autonomousai.engine.chat_template import ThoughtStyle, thought_style
from autonomousai.engine.thoughts import ThoughtParser, thoughts_of, wants_thoughts
from autonomousai.events import FinishReason

STOP = FinishReason("stop", "finish_reason")


def read(pieces: list[str], *, opened: bool = False) -> tuple[str, str]:
    """The thoughts and the text that *pieces* make."""
    parser, answer = ThoughtParser(opened=opened), Answer()
    for piece in pieces:
        answer.add(parser.feed([piece]))
    answer.add(parser.feed([STOP]))
    assert answer.finish == STOP
    return answer.reasoning, answer.text


TEXTS: list[tuple[str, bool, tuple[str, str]]] = [
    ("Hello.\n", False, ("", "Hello.\n")),
    ("<think>\nHm.\n\nWell.\n</think>\n\nHello. ", False, ("Hm.\n\nWell.", "Hello. ")),
    ("\n<think>Hm.</think>Hello.", False, ("Hm.", "Hello.")),
    ("<think>\n\n</think>\n\nHello.", False, ("", "Hello.")),
    ("<think>Hm.", False, ("Hm.", "")),
    ("<think>Hm. </thin", False, ("Hm. </thin", "")),
    ("<thinking>", False, ("", "<thinking>")),
    ("<thi", False, ("", "<thi")),
    (" \n", False, ("", " \n")),
    ("So: <think>Hm.</think>", False, ("", "So: <think>Hm.</think>")),
    ("<think>a</think>b</think>c", False, ("a", "b</think>c")),
    ("Hm.\n</think>\n\nHello.", True, ("Hm.", "Hello.")),
    ("\nHm. <b> </b>", True, ("Hm. <b> </b>", "")),
]


@pytest.mark.parametrize(("text", "opened", "expected"), TEXTS, ids=[repr(case[0]) for case in TEXTS])
def test_thoughts_are_told_from_text(text: str, opened: bool, expected: tuple[str, str]) -> None:
    """Whole, in two pieces cut at every character, and in single characters: always the same."""
    cuts = [[text], list(text), *([text[:cut], text[cut:]] for cut in range(1, len(text)))]

    assert [expected] * len(cuts) == [read(pieces, opened=opened) for pieces in cuts]


def test_thoughts_stream() -> None:
    """What can be told of them is told at once."""
    parser = ThoughtParser(opened=True)

    said = [
        [getattr(event, "text", event) for event in parser.feed([piece])] for piece in ("Hm", ", w", "ell", "</think>", "Hi")
    ]

    assert [["Hm"], [", w"], ["ell"], [], ["Hi"]] == said


STYLES = [
    ("{% if add_generation_prompt %}<|assistant|>{% endif %}", ""),
    ("{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}", "always"),
    ("{% if enable_thinking %}{% endif %}{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}", "default"),
    (
        "{% if add_generation_prompt %}{% if not enable_thinking %}{{ '<think>\\n\\n</think>\\n' }}{% endif %}{% endif %}",
        "tags",
    ),
]


@pytest.mark.parametrize(("template", "style"), STYLES, ids=[case[1] for case in STYLES])
def test_a_template_says_how_thoughts_begin(template: str, style: str) -> None:
    """Opened by it, for all or where thinking is on; or tagged by the model."""
    assert style == thought_style(template)


def test_whether_an_answer_begins_within_thoughts() -> None:
    """Where the template has opened them."""
    styles: tuple[ThoughtStyle, ...] = ("", "tags", "default", "always")
    found = [[thoughts_of(style, wanted=wanted) for wanted in (True, False)] for style in styles]

    assert [["", ""], ["tags", "tags"], ["opened", "tags"], ["opened", "opened"]] == found


FIELDS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"reasoning_effort": "high", "thinking": {"type": "enabled", "budget_tokens": 5}, "think": True}, True),
    ({"reasoning_effort": "none"}, False),
    ({"enable_thinking": False}, False),
    ({"think": False}, False),
    ({"chat_template_kwargs": {"enable_thinking": False}}, False),
    ({"thinking": {"type": "disabled"}}, False),
    ({"reasoning": {"effort": "none"}}, False),
    ({"reasoning": {"enabled": False}}, False),
    ({"thinking": [], "reasoning": 0, "think": None}, True),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS, ids=str)
def test_every_word_for_no_thinking_is_known(fields: dict[str, Any], expected: bool) -> None:
    """Of each dialect."""
    assert expected == wants_thoughts(fields)
