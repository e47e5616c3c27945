"""Answers that are given again: to whom, when, and what the response says of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from autonomousai import AutonomousAI
from autonomousai.answer import Answer
from autonomousai.caching.provider import CachingProvider
from autonomousai.caching.stores import CacheError, MemoryCache
from autonomousai.config import CacheConfig, Config, KeyConfig, ModelConfig, OpenAIConfig, Secret
from autonomousai.events import FinishReason
from autonomousai.request import CallOptions, ChatRequest
from autonomousai.server import create_app
from autonomousai.server.app import App
from autonomousai.settings import RetryConfig
from autonomousai.testing import Head, Pause, Reset, Script, ScriptedProvider, ScriptedServer, Send, chunks
from tests.support.metrics import counted
from tests.support.redis import redis_server
from tests.support.sockets import CHAT, HELLO, Connection, ask, events, listening, request

STREAM = {**HELLO, "stream": True}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedServer]:
    """Each answer is another."""
    async with ScriptedServer() as server:
        server.play(*(Script(Head(), Send(chunks(f"answer {number}", " ends"))) for number in range(40)))
        yield server


def config_of(upstream: ScriptedServer, **cache: Any) -> Config:
    return Config(
        upstreams={"one": OpenAIConfig(base_url=f"{upstream.url}/v1")},
        models={"llama": ModelConfig(route=("one",)), "other": ModelConfig(route=("one",))},
        cache=CacheConfig(**cache),
    )


async def said(port: int, body: dict[str, Any] = HELLO, path: str = CHAT, **headers: str) -> tuple[str, str]:
    """What was answered (its number), and what the response says of the cache."""
    answer = await ask(port, request("POST", path, body, **headers))
    assert 200 == answer.status, answer.body
    return number_in(answer), status_of(answer)


def number_in(answer: Any) -> str:
    found = re.search(r"answer (\d+)", answer.body.decode())
    assert found is not None
    return found[1]


def status_of(answer: Any) -> str:
    return answer["cache-status"] or ""


HIT, MISS = "autonomousai; hit", "autonomousai; fwd=miss"

# ---- the same request


async def test_the_same_request_has_the_same_answer(upstream: ScriptedServer) -> None:
    """Once from upstream, then from here: as it was, with the same usage, and under a name of its own."""
    async with listening(create_app(config_of(upstream))) as place:
        first, again = [await ask(place.port, request("POST", CHAT, HELLO)) for _ in range(2)]
        found = await counted(place.port)

    one, two = first.json(), again.json()
    assert (MISS, HIT) == (status_of(first), status_of(again))
    assert ("miss", "hit") == (one["x_autonomousai"]["cache"], two["x_autonomousai"]["cache"])
    assert one["choices"] == two["choices"]
    assert one.get("usage") == two.get("usage")
    assert one["id"] != two["id"]
    assert ("one", "cache") == (one["x_autonomousai"]["upstream"], two["x_autonomousai"]["upstream"])
    assert [] == two["x_autonomousai"]["attempts"]
    assert one["x_autonomousai"]["sha256"] == two["x_autonomousai"]["sha256"]
    assert {("hit",): 1, ("miss",): 1, ("stored",): 1} == found.by("cache_total", "outcome")
    assert {("one",): 1} == found.by("attempts_total", "upstream")
    assert 1 == len(upstream.requests)


async def test_streams_come_as_they_came(upstream: ScriptedServer) -> None:
    """In the same pieces; also for a stream that can be resumed, and where the first was asked for otherwise."""
    async with listening(create_app(config_of(upstream))) as place:
        answers = [
            await ask(place.port, request("POST", CHAT, STREAM, **headers))
            for headers in ({}, {}, {"x-stream-resumable": "1"}, {"x-stream-resumable": "1"})
        ]
        whole = await said(place.port)

    pieces = [
        [choice["delta"].get("content") for each in events(answer.body) if each != "[DONE]" for choice in each["choices"]]
        for answer in answers
    ]
    assert [MISS, HIT, HIT, HIT] == [status_of(answer) for answer in answers]
    assert ["answer 0", " ends"] == [piece for piece in pieces[0] if piece]
    assert pieces[0] == pieces[1] == pieces[2]
    assert ("0", HIT) == whole
    assert answers[2]["x-stream-id"]
    assert 1 == len(upstream.requests)


async def test_every_api_has_its_own(upstream: ScriptedServer) -> None:
    """A response that is kept is given again too, under an id of its own."""
    messages = {"model": "llama", "max_tokens": 9, "messages": HELLO["messages"]}
    responses = {"model": "llama", "input": "Hello"}
    async with listening(create_app(config_of(upstream))) as place:
        port = place.port
        told = [await said(port)]
        for path, body in (("/v1/messages", messages), ("/v1/responses", responses)):
            told += [await said(port, body, path), await said(port, body, path)]
        kept = [(await ask(port, request("POST", "/v1/responses", responses))).json()["id"] for _ in range(2)]

    assert [("0", MISS), ("1", MISS), ("1", HIT), ("2", MISS), ("2", HIT)] == told
    assert kept[0] != kept[1]


OTHERS = [
    {"model": "other"},
    {"temperature": 0.5},
    {"seed": 1},
    {"messages": [*HELLO["messages"], {"role": "user", "content": "More."}]},
    {"messages": [{**HELLO["messages"][0], "name": "me"}]},
    {"unknown_field": {"a": 1}},
    {"user": "someone"},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
]


@pytest.mark.parametrize("change", OTHERS, ids=[next(iter(change)) for change in OTHERS])
async def test_any_difference_is_another_request(change: dict[str, Any], upstream: ScriptedServer) -> None:
    async with listening(create_app(config_of(upstream))) as place:
        told = [await said(place.port), await said(place.port, {**HELLO, **change}), await said(place.port)]

    assert [("0", MISS), ("1", MISS), ("0", HIT)] == told


async def test_the_order_of_members_is_no_difference(upstream: ScriptedServer) -> None:
    async with listening(create_app(config_of(upstream))) as place:
        told = [await said(place.port, body) for body in ({"seed": 1, **HELLO}, {**HELLO, "seed": 1})]

    assert [("0", MISS), ("0", HIT)] == told


# ---- whose


async def test_each_key_has_its_own(upstream: ScriptedServer) -> None:
    """Unless they share."""
    keys = {name: KeyConfig(key=Secret(f"key-of-{name}")) for name in ("a", "b")}
    told = {}
    for shared in (False, True):
        config = msgspec.structs.replace(config_of(upstream, shared=shared), keys=keys)
        async with listening(create_app(config)) as place:
            told[shared] = [(await said(place.port, authorization=f"Bearer key-of-{name}"))[1] for name in ("a", "b", "a", "b")]

    assert {False: [MISS, MISS, HIT, HIT], True: [MISS, HIT, HIT, HIT]} == told


async def test_a_caller_may_ask_for_another(upstream: ScriptedServer) -> None:
    """``no-store`` leaves the cache alone; ``no-cache`` replaces what is there."""
    async with listening(create_app(config_of(upstream))) as place:
        told = [
            await said(place.port, **({"cache-control": control} if control else {}))
            for control in ("no-store", "", "No-Store, max-age=0", "", "no-cache", "")
        ]

    assert [("0", ""), ("1", MISS), ("2", ""), ("1", HIT), ("3", MISS), ("3", HIT)] == told


async def test_another_route_is_another_answer(upstream: ScriptedServer) -> None:
    """After a reload: what other upstreams answered is not given for theirs."""
    config = config_of(upstream)
    app = create_app(config)
    changed = {"one": OpenAIConfig(base_url=f"{upstream.url}/v1", model="larger")}
    async with listening(app) as place:
        told = [await said(place.port)]
        await app.reload(msgspec.structs.replace(config, upstreams=changed))
        told += [await said(place.port), await said(place.port)]
        await app.reload(config)
        told += [await said(place.port)]

    assert [("0", MISS), ("1", MISS), ("1", HIT), ("0", HIT)] == told


# ---- what is not kept


BEGUN = Send(chunks("answer 9", finish=None, done=False))
BROKEN = [
    Script(Head(), BEGUN, Reset()),
    Script(Head(), BEGUN),
    Script(Head(), Send(chunks("answer 9", finish="network_error"))),
    Script(Head(status=400), Send(b'{"error": {"message": "no"}}')),
]


@pytest.mark.parametrize("broken", BROKEN, ids=["reset", "cut", "broken off", "refused"])
async def test_only_what_came_whole_is_kept(broken: Script) -> None:
    async with ScriptedServer() as server:
        now = [broken]
        server.play(*[lambda request: now[0]] * 14)
        config = msgspec.structs.replace(
            config_of(server),
            upstreams={"one": OpenAIConfig(base_url=f"{server.url}/v1", prefill="no")},
            retry=RetryConfig(attempts=1),
        )
        async with listening(create_app(config)) as place:
            failed = await ask(place.port, request("POST", CHAT, STREAM))
            now[0] = Script(Head(), Send(chunks("answer 1", " ends")))
            told = [await said(place.port, STREAM), await said(place.port, STREAM)]

    assert b'"error"' in failed.body
    assert [("1", MISS), ("1", HIT)] == told


def choices(*reasons: str) -> bytes:
    """An answer in so many choices, which end for these reasons."""
    parts = [
        {"index": index, "delta": {"content": "answer 1"}, "finish_reason": reason} for index, reason in enumerate(reasons)
    ]
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": parts}
    return b"data: %b\n\ndata: [DONE]\n\n" % msgspec.json.encode(chunk)


@pytest.mark.parametrize(
    ("reasons", "more", "kept"),
    [
        (("stop",), {}, True),
        (("length",), {}, False),  # by a limit of the upstream's, which may be another next time
        (("length",), {"max_tokens": 2}, True),
        (("length",), {"max_completion_tokens": 2}, True),
        (("stop", "length"), {"n": 2}, False),
        (("stop", "length"), {"n": 2, "max_tokens": 2}, True),
        (("content_filter",), {"max_tokens": 2}, False),
        (("stop", "content_filter"), {"n": 2}, False),
    ],
)
async def test_an_answer_that_was_cut_off_by_others_than_its_caller_is_not_kept(
    reasons: tuple[str, ...], more: dict[str, Any], kept: bool
) -> None:
    """The caller's own limit cuts it off in the same place each time."""
    async with ScriptedServer(Script(Head(), Send(choices(*reasons)))) as server:
        async with listening(create_app(config_of(server))) as place:
            told = [await said(place.port, {**HELLO, **more}) for _ in range(2)]

    assert [("1", MISS), ("1", HIT if kept else MISS)] == told


