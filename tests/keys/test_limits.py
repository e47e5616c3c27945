"""Limits of keys over every API: what is admitted, in which shape a refusal comes, and what an answer costs however it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest

from autonomousai.errors import StatusError
from autonomousai.events import Usage
from autonomousai.keys.estimates import UNSAID_TOKENS
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.keys.conftest import key
from tests.support.sockets import CHAT, HELLO, PATIENCE, Listening, ask, request

SHOP = "sk-shop"
BEARER = {"authorization": f"Bearer {SHOP}"}
MESSAGES = HELLO["messages"]
RAW = {"model": "llama", "prompt": "Hello"}

#: By path, a body.
BODIES: dict[str, dict[str, Any]] = {
    CHAT: HELLO,
    "/chat/completions": HELLO,
    "/api/v1/ai/chat": {"messages": MESSAGES},
    "/v1/messages": {**HELLO, "max_tokens": 9},
    "/v1/responses": {"model": "llama", "input": "Hello"},
}

#: What the scripted provider's usual answer says that it took.
USED = Usage(5, 2, 7)


def scripted(*more: Any) -> ScriptedProvider:
    return ScriptedProvider(["Hello", *more, answer(usage=USED)])


async def post(port: int, path: str = CHAT, body: Any = None, **headers: str) -> Any:
    return await ask(port, request("POST", path, BODIES[path] if body is None else body, **(BEARER | headers)))


async def spent(listening: Listening, name: str = "shop") -> int:
    """The tokens that a key has spent, when nothing is held for it any more."""
    counters = listening.app._keys._quotas._store.keys[listening.app.keys.get(name).id]
    async with asyncio.timeout(PATIENCE):
        while counters.holds:
            await asyncio.sleep(0)
    assert 0 == counters.held_tokens == counters.held_nano
    return counters.spent_tokens


@pytest.mark.parametrize("path", BODIES)
async def test_requests_a_minute_are_counted_over_every_api(serve_keys, path):
    """Whichever API the first came over: the next is refused, and reads when to come again."""
    port = (await serve_keys({"shop": key(SHOP, requests_per_minute=1)})).port
    assert 200 == (await post(port)).status

    refused = await post(port, path)

    assert 429 == refused.status
    assert 1 <= int(refused["retry-after"]) <= 61
    assert "may make 1 requests a minute" in refused.body.decode()


async def test_counting_tokens_is_a_request_too(serve_keys):
    """No path leads around the limit."""
    port = (await serve_keys({"shop": key(SHOP, requests_per_minute=1)}, around=scripted())).port
    assert 200 == (await post(port)).status

    assert 429 == (await post(port, "/v1/messages/count_tokens", HELLO)).status


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_left_is_in_the_headers_of_good_answers(serve_keys, stream):
    """As OpenAI's clients read it; what is reserved is not left."""
    port = (await serve_keys({"shop": key(SHOP, requests_per_minute=10, tokens_per_minute=1_000)}, around=scripted())).port

    answered = await post(port, body={**HELLO, "max_tokens": 90, "stream": stream})

    assert 200 == answered.status
    assert ["10", "9", "1000"] == [
        answered[f"x-ratelimit-{name}"] for name in ("limit-requests", "remaining-requests", "limit-tokens")
    ]
    assert 1 <= 1_000 - 90 - int(answered["x-ratelimit-remaining-tokens"]) <= 20
    assert {"61s"} == {answered["x-ratelimit-reset-requests"], answered["x-ratelimit-reset-tokens"]}


