"""A conversation that another server has answered goes on: what it left there, and an upstream refuses, is left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai.config import parse_config
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.testing.server import Request
from tests.support.sockets import Answer, ask, listening, request

Json = dict[str, Any]

HI = {"role": "user", "content": "Hi"}
OPEN = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}], "encrypted_content": None}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "7"}

#: What OpenAI's server says of items that are not its own, and what it is asked then. The items were given with ids.
ITEMS: list[tuple[str, list[Json], list[Json]]] = [
    (
        "Invalid 'input[1].content': array too long. Expected an array with maximum length 0, but got one with length 1.",
        [HI, OPEN, {**SEALED, "content": OPEN["content"]}, SAID, HI],
        [HI, SEALED, SAID, HI],
    ),
    (
        "Invalid 'input[1].id': 'chatcmpl-1'. Expected an ID that begins with 'msg'.",
        [HI, SEALED, {**SAID, "id": "chatcmpl-1"}, {**CALL, "id": "item_1"}, RESULT],
        [HI, SEALED, SAID, CALL, RESULT],
    ),
    (
        "Item with id 'msg_1' not found. Items are not persisted when `store` is set to false.",
        [HI, {**SAID, "id": "msg_1"}, HI],
        [HI, SAID, HI],
    ),
    (
        "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_2'.",
        [HI, {**CALL, "id": "fc_1"}, RESULT],
        [HI, CALL, RESULT],
    ),
    (
        "The encrypted content gAAA... could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
        [HI, SEALED, {**CALL, "id": "fc_1"}, RESULT],
        [HI, CALL, RESULT],
    ),
    ("Item 'rs_1' of type 'reasoning' was provided without its required following item.", [HI, SEALED, HI], [HI, HI]),
]

THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "of-another"}
HIDDEN = {"type": "redacted_thinking", "data": "of-another"}
TEXT = {"type": "text", "text": "A"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
USED = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": ""}]}],
}
USED_BY_KIMI = {"type": "tool_result", "tool_use_id": "functions.f:0", "content": "7"}
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 2000}}


def says(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


#: The same of Anthropic's: what it says, the turns and fields that it is asked with, and those of the second request.
TURNS: list[tuple[str, Json, Json]] = [
    (
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        {"messages": [HI, says(THOUGHT, HIDDEN, TEXT), HI], **THINKS},
        {"messages": [HI, says(TEXT), HI], **THINKS},
    ),
    (
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        {"messages": [HI, says(THOUGHT), HI, says(THOUGHT, USE), USED], **THINKS},
        {"messages": [HI, HI, says(USE), USED]},
    ),
    (
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
        {"messages": [HI, says(USE), USED], **THINKS},
        {"messages": [HI, says(USE), USED]},
    ),
    (
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        {"messages": [HI, says({**USE, "id": "functions.f:0"}), {"role": "user", "content": [USED_BY_KIMI]}]},
        {
            "messages": [
                HI,
                says({**USE, "id": "functions_f_0"}),
                {"role": "user", "content": [{**USED_BY_KIMI, "tool_use_id": "functions_f_0"}]},
            ]
        },
    ),
    (
        "messages: text content blocks must be non-empty",
        {"messages": [HI, says({"type": "text", "text": ""}, USE), USED], "system": [{"type": "text", "text": " "}, TEXT]},
        {
            "messages": [
                HI,
                says(USE),
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_1",
                            "content": [{"type": "text", "text": "(no content)"}],
                        }
                    ],
                },
            ],
            "system": [TEXT],
        },
    ),
]


@asynccontextmanager
async def gateway(kind: str, upstream: Callable[[Request], Script]) -> AsyncIterator[tuple[int, ScriptedServer]]:
    async with ScriptedServer(upstream) as server:
        keys = (
            f'kind = "anthropic"\nbase_url = "{server.url}"\napi_key = "k"'
            if kind == "anthropic"
            else f'kind = "openai"\nbase_url = "{server.url}/v1"\napi = "responses"'
        )
        config = parse_config(f'[upstreams.u]\n{keys}\n[models.llama]\nroute = ["u"]\n', {})
        async with listening(create_app(config)) as place:
            yield place.port, server


def refusing_first(said: str, answer: Script, whole: Script) -> Callable[[Request], Script]:
    """An upstream that refuses the first request with *said*, and answers the others."""
    asked = []

    def play(request: Request) -> Script:
        asked.append(request)
        if len(asked) == 1:
            error = {"type": "invalid_request_error", "message": said}
            return Script.status(400, {"type": "error", "error": error})
        return answer if request.json().get("stream") else whole

    return play


async def post(port: int, path: str, body: Json) -> Answer:
    return await ask(port, request("POST", path, {"model": "llama", **body}))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("said", "given", "expected"), ITEMS)
async def test_items_of_another_server_are_left_out(said: str, given: list[Json], expected: list[Json], stream: bool) -> None:
    """Their ids too, by which nothing is found there; the caller is answered."""
    play = refusing_first(said, Script.responses("Hello"), Script.response("Hello"))
    async with gateway("responses", play) as (port, upstream):
        answer = await post(port, "/v1/responses", {"input": given, "store": False, "stream": stream})

    assert 200 == answer.status
    assert [given, expected] == [asked.json()["input"] for asked in upstream.requests]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("said", "given", "expected"), TURNS)
async def test_turns_of_another_server_are_such_as_the_api_takes(said: str, given: Json, expected: Json, stream: bool) -> None:
    """Thoughts that another one signed, and texts without a word; the caller is answered."""
    play = refusing_first(said, Script.messages("Hello"), Script.message("Hello"))
    async with gateway("anthropic", play) as (port, upstream):
        answer = await post(port, "/v1/messages", {"max_tokens": 9000, **given, "stream": stream})

    first, second = ({name: asked.json().get(name) for name in (*given, "thinking")} for asked in upstream.requests)
    assert 200 == answer.status
    assert {**first, **given} == first
    assert {"thinking": None, **expected} == second


async def test_thoughts_of_chat_callers_that_another_server_signed_are_left_out() -> None:
    """They come back in a member of their own."""
    turn = {"role": "assistant", "content": "A", "thinking_blocks": [THOUGHT]}
    play = refusing_first("Invalid `signature` in `thinking` block", Script.messages("Hello"), Script.message("Hello"))
    async with gateway("anthropic", play) as (port, upstream):
        answer = await post(port, "/v1/chat/completions", {"messages": [HI, turn, HI]})

    assert 200 == answer.status
    assert [THOUGHT, TEXT] == upstream.requests[0].json()["messages"][1]["content"]
    assert [TEXT] == upstream.requests[1].json()["messages"][1]["content"]


@pytest.mark.parametrize(
    ("kind", "path", "body", "said"),
    [
        ("anthropic", "/v1/messages", {"messages": [HI, says(THOUGHT, TEXT), HI], "max_tokens": 9}, TURNS[0][0]),
        ("responses", "/v1/responses", {"input": [HI, SEALED, SAID, HI], "store": False}, ITEMS[4][0]),
    ],
)
async def test_other_conversations_keep_their_thoughts(kind: str, path: str, body: Json, said: str) -> None:
    """That one's were of another server says nothing of the next one's."""
    answers = {"anthropic": (Script.messages("Hello"), Script.message("Hello"))}
    play = refusing_first(said, *answers.get(kind, (Script.responses("Hello"), Script.response("Hello"))))
    async with gateway(kind, play) as (port, upstream):
        await post(port, path, body)
        await post(port, path, body)

    name = "messages" if kind == "anthropic" else "input"
    first, _, third = (json.dumps(asked.json()[name]) for asked in upstream.requests)
    assert first == third


@pytest.mark.parametrize("said", ["Invalid value: 'input[0].content'", "The encrypted content could not be verified."])
async def test_a_refusal_of_what_is_not_there_goes_to_the_caller(said: str) -> None:
    """Nothing is asked twice."""
    async with gateway("responses", lambda asked: Script.status(400, {"error": {"message": said}})) as (port, upstream):
        answer = await post(port, "/v1/responses", {"input": [HI], "store": False})

    assert 400 == answer.status
    assert 1 == len(upstream.requests)