async def test_an_answer_of_two_upstreams_words_is_not_kept() -> None:
    async with ScriptedServer() as broken, ScriptedServer() as good:
        broken.play(*[Script(Head(), Send(chunks("answer 9 was", finish=None, done=False)), Reset())] * 9)
        good.play(*[Script(Head(), Send(chunks(" right")))] * 9)
        rows = {
            name: OpenAIConfig(base_url=f"{server.url}/v1", prefill="yes")
            for name, server in (("broken", broken), ("good", good))
        }
        models = {"llama": ModelConfig(route=("broken", "good"))}
        config = Config(upstreams=rows, models=models, cache=CacheConfig(), retry=RetryConfig(attempts=1))
        async with listening(create_app(config)) as place:
            answers = [await ask(place.port, request("POST", CHAT, STREAM)) for _ in range(2)]

    assert [MISS, MISS] == [status_of(answer) for answer in answers]
    assert all(b'"splices":[{' in answer.body for answer in answers)


async def test_an_answer_that_its_caller_left_is_not_kept(upstream: ScriptedServer) -> None:
    waiting = Pause()
    async with ScriptedServer() as server:
        server.play(Script(Head(), BEGUN, waiting, Send(chunks(" ends"))), Script(Head(), Send(chunks("answer 1", " ends"))))
        async with listening(create_app(config_of(server))) as place:
            async with Connection(place.port) as connection:
                await connection.send(request("POST", CHAT, STREAM))
                await connection.until(b"answer 9")
            told = [await said(place.port, STREAM)]
            waiting.release()

    assert [("1", MISS)] == told


