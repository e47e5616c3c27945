"""Raw prompts through the gateway over real sockets: each upstream is asked at its ``/completions``, with the prompt as it is;
what breaks is continued by the prompt and the text, and no chat template comes between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.answer import Answer
from autonomousai.config import RetryConfig
from autonomousai.errors import HTTPError, StatusError
from autonomousai.events import FinishReason
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.request import CallOptions
from autonomousai.result import AsyncResult
from autonomousai.testing import Close, Head, Script, ScriptedProvider, ScriptedServer, Send, event, text_chunks
from autonomousai.testing.documents import document_script, text_completion
from autonomousai.testing.server import Request
from autonomousai.wires.openai_completions.wire import OPENAI_COMPLETIONS
from tests.proof.test_faults import CASES, PATIENCE, Right

PROMPT = "Say: "
TEXT = "Hello world"


def honest(request: Request) -> Script:
    """A server that continues a prompt with what it lacks of the text."""
    asked = request.json()
    rest = TEXT[len(asked["prompt"].removeprefix(PROMPT)) :]
    return Script.body(text_chunks(rest)) if asked["stream"] else document_script(text_completion(rest))


def gateway(*providers: AsyncGeneratorProvider, attempts: int = 2) -> Gateway:
    upstreams = [Upstream(f"u{number}", provider) for number, provider in enumerate(providers)]
    route = [upstream.name for upstream in upstreams]
    return Gateway(upstreams, {"llama": route}, retry=RetryConfig(attempts=attempts, backoff=0), total=PATIENCE)


def client(server: ScriptedServer, **options: Any) -> OpenAICompatible:
    return OpenAICompatible(f"{server.url}/v1", prefill="no", retries=0, **options)


async def ask(provider: Gateway, **document: Any) -> AsyncResult:
    """The answer to a request as it comes over the wire, read to its end."""
    body = json.dumps({"model": "llama", "prompt": PROMPT, "stream": True, **document}).encode()
    request = OPENAI_COMPLETIONS.decode_request(body, "/v1/completions")
    answer = Answer()
    result = AsyncResult(provider.stream(request, CallOptions(answer=answer)), answer=answer)
    await result.text()
    return result


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_is_asked_at_its_own_path(stream: bool) -> None:
    """With the prompt as it came, under its own name of the model; streamed in any case."""
    async with ScriptedServer() as server, gateway(client(server, model="up")) as provider:
        result = await ask(provider, stream=stream, prompt="<|x|> a", suffix="b", top_k=3)

    asked = server.requests[0]
    assert ("POST", "/v1/completions", TEXT) == (asked.method, asked.path, result.answer.text)
    expected = {"model": "up", "prompt": "<|x|> a", "suffix": "b", "top_k": 3, "stream": True}
    assert {**expected, "stream_options": {"include_usage": True}} == asked.json()


@pytest.mark.parametrize(
    ("root", "path"),
    [("", "/v1/completions"), ("/v1", "/v1/completions"), ("/openai/v1", "/openai/v1/completions"), ("/x", "/x/completions")],
)
async def test_where_the_path_lies(root: str, path: str) -> None:
    """Under the base URL; at a bare root under /v1, where servers have it."""
    async with ScriptedServer() as server, gateway(OpenAICompatible(server.url + root)) as provider:
        await ask(provider)

    assert [path] == [request.path for request in server.requests]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", [name for name, (_, right) in CASES.items() if right.clocks["idle"] == PATIENCE])
async def test_every_fault_is_mended_by_the_next_upstream(fault: str, stream: bool) -> None:
    """Or told, where it is the caller's own; a broken text is continued from its end. The faults are those of chats, in their
    shape, which is understood here too."""
    script, right = CASES[fault]
    async with ScriptedServer(script(), "server_error") as faulty, ScriptedServer(honest) as healthy:
        async with gateway(client(faulty), client(healthy)) as provider:
            said = await outcome_of(provider, stream)

    assert right_of(right) == said
    assert (right.next, True) == (len(healthy.requests) > 0, all(each.path == "/v1/completions" for each in faulty.requests))


async def outcome_of(provider: Gateway, stream: bool) -> tuple[str, int | None]:
    try:
        result = await ask(provider, stream=stream)
    except HTTPError as error:
        return "", error.status
    assert result.finish is not None
    return result.answer.text, None


def right_of(right: Right) -> tuple[str, int | None]:
    return (TEXT, None) if right.next or right.outcome == "ok" else ("", right.status)


async def test_a_broken_text_is_continued_by_its_prompt() -> None:
    """From the last whole word, with as many tokens less as have come; what was delivered comes once."""
    cut = Script(Head(), Send(text_chunks("Hello", " wor", finish=None, done=False)), Close())
    async with ScriptedServer(cut, "server_error") as faulty, ScriptedServer(honest) as healthy:
        async with gateway(client(faulty), client(healthy)) as provider:
            result = await ask(provider, max_tokens=10)

    asked = healthy.requests[0].json()
    assert (TEXT, f"{PROMPT}Hello", 9) == (result.answer.text, asked["prompt"], asked["max_tokens"])
    assert result.report is not None
    assert (["continue"], "u1") == (result.report.ways, result.report.upstream)


@pytest.mark.parametrize(
    "document", [{"n": 2}, {"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"echo": True}, {"logprobs": 1}], ids=str
)
async def test_what_cannot_be_continued_is_no_blend(document: dict[str, Any]) -> None:
    """Another text is none that continues the one that broke: the error is told."""
    cut = Script(Head(), Send(text_chunks("Hello", " wor", finish=None, done=False)), Close())
    async with ScriptedServer(cut, "server_error") as faulty, ScriptedServer(Script.body(text_chunks("Other"))) as healthy:
        async with gateway(client(faulty), client(healthy), attempts=1) as provider:
            with pytest.raises(HTTPError) as broken:
                await ask(provider, **document)

    assert "Hello wor" == broken.value.partial


async def test_a_server_without_the_path_is_passed_over() -> None:
    """And is no broken server: its breaker stays closed."""
    async with ScriptedServer(Script.status(404)) as chats_alone, ScriptedServer(honest) as able:
        async with gateway(client(chats_alone), client(able)) as provider:
            result = await ask(provider)
            state = provider.upstreams["u0"].breaker.state

    assert (TEXT, "closed", 1) == (result.answer.text, state, len(chats_alone.requests))


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_where_no_server_has_the_path_the_caller_hears_so(status: int) -> None:
    """With a 404, and not as the operator's mistake."""
    async with ScriptedServer(Script.status(status)) as server, gateway(client(server)) as provider:
        with pytest.raises(StatusError, match="completes a raw prompt") as refused:
            await ask(provider)

    assert (404, "unsupported_endpoint") == (refused.value.status, refused.value.code)


