"""Keys whose budget is spent, at models with a cheaper route: it answers in place of a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.events import Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.testing import ScriptedProvider, answer
from tests.keys.conftest import key
from tests.keys.test_limits import spent
from tests.support.sockets import CHAT, HELLO, ask, request

SHOP = "sk-shop"
BEARER = {"authorization": f"Bearer {SHOP}"}
USED = Usage(5, 2, 7)

#: By path, a body; each of them may take more than is left.
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {**HELLO, "max_tokens": 2},
    "/v1/messages": {**HELLO, "max_tokens": 2},
    "/v1/responses": {"model": "llama", "input": "Hello", "max_output_tokens": 2},
}


def gateway(cheaper: bool = True) -> Gateway:
    upstreams = [Upstream(name, ScriptedProvider(answer(name, usage=USED))) for name in ("dear", "cheap")]
    return Gateway(upstreams, {"llama": ["dear"]}, cheaper={"llama": ["cheap"]} if cheaper else None)


def calls(made: Gateway, name: str) -> int:
    provider = made.upstreams[name].provider
    assert isinstance(provider, ScriptedProvider)
    return len(provider.calls)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_spent_budget_falls_to_the_cheaper_route(serve_keys, path, stream):
    """Over each API, streamed or not; the budget counts what it was for."""
    made = gateway()
    port = (await serve_keys({"shop": key(SHOP, token_budget=20)}, around=made)).port
    body = {**BODIES[path], "stream": stream}

    statuses = [(await ask(port, request("POST", path, body, **BEARER))).status for _ in range(5)]

    assert 5 * [200] == statuses
    assert 5 == calls(made, "dear") + calls(made, "cheap")
    assert 1 <= calls(made, "dear") <= 4


async def test_without_a_cheaper_route_it_is_refused(serve_keys):
    """As before."""
    port = (await serve_keys({"shop": key(SHOP, token_budget=20)}, around=gateway(cheaper=False))).port

    statuses = [(await ask(port, request("POST", CHAT, BODIES[CHAT], **BEARER))).status for _ in range(5)]

    assert 200 not in statuses[4:]


async def test_the_other_limits_hold_on_the_cheaper_route(serve_keys):
    """A budget is no rate."""
    made = gateway()
    port = (await serve_keys({"shop": key(SHOP, token_budget=1, requests_per_minute=2)}, around=made)).port

    statuses = [(await ask(port, request("POST", CHAT, BODIES[CHAT], **BEARER))).status for _ in range(3)]

    assert ([200, 200, 429], 0, 2) == (statuses, calls(made, "dear"), calls(made, "cheap"))


@pytest.mark.parametrize("policy", [{"token_budget": 20}, {"token_budget": 20, "tokens_per_minute": 10_000}])
async def test_what_the_cheaper_route_takes_is_spent(serve_keys, policy):
    """So it is in the ledger, which a server begins with after a restart: the sum is the same before and after, and whichever
    other limits the key has."""
    place = await serve_keys({"shop": key(SHOP, **policy)}, around=gateway())

    for _ in range(5):
        assert 200 == (await ask(place.port, request("POST", CHAT, BODIES[CHAT], **BEARER))).status

    assert 5 * USED.total_tokens == await spent(place)