async def test_over_messages_they_are_anthropics(serve_keys):
    """With a moment in place of a duration."""
    port = (await serve_keys({"shop": key(SHOP, requests_per_minute=10)})).port

    answered = await post(port, "/v1/messages")

    assert ["10", "9"] == [answered[f"anthropic-ratelimit-requests-{name}"] for name in ("limit", "remaining")]
    assert answered["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert answered["x-ratelimit-limit-requests"] is None


async def test_a_key_without_limits_says_nothing_of_them(serve_keys):
    """Nor is anything counted."""
    listening = await serve_keys({"shop": key(SHOP)})

    answered = await post(listening.port)

    assert [] == [name for name, _ in answered.headers if "ratelimit" in name]
    assert {} == listening.app._keys._quotas._store.keys


async def test_one_key_does_not_use_up_anothers(serve_keys):
    """Each has its own."""
    port = (await serve_keys({name: key(f"sk-{name}", requests_per_minute=1) for name in ("shop", "office")})).port

    statuses = [(await post(port, authorization=f"Bearer sk-{name}")).status for name in ("shop", "shop", "office")]

    assert [200, 429, 200] == statuses


@pytest.mark.parametrize(
    ("policy", "kind", "code"),
    [
        ({"requests_per_minute": 1}, "requests", "rate_limit_exceeded"),
        ({"tokens_per_minute": 120}, "tokens", "rate_limit_exceeded"),
        ({"token_budget": 8}, "insufficient_quota", "insufficient_quota"),
    ],
)
async def test_the_refusal_in_openais_shape(serve_keys, policy, kind, code):
    """The type and the code that its clients know."""
    port = (await serve_keys({"shop": key(SHOP, **policy)}, around=scripted())).port
    body = {**HELLO, "max_tokens": 1}
    assert 200 == (await post(port, body=body)).status

    refused = await post(port, body={**HELLO, "max_tokens": 115})

    assert (429, code) == refused.told
    assert kind == refused.error["type"]


@pytest.mark.parametrize(
    ("policy", "status", "kind"),
    [({"requests_per_minute": 1}, 429, "rate_limit_error"), ({"token_budget": 100}, 402, "billing_error")],
)
async def test_the_refusal_in_anthropics_shape(serve_keys, policy, status, kind):
    """A budget that is spent is one that no repetition helps."""
    port = (
        await serve_keys({"shop": key(SHOP, **policy)}, around=ScriptedProvider(["x", answer(usage=Usage(90, 9, 99))]))
    ).port
    assert 200 == (await post(port, "/v1/messages")).status

    refused = await post(port, "/v1/messages")

    assert (status, kind) == (refused.status, refused.json()["error"]["type"])


async def test_a_budget_says_when_the_next_one_begins(serve_keys):
    """At the first moment of the next month in UTC; clients are told not to repeat the request until then."""
    port = (await serve_keys({"shop": key(SHOP, token_budget=8)}, around=scripted())).port
    await post(port, body={**HELLO, "max_tokens": 1})

    refused = await post(port)

    assert 0 < int(refused["retry-after"]) <= 31 * 24 * 3600 + 1
    assert "false" == refused["x-should-retry"]
    assert "the next month begins at" in refused.error["message"]


async def test_a_request_that_is_larger_than_a_minutes_limit_never_fits(serve_keys, provider):
    """It is told so, and no model is asked."""
    port = (await serve_keys({"shop": key(SHOP, tokens_per_minute=100)})).port

    refused = await post(port, body={**HELLO, "max_tokens": 100})

    assert 429 == refused.status
    assert "send less" in refused.error["message"]
    assert (None, "false") == (refused["retry-after"], refused["x-should-retry"])
    assert [] == provider.calls


async def test_a_request_that_names_no_end_reserves_what_there_is(serve_keys):
    """Of a small budget, all; and gives back what it did not use."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=UNSAID_TOKENS // 4)}, around=scripted())

    assert [200, 200] == [(await post(listening.port)).status for _ in range(2)]
    assert 2 * USED.total_tokens == await spent(listening)


async def test_choices_are_reserved_for_each(serve_keys):
    """`n` answers may be `n` times as long."""
    port = (await serve_keys({"shop": key(SHOP, tokens_per_minute=100)}, around=scripted())).port

    assert [429, 200] == [(await post(port, body={**HELLO, "max_tokens": 20, "n": n})).status for n in (8, 1)]


async def test_answers_at_once_are_bounded(serve_keys):
    """Until one has ended, however it did."""
    listening = await serve_keys({"shop": key(SHOP, max_concurrency=1)}, around=scripted(Pause()))
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(request("POST", CHAT, {**HELLO, "stream": True}, **BEARER))
    await reader.readuntil(b"Hello")

    refused = await post(listening.port)
    writer.close()
    await spent(listening)

    assert (429, "rate_limit_exceeded") == refused.told
    assert "1 answers at once" in refused.error["message"]
    assert "1" == refused["retry-after"]


async def leave_early(listening: Listening, **headers: str) -> None:
    """Begin a stream and leave when its first text has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(request("POST", CHAT, {**HELLO, "stream": True, "max_tokens": 500}, **(BEARER | headers)))
    await reader.readuntil(b"Hello")
    writer.close()


async def test_who_leaves_pays_what_was_delivered(serve_keys):
    """Not what was reserved; and not nothing, or a limit would be none for those who leave."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=10_000)}, around=scripted(Pause()))

    await leave_early(listening)

    assert 3 <= await spent(listening) <= 30


async def test_a_stream_without_a_reader_pays_all_of_it(serve_keys):
    """It continues, and is settled by what its upstream counted."""
    pause = Pause()
    listening = await serve_keys({"shop": key(SHOP, token_budget=10_000)}, around=scripted(pause, " world"))
    await leave_early(listening, x_stream_resumable="1")
    pause.release()

    assert USED.total_tokens == await spent(listening)


async def test_a_stream_that_is_dropped_pays_what_was_generated(serve_keys):
    """Its place is free at once."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=10_000)}, around=scripted(Pause()))
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(request("POST", CHAT, {**HELLO, "stream": True}, x_stream_resumable="1", **BEARER))
    head = (await reader.readuntil(b"Hello")).decode()
    stream = next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("x-stream-id"))

    assert 204 == (await ask(listening.port, request("DELETE", f"/v1/streams/{stream}", **BEARER))).status
    assert 3 <= await spent(listening) <= 30
    writer.close()


