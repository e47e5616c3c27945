"""What went wrong with the spend of other gateways, by their public bug reports, tried here."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from autonomousai import Anthropic
from autonomousai.config import PriceConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.server import create_app
from autonomousai.testing import Head, Pause, Script, ScriptedServer, Send, chunks, completion
from tests.ledger.test_entry import TOLD, WHOLE, Served, priced, serving
from tests.support.metrics import counted
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, ask, listening, request

PRICE = priced(u0=PriceConfig(input=1, output=10))
RESPONSES = "/v1/responses"
ASKED = {"model": "llama", "input": "Hi"}


async def entry_of(served: Served) -> Any:
    """The one that comes."""
    async with asyncio.timeout(PATIENCE):
        while not served.entries:
            await asyncio.sleep(0)
    return served.entry()


async def test_a_caller_who_waits_for_the_complete_answer_and_leaves_has_an_entry() -> None:
    """What the upstream had generated is lost, and is paid (LiteLLM 13245)."""
    pause = Pause()
    begun = Script(Head(), Send(chunks("Hello", " world", finish=None, done=False)), pause)
    async with serving(begun, config=PRICE) as served:
        async with Connection(served.port) as connection:
            await connection.send(request("POST", CHAT, HELLO))
            await pause.reached.wait()
        entry = await entry_of(served)
        pause.release()

    assert ("left", 0, 2) == (entry.outcome, entry.completion_tokens, entry.lost_tokens)
    assert entry.cost > 0


async def test_a_count_of_zero_is_no_count_that_is_missing() -> None:
    """Nothing is estimated in its place (LiteLLM 37992)."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    async with serving(Script.body(chunks("Hello", " world", usage=usage)), config=PRICE) as served:
        await served.ask(stream=True)

    entry = served.entry()
    assert (0, 0, 0, False) == (entry.prompt_tokens, entry.completion_tokens, entry.cost, entry.estimated)


async def test_an_answer_that_is_read_again_is_paid_once() -> None:
    """A kept response is fetched as often as its caller likes (LiteLLM 17814)."""
    async with serving(WHOLE, config=PRICE) as served:
        kept = (await ask(served.port, request("POST", RESPONSES, ASKED))).json()
        again = [await ask(served.port, request("GET", f"{RESPONSES}/{kept['id']}")) for _ in range(3)]

    assert [200] * 3 == [each.status for each in again]
    assert pytest.approx((7 * 1 + 2 * 10) / 1e6) == served.entry().cost


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", RESPONSES])
async def test_an_answer_over_another_api_than_its_upstreams_is_paid_once(path: str) -> None:
    """Whatever is translated on the way (LiteLLM 15740)."""
    message = {
        "id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hello"}], "usage": {"input_tokens": 7, "output_tokens": 2},
    }  # fmt: skip
    body = json.dumps(message).encode()
    script = Script(Head(content_type="application/json", length=len(body)), Send(body))
    asked = {"model": "llama", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    async with ScriptedServer(script) as upstream:
        made = Gateway([Upstream("u0", Anthropic(upstream.url, api_key="k", retries=0))], {"llama": ["u0"]})
        async with listening(create_app(PRICE, provider=made)) as place:
            served = Served(place.app, place.port)
            answer = await ask(place.port, request("POST", path, ASKED if path == RESPONSES else asked))

    assert 200 == answer.status
    assert pytest.approx((7 * 1 + 2 * 10) / 1e6) == served.entry().cost


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_its_limit_left_empty_is_an_answer(stream: bool) -> None:
    """It is no error, and its prompt is paid (llmgateway 2811)."""
    usage = {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}
    async with serving(Script.body(chunks(usage=usage, finish="length")), config=PRICE) as served:
        answer = await served.ask(stream=stream, max_tokens=1)

    assert 200 == answer.status
    assert b'"length"' in answer.body
    assert ("ok", pytest.approx(7e-6)) == (served.entry().outcome, served.entry().cost)


async def test_what_callers_make_up_names_no_series() -> None:
    """Neither models nor paths (LiteLLM 39136, 35666)."""
    async with serving(WHOLE) as served:
        for number in range(20):
            await ask(served.port, request("POST", CHAT, {**HELLO, "model": f"gpt-{number}"}))
            await ask(served.port, request("GET", f"/files/{number}.php"))
            await ask(served.port, request("GET", f"/v1/models/gpt-{number}"))
        found = await counted(served.port)
        text = (await ask(served.port, request("GET", "/metrics"))).body.decode()

    assert "php" not in text
    assert "gpt-" not in text
    assert found.by("requests_total", "route")


async def test_an_upstream_that_tells_a_cost_of_nothing_is_believed_and_one_below_is_not() -> None:
    """A free model is free; a negative cost is none."""
    costs = []
    for cost in (0, -5, "1", True, 10**12):
        async with serving(Script.body(chunks("Hello", " world", usage={**TOLD, "cost": cost})), config=PRICE) as served:
            await served.ask(stream=True)
        costs.append(served.entry().cost)

    assert [0, *[pytest.approx((7 * 1 + 2 * 10) / 1e6)] * 4] == costs


async def test_a_whole_document_has_the_count_of_its_upstream() -> None:
    """Also of one that sends a document where a stream was requested."""
    body = completion("Hello world", usage=TOLD)
    script = Script(Head(content_type="application/json", length=len(body)), Send(body))
    async with serving(script, config=PRICE) as served:
        for stream in (True, False):
            await served.ask(stream=stream)

    assert 2 * [pytest.approx((7 * 1 + 2 * 10) / 1e6)] == [entry.cost for entry in served.entries]
