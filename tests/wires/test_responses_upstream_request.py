"""Requests to upstreams over the Responses wire: what becomes of each message and field of chat completions; and that a caller
of the same wire is passed on unchanged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autonomousai.errors import StatusError
from autonomousai.request import ChatRequest, OriginalRequest
from autonomousai.wires.openai_responses.upstream_request import FIELDS, write_response_request

Json = dict[str, Any]

ASKED = [{"role": "user", "content": "Hi"}]
HI = {"type": "message", "role": "user", "content": "Hi"}


def written(messages: list[Json] | None = None, *, origin: OriginalRequest | None = None, **fields: Any) -> Json:
    request = ChatRequest("caller's", messages or ASKED, stream=True, fields=fields, origin=origin)
    body: Json = json.loads(write_response_request("m", request))
    return body


def test_a_plain_request() -> None:
    """The upstream is to keep nothing."""
    assert written() == {"input": [HI], "model": "m", "stream": True, "store": False}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM = {"id": "c2", "type": "custom", "custom": {"name": "run", "input": "ls"}}
OLD = {"name": "f", "arguments": "{}"}
URL = "data:image/png;base64,AAAA"

#: what it shows, messages, items
MESSAGES: list[tuple[str, list[Json], list[Json]]] = [
    (
        "roles keep their places",
        [{"role": "system", "content": "s"}, *ASKED, {"role": "developer", "content": "d"}],
        [{**HI, "role": "system", "content": "s"}, HI, {**HI, "role": "developer", "content": "d"}],
    ),
    (
        "parts",
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
                    {"type": "image_url", "image_url": URL},
                    {"type": "file", "file": {"file_data": URL, "filename": "f.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    {"type": "unknown", "x": 1},
                ],
            }
        ],
        [
            {
                **HI,
                "content": [
                    {"type": "input_text", "text": "t"},
                    {"type": "input_image", "image_url": URL, "detail": "low"},
                    {"type": "input_image", "image_url": URL, "detail": "auto"},
                    {"type": "input_file", "file_data": URL, "filename": "f.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    {"type": "unknown", "x": 1},
                ],
            }
        ],
    ),
    (
        "an answer, in text and in parts",
        [*ASKED, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}],
        [
            HI,
            {**HI, "role": "assistant", "content": "a"},
            {**HI, "role": "assistant", "content": "b"},
        ],
    ),
    (
        "a refusal",
        [{"role": "assistant", "content": None, "refusal": "No"}, {"role": "assistant", "content": "a", "refusal": "No"}],
        [
            {**HI, "role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]},
            {
                **HI,
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "No"}],
            },
        ],
    ),
    (
        "calls and their results",
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL, CUSTOM], "reasoning_content": "hm"},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        ],
        [
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "run", "input": "ls"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        ],
    ),
    (
        "a text before its calls",
        [
            {"role": "assistant", "content": "a", "tool_calls": [CALL]},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
        ],
        [
            {**HI, "role": "assistant", "content": "a"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "(no result)"},
            {"type": "function_call", "call_id": "c1_2", "name": "f", "arguments": "{}"},
        ],
    ),
    (
        "a result of no call, and a call without one: OpenAI's server refuses both",
        [
            *ASKED,
            {"role": "tool", "tool_call_id": "lost", "content": "1"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            *ASKED,
        ],
        [
            HI,
            {**HI, "content": "Result of the tool call lost:\n1"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "(no result)"},
            HI,
        ],
    ),
    (
        "marks for a cache, which the API does not know",
        [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "1", "cache_control": {"type": "ephemeral"}}],
                "cache_control": {"type": "ephemeral"},
            },
        ],
        [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "1"}]},
        ],
    ),
    (
        "functions as they were before tools",
        [
            *ASKED,
            {"role": "assistant", "content": None, "function_call": OLD},
            {"role": "function", "name": "f", "content": "1"},
        ],
        [
            HI,
            {"type": "function_call", "call_id": "call_1", **OLD},
            {"type": "function_call_output", "call_id": "call_1", "output": "1"},
        ],
    ),
]


@pytest.mark.parametrize(("says", "messages", "items"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_messages_become_items(says: str, messages: list[Json], items: list[Json]) -> None:
    """What has no place in items, a foreign model's reasoning, is left out."""
    assert written(messages)["input"] == items


FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
FLAT = {"type": "function", **FUNCTION, "strict": False}
SCHEMA = {"name": "n", "schema": {"type": "object"}, "strict": True}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}}
BERLIN = {"type": "approximate", "approximate": {"city": "Berlin"}}

#: the field, its value, what the body has for it
FATES: list[tuple[str, Any, Json]] = [
    ("max_tokens", 9, {"max_output_tokens": 9}),
    ("max_completion_tokens", 9, {"max_output_tokens": 9}),
    ("tools", [{"type": "function", "function": FUNCTION}], {"tools": [FLAT]}),
    ("tools", [{"type": "function", "function": {**FUNCTION, "strict": True}}], {"tools": [{**FLAT, "strict": True}]}),
    (
        "tools",
        [{"function": {"name": "f"}}],
        {"tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}]},
    ),
    ("tools", [FLAT, {"type": "web_search"}], {"tools": [FLAT, {"type": "web_search"}]}),
    (
        "tools",
        [{"type": "custom", "custom": {"name": "run", "format": GRAMMAR}}],
        {
            "tools": [
                {"type": "custom", "name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}}
            ]
        },
    ),
    ("tool_choice", "required", {"tool_choice": "required"}),
    ("tool_choice", "any", {"tool_choice": "required"}),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}, {"tool_choice": {"type": "function", "name": "f"}}),
    ("tool_choice", {"type": "custom", "custom": {"name": "f"}}, {"tool_choice": {"type": "custom", "name": "f"}}),
    (
        "tool_choice",
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}},
    ),
    ("functions", [FUNCTION], {"tools": [FLAT], "parallel_tool_calls": False}),
    ("function_call", "none", {"tool_choice": "none"}),
    ("function_call", {"name": "f"}, {"tool_choice": {"type": "function", "name": "f"}}),
    ("response_format", {"type": "json_object"}, {"text": {"format": {"type": "json_object"}}}),
    (
        "response_format",
        {"type": "json_schema", "json_schema": SCHEMA},
        {"text": {"format": {"type": "json_schema", **SCHEMA}}},
    ),
    ("verbosity", "low", {"text": {"verbosity": "low"}}),
    (
        "reasoning_effort",
        "high",
        {"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
    ),
    ("reasoning_effort", "none", {"reasoning": {"effort": "none"}}),
    ("logprobs", True, {"include": ["message.output_text.logprobs"]}),
    ("logprobs", False, {}),
    ("frequency_penalty", 1, {"frequency_penalty": 1}),
    ("presence_penalty", 1, {"presence_penalty": 1}),
    (
        "web_search_options",
        {"search_context_size": "low", "user_location": BERLIN},
        {
            "tools": [
                {"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "city": "Berlin"}}
            ]
        },
    ),
    ("stream_options", {"include_usage": True}, {}),
    ("seed", 1, {}),
    ("prediction", {"type": "content", "content": "x"}, {}),
    ("stop", [], {}),
    ("n", 1, {}),
    ("logit_bias", {}, {}),
    ("modalities", ["text"], {}),
    ("audio", None, {}),
    # -- what has no row
    ("temperature", 0.5, {"temperature": 0.5}),
    ("parallel_tool_calls", False, {"parallel_tool_calls": False}),
    ("top_k", 5, {"top_k": 5}),
    ("reasoning", {"summary": "auto"}, {"reasoning": {"summary": "auto"}}),
    ("store", True, {"store": True}),
    ("metadata", {"a": "b"}, {"metadata": {"a": "b"}}),
]


@pytest.mark.parametrize(("name", "value", "members"), FATES, ids=[f"{row[0]}-{place}" for place, row in enumerate(FATES)])
def test_fields_become_members(name: str, value: Any, members: Json) -> None:
    """Each field of chat completions has its word here, or none; one that is not known is passed on."""
    assert written(**{name: value}) == {"input": [HI], "model": "m", "stream": True, "store": False} | members


def test_every_row_is_tried() -> None:
    """The table of what becomes of fields has no row without a case."""
    assert {name for name, _, _ in FATES} >= FIELDS.keys()


def test_the_guide_has_every_row() -> None:
    """Word by word."""
    guide = Path(__file__).parents[2] / "docs/guides/responses.md"
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", guide.read_text(encoding="utf-8"), re.MULTILINE)

    assert rows == [(name, rule.fate, rule.says) for name, rule in FIELDS.items()]


REFUSED: list[tuple[str, Any]] = [
    ("stop", "x"),
    ("stop", ["x"]),
    ("n", 2),
    ("logit_bias", {"1": 1}),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "a"}),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_what_would_change_the_answer_and_cannot_be_said_is_refused(name: str, value: Any) -> None:
    """By a 400 that names the field."""
    assert FIELDS[name].fate == "refused"
    with pytest.raises(StatusError) as caught:
        written(**{name: value})

    assert (caught.value.status, caught.value.param) == (400, name)


