"""One answer fills no memory: it is bounded in size as well as in time, however it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible, StreamError
from autonomousai.answer import Answer
from autonomousai.clients import remote
from autonomousai.events import ChoiceEvent, Extra, Reasoning, Started, ToolCallDelta
from autonomousai.gateway import Gateway, Upstream
from autonomousai.testing import Hang, Head, Script, ScriptedServer, Send, chunks
from tests.conftest import Serve
from tests.support.sockets import CHAT, HELLO, ask, request

MESSAGES = [{"role": "user", "content": "Hello"}]
BOUND = 20_000

PIECE = "x" * 1000


def endless(delta: str | dict[str, Any]) -> Script:
    """An answer that goes on for longer than the bound, and then stays open."""
    return Script(Head(), Send(chunks(*[delta] * 60, finish=None, done=False), every=4000), Hang())


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_STREAMED", BOUND)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "delta",
    [
        PIECE,
        {"reasoning_content": PIECE},
        {"refusal": PIECE},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": PIECE}}]},
        {"content": "", "unknown": PIECE},
    ],
    ids=["text", "reasoning", "refusal", "calls", "unknown"],
)
async def test_an_answer_without_end_is_ended(delta: Any, stream: bool) -> None:
    """With the text so far; the upstream is left, and not asked again."""
    async with ScriptedServer(endless(delta)) as server, OpenAICompatible(server.url, retries=2) as provider:
        with pytest.raises(StreamError) as caught:
            await provider.create_async_generator("m", MESSAGES, stream=stream).text()
        await server.requests[0].over()
    error = caught.value

    assert ("answer_too_large", False, 1) == (error.code, error.retryable, len(server.requests))
    assert set(error.partial) <= {"x"}
    assert (BOUND < len(error.partial) < 3 * BOUND) == (delta == PIECE)
    assert "20,000 characters" in str(error)


async def test_small_pieces_in_large_chunks_are_no_large_answer() -> None:
    """What counts is what is kept, not what came to say it."""
    script = Script.stream(*[{"content": "ab", "padding_of_a_server": None}] * 500)
    async with ScriptedServer(script) as server, OpenAICompatible(server.url) as provider:
        text = await provider.create_async_generator("m", MESSAGES, stream=True).text()

    assert "ab" * 500 == text


@pytest.mark.usefixtures("transport")
async def test_a_servers_caller_is_told(serve: Serve) -> None:
    """Inside the stream, and no other upstream is asked for the rest."""
    async with ScriptedServer(endless(PIECE)) as first, ScriptedServer() as second:
        gateway = Gateway(
            [Upstream("a", OpenAICompatible(first.url)), Upstream("b", OpenAICompatible(second.url))], {"llama": ["a", "b"]}
        )
        running = await serve(gateway)
        answer = await ask(running.port, request("POST", CHAT, {**HELLO, "stream": True}))
    last = json.loads(answer.body.split(b"\n\n")[-2].removeprefix(b"data: "))

    assert (200, "answer_too_large") == (answer.status, last["error"]["code"])
    assert answer.body.count(b"x") < 3 * BOUND
    assert [1, 0] == [len(first.requests), len(second.requests)]


def test_all_that_an_answer_keeps_has_a_size() -> None:
    """Text, reasoning, calls, other choices, and what is not known."""
    for event in (
        PIECE,
        Reasoning(PIECE),
        ToolCallDelta(0, arguments=PIECE),
        ChoiceEvent(1, PIECE),
        Extra({"a": PIECE}, 0, "w"),
    ):
        answer = Answer()
        answer.add([Started("m"), event])

        assert 1000 <= answer.size < 1300
