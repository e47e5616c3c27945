"""What an upstream that speaks the Messages API is asked: from chat completions by tables, and from its own wire unchanged."""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.request import ChatRequest, OriginalRequest
from autonomousai.wires.anthropic_messages.message import DEFAULT_MAX_TOKENS
from autonomousai.wires.anthropic_messages.upstream_request import WRITERS, write_messages_request
from autonomousai.wires.messages import check_messages
from autonomousai.wires.openai_chat.request import ANTHROPIC, CHAT

Json = dict[str, Any]

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
WRITTEN_TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PNG = b64encode(b"png").decode()

#: How such images begin.
JPEG, WEBP = b"\xff\xd8\xff\xe0\x00\x10JFIF", b"RIFF\x24\x00\x00\x00WEBPVP8 "


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


def body(messages: Any = HELLO, stream: bool = False, **fields: Any) -> Json:
    written: Json = json.loads(write_messages_request(ChatRequest("x", messages, stream, fields=fields), "m"))
    return written


def test_a_request_is_the_apis() -> None:
    """With a longest answer, which the API wants."""
    assert {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "stream": True,
        "max_tokens": DEFAULT_MAX_TOKENS,
    } == body(stream=True)


THINKING = {"thinking": {"type": "adaptive"}}

#: Fields of chat completions, and what they are in the API; the longest answer aside where it is the usual one.
FIELDS: list[tuple[Json, Json]] = [
    ({"max_tokens": 5}, {"max_tokens": 5}),
    ({"max_completion_tokens": 6}, {"max_tokens": 6}),
    ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}),
    ({"temperature": 1.7}, {"temperature": 1}),
    ({"stop": "END"}, {"stop_sequences": ["END"]}),
    ({"stop": ["\n", "END"]}, {"stop_sequences": ["END"]}),
    ({"stop": ["\n"]}, {}),
    ({"user": "u"}, {"metadata": {"user_id": "u"}}),
    ({"user": "ann@example.com"}, {"metadata": {"user_id": sha256(b"ann@example.com").hexdigest()}}),
    ({"safety_identifier": "+1 (555) 123-4567"}, {"metadata": {"user_id": sha256(b"+1 (555) 123-4567").hexdigest()}}),
    ({"metadata": {"user_id": "x" * 257}}, {"metadata": {"user_id": sha256(b"x" * 257).hexdigest()}}),
    ({"user": "550e8400-e29b-41d4-a716-446655440000"}, {"metadata": {"user_id": "550e8400-e29b-41d4-a716-446655440000"}}),
    ({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "u"}}),
    ({"safety_identifier": "s", "metadata": {"a": "b"}}, {"metadata": {"user_id": "s"}}),
    ({"metadata": {"user_id": "u", "a": "b"}}, {"metadata": {"user_id": "u"}}),
    ({"service_tier": "default"}, {"service_tier": "standard_only"}),
    ({"service_tier": "flex"}, {}),
    ({"reasoning_effort": "minimal"}, {**THINKING, "output_config": {"effort": "low"}}),
    ({"reasoning_effort": "high"}, {**THINKING, "output_config": {"effort": "high"}}),
    ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, {**THINKING, "output_config": {"effort": "low"}}),
    ({"reasoning_effort": "low", "temperature": 0, "top_k": 1, "top_p": 0.5}, {**THINKING, "output_config": {"effort": "low"}}),
    (
        {"reasoning_effort": "low", "thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 3000},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}, "max_tokens": 3000},
    ),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 20000}},
        {"thinking": {"type": "enabled", "budget_tokens": 20000}, "max_tokens": 20000 + DEFAULT_MAX_TOKENS},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, "reasoning_effort": "low"},
        {**THINKING, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}},
    ),
    ({"response_format": {"type": "json_object"}}, {}),
    ({"response_format": {"type": "text"}}, {}),
    ({"tools": [TOOL]}, {"tools": [WRITTEN_TOOL]}),
    ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "auto"}}),
    ({"tools": [TOOL, {"type": "x"}, TOOL, {"type": "x"}]}, {"tools": [WRITTEN_TOOL, {"type": "x"}, {"type": "x"}]}),
    ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "any"}}),
    (
        {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False},
        {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "none"}},
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "tool", "name": "f"}},
    ),
    (
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    (
        {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": "required"},
        {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    ),
    ({"tools": [TOOL], "parallel_tool_calls": True}, {"tools": [WRITTEN_TOOL]}),
    (
        {
            "tools": [TOOL, {"type": "function", "function": {"name": "g"}}],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        },
        {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "any"}},
    ),
    ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": False}, {}),
    (
        {"tools": [{"type": "function", "function": {"name": "g", "parameters": {"properties": {}}, "strict": True}}]},
        {"tools": [{"name": "g", "input_schema": {"type": "object", "properties": {}}, "strict": True}]},
    ),
    (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    (
        {"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]},
        {"tools": [{**WRITTEN_TOOL, "cache_control": {"type": "ephemeral"}}]},
    ),
    (
        {"functions": [{"name": "f", "description": "d", "parameters": SCHEMA}], "function_call": {"name": "f"}},
        {
            "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        },
    ),
    (
        {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "high"},
        {"tools": [WRITTEN_TOOL], "tool_choice": {"type": "any"}, "output_config": {"effort": "high"}},
    ),
    ({"n": 1, "logprobs": False, "seed": 3, "presence_penalty": 1, "verbosity": "low"}, {}),
    ({"container": "c", "context_management": {"edits": []}}, {"container": "c", "context_management": {"edits": []}}),
    ({"temperature": None, "model": "y", "stream": True}, {}),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_each_field_is_carried_by_the_table(fields: Json, expected: Json) -> None:
    """What it is there, and nothing besides."""
    written = body(**{name: value for name, value in fields.items() if name not in ("model", "stream")})

    assert {"max_tokens": DEFAULT_MAX_TOKENS, **expected} == {
        name: value for name, value in written.items() if name not in ("model", "messages", "stream")
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
    ],
)
def test_what_cannot_come_is_refused_by_name(fields: Json) -> None:
    """With the code at which a gateway asks the next upstream."""
    with pytest.raises(StatusError) as caught:
        body(**fields)

    assert (400, "unsupported_parameter", next(iter(fields))) == (caught.value.status, caught.value.code, caught.value.param)


def test_the_table_and_the_writers_name_the_same_fields() -> None:
    """Each field of chat completions that the table carries is written; each row is one of a field that there is."""
    carried = {name for name, use in ANTHROPIC.items() if use.what == "honoured"}

    assert carried == WRITERS.keys() | {"model", "messages", "stream"}
    assert CHAT.rows.keys() >= ANTHROPIC.keys()
    assert all(CHAT.rows[name].uses["anthropic"] is use for name, use in ANTHROPIC.items())


# ---- messages


def say(role: str, content: Any, **more: Any) -> Json:
    return {"role": role, "content": content, **more}


def text(said: str) -> Json:
    return {"type": "text", "text": said}


def call(call_id: str, arguments: str = "{}", name: str = "f") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def use(call_id: str, value: Any = None, name: str = "f") -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": value or {}}


def result(call_id: str, content: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


MARK = {"cache_control": {"type": "ephemeral"}}

#: Messages of chat completions, and those of the API; a system prompt is the first of a pair.
MESSAGES: dict[str, tuple[list[Json], Any, list[Json]]] = {
    "a system message": (
        [say("system", "Be brief"), *HELLO],
        "Be brief",
        [say("user", [text("Hello")])],
    ),
    "several, anywhere": (
        [say("system", "a"), *HELLO, say("developer", [text("b"), {**text("c"), **MARK}])],
        [text("a"), text("b"), {**text("c"), **MARK}],
        [say("user", [text("Hello")])],
    ),
    "system messages alone": ([say("system", "a")], None, [say("user", [text("a")])]),
    "the same role twice": (
        [say("user", "a"), say("user", "b"), say("assistant", "c"), say("assistant", "d"), say("user", "e")],
        None,
        [say("user", [text("a"), text("b")]), say("assistant", [text("c"), text("d")]), say("user", [text("e")])],
    ),
    "empty text": (
        [say("user", "a"), say("assistant", ""), say("user", [text(""), text("b"), text(" ")])],
        None,
        [say("user", [text("a"), text("b")])],
    ),
    "a turn of tools": (
        [
            say("user", "a"),
            say("assistant", None, tool_calls=[call("c1", '{"x": 1}'), call("c2")]),
            say("tool", "one", tool_call_id="c1"),
            say("tool", [text("two"), text("three")], tool_call_id="c2"),
            say("user", "and?"),
        ],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [use("c1", {"x": 1}), use("c2")]),
            say("user", [result("c1", "one"), result("c2", [text("two"), text("three")]), text("and?")]),
        ],
    ),
    "text before calls, and a result of nothing": (
        [say("user", "a"), say("assistant", "hm ", tool_calls=[call("c1")]), say("tool", "", tool_call_id="c1")],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [text("hm "), use("c1")]),
            say("user", [{"type": "tool_result", "tool_use_id": "c1"}]),
        ],
    ),
    "arguments that are no object": (
        [
            say("user", "a"),
            say("assistant", None, tool_calls=[call("c1", "{x"), call("c2", "[1]"), call("c3", " ")]),
            say("tool", "1", tool_call_id="c3"),
        ],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [use("c1", {"INVALID_JSON": "{x"}), use("c2", {"INVALID_JSON": "[1]"}), use("c3")]),
            say("user", [result("c3", "1"), result("c1", "(no result)"), result("c2", "(no result)")]),
        ],
    ),
    "results stand behind their calls": (
        [
            say("user", "a"),
            say("assistant", None, tool_calls=[call("c1")]),
            say("user", "b"),
            say("tool", "1", tool_call_id="c1"),
            say("tool", "2", tool_call_id="c9"),
        ],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [use("c1")]),
            say("user", [result("c1", "1"), text("b"), text("Result of the tool call c9:\n2")]),
        ],
    ),
    "ids of other vendors": (
        [
            say("user", "a"),
            say("assistant", None, tool_calls=[call("call:f.0"), call("call_f_0"), call("functions.f:0")]),
            say("tool", "1", tool_call_id="call:f.0"),
            say("tool", "2", tool_call_id="call_f_0"),
            say("tool", "3", tool_call_id="functions.f:0"),
        ],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [use("call_f_0"), use("call_f_0_"), use("functions.f:0")]),
            say("user", [result("call_f_0", "1"), result("call_f_0_", "2"), result("functions.f:0", "3")]),
        ],
    ),
    "the older form of calls": (
        [
            say("user", "a"),
            say("assistant", None, function_call={"name": "f", "arguments": "{}"}),
            say("function", "1", name="f"),
        ],
        None,
        [say("user", [text("a")]), say("assistant", [use("call_f_0")]), say("user", [result("call_f_0", "1")])],
    ),
    "images": (
        [
            say(
                "user",
                [
                    {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{PNG}", "detail": "low"}, **MARK},
                    {"type": "image_url", "image_url": "https://example.org/a.png"},
                ],
            )
        ],
        None,
        [
            say(
                "user",
                [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}, **MARK},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                ],
            )
        ],
    ),
    "an image of a tool": (
        [
            say("user", "a"),
            say("assistant", None, tool_calls=[call("c1")]),
            say("tool", [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}], tool_call_id="c1"),
        ],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [use("c1")]),
            say(
                "user",
                [result("c1", [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}])],
            ),
        ],
    ),
    "documents": (
        [
            say(
                "user",
                [
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}},
                    {"type": "file", "file": {"file_data": PNG}},
                    {"type": "file", "file": {"file_id": "f1"}},
                    {"type": "file", "file": {"file_data": "data:text/plain,a%20b"}},
                    {"type": "file", "file": {"file_url": "https://a.example/b.pdf"}},
                    {"type": "file", "file": {"filename": "b.pdf", "file_data": "https://a.example/b.pdf"}},
                ],
            )
        ],
        None,
        [
            say(
                "user",
                [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
                        "title": "a.pdf",
                    },
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
                    {"type": "document", "source": {"type": "file", "file_id": "f1"}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a b"}},
                    {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
                    {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}, "title": "b.pdf"},
                ],
            )
        ],
    ),
    "an image under the name of another kind, which the API refuses": (
        [
            say(
                "user",
                [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + encoded(JPEG)}},
                    {"type": "image_url", "image_url": {"url": "data:application/octet-stream;base64," + encoded(WEBP)}},
                    {"type": "file", "file": {"file_data": "data:application/octet-stream;base64," + encoded(b"%PDF-1.7")}},
                ],
            )
        ],
        None,
        [
            say(
                "user",
                [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": encoded(JPEG)}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": encoded(WEBP)}},
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": encoded(b"%PDF-1.7")},
                    },
                ],
            )
        ],
    ),
    "an empty last message: without it, the answer before it would be continued": (
        [say("user", "a"), say("assistant", "b"), say("user", " ")],
        None,
        [say("user", [text("a")]), say("assistant", [text("b")]), say("user", [text("(no content)")])],
    ),
    "nothing but an empty message": (
        [say("system", "s"), say("user", "")],
        "s",
        [say("user", [text("(no content)")])],
    ),
    "an empty message among others": (
        [say("user", "a"), say("user", ""), say("assistant", "b"), say("user", ""), say("user", "c")],
        None,
        [say("user", [text("a")]), say("assistant", [text("b")]), say("user", [text("c")])],
    ),
    "parts of the API's own": (
        [say("user", [{"type": "search_result", "source": "s"}])],
        None,
        [say("user", [{"type": "search_result", "source": "s"}])],
    ),
    "a refusal, and thinking that was kept": (
        [
            say("user", "a"),
            say("assistant", None, refusal="no", thinking_blocks=[{"type": "thinking", "thinking": "h", "signature": "s"}]),
            say("user", "b"),
        ],
        None,
        [
            say("user", [text("a")]),
            say("assistant", [{"type": "thinking", "thinking": "h", "signature": "s"}, text("no")]),
            say("user", [text("b")]),
        ],
    ),
    "white space at the end of a beginning": (
        [say("user", "a"), say("assistant", [text("b \n"), text(" \n")])],
        None,
        [say("user", [text("a")]), say("assistant", [text("b")])],
    ),
    "a mark on a message": (
        [say("user", "a", **MARK), say("assistant", "b"), say("user", "c", name="Ann")],
        None,
        [say("user", [{**text("a"), **MARK}]), say("assistant", [text("b")]), say("user", [text("c")])],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_the_apis(name: str) -> None:
    """Blocks, in order, with their cache marks."""
    given_messages, system, expected = MESSAGES[name]

    written = body(given_messages)

    assert (system, expected) == (written.get("system"), written["messages"])


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "unsupported_parameter"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,a"}}, "invalid_base64"),
        ({"type": "file", "file": {"filename": "x"}}, "missing"),
    ],
)
def test_a_part_that_cannot_be_sent_is_named(part: Json, code: str) -> None:
    """By its place."""
    with pytest.raises(StatusError) as caught:
        body([say("user", [text("a"), part])])

    assert code == caught.value.code
    assert (caught.value.param or "").startswith("messages[0].content[1]")


