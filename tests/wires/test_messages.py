"""The check of messages: what may be sent passes unchanged, anything else is an error that names the message and the field."""

from __future__ import annotations

import copy
import enum
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError
from autonomousai.wires import messages as checks
from autonomousai.wires.json import MAX_DEPTH
from autonomousai.wires.messages import check_messages, find_part, has_images
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES

HELLO = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


ACCEPTED: list[dict[str, Any]] = [
    *({"role": role, "content": "text"} for role in ("system", "developer", "user", "assistant")),
    {"role": "user", "content": ""},
    {"role": "user", "content": "日本語 العربية 😀 \u0000 \u2028 lone \" quotes '"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
    {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]},
    {"role": "user", "content": [{"type": "input_audio", "input_audio": "AA"}, {"type": "file", "file_id": "f"}]},
    {
        "role": "user",
        "content": [{"type": "video_url", "video_url": {"url": "https://x"}}, {"type": "thinking", "thinking": []}],
    },
    {"role": "critic", "content": "a", "x": 1},
    {"role": "critic"},
    {"role": "critic", "content": [{"type": "text", "text": "a"}, {"type": "new"}]},
    {"role": "assistant", "audio": {"id": "audio_1"}},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}],
    },
    {"role": "user", "content": "a", "name": "ann", "x_unknown": {"kept": [1, 2.5, True, None]}},
    {"role": "assistant", "content": "a", "reasoning_content": "b", "refusal": None, "tool_calls": None},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]},
    {"role": "assistant", "content": "a", "tool_calls": []},
    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "assistant", "content": None, "refusal": "no"},
    {"role": "tool", "tool_call_id": "c1", "content": "result"},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "result"}]},
    {"role": "function", "name": "f", "content": "result"},
    {"role": "user", "content": "a", "deep": nested(MAX_DEPTH)},
]


@pytest.mark.parametrize("message", ACCEPTED, ids=lambda message: json.dumps(message)[:60])
def test_passes_what_may_be_sent(message: dict[str, Any]) -> None:
    """Equal, in a new dict, with all its keys; the caller's own is untouched."""
    before = copy.deepcopy(message)

    checked = check_messages([HELLO, message])

    assert [HELLO, before] == checked
    assert before == message
    assert checked[1] is not message


def test_keeps_history_in_order() -> None:
    """System, questions and answers."""
    history = [{"role": "system", "content": "s"}, *({"role": "user", "content": str(n)} for n in range(200))]

    assert history == check_messages(tuple(history))


def test_takes_values_of_any_enum() -> None:
    """Its member's value counts, wherever it stands."""

    class Word(enum.Enum):
        USER = "user"
        TEXT = "text"

    @dataclass
    class Own:
        role: Word
        content: Any

    part = {"type": Word.TEXT, "text": "Hi"}

    assert [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}] == check_messages([Own(Word.USER, [part])])
    assert [{"role": "user", "content": "text"}] == check_messages([{"role": Word.USER, "content": Word.TEXT}])


def test_halves_of_a_character_that_stand_together_are_one() -> None:
    """As programs write text that count in UTF-16; wherever it stands."""
    parts = [{"type": "text", "text": "\ud83d\ude00"}]

    assert [{"role": "user", "content": "a😀"}] == check_messages([{"role": "user", "content": "a\ud83d\ude00"}])
    assert "😀" == check_messages([{"role": "user", "content": parts}])[0]["content"][0]["text"]


def test_takes_mappings_and_tuples() -> None:
    """They become dicts and lists."""
    checked = check_messages((MappingProxyType(HELLO), {"role": "user", "content": (MappingProxyType(IMAGE),)}))

    assert [HELLO, {"role": "user", "content": [IMAGE]}] == checked
    assert [dict, dict] == [type(message) for message in checked]


def test_takes_roles_from_an_enum() -> None:
    """A string enum's members are strings."""

    class Role(enum.StrEnum):
        USER = "user"

    assert [HELLO] == check_messages([{"role": Role.USER, "content": "Hello"}])


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (None, "messages: must be a list, not null"),
        ("Hello", "messages: must be a list, not text"),
        (HELLO, "messages: must be a list, not an object"),
        (iter([HELLO]), "messages: must be a list, not list_iterator"),
        ([], "messages: the list is empty"),
        ((), "messages: the list is empty"),
    ],
)
def test_refuses_what_is_no_list(messages: Any, said: str) -> None:
    """And shows what one looks like."""
    with pytest.raises(InvalidMessagesError) as caught:
        check_messages(messages)

    assert f'{said}; pass a list such as [{{"role": "user", "content": "Hello"}}]' == str(caught.value)
    assert (None, None, "messages") == (caught.value.index, caught.value.field, caught.value.param)


