"""The request of the Responses API becomes one of chat completions, keeps its document, and is refused by the field's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai.errors import StatusError
from autonomousai.request import ChatRequest
from autonomousai.wires.openai_responses.namespaces import names_of
from autonomousai.wires.openai_responses.request import RESPONSES
from autonomousai.wires.registry import OPENAI_RESPONSES
from tests.support.lines import lines

Json = dict[str, Any]

HELLO = {"role": "user", "content": "Hello"}
PNG = "data:image/png;base64,AAAA"
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CHAT_FUNCTION = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": True},
}
CUSTOM = {"type": "custom", "name": "patch", "description": "Edit."}
CHOSEN = {"type": "function", "function": {"name": "f"}}


def read(**document: Any) -> ChatRequest:
    return OPENAI_RESPONSES.decode_request(json.dumps({"input": "Hello", **document}).encode(), "/v1/responses")


def refused(**document: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        read(**document)
    assert (400, "invalid_request_error") == (caught.value.status, caught.value.type)
    return caught.value


def turn(*calls: tuple[str, str, str], content: str | None = None, **more: Any) -> Json:
    """An assistant's message with calls: of their ids, names and arguments."""
    written = [{"id": each, "type": "function", "function": {"name": name, "arguments": text}} for each, name, text in calls]
    return {"role": "assistant", "content": content, "tool_calls": written, **more}


def call(call_id: str, name: str = "f", arguments: str = "{}", **more: Any) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def output(id: str, content: Any) -> Json:
    return {"type": "function_call_output", "call_id": id, "output": content}


def test_a_plain_request() -> None:
    """The model, the text, the document as it came."""
    request = read(model="llama")

    assert ("llama", [HELLO], False, {}) == (request.model, request.messages, request.stream, request.fields)
    assert request.origin is not None
    assert ("openai_responses", {"input": "Hello", "model": "llama"}) == (request.origin.wire, request.origin.document)