def test_messages_are_checked() -> None:
    """As by every client."""
    with pytest.raises(InvalidMessagesError):
        body([])


def test_calls_without_tools_get_them() -> None:
    """The API wants the tools that were called, and calls none of them."""
    written = body([*HELLO, say("assistant", None, tool_calls=[call("c1")]), say("tool", "1", tool_call_id="c1")])

    assert [{"name": "f", "input_schema": {"type": "object", "properties": {}}}] == written["tools"]
    assert {"type": "none"} == written["tool_choice"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda value: st.lists(value, max_size=2) | st.dictionaries(st.text(max_size=4), value, max_size=3),
    max_leaves=5,
)


@given(fields=st.dictionaries(st.sampled_from(sorted(CHAT.rows.keys() - {"model", "messages", "stream"})), VALUES, max_size=4))
def test_no_fields_raise_anything_but_what_names_them(fields: Json) -> None:
    """Whatever they hold."""
    try:
        body(**fields)
        refused = None
    except StatusError as error:
        refused = error

    assert refused is None or (refused.status == 400 and refused.param)


# ---- over the same wire

ORIGINAL: Json = {
    "model": "theirs",
    "max_tokens": 100,
    "system": [{**text("s"), **MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "document", "source": {}, **MARK}, text("a"), {"type": "new", "x": None}]}
    ],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "temperature": 0.3,
    "metadata": {"user_id": None},
    "unknown": {"x": [1, None]},
}