def test_members_of_one_object_come_together() -> None:
    """Two fields that are one object here, and tools from two fields."""
    body = written(
        verbosity="low", response_format={"type": "text"}, reasoning_effort="low", reasoning={"summary": "auto"},
        tools=[FLAT], web_search_options={},
    )  # fmt: skip

    assert body["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["tools"] == [FLAT, {"type": "web_search"}]


OWN: Json = {
    "model": "theirs",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "reasoning", "encrypted_content": "x"},
    ],
    "include": ["reasoning.encrypted_content"],
    "text": {"verbosity": "low"},
    "unknown": {"deep": [1, None]},
    "stream": False,
    "store": False,
}


def origin(document: Json = OWN, **more: Any) -> OriginalRequest:
    return OriginalRequest("openai_responses", document, **more)


def test_a_caller_of_the_same_wire_is_passed_on_unchanged() -> None:
    """All but the model and whether it is streamed, whatever the messages were made into."""
    assert written([{"role": "user", "content": "other"}], origin=origin(), seed=1) == {**OWN, "model": "m", "stream": True}


def test_what_is_about_the_server_that_was_asked_is_left_out() -> None:
    """The upstream knows no earlier response of this server, and runs nothing in the background."""
    document = {"input": "Hi", "background": True, "previous_response_id": "resp_1", "stream_options": {}}

    assert written(origin=origin(document)) == {"input": "Hi", "model": "m", "stream": True, "store": False}


def test_what_this_server_said_of_other_upstreams_reasoning_is_left_out() -> None:
    """An upstream knows none of our ids; what it encrypted itself, and what is not ours, passes."""
    thoughts = [
        {"type": "reasoning", "id": name, "summary": []} for name in (f"rs_{'0' * 24}_0", f"rs_{'a' * 32}_12", "rs_theirs")
    ]
    encrypted = {**thoughts[0], "encrypted_content": "x"}

    assert [thoughts[2], encrypted, HI] == written(origin=origin({"input": [*thoughts, encrypted, HI]}))["input"]


@pytest.mark.parametrize("store", [True, False, None])
def test_what_the_caller_said_of_keeping_is_passed_on(store: bool | None) -> None:
    """Not said, the upstream keeps nothing."""
    assert written(origin=origin({"input": "Hi", "store": store}))["store"] is bool(store)


def test_changes_of_fields_are_made_in_the_words_of_the_wire() -> None:
    """A limit that was lowered since; what there is no word for is left out."""
    body = written(origin=origin({**OWN, "max_output_tokens": 100}, changes={"max_tokens": 5, "seed": 3, "stop": ["x"]}))

    assert body == {**OWN, "max_output_tokens": 5, "model": "m", "stream": True}


def test_an_answer_that_is_continued_stands_behind_the_input() -> None:
    """As a message of the assistant; an input of text becomes a message."""
    begun = {"type": "message", "role": "assistant", "content": "Be"}

    assert written(origin=origin({"input": "Hi"}, continues="Be"))["input"] == [HI, begun]
    assert written(origin=origin(continues="Be"))["input"] == [*OWN["input"], begun]


def test_the_request_of_another_wire_counts_for_nothing() -> None:
    """Its messages and fields do."""
    foreign = OriginalRequest("anthropic_messages", {"system": "s"})

    assert written(origin=foreign, max_tokens=3)["max_output_tokens"] == 3


def test_tools_of_one_name_are_offered_once_and_without_marks() -> None:
    """No call could say which one it means, and the API refuses members that it does not know."""
    tool = {"type": "function", "function": FUNCTION}
    tools = [{**tool, "cache_control": {"type": "ephemeral"}}, tool, {"type": "web_search"}, {"type": "web_search"}]

    offered = written(ASKED, tools=tools)["tools"]

    assert [FLAT, {"type": "web_search"}, {"type": "web_search"}] == offered
