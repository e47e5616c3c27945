"""Servers that refuse the usual form of a request are asked in the form that they take, and it is remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible, StatusError
from autonomousai.clients.adaptations import other_form
from autonomousai.clients.learnt_forms import REMEMBERED_S, Adaptations
from autonomousai.clients.prepared_request import MOST_FORMS
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request

HELLO = [{"role": "user", "content": "Hello"}]

MAX_TOKENS = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}
UNVERIFIED = {
    "message": "Your organization must be verified to stream this model.",
    "param": "stream",
    "code": "unsupported_value",
}

#: Refusals as servers send them: what the request holds, status and body, and the form that is asked for.
#: The system speaks again later; the user speaks twice.
LATE: Any = [{"role": role, "content": said} for role, said in (("system", "A"), ("user", "B"), ("system", "C"), ("user", "D"))]
TWICE: Any = [{"role": "user", "content": "A"}, {"role": "user", "content": "B"}]

#: What some servers do not take: another role of the system's, lists of texts, no content beside calls.
DEVELOPER: Any = [{"role": "developer", "content": "A"}, {"role": "user", "content": "B"}]
LISTS: Any = [{"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}]
IMAGE: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
CALLED: Any = [{"role": "assistant", "content": None, "tool_calls": []}, {"role": "tool", "tool_call_id": "c"}]
STRICT: Any = [{"type": "function", "function": {"name": "f", "strict": True}}]

#: Ids of calls that are longer than OpenAI takes them, and what it says of them.
LONG_ID: Any = "call_" + "x" * 60
LONG_IDS: Any = [
    {"role": "assistant", "content": None, "tool_calls": [{"id": LONG_ID, "type": "function", "function": {"name": "f"}}]},
    {"role": "tool", "tool_call_id": LONG_ID, "content": "A"},
]
SIGNED: Any = [{"role": "assistant", "content": None, "tool_calls": [{"id": "c", "extra_content": {"google": {}}}]}]
UNSIGNED = "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly."
LONG_CALL: Any = [{"type": "function_call", "call_id": LONG_ID, "name": "f", "arguments": "{}"}]
TOOLS_WITHOUT_THOUGHT = (
    "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. To use function tools, use "
    "/v1/responses or set reasoning_effort to 'none'."
)
TOO_LONG = "Invalid '{}': string too long. Expected a string with maximum length {}, but got a string with length 65 instead."


def extra_field(name: str) -> dict[str, Any]:
    """What pydantic says of a field that is not known; it shows what was sent."""
    return {
        "detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": "x"}]
    }


REFUSALS: list[tuple[dict[str, Any], int, Any, str | None]] = [
    ({"max_tokens": 5}, 400, {"error": MAX_TOKENS}, "max_completion_tokens"),
    (
        {"max_completion_tokens": 5},
        400,
        {"error": {"message": "Unrecognized request argument supplied: max_completion_tokens"}},
        "max_tokens",
    ),
    (
        {"max_completion_tokens": 5},
        422,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}
            ]
        },
        "max_tokens",
    ),
    ({"max_completion_tokens": 5}, 400, {"error": {"message": "max_completion_tokens is too large: 5"}}, None),
    (
        {"max_tokens": 64000},
        400,
        {
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 64000. This model's maximum context length is "
            "64001 tokens and your request has 24235 input tokens (64000 > 64001 - 24235)."
        },
        None,
    ),
    ({"max_tokens": 5}, 400, {"error": {"message": "max_tokens is too large: 5"}}, None),
    (
        {"stream": True, "stream_options": {"include_usage": True}},
        422,
        {"detail": [{"loc": ["body", "stream_options"], "msg": "extra fields not permitted"}]},
        "no_stream_options",
    ),
    ({"stream": True, "stream_options": {}}, 400, {"error": {"message": "Unknown field: stream_options"}}, "no_stream_options"),
    ({"stream": True}, 400, {"error": UNVERIFIED}, "no_stream"),
    ({"stream": True}, 400, {"error": {"message": "Streaming is not supported for this model."}}, "no_stream"),
    ({"stream": True}, 400, {"error": {"message": "This model does not support streaming."}}, "no_stream"),
    (
        {"stream": False},
        400,
        {"error": {"message": "This model only support stream mode, please enable the stream."}},
        "stream_alone",
    ),
    ({"stream": False}, 400, {"error": {"message": "Streaming is required for long requests."}}, "stream_alone"),
    ({"stream": False}, 400, {"error": {"message": "Non-streaming calls are not supported."}}, "stream_alone"),
    ({"stream": True}, 400, {"error": {"message": "temperature must be 1"}}, None),
    (
        {"messages": [{"role": "assistant", "content": "a", "reasoning_content": "b"}]},
        400,
        {"error": {"message": "'messages.0' : property 'reasoning_content' is unsupported"}},
        "no_reasoning",
    ),
    (
        {"messages": [{"role": "assistant", "content": "a", "reasoning_content": "b"}]},
        422,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "messages", 0, "assistant", "reasoning_content"], "msg": "no"}
            ]
        },
        "no_reasoning",
    ),
    (
        {"messages": [{"role": "assistant", "content": "a"}]},
        400,
        {"error": {"message": "The `reasoning_content` in the thinking mode must be passed back to the API."}},
        "empty_reasoning",
    ),
    (
        {"messages": [{"role": "assistant", "content": "a", "reasoning_content": "b"}]},
        400,
        {"error": {"message": "Missing `reasoning_content` field in the assistant message"}},
        None,
    ),
    (
        {"messages": [{"role": "assistant", "content": "a", "reasoning_content": ""}]},
        400,
        {"error": {"message": "reasoning_content is missing in assistant tool call message at index 0"}},
        "blank_reasoning",
    ),
    ({"messages": [{"role": "user", "content": "a"}]}, 400, {"error": {"message": "no reasoning_content"}}, None),
    ({"messages": LATE}, 400, {"error": {"message": "System message must be at the beginning."}}, "system_first"),
    ({"messages": LATE[:2]}, 400, {"error": {"message": "System message must be at the beginning."}}, None),
    ({"input": LATE}, 400, {"detail": "System messages are not allowed"}, "developer"),
    (
        {"messages": TWICE},
        400,
        {"error": {"message": "Conversation roles must alternate user/assistant/…"}},
        "alternating_roles",
    ),
    (
        {"messages": TWICE},
        500,
        {"error": {"code": 500, "message": "Jinja Exception: roles must alternate", "type": "server_error"}},
        "alternating_roles",
    ),
    ({"messages": TWICE}, 500, {"error": {"message": "roles must alternate"}}, None),
    ({"messages": LATE}, 400, {"error": {"message": "Conversation roles must alternate"}}, None),
    ({"max_tokens": 5}, 500, {"error": MAX_TOKENS}, None),
    (
        {"messages": DEVELOPER},
        400,
        {"error": {"message": "Unexpected role 'developer'. Supported roles: system"}},
        "system_role",
    ),
    ({"messages": DEVELOPER}, 422, {"error": "unknown variant `developer`, expected one of `system`, `user`"}, "system_role"),
    ({"messages": DEVELOPER}, 400, {"error": "'developer' is not one of ['system', 'assistant']"}, "system_role"),
    ({"messages": DEVELOPER}, 500, {"error": {"message": "Unexpected message role."}}, "system_role"),
    ({"messages": LATE}, 400, {"error": "Unexpected role 'developer'"}, None),
    ({"messages": LATE[:2]}, 500, {"error": {"message": "System role not supported"}}, "user_role"),
    (
        {"messages": LATE[:2]},
        400,
        {"error": {"message": "Unsupported value: 'messages[0].role' does not support 'system' with this model."}},
        "user_role",
    ),
    ({"messages": LATE[:2]}, 400, {"error": {"message": "Multiple system messages are not supported"}}, None),
    ({"messages": LATE[:2]}, 400, {"error": {"message": "Images in system messages are not supported"}}, None),
    ({"messages": DEVELOPER}, 400, {"error": {"message": "Developer instruction is not enabled for models/m"}}, "system_role"),
    ({"messages": TWICE}, 400, {"error": {"message": "System role not supported"}}, None),
    (
        {"messages": LISTS},
        400,
        {"error": {"message": "messages[0].content: invalid type: sequence, expected a string"}},
        "text_content",
    ),
    (
        {"messages": LISTS},
        422,
        {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "Input should be a valid string"}]},
        "text_content",
    ),
    ({"messages": LISTS}, 400, {"error": {"message": "'messages.0.content' : value must be a string"}}, "text_content"),
    ({"messages": IMAGE}, 400, {"error": {"message": "'messages.0.content' : value must be a string"}}, None),
    ({"messages": CALLED}, 400, {"error": {"message": "messages[0]: missing field `content` at line 1"}}, "no_null_content"),
    ({"messages": CALLED}, 400, {"error": {"message": "messages[0].content must be a string"}}, "no_null_content"),
    ({"messages": CALLED}, 400, {"error": {"message": "invalid content: null is not allowed"}}, "no_null_content"),
    ({"messages": TWICE}, 400, {"error": {"message": "content must not be null"}}, None),
    (
        {"tools": STRICT},
        400,
        [{"error": {"message": "Unknown name \"strict\" at 'tools[0].function': Cannot find field."}}],
        "no_strict",
    ),
    ({"tools": STRICT}, 400, {"error": {"message": "strict mode wants additionalProperties: false"}}, None),
    ({"store": True}, 400, {"error": {"message": "Unrecognized request argument supplied: store"}}, "no_store"),
    ({"metadata": {}}, 400, {"error": {"message": "property 'metadata' is unsupported"}}, "no_metadata"),
    ({"user": "x"}, 422, extra_field("user"), "no_user"),
    ({"metadata": {}}, 400, {"error": {"message": "Invalid field 'metadata': values of 600 characters are not allowed"}}, None),
    ({"user": "x"}, 422, extra_field("seed"), None),
    ({"user": "x"}, 400, {"error": {"message": "Unsupported role 'user'"}}, None),
    ({"metadata": {}}, 400, {"error": {"message": "The 'metadata' parameter is only allowed when 'store' is enabled."}}, None),
    (
        {"messages": [{"role": "assistant", "content": "a", "thinking_blocks": []}]},
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 1, "assistant", "thinking_blocks"], "msg": "no"}]},
        "no_thinking_blocks",
    ),
    (
        {"messages": [{"role": "assistant", "content": "a", "reasoning_items": []}]},
        400,
        {"error": {"message": "Additional properties are not allowed ('reasoning_items' was unexpected) - 'messages.0'"}},
        "no_reasoning_items",
    ),
    (
        {"messages": [{"role": "assistant", "content": "a", "reasoning_details": []}]},
        400,
        {"error": {"message": "Unknown parameter: 'messages[0].reasoning_details'."}},
        "no_reasoning_details",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
        400,
        {
            "error": {
                "message": "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content.0' : "
                "property 'cache_control' is unsupported)]"
            }
        },
        "no_cache_control",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {}}]},
        422,
        extra_field("cache_control"),
        "no_cache_control",
    ),
    ({"messages": CALLED}, 422, extra_field("cache_control"), None),
    ({"messages": LONG_IDS}, 400, [{"error": {"message": UNSIGNED}}], "no_thought_signatures"),
    ({"messages": SIGNED}, 400, [{"error": {"message": UNSIGNED}}], None),
    ({"prompt_cache_options": {}}, 400, {"detail": "Unsupported parameter: prompt_cache_options"}, "no_prompt_cache_options"),
    ({"input": "Hi"}, 400, {"detail": "Input must be a list"}, "list_input"),
    ({"input": LATE}, 400, {"detail": "Input must be a list"}, None),
    (
        {"messages": LONG_IDS},
        400,
        {"error": {"message": TOO_LONG.format("messages[0].tool_calls[0].id", 40)}},
        "short_call_ids",
    ),
    ({"messages": CALLED}, 400, {"error": {"message": TOO_LONG.format("messages[0].tool_calls[0].id", 40)}}, None),
    (
        {"messages": CALLED},
        400,
        {"message": "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.", "type": "invalid_request_error"},
        "nine_letter_call_ids",
    ),
    (
        {"messages": [{"role": "tool", "content": "a"}, {"role": "user", "content": "b"}]},
        400,
        {"object": "error", "message": "Unexpected role 'user' after role 'tool'", "code": "3230"},
        "assistant_after_tool",
    ),
    (
        {"messages": [{"role": "tool", "content": "a"}]},
        400,
        {"object": "error", "message": "Unexpected role 'user' after role 'tool'"},
        None,
    ),
    ({"messages": LATE}, 400, {"object": "error", "message": "Unexpected role 'system' after role 'user'"}, "system_first"),
    ({"tools": [{}]}, 400, {"error": {"message": TOOLS_WITHOUT_THOUGHT}}, "no_effort_with_tools"),
    ({"tools": [{}], "reasoning_effort": "high"}, 400, {"error": {"message": TOOLS_WITHOUT_THOUGHT}}, None),
    ({"input": LONG_CALL}, 400, {"error": {"message": TOO_LONG.format("input[0].call_id", 64)}}, "short_call_ids"),
]

FORMS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "assistant_after_tool",
        {"messages": [{"role": "tool", "content": "a"}, {"role": "user", "content": "b"}, {"role": "user", "content": "c"}]},
        {
            "messages": [
                {"role": "tool", "content": "a"},
                {"role": "assistant", "content": "Done."},
                {"role": "user", "content": "b"},
                {"role": "user", "content": "c"},
            ]
        },
    ),
    ("no_effort_with_tools", {"tools": [{}]}, {"tools": [{}], "reasoning_effort": "none"}),
    ("no_effort_with_tools", {"tools": [{}], "reasoning_effort": "low"}, {"tools": [{}], "reasoning_effort": "low"}),
    ("no_effort_with_tools", {}, {}),
]


@pytest.mark.parametrize(("name", "body", "expected"), FORMS)
def test_a_form_that_was_learnt(name: str, body: dict[str, Any], expected: dict[str, Any]) -> None:
    """Of each later request, which may say more than the one that was refused."""
    learnt = Adaptations()
    learnt.remember("m", [name])

    assert expected == json.loads(learnt.applied("m", json.dumps(body).encode()))


#: Refusals of an answer's length, and the bound that they name.
LENGTHS: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    (
        "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.",
        {"max_tokens": 32000},
        {"max_tokens": 16384},
    ),
    (
        "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-sonnet-20241022",
        {"max_tokens": 32000},
        {"max_tokens": 8192},
    ),
    (
        "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-sonnet-20241022",
        {"max_tokens": 32000, "thinking": {"type": "enabled", "budget_tokens": 31999}},
        {"max_tokens": 8192, "thinking": {"type": "enabled", "budget_tokens": 4096}},
    ),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", {"max_tokens": 32000}, {"max_tokens": 8192}),
    ("<400> InternalError: Range of max_tokens should be [1, 8192]", {"max_tokens": 32000}, {"max_tokens": 8192}),
    (
        (
            "The parameter `max_completion_tokens` specified in the request are not valid: integer above maximum value, "
            "expected a value <= 12288, but got 32000 instead."
        ),
        {"max_completion_tokens": 32000},
        {"max_completion_tokens": 12288},
    ),
    (
        (
            "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
            "`context_window` for this model"
        ),
        {"max_tokens": 32000},
        {"max_tokens": 8192},
    ),
    (
        (
            "The maximum tokens you requested exceeds the model limit of 8192. Try again with a maximum tokens value that is "
            "lower than 8192."
        ),
        {"max_tokens": 32000},
        {"max_tokens": 8192},
    ),
    (
        (
            "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 "
            "(inclusive) to 65537 (exclusive). Update the value and try again."
        ),
        {"max_tokens": 100000},
        {"max_tokens": 65536},
    ),
    (f"max_tokens: 32000 > {'9' * 5000}, which is the maximum allowed number of output tokens", {"max_tokens": 32000}, None),
    ("max_tokens: Input should be less than or equal to 8192", {"max_tokens": 32000}, {"max_tokens": 8192}),
    ("This prompt leaves room for few: max_tokens must be less than or equal to 12", {"max_tokens": 32000}, None),
    ("input tokens and max_tokens together must be <= 8193", {"max_tokens": 32000}, None),
    ("max_tokens must be at least 1", {"max_tokens": 0}, None),
    ("this model supports at most 16384 completion tokens", {"max_tokens": 100}, None),
    ("temperature must be less than or equal to 2", {"max_tokens": 100, "temperature": 3}, None),
]


@pytest.mark.parametrize(("said", "fields", "expected"), LENGTHS)
def test_an_answer_is_as_long_as_the_model_writes(said: str, fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    """A caller's limit was meant for another model than a gateway asks: the refusal's bound takes its place."""
    form = other_form(json.dumps({"model": "m", **fields}).encode(), refuse(400, {"error": {"message": said}}))

    assert (None if expected is None else {"model": "m", **expected}) == (form and json.loads(form[1]))


async def test_how_much_a_model_writes_is_remembered() -> None:
    """For that model: the next request is right at once, and a shorter one is not made longer."""

    def play(request: Request) -> Script:
        if request.json()["max_tokens"] > 8192:
            return Script.status(400, {"error": {"message": LENGTHS[0][0].replace("16384", "8192")}})
        return Script.stream(str(request.json()["max_tokens"]))

    async with ScriptedServer(play) as server, OpenAICompatible(server.url) as provider:
        texts = [
            await provider.create_async_generator("m", HELLO, stream=True, max_tokens=most).text() for most in (32000, 20000, 5)
        ]
        status = provider.status()

    assert ["8192", "8192", "5"] == texts
    assert 4 == len(server.requests)
    assert (("m", "max_tokens at most 8192"),) == status.adaptations


async def test_a_server_that_names_another_bound_each_time_is_left() -> None:
    """It would be asked once for each token, and what was learnt of it would grow as long."""

    def play(request: Request) -> Script:
        most = request.json()["max_tokens"] - 1
        return Script.status(400, {"error": {"message": LENGTHS[0][0].replace("16384", str(most))}})

    async with ScriptedServer(play) as server, OpenAICompatible(server.url) as provider:
        with pytest.raises(StatusError, match="at most 31983"):
            await provider.create_async_generator("m", HELLO, stream=True, max_tokens=32000).text()

    assert 1 + MOST_FORMS == len(server.requests)

    learnt = Adaptations()
    for bound in range(1000, 2000):
        learnt.remember("m", [f"max_tokens at most {bound}"])
    assert ("m", "max_tokens at most 1999") == learnt.known()[-1]
    assert len(learnt.known()) < 100


def test_calls_without_a_signature_say_so() -> None:
    """Those of other models, and those of programs that send back what they know alone; what is signed stays."""
    messages = [*LONG_IDS, *SIGNED]
    form = other_form(
        json.dumps({"model": "m", "messages": messages}).encode(), refuse(400, [{"error": {"message": UNSIGNED}}])
    )

    assert form is not None
    calls = [call for message in json.loads(form[1])["messages"] for call in message.get("tool_calls", ())]
    assert [{"google": {"thought_signature": "skip_thought_signature_validator"}}, {"google": {}}] == [
        call["extra_content"] for call in calls
    ]


def test_ids_of_calls_are_short_and_the_same_everywhere() -> None:
    """A call and its result keep belonging together, and an id that is short enough stays."""
    messages = [*LONG_IDS, {"role": "tool", "tool_call_id": "short", "content": "B"}]
    form = other_form(
        json.dumps({"model": "m", "messages": messages}).encode(),
        refuse(400, {"error": {"message": TOO_LONG.format("messages[0].tool_calls[0].id", 40)}}),
    )

    assert form is not None
    call, result, other = json.loads(form[1])["messages"]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40
    assert "short" == other["tool_call_id"]


def refuse(status: int, body: Any) -> StatusError:
    from autonomousai.wires.foreign_errors import read_error  # noqa: PLC0415  as clients read it

    return read_error(status, json.dumps(body).encode(), {})


@pytest.mark.parametrize(("fields", "status", "body", "expected"), REFUSALS)
def test_a_refusal_asks_for_another_form(fields: dict[str, Any], status: int, body: Any, expected: str | None) -> None:
    """By the field that it names, and the words beside it."""
    form = other_form(json.dumps({"model": "m", **fields}).encode(), refuse(status, body))

    assert expected == (form and form[0])


def test_only_the_record_that_is_refused_is_left_out() -> None:
    """A server that is not told any more to store nothing may store all."""
    body = {"model": "m", "store": False, "user": "x", "prompt_cache_retention": "24h"}
    form = other_form(
        json.dumps(body).encode(), refuse(400, {"error": {"message": "Unknown parameter: 'prompt_cache_retention'."}})
    )

    assert form is not None
    assert {"model": "m", "store": False, "user": "x"} == json.loads(form[1])


@pytest.mark.parametrize(
    ("messages", "error", "expected"),
    [
        (LATE, "System message must be at the beginning.", [*LATE[:2], {"role": "user", "content": "C"}, LATE[3]]),
        (
            [*TWICE, {"role": "user", "content": [{"type": "text", "text": "C"}]}],
            "Conversation roles must alternate",
            [{"role": "user", "content": [{"type": "text", "text": "A\n\nB"}, {"type": "text", "text": "C"}]}],
        ),
        (DEVELOPER, "Unexpected role 'developer'", [{"role": "system", "content": "A"}, DEVELOPER[1]]),
        (LATE[:2], "System role not supported", [{"role": "user", "content": "A\n\nB"}]),
        (LISTS, "content must be a string", [{"role": "user", "content": "A\nB"}]),
        (CALLED, "content must be a string", [{**each, "content": ""} for each in CALLED]),
    ],
)
def test_a_conversation_takes_the_form_of_a_template(messages: list[Any], error: str, expected: list[Any]) -> None:
    """Chat templates differ in whom they let speak when."""
    form = other_form(json.dumps({"model": "m", "messages": messages}).encode(), refuse(400, {"error": {"message": error}}))

    assert form is not None
    assert expected == json.loads(form[1])["messages"]


def strict(request: Request) -> Script:
    """A server that takes neither ``max_tokens`` nor ``stream_options`` nor a stream."""
    body = request.json()
    if "max_tokens" in body:
        return Script.status(400, {"error": MAX_TOKENS})
    if "stream_options" in body:
        return Script.status(422, {"detail": [{"loc": ["body", "stream_options"], "msg": "extra fields not permitted"}]})
    if body.get("stream"):
        return Script.status(400, {"error": UNVERIFIED})
    return Script.document(f"Hello {body['max_completion_tokens']}")


async def test_one_request_in_the_form_that_is_taken() -> None:
    """Whatever is refused is said otherwise; the answer is played as a stream; and the next request is right at once."""
    async with ScriptedServer(strict) as server, OpenAICompatible(server.url) as provider:
        first = await provider.create_async_generator("m", HELLO, stream=True, max_tokens=5).text()
        asked = len(server.requests)
        second = await provider.create_async_generator("m", HELLO, stream=True, max_tokens=6).text()
        status = provider.status()

    assert ("Hello 5", "Hello 6") == (first, second)
    assert (4, 5) == (asked, len(server.requests))
    assert {("m", "max_completion_tokens"), ("m", "no_stream_options"), ("m", "no_stream")} == set(status.adaptations)


async def test_a_stream_for_who_wants_none() -> None:
    """A server that only streams is asked for a stream, and the caller gets the whole answer."""

    def play(request: Request) -> Script:
        if request.json()["stream"]:
            return Script.stream("Hel", "lo")
        return Script.status(400, {"error": {"message": "This model only supports stream mode"}})

    async with ScriptedServer(play) as server, OpenAICompatible(server.url) as provider:
        assert "Hello" == await provider.create_async_generator("m", HELLO).text()


async def test_what_does_not_help_is_not_remembered() -> None:
    """A server that refuses every form is told so as it is, and no form is kept."""
    async with (
        ScriptedServer(lambda request: Script.status(400, {"error": UNVERIFIED})) as server,
        OpenAICompatible(server.url) as provider,
    ):
        with pytest.raises(StatusError, match="verified"):
            await provider.create_async_generator("m", HELLO, stream=True).text()
        status = provider.status()

    assert () == status.adaptations
    assert 3 == len(server.requests)


def test_what_was_learnt_is_forgotten() -> None:
    """After an hour the usual form is tried again; another model's was never changed."""
    now = 0.0
    adaptations = Adaptations(now=lambda: now)
    adaptations.remember("m", ["max_completion_tokens"])

    body = b'{"model":"m","max_tokens":5}'

    assert b'{"model":"m","max_completion_tokens":5}' == adaptations.applied("m", body)
    assert body == adaptations.applied("other", body)
    now = REMEMBERED_S + 1
    assert body == adaptations.applied("m", body)


def test_the_newest_counts() -> None:
    """A server that was replaced by a newer one takes the other name again."""
    adaptations = Adaptations()
    adaptations.remember("m", ["max_tokens"])
    adaptations.remember("m", ["max_completion_tokens"])

    assert [("m", "max_completion_tokens")] == adaptations.known()