def original(request: ChatRequest) -> str:
    return write_messages_request(request, "m").decode()


def asked(**more: Any) -> ChatRequest:
    origin = OriginalRequest("anthropic_messages", {**ORIGINAL, **more})
    return ChatRequest("x", HELLO, True, fields={"max_tokens": 100}, origin=origin)


def test_a_request_of_the_same_wire_goes_as_it_came() -> None:
    """But for the model, and whether it is streamed; members stay in their order."""
    expected = {**ORIGINAL, "model": "m", "stream": True}

    assert json.dumps(expected, separators=(",", ":")) == original(asked())


def test_ids_of_calls_that_another_upstream_drew_are_such_as_the_api_takes() -> None:
    """A call and its result alike; all else goes as it came."""

    def messages(id: str) -> list[Any]:
        return [
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}, "x": 1}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": id, "content": "1"}, {"type": "text", "text": "a"}],
            },
            {"role": "assistant", "content": "b"},
        ]

    written = json.loads(original(asked(messages=messages("call:f|0"))))

    assert messages("call_f_0") == written["messages"]


def test_ids_of_kimi_stay_as_they_are() -> None:
    """A server of that model finds the function in them; for Anthropic they are another form, where it refuses them."""
    use = {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "functions.f:0", "content": "1"}
    messages = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]

    assert messages == json.loads(original(asked(messages=messages)))["messages"]