@pytest.mark.parametrize("background", [False, True])
async def test_a_kept_response_is_settled_once(serve_keys, background):
    """In the background too."""
    listening = await serve_keys({"shop": key(SHOP, token_budget=10_000, requests_per_minute=5)}, around=scripted())

    answered = await post(listening.port, "/v1/responses", {**BODIES["/v1/responses"], "background": background})

    assert 200 == answered.status
    assert "4" == answered["x-ratelimit-remaining-requests"]
    assert USED.total_tokens == await spent(listening)


async def test_an_answer_that_failed_before_it_began_costs_nothing(serve_keys):
    """Its request counts as one."""
    fault = StatusError("the upstream is down", status=503)
    listening = await serve_keys(
        {"shop": key(SHOP, token_budget=10_000, requests_per_minute=1)}, around=ScriptedProvider([fault])
    )

    statuses = [(await post(listening.port)).status for _ in range(2)]

    assert [503, 429] == statuses
    assert 0 == await spent(listening)


async def test_an_answer_that_broke_costs_what_was_delivered(serve_keys):
    """As nothing was counted."""
    fault = StatusError("the upstream is down", status=503)
    listening = await serve_keys({"shop": key(SHOP, token_budget=10_000)}, around=ScriptedProvider(["Hello", fault]))

    await post(listening.port, body={**HELLO, "stream": True, "max_tokens": 900})

    assert 3 <= await spent(listening) <= 30


async def test_a_refused_request_costs_nothing(serve_keys):
    """Whatever is wrong with it: neither a request nor a token."""
    listening = await serve_keys({"shop": key(SHOP, requests_per_minute=1, token_budget=10_000, models=("llama",))})
    wrong = [{**HELLO, "model": "nothing"}, {**HELLO, "model": "hermes"}, {"model": "llama"}, {**HELLO, "messages": 5}]

    assert {404, 400} == {(await post(listening.port, body=body)).status for body in wrong}
    assert 200 == (await post(listening.port)).status