async def test_upstreams_of_other_wires_are_not_asked() -> None:
    """A chat wire has no raw prompts; where there is no other, the caller hears so."""
    chat = AutonomousAI("http://127.0.0.1:1", api_key="")
    async with ScriptedServer(honest) as server, gateway(chat, client(server)) as mixed:
        result = await ask(mixed)
    with pytest.raises(StatusError, match="llama") as refused:
        await ask(gateway(chat))

    assert result.report is not None
    assert ["u1"] == [attempt.upstream for attempt in result.report.attempts]
    assert (404, "unsupported_endpoint", "model") == (refused.value.status, refused.value.code, refused.value.param)


async def test_the_best_of_several_comes_whole() -> None:
    """It is asked for without a stream, and reaches a caller who wants one."""
    async with ScriptedServer() as server, gateway(client(server)) as provider:
        result = await ask(provider, best_of=3)

    assert (TEXT, False) == (result.answer.text, server.requests[0].json()["stream"])


async def test_what_a_server_refuses_here_is_not_held_against_its_chats() -> None:
    """Each path learns for itself in which form it is asked."""
    refusal = {"error": {"message": "stream_options is not supported", "param": "stream_options"}}
    async with ScriptedServer() as server:
        server.play(Script.status(400, refusal), Script.body(text_chunks(TEXT)), path="/v1/completions")
        async with client(server, model="m") as provider:
            body = json.dumps({"prompt": PROMPT, "stream": True}).encode()
            raw = AsyncResult(provider.stream(OPENAI_COMPLETIONS.decode_request(body, "/v1/completions")))
            texts = [await raw.text()]
            texts.append(await provider.create_async_generator("m", [{"role": "user", "content": "Hi"}], stream=True).text())
            status = provider.status()

    assert [TEXT, TEXT] == texts
    assert [False, True] == ["stream_options" in request.json() for request in server.requests[1:]]
    assert (("m", "no_stream_options"),) == status.adaptations


async def test_a_seed_reaches_who_repeats_itself() -> None:
    """A deterministic upstream generates a broken text again, exactly."""
    again = ScriptedProvider(["Hel", HTTPError("gone", retryable=True)], ["Hel", "lo", FinishReason("stop", "finish_reason")])
    again.capabilities = type(again.capabilities)(deterministic=True, wires=again.capabilities.wires)
    result = await ask(gateway(again))

    seeds = [call.origin.changes["seed"] for call in again.calls if call.origin is not None]
    assert ("Hello", 2, 1) == (result.answer.text, len(seeds), len(set(seeds)))


async def test_an_error_event_in_mid_text_is_told() -> None:
    """Where nobody can continue; the text so far with it."""
    boom = Script.body(text_chunks("Hel", finish=None, done=False) + event({"error": {"message": "boom", "code": "x"}}))
    async with ScriptedServer(boom, "server_error") as server, gateway(client(server), attempts=1) as provider:
        with pytest.raises(HTTPError, match="boom") as broken:
            await ask(provider)

    assert "Hel" == broken.value.partial