ITSELF: dict[str, Any] = {"role": "user", "content": "a"}
ITSELF["x"] = [ITSELF, ITSELF]


def content(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def calls(*tool_calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(tool_calls)}


PICTURE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
MARK = {"cache_control": {"type": "ephemeral"}}

#: What programs write, and the usual form of it.
BROUGHT_INTO_FORM: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no parts": (content(), {"role": "user", "content": ""}),
    "no parts beside calls, as Cursor sends it": ({**calls(CALL), "content": []}, calls(CALL)),
    "no parts of a result": (
        {"role": "tool", "tool_call_id": "c", "content": []},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ),
    "a result of null": (
        {"role": "tool", "tool_call_id": "c", "content": None},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ),
    "a result without content": ({"role": "tool", "tool_call_id": "c"}, {"role": "tool", "tool_call_id": "c", "content": ""}),
    "an answer of null": ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
    "an answer without content": ({"role": "assistant"}, {"role": "assistant", "content": ""}),
    "an answer that was broken off while it thought": (
        {"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": []},
        {"role": "assistant", "content": "", "reasoning_content": "Hm", "tool_calls": []},
    ),
    "a text among parts, as LangChain has it": (content("a", IMAGE), content({"type": "text", "text": "a"}, IMAGE)),
    "texts of the Responses API": (
        content({"type": "input_text", "text": "a", **MARK}, {"type": "output_text", "text": "b"}),
        content({"type": "text", "text": "a", **MARK}, {"type": "text", "text": "b"}),
    ),
    "an image of the Responses API": (
        content({"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}),
        content({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}),
    ),
    "an image of the Messages API": (
        content({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}, **MARK}),
        content({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, **MARK}),
    ),
    "its address": (content({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}), content(PICTURE)),
    "an image of Hugging Face": (
        content({"type": "image", "image": "https://x/y.png"}, {"type": "image", "url": "https://x/y.png"}),
        content(PICTURE, PICTURE),
    ),
    "a file of the Responses API": (
        content({"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf", "file_id": None}),
        content({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}),
    ),
    "a call whose type was lost": (calls({**CALL, "type": None}, {**CALL, "type": ""}), calls(CALL, CALL)),
    "a call without arguments": (
        calls({**CALL, "function": {"name": "f"}}, {**CALL, "function": {"name": "f", "arguments": None}}),
        calls(CALL, CALL),
    ),
    "a call with a text of nothing as arguments": (
        calls({**CALL, "function": {"name": "f", "arguments": ""}}, {**CALL, "function": {"name": "f", "arguments": " "}}),
        calls(CALL, CALL),
    ),
    "arguments in an object": (
        calls({**CALL, "function": {"name": "f", "arguments": {"a": [1]}}}),
        calls({**CALL, "function": {"name": "f", "arguments": '{"a":[1]}'}}),
    ),
    **{
        f"a result that is {json.dumps(value)}": (
            {"role": "tool", "tool_call_id": "c", "content": value},
            {"role": "tool", "tool_call_id": "c", "content": text},
        )
        for value, text in (
            (42, "42"),
            (1.5, "1.5"),
            (True, "true"),
            ([1, 2], "[1,2]"),
            ([{"a": 1}], '[{"a":1}]'),
            ([None], "[null]"),
            ([["a"]], '[["a"]]'),
        )
    },
    "the older form of a call": (
        {"role": "assistant", "content": None, "function_call": {"name": "f"}},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    ),
}


@pytest.mark.parametrize(("message", "usual"), BROUGHT_INTO_FORM.values(), ids=BROUGHT_INTO_FORM)
def test_what_can_mean_one_thing_alone_is_brought_into_form(message: dict[str, Any], usual: dict[str, Any]) -> None:
    """The caller's own message stays as it is."""
    before = copy.deepcopy(message)

    assert [HELLO, usual] == check_messages([HELLO, message])
    assert before == message


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text"},
        {"type": "input_image", "file_id": "f"},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "image", "image": "cat.png"},
        {"type": "input_file", "file_url": "https://x"},
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_part_of_another_api_that_has_no_other_form_passes(part: dict[str, Any]) -> None:
    """For the upstream to judge."""
    assert [content(part)] == check_messages([content(part)])