#: Items, and the messages that they become.
INPUTS: dict[str, tuple[Any, list[Json]]] = {
    "a text": ("Hello", [HELLO]),
    "an empty text": ("", [{"role": "user", "content": ""}]),
    "a message without a type": ([HELLO], [HELLO]),
    "one text part": ([{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}], [HELLO]),
    "several parts": (
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "See"},
                    {"type": "input_image", "image_url": PNG, "detail": "low"},
                    {"type": "input_image", "image_url": PNG, "detail": None, "file_id": None},
                    {"type": "input_image", "file_id": "file_1"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:…"},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    {"type": "input_video", "video_url": "https://a"},
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See"},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": PNG}},
                    {"type": "file", "file": {"file_id": "file_1"}},
                    {"type": "file", "file": {"file_data": "data:…", "filename": "a.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    {"type": "input_video", "video_url": "https://a"},
                ],
            }
        ],
    ),
    "parts of chat completions": (
        [{"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": PNG}}]}],
        [{"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": PNG}}]}],
    ),
    "a conversation": (
        [
            HELLO,
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "phase": "final_answer",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}, {"type": "output_text", "text": "!"}],
            },
            HELLO,
        ],
        [HELLO, {"role": "assistant", "content": "Hi!"}, HELLO],
    ),
    "a refusal": (
        [HELLO, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}, HELLO],
        [HELLO, {"role": "assistant", "content": None, "refusal": "No"}, HELLO],
    ),
    "what the system and the developer say first is one message": (
        [{"role": "developer", "content": "A"}, {"role": "system", "content": [{"type": "input_text", "text": "B"}]}, HELLO],
        [{"role": "system", "content": "A\n\nB"}, HELLO],
    ),
    "what the developer says later stays there": (
        [HELLO, {"role": "developer", "content": "A"}],
        [HELLO, {"role": "system", "content": "A"}],
    ),
    "a call and its output": (
        [HELLO, call("c1", "f", '{"a":1}', id="fc_1", status="completed"), output("c1", "42")],
        [HELLO, turn(("c1", "f", '{"a":1}')), {"role": "tool", "tool_call_id": "c1", "content": "42"}],
    ),
    "calls belong to the message before them": (
        [HELLO, {"role": "assistant", "content": "I look"}, call("c1"), call("c2", "g"), output("c1", "1"), output("c2", "2")],
        [
            HELLO,
            turn(("c1", "f", "{}"), ("c2", "g", "{}"), content="I look"),
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
        ],
    ),
    "a text between a call and its output": (
        [
            HELLO,
            call("c1"),
            {"role": "assistant", "content": "I look"},
            {"role": "assistant", "content": "there"},
            output("c1", "1"),
        ],
        [HELLO, turn(("c1", "f", "{}"), content="I look\n\nthere"), {"role": "tool", "tool_call_id": "c1", "content": "1"}],
    ),
    "an output in parts": (
        [call("c1"), output("c1", [{"type": "input_text", "text": "1"}, {"type": "input_text", "text": "2"}])],
        [turn(("c1", "f", "{}")), {"role": "tool", "tool_call_id": "c1", "content": "1\n\n2"}],
    ),
    "an output with an image": (
        [call("c1"), output("c1", [{"type": "input_image", "image_url": PNG}])],
        [
            turn(("c1", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": "(see what follows)"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
        ],
    ),
    "outputs with images, of two calls": (
        [
            *(call("c1"), call("c2")),
            output("c1", [{"type": "input_text", "text": "1"}, {"type": "input_image", "image_url": PNG}]),
            output("c2", "2"),
        ],
        [
            turn(("c1", "f", "{}"), ("c2", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
        ],
    ),
    "what stands between a call and its output": (
        [HELLO, call("c1"), {"role": "developer", "content": "A"}, output("c1", "1"), HELLO],
        [
            HELLO,
            turn(("c1", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "system", "content": "A"},
            HELLO,
        ],
    ),
    "a call that was broken off": (
        [HELLO, call("c1"), HELLO],
        [HELLO, turn(("c1", "f", "{}")), {"role": "tool", "tool_call_id": "c1", "content": "(no result)"}, HELLO],
    ),
    "outputs of calls that are not known": (
        [output("c9", "1"), {"type": "function_call_output", "output": "2"}, HELLO],
        [
            {"role": "user", "content": "Result of the tool call c9:\n1"},
            {"role": "user", "content": "2"},
            HELLO,
        ],
    ),
    "one id for two calls": (
        [call("c1"), output("c1", "1"), call("c1"), output("c1", "2")],
        [
            turn(("c1", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            turn(("c1", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
        ],
    ),
    "what the assistant thought belongs to what it says then": (
        [
            HELLO,
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}, {"type": "summary_text", "text": "so"}]},
            {"role": "assistant", "content": "I look"},
            call("c1"),
            output("c1", "1"),
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Well"}]},
            call("c2"),
            output("c2", "2"),
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "of nothing"}]},
            HELLO,
        ],
        [
            HELLO,
            turn(("c1", "f", "{}"), content="I look", reasoning_content="Hm\n\nso"),
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            turn(("c2", "f", "{}"), reasoning_content="Well"),
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
            HELLO,
        ],
    ),
    "outputs that say nothing": (
        [call("c1", arguments=""), call("c2", arguments=" "), output("c1", None), output("c2", [])],
        [
            turn(("c1", "f", "{}"), ("c2", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "tool", "tool_call_id": "c2", "content": ""},
        ],
    ),
    "calls and outputs without ids": (
        [
            {"type": "function_call", "name": "f", "arguments": "{}"},
            {"type": "function_call", "id": "fc_2", "name": "g", "call_id": ""},
            {"type": "function_call_output", "call_id": "fc_2", "output": "2"},
            {"type": "function_call_output", "call_id": None, "name": "f", "output": "1"},
        ],
        [
            turn(("call_0_0", "f", "{}"), ("fc_2", "g", "{}")),
            {"role": "tool", "tool_call_id": "fc_2", "content": "2"},
            {"role": "tool", "tool_call_id": "call_0_0", "content": "1"},
        ],
    ),
    "an output of nothing that was called is what the user says": (
        [call("c1"), output("c1", "1"), {"type": "function_call_output", "name": "heartbeat", "output": "2"}],
        [turn(("c1", "f", "{}")), {"role": "tool", "tool_call_id": "c1", "content": "1"}, {"role": "user", "content": "2"}],
    ),
    "arguments and outputs that are no text": (
        [
            call("c1", arguments={"a": 1}),
            call("c2", arguments=None),
            output("c1", {"content": "failed", "success": False}),
            output("c2", {"ok": True}),
            call("c3"),
            output("c3", ["a", {"type": "input_text", "text": "b"}]),
        ],
        [
            turn(("c1", "f", '{"a":1}'), ("c2", "f", "{}")),
            {"role": "tool", "tool_call_id": "c1", "content": "failed"},
            {"role": "tool", "tool_call_id": "c2", "content": '{"ok":true}'},
            turn(("c3", "f", "{}")),
            {"role": "tool", "tool_call_id": "c3", "content": "a\n\nb"},
        ],
    ),
    "a call of a custom tool": (
        [
            {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": 'say "hi"'},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        ],
        [turn(("c1", "patch", '{"input":"say \\"hi\\""}')), {"role": "tool", "tool_call_id": "c1", "content": "done"}],
    ),
    "a signature comes back with its call": (
        [HELLO, call("c1", extra_content={"google": {"thought_signature": "x"}})],
        [
            HELLO,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "x"}},
                    }
                ],
            },
        ],
    ),
    "calls of tools of the API that the caller runs": (
        [
            {"type": "local_shell_call", "call_id": "c1", "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "id": "c1", "output": "a"},
            {"type": "shell_call", "call_id": "c2", "action": {"commands": ["ls"], "timeout_ms": None}},
            {"type": "shell_call_output", "call_id": "c2", "output": [{"stdout": "a", "outcome": {"type": "exit"}}]},
            {"type": "apply_patch_call", "call_id": "c3", "operation": {"type": "delete_file", "path": "a"}},
            {"type": "apply_patch_call_output", "call_id": "c3", "status": "completed"},
            {"type": "tool_search_call", "call_id": "c4", "execution": "client", "arguments": {"query": "mail"}},
            {"type": "tool_search_output", "call_id": "c4", "execution": "client", "tools": [FUNCTION]},
            {"type": "tool_search_call", "call_id": "c5", "execution": "client", "arguments": None},
            {"type": "tool_search_output", "call_id": "c5", "execution": "client", "tools": []},
        ],
        [
            turn(("c1", "local_shell", '{"command":["ls"],"env":{}}')),
            {"role": "tool", "tool_call_id": "c1", "content": "a"},
            turn(("c2", "shell", '{"commands":["ls"]}')),
            {"role": "tool", "tool_call_id": "c2", "content": '[{"stdout":"a","outcome":{"type":"exit"}}]'},
            turn(("c3", "apply_patch", '{"type":"delete_file","path":"a"}')),
            {"role": "tool", "tool_call_id": "c3", "content": "completed"},
            turn(("c4", "tool_search", '{"query":"mail"}')),
            {"role": "tool", "tool_call_id": "c4", "content": "Tools found: f"},
            turn(("c5", "tool_search", "{}")),
            {"role": "tool", "tool_call_id": "c5", "content": "No tools found."},
        ],
    ),
    "parts that stand by themselves": (
        [
            HELLO,
            {"type": "input_text", "text": "What is it?"},
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"role": "assistant", "content": "A"},
            {"type": "input_text", "text": "Sure?"},
        ],
        [
            HELLO,
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                ],
            },
            {"role": "assistant", "content": "A"},
            {"role": "user", "content": "Sure?"},
        ],
    ),
    "what another agent says": (
        [
            {
                "type": "agent_message",
                "author": "/root",
                "recipient": "/root/worker",
                "content": [
                    {"type": "input_text", "text": "Add 1 and 2."},
                    {"type": "encrypted_content", "encrypted_content": "x"},
                ],
            },
            {"type": "agent_message", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"type": "agent_message", "content": [{"type": "encrypted_content", "encrypted_content": "x"}]},
        ],
        [
            {"role": "user", "content": "Message from /root:\nAdd 1 and 2."},
            {"role": "user", "content": "Be brief."},
        ],
    ),
    "what messages have no place for": (
        [
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "x"},
            {"type": "item_reference", "id": "msg_1"},
            {"id": "msg_2"},
            {"type": None, "id": "msg_3"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "compaction", "encrypted_content": "x"},
            {"type": "tomorrow's"},
            {"role": "assistant", "content": []},
            {"role": "user", "content": None},
            HELLO,
        ],
        [HELLO],
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_input_becomes_messages(name: str) -> None:
    """Item by item."""
    given, messages = INPUTS[name]

    assert messages == read(input=given).messages


