"""The request of chat completions: read with a 400 that names the field, written as it is given."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import InvalidMessagesError, StatusError
from autonomousai.request import CALL_OPTIONS, ChatRequest
from autonomousai.wires.openai_chat.request import CHAT, echo_of, read_chat_request
from autonomousai.wires.request_body import encode_request, write_chat_request

HELLO = [{"role": "user", "content": "Hello 日本"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "llama", "messages": HELLO, **fields}).encode()


def refused(body: bytes) -> StatusError:
    with pytest.raises(StatusError) as caught:
        read_chat_request(body)
    assert (400, "invalid_request_error") == (caught.value.status, caught.value.type)
    return caught.value


def test_reads_a_plain_request() -> None:
    """Model and messages; not streamed unless that is asked for."""
    assert ChatRequest("llama", HELLO, stream=False, include_usage=False, fields={}) == read_chat_request(body())


def test_reads_a_whole_request() -> None:
    """What is known is checked, what is unknown is kept, what is null is left out."""
    request = read_chat_request(
        body(stream=True, stream_options={"include_usage": True}, temperature=0.5, top_k=40, user="ann", seed=None)
    )

    assert (True, True, {"temperature": 0.5, "top_k": 40, "user": "ann"}) == (
        request.stream,
        request.include_usage,
        request.fields,
    )


@pytest.mark.parametrize("model", [None, ""])
def test_no_model_is_the_default_model(model: str | None) -> None:
    """The provider knows which one that is."""
    assert "" == read_chat_request(body(model=model)).model
    assert "" == read_chat_request(json.dumps({"messages": HELLO}).encode()).model


@pytest.mark.parametrize(
    ("stream", "options", "expected"),
    [
        (None, None, (False, False)),
        (True, {}, (True, False)),
        (True, {"include_usage": None}, (True, False)),
        (True, {"include_usage": False, "include_obfuscation": None}, (True, False)),
        (True, {"include_usage": True}, (True, True)),
        (False, None, (False, False)),
    ],
)
def test_reads_whether_to_stream(stream: Any, options: Any, expected: tuple[bool, bool]) -> None:
    """And whether to say what was used."""
    request = read_chat_request(body(stream=stream, stream_options=options))

    assert expected == (request.stream, request.include_usage)
    assert {} == request.fields


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty; send a JSON object"),
        (b" \r\n", "the body is empty"),
        (b"hello", "the body cannot be read as JSON"),
        (b'{"a":1', "the body cannot be read as JSON"),
        (b'{"a":1}}', "the body cannot be read as JSON"),
        (b'{"a":NaN}', "the body cannot be read as JSON"),
        (b'{"a":1e999}', "the body cannot be read as JSON"),
        (b'{"a":' + b"9" * 9_000 + b"}", "the body cannot be read as JSON"),
        (b'{"a":"\xff"}', "the body is not UTF-8"),
        (b'{"a":"\xed\xa0\xbd"}', "the body is not UTF-8"),
        (b'{"\xff":1}', "the body is not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "the body cannot be read as JSON"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64 levels"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "nested deeper than 64 levels"),
        (b'{"a":' + b"[" * 2_000_000, "nested deeper than 64 levels"),
        (b'{"a":' + b'{"b":[' * 100_000 + b"]}" * 100_000 + b"}", "nested deeper than 64 levels"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_refuses_what_is_no_json(body: bytes, said: str) -> None:
    """Invalid UTF-8, a cut body and deep nesting among it: nothing of that is more than a 400."""
    error = refused(body)

    assert (None, "invalid_json") == (error.param, error.code)
    assert said in error.message


def test_nesting_is_bounded_where_the_interpreter_allows_more() -> None:
    """An application that mounts the server may have raised the limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000_000)
    try:
        error = refused(b'{"a":' + b"[" * 1_000_000)
    finally:
        sys.setrecursionlimit(limit)

    assert "invalid_json" == error.code


@pytest.mark.parametrize("document", ["[]", "5", '"text"', "null", "true"])
def test_refuses_what_is_no_object(document: str) -> None:
    """By its kind."""
    error = refused(document.encode())

    assert "invalid_type" == error.code
    assert error.message.startswith("the body must be a JSON object, not ")


