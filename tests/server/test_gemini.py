"""The Gemini API through the server and real sockets: paths, answers, broken ones, silence, keys, models, errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import Config, KeyConfig, ServerConfig
from autonomousai.errors import IncompleteStreamError, StatusError
from autonomousai.events import Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import Pause, ScriptedProvider, ScriptedServer, answer
from tests.conftest import Serve
from tests.support.sockets import Answer, Connection, ask, listening, request

ROOT = "/v1beta/models/llama"
ASK = f"{ROOT}:generateContent"
STREAM = f"{ROOT}:streamGenerateContent?alt=sse"
ARRAY = f"{ROOT}:streamGenerateContent"
ASKED: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def chunks(got: Answer) -> list[Any]:
    """Return the data of all events, of which there are none but these; and an error that stands there without framing."""
    events = got.body.decode().split("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in events if event]


def text_of(said: list[Any]) -> str:
    return "".join(part["text"] for chunk in said for part in chunk["candidates"][0]["content"]["parts"])


async def test_an_answer_streamed_and_complete(serve: Serve) -> None:
    """As events, as an array, and as one document."""
    port = (await serve()).port

    streamed = await ask(port, request("POST", STREAM, ASKED))
    array = await ask(port, request("POST", ARRAY, ASKED))
    whole = await ask(port, request("POST", ASK, ASKED))

    assert (200, "text/event-stream; charset=utf-8") == (streamed.status, streamed["content-type"])
    assert (200, "application/json") == (array.status, array["content-type"])
    assert "Hello world" == text_of(chunks(streamed)) == text_of(array.json()) == text_of([whole.json()])
    for said in (chunks(streamed), array.json(), [whole.json()]):
        assert ["STOP"] == [
            each["candidates"][0].get("finishReason") for each in said if "usageMetadata" in each or each is said[-1]
        ]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/llama:generateContent",
        "/v1alpha/models/llama:generateContent",
        "/v1beta1/models/llama:generateContent",
        "/models/llama:generateContent",
        "/v1beta/models/models/llama:generateContent",
        "//v1beta/models/llama:generateContent",
        "/v1beta/models/llama:generateContent?alt=%FF%C3%A9&x",
        "/v1/v1beta/models/llama:generateContent",
        "/gemini/v1beta/models/llama:generateContent",
        "/v1beta/models/l%6Cama%3AgenerateContent",
        "/v1beta1/publishers/google/models/llama:generateContent",
        "/v1/projects/p/locations/us/publishers/google/models/llama:generateContent",
    ],
)
async def test_the_path_may_be_of_another_version_or_stand_behind_another(serve: Serve, path: str) -> None:
    """As clients make it of their base URL."""
    got = await ask((await serve()).port, request("POST", path, {**ASKED, "model": "models/other"}))

    assert (200, "Hello world") == (got.status, text_of([got.json()]))


@pytest.mark.parametrize("name", ["own:7b", "meta/llama-3"])
async def test_a_model_may_have_any_name(serve: Serve, name: str) -> None:
    """With colons and slashes in it, too."""
    port = (await serve(ScriptedProvider(models=[name]))).port

    assert 200 == (await ask(port, request("POST", f"/v1beta/models/{name}:generateContent", ASKED))).status
    assert f"models/{name}" == (await ask(port, request("GET", f"/v1beta/models/{name}"))).json()["name"]


async def test_a_base_url_of_googles_for_openais_api_is_followed(serve: Serve) -> None:
    """`…/v1beta/openai/`, where only the host was changed."""
    body = {"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}
    got = await ask((await serve()).port, request("POST", "/v1beta/openai/chat/completions", body))

    assert (200, "chat.completion") == (got.status, got.json()["object"])


@pytest.mark.parametrize("path", [STREAM, ARRAY, ASK])
async def test_a_broken_answer_is_an_error(serve: Serve, provider: ScriptedProvider, path: str) -> None:
    """No chunk says that it ended, and an array is not closed."""
    provider.play(["Hel", IncompleteStreamError()])

    got = await ask((await serve()).port, request("POST", path, ASKED))

    if path == ASK:
        assert (502, "UNAVAILABLE") == (got.status, got.json()["error"]["status"])
        return
    said = json.loads(got.body + b"]") if path == ARRAY else chunks(got)
    if path == STREAM:
        bare = said.pop()
        assert bare == said[-1]
    assert "Hel" == text_of(said[:-1])
    assert (502, ["error"]) == (said[-1]["error"]["code"], list(said[-1]))
    assert b"finishReason" not in got.body
    if path == ARRAY:
        with pytest.raises(ValueError, match="delimiter"):
            got.json()


@pytest.mark.parametrize("path", [STREAM, ARRAY])
async def test_an_error_before_the_first_event_has_its_status(serve: Serve, provider: ScriptedProvider, path: str) -> None:
    """And says when to try again."""
    provider.play([StatusError("no room", status=429, retry_after=2)])

    got = await ask((await serve()).port, request("POST", path, ASKED))

    assert (429, "2", "RESOURCE_EXHAUSTED") == (got.status, got["retry-after"], got.json()["error"]["status"])


async def test_a_broken_answer_is_continued_by_another_upstream() -> None:
    """The caller reads one answer."""
    broken = ScriptedProvider([Started("m"), "The", " sky", IncompleteStreamError()])
    whole = ScriptedProvider(answer("The", " sky", " is", " blue."))
    gateway = Gateway([Upstream("a", broken), Upstream("b", whole)], {"llama": ["a", "b"]})

    async with listening(create_app(provider=gateway)) as server:
        got = chunks(await ask(server.port, request("POST", STREAM, ASKED)))

    assert ("The sky is blue.", "STOP") == (text_of(got), got[-1]["candidates"][0]["finishReason"])


@pytest.mark.parametrize("path", [STREAM, ARRAY])
async def test_a_silence_is_bridged_by_nothing_that_is_read(provider: ScriptedProvider, path: str) -> None:
    """Google's clients read a comment as JSON: lines that are empty have to do."""
    pause, again = Pause(), Pause()
    provider.play([pause, Started("m"), "Hello", again, *answer(" you")[1:]])
    app = create_app(Config(server=ServerConfig(keepalive_s=0.01)), provider=provider)

    async with listening(app) as server, Connection(server.port) as connection:
        await connection.send(request("POST", path, ASKED))
        await connection.head()
        got = await connection.piece()
        pause.release()
        while b"Hello" not in got:
            got += await connection.piece()
        silence = await connection.piece()
        again.release()
        rest = got + silence
        while b"finishReason" not in rest:
            rest += await connection.piece()

    if path == ARRAY:
        assert b"" == silence.strip()
    else:
        assert "" == text_of([json.loads(event.removeprefix(b"data: ")) for event in silence.split(b"\n\n") if event])
        assert all(not event or event.startswith(b"data: {") for event in rest.split(b"\n\n"))