def test_an_empty_id_is_none() -> None:
    """Nothing is continued, here or upstream."""
    request = read(input="Hello", previous_response_id="")

    assert request.origin is not None
    assert ([HELLO], {"input": "Hello"}) == (request.messages, request.origin.document)


def test_instructions_come_first() -> None:
    """In one message with what the system says next."""
    system = {"role": "developer", "content": "B"}

    assert [{"role": "system", "content": "A"}, HELLO] == read(instructions="A").messages
    assert [{"role": "system", "content": "A\n\nB"}, HELLO] == read(instructions="A", input=[system, HELLO]).messages
    assert [{"role": "system", "content": "A"}] == read(instructions="A", input=[]).messages
    assert [HELLO] == read(instructions="", input=[HELLO]).messages


@pytest.mark.parametrize(
    "document",
    [
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}, "input": []},
        {"prompt": {"id": "pmpt_1", "variables": {"city": "Rome"}}, "input": None, "instructions": "Be brief."},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"type": "reasoning", "summary": []}]},
        {"input": [{"type": "tomorrows_item"}]},
    ],
    ids=str,
)
def test_what_an_upstream_keeps_is_known_there_alone(document: Json) -> None:
    """No messages: half a conversation would be answered by an upstream that does not have the other half."""
    request = read(**document)

    assert request.origin is not None
    assert ([], True, False) == (request.messages, request.is_raw, request.origin.continuable)
    assert {"input": "Hello", **document} == request.origin.document


