"""What went wrong with the keys of other gateways, by their public bug reports, tried here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autonomousai.errors import StatusError
from autonomousai.events import Usage
from autonomousai.testing import Pause, ScriptedProvider, answer
from autonomousai.testing.provider import embeddings
from tests.keys.conftest import key
from tests.keys.test_limits import BEARER, BODIES, MESSAGES, SHOP, post, scripted, spent
from tests.support.sockets import CHAT, HELLO, ask, request

EMBEDDINGS = "/v1/embeddings"


async def test_a_request_refused_for_concurrency_uses_no_rate(serve_keys):
    """It never ran: the one that comes when there is room is admitted."""
    pause = Pause()
    listening = await serve_keys({"shop": key(SHOP, requests_per_minute=2, max_concurrency=1)}, around=scripted(pause))
    running = asyncio.create_task(post(listening.port))
    await pause.reached.wait()
    refused = [(await post(listening.port)).status for _ in range(3)]
    pause.release()

    assert [429, 429, 429] == refused
    assert [200, 200, 429] == [(await running).status, (await post(listening.port)).status, (await post(listening.port)).status]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_places_are_given_back_over_every_api(serve_keys, path, stream):
    """Request after request: the limit is one at once, not one in all."""
    listening = await serve_keys({"shop": key(SHOP, max_concurrency=1)})
    body = BODIES[path] if path == "/api/v1/ai/chat" else {**BODIES[path], "stream": stream}

    for _ in range(4):
        assert 200 == (await post(listening.port, path, body)).status
        await spent(listening)


@pytest.mark.parametrize(
    "script",
    [
        [StatusError("bad gateway", status=502)],
        [StatusError("too many", status=429)],
        ["Hello", StatusError("bad gateway", status=502)],
        ["Hello"],
        [RuntimeError("a bug")],
        [],
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_places_are_given_back_after_every_failure(serve_keys, script, stream):
    """Whatever broke, before anything came or after: the next request is admitted, and nothing stays reserved."""
    listening = await serve_keys({"shop": key(SHOP, max_concurrency=1, token_budget=100_000)}, around=ScriptedProvider(script))

    for _ in range(3):
        failed = await post(listening.port, body={**HELLO, "stream": stream})
        assert 429 != failed.status or "too many" in failed.body.decode()
        await spent(listening)


@pytest.mark.parametrize(
    "body", [{}, {"model": "nothing", "messages": MESSAGES}, {**HELLO, "messages": "x"}, {**HELLO, "n": "x"}]
)
async def test_a_malformed_request_takes_no_place(serve_keys, body):
    """Nor a request's part of the rate."""
    listening = await serve_keys({"shop": key(SHOP, max_concurrency=1, requests_per_minute=1)})

    for _ in range(3):
        assert (await post(listening.port, body=body)).status in (400, 404)
    assert 200 == (await post(listening.port)).status


async def test_a_model_in_the_query_means_nothing(serve_keys):
    """The one that is checked is the one that is asked."""
    listening = await serve_keys({"shop": key(SHOP, models=("llama",))})

    answered = await post(listening.port, f"{CHAT}?model=hermes", HELLO)

    assert 200 == answered.status
    assert ["llama"] == [call.model for call in listening.app.provider.calls]


@pytest.mark.parametrize("field", ["models", "fallbacks"])
@pytest.mark.parametrize("policy", [{"models": ("llama",)}, {"budget": 5.0}])
async def test_no_field_names_other_models_to_an_upstream(serve_keys, provider, field, policy):
    """An upstream that is a gateway itself would ask those, whatever the key allows."""
    listening = await serve_keys({"shop": key(SHOP, **policy), "free": key("sk-free")})
    body = {**HELLO, field: ["openai/o1-pro"]}

    refused = await post(listening.port, body=body)
    free = await post(listening.port, body=body, authorization="Bearer sk-free")

    assert (403, "model_not_allowed") == refused.told
    assert field == refused.error["param"]
    assert 200 == free.status
    assert 1 == len(provider.calls)


