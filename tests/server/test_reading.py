"""While a long prompt is read, a silent stream says how far that is: in comments, which are no part of any answer."""

from __future__ import annotations

import pytest

from autonomousai.batches import BatchStream
from autonomousai.config import Config, ServerConfig
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.server import create_app
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.sockets import CHAT, HELLO, Connection, events, listening, request, text_of

STREAM = {**HELLO, "stream": True}
TOLD = b": reading: 630 of 2100 tokens\n\n"


class SlowReader(ScriptedProvider):
    """Has read 630 of 2,100 tokens, and says nothing yet."""

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """As its script says."""
        assert options.answer is not None
        options.answer.reading = (630, 2100)
        return super().stream(request, options)


def slow_reader(pause: Pause) -> SlowReader:
    return SlowReader([pause, *answer("Hello")])


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/api/v1/ai/chat"])
async def test_a_silent_stream_says_how_far_the_prompt_is_read(path: str) -> None:
    """On every wire, in place of the comment that keeps it alive; the answer is as if nothing were."""
    pause = Pause()
    asked = {"input": "Hi", "store": False} if path == "/v1/responses" else {**HELLO, "max_tokens": 9}
    body = {"model": "llama", "stream": True, **asked}
    app = create_app(Config(server=ServerConfig(keepalive_s=0.01)), provider=slow_reader(pause))
    async with listening(app) as server, Connection(server.port) as connection:
        await connection.send(request("POST", path, body))
        status, _ = await connection.head()
        first = await connection.piece()
        pause.release()
        rest = await connection.until(b"0\r\n\r\n")

    assert (200, TOLD) == (status, first)
    assert b"Hello" in rest


async def test_who_can_come_back_hears_it_soon() -> None:
    """After a second, long before the stream would be taken for dead; once, as long as it does not change."""
    pause = Pause()
    app = create_app(Config(server=ServerConfig(keepalive_s=10_000)), provider=slow_reader(pause))
    async with listening(app) as server, Connection(server.port) as connection:
        await connection.send(request("POST", CHAT, STREAM, x_stream_resumable="1"))
        await connection.head()
        first = await connection.piece()
        pause.release()
        rest = await connection.until(b"[DONE]\n\n")

    assert TOLD == first
    assert "Hello" == text_of(events(rest))


async def test_without_news_nothing_is_said() -> None:
    """A stream of another upstream is kept alive as ever."""
    pause = Pause()
    provider = ScriptedProvider([pause, *answer("Hello")])
    app = create_app(Config(server=ServerConfig(keepalive_s=0.01)), provider=provider)
    async with listening(app) as server, Connection(server.port) as connection:
        await connection.send(request("POST", CHAT, STREAM))
        await connection.head()
        first = await connection.piece()
        pause.release()

    assert b": keep-alive\n\n" == first
