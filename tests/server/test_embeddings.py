"""Embeddings and rankings through the server, its gateway and real sockets: failover, errors, counts; and in Python."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.config import RetryConfig
from autonomousai.embeddings import pack_vector
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import StatusError
from autonomousai.events import Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.testing import Pause, Script, ScriptedProvider, ScriptedServer, document_script, embedding_list, embeddings
from autonomousai.testing.server import Request
from tests.proof.test_faults import CASES, PATIENCE
from tests.support.sockets import Answer, Connection, ask, listening, request

EMBED = "/v1/embeddings"
RERANK = "/v1/rerank"
INPUT: dict[str, Any] = {"model": "llama", "input": ["a", "b"]}
QUERY: dict[str, Any] = {"model": "llama", "query": "q", "documents": ["a", "b"]}
VECTOR = [0.25, -0.5, 1.0]


def gateway(*providers: AsyncGeneratorProvider, attempts: int = 2) -> Gateway:
    upstreams = [Upstream(f"u{number}", provider) for number, provider in enumerate(providers)]
    route = [upstream.name for upstream in upstreams]
    return Gateway(upstreams, {"llama": route}, retry=RetryConfig(attempts=attempts, backoff=0), total=PATIENCE)


def client(server: ScriptedServer, **options: Any) -> OpenAICompatible:
    return OpenAICompatible(f"{server.url}/v1", retries=0, **options)


async def post(provider: AsyncGeneratorProvider, path: str, body: Any) -> Answer:
    async with listening(create_app(provider=provider)) as server:
        return await ask(server.port, request("POST", path, body))


@pytest.mark.parametrize("path", [EMBED, "/embeddings"])
async def test_vectors_of_an_upstream(path: str) -> None:
    """It is asked at its own path; the answer says who answered."""
    async with ScriptedServer() as server:
        got = await post(gateway(client(server, model="up")), path, {**INPUT, "dimensions": 3})

    document = got.json()
    assert ("/v1/embeddings", {**INPUT, "model": "up", "dimensions": 3}) == (server.requests[0].path, server.requests[0].json())
    assert (200, [VECTOR, VECTOR], "u0") == (
        got.status,
        [each["embedding"] for each in document["data"]],
        document["x_autonomousai"]["upstream"],
    )


async def test_a_ranking_of_an_upstream() -> None:
    """As it says it."""
    async with ScriptedServer() as server:
        got = await post(gateway(client(server)), RERANK, {**QUERY, "top_n": 1})

    assert ("/v1/rerank", [{"index": 0, "relevance_score": 1.0}]) == (server.requests[0].path, got.json()["results"])


async def test_vectors_of_a_server_that_takes_no_format() -> None:
    """OpenAI's libraries always want base64: the caller gets it, and the server is not asked for it again."""

    def play(asked: Request) -> Script:
        if "encoding_format" in asked.json():
            return Script.status(400, {"error": {"message": "UnsupportedParamsError: {'encoding_format': 'base64'}"}})
        return Script.body(json.dumps(embedding_list([0.5, -1.0])).encode())

    async with ScriptedServer(play) as server:
        provider = gateway(client(server))
        async with listening(create_app(provider=provider)) as place:
            got = [await ask(place.port, request("POST", EMBED, {"input": "a", "encoding_format": "base64"})) for _ in range(2)]

    assert [pack_vector([0.5, -1.0])] * 2 == [each.json()["data"][0]["embedding"] for each in got]
    assert 3 == len(server.requests)


async def test_a_ranking_has_what_was_asked_for() -> None:
    """No more than ``top_n``, the best first, and the documents, where an upstream has its own names and ignores all that."""
    ranked = [{"index": 0, "score": 0.1}, {"index": 1, "score": 0.9}, {"index": 2, "score": 0.5}]
    asked = {"query": "x", "documents": ["a", {"text": "b"}, "c"], "top_n": 2, "return_documents": True}
    async with ScriptedServer(Script.body(json.dumps(ranked).encode())) as server:
        got = await post(gateway(client(server)), RERANK, asked)

    assert [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}},
        {"index": 2, "relevance_score": 0.5, "document": {"text": "c"}},
    ] == got.json()["results"]


@pytest.mark.parametrize(("path", "body"), [(EMBED, INPUT), (RERANK, QUERY)])
@pytest.mark.parametrize("fault", [name for name, (_, right) in CASES.items() if right.clocks["idle"] == PATIENCE])
async def test_every_fault_is_mended_by_the_next_upstream(fault: str, path: str, body: Any) -> None:
    """Or told, where it is the caller's own. What is no JSON of this kind is no answer."""
    script, right = CASES[fault]
    async with ScriptedServer(script()) as faulty, ScriptedServer() as healthy:
        got = await post(gateway(client(faulty), client(healthy)), path, body)

    told = right.status != 200 and not right.next
    assert right.status if told else 200 == got.status
    assert told or "u1" == got.json()["x_autonomousai"]["upstream"]


