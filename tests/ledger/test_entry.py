"""An entry of the ledger, as it is made at the end of each answer, over real sockets: one each, with the tokens of each try."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from autonomousai import Anthropic, OpenAICompatible
from autonomousai.config import Config, OpenAIConfig, PriceConfig, RetryConfig
from autonomousai.gateway import Gateway, Upstream
from autonomousai.ledger.entry import LedgerEntry
from autonomousai.server import create_app
from autonomousai.settings import PriceStep, PriceTier
from autonomousai.testing import Close, Head, Pause, Script, ScriptedServer, Send, chunks, completion
from tests.support.sockets import CHAT, HELLO, Connection, events, listening, request, text_of

TOLD = {"prompt_tokens": 7, "completion_tokens": 2}
WHOLE = Script.body(chunks("Hello", " world", usage=TOLD))
CUT = Script(Head(), Send(chunks("Hello", " wor", done=False, finish=None)), Close())


class Served:
    """A server over scripted upstreams, and the entries of its answers."""

    def __init__(self, app: Any, port: int) -> None:
        self.app = app
        self.port = port
        self.entries: list[LedgerEntry] = []
        app.accounts.subscribe(self.entries.append)

    async def ask(self, *, path: str = CHAT, headers: dict[str, str] | None = None, **more: Any) -> Any:
        async with Connection(self.port) as connection:
            return await connection.ask(request("POST", path, {**HELLO, **more}, **(headers or {})))

    def entry(self) -> LedgerEntry:
        """The only one."""
        (entry,) = self.entries
        return entry


@asynccontextmanager
async def serving(*scripts: Any, config: Config | None = None) -> AsyncIterator[Served]:
    """A server whose upstreams ``u0``, ``u1`` … each play one of the *scripts*, or a list of them in their order."""
    async with AsyncExitStack() as stack:
        played = [each if isinstance(each, list) else [each] for each in scripts]
        upstreams = [await stack.enter_async_context(ScriptedServer(*each)) for each in played]
        made = Gateway(
            [
                Upstream(f"u{at}", OpenAICompatible(upstream.url, model="m", prefill="no", retries=0))
                for at, upstream in enumerate(upstreams)
            ],
            {"llama": [f"u{at}" for at in range(len(upstreams))]},
            retry=RetryConfig(attempts=2, backoff=0),
        )
        app = create_app(config, provider=made)
        async with listening(app) as server:
            yield Served(app, server.port)


def priced(**prices: PriceConfig) -> Config:
    """A config whose upstreams are named as those of the tests."""
    return Config(
        upstreams={name: OpenAIConfig(base_url="http://127.0.0.1:1/v1", price=price) for name, price in prices.items()}
    )


@pytest.mark.parametrize("stream", [True, False])
async def test_a_whole_answer_has_the_tokens_that_its_upstream_counted(stream: bool) -> None:
    """Streamed or not; an unknown price is no price of 0."""
    async with serving(WHOLE) as served:
        answer = await served.ask(stream=stream)

    entry = served.entry()
    assert 200 == answer.status
    assert ("llama", "openai_chat", "u0", "ok", 200) == (entry.model, entry.wire, entry.upstream, entry.outcome, entry.status)
    assert (7, 2, 0, False) == (entry.prompt_tokens, entry.completion_tokens, entry.lost_tokens, entry.estimated)
    assert [("u0", "ok", 2, False, None)] == [
        (each.upstream, each.outcome, each.tokens, each.estimated, each.cost) for each in entry.attempts
    ]
    assert entry.cost is None
    assert entry.first_ms is not None
    assert 0 <= entry.first_ms <= entry.total_ms


async def test_an_entry_bears_the_id_of_its_request() -> None:
    """That the caller is shown with each answer."""
    async with serving(WHOLE) as served:
        answer = await served.ask(stream=True)

    assert answer["x-request-id"] == served.entry().id


async def test_the_price_of_an_upstream_is_counted() -> None:
    """Dollars for a million tokens."""
    async with serving(WHOLE, config=priced(u0=PriceConfig(input=1, output=10))) as served:
        await served.ask(stream=True)

    assert pytest.approx((7 * 1 + 2 * 10) / 1e6) == served.entry().cost


async def test_what_an_upstream_says_of_its_cost_counts_first() -> None:
    """OpenRouter's ``usage.cost``."""
    said = Script.body(chunks("Hello", " world", usage={**TOLD, "cost": 0.25}))
    async with serving(said, config=priced(u0=PriceConfig(input=1, output=10))) as served:
        await served.ask(stream=True)

    assert 0.25 == served.entry().cost