def test_an_id_that_another_upstream_drew_in_each_turn_is_each_calls_own() -> None:
    """The API refuses the second; a result stays with the call of its turn, and the caller's request as it is."""

    def messages(*ids: str) -> list[Any]:
        return [
            message
            for drawn in ids
            for message in (
                {"role": "assistant", "content": [{"type": "tool_use", "id": drawn, "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": drawn, "content": "1"}]},
            )
        ]

    given = messages("call_0", "call_0", "b", "call_0")

    written = json.loads(original(asked(messages=given)))

    assert messages("call_0", "call_0_2", "b", "call_0_3") == written["messages"]
    assert messages("call_0", "call_0", "b", "call_0") == given


def test_what_was_changed_since_is_changed() -> None:
    """By the names of chat completions; what the API has no word for is left out."""
    written = json.loads(original(asked().with_fields(max_tokens=7, seed=3)))

    assert {**ORIGINAL, "model": "m", "stream": True, "max_tokens": 7} == written


def test_its_answer_can_be_continued() -> None:
    """From a last message of the assistant, and without thinking, which cannot begin in the midst of a text."""
    written = json.loads(original(asked().continued("The sky")))

    assert {"role": "assistant", "content": "The sky"} == written["messages"][-1]
    assert "thinking" not in written