async def test_a_stream_is_resumed_after_any_event(serve: Serve) -> None:
    """Over the same API, and over another one."""
    port = (await serve()).port
    got = await ask(port, request("POST", STREAM, ASKED, x_stream_resumable="1"))
    stream = f"/v1/streams/{got['x-stream-id']}"
    rest = await ask(port, request("GET", stream, last_event_id="1"))
    other = await ask(port, request("GET", f"{stream}?wire=openai_chat"))

    assert got.body.startswith(b"id: 1\ndata: ")
    assert got.body.partition(b"\n\n")[2] == rest.body
    assert b"chat.completion.chunk" in other.body


async def test_an_array_is_not_to_be_resumed(serve: Serve) -> None:
    """Nothing in it has a number; it is answered as any other."""
    got = await ask((await serve()).port, request("POST", ARRAY, ASKED, x_stream_resumable="1"))

    assert ("Hello world", None) == (text_of(got.json()), dict(got.headers).get("x-stream-id"))


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"x_goog_api_key": "sk-right"}, 200),
        ("", {"authorization": "Bearer sk-right"}, 200),
        ("?key=sk-right", {}, 200),
        ("?alt=sse&key=sk%2Dright", {}, 200),
        ("?key=sk-right", {"authorization": "Bearer sk-wrong"}, 401),
        ("?key=sk-wrong", {}, 401),
        ("?key=%FF%C3%A9", {}, 401),
        ("?key=", {}, 401),
        ("", {}, 401),
    ],
)
@pytest.mark.parametrize("named", [False, True])
async def test_a_key_stands_in_a_header_or_in_the_query(
    provider: ScriptedProvider, query: str, headers: dict[str, str], status: int, named: bool
) -> None:
    """A header goes first. With a name it is the one that the answer is counted for."""
    config = (
        Config(keys={"shop": KeyConfig(key="sk-right", wires=("google_gemini",))})
        if named
        else Config(server=ServerConfig(api_keys=("sk-right",)))
    )

    async with listening(create_app(config, provider=provider)) as server:
        got = await ask(server.port, request("POST", ASK + query, ASKED, **headers))
        listed = await ask(server.port, request("GET", "/v1beta/models" + query, **headers))

    assert (status, status) == (got.status, listed.status)
    if status == 401:
        assert "UNAUTHENTICATED" == got.json()["error"]["status"] == listed.json()["error"]["status"]


async def test_a_key_in_the_query_opens_nothing_of_admins(serve: Serve) -> None:
    """It might stand in another server's log."""
    port = (await serve(ScriptedProvider(), admin_keys=["sk-admin"])).port

    assert 401 == (await ask(port, request("GET", "/admin/keys?key=sk-admin"))).status


