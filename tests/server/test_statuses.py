"""Statuses that no table knows, as an upstream may send them: a server passes them on."""

from __future__ import annotations

import pytest

from autonomousai import OpenAICompatible
from autonomousai.gateway.gateway import Gateway
from autonomousai.gateway.upstream import Upstream
from autonomousai.testing import Script, ScriptedServer
from tests.conftest import Serve
from tests.support.sockets import CHAT, HELLO, ask, request


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (408, 408),
        (409, 409),
        (418, 418),
        (430, 430),
        (499, 499),
        (520, 520),
        (527, 527),
        (529, 529),
        (599, 599),
        (600, 502),
        (999, 502),
    ],
)
async def test_an_upstreams_status_is_passed_on(status: int, told: int, stream: bool, serve: Serve) -> None:
    """With its Retry-After; above 599, where HTTP has none, it is a 502 whose message names it."""
    refusal = Script.status(status, {"error": {"message": "odd"}}, retry_after=7)
    async with ScriptedServer(refusal) as upstream, OpenAICompatible(upstream.url, retries=0) as provider:
        running = await serve(provider)
        answer = await ask(running.port, request("POST", CHAT, {**HELLO, "stream": stream}))

    assert (told, "7") == (answer.status, answer["retry-after"])
    assert f"answered {status}" in answer.error["message"]


async def test_a_gateway_passes_it_on_after_its_tries(serve: Serve) -> None:
    """A status that may pass is tried again, and told when it lasts."""
    async with ScriptedServer(Script.status(529, {"error": {"message": "odd"}}, retry_after=0)) as upstream:
        gateway = Gateway([Upstream("u", OpenAICompatible(upstream.url))], {"llama": ["u"]})
        running = await serve(gateway)
        answer = await ask(running.port, request("POST", CHAT, HELLO))

    assert (529, 6) == (answer.status, len(upstream.requests))  # the only upstream is tried twice as often