@pytest.mark.parametrize(
    ("begun", "expected"),
    [("I say", "I say that"), ([text("I say")], [text("I say"), text(" that")])],
)
def test_a_beginning_that_the_caller_wrote_stays_before_ours(begun: Any, expected: Any) -> None:
    """They are one message."""
    messages = [*ORIGINAL["messages"], {"role": "assistant", "content": begun}]

    written = json.loads(original(asked(messages=messages).continued(" that")))

    assert [*ORIGINAL["messages"], {"role": "assistant", "content": expected}] == written["messages"]


def test_a_request_of_another_wire_is_translated() -> None:
    """By its messages and fields."""
    request = ChatRequest("x", HELLO, origin=OriginalRequest("openai_responses", {"input": "no"}))

    assert body() == json.loads(original(request))


def test_the_messages_of_a_request_stay_as_they_are() -> None:
    """Another upstream may be asked with them, which takes the names of results."""
    messages = check_messages(
        [
            say("user", "a"),
            say("assistant", None, tool_calls=[call("c")]),
            {"role": "tool", "tool_call_id": "c", "name": "f", "content": "r"},
        ]
    )
    before = copy.deepcopy(list(messages))
    write_messages_request(ChatRequest("m", messages), "m")

    assert before == list(messages)


PLAIN = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "assistant"]),
            "content": st.sampled_from(["a", "", " ", "b ", "\n c", "ä"]),
        }
    ),
    min_size=1,
    max_size=5,
)


@given(PLAIN, st.sampled_from([{}, {"tool_choice": "auto"}, {"reasoning_effort": "low", "temperature": 0.5}]))
def test_a_conversation_of_text_alone_is_written_like_any(messages: list[Json], fields: Json) -> None:
    """It has no parts and no calls to look for: what is written is the same."""
    plain, other = check_messages(messages), check_messages(messages)
    other.plain = False  # type: ignore[attr-defined]

    assert body(plain, **fields) == body(other, **fields)