async def test_the_models_are_listed_and_found(serve: Serve) -> None:
    """At the path of each version; at the one of OpenAI's for who sends a key as Google's clients do."""
    port = (await serve(ScriptedProvider(models=["llama", "own:7b"]))).port

    for path in ("/v1beta/models", "/v1alpha/models?pageSize=5", "/gemini/v1beta/models"):
        listed = (await ask(port, request("GET", path))).json()
        assert ["models/llama", "models/own:7b"] == [model["name"] for model in listed["models"]]
    for path in ("/v1beta/models/own:7b", "/v1alpha/models/own:7b"):
        assert "own:7b" == (await ask(port, request("GET", path))).json()["displayName"]
    theirs = (await ask(port, request("GET", "/v1/models", x_goog_api_key="k"))).json()
    assert {"models"} == theirs.keys()
    assert "list" == (await ask(port, request("GET", "/v1/models"))).json()["object"]


@pytest.mark.parametrize(
    ("sent", "status", "word", "says"),
    [
        (request("POST", "/v1beta/models/none:generateContent", ASKED), 404, "NOT_FOUND", "none"),
        (request("POST", "/v1beta/models/{model}:generateContent", ASKED), 404, "NOT_FOUND", "{model}"),
        (request("GET", "/v1beta/models/none"), 404, "NOT_FOUND", "none"),
        (request("POST", ASK, {}), 400, "INVALID_ARGUMENT", "contents"),
        (request("POST", ASK, b"{", content_type="application/json"), 400, "INVALID_ARGUMENT", "JSON"),
        (request("POST", ASK, {**ASKED, "cachedContent": "c"}), 404, "NOT_FOUND", "cached content"),
        (request("POST", f"{ROOT}:countTokens", ASKED), 404, "NOT_FOUND", "count the tokens"),
        (request("POST", f"{ROOT}:embedContent", {"content": ASKED["contents"][0]}), 404, "NOT_FOUND", "embeddings"),
        (request("POST", f"{ROOT}:predict", {}), 404, "NOT_FOUND", "generateContent"),
        (request("DELETE", ROOT), 404, "NOT_FOUND", "generateContent"),
        (request("GET", "/v1beta/files"), 404, "NOT_FOUND", "inlineData"),
        (request("POST", "/v1beta/cachedContents", {}), 404, "NOT_FOUND", "complete conversation"),
        (request("POST", "/v1beta/interactions", {}), 404, "NOT_FOUND", "GET /docs"),
    ],
)
async def test_errors_are_in_its_shape(serve: Serve, sent: bytes, status: int, word: str, says: str) -> None:
    """Whoever finds them."""
    got = await ask((await serve(ScriptedProvider(models=["llama"], wires=()))).port, sent)

    assert (status, status, word) == (got.status, got.json()["error"]["code"], got.json()["error"]["status"])
    assert says in got.json()["error"]["message"]


async def test_embeddings_of_an_upstream() -> None:
    """Of one text, and of several."""
    content = {"parts": [{"text": "a"}]}
    async with ScriptedServer() as server:
        upstream = OpenAICompatible(f"{server.url}/v1", model="up", retries=0)
        async with listening(create_app(provider=Gateway([Upstream("u", upstream)], {"llama": ["u"]}))) as ours:
            one = await ask(ours.port, request("POST", f"{ROOT}:embedContent", {"content": content}))
            body = {"requests": [{"content": content}] * 2}
            several = await ask(ours.port, request("POST", f"{ROOT}:batchEmbedContents", body))

    assert [0.25, -0.5, 1.0] == one.json()["embedding"]["values"] == several.json()["embeddings"][1]["values"]
    assert ["/v1/embeddings"] * 2 == [each.path for each in server.requests]


async def test_it_is_counted_under_its_path(serve: Serve) -> None:
    """Without the model's name, whatever the caller sends."""
    port = (await serve()).port
    await ask(port, request("POST", ASK + "?key=sk-secret", ASKED))
    await ask(port, request("POST", "/v1/models/other:streamGenerateContent", ASKED))

    metrics = (await ask(port, request("GET", "/metrics"))).body.decode()
    assert 'route="/v1beta/models/{model}:generateContent"' in metrics
    assert 'route="/v1beta/models/{model}:streamGenerateContent"' in metrics
    assert "sk-secret" not in metrics


async def test_who_leaves_stops_the_answer(serve: Serve, provider: ScriptedProvider) -> None:
    """As over every API."""
    provider.play(["Hello", Pause()])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", STREAM, ASKED))
        await connection.head()
        await connection.piece()
    await asyncio.wait_for(serving.app.empty(), 30)