@pytest.mark.parametrize("content", [None, [], ""], ids=str)
def test_a_message_may_be_empty(content: Any) -> None:
    """It is one of no text."""
    assert [{"role": "user", "content": ""}] == read(input=[{"role": "user", "content": content}]).messages


#: Fields, and what they are in chat completions.
FIELDS: list[tuple[Json, Json]] = [
    ({"max_output_tokens": 40, "temperature": 0, "top_p": 0.5}, {"max_tokens": 40, "temperature": 0, "top_p": 0.5}),
    ({"max_output_tokens": 40.0}, {"max_tokens": 40}),
    ({"max_tokens": 40}, {"max_tokens": 40}),
    ({"max_completion_tokens": 40}, {"max_tokens": 40}),
    ({"max_output_tokens": 40, "max_tokens": 50, "max_completion_tokens": 60}, {"max_tokens": 40}),
    ({"reasoning_effort": "low", "verbosity": "low"}, {"reasoning_effort": "low", "verbosity": "low"}),
    ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, {"reasoning_effort": "high"}),
    ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    ({"tools": [CHAT_FUNCTION], "tool_choice": CHOSEN}, {"tools": [CHAT_FUNCTION], "tool_choice": CHOSEN}),
    (
        {"text": {"format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
    ),
    ({"presence_penalty": 1, "frequency_penalty": -1, "seed": 7}, {"presence_penalty": 1, "frequency_penalty": -1, "seed": 7}),
    ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
    ({"reasoning": {"effort": None, "summary": None}}, {}),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    ({"text": {"format": None}}, {}),
    (
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": {"type": "object"},
                    "strict": True,
                    "description": None,
                }
            }
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            }
        },
    ),
    ({"top_logprobs": 3, "include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 3}),
    ({"include": ["message.output_text.logprobs", "reasoning.encrypted_content"]}, {"logprobs": True}),
    ({"top_logprobs": 3, "include": ["reasoning.encrypted_content"]}, {}),
    ({"service_tier": "auto", "user": "ann"}, {"user": "ann"}),
    ({"service_tier": "flex"}, {"service_tier": "flex"}),
    ({"conversation": "conv_1", "prompt": {"id": "pmpt_1"}}, {}),
    ({"store": True, "background": False, "metadata": {"a": "b"}, "truncation": "auto", "prompt_cache_key": "k"}, {}),
    ({"stream_options": {"include_obfuscation": False}, "safety_identifier": "s", "max_tool_calls": 3}, {}),
    ({"client_metadata": {"x": 1}, "tomorrows_field": [1], "messages": "x"}, {}),
    ({name: None for name in RESPONSES.rows if name != "input"}, {}),
    # tools
    ({"tools": []}, {}),
    ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
    ({"tools": [FUNCTION]}, {"tools": [CHAT_FUNCTION]}),
    (
        {"tools": [FUNCTION], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [CHAT_FUNCTION], "tool_choice": "required", "parallel_tool_calls": False},
    ),
    (
        {"tools": [{"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ),
    (
        {"tools": [FUNCTION, {"type": "web_search"}, {"type": "tool_search"}, {"type": "namespace", "name": "n", "tools": []}]},
        {"tools": [CHAT_FUNCTION]},
    ),
    ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, {}),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [CHAT_FUNCTION], "tool_choice": CHOSEN},
    ),
    ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, {"tools": [CHAT_FUNCTION]}),
    (
        {
            "tools": [FUNCTION, {"type": "function", "name": "g"}],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
            },
        },
        {"tools": [CHAT_FUNCTION], "tool_choice": "required"},
    ),
]