REFUSED: list[tuple[Any, str | None, str]] = [
    ("Hello", None, 'must be an object such as {"role": "user", "content": "Hello"}, not text'),
    (None, None, "not null"),
    ([HELLO], None, "not a list"),
    ({}, "role", "is missing; use one of system, developer, user, assistant, tool, function"),
    ({"role": None, "content": "a"}, "role", "is null"),
    ({"role": 1, "content": "a"}, "role", "is a number"),
    ({"role": ["user"], "content": "a"}, "role", "is a list"),
    ({"role": "", "content": "a"}, "role", "is empty"),
    ({"role": "critic", "content": 5}, "content", "must be text or a list of parts, not a number"),
    ({"role": "critic", "content": [{}]}, "content[0].type", "is missing"),
    ({"role": "user"}, "content", "is missing"),
    ({"role": "user", "content": None}, "content", "is null"),
    ({"role": "user", "content": None, "tool_calls": [CALL]}, "content", "is null"),
    ({"role": "system", "content": None}, "content", "only an assistant's message or a tool's may have none"),
    ({"role": "user", "content": 5}, "content", "must be text or a list of parts, not a number"),
    ({"role": "user", "content": True}, "content", "not a boolean"),
    ({"role": "user", "content": {"text": "a"}}, "content", "not an object"),
    ({"role": "user", "content": b"a"}, "content", "not bytes"),
    (content(7), "content[0]", "not a number"),
    (content({"text": "a"}), "content[0].type", "is missing; give one such as text or image_url"),
    (content({"type": "text", "text": "a"}, {"type": ""}), "content[1].type", "is empty"),
    (content({"type": 3}), "content[0].type", "is a number"),
    (content({"type": "text"}), "content[0].text", "must be text, not null"),
    (content({"type": "text", "text": 5}), "content[0].text", "must be text, not a number"),
    (content({"type": "image_url"}), "content[0].image_url", "must be an object, not null"),
    (content({"type": "image_url", "image_url": 5}), "content[0].image_url", "must be an object, not a number"),
    (content({"type": "image_url", "image_url": ""}), "content[0].image_url.url", "must be the image's address"),
    (content({"type": "image_url", "image_url": {}}), "content[0].image_url.url", "must be the image's address"),
    (content({"type": "image_url", "image_url": {"url": ""}}), "content[0].image_url.url", "must be the image's address"),
    (content({"type": "image_url", "image_url": {"url": 1}}), "content[0].image_url.url", "must be the image's address"),
    ({"role": "tool", "content": "a"}, "tool_call_id", "is missing; give the id of the call"),
    ({"role": "tool", "content": "a", "tool_call_id": ""}, "tool_call_id", "is missing"),
    ({"role": "tool", "content": "a", "tool_call_id": 7}, "tool_call_id", "not a number"),
    ({"role": "function", "content": "a"}, "name", "must be text that is not empty"),
    ({"role": "assistant", "content": None, "refusal": {"no": 1}}, "refusal", "must be text, not an object"),
    ({"role": "assistant", "content": "a", "tool_calls": "f"}, "tool_calls", "must be a list, not text"),
    ({"role": "assistant", "content": "a", "tool_calls": ""}, "tool_calls", "must be a list, not text"),
    (calls("f"), "tool_calls[0]", "must be an object"),
    (calls(CALL, {**CALL, "type": 7}), "tool_calls[1].type", 'must be text such as "function", not a number'),
    (calls({**CALL, "id": 7}), "tool_calls[0].id", "must be text, not a number"),
    (calls({"id": "c"}), "tool_calls[0].function", "must be an object with name and arguments, not null"),
    (calls({**CALL, "function": {"arguments": ""}}), "tool_calls[0].function.name", "must be text"),
    (calls({**CALL, "function": {"name": "f", "arguments": []}}), "tool_calls[0].function.arguments", "not a list"),
    ({"role": "assistant", "content": "a", "function_call": "f"}, "function_call", "must be an object"),
    (
        {"role": "assistant", "content": "a", "function_call": {"name": "f", "arguments": 1}},
        "function_call.arguments",
        "as JSON text",
    ),
    ({"role": "user", "content": "a\ud83d"}, "content", "half a character (a lone surrogate)"),
    (
        content({"type": "text", "text": "a\ud83d"}),
        "content",
        "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')",
    ),
    ({"role": "user", "content": "a", "x": {"\udc00": 1}}, "x", "half a character"),
    ({"role": "user", "content": "a", "\udc00": 1}, "?", "half a character"),
    ({"role": "user", "content": "a", 5: 1}, None, "its keys must be text; one is a number"),
    ({"role": "user", "content": "a", "x": nested(MAX_DEPTH + 1)}, "x", "is nested deeper than 64 levels"),
    ({"role": "user", "content": "a", "x": nested(50_000)}, "x", "is nested deeper than 64 levels"),
    (ITSELF, "x", "is nested deeper than 64 levels, or holds itself"),
    ({"role": "user", "content": "a", "x": object()}, "x", "cannot be written as JSON"),
    ({"role": "user", "content": [MappingProxyType({})]}, "content[0].type", "is missing"),
]