def tiered(tier: str, *, stream: bool) -> Script:
    """An answer of OpenAI's that says which tier it had."""
    if stream:
        body = chunks("Hello", " world", usage=TOLD)
        return Script.body(body.replace(b'"choices"', b'"service_tier": "%b", "choices"' % tier.encode()))
    body = json.dumps({**json.loads(completion("Hello world", usage=TOLD)), "service_tier": tier}).encode()
    return Script(Head(content_type="application/json", length=len(body)), Send(body))


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("tier", "dollars"), [("flex", 7 * 0.5 + 2 * 5), ("default", 7 * 1 + 2 * 10), ("auto", 7 * 1 + 2 * 10)]
)
async def test_the_tier_that_an_answer_had_is_the_one_that_is_paid(tier: str, dollars: float, streams: bool) -> None:
    """Whichever was requested, and in whichever form the answer came."""
    price = PriceConfig(input=1, output=10, tiers={"flex": PriceTier(input=0.5, output=5)})
    async with serving(tiered(tier, stream=streams), config=priced(u0=price)) as served:
        for stream in (True, False):
            await served.ask(stream=stream, service_tier="priority")

    assert 2 * [pytest.approx(dollars / 1e6)] == [entry.cost for entry in served.entries]


async def test_a_prompt_above_a_step_costs_what_the_step_says() -> None:
    """By the upstream's count."""
    price = PriceConfig(input=1, output=10, steps=(PriceStep(above=6, input=2, output=20),))
    async with serving(WHOLE, config=priced(u0=price)) as served:
        await served.ask(stream=True)

    assert pytest.approx((7 * 2 + 2 * 20) / 1e6) == served.entry().cost


async def test_what_a_lost_try_generated_is_counted_apart() -> None:
    """The answer breaks after two pieces, and the next upstream generates it anew: the caller got two tokens, two were lost."""
    whole = Script.body(chunks("Hello", " world", usage=TOLD))
    prices = priced(u0=PriceConfig(input=1, output=10), u1=PriceConfig(input=2, output=20))
    async with serving([CUT, "unauthorized"], whole, config=prices) as served:
        answer = await served.ask(stream=True)

    entry = served.entry()
    assert "Hello world" == text_of(events(answer.body))
    assert [("u0", "cut", 2, True), ("u0", "status", 0, False), ("u1", "ok", 2, False)] == [
        (each.upstream, each.outcome, each.tokens, each.estimated) for each in entry.attempts
    ]
    assert (2, 2, 1, True) == (entry.completion_tokens, entry.lost_tokens, entry.splices, entry.estimated)
    assert pytest.approx((7 * 1 + 2 * 10 + 7 * 2 + 2 * 20) / 1e6) == entry.cost


async def test_a_try_that_generated_nothing_costs_nothing() -> None:
    """It is counted as a try."""
    prices = priced(u0=PriceConfig(1, 10), u1=PriceConfig(1, 10))
    async with serving("unauthorized", WHOLE, config=prices) as served:
        await served.ask(stream=True)

    entry = served.entry()
    assert [0.0] == [each.cost for each in entry.attempts[:-1]]
    assert pytest.approx((7 + 20) / 1e6) == entry.cost
    assert not entry.estimated


async def test_an_error_before_the_first_word_has_an_entry() -> None:
    """Nothing was used."""
    async with serving("bad_request", config=priced(u0=PriceConfig(1, 10))) as served:
        answer = await served.ask(stream=True)

    entry = served.entry()
    assert 400 == answer.status
    assert ("status", 400, 0, 0, 0) == (entry.outcome, entry.status, entry.prompt_tokens, entry.completion_tokens, entry.cost)
    assert entry.first_ms is None