@pytest.mark.parametrize(("fields", "chat"), FIELDS, ids=str)
def test_a_field_becomes_one_of_chat_completions(fields: Json, chat: Json) -> None:
    """Or nothing; what came stays in the document."""
    request = read(**fields)

    assert chat == request.fields
    assert request.origin is not None
    assert {"input": "Hello", **fields} == request.origin.document


def test_a_custom_tool_becomes_a_function_of_one_text() -> None:
    """Its grammar is told in words."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    (tool,) = read(tools=[{**CUSTOM, "format": grammar}], tool_choice={"type": "custom", "name": "patch"}).fields["tools"]
    function = tool["function"]

    assert ("function", "patch", ["input"]) == (tool["type"], function["name"], function["parameters"]["required"])
    assert function["description"].startswith("Edit.\n\n")
    assert function["description"].endswith("(lark):\nstart: /a/")


SPACE = {"type": "namespace", "name": "mcp__docs", "description": "Documents.", "tools": [{**FUNCTION, "defer_loading": True}]}


def names(*tools: Json, **fields: Any) -> list[str]:
    return [tool["function"]["name"] for tool in read(tools=list(tools), **fields).fields["tools"]]


def test_tools_of_a_namespace_are_functions_of_their_own() -> None:
    """As Codex sends those of an MCP server: under both names, which a server of chat completions takes."""
    (tool,) = read(tools=[SPACE]).fields["tools"]

    assert {**CHAT_FUNCTION["function"], "name": "mcp__docs__f"} == tool["function"]
    assert ["f", "mcp__docs__f", "mcp__web__f"] == names(FUNCTION, SPACE, {**SPACE, "name": "mcp__web__"})
    (long,) = names({**SPACE, "name": "n" * 70})
    assert 64 == len(long)
    assert [long] != names({**SPACE, "name": "n" * 71})


def test_no_two_tools_are_offered_under_one_name() -> None:
    """A call of either is written back as its own, and a choice names it."""
    plain = {**FUNCTION, "name": "a__b"}
    tools: list[Json] = [{**SPACE, "name": "a", "tools": [{**FUNCTION, "name": "b"}, {**FUNCTION, "name": "b__c"}]}, plain]
    tools += [{**SPACE, "name": "a__b", "tools": [{**FUNCTION, "name": "c"}]}, {"type": "web_search", "name": ["x"]}]
    offered = names(*tools)

    assert 4 == len(set(offered))
    written = [{"name": "b", "namespace": "a"}, {"name": "b__c", "namespace": "a"}, {"name": "a__b"}]
    assert [*written, {"name": "c", "namespace": "a__b"}] == [names_of(tools).written(name) for name in offered]
    for name, chosen in zip(offered, [*written, {"name": "c", "namespace": "a__b"}], strict=True):
        choice = read(tools=tools, tool_choice={"type": "function", **chosen}).fields["tool_choice"]
        assert {"type": "function", "function": {"name": name}} == choice


def test_of_tools_of_one_name_the_first_is_offered() -> None:
    """No call could say which one it means; it is written back as a call of the first."""
    custom = {"type": "custom", "name": "f"}

    assert ["shell"] == names({"type": "shell"}, {"type": "shell", "environment": {"type": "local"}})
    assert ["f"] == names(FUNCTION, FUNCTION)
    assert ["f"] == names(FUNCTION, custom)
    assert names_of([FUNCTION, custom]).custom == frozenset()
    assert names_of([custom, FUNCTION]).custom == {"f"}


def test_a_namespace_without_functions_is_left_out() -> None:
    """And what in it is none."""
    for inner in (None, "f", [], [None, {"type": "web_search"}, {"type": "function"}, {"type": "function", "name": ""}]):
        assert {} == read(tools=[{**SPACE, "tools": inner}]).fields


def test_a_choice_names_a_tool_of_a_namespace() -> None:
    """By both of its names."""
    chosen = {"type": "function", "name": "f", "namespace": "mcp__docs"}

    assert {"type": "function", "function": {"name": "mcp__docs__f"}} == read(tools=[SPACE], tool_choice=chosen).fields[
        "tool_choice"
    ]
    assert ["mcp__docs__f"] == names(FUNCTION, SPACE, tool_choice={"type": "allowed_tools", "tools": [chosen]})


def test_tools_that_the_caller_runs_are_functions() -> None:
    """What they say of themselves counts; one that the vendor runs is left out, and one whose name is a function's."""
    search = {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": {"type": "object"}}
    hosted = {"type": "shell", "environment": {"type": "container_auto"}}
    local = {"type": "shell", "environment": {"type": "local"}}

    assert ["local_shell", "apply_patch", "tool_search"] == names({"type": "local_shell"}, {"type": "apply_patch"}, search)
    assert ["shell"] == names(local, hosted, {"type": "tool_search"})
    assert ["f"] == names(FUNCTION, hosted)
    assert ["shell"] == names({**FUNCTION, "name": "shell"}, local)
    assert ["shell"] == names(FUNCTION, local, tool_choice={"type": "allowed_tools", "tools": [{"type": "shell"}]})
    assert {"type": "function", "function": {"name": "shell"}} == read(tools=[local], tool_choice={"type": "shell"}).fields[
        "tool_choice"
    ]
    (found,) = read(tools=[search]).fields["tools"]
    assert {"name": "tool_search", "description": "Finds.", "parameters": {"type": "object", "properties": {}}} == found[
        "function"
    ]


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
def test_tools_that_come_with_the_conversation_are_offered(kind: str) -> None:
    """Once, beside the request's own; calls of them are written back as theirs."""
    item = {"type": kind, "call_id": "c", "tools": [FUNCTION, SPACE, CHAT_FUNCTION]}

    assert ["f", "mcp__docs__f"] == names(FUNCTION, input=[item, HELLO])
    request = read(input=[item, HELLO])
    assert request.echo is not None
    assert {"name": "f", "namespace": "mcp__docs"} == names_of(request.echo["tools"]).written("mcp__docs__f")


def test_calls_of_a_namespace_in_the_conversation() -> None:
    """They have the name that the tool is offered under now."""
    request = read(input=[HELLO, call("c1", namespace="mcp__docs"), output("c1", "r")], tools=[SPACE])

    assert [
        HELLO,
        turn(("c1", "mcp__docs__f", "{}")),
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ] == request.messages


def test_what_is_repeated() -> None:
    """What the answer says of its request: functions with all their members, and nothing as kept that is not."""
    tool = {"type": "function", "name": "f"}
    echo = read(tools=[tool, CUSTOM], store=True, text={"verbosity": "low"}, reasoning={"effort": "low"}, user=None).echo

    assert {
        "tools": [{"description": None, "parameters": None, "strict": None, **tool}, CUSTOM],
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": None},
    } == echo


REFUSALS: list[tuple[Json, str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 7}, "input"),
    ({"input": {"role": "user"}}, "input"),
    ({"input": ["Hello"]}, "input[0]"),
    ({"input": [HELLO, {"type": "message", "content": "x"}]}, "input[1].role"),
    ({"input": [{"role": "", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": ""}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": 7}]}]}, "input[0].content[0].image_url"),
    ({"input": [{"type": 7}]}, "input[0].type"),
    ({"input": [{"type": "function_call", "call_id": 1, "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": []}]}, "input[0].arguments"),
    ({"input": [{"type": "input_text"}]}, "input[0].text"),
    ({"input": [{"type": "additional_tools", "tools": [{"type": "function"}]}]}, "input[0].tools[0].name"),
    ({"input": [{"type": "tool_search_output", "tools": [None]}]}, "input[0].tools[0]"),
    ({"input": [{"role": "tool", "tool_call_id": "c", "content": "x"}]}, "input"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": 1}]}, "input[0].output"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input"),
    ({"input": [], "instructions": None}, "input"),
    ({"model": 7}, "model"),
    ({"stream": "yes"}, "stream"),
    ({"instructions": ["x"]}, "instructions"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"name": "f"}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"tool_choice": {"type": "function", "function": {"name": 7}}}, "tool_choice.function.name"),
    ({"text": {"format": {"type": "json_schema", "json_schema": {}}}}, "text.format.json_schema.schema"),
    ({"max_tokens": "40"}, "max_tokens"),
    ({"tools": [{"type": "custom"}]}, "tools[0].name"),
    ({"tool_choice": 7}, "tool_choice"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
    ({"reasoning": "high"}, "reasoning"),
    ({"reasoning": {"effort": 7}}, "reasoning.effort"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"text": {"format": {}}}, "text.format.type"),
    ({"max_output_tokens": "40"}, "max_output_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"include": ["x", 7]}, "include[1]"),
    ({"metadata": []}, "metadata"),
    ({"api_key": "x"}, "api_key"),
]


