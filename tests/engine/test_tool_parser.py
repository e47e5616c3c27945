"""Calls are read out of an answer's text: tables of texts, each cut at every character."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.answer import Answer
from autonomousai.engine.chat_template import SYNTAXES
from autonomousai.engine.tool_parser import ToolParser
from autonomousai.engine.tools import ToolPlan, take_tools
from autonomousai.events import Event, Extra, FinishReason, LogProbs, ToolCallDelta

STOP, LENGTH = FinishReason("stop", "finish_reason"), FinishReason("length", "finish_reason")


def plan(*names: str, **fields: Any) -> ToolPlan:
    tools = [{"type": "function", "function": {"name": name}} for name in names or ("now", "add")]
    made = take_tools({"tools": tools, **fields})
    assert made is not None
    return made


def read(pieces: list[str], *, style: str = "hermes", begun: str = "", end: FinishReason = STOP) -> Answer:
    """The answer that *pieces* make."""
    parser, answer = ToolParser(plan(), SYNTAXES[style], begun=begun), Answer()
    for piece in pieces:
        answer.add(parser.feed([piece]))
    answer.add(parser.feed([end]))
    return answer


def told(answer: Answer) -> tuple[str, list[tuple[str, str]], str | None]:
    """Text, calls, and the reason of the end."""
    calls = answer.tool_calls
    assert answer.finish is not None
    return answer.text, [(call.name, call.arguments) for call in calls.calls] if calls is not None else [], answer.finish.reason


def block(name: str = "add", arguments: str = '{"a": 1}') -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


ADD = ("add", '{"a": 1}')
NASTY = '{"a": "}\\"{</tool_call>\\\\", "b": [{}, "]"]}'

TEXTS: dict[str, tuple[str, tuple[str, list[tuple[str, str]], str]]] = {
    "text": ("Hello {world}.", ("Hello {world}.", [], "stop")),
    "text with space around": (" \n Hello.\n\n", (" \n Hello.\n\n", [], "stop")),
    "one call": (block(), ("", [ADD], "tool_calls")),
    "two calls": (f"{block()}\n{block('now', '{}')}", ("", [ADD, ("now", "{}")], "tool_calls")),
    "two calls without a line between": (block() + block("now", "{}"), ("", [ADD, ("now", "{}")], "tool_calls")),
    "text and a call": (f"I will add.\n\n{block()}", ("I will add.", [ADD], "tool_calls")),
    "braces in the arguments": (block("add", NASTY), ("", [("add", NASTY)], "tool_calls")),
    "a call and text": (f"{block()}\nDone.", ("Done.", [ADD], "tool_calls")),
    "members in another order": (
        '<tool_call>{"arguments": {"a": 1}, "name": "add"}</tool_call>',
        ("", [ADD], "tool_calls"),
    ),
    "a call without arguments": ('<tool_call>{"name": "now"}</tool_call>', ("", [("now", "{}")], "tool_calls")),
    "a bare call": ('{"name": "add", "arguments": {"a": 1}}', ("", [ADD], "tool_calls")),
    "a bare call of the other key": ('{"name":"add","parameters":{"a": 1}}\n', ("", [ADD], "tool_calls")),
    "a bare call in a fence": (
        '```json\n{\n  "name": "add",\n  "arguments": {"a": 1}\n}\n```',
        ("", [ADD], "tool_calls"),
    ),
    "two bare calls": (
        '{"name": "add", "arguments": {"a": 1}}\n{"name": "now", "arguments": {}}',
        ("", [ADD, ("now", "{}")], "tool_calls"),
    ),
    "a bare call of no tool": (
        '{"name": "sub", "arguments": {"a": 1}}',
        ('{"name": "sub", "arguments": {"a": 1}}', [], "stop"),
    ),
    "JSON that begins like a call": ('{"name": "add", "age": 3}', ('{"name": "add", "age": 3}', [], "stop")),
    "the beginning of a call's beginning": ('{"name": "ad', ('{"name": "ad', [], "stop")),
    "a fence": ("```json\n{}\n```", ("```json\n{}\n```", [], "stop")),
    "a tag within a line": ("Write <tool_call> for it.", ("Write <tool_call> for it.", [], "stop")),
    "the beginning of a tag": ("So:\n<tool", ("So:\n<tool", [], "stop")),
    "no tag": ("So:\n<tool_cull>", ("So:\n<tool_cull>", [], "stop")),
    "a tag around no call": (
        "<tool_call>hello</tool_call> there",
        ("<tool_call>hello</tool_call> there", [], "stop"),
    ),
    "a tag that is not closed": ("<tool_call>hello", ("<tool_call>hello", [], "stop")),
    "a bare call within the text": (
        'Like this: {"name": "add", "arguments": {"a": 1}}',
        ('Like this: {"name": "add", "arguments": {"a": 1}}', [], "stop"),
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_calls_are_told_from_text(name: str) -> None:
    """Whole, in two pieces cut at every character, and in single characters: always the same."""
    text, expected = TEXTS[name]
    cuts = [[text], list(text), *([text[:cut], text[cut:]] for cut in range(1, len(text)))]

    assert [expected] * len(cuts) == [told(read(pieces)) for pieces in cuts]


def test_arguments_stream() -> None:
    """A call begins with its id and name, and its arguments are passed on as they come."""
    parser = ToolParser(plan(), SYNTAXES["hermes"])
    pieces = ["<tool_call>", '\n{"name": "add", ', '"arguments": {"a"', ": 1", "2}", "}\n</tool_call>"]

    said = [parser.feed([piece]) for piece in pieces]

    (first,) = said[2][:1]
    assert isinstance(first, ToolCallDelta)
    assert (0, "add", "") == (first.index, first.name, first.arguments)
    assert first.id is not None
    rest: list[list[Event]] = [[ToolCallDelta(0, arguments=piece)] for piece in ('{"a"', ": 1", "2}")]
    assert [[], [], [first, *rest[0]], *rest[1:], []] == said


def test_text_is_not_held_back_longer_than_it_may_be_a_call() -> None:
    """What cannot become one any more is told at once."""
    parser = ToolParser(plan(), SYNTAXES["hermes"])

    said = [parser.feed([piece]) for piece in ('{"name": "a', "nna", "\n", "<", "b>", "x")]

    assert [[], ['{"name": "anna'], [], [], ["\n<b>"], ["x"]] == said


def test_an_answer_that_is_cut_keeps_its_reason_and_the_piece_of_the_call() -> None:
    """As everywhere: the arguments are then no JSON."""
    answer = read([block()[:45]], end=LENGTH)

    assert ("", [("add", '{"a"')], "length") == told(answer)


@pytest.mark.parametrize("size", [3, 11, 20, 33])
def test_the_head_of_a_call_that_is_cut_is_no_text(size: int) -> None:
    """Nothing can be done with it; what may have been text is."""
    answer = read([block()[:size]], end=LENGTH)

    assert (block()[:size] if size < len("<tool_call>") else "", [], "length") == told(answer)


def test_ids_differ() -> None:
    """Of calls in one answer, and in two."""
    answers = [read([f"{block()}\n{block()}"]).tool_calls for _ in range(2)]

    assert 4 == len({call.id for calls in answers if calls is not None for call in calls.calls})


def test_a_begun_answer_begins_with_no_bare_call() -> None:
    """What is continued may be in the middle of anything; tags are seen at the beginning of a line alone."""
    bare = '{"name": "add", "arguments": {}}'

    assert (bare, [], "stop") == told(read([bare], begun="So: "))
    assert (block(), [], "stop") == told(read([block()], begun="So: "))
    assert ("", [ADD], "tool_calls") == told(read([block()], begun="So:\n"))


def test_a_template_without_tags() -> None:
    """Calls are bare, and a tag is text."""
    bare = '{"name": "add", "parameters": {"a": 1}}'

    assert ("", [ADD], "tool_calls") == told(read(list(bare), style="llama3"))
    assert (block(), [], "stop") == told(read(list(block()), style="llama3"))


def test_other_events_pass() -> None:
    """In their order, but for which of them came together."""
    parser = ToolParser(plan(), SYNTAXES["hermes"])
    probabilities = LogProbs([{"token": "Hi"}])

    said = parser.feed([Extra({}, 2, "openai_chat"), "Hi", probabilities])

    assert ["Hi", probabilities] == said
