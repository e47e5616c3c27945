"""A route of upstreams that speak different wires, asked over another: failover, rescue and tools, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from autonomousai import Anthropic, OpenAICompatible
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.settings import RetryConfig
from autonomousai.testing import Close, Script, ScriptedServer, chunks, message_event, message_events
from tests.support.sockets import Answer, ask, events, listening, request

Json = dict[str, Any]

CALLERS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
}
ASKED: Json = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "What colour has the sky?"}]}
TOOLS = {
    "chat": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "messages": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
}


class Kind(NamedTuple):
    """What an upstream of a wire says, and who asks it."""

    client: Callable[..., Any]
    says: Callable[..., Script]
    begins: Callable[..., bytes]
    calls: Callable[[], Script]


def chat_calls() -> Script:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
    more = {"index": 0, "function": {"arguments": "1}"}}
    return Script.stream({"tool_calls": [call]}, {"tool_calls": [more]}, finish="tool_calls")


KINDS = {
    "anthropic": Kind(
        Anthropic,
        Script.messages,
        lambda *texts: message_events(*texts, finish=None),
        lambda: Script.messages({"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}}, finish="tool_use"),
    ),
    "openai": Kind(
        lambda url, **options: OpenAICompatible(f"{url}/v1", **options),
        Script.stream,
        lambda *texts: chunks(*texts, finish=None, done=False),
        chat_calls,
    ),
}
ROUTES = [("anthropic", "openai"), ("openai", "anthropic")]

EVERY_WAY = [
    pytest.param(caller, stream, route, id=f"{caller}, {'streamed' if stream else 'whole'}, {'>'.join(route)}")
    for caller in CALLERS
    for stream in (True, False)
    for route in ROUTES
]
ways = pytest.mark.parametrize(("caller", "stream", "route"), EVERY_WAY)


class Route(NamedTuple):
    """Two upstreams behind a server."""

    port: int
    servers: list[ScriptedServer]

    async def ask(self, caller: str, stream: bool, **more: Any) -> Answer:
        return await ask(self.port, request("POST", CALLERS[caller], {**ASKED, "stream": stream, **more}))


@asynccontextmanager
async def serving(
    route: tuple[str, str], *scripts: Script | list[Script], prefill: str = "yes", attempts: int = 1
) -> AsyncIterator[Route]:
    """Serve a model whose upstreams are of these kinds and play these scripts."""
    played = [script if isinstance(script, list) else [script] for script in scripts]
    async with ScriptedServer(*played[0]) as first, ScriptedServer(*played[1]) as second:
        servers = [first, second]
        upstreams = [
            Upstream(name, KINDS[name].client(server.url, prefill=prefill, model=name, retries=0))
            for name, server in zip(route, servers, strict=True)
        ]
        gateway = Gateway(upstreams, {"m": list(route)}, retry=RetryConfig(attempts=attempts, backoff=0))
        async with listening(create_app(provider=gateway)) as place:
            yield Route(place.port, servers)


def text_of(caller: str, answer: Answer, stream: bool) -> str:
    """The whole text of an answer, as its caller reads it."""
    assert 200 == answer.status, answer.body
    if not stream:
        document = answer.json()
        if caller == "chat":
            return str(document["choices"][0]["message"]["content"])
        return "".join(block["text"] for block in document["content"] if block["type"] == "text")
    told = [event for event in events(answer.body) if event != "[DONE]"]
    assert not [event for event in told if event.get("error")], told
    if caller == "chat":
        choices = [choice for event in told for choice in event["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


def reason_of(caller: str, answer: Answer, stream: bool) -> Any:
    if not stream:
        document = answer.json()
        return document["choices"][0]["finish_reason"] if caller == "chat" else document["stop_reason"]
    told = [event for event in events(answer.body) if event != "[DONE]"]
    if caller == "chat":
        return next(choice["finish_reason"] for event in told for choice in event["choices"] if choice["finish_reason"])
    return next(event["delta"]["stop_reason"] for event in told if event["type"] == "message_delta")


STOP = {"chat": "stop", "messages": "end_turn"}
CALLED = {"chat": "tool_calls", "messages": "tool_use"}


@ways
async def test_the_first_upstream_answers_whatever_it_speaks(caller: str, stream: bool, route: tuple[str, str]) -> None:
    """And the second one is not asked."""
    async with serving(route, KINDS[route[0]].says("Blue", "."), Script.silence()) as place:
        answer = await place.ask(caller, stream)

        assert ("Blue.", STOP[caller]) == (text_of(caller, answer, stream), reason_of(caller, answer, stream))
        assert [] == place.servers[1].requests


@ways
@pytest.mark.parametrize("fault", ["status", "reset", "begins", "error"])
async def test_before_the_first_token_the_next_is_asked(caller: str, stream: bool, route: tuple[str, str], fault: str) -> None:
    """Also where the first had begun and said nothing yet."""
    faults = {
        "status": Script.status(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        "reset": Script.reset_before_headers(),
        "begins": Script.body(KINDS[route[0]].begins()).then(Close()),
        "error": Script.body(message_event({"type": "error", "error": {"type": "overloaded_error", "message": "no"}})),
    }
    async with serving(route, faults[fault], KINDS[route[1]].says("Blue", ".")) as place:
        answer = await place.ask(caller, stream)

        assert "Blue." == text_of(caller, answer, stream)
        assert 1 == len(place.servers[1].requests)


@ways
async def test_an_answer_that_breaks_is_continued_over_the_other_wire(
    caller: str, stream: bool, route: tuple[str, str]
) -> None:
    """From its last whole word; the caller gets each character once."""
    broken = Script.body(KINDS[route[0]].begins("The sky", " is bl")).then(Close())
    async with serving(route, broken, KINDS[route[1]].says(" blue", " today.")) as place:
        answer = await place.ask(caller, stream)
        asked = place.servers[1].requests[0].json()

    assert ("The sky is blue today.", STOP[caller]) == (text_of(caller, answer, stream), reason_of(caller, answer, stream))
    content = asked["messages"][-1]["content"]
    assert "The sky is" == (content if isinstance(content, str) else content[0]["text"])
    assert 200 == answer.status


@ways
async def test_an_answer_that_breaks_is_had_anew_where_none_continues(
    caller: str, stream: bool, route: tuple[str, str]
) -> None:
    """Where it says the same again; what was delivered is not delivered twice."""
    broken = Script.body(KINDS[route[0]].begins("The sky", " is bl")).then(Close())
    async with serving(route, [broken, Script.status(503)], KINDS[route[1]].says("The sky is blue."), prefill="no") as place:
        answer = await place.ask(caller, stream)

    assert "The sky is blue." == text_of(caller, answer, stream)


async def test_a_model_that_refuses_to_continue_is_asked_anew() -> None:
    """What it says to that is an answer to us, not to the caller."""
    refused = "This model does not support assistant message prefill. The conversation must end with a user message."
    broken = Script.body(KINDS["openai"].begins("The sky", " is bl")).then(Close())
    no = Script.status(400, {"type": "error", "error": {"type": "invalid_request_error", "message": refused}})
    async with serving(
        ("openai", "anthropic"), [broken, Script.status(503)], [no, Script.messages("The sky is blue.")], attempts=3
    ) as place:
        answer = await place.ask("chat", True)

    assert "The sky is blue." == text_of("chat", answer, True)


@ways
async def test_tools_are_called_over_any_wire(caller: str, stream: bool, route: tuple[str, str]) -> None:
    """With the same id, name and arguments; and their results come back as the upstream wants them."""
    async with serving(route, KINDS[route[0]].calls(), Script.silence()) as place:
        answer = await place.ask(caller, stream, tools=TOOLS[caller])
        asked = place.servers[0].requests[0].json()

    assert CALLED[caller] == reason_of(caller, answer, stream)
    assert [("call_1", "f", {"a": 1})] == calls_of(caller, answer, stream)
    written = asked["tools"][0]
    assert "f" == (written if route[0] == "anthropic" else written["function"])["name"]


def calls_of(caller: str, answer: Answer, stream: bool) -> list[tuple[str, str, Json]]:
    if not stream:
        if caller == "chat":
            calls = answer.json()["choices"][0]["message"]["tool_calls"]
            return [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
        return [
            (block["id"], block["name"], block["input"]) for block in answer.json()["content"] if block["type"] == "tool_use"
        ]
    told = [event for event in events(answer.body) if event != "[DONE]"]
    if caller == "chat":
        pieces = [call for event in told for choice in event["choices"] for call in choice["delta"].get("tool_calls", ())]
        arguments = "".join(piece["function"].get("arguments") or "" for piece in pieces)
        return [(pieces[0]["id"], pieces[0]["function"]["name"], json.loads(arguments))]
    block = next(event["content_block"] for event in told if event["type"] == "content_block_start")
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    return [(block["id"], block["name"], json.loads("".join(delta["partial_json"] for delta in deltas)))]


# ---- thinking that is signed

THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "first"}
OTHER = {"type": "thinking", "thinking": "well", "signature": "second"}
TWO = ("anthropic", "anthropic2")


@asynccontextmanager
async def two_that_think(*scripts: Script | list[Script]) -> AsyncIterator[Route]:
    played = [script if isinstance(script, list) else [script] for script in scripts]
    async with ScriptedServer(*played[0]) as first, ScriptedServer(*played[1]) as second:
        upstreams = [
            Upstream(name, Anthropic(server.url, prefill="yes")) for name, server in zip(TWO, (first, second), strict=True)
        ]
        gateway = Gateway(upstreams, {"m": list(TWO)}, retry=RetryConfig(attempts=1, backoff=0))
        async with listening(create_app(provider=gateway)) as place:
            yield Route(place.port, [first, second])


async def test_thinking_that_broke_is_never_joined_to_anothers() -> None:
    """Nothing signed twice, nothing unsigned: the caller is told that the answer broke."""
    broken = Script.body(message_events({"type": "thinking", "thinking": "hm"}, finish=None)).then(Close())
    async with two_that_think([broken, Script.status(503)], Script.messages(OTHER, "Blue.")) as place:
        answer = await place.ask("messages", True, thinking={"type": "adaptive"})

    told = events(answer.body)
    assert "error" == told[-1]["type"]
    assert "second" not in answer.body.decode()
    assert "well" not in answer.body.decode()


async def test_text_after_thinking_is_continued_without_any() -> None:
    """The first upstream's thinking keeps its signature, and is the only one."""
    broken = Script.body(message_events(THOUGHT, "The sky", " is bl", finish=None)).then(Close())
    async with two_that_think(broken, Script.messages(OTHER, " blue.")) as place:
        answer = await place.ask("messages", False, thinking={"type": "adaptive"})
        asked = place.servers[1].requests[0].json()

    assert [THOUGHT, {"type": "text", "text": "The sky is blue."}] == answer.json()["content"]
    assert "thinking" not in asked