async def test_embeddings_are_counted(serve_keys):
    """By the upstream's count; their prompt is reserved, and no answer."""
    provider = ScriptedProvider(embeddings([0.5], usage=Usage(40, 0, 40)))
    listening = await serve_keys({"shop": key(SHOP, token_budget=100)}, around=provider)
    body = {"model": "llama", "input": "word " * 32}

    statuses = [(await post(listening.port, EMBEDDINGS, body)).status for _ in range(3)]

    assert [200, 200, 429] == statuses
    assert 80 == await spent(listening)


async def test_tokens_in_place_of_texts_are_counted_too(serve_keys, provider):
    """A list of numbers is as long as it says."""
    listening = await serve_keys({"shop": key(SHOP, tokens_per_minute=100)})

    assert 429 == (await post(listening.port, EMBEDDINGS, {"model": "llama", "input": [[5] * 101]})).status
    assert [] == provider.calls


@pytest.mark.parametrize("body", [{"max_tokens": 10**18}, {"max_tokens": 10, "n": 10**12}, {"max_completion_tokens": 10**15}])
async def test_no_number_is_too_large_to_be_counted(serve_keys, body):
    """It is more than there is, and refused as such."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=1_000)})

    assert (429, "insufficient_quota") == (await post(listening.port, body={**HELLO, **body})).told


@pytest.mark.parametrize("usage", [Usage(-500, -500, -1000), Usage(10**30, 0, 10**30)])
async def test_an_upstreams_odd_count_gives_nothing_back(serve_keys, usage):
    """A budget grows by no answer."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=1_000)}, around=ScriptedProvider(["x", answer(usage=usage)]))

    await post(listening.port, body={**HELLO, "max_tokens": 1})

    assert 0 <= await spent(listening)


async def test_a_budget_begins_again_with_its_day(serve_keys):
    """Without a restart, or a job that would have to run."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=8, budget_period="day")}, around=scripted())
    quotas = listening.app._keys._quotas
    now = quotas._now()
    body = {**HELLO, "max_tokens": 1}

    today = [(await post(listening.port, body=body)).status for _ in range(2)]
    quotas._now = lambda: now + 24 * 3600
    tomorrow = [(await post(listening.port, body=body)).status for _ in range(2)]

    assert [[200, 429], [200, 429]] == [today, tomorrow]


async def test_a_budget_survives_a_restart(serve_keys):
    """What the ledger has of the period is spent already when a server begins to count."""
    spent_before: list[tuple[str, float]] = []

    async def ledger(name: str, since: float) -> tuple[int, float]:
        spent_before.append((name, since))
        return 95, 0.5

    listening = await serve_keys({"shop": key(SHOP, token_budget=100), "free": key("sk-free")})
    listening.app._keys._quotas._seeds._spent = ledger
    await listening.app.start()

    refused = await post(listening.port, body={**HELLO, "max_tokens": 10})

    assert (429, "insufficient_quota") == refused.told
    assert ["shop"] == [name for name, _ in spent_before]


async def test_a_key_is_in_no_error(serve_keys):
    """Neither the whole nor a part of what was sent; not of a wrong key either."""
    listening = await serve_keys({"shop": key("sk-secret-of-the-shop", requests_per_minute=1, models=("llama",))})
    said = ""
    for secret in ("sk-secret-of-the-shop", "sk-secret-of-the-shop", "sk-wrong-but-secret"):
        for body in (HELLO, {**HELLO, "model": "hermes"}):
            answered = await ask(listening.port, request("POST", CHAT, body, authorization=f"Bearer {secret}"))
            said += answered.body.decode()

    assert "secret" not in said


async def test_a_list_of_streams_of_another_key_is_none(serve_keys):
    """A response of one key continues no conversation of another."""
    listening = await serve_keys({"shop": key(SHOP), "office": key("sk-office")}, around=scripted())
    kept: Any = (await post(listening.port, "/v1/responses")).json()

    body = {**BODIES["/v1/responses"], "previous_response_id": kept["id"]}
    statuses = [
        (await post(listening.port, "/v1/responses", body, authorization=f"Bearer {each}")).status
        for each in ("sk-office", SHOP)
    ]

    assert BEARER["authorization"].endswith(SHOP)
    assert [400, 200] == statuses or [404, 200] == statuses