def test_the_deepest_body_that_is_accepted() -> None:
    """64 levels, the body itself included."""
    deep: Any = 1
    for _ in range(63):
        deep = [deep]

    assert {"x": deep} == read_chat_request(body(x=deep)).fields


def test_a_key_that_comes_twice_counts_the_last_time() -> None:
    """As JSON readers have it."""
    text = b'{"messages":[],"messages":[{"role":"user","content":"a"}],"seed":1,"seed":2}'

    assert {"seed": 2} == read_chat_request(text).fields


@pytest.mark.parametrize("document", [{"model": "llama"}, {"model": "llama", "messages": None}])
def test_refuses_a_request_without_messages(document: dict[str, Any]) -> None:
    """Naming the field."""
    error = refused(json.dumps(document).encode())

    assert ("messages", "missing") == (error.param, error.code)


def test_refuses_bad_messages() -> None:
    """By the same check as the clients'."""
    with pytest.raises(InvalidMessagesError, match=r"messages\[0\].role: is a number"):
        read_chat_request(body(messages=[{"role": 7, "content": "a"}]))


BIG = 2**31 - 1
CUSTOM = {"type": "custom", "custom": {"name": "f", "format": {"type": "grammar"}}}

#: Fields that pass as they are: whether the upstream takes them is for it to say.
PASSED: list[dict[str, Any]] = [
    {"n": 2, "logprobs": True, "top_logprobs": 3},
    {"modalities": ["text", "audio"], "audio": {"voice": "v"}},
    {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
    {"store": True, "metadata": {"a": "b"}, "user": "ann", "service_tier": "flex", "safety_identifier": "s"},
    {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prediction": {"type": "content", "content": "a"}},
    *({"temperature": value} for value in (0, 0.7, 1, 2, 2.0, 5, -1)),
    *({"top_p": value} for value in (0, 0.1, 1, 1.5)),
    *({"presence_penalty": value} for value in (-2, 0, 2, 3.5)),
    {"frequency_penalty": 1.5},
    *({"max_tokens": value} for value in (1, BIG, 0, -1, -2)),
    {"max_completion_tokens": 5},
    {"max_tokens": 5, "max_completion_tokens": 6},
    *({"seed": value} for value in (0, -(2**63), 2**63 - 1, 2**64 - 1)),
    {"stop": "END"},
    {"stop": ["a", "b", "c", "d", "e", "f"]},
    {"logit_bias": {"50256": -100, "7": 0.5, "8": False, "9": 1000}},
    {"logit_bias": [[50256, -100]]},
    {"logprobs": 5, "n": 0},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_object", "schema": {"type": "object"}}},
    {"response_format": {"type": "grammar", "grammar": "root ::= x"}},
    {"response_format": {"type": "text"}},
    {"response_format": SCHEMA},
    {"tools": [TOOL]},
    {"tools": [{"type": "function", "function": {"name": "f", "description": None, "parameters": None}}]},
    {"tools": [TOOL], "tool_choice": "none"},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"tools": [TOOL], "tool_choice": "any"},
    {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
    {"tools": [CUSTOM], "tool_choice": {"type": "custom", "custom": {"name": "f"}}},
    {"tools": [{"type": "web_search", "web_search": {"enable": True}}, {"google_search": {}}, TOOL]},
    {"tools": [TOOL] * 129},
    {"tools": [TOOL], "parallel_tool_calls": False},
    {"tools": [TOOL], "parallel_tool_calls": True},
    {"tool_choice": "required"},
    {"tool_choice": "none", "parallel_tool_calls": False},
    {"top_k": 40, "min_p": 0.05, "guided_json": {"a": 1}, "chat_template_kwargs": {"x": True}, "verbosity": "low"},
    {"reasoning_effort": "high", "anything": [1, "two", {"three": None}]},
]

#: Fields that are accepted and have nothing to say.
DROPPED: list[dict[str, Any]] = [
    {name: None}
    for name in ("temperature", "n", "stop", "tools", "logprobs", "functions", "audio", "stream_options", "user", "unknown")
] + [
    {"logit_bias": {}},
    {"stop": []},
    {"stop": ""},
    {"stop": ["", ""]},
    {"tools": []},
    {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
    {"stream_options": {}},
    {"stream_options": {"include_usage": True}},
]


def read(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a streamed request."""
    return read_chat_request(body(stream=True, **fields)).fields


@pytest.mark.parametrize("fields", PASSED, ids=str)
def test_passes_fields_that_mean_something(fields: dict[str, Any]) -> None:
    """As they were sent, down to the type of a number."""
    assert repr(fields) == repr(read(fields))


@pytest.mark.parametrize("fields", DROPPED, ids=str)
def test_leaves_out_fields_that_change_nothing(fields: dict[str, Any]) -> None:
    """Null, and what says what is the case anyway."""
    assert {} == read(fields)


def test_of_a_streams_options_only_the_usage_is_taken() -> None:
    """An upstream is asked for it anyway; what else it knows is its own."""
    request = read_chat_request(
        body(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True, "include_obfuscation": False})
    )

    assert request.include_usage
    assert {"stream_options": {"continuous_usage_stats": True, "include_obfuscation": False}} == request.fields


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 40.0, "seed": -7.0}, {"max_tokens": 40, "seed": -7}),
        ({"max_completion_tokens": 1e3, "top_k": 2.0}, {"max_completion_tokens": 1000, "top_k": 2}),
        ({"n": 2.0, "top_logprobs": 0.0}, {"n": 2, "top_logprobs": 0}),
    ],
)
def test_a_whole_number_may_be_written_with_a_point(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """JSON has one kind of numbers, and languages that have one too write 40 as 40.0."""
    assert repr(expected) == repr(read(fields))


FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
GRAMMAR = {"syntax": "lark", "definition": "start: /a/"}
MARK = {"cache_control": {"type": "ephemeral"}}

#: What clients write that speak other APIs too, and the form of this one.
BROUGHT_INTO_FORM: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a function of the Responses API, as Cursor sends it": (
        {"tools": [{"type": "function", **FUNCTION}]},
        {"tools": [{"type": "function", "function": FUNCTION}]},
    ),
    "a custom tool of the Responses API": (
        {"tools": [{"type": "custom", "name": "patch", "format": {"type": "grammar", **GRAMMAR}}]},
        {"tools": [{"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": GRAMMAR}}}]},
    ),
    "a tool of the Messages API": (
        {"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, **MARK}]},
        {"tools": [{"type": "function", "function": FUNCTION, **MARK}]},
    ),
    "a choice of the Responses API": (
        {"tool_choice": {"type": "function", "name": "f"}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    "choices of the Messages API": (
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    "any tool": ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    "as the model likes": ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
    "a schema of the Responses API": (
        {"response_format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            }
        },
    ),
}


@pytest.mark.parametrize(("fields", "usual"), BROUGHT_INTO_FORM.values(), ids=BROUGHT_INTO_FORM)
def test_a_form_of_another_api_is_brought_into_this_ones(fields: dict[str, Any], usual: dict[str, Any]) -> None:
    """Where it can mean one thing alone."""
    assert usual == read(fields)


#: field, value, param, code
REFUSED: list[tuple[str, Any, str, str]] = [
    *(("temperature", value, "temperature", "invalid_type") for value in ("1", True, [], {})),
    ("frequency_penalty", False, "frequency_penalty", "invalid_type"),
    *(("max_tokens", value, "max_tokens", "invalid_value") for value in (2**64, -(2**63) - 1)),
    *(("max_tokens", value, "max_tokens", "invalid_type") for value in (1.5, "9", True)),
    ("max_completion_tokens", "5", "max_completion_tokens", "invalid_type"),
    ("top_k", "40", "top_k", "invalid_type"),
    ("min_p", "40", "min_p", "invalid_type"),
    *(("seed", value, "seed", "invalid_value") for value in (2**64, -(2**63) - 1)),
    ("seed", 1.5, "seed", "invalid_type"),
    *(("stop", value, "stop", "invalid_type") for value in (5, ["a", 5], {"a": 1}, [None])),
    ("logit_bias", "7", "logit_bias", "invalid_type"),
    ("response_format", "json", "response_format", "invalid_type"),
    ("response_format", {}, "response_format.type", "invalid_type"),
    ("response_format", {"type": ["text"]}, "response_format.type", "invalid_type"),
    ("response_format", {"type": "json_schema", "json_schema": "x"}, "response_format.json_schema", "invalid_type"),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {"schema": []}},
        "response_format.json_schema.schema",
        "invalid_type",
    ),
    ("tools", {}, "tools", "invalid_type"),
    ("tools", ["f"], "tools[0]", "invalid_type"),
    ("tools", [TOOL, {"type": 7}], "tools[1].type", "invalid_type"),
    ("tools", [{"type": "function"}], "tools[0].function", "invalid_type"),
    ("tools", [{"type": "function", "function": {}}], "tools[0].function.name", "invalid_type"),
    ("tools", [{"type": "function", "function": {"name": ""}}], "tools[0].function.name", "invalid_value"),
    (
        "tools",
        [{"type": "function", "function": {"name": "f", "parameters": "x"}}],
        "tools[0].function.parameters",
        "invalid_type",
    ),
    ("tool_choice", 5, "tool_choice", "invalid_type"),
    ("tool_choice", {"type": "function"}, "tool_choice.function", "invalid_type"),
    ("parallel_tool_calls", 1, "parallel_tool_calls", "invalid_type"),
    *(("n", value, "n", "invalid_type") for value in ("1", True, 1.5)),
    ("logprobs", "yes", "logprobs", "invalid_type"),
    ("logprobs", 1.5, "logprobs", "invalid_type"),
    ("web_search_options", True, "web_search_options", "invalid_type"),
    ("top_logprobs", False, "top_logprobs", "invalid_type"),
    ("modalities", "text", "modalities", "invalid_type"),
    ("audio", [], "audio", "invalid_type"),
    ("functions", {}, "functions", "invalid_type"),
    ("store", "yes", "store", "invalid_type"),
    ("metadata", [], "metadata", "invalid_type"),
    ("stream", "yes", "stream", "invalid_type"),
    ("stream", 1, "stream", "invalid_type"),
    ("model", 5, "model", "invalid_type"),
    ("model", ["llama"], "model", "invalid_type"),
    ("user", 5, "user", "invalid_type"),
    ("metadata", "x", "metadata", "invalid_type"),
    ("store", "yes", "store", "invalid_type"),
    *((name, "x", name, "unsupported") for name in (*sorted(CALL_OPTIONS), "base_url", "self")),
]


@pytest.mark.parametrize(("name", "value", "param", "code"), REFUSED, ids=[f"{row[0]}={row[1]!r:.40}" for row in REFUSED])
def test_refuses_by_name(name: str, value: Any, param: str, code: str) -> None:
    """What is wrong, or would change the answer and cannot be honoured, is a 400 that names the field."""
    error = refused(msgspec.json.encode({"messages": HELLO, name: value}))

    assert (param, code) == (error.param, error.code)
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("options", "param"), [(True, "stream_options"), ({"include_usage": 1}, "stream_options.include_usage")]
)
def test_refuses_options_of_a_stream_by_name(options: Any, param: str) -> None:
    """They are an object, and whether to count is yes or no."""
    error = refused(body(stream=True, stream_options=options))

    assert (param, "invalid_type") == (error.param, error.code)


@pytest.mark.parametrize("stream", [{}, {"stream": False}, {"stream": None}])
@pytest.mark.parametrize("options", [{}, {"include_usage": True}])
def test_options_of_a_stream_need_one(stream: dict[str, Any], options: dict[str, Any]) -> None:
    """In OpenAI's words, which programs know."""
    error = refused(body(stream_options=options, **stream))

    assert "stream_options" == error.param
    assert "The 'stream_options' parameter is only allowed when 'stream' is enabled." == error.message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        ("t", '"t"'),
        ("t" * 500, '"' + "t" * 99 + "…"),
    ],
)
def test_shows_at_most_a_hundred_characters_of_a_value(value: Any, shown: str) -> None:
    """A value may be a whole prompt."""
    assert refused(body(temperature=value)).message.endswith(f", not {shown}")


@pytest.mark.parametrize(("value", "shown"), [([1, 2], "a list"), ({"a": "secret"}, "an object")])
def test_shows_of_lists_and_objects_only_what_they_are(value: Any, shown: str) -> None:
    """They may be large."""
    assert f"temperature: must be a number, not {shown}" == refused(body(temperature=value)).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({name for row in REFUSED for name in [row[0]]} | {name for row in PASSED + DROPPED for name in row})


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=5))
def test_any_fields_pass_or_are_refused(fields: dict[str, Any]) -> None:
    """Never another exception; and what passed once passes again, unchanged."""
    params = []
    try:
        checked = CHAT.check(fields)
    except StatusError as error:
        params.append(error.param)
    else:
        assert checked == CHAT.check(checked)

    assert all(params)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(data: bytes) -> None:
    """Never another exception."""
    with pytest.raises((StatusError, InvalidMessagesError)):
        read_chat_request(data)