async def test_thinking_that_no_caller_saw_is_given_up() -> None:
    """A chat caller sees no signature alone: the next upstream is asked."""
    hidden = {"type": "thinking", "thinking": "", "signature": "s"}
    broken = Script.body(message_events(hidden, finish=None)).then(Close())
    async with two_that_think(broken, Script.messages("Blue.")) as place:
        answer = await place.ask("chat", True)

    assert "Blue." == text_of("chat", answer, True)


@pytest.mark.parametrize("stream", [True, False])
async def test_blocks_keep_their_order_for_a_caller_of_the_same_wire(stream: bool) -> None:
    """Text between calls, thinking with its signature, and blocks that nobody here knows."""
    own = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u"}]}
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
    content = [THOUGHT, {"type": "text", "text": "a"}, own, found, {"type": "text", "text": "b"}, call]
    parts: list[Any] = [THOUGHT, "a", own, found, "b", call]
    async with serving(("anthropic", "openai"), Script.messages(*parts, finish="tool_use"), Script.silence()) as place:
        answer = await place.ask("messages", stream, unknown={"x": 1})
        asked = place.servers[0].requests[0].json()

    assert {**ASKED, "model": "anthropic", "stream": True, "unknown": {"x": 1}} == asked
    if not stream:
        assert content == answer.json()["content"]
        return
    told = events(answer.body)
    starts = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    assert [block["type"] for block in content] == [block["type"] for block in starts]
    assert "first" in answer.body.decode()