@pytest.mark.parametrize("resumable", [True, False])
async def test_a_caller_who_leaves_has_an_entry_with_what_was_generated(resumable: bool) -> None:
    """No upstream counts what was broken off: the pieces that came are counted, and the prompt is estimated."""
    pause = Pause()
    script = Script(Head(), Send(chunks("Hello", " wor", done=False, finish=None)), pause, Close())
    async with serving(script, config=priced(u0=PriceConfig(1, 10))) as served:
        broker = served.app._streams
        async with Connection(served.port) as connection:
            headers = {"x_stream_resumable": "1"} if resumable else {}
            await connection.send(request("POST", CHAT, {**HELLO, "stream": True}, **headers))
            await connection.head()
            await connection.until(b" wor")
        if resumable:
            broker.cancel_all()
        async with asyncio.timeout(10):
            while not served.entries:
                await asyncio.sleep(0)
        pause.release()

    entry = served.entry()
    assert ("left", 2, 0, True) == (entry.outcome, entry.completion_tokens, entry.lost_tokens, entry.estimated)
    assert entry.prompt_tokens > 0
    assert pytest.approx((entry.prompt_tokens + 2 * 10) / 1e6) == entry.cost
    assert [("left", 2)] == [(each.outcome, each.tokens) for each in entry.attempts]


async def test_a_resumable_stream_has_one_entry_with_the_id_of_its_request() -> None:
    """Written by what generates it, not by who reads."""
    async with serving(WHOLE) as served:
        answer = await served.ask(stream=True, headers={"x_stream_resumable": "1"})

    entry = served.entry()
    assert answer["x-request-id"] == entry.id
    assert ("ok", 7, 2) == (entry.outcome, entry.prompt_tokens, entry.completion_tokens)


async def test_a_kept_response_has_one_entry() -> None:
    """Whether it is streamed or not."""
    async with serving(WHOLE) as served:
        await served.ask(path="/v1/responses", input="Hello")

    assert ("openai_responses", "ok", 7, 2) == (
        served.entry().wire,
        served.entry().outcome,
        served.entry().prompt_tokens,
        served.entry().completion_tokens,
    )


async def test_cached_and_reasoning_tokens_are_kept() -> None:
    """As the upstream says them."""
    usage = {
        **TOLD,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    prices = priced(u0=PriceConfig(input=1, output=10, cached=0.1, cache_write=2, reasoning=100))
    async with serving(Script.body(chunks("Hello", " world", usage=usage)), config=prices) as served:
        await served.ask(stream=True)

    entry = served.entry()
    assert (4, 1, 1) == (entry.cached_tokens, entry.cache_write_tokens, entry.reasoning_tokens)
    assert pytest.approx((2 * 1 + 4 * 0.1 + 1 * 2 + 1 * 10 + 1 * 100) / 1e6) == entry.cost


async def test_without_a_subscriber_nothing_is_made() -> None:
    """So that a server without a ledger pays nothing for it."""
    async with serving(WHOLE) as served:
        served.app._metrics.on_end = None
        await served.ask(stream=True)

    assert [] == served.entries


async def test_usage_beside_a_choice_is_the_answers() -> None:
    """Some servers put it into the last chunk that has a choice, and not into one without: its cached tokens count too."""
    usage = b'"usage":{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":600}}'
    body = chunks("Hello", " world", done=False, finish=None)
    body += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],' + usage + b"}\n\ndata: [DONE]\n\n"
    async with serving(Script.body(body), config=priced(u0=PriceConfig(1, 10, cached=0.1))) as served:
        await served.ask(stream=True)

    entry = served.entry()
    assert (1000, 600, 100, False) == (entry.prompt_tokens, entry.cached_tokens, entry.completion_tokens, entry.estimated)
    assert pytest.approx((400 * 1 + 600 * 0.1 + 100 * 10) / 1e6) == entry.cost