# ---- models and APIs


@pytest.mark.parametrize("name", ["hermes", "hermes-3", "nothing", ""])
async def test_another_model_does_not_exist_for_a_key(serve_keys, provider, name):
    """By its name, by an alias, or as the default; the error tells of no other model than those that the key may use."""
    port = (await serve_keys({"shop": key(SHOP, models=("qwen_coder",))})).port

    refused = await post(port, body={**HELLO, "model": name})

    assert (404, "model_not_found") == refused.told
    assert "qwen_coder" in refused.error["message"]
    assert "llama" not in refused.error["message"]
    assert [] == provider.calls


@pytest.mark.parametrize("allowed", ["hermes", "hermes-3", "her*", "hermes-*", "*"])
@pytest.mark.parametrize("name", ["hermes", "hermes-3"])
async def test_a_model_may_be_allowed_by_any_of_its_names(serve_keys, allowed, name):
    """And be asked for by any."""
    port = (await serve_keys({"shop": key(SHOP, models=(allowed,))})).port

    assert 200 == (await post(port, body={**HELLO, "model": name})).status


@pytest.mark.parametrize("path", ["/api/v1/ai/summary", "/v1/messages", "/v1/responses", "/v1/messages/count_tokens"])
async def test_no_path_leads_to_another_model(serve_keys, provider, path):
    """Those that imply one included."""
    port = (await serve_keys({"shop": key(SHOP, models=("qwen_coder",))})).port
    body = {**HELLO, "max_tokens": 9} if "messages" in path else {"model": "llama", "input": "Hello", "messages": MESSAGES}
    if path.endswith("summary"):
        body = {"messages": MESSAGES}

    assert 404 == (await post(port, path, body)).status
    assert [] == provider.calls


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_the_list_has_the_models_of_the_key(serve_keys, path):
    """And one of another is not found."""
    port = (await serve_keys({"shop": key(SHOP, models=("qwen_coder", "her*"))})).port

    listed = (await ask(port, request("GET", path, **BEARER))).json()["data"]
    one = await ask(port, request("GET", f"{path}/llama", **BEARER))

    assert {"qwen_coder", "hermes"} == {model["id"] for model in listed}
    assert 404 == one.status
    assert "vision" not in one.body.decode()


@pytest.mark.parametrize(
    ("path", "status"), [(CHAT, 200), ("/v1/messages", 403), ("/v1/responses", 403), ("/api/v1/ai/chat", 403)]
)
async def test_a_key_may_be_for_some_apis(serve_keys, path, status):
    """The others are forbidden."""
    port = (await serve_keys({"shop": key(SHOP, wires=("openai_chat",))})).port

    assert status == (await post(port, path)).status


async def test_a_kept_response_is_of_an_api_too(serve_keys):
    """Reading one is forbidden as asking for one is."""
    port = (await serve_keys({"shop": key(SHOP, wires=("openai_chat",))})).port

    assert 403 == (await ask(port, request("GET", "/v1/responses/resp_1", **BEARER))).status


# ---- money


class Prices:
    """A dollar for a thousand tokens of `llama`; no price for others."""

    def estimate(self, model: str, prompt_tokens: int, completion_tokens: int, tier: str | None = None) -> float | None:
        return (prompt_tokens + completion_tokens) / 1_000 if model == "llama" else None


async def test_a_budget_in_money_is_spent_by_what_answers_cost(serve_keys):
    """A cent and a half is enough for two answers of seven tokens, and not for a third."""
    listening = await serve_keys({"shop": key(SHOP, budget=0.0145)}, around=scripted())
    listening.app._keys._quotas.prices = Prices()

    answered = [await post(listening.port, body={**HELLO, "max_tokens": 1}) for _ in range(3)]

    assert [200, 429, 429] == [each.status for each in answered] or [200, 200, 429] == [each.status for each in answered]
    assert "may use 0.0145 US dollars a month" in answered[-1].error["message"]