async def test_answers_go_when_their_time_is_over_or_there_is_no_room() -> None:
    now = 0.0
    store = MemoryCache(ttl_s=10, max_bytes=1000, now=lambda: now)
    await store.set("a", b"1" * 300)
    now = 9.0
    kept = await store.get("a")
    await store.set("b", b"2" * 200)
    assert await store.get("a")  # now "b" was given longest ago
    await store.set("c", b"3" * 200)
    now = 11.0

    assert b"1" * 300 == kept
    assert await store.get("a") is None
    assert await store.get("b") is None
    assert b"3" * 200 == await store.get("c")
    await store.set("huge", b"4" * 2000)
    assert await store.get("huge") is None
    assert 0 == store._bytes


class Failing:
    """A store that cannot be reached."""

    async def get(self, key: str) -> bytes | None:
        raise CacheError("away")

    async def set(self, key: str, data: bytes) -> None:
        raise CacheError("away")

    async def aclose(self) -> None:
        pass


async def test_a_store_that_is_away_costs_no_answer() -> None:
    """It is left alone for a while, and then asked again."""
    now = 0.0
    provider = ScriptedProvider()
    cache = CachingProvider(provider, Failing(), now=lambda: now)

    async def text() -> str:
        answer = Answer()
        asked = ChatRequest("llama", HELLO["messages"], stream=True, cached_as="name")
        async for batch in cache.stream(asked, CallOptions(answer=answer)):
            answer.add(batch)
        return answer.text

    texts = [await text(), await text()]
    now = 6.0
    texts.append(await text())

    assert 1 == len(set(texts))
    assert {"error": 2} == dict(cache.counts)