async def test_a_messages_answer_counts_its_cache_once() -> None:
    """Anthropic counts what was read from a cache, and written to one, beside the other tokens of the prompt; streamed, the
    counts come in two pieces."""
    first: dict[str, Any] = {
        "input_tokens": 10, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 500, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 100},
    }  # fmt: skip
    events = [
        ("message_start", {"message": {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "claude-x",
                                       "stop_reason": None, "usage": first}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "Hello world"}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        ("message_stop", {}),
    ]  # fmt: skip
    body = "".join(f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n" for kind, more in events)
    price = PriceConfig(input=1, output=10, cached=0.1, cache_write=1.25, cache_write_1h=2)
    async with ScriptedServer(Script.body(body.encode())) as upstream:
        made = Gateway([Upstream("u0", Anthropic(upstream.url, api_key="k", retries=0))], {"llama": ["u0"]})
        app = create_app(priced(u0=price), provider=made)
        async with listening(app) as server:
            served = Served(app, server.port)
            await served.ask(stream=True)

    entry = served.entry()
    assert (2510, 2000, 500, 7) == (entry.prompt_tokens, entry.cached_tokens, entry.cache_write_tokens, entry.completion_tokens)
    assert pytest.approx((10 * 1 + 2000 * 0.1 + 400 * 1.25 + 100 * 2 + 7 * 10) / 1e6) == entry.cost


async def test_pieces_of_a_tool_call_are_as_long_as_what_they_say() -> None:
    """A piece is a token, of a call too; what stands around it in the stream was not generated."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}
    pieces = [call, *({"index": 0, "function": {"arguments": text}} for text in ('{"', "a", '": ', "1", "}"))]
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "service_tier": "default"}
    events = [{**chunk, "choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in pieces]
    body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in events)
    async with serving(Script(Head(), Send(body), Close()), config=priced(u0=PriceConfig(1, 10))) as served:
        await served.ask(stream=True)

    assert {6} == {attempt.tokens for attempt in served.entry().attempts}


async def test_a_messages_answer_that_its_caller_left_has_the_prompt_that_was_counted_at_its_beginning() -> None:
    """Cached tokens and all, at the price of the model that has answered; only the rest is estimated."""
    first = {"input_tokens": 10, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 500, "output_tokens": 1}
    events = [
        ("message_start", {"message": {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "claude-x",
                                       "stop_reason": None, "usage": first}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": " wor"}}),
    ]  # fmt: skip
    body = "".join(f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n" for kind, more in events)
    pause = Pause()
    script = Script(Head(), Send(body.encode()), pause, Close())
    prices = {"claude-x": PriceConfig(input=1, output=10, cached=0.1, cache_write=1.25), "*": PriceConfig(input=99, output=99)}
    async with ScriptedServer(script) as upstream:
        made = Gateway([Upstream("u0", Anthropic(upstream.url, api_key="k", retries=0))], {"llama": ["u0"]})
        async with listening(create_app(Config(prices=prices), provider=made)) as server:
            served = Served(server.app, server.port)
            async with Connection(server.port) as connection:
                await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
                await connection.head()
                await connection.until(b" wor")
            async with asyncio.timeout(10):
                while not served.entries:
                    await asyncio.sleep(0)
            pause.release()

    entry = served.entry()
    assert "left" == entry.outcome
    assert (2510, 2000, 500, True) == (entry.prompt_tokens, entry.cached_tokens, entry.cache_write_tokens, entry.estimated)
    assert pytest.approx((10 * 1 + 2000 * 0.1 + 500 * 1.25 + 2 * 10) / 1e6) == entry.cost


@pytest.mark.parametrize(
    ("path", "body", "answer", "tokens"),
    [
        (
            "/v1/embeddings",
            {"model": "llama", "input": ["Hello"]},
            {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
             "usage": {"prompt_tokens": 9, "total_tokens": 9}},
            (9, 0, False),
        ),
        (
            "/v1/rerank",
            {"model": "llama", "query": "Hello", "documents": ["a", "b"]},
            {"model": "m", "results": [{"index": 0, "relevance_score": 0.5}]},
            (2, 0, True),
        ),
        (
            "/v1/completions",
            {"model": "llama", "prompt": "Hello"},
            {"id": "c", "object": "text_completion", "created": 1, "model": "m",
             "choices": [{"index": 0, "text": " world", "finish_reason": "stop", "logprobs": None}],
             "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
            (3, 4, False),
        ),
    ],
)  # fmt: skip
async def test_what_is_no_conversation_has_an_entry(path: str, body: Any, answer: Any, tokens: tuple[int, int, bool]) -> None:
    """Embeddings, ranks and raw prompts; what is not counted is estimated from the texts."""
    script = Script(Head(headers={"content-type": "application/json"}), Send(json.dumps(answer).encode()))
    async with serving(script, config=priced(u0=PriceConfig(1, 10))) as served:
        async with Connection(served.port) as connection:
            got = await connection.ask(request("POST", path, body))

    entry = served.entry()
    assert (200, "ok") == (got.status, entry.outcome)
    assert tokens == (entry.prompt_tokens, entry.completion_tokens, entry.estimated)
    assert pytest.approx((tokens[0] + 10 * tokens[1]) / 1e6) == entry.cost