async def test_a_budget_in_money_cannot_be_kept_without_a_price(serve_keys, provider):
    """So nothing is asked, and the operator reads what is missing."""
    listening = await serve_keys({"shop": key(SHOP, budget=100.0)})
    listening.app._keys._quotas.prices = Prices()

    refused = await post(listening.port, body={**HELLO, "model": "hermes"})

    assert (403, "model_not_priced") == refused.told
    assert [] == provider.calls


# ---- other people's clients


async def test_openais_client_raises_its_own_error(serve_keys):
    """With the code, and the headers that it waits by."""
    url = (await serve_keys({"shop": key(SHOP, requests_per_minute=1)})).url
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=SHOP, max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(model="llama", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="llama", messages=MESSAGES)

    assert "0" == raw.headers["x-ratelimit-remaining-requests"]
    assert ("rate_limit_exceeded", "requests") == (caught.value.code, caught.value.type)
    assert int(caught.value.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(("policy", "asked"), [({"requests_per_minute": 1}, 3), ({"token_budget": 8}, 1)])
async def test_openais_client_repeats_what_repetition_can_help(serve_keys, monkeypatch, policy, asked):
    """A rate, after the time that it is told; a budget that is spent, never."""
    listening = await serve_keys({"shop": key(SHOP, **policy)}, around=scripted())
    slept: list[float] = []

    async def sleep(seconds: float, *more: Any) -> None:
        slept.append(seconds)

    async with openai.AsyncOpenAI(base_url=f"{listening.url}/v1", api_key=SHOP, max_retries=2) as client:
        await client.chat.completions.create(model="llama", messages=MESSAGES, max_tokens=1)
        monkeypatch.setattr("anyio.sleep", sleep)
        before = len(listening.app.provider.calls)
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="llama", messages=MESSAGES, max_tokens=1)

    assert asked - 1 == len(slept)
    assert before == len(listening.app.provider.calls)


@pytest.mark.parametrize(
    ("policy", "error", "kind"),
    [
        ({"requests_per_minute": 1}, anthropic.RateLimitError, "rate_limit_error"),
        ({"token_budget": 8}, anthropic.APIStatusError, "billing_error"),
        ({"models": ("hermes",)}, anthropic.NotFoundError, "not_found_error"),
        ({"wires": ("openai_chat",)}, anthropic.PermissionDeniedError, "permission_error"),
        ({"disabled": True}, anthropic.AuthenticationError, "authentication_error"),
    ],
)
async def test_anthropics_client_raises_its_own_error(serve_keys, policy, error, kind):
    """By the status, and with the type that it knows."""
    url = (await serve_keys({"shop": key(SHOP, **policy)}, around=scripted())).url
    caught = None
    async with anthropic.AsyncAnthropic(base_url=url, api_key=SHOP, max_retries=0) as client:
        for _ in range(2):
            try:
                await client.messages.create(model="llama", max_tokens=1, messages=MESSAGES)
            except error as refused:
                caught = refused

    assert kind == caught.body["error"]["type"]


async def test_the_metrics_tell_of_keys_by_name(serve_keys):
    """Answers, tokens and refusals; never a key."""
    listening = await serve_keys({"shop": key(SHOP, requests_per_minute=1)}, admin_keys=["sk-admin"], around=scripted())
    await post(listening.port)
    await post(listening.port)

    text = (await ask(listening.port, request("GET", "/metrics", authorization="Bearer sk-admin"))).body.decode()

    assert 'autonomousai_key_answers_total{key="shop",outcome="ok"} 1.0' in text
    assert 'autonomousai_key_tokens_total{key="shop",kind="prompt"} 5.0' in text
    assert 'autonomousai_key_refusals_total{key="shop",limit="requests"} 1.0' in text
    assert SHOP not in text