async def test_a_store_that_can_only_be_read_is_away_until_something_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    """Which is said once, however often it is read meanwhile."""

    class ReadOnly(MemoryCache):
        is_writable = False

        async def set(self, key: str, data: bytes) -> None:
            if not self.is_writable:
                raise CacheError("it can only be read")
            await super().set(key, data)

    now = 0.0
    store = ReadOnly(ttl_s=60, max_bytes=10_000)
    cache = CachingProvider(ScriptedProvider(), store, now=lambda: now)
    away = []
    for store.is_writable in (False, False, False, True, True):
        asked = ChatRequest("llama", HELLO["messages"], stream=True, cached_as="name")
        async for _ in cache.stream(asked, CallOptions(answer=Answer())):
            away.append(cache.outage.is_on)
        await asyncio.gather(*cache._storing)
        away.append(cache.outage.is_on)
        now += 6.0

    assert [True, False] == [each for before, each in zip([False, *away], away, strict=False) if each != before]
    assert ["answers are neither cached nor found in the cache: it can only be read", "the cache of answers is used again"] == (
        caplog.messages
    )


# ---- shared by servers


async def test_servers_share_a_redis(upstream: ScriptedServer) -> None:
    """And what another version wrote there, or something else, is passed over."""
    with redis_server() as url:
        config = config_of(upstream, store=url)
        apps = [create_app(config), create_app(config)]
        async with listening(apps[0]) as one, listening(apps[1]) as other:
            told = [await said(one.port)]
            await asyncio.gather(*_storing(apps[0]))
            told += [await said(other.port), await said(one.port)]

    assert [("0", MISS), ("0", HIT), ("0", HIT)] == told


async def test_an_entry_that_cannot_be_read_is_a_miss_and_replaced() -> None:
    """Another version's, in a store that is shared: it costs no other answer."""
    store = MemoryCache(ttl_s=60, max_bytes=10_000)
    await store.set("name", b'{"at": "another"}')
    provider = ScriptedProvider(["Hello", FinishReason("stop", "finish_reason")])
    cache = CachingProvider(provider, store)
    for _ in range(2):
        answer = Answer()
        asked = ChatRequest("llama", HELLO["messages"], stream=True, cached_as="name")
        async for batch in cache.stream(asked, CallOptions(answer=answer)):
            answer.add(batch)
        await asyncio.gather(*cache._storing)

    assert {"miss": 1, "stored": 1, "hit": 1} == dict(cache.counts)
    assert 1 == len(provider.calls)


async def test_an_answer_that_cannot_be_written_down_is_given_all_the_same() -> None:
    """Half a character has no form in JSON."""
    provider = ScriptedProvider(["\ud800", FinishReason("stop", "finish_reason")])
    cache = CachingProvider(provider, MemoryCache(ttl_s=60, max_bytes=10_000))
    answer = Answer()
    asked = ChatRequest("llama", HELLO["messages"], stream=True, cached_as="name")
    async for batch in cache.stream(asked, CallOptions(answer=answer)):
        answer.add(batch)

    assert ("\ud800", True) == (answer.text, answer.finish is not None)
    assert {"miss": 1, "error": 1} == dict(cache.counts)


def _storing(app: App) -> set[asyncio.Task[None]]:
    assert app._cache is not None
    return set(app._cache.source._storing)


async def test_a_client_of_ours_gets_it_too(upstream: ScriptedServer) -> None:
    """Over the wire of AutonomousAI, resumable as it asks for it; the evidence of the end is checked as ever."""
    async with listening(create_app(config_of(upstream))) as place:
        async with AutonomousAI(f"http://127.0.0.1:{place.port}") as client:
            texts = [await client.create_async_generator("llama", HELLO["messages"], stream=True).text() for _ in range(2)]

    assert ["answer 0 ends"] * 2 == texts
    assert 1 == len(upstream.requests)


def test_the_place_is_checked() -> None:
    for wrong in ("sqlite:x", "memory", "http://127.0.0.1"):
        with pytest.raises(Exception, match=r"cache\.store"):
            Config(cache=CacheConfig(store=wrong))
    assert "pass-word" in Config(cache=CacheConfig(store="redis://:pass-word@127.0.0.1")).secrets()