@pytest.mark.parametrize(("document", "param"), REFUSALS, ids=str)
def test_a_refusal_names_the_field(document: Json, param: str) -> None:
    """In the caller's own terms."""
    error = refused(**document)

    assert param == error.param
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("named", "here"),
    [
        ("max_tokens", "max_output_tokens"),
        ("response_format.json_schema", "text.format"),
        ("messages[1].content", "input"),
        ("reasoning_effort", "reasoning.effort"),
        ("temperature", "temperature"),
        (None, None),
    ],
)
def test_an_upstreams_refusal_names_the_callers_field(named: str | None, here: str | None) -> None:
    """Though the upstream knows it by the name that chat completions have."""
    error = StatusError(f"{named}: is out of range", status=400, param=named)
    status, _, body = OPENAI_RESPONSES.encode_error(error)
    told = json.loads(body)["error"]

    assert (400, here, f"{here}: is out of range") == (status, told["param"], told["message"])


def test_a_tool_that_is_not_known_may_have_any_name() -> None:
    """It is left out; tools that come with the conversation are offered beside it."""
    item = {"type": "additional_tools", "tools": [FUNCTION]}

    assert ["f"] == names({"type": "x", "name": ["a"]}, {"type": "x", "name": {}}, input=[item, HELLO])


def test_many_items_that_bring_a_tool_cost_what_one_that_brings_them_all_does() -> None:
    """A caller may send as many as a body holds, and all others wait meanwhile."""
    tools = [{"type": "function", "name": f"f{number}"} for number in range(1000)]

    def steps(*groups: list[Json]) -> int:
        items = [{"type": "additional_tools", "tools": group} for group in groups]
        return lines(lambda: read(input=[*items, HELLO]))

    assert steps(*([tool] for tool in tools)) < 3 * steps(tools)


@pytest.mark.parametrize("stop", [[], ""])
def test_a_stop_that_says_nothing_is_left_out(stop: Any) -> None:
    """Some servers refuse it."""
    assert {"seed": 7} == read(stop=stop, seed=7).fields