def test_writes_a_request() -> None:
    """UTF-8 that is not escaped, the fields at top level."""
    written = write_chat_request("llama", HELLO, stream=False, fields={"temperature": 0, "seed": None, "top_k": 4})

    expected = {"model": "llama", "messages": HELLO, "stream": False, "temperature": 0, "top_k": 4}
    assert expected == json.loads(written)
    assert "日本".encode() in written


@given(
    st.text(), st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": st.text()}), max_size=3)
)
def test_a_usual_request_is_written_like_any(model: str, messages: list[dict[str, Any]]) -> None:
    """Byte for byte, although its members are not written one by one."""
    options = {"stream_options": {"include_usage": True}}

    assert write_chat_request(model, messages, True, {}) == encode_request(
        {"model": model, "messages": messages, "stream": True, **options}
    )


@pytest.mark.parametrize(
    ("model", "messages", "field"),
    [("\ud800", HELLO, "model"), ("llama", [{"role": "user", "content": "\ud800"}], "messages"), ("m", [object()], "messages")],
    ids=["a name", "a text", "no message"],
)
def test_names_what_of_a_usual_request_cannot_be_written(model: str, messages: list[Any], field: str) -> None:
    """As of any other one."""
    with pytest.raises(ValueError, match=f"the request field '{field}'"):
        write_chat_request(model, messages, True, {})


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_a_stream_is_asked_for_its_usage(options: dict[str, Any]) -> None:
    """Whatever the caller wants of it: the end of an answer says what it used."""
    written = json.loads(write_chat_request("llama", HELLO, stream=True, fields=options))

    assert {"include_usage": True} == written["stream_options"]