@pytest.mark.parametrize(("message", "field", "said"), REFUSED, ids=[f"{n}-{row[1]}" for n, row in enumerate(REFUSED)])
def test_refuses_what_cannot_be_sent(message: Any, field: str | None, said: str) -> None:
    """Naming the message's index and the field, and what would do instead."""
    with pytest.raises(InvalidMessagesError) as caught:
        check_messages([HELLO, message])

    assert (1, field) == (caught.value.index, caught.value.field)
    assert said in str(caught.value)
    assert len(str(caught.value).encode()) < 300


TOOL_USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
TEXT = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"role": "assistant", "content": [TEXT, TOOL_USE]},
            [{"role": "assistant", "content": [TEXT], "tool_calls": [CALLED]}],
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"}, TOOL_USE]},
            [
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "Hm",
                    "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}],
                    "tool_calls": [CALLED],
                }
            ],
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": ""}, TEXT]},
            [{"role": "assistant", "content": [TEXT], "reasoning_content": "Hm"}],
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": [TEXT]}, TEXT]},
            [{"role": "assistant", "content": [{"type": "thinking", "thinking": [TEXT]}, TEXT]}],
        ),
        (
            {"role": "assistant", "content": [{**TOOL_USE, "id": "", "input": None}]},
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "call_1_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                }
            ],
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}, TEXT]},
            [{"role": "tool", "tool_call_id": "c1", "content": "r"}, {"role": "user", "content": [TEXT]}],
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [TEXT, TEXT, IMAGE]},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "r", "is_error": True},
                    {"type": "tool_result", "tool_use_id": "c3"},
                ],
            },
            [
                {"role": "tool", "tool_call_id": "c1", "content": "a\n\na"},
                {"role": "tool", "tool_call_id": "c2", "content": "Error: r"},
                {"role": "tool", "tool_call_id": "c3", "content": ""},
                {"role": "user", "content": [IMAGE]},
            ],
        ),
    ],
)
def test_calls_and_results_of_the_messages_api_are_those_of_chat(given: Any, expected: list[Any]) -> None:
    """Cursor writes them in requests of chat completions."""
    assert [HELLO, *expected] == check_messages([HELLO, given])


def test_a_block_that_is_malformed_is_named_at_its_message() -> None:
    """By the index that the caller knows, whatever stands before it."""
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}, TEXT]}
    with pytest.raises(InvalidMessagesError) as caught:
        check_messages([result, {"role": "assistant", "content": [{"type": "tool_use", "id": "c"}]}])

    assert (1, "tool_calls[0].function.name") == (caught.value.index, caught.value.field)


def test_a_result_that_is_an_object_is_its_json() -> None:
    """What a tool returned, as it is."""
    (message,) = check_messages([{"role": "tool", "tool_call_id": "c", "content": {"ok": True}}])

    assert '{"ok":true}' == message["content"]


def test_a_long_text_passes() -> None:
    """1 MB in any script."""
    text = "日本語 😀 " * 130_000

    assert text == check_messages([{"role": "user", "content": text}])[0]["content"]


def test_an_error_never_holds_the_prompt() -> None:
    """Neither a good nor a bad one."""
    with pytest.raises(InvalidMessagesError) as caught:
        check_messages([{"role": "user", "content": {"secret prompt": 1}}])

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "index"),
    [
        ([HELLO], None),
        ([HELLO, content({"type": "text", "text": "data:image/png"})], None),
        ([HELLO, content({"type": "text", "text": "a"}, IMAGE), content(IMAGE)], 1),
        ([calls(CALL), content(IMAGE)], 1),
    ],
)
def test_finds_the_first_image(messages: list[Any], index: int | None) -> None:
    """By its index."""
    assert index == has_images(check_messages(messages))


