"""The server on the real engine: who leaves stops the generation, by the engine's own count; what it says reaches callers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version

import pytest

from autonomousai.config import Config, LlamaCppConfig
from autonomousai.engine.provider import LlamaCpp
from autonomousai.server import create_app
from tests.support.metrics import counted
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, ask, events, listening, request, text_of

AGENT = "/api/v1/ai/chat"

#: An answer that would go on for long after anybody has left.
ENDLESS = {
    "model": "llama",
    "messages": [{"role": "user", "content": "Count to ten thousand, in words."}],
    "max_tokens": 3500,
    "temperature": 1,
    "seed": 7,
}
#: A prompt that takes seconds to read.
LONG = {"model": "llama", "messages": [{"role": "user", "content": "word " * 3000}], "max_tokens": 3}


@dataclass
class Served:
    """A server with an engine of one slot."""

    port: int
    engine: LlamaCpp

    async def count(self, name: str) -> float:
        return (await self.engine.metrics())[name]

    async def processing(self, wanted: int) -> None:
        """Wait until the engine says that it works on so many requests."""
        async with asyncio.timeout(PATIENCE):
            while await self.count("requests_processing") != wanted:
                pass

    async def inside(self, wanted: int) -> None:
        """Wait until the server says that so many are inside."""
        async with asyncio.timeout(PATIENCE):
            while f"in_flight {wanted}.0\n".encode() not in (await ask(self.port, request("GET", "/metrics"))).body:
                pass


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    app = create_app(Config(upstreams={"embedded": LlamaCppConfig(slots=1)}))
    engine = app.provider.upstreams["embedded"].provider
    async with listening(app) as place:
        await app.start()
        yield Served(place.port, engine)


@pytest.mark.parametrize("path", [CHAT, AGENT])
@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_while_it_generates_stops_it(served, path, stream):
    """Tokens are being made; then the caller is gone, and the engine has nothing to do, long before the answer's end."""
    async with Connection(served.port) as connection:
        await connection.send(request("POST", path, {**ENDLESS, "stream": stream}))
        if stream:
            await connection.until(b'"content":"')
            await connection.until(b"data: ")
        await served.processing(1)
    await served.processing(0)
    await served.inside(0)

    assert await served.count("tokens_predicted_total") < 3500


@pytest.mark.parametrize("path", [CHAT, AGENT])
@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_while_the_prompt_is_read_stops_it(served, path, stream):
    """No token was made yet, and none is made any more: the slot goes to the next caller, the prompt half read."""
    async with Connection(served.port) as connection:
        await connection.send(request("POST", path, {**LONG, "stream": stream}))
        await served.processing(1)
    answer = await ask(served.port, request("POST", CHAT, {**HELLO, "max_tokens": 3}))

    assert answer.json()["usage"]["completion_tokens"] == await served.count("tokens_predicted_total")
    assert await served.count("prompt_tokens_total") < 3000


@pytest.mark.parametrize("path", [CHAT, AGENT])
@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_while_waiting_for_a_slot_never_reaches_the_engine(served, path, stream):
    """One slot, taken: the second caller leaves the queue, and when the slot is free the engine has nothing left to do."""
    async with Connection(served.port) as first:
        await first.send(request("POST", CHAT, {**ENDLESS, "stream": True}))
        await served.processing(1)
        async with Connection(served.port) as queued:
            await queued.send(request("POST", path, {**LONG, "stream": stream}))
            await served.inside(2)
        await served.inside(1)
    await served.processing(0)
    await served.inside(0)

    answer = await ask(served.port, request("POST", CHAT, {**HELLO, "max_tokens": 3}))

    assert 200 == answer.status
    assert await served.count("prompt_tokens_total") < 200