def test_stream_options_go_with_streams_alone() -> None:
    """Servers refuse them elsewhere; others than ours are kept."""
    options = {"stream_options": {"continuous_usage_stats": True}}

    streamed = json.loads(write_chat_request("llama", HELLO, stream=True, fields=options))
    whole = json.loads(write_chat_request("llama", HELLO, stream=False, fields=options))

    assert {"continuous_usage_stats": True, "include_usage": True} == streamed["stream_options"]
    assert "stream_options" not in whole


def test_client_options_are_never_sent() -> None:
    """A key in a body would end in somebody's log."""
    fields: dict[str, Any] = dict.fromkeys(CALL_OPTIONS, "sk-1")

    written = write_chat_request("llama", HELLO, stream=False, fields=fields)

    assert {"model", "messages", "stream"} == json.loads(written).keys()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "the request field 'x' cannot be written as JSON"),
        ("\ud800", "the request field 'x' holds half a character"),
    ],
)
def test_names_the_field_that_cannot_be_written(value: Any, said: str) -> None:
    """A client's own mistake is no error of the API."""
    with pytest.raises(ValueError, match=said):
        write_chat_request("llama", HELLO, stream=False, fields={"x": value})


@given(st.sampled_from(PASSED), st.booleans())
def test_what_is_written_is_read_again(fields: dict[str, Any], stream: bool) -> None:
    """Client and server agree."""
    written = write_chat_request("llama", HELLO, stream=stream, fields=fields)

    assert ChatRequest("llama", HELLO, stream, stream, fields, echo=echo_of(fields)) == read_chat_request(written)
