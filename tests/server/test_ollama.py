"""Ollama's own API through the server, its gateway and real sockets: answers, broken ones, silence, models, errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from autonomousai import OpenAICompatible
from autonomousai.config import Config, ServerConfig
from autonomousai.errors import IncompleteStreamError
from autonomousai.events import Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import Pause, ScriptedProvider, ScriptedServer, answer
from tests.conftest import Serve
from tests.support.sockets import Answer, Connection, ask, listening, request

CHAT = "/api/chat"
ASKED: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}


def lines(got: Answer) -> list[Any]:
    return [json.loads(line) for line in got.body.splitlines()]


async def test_an_answer_streamed_and_complete(serve: Serve) -> None:
    """Lines of JSON, of which the last is done; or one document."""
    port = (await serve()).port

    streamed = await ask(port, request("POST", CHAT, ASKED))
    whole = await ask(port, request("POST", CHAT, {**ASKED, "stream": False}))
    generated = await ask(port, request("POST", "/api/generate", {"model": "llama", "prompt": "Hello"}))

    assert (200, "application/x-ndjson") == (streamed.status, streamed["content-type"])
    assert "Hello world" == "".join(line["message"]["content"] for line in lines(streamed))
    assert [True] == [line["done"] for line in lines(streamed) if line["done"]]
    assert ("Hello world", True, "stop") == (
        whole.json()["message"]["content"],
        whole.json()["done"],
        whole.json()["done_reason"],
    )
    assert "Hello world" == "".join(line["response"] for line in lines(generated))


async def test_an_answer_says_how_long_it_took(serve: Serve) -> None:
    """Streamed and complete; clients compute the tokens of a second from it."""
    port = (await serve()).port

    for stream in (True, False):
        end = lines(await ask(port, request("POST", CHAT, {**ASKED, "stream": stream})))[-1]
        assert end["total_duration"] >= end["prompt_eval_duration"] + end["load_duration"] >= 0 < end["eval_duration"]


async def test_a_model_is_loaded_and_unloaded_without_being_asked(serve: Serve, provider: ScriptedProvider) -> None:
    """One line that is done; a model that is not there is none."""
    port = (await serve()).port

    loaded = await ask(port, request("POST", CHAT, {"model": "llama", "messages": []}))
    unloaded = await ask(port, request("POST", "/api/generate", {"model": "llama", "keep_alive": 0, "stream": False}))

    assert ("application/x-ndjson", ["load"]) == (loaded["content-type"], [line["done_reason"] for line in lines(loaded)])
    assert ("unload", "") == (unloaded.json()["done_reason"], unloaded.json()["response"])
    assert not provider.calls


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content_type": "application/x-www-form-urlencoded"}, 200),
        ({"content_type": "application/x-www-form-urlencoded", "origin": "http://evil.example"}, 415),
        ({"content_type": "text/plain", "sec_fetch_site": "cross-site"}, 415),
    ],
    ids=str,
)
async def test_programs_need_not_say_that_it_is_json(serve: Serve, headers: dict[str, str], status: int) -> None:
    """As `curl -d` sends it; a page, which always says whose it is, must."""
    port = (await serve()).port

    assert status == (await ask(port, request("POST", CHAT, json.dumps(ASKED).encode(), **headers))).status
    assert 415 == (await ask(port, request("POST", "/v1/chat/completions", json.dumps(ASKED).encode(), **headers))).status


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ({}, True),
        ({"accept": "text/html,*/*"}, True),
        ({"accept": "*/*", "user_agent": "curl/8.5"}, False),
        ({"accept": "application/json"}, False),
        ({"accept": "*/*", "user_agent": "Mozilla/5.0"}, True),
        ({"accept": "*/*", "sec_fetch_mode": "cors"}, True),
    ],
    ids=str,
)
async def test_programs_learn_that_ollama_runs(serve: Serve, headers: dict[str, str], is_page: bool) -> None:
    """Where they look for it; a browser gets the page, also where its own program loads it."""
    got = await ask((await serve()).port, request("GET", "/", **headers))

    assert (200, is_page) == (got.status, not got.body.startswith(b"Ollama is running, or rather autonomousai"))


async def test_a_model_that_is_here_is_pulled_and_listed(serve: Serve) -> None:
    """Clients pull what they want first. Of models elsewhere nothing is loaded here."""
    port = (await serve()).port

    pulled = await ask(port, request("POST", "/api/pull", {"model": "llama:latest"}))
    whole = await ask(port, request("POST", "/api/pull", {"name": "llama", "stream": False}))
    loaded = await ask(port, request("GET", "/api/ps"))

    assert ("application/x-ndjson", "success") == (pulled["content-type"], lines(pulled)[-1]["status"])
    assert {"status": "success"} == whole.json()
    assert {"models": []} == loaded.json()


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_the_path_may_stand_behind_another(serve: Serve, prefix: str) -> None:
    """As where a base URL for OpenAI's API is given to a client of Ollama's."""
    assert 200 == (await ask((await serve()).port, request("POST", prefix + CHAT, ASKED))).status


async def test_a_stream_is_not_to_be_resumed(serve: Serve) -> None:
    """Its lines have no ids; it is answered as any other."""
    got = await ask((await serve()).port, request("POST", CHAT, ASKED, x_stream_resumable="1"))

    assert ("Hello world", None) == (
        "".join(line["message"]["content"] for line in lines(got)),
        dict(got.headers).get("x-stream-id"),
    )


async def test_a_broken_answer_ends_with_an_error(serve: Serve, provider: ScriptedProvider) -> None:
    """No line is done then."""
    provider.play(["Hel", IncompleteStreamError()])

    got = lines(await ask((await serve()).port, request("POST", CHAT, ASKED)))

    assert "Hel" == got[0]["message"]["content"]
    assert ["error"] == list(got[-1])
    assert not any(line.get("done") for line in got)


async def test_a_broken_answer_is_continued_by_another_upstream() -> None:
    """The caller reads one answer."""
    broken = ScriptedProvider([Started("m"), "The", " sky", IncompleteStreamError()])
    whole = ScriptedProvider(answer("The", " sky", " is", " blue."))
    gateway = Gateway([Upstream("a", broken), Upstream("b", whole)], {"llama": ["a", "b"]})

    async with listening(create_app(provider=gateway)) as server:
        got = lines(await ask(server.port, request("POST", CHAT, ASKED)))

    assert ("The sky is blue.", True) == ("".join(line["message"]["content"] for line in got), got[-1]["done"])


async def test_a_silence_is_bridged_by_lines_that_say_nothing(provider: ScriptedProvider) -> None:
    """Lines of JSON have no comments."""
    pause = Pause()
    provider.play([pause, *answer("Hello")])
    app = create_app(Config(server=ServerConfig(keepalive_s=0.01)), provider=provider)

    async with listening(app) as server, Connection(server.port) as connection:
        await connection.send(request("POST", CHAT, ASKED))
        await connection.head()
        first = await connection.piece()
        pause.release()
        rest = first
        while b'"done":true' not in rest:
            rest += await connection.piece()

    said = [json.loads(line) for line in rest.splitlines()]
    assert "" == said[0]["message"]["content"]
    assert "Hello" == "".join(line["message"]["content"] for line in said)


async def test_the_models_are_listed_with_a_tag_and_found_by_it(serve: Serve) -> None:
    """Clients add the usual one to a name without any."""
    port = (await serve(ScriptedProvider(models=["llama", "own:7b"]))).port

    tags = (await ask(port, request("GET", "/api/tags"))).json()["models"]
    assert ["llama:latest", "own:7b"] == [model["name"] for model in tags]
    for name in ("llama:latest", "llama", "own:7b"):
        assert 200 == (await ask(port, request("POST", CHAT, {**ASKED, "model": name}))).status
        shown = (await ask(port, request("POST", "/api/show", {"model": name}))).json()
        assert "completion" in shown["capabilities"]
    assert "0." == (await ask(port, request("GET", "/api/version"))).json()["version"][:2]


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (request("POST", CHAT, {**ASKED, "model": "none"}), 404, "none"),
        (request("POST", "/api/show", {"model": "none"}), 404, "none"),
        (request("POST", "/api/show", {}), 400, "model"),
        (request("POST", CHAT, {"model": "none", "messages": []}), 404, "model 'none' not found"),
        (request("POST", CHAT, {"model": "llama", "messages": 1}), 400, "messages"),
        (request("GET", CHAT), 405, "not allowed"),
        (request("POST", "/api/pull", {"model": "none"}), 404, "autonomousai pull"),
        (request("POST", "/api/create", {"model": "llama"}), 404, "autonomousai models"),
        (request("POST", "/api/generate", {"prompt": "a", "raw": True}), 404, "completes a raw prompt"),
        (request("POST", "/api/embed", {"model": "llama", "input": "a"}), 404, "embeddings"),
    ],
)
async def test_errors_are_in_its_shape(serve: Serve, sent: bytes, status: int, says: str) -> None:
    """A text under `error`, whoever finds it."""
    got = await ask((await serve(ScriptedProvider(models=["llama"], wires=()))).port, sent)

    assert status == got.status
    assert says in got.json()["error"]


async def test_embeddings_of_an_upstream() -> None:
    """Of several texts, and the older way of one."""
    async with ScriptedServer() as server:
        upstream = OpenAICompatible(f"{server.url}/v1", model="up", retries=0)
        async with listening(create_app(provider=Gateway([Upstream("u", upstream)], {"llama": ["u"]}))) as ours:
            several = await ask(ours.port, request("POST", "/api/embed", {"model": "llama", "input": ["a", "b"]}))
            one = await ask(ours.port, request("POST", "/api/embeddings", {"model": "llama", "prompt": "a"}))

    assert [0.25, -0.5, 1.0] == several.json()["embeddings"][1] == one.json()["embedding"]
    assert ["/v1/embeddings"] * 2 == [each.path for each in server.requests]


async def test_who_leaves_stops_the_answer(serve: Serve, provider: ScriptedProvider) -> None:
    """As over every API."""
    provider.play(["Hello", Pause()])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, ASKED))
        await connection.head()
        await connection.piece()
    await asyncio.wait_for(serving.app.empty(), 30)