async def test_both_wires_and_both_ways_say_the_same(served):
    """Greedy, the same question gets the same text four times, with its tokens counted, and who spoke is named."""
    asked = {**HELLO, "max_tokens": 12, "temperature": 0}
    texts, models, usages = [], set(), []

    for path in (CHAT, AGENT):
        document = (await ask(served.port, request("POST", path, asked))).json()
        texts.append(document["choices"][0]["message"]["content"])
        stream = events(
            (
                await ask(
                    served.port,
                    request("POST", path, {**asked, "stream": True, "stream_options": {"include_usage": True}}),
                )
            ).body
        )
        texts.append(text_of(stream))
        models |= {document["model"], stream[0]["model"]}
        usages += [document["usage"]["completion_tokens"], stream[-2]["usage"]["completion_tokens"]]

    assert (1, {"smollm2-135m"}, [12] * 4) == (len(set(texts)), models, usages)
    assert texts[0].strip()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_text_at_which_an_answer_ended_is_named(served, stream):
    """Over Messages as the vendor does, over chat completions as vLLM does; the slot is free again, and tokens are counted."""
    asked = {"model": "llama", "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    message = {**asked, "max_tokens": 50, "stop_sequences": ["never said", "Paris"], "stream": stream}
    chat = {**asked, "stop": "Paris", "stream": stream}

    said = [
        (await ask(served.port, request("POST", path, sent))).body for path, sent in (("/v1/messages", message), (CHAT, chat))
    ]
    await served.processing(0)

    assert b'"stop_reason":"stop_sequence","stop_sequence":"Paris"' in said[0]
    assert b'"output_tokens":6' in said[0]
    assert b'"finish_reason":"stop"' in said[1]
    assert b'"stop_reason":"Paris"' in said[1]
    assert all(b"never said" not in body and b"Paris." not in body for body in said)


@pytest.mark.parametrize("stream", [False, True])
async def test_answers_name_the_engines_build(served, stream):
    """Whoever asks with a seed sees whether the same engine answers."""
    got = await ask(served.port, request("POST", CHAT, {**HELLO, "max_tokens": 2, "stream": stream}))
    documents = [each for each in events(got.body) if each != "[DONE]"] if stream else [got.json()]

    assert {f"xllamacpp-{version('xllamacpp')}"} == {each["system_fingerprint"] for each in documents}


async def test_a_crash_of_the_engine_and_its_restart_are_counted(served):
    """Beside llama.cpp's own counters, which begin again with the new child; ours go on."""
    before = await counted(served.port)
    os.kill(served.engine.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while (after := await counted(served.port)).of("engine_restarts_total") < 1 or not after.of("engine_up"):
            pass

    names = ("engine_crashes_total", "engine_restarts_total", "engine_slots", "engine_queue_length", "engine_up")
    assert [0, 0, 1, 0, 1] == [before.of(name, upstream="embedded") for name in names]
    assert [1, 1, 1, 0, 1] == [after.of(name, upstream="embedded") for name in names]
    assert ("autonomousai_engine_requests_processing", (("upstream", "embedded"),)) in after


async def test_a_prompt_that_does_not_fit_is_a_400(served):
    """The caller learns that it is too long, on both wires; the engine stays up."""
    asked = {"model": "llama", "messages": [{"role": "user", "content": "word " * 5000}]}

    refused = [
        await ask(served.port, request("POST", path, {**asked, "stream": stream}))
        for path in (CHAT, AGENT)
        for stream in (False, True)
    ]
    answer = await ask(served.port, request("POST", CHAT, {**HELLO, "max_tokens": 3}))

    assert [400] * 4 == [each.status for each in refused]
    assert {"invalid_request_error"} == {each.error["type"] for each in refused}
    assert 200 == answer.status


async def test_a_field_that_the_engine_cannot_honour_is_a_400_that_names_it(served):
    """Nothing is ignored in silence."""
    refused = await ask(served.port, request("POST", CHAT, {**HELLO, "guided_json": {"type": "object"}}))

    assert (400, "guided_json") == (refused.status, refused.error["param"])


async def test_an_image_is_a_400_that_names_its_place(served):
    """The engine cannot see, under the name `vision` neither."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    refused = await ask(
        served.port, request("POST", CHAT, {"model": "vision", "messages": [{"role": "user", "content": [image]}]})
    )

    assert (400, "messages[0].content") == (refused.status, refused.error["param"])
