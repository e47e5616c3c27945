"""A server that answers in another API than was asked: the error shows what came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from autonomousai import Anthropic, AsyncGeneratorProvider, AutonomousAI, IncompleteStreamError, OpenAICompatible
from autonomousai.testing import Script, ScriptedServer

CLIENTS: dict[str, Callable[[str], AsyncGeneratorProvider]] = {
    "chat": lambda url: OpenAICompatible(url, retries=0),
    "responses": lambda url: OpenAICompatible(url, api="responses", retries=0),
    "messages": lambda url: Anthropic(url, api_key="k", retries=0),
    "autonomousai": lambda url: AutonomousAI(url, retries=0),
}

STREAMS: dict[str, Any] = {
    "chat": {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hello"}}]},
    "responses": {"type": "response.output_text.delta", "item_id": "i", "delta": "Hello"},
    "messages": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    "a text": "upstream connect error",
}

_ANSWERS = {("autonomousai", "chat")}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("client", "sent"),
    [(client, sent) for client in CLIENTS for sent in STREAMS if client != sent and (client, sent) not in _ANSWERS],
)
async def test_what_came_is_shown(client: str, sent: str, stream: bool) -> None:
    """It says which API the server speaks, or that something before it has answered."""
    said = STREAMS[sent]
    body = said if isinstance(said, str) else f"data: {json.dumps(said)}\n\n"
    script = Script.status(200, body, headers={"Content-Type": "text/event-stream"})
    async with ScriptedServer(script) as server, CLIENTS[client](server.url) as provider:
        with pytest.raises(IncompleteStreamError) as caught:
            await provider.create_async_generator("llama", [{"role": "user", "content": "Hi"}], stream=stream)

    assert "what came is no event of this API: '" in str(caught.value)
    assert (said if isinstance(said, str) else next(iter(said.values()))) in str(caught.value)
