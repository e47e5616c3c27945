"""Slips in paths and in the names of fields are answered with what was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.sockets import ask, request

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
        ("/v1/v1/messages", "/v1/messages is here"),
        ("/v1/audio/speech", "GET /docs lists what there is"),
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
