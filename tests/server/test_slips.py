"""Slips in paths and in the names of fields are answered with what was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.config import Config, ModelConfig, OpenAIConfig
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedProvider, ScriptedServer
from tests.conftest import Serve
from tests.support.metrics import counted
from tests.support.sockets import ask, listening, request

ASKED: dict[str, Any] = {"model": "llama"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/chat/completion", "did you mean /v1/chat/completions?"),
        ("/chat/completion", "did you mean /v1/chat/completions?"),
        ("/v1/message", "did you mean /v1/messages?"),
        ("/v1/messages/count_token", "did you mean /v1/messages/count_tokens?"),
        ("/v1/response", "did you mean /v1/responses?"),
        ("/v1/embedding", "did you mean /v1/embeddings?"),
        ("/v1/completion", "did you mean /v1/completions?"),
        ("/v1/rank", "did you mean /v1/rerank?"),
        ("/v1/model", "did you mean /v1/models?"),
        ("/v2/messages", "/v1/messages is here"),
        ("/openai/deployments/llama/audio/speech", "GET /docs lists what there is"),
        ("/v1/audio/speech", "GET /docs lists what there is"),
        ("/v1/responses/compact", "conversations are not compacted here; ask the model for a summary, and continue with that"),
        ("/responses/compact", "conversations are not compacted here; ask the model for a summary, and continue with that"),
        (
            "/v1/conversations/conv_1/items",
            "conversations are not kept here; send previous_response_id, or all items of the conversation",
        ),
    ],
)
async def test_a_path_that_is_nearly_one_of_ours(port: int, path: str, says: str) -> None:
    """A 404 that names it."""
    got = await ask(port, request("POST", path, ASKED))

    assert 404 == got.status
    assert got.json()["error"]["message"].endswith(says)


@pytest.mark.parametrize(
    ("path", "sent", "says"),
    [
        ("/v1/embeddings", {"messages": []}, "input: is missing; send a text, or a list of texts, in place of 'messages'"),
        ("/v1/embeddings", {"input": "x", "messages": []}, "messages: is no field of this request; leave it out"),
        (
            "/v1/embeddings",
            {"input": "x", "api_key": "k"},
            "api_key: is an option of clients, not a field of a request; leave it out",
        ),
        (
            "/v1/completions",
            {"messages": []},
            "prompt: is missing; send the text that is to be continued, in place of 'messages'",
        ),
        ("/v1/rerank", {"query": "x", "texts": []}, "documents: is missing; send a list of texts, in place of 'texts'"),
        ("/v1/chat/completions", {"message": []}, "in place of 'message'"),
        ("/v1/chat/completions", {"temperature": 1}, 'send a list such as [{"role": "user", "content": "Hello"}]'),
        ("/v1/messages", {"messages": [], "max_token": 1}, "say how many tokens the answer may have, in place of 'max_token'"),
        ("/v1/responses", {"messages": []}, "in place of 'messages'"),
    ],
)
async def test_a_field_that_is_missing(port: int, path: str, sent: Any, says: str) -> None:
    """A 400 that says what to send, and in place of what."""
    got = await ask(port, request("POST", path, {**ASKED, **sent}))

    assert 400 == got.status
    assert got.json()["error"]["message"].endswith(says)


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/v1/chat/completions", "/api/v1/chat/completions", "/api/chat/completions", "/openai/v1/chat/completions"),
        *("/api/openai/v1//chat/completions", "/openai/v1/chat/completions?api-version=preview", "/v1/v1/v1/chat/completions"),
        "/openai/deployments/llama/chat/completions?api-version=2024-10-21",
        "/v1/engines/llama/chat/completions",
        "/engines/llama/chat/completions",
    ],
)
async def test_a_path_of_another_server_is_ours(port: int, path: str) -> None:
    """What stands before it stays in base URLs; or a client adds a /v1 itself."""
    assert 200 == (await ask(port, request("POST", path, {"messages": [{"role": "user", "content": "Hi"}]}))).status


@pytest.mark.parametrize("before", ["/v1", "/api", "/ollama", "/ollama/api", "/v1/api"])
@pytest.mark.parametrize("path", ["/api/tags", "/api/version", "/api/ps", "/health"])
async def test_a_path_beside_answers_is_ours(port: int, before: str, path: str) -> None:
    """As answers are behind the same base URL."""
    got = await ask(port, request("GET", before + path))

    assert (200, False) == (got.status, "error" in got.json())


@pytest.mark.parametrize("path", ["/v1/v1/messages?beta=true", "/anthropic/v1/messages", "/api/v1/v1/messages"])
async def test_a_path_of_anothers_messages_is_ours(port: int, path: str) -> None:
    """Its errors have the shape of its API."""
    got = await ask(port, request("POST", path, {"messages": []}))

    assert (400, "error") == (got.status, got.json()["type"])


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/v1/models", "/api/models", "/openai/v1/models", "/openai/models", "/api/v1/models/llama", "/api/v0/models"),
        *("/v1/models/llama:latest", "/v1/models/library/llama"),
    ],
)
async def test_the_list_of_models_is_there_too(port: int, path: str) -> None:
    """And a model of it."""
    assert "llama" in (await ask(port, request("GET", path))).body.decode()


async def test_azures_path_names_the_model(serve: Serve, provider: ScriptedProvider) -> None:
    """Where the body names none: that one counts. Its clients send the key in a header of their own."""
    port = (await serve(api_keys=["sk-right"])).port
    sent: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    for path, body, key in (
        ("/openai/deployments/summary/chat/completions", sent, "sk-right"),
        ("/openai/deployments/summary/chat/completions", {**sent, "model": "llama"}, "sk-right"),
        ("/openai/deployments/nothing/chat/completions", sent, "sk-right"),
        ("/openai/deployments/summary/chat/completions", sent, "sk-wrong"),
    ):
        await ask(port, request("POST", path, body, api_key=key))

    assert ["summary", "llama"] == [call.model for call in provider.calls]


async def test_paths_of_other_servers_have_the_names_of_ours_in_metrics(port: int) -> None:
    """A caller who tries paths must not fill the memory."""
    for name in ("a", "b"):
        await ask(port, request("POST", f"/openai/deployments/{name}/chat/completions", {}))

    by_route = (await counted(port)).by("autonomousai_requests_total", "route")

    assert {("/v1/chat/completions",), ("/metrics",)} >= by_route.keys()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_is_asked_for_the_models_own_name(path: str, stream: bool) -> None:
    """Whatever a caller calls it: an alias, a name with `[1m]` behind it, which Claude Code takes off first, but not always, or
    with the tag that clients of Ollama put there."""
    async with ScriptedServer(Script.stream("Hi", finish="stop")) as upstream:
        config = Config(
            upstreams={"far": OpenAIConfig(f"{upstream.url}/v1")},
            models={"big": ModelConfig(aliases=("large",), route=("far",))},
        )
        async with listening(create_app(config)) as place:
            said: Any = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "stream": stream}
            if path == "/v1/responses":
                said = {"input": "Hi", "stream": stream, "store": False}
            names = ("big", "large", "big[1m]", "large[1M]", "big[1M][1m]", "large:latest")
            answers = [await ask(place.port, request("POST", path, {**said, "model": name})) for name in names]
            refused = await ask(place.port, request("POST", path, {**said, "model": "[1m]big"}))

    assert [200] * 6 + [404] == [answer.status for answer in (*answers, refused)]
    assert ["big"] * 6 == [asked.json()["model"] for asked in upstream.requests]


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/reranking", "/reranking", "/api/v1/reranking"])
async def test_rankings_are_found_where_others_have_them(port: int, path: str) -> None:
    """At Cohere's path, and at those of llama.cpp's server."""
    got = await ask(port, request("POST", path, {"query": "x"}))

    assert (400, "documents") == (got.status, got.json()["error"]["param"])