async def test_a_missing_vector_is_asked_for_elsewhere() -> None:
    """An upstream that leaves one out has answered nothing."""
    short = Script.body(json.dumps(embedding_list([1.0])).encode())
    async with ScriptedServer(short) as faulty, ScriptedServer() as healthy:
        got = await post(gateway(client(faulty), client(healthy)), EMBED, {"input": ["a", "b"]})

    assert (200, 2, "u1") == (got.status, len(got.json()["data"]), got.json()["x_autonomousai"]["upstream"])


@pytest.mark.parametrize(("path", "body"), [(EMBED, INPUT), (RERANK, QUERY)])
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_where_no_server_has_the_path_the_caller_hears_so(status: int, path: str, body: Any) -> None:
    """With a 404 of its own code."""
    async with ScriptedServer(Script.status(status)) as server:
        got = await post(gateway(client(server)), path, body)

    assert (404, "unsupported_endpoint") == got.told


@pytest.mark.parametrize(("path", "body"), [(EMBED, INPUT), (RERANK, QUERY)])
@pytest.mark.parametrize(
    "provider",
    [LlamaCpp(), AutonomousAI("http://127.0.0.1:1", api_key=""), ScriptedProvider(wires=())],
    ids=["engine", "autonomousai", "scripted"],
)
async def test_who_makes_none_is_not_asked(provider: AsyncGeneratorProvider, path: str, body: Any) -> None:
    """The embedded engine neither; the error says what does."""
    alone = gateway(provider)
    async with ScriptedServer() as server:
        refused = await post(alone, path, body)
        mixed = await post(gateway(provider, client(server)), path, body)

    assert (404, "unsupported_endpoint") == refused.told
    assert "kind openai" in refused.error["message"]
    assert (200, 1) == (mixed.status, len(mixed.json()["x_autonomousai"]["attempts"]))


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (EMBED, {"input": ""}, "input"),
        (EMBED, {"input": []}, "input"),
        (EMBED, {}, "input"),
        (RERANK, {"query": "q"}, "documents"),
    ],
)
async def test_what_is_malformed_is_a_400(port: int, path: str, body: Any, param: str) -> None:
    """That names the field."""
    got = await ask(port, request("POST", path, body))

    assert (400, param) == (got.status, got.error["param"])


async def test_answers_are_counted() -> None:
    """Tokens, by model and upstream, as those of any answer."""
    provider = ScriptedProvider(embeddings(VECTOR, usage=Usage(7, 0, 7)))
    async with listening(create_app(provider=gateway(provider))) as server:
        await ask(server.port, request("POST", EMBED, {**INPUT, "input": "a"}))
        metrics = (await ask(server.port, request("GET", "/metrics"))).body.decode()

    for line in (
        'autonomousai_tokens_total{kind="prompt",model="llama",upstream="u0"} 7',
        'autonomousai_requests_total{route="/v1/embeddings",status="200"} 1',
        'autonomousai_attempts_total{model="llama",outcome="ok",upstream="u0"} 1',
    ):
        assert line in metrics.replace(".0\n", "\n")


async def test_a_caller_who_leaves_stops_the_upstream() -> None:
    """While it is still waited for."""
    pause = Pause()
    async with ScriptedServer(Script(pause).then(*document_script(embedding_list(VECTOR)).steps)) as upstream:
        async with listening(create_app(provider=gateway(client(upstream)))) as server:
            async with Connection(server.port) as connection:
                await connection.send(request("POST", EMBED, INPUT))
                await pause.reached.wait()
            async with asyncio.timeout(PATIENCE):
                end = await (await upstream.request(0)).over()

    assert "left" == end


# ---- in Python


@pytest.mark.parametrize("encoding_format", ["float", "base64", None])
async def test_embed(encoding_format: str | None) -> None:
    """A provider's own front: vectors, whatever goes over the wire."""
    async with ScriptedServer() as server, client(server) as provider:
        got = await provider.embed(model="m", input=["a", "b"], dimensions=3, encoding_format=encoding_format, timeout=60)

    asked = server.requests[0].json()
    assert ([VECTOR, VECTOR], "scripted", Usage(1, 0, 1)) == (got.vectors, got.model, got.usage)
    assert ({"model": "m", "input": ["a", "b"], "dimensions": 3}, encoding_format) == (
        {name: asked[name] for name in ("model", "input", "dimensions")},
        asked.get("encoding_format"),
    )


async def test_embed_through_a_gateway() -> None:
    """With its failover."""
    async with ScriptedServer("server_error") as bad, ScriptedServer() as good:
        async with gateway(client(bad), client(good), attempts=1) as provider:
            got = await provider.embed(model="llama", input="a")

    assert ([VECTOR], 1, 1) == (got.vectors, len(bad.requests), len(good.requests))


def test_embed_for_a_blocking_caller() -> None:
    """The same."""
    provider = ScriptedProvider()
    try:
        assert [VECTOR] == provider.create_embeddings(model="llama", input="a").vectors
    finally:
        provider.close()


async def test_embed_where_nothing_can() -> None:
    """An error that says so, before anything is asked."""
    with pytest.raises(StatusError, match="makes embeddings"):
        await ScriptedProvider(wires=()).embed(model="llama", input="a")
    with pytest.raises(ValueError, match="input"):
        await ScriptedProvider().embed(model="llama", input=[])