def test_finds_parts_of_any_type() -> None:
    """For an upstream that takes text alone."""
    messages = check_messages([HELLO, content({"type": "file", "file": {}})])

    assert [1, None] == [find_part(messages, {"file", "input_audio"}), find_part(messages, {"text"})]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(), max_size=6) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image_url", "url", "tool_calls", "function", "name"])
            | st.text(max_size=3)
            | st.integers(0, 2),
            inner | st.sampled_from(["user", "assistant", "tool", "text", "image_url", "function"]),
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.lists(ANYTHING, max_size=3) | ANYTHING)
def test_any_value_passes_or_is_refused(messages: Any) -> None:
    """Never another exception; what passes can be written as UTF-8 JSON, and is in its form then."""
    before = copy.deepcopy(messages)
    try:
        checked = check_messages(messages)
    except InvalidMessagesError as error:
        str(error).encode()
    else:
        assert json.loads(json.dumps(checked).encode()) == checked
        assert check_messages(list(checked)) == checked

    assert before == messages


def test_blocks_of_calls_beside_calls_that_are_none_are_refused() -> None:
    """By the name of the field."""
    with pytest.raises(InvalidMessagesError, match="tool_calls"):
        check_messages([{"role": "assistant", "content": [TOOL_USE], "tool_calls": 5}])


def test_a_result_in_a_block_may_be_an_object() -> None:
    """As in a message of the role tool."""
    result = {"type": "tool_result", "tool_use_id": "c1", "content": {"a": 1}}
    messages = check_messages([{"role": "assistant", "content": [TOOL_USE]}, {"role": "user", "content": [result]}])

    assert {"role": "tool", "tool_call_id": "c1", "content": '{"a":1}'} == messages[1]


SOME_TEXT = st.sampled_from(["", "a", "ä", " {}", "{}", '{"a": 1}', "null", "\ud83d", 7, None])
CALLS = st.fixed_dictionaries(
    {
        "id": SOME_TEXT,
        "type": st.sampled_from(["function", "custom", None]) | st.just("function"),
        "function": st.fixed_dictionaries({"name": SOME_TEXT | st.just("f"), "arguments": SOME_TEXT | st.just({})}),
    },
    optional={"extra_content": SOME_TEXT},
)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "tool", "user"]), "content": SOME_TEXT | st.just([])},
    optional={"tool_calls": st.lists(CALLS, max_size=2), "tool_call_id": SOME_TEXT, "name": SOME_TEXT},
)


@given(st.lists(TURNS, min_size=1, max_size=3))
def test_an_agents_turn_is_checked_like_any(messages: list[Any]) -> None:
    """Calls and results in the usual form need no closer look: what comes of them is the same."""

    def checked() -> Any:
        try:
            return check_messages(copy.deepcopy(messages))
        except InvalidMessagesError as error:
            return str(error)

    quick = checked()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_usual_turn", lambda message: None)
        at_length = checked()

    assert quick == at_length


def test_the_callers_own_turns_are_not_changed() -> None:
    """The calls are copied as well."""
    turn = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    (checked,) = check_messages([turn])

    checked["tool_calls"][0]["function"]["name"] = "other"

    assert turn["tool_calls"] == [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize("role", ["user", "tool", "system", "function", "critic"])
def test_calls_of_others_than_the_assistant_are_no_calls(role: str) -> None:
    """The member is not known in their messages, and passes, whatever it holds: some of it made an internal error."""
    others: list[Any] = ["x", 7, {"a": 1}, ["x"], [None], [{}], [{"function": None}], [{"id": 7, "function": {"arguments": 7}}]]
    for calls in others:
        message = {"role": role, "content": "a", "name": "f", "tool_call_id": "c", "tool_calls": calls}
        body = json.dumps({"model": "m", "messages": [message, HELLO]}).encode()
        request = OPENAI_CHAT.decode_request(body, OPENAI_CHAT.paths[0])

        assert request.messages[0] == message
        for wire in (OPENAI_CHAT, ANTHROPIC_MESSAGES, OPENAI_RESPONSES):
            if wire is not ANTHROPIC_MESSAGES or role != "critic":
                assert wire.encode_request(request, "m")
