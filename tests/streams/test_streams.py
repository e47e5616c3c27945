"""Streams that can be resumed, on each place in turn: who writes, who reads, and when they are let go."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

from autonomousai.batches import BatchStream, Sink
from autonomousai.capabilities import Capabilities
from autonomousai.config import ResponsesConfig, ResumeConfig
from autonomousai.errors import StatusError
from autonomousai.events import (
    Annotations,
    Batch,
    ChoiceEvent,
    FinishReason,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    Usage,
)
from autonomousai.gateway import Gateway, Upstream
from autonomousai.limiter import RequestLimiter
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.streams import broker
from autonomousai.streams.broker import StreamBroker
from autonomousai.streams.log import StreamLog
from autonomousai.streams.records import Kept
from autonomousai.streams.stores import Heartbeat, Store, StoreError, sqlite
from autonomousai.streams.stores.memory import MemoryStore
from autonomousai.streams.stores.redis import RedisStore, _keys
from autonomousai.streams.stores.room import SharedRoom
from autonomousai.streams.stores.sqlite import SqliteStore
from autonomousai.streams.stores.store import LEASE_S
from autonomousai.testing import Pause, ScriptedProvider, answer
from autonomousai.wires.base import Wire
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.provenance import check_provenance
from autonomousai.wires.registry import AUTONOMOUSAI, OPENAI_CHAT

from .conftest import KEEP_S, Place, quiet, soon

ASKED = ChatRequest("llama", [{"role": "user", "content": "Hello é"}], True, True, {"temperature": 0.5})
WORDS = ["Hel", "lo", " wor", "ld", ", \n\nid: 3\n", "é", "🦙", " and", " on"]
TEXT = "".join(WORDS)
KEY = b"key"

#: A stream that is not kept as a response, and one that is.
KINDS: Final[tuple[Kept, ...]] = ("", "attended")

Hub = Callable[..., Awaitable[StreamBroker]]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A server's streams, on a store, around a provider."""
    async with AsyncExitStack() as stack:

        async def make(
            store: Store,
            provider: AsyncGeneratorProvider,
            heartbeat_s: float = 10_000,
            responses: ResponsesConfig = ResponsesConfig(),  # noqa: B008  it is frozen
            **config: Any,
        ) -> StreamBroker:
            streams = StreamBroker(
                store,
                provider,
                ready=provider.start,
                resolve=str,
                places=RequestLimiter(100, 60),
                config=ResumeConfig(**{"grace_s": 10_000, **config}),
                responses=responses,
                heartbeat_s=heartbeat_s,
            )
            stack.push_async_callback(streams.aclose)
            return streams

        yield make


async def begin(streams: StreamBroker, key: bytes = KEY, wire: Wire = OPENAI_CHAT, kept: Kept = "") -> StreamLog:
    stream = await streams.begin(ASKED, key, "req_1", wire, kept=kept)
    assert stream is not None
    return stream


async def find(streams: StreamBroker, id: str, key: bytes = KEY) -> StreamLog:
    return streams.attach(id, await streams.find(id, key), "req_2")


async def rest(streams: StreamBroker, stream: StreamLog, last: int = 0, wire: Wire | None = None) -> bytes:
    """Return all that a reader gets after event number *last*, until no more comes."""
    parts = []
    with streams.reader(stream, last, wire) as reader:
        await streams.seek(reader)
        while (data := await asyncio.wait_for(reader.read(), 60)) is not None:
            parts.append(data)
    return b"".join(parts)


async def up_to(streams: StreamBroker, stream: StreamLog, number: int) -> bytes:
    """What a reader gets who leaves as soon as it has that event."""
    parts = []
    with streams.reader(stream, 0) as reader:
        while reader.last < number:
            data = await asyncio.wait_for(reader.read(), 60)
            assert data is not None
            parts.append(data)
    return b"".join(parts)


def text_of(data: bytes) -> str:
    """The text of a whole stream. Its end must be proven, its ids without a gap, and its checksum right."""
    stream = ChatStreamDecoder()
    texts = [event for event in stream.feed(data) if type(event) is str]
    stream.finish()
    ids = [line for line in data.split(b"\n") if line.startswith(b"id: ")]
    assert [b"id: %d" % number for number in range(1, len(ids) + 1)] == ids
    assert stream.extension is not None
    assert None is check_provenance(stream.extension, "".join(texts))
    return "".join(texts)


def timeless(data: bytes) -> bytes:
    """Return *data* without the time at which its stream was begun."""
    return re.sub(rb'"created":[0-9]+', b'"created":0', data)


def paused(*words: str) -> tuple[list[Any], list[Pause]]:
    """A script that waits after each word; and its pauses."""
    pauses = [Pause() for _ in words]
    steps = [step for pair in zip(words, pauses, strict=True) for step in pair]
    return [*steps, *answer(usage=Usage(1, len(words), 1 + len(words)))], pauses


def until(words: int) -> list[Any]:
    """A script that says so many words, and then nothing more."""
    return [*WORDS[:words], Pause()]


class Repeating(ScriptedProvider):
    """Answers the same to the same question."""

    capabilities = Capabilities(deterministic=True)


def gateway(*scripts: Any) -> tuple[Gateway, ScriptedProvider]:
    """A gateway around one upstream that repeats itself."""
    provider = Repeating(*scripts)
    return Gateway([Upstream("one", provider)], {"llama": ["one"]}), provider


# ---- reading


async def test_a_reader_gets_the_answer(place: Place, hub: Hub) -> None:
    """All of it, each event with its number."""
    provider = ScriptedProvider(answer(*WORDS))
    streams = await hub(place.store, provider)

    assert TEXT == text_of(await rest(streams, await begin(streams)))


async def test_from_every_event_on(place: Place, hub: Hub) -> None:
    """After the end: whoever has the events up to any number gets those after it, byte for byte."""
    provider = ScriptedProvider([WORDS[:1], WORDS[1:5], WORDS[5:], *answer()])
    streams = await hub(place.store, provider)
    stream = await begin(streams)
    whole = await rest(streams, stream)
    events = [event + b"\n\n" for event in whole.split(b"\n\n")[:-1]]
    found = [await find(streams, stream.id) for number in range(len(events) + 1)]

    assert len(WORDS) + 3 == len(events)
    assert [b"".join(events[number:]) for number in range(len(events) + 1)] == [
        await rest(streams, each, number) for number, each in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("begun", "read"), [(OPENAI_CHAT, AUTONOMOUSAI), (AUTONOMOUSAI, OPENAI_CHAT)], ids=["read as ours", "as chat"]
)
async def test_a_stream_is_read_over_another_wire(place: Place, hub: Hub, begun: Wire, read: Wire) -> None:
    """At any server, from any event on in that wire's own numbering, byte for byte as if it had been begun over it."""
    script = [WORDS[:1], [Reasoning("hm"), *WORDS[1:5]], [ToolCallDelta(0, "1", "f", "{}")], WORDS[5:], *answer()]
    streams = [await hub(store, ScriptedProvider(script)) for store in (place.store, place.other)]
    stream = await begin(streams[0], wire=begun)
    own = await rest(streams[0], stream)
    other = await begin(streams[0], wire=read)
    wanted = timeless(await rest(streams[0], other))
    events = [event + b"\n\n" for event in wanted.split(b"\n\n")[:-1]]
    found = await find(streams[1], stream.id)

    assert own == await rest(streams[1], found)
    assert [b"".join(events[number:]) for number in range(len(events) + 1)] == [
        timeless(await rest(streams[1], found, number, read)) for number in range(len(events) + 1)
    ]
    assert own != wanted
    assert TEXT == text_of(wanted)


async def test_a_stream_is_read_over_two_wires_at_once(place: Place, hub: Hub) -> None:
    """While it is written, each reader in its own."""
    script, pauses = paused(*WORDS)
    streams = await hub(place.store, ScriptedProvider(script))
    stream = await begin(streams)
    reading = [asyncio.create_task(rest(streams, stream, wire=wire)) for wire in (OPENAI_CHAT, AUTONOMOUSAI)]
    for pause in pauses:
        await pause.reached.wait()
        pause.release()
    chat, ours = await asyncio.wait_for(asyncio.gather(*reading), 60)

    assert [TEXT, TEXT] == [text_of(chat), text_of(ours)]
    assert [False, True] == [b'}],"finish_reason":"stop"' in data for data in (chat, ours)]


@pytest.mark.parametrize("seed", range(5))
async def test_readers_come_and_go_as_they_like(place: Place, hub: Hub, seed: int) -> None:
    """Many at once, each leaving and coming back where it was: nobody misses an event or gets one twice."""
    dice = random.Random(seed)
    script, pauses = paused(*WORDS)
    streams = await hub(place.store, ScriptedProvider(script))
    stream = await begin(streams)

    async def wander(steps: random.Random) -> bytes:
        parts: list[bytes] = []
        last = 0
        ended = False
        while not ended:
            found = await find(streams, stream.id)
            with streams.reader(found, last) as reader:
                await streams.seek(reader)
                for _ in range(steps.randrange(3)):
                    data = await reader.read()
                    if data is None:
                        break
                    parts.append(data)
                last, ended = reader.last, reader.ended
            await asyncio.sleep(0)
        return b"".join(parts)

    wanderers = [asyncio.create_task(wander(random.Random(dice.random()))) for _ in range(6)]
    for pause in pauses:
        await pause.reached.wait()
        for _ in range(dice.randrange(30)):
            await asyncio.sleep(0)
        pause.release()
    got = await asyncio.wait_for(asyncio.gather(*wanderers), 60)

    assert {TEXT} == {text_of(each) for each in got}
    assert 1 == len(set(got))


async def test_a_slow_reader(place: Place, hub: Hub) -> None:
    """Who reads nothing until the end gets all of it then, however much it is, and has held up nobody."""
    words = [f"{number} " * 1000 for number in range(100)]
    streams = await hub(place.store, ScriptedProvider(answer(*words)))
    stream = await begin(streams)
    with streams.reader(stream, 0) as slow:
        quick = await rest(streams, stream)
        parts = []
        while (data := await slow.read()) is not None:
            parts.append(data)

    assert ("".join(words), quick) == (text_of(quick), b"".join(parts))


# ---- leaving


async def test_without_a_reader_it_goes_on_for_the_grace_period(place: Place, hub: Hub) -> None:
    """Who comes back in time finds it, and it was generated once."""
    script, pauses = paused("Hello", " world")
    provider = ScriptedProvider(script)
    streams = await hub(place.store, provider)
    stream = await begin(streams)
    begun = await up_to(streams, stream, 2)
    for pause in pauses:
        pause.release()
    await provider.calls[0].over()
    again = await find(streams, stream.id)

    assert ("Hello world", 1) == (text_of(begun + await rest(streams, again, 2)), len(provider.calls))


async def test_after_the_grace_period_it_is_let_go(place: Place, hub: Hub) -> None:
    """The generation stops, and who comes then is told that it was."""
    script, _ = paused("Hello", " world")
    provider = ScriptedProvider(script)
    streams = await hub(place.store, provider, grace_s=0)
    stream = await begin(streams)
    await up_to(streams, stream, 2)
    left = await asyncio.wait_for(provider.calls[0].over(), 60)
    await quiet(streams)

    with pytest.raises(StatusError) as caught:
        await find(streams, stream.id)
    assert ("cancelled", 410) == (left, caught.value.status)


async def test_what_has_ended_is_kept(place: Place, hub: Hub) -> None:
    """Who leaves after the end leaves nothing undone: no grace period runs, and the stream can be read again. Even while the
    provider is still cleaning up."""
    cleaning = Pause()

    class Reluctant(ScriptedProvider):
        async def _play(self, *play: Any) -> AsyncGenerator[Batch]:
            async for batch in super()._play(*play):
                yield batch
            await cleaning.wait()

    streams = await hub(place.store, Reluctant(), grace_s=0)
    stream = await begin(streams)
    await up_to(streams, stream, 5)
    await cleaning.reached.wait()
    await rest(streams, stream, 4)
    for _ in range(10):
        await asyncio.sleep(0)
    await streams.heartbeat()
    cleaning.release()
    await quiet(streams)

    assert "Hello world" == text_of(await rest(streams, await find(streams, stream.id)))


@pytest.mark.parametrize(("keep_s", "kept_s"), [(0, 0), (0, 0.02), (0.02, 0)])
async def test_the_last_streams_are_let_go_in_their_time(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, keep_s: float, kept_s: float
) -> None:
    """The place is looked after even when nothing is written any more: after the times that streams and responses are kept
    for."""
    monkeypatch.setattr(broker, "_SWEEP_S", 0.005)
    swept = asyncio.Event()

    class Looking(MemoryStore):
        async def heartbeat(self, written: Mapping[str, int], read: Collection[str]) -> Heartbeat:
            heartbeat = await super().heartbeat(written, read)
            if not self._ended and len(self._gone) == 2:
                swept.set()
            return heartbeat

    store = Looking(keep_s=10_000, max_bytes=10**6)
    streams = await hub(store, ScriptedProvider(), 0.001, ResponsesConfig(keep_s=kept_s), keep_s=keep_s)
    for kept in KINDS:
        await rest(streams, await begin(streams, kept=kept))

    await soon(swept.wait())


async def test_what_a_server_before_kept_is_let_go_in_its_time(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where the next one is asked for nothing."""
    monkeypatch.setattr(broker, "_SWEEP_S", 0.005)
    monkeypatch.setattr(sqlite, "_SWEEP_S", 0.0)
    now = 0.0
    store = SqliteStore(tmp_path / "state.db", keep_s=300, now=lambda: now)
    before = await hub(store, ScriptedProvider())
    await before.open()
    stream = await begin(before, kept="attended")
    await rest(before, stream)
    await before.aclose()
    await (await hub(store, ScriptedProvider(), 0.001)).open()
    now = 86_401

    async with asyncio.timeout(60):
        while (await store._run(_states)) != ["gone"]:
            await asyncio.sleep(0)


def _states(database: sqlite3.Connection) -> list[str]:
    return [state for (state,) in database.execute("SELECT state FROM streams")]


async def test_a_response_is_kept_for_a_time_of_its_own(place: Place, hub: Hub) -> None:
    """A stream that was not to be kept goes before."""
    streams = await hub(place.store, ScriptedProvider(), responses=ResponsesConfig(keep_s=KEEP_S * 20), keep_s=KEEP_S)
    ids = []
    for kept in KINDS:
        stream = await begin(streams, kept=kept)
        await rest(streams, stream)
        ids.append(stream.id)
    await place.pass_time(KEEP_S * 10)
    states = [found and found.state for found in [await place.store.find(each) for each in ids]]
    await place.pass_time(KEEP_S * 11)
    late = await place.other.find(ids[1])

    assert (["gone", "ended"], "gone") == (states, late and late.state)


async def test_while_somebody_reads_there_is_no_grace(place: Place, hub: Hub) -> None:
    """One reader of several leaves: nothing stops."""
    script, pauses = paused("Hello", " world")
    provider = ScriptedProvider(script)
    streams = await hub(place.store, provider, grace_s=0)
    stream = await begin(streams)
    with streams.reader(stream, 0):
        await up_to(streams, stream, 2)
        for pause in pauses:
            pause.release()
        whole = await rest(streams, stream)

    assert ("Hello world", "finished") == (text_of(whole), provider.calls[0].left)


async def test_dropping(place: Place, hub: Hub) -> None:
    """The generation stops, readers hear no more, and nobody finds it again."""
    script, pauses = paused("Hello", " world")
    provider = ScriptedProvider(script)
    streams = await hub(place.store, provider)
    stream = await begin(streams)
    reading = asyncio.create_task(rest(streams, stream))
    await pauses[0].reached.wait()
    await streams.drop(stream.id)
    left = await asyncio.wait_for(provider.calls[0].over(), 60)
    got = await reading

    assert ("cancelled", b"[DONE]" in got) == (left, False)
    with pytest.raises(StatusError) as caught:
        await find(streams, stream.id)
    assert 410 == caught.value.status


async def test_a_stream_that_is_stopped_before_it_began(place: Place, hub: Hub) -> None:
    """Between the asking and the first step of its writer."""
    provider = ScriptedProvider()
    streams = await hub(place.store, provider)
    stream = await begin(streams)
    streams.forget(stream)
    stream.stop()
    await quiet(streams)

    assert ([], b"") == (provider.calls, await rest(streams, stream))


# ---- whose it is


@pytest.mark.parametrize("which", ["another key", "unknown", "no id at all", "longer"])
async def test_what_is_not_yours_does_not_exist(place: Place, hub: Hub, which: str) -> None:
    """Somebody else's stream is answered as one that never was."""
    streams = await hub(place.store, ScriptedProvider())
    stream = await begin(streams)
    names = {"another key": stream.id, "unknown": "x" * 32, "no id at all": "{*}", "longer": stream.id + "a"}

    with pytest.raises(StatusError) as caught:
        await find(streams, names[which], b"other" if which == "another key" else KEY)

    assert (404, "stream_not_found") == (caught.value.status, caught.value.code)


async def test_ids_cannot_be_guessed(place: Place, hub: Hub) -> None:
    """They are long, different each time, and the key is not to be found in the place."""
    streams = await hub(place.store, ScriptedProvider())
    names = {(await begin(streams)).id for _ in range(20)}
    found = await place.store.find(min(names))

    assert (20, {32}) == (len(names), {len(name) for name in names})
    assert found is not None
    assert KEY not in found.owner


async def test_events_that_do_not_exist_yet(place: Place, hub: Hub) -> None:
    """Nobody can have seen them: whoever says so has another stream in mind."""
    streams = await hub(place.store, ScriptedProvider(answer("a")))
    stream = await begin(streams)
    await rest(streams, stream)

    with pytest.raises(StatusError) as caught:
        await rest(streams, await find(streams, stream.id), 100)

    assert 410 == caught.value.status


class Handing:
    """Batches that a test hands on as `pipe_to` does; the first and the last are asked for."""

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self.piping = asyncio.Event()
        self.over = asyncio.Event()
        self._first = True

    def __aiter__(self) -> Handing:
        return self

    async def __anext__(self) -> Batch:
        if self._first:
            self._first = False
            return [Started("m"), "Hel"]
        if self.over.is_set():
            raise StopAsyncIteration
        await self.piping.wait()
        self.over.set()
        return [FinishReason("stop", "finish_reason")]

    async def pipe_to(self, sink: Sink) -> bool:
        self.sink = sink
        self.piping.set()
        await self.over.wait()
        self.over.clear()
        return True

    async def aclose(self) -> None:
        self.over.set()


class Piping(ScriptedProvider):
    """A provider of such batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = Handing()

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        return self.batches


async def test_in_memory_nothing_waits_for_a_task(hub: Hub) -> None:
    """What is handed on is stored, and with the readers, when it returns; and counts for the checksum."""
    provider = Piping()
    streams = await hub(MemoryStore(keep_s=300, max_bytes=10**9), provider)
    stream = await begin(streams)
    got: list[bytes] = []
    with streams.reader(stream, 0) as reader:
        begun = await reader.read() or b""
        reading = asyncio.create_task(reader.pipe_to(lambda data: not got.append(data)))  # type: ignore[func-returns-value]
        await soon(provider.batches.piping.wait())
        while reader not in stream.waiting:
            await asyncio.sleep(0)
        assert provider.batches.sink is not None
        took = provider.batches.sink(["lo"])
        at_once = (took, len(got), stream.last)
        provider.batches.over.set()
        await reading
        end = await reader.read() or b""

    assert (True, 1, 2) == at_once
    assert "Hello" == text_of(begun + got[0] + end)


async def test_a_provider_may_use_its_list_again(hub: Hub) -> None:
    """What was recorded stays what it was."""

    class Thrifty(ScriptedProvider):
        async def _play(self, *play: Any) -> AsyncGenerator[Batch]:
            one: Batch = []
            async for batch in super()._play(*play):
                one[:] = batch
                yield one

    streams = await hub(MemoryStore(keep_s=300, max_bytes=10**9), Thrifty(answer(*WORDS)))
    stream = await begin(streams)
    await quiet(streams)

    assert TEXT == text_of(await rest(streams, await find(streams, stream.id)))


async def test_what_is_handed_on_to_a_stream_that_was_dropped(hub: Hub) -> None:
    """It is refused, without an error where it comes from; the writer stops."""
    provider = Piping()
    store = MemoryStore(keep_s=300, max_bytes=10**9)
    streams = await hub(store, provider)
    stream = await begin(streams)
    await soon(provider.batches.piping.wait())
    await store.drop(stream.id)
    assert provider.batches.sink is not None
    took = provider.batches.sink(["lo"])
    provider.batches.over.set()
    await quiet(streams)

    assert (False, True, False) == (took, stream.closed, stream.ended)


# ---- several servers


#: Only what outlives a process can be taken over from it.
SHARED = pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)


async def test_a_stream_is_read_at_another_server(place: Place, hub: Hub) -> None:
    """As it comes, from any event on, and to its end."""
    script, pauses = paused(*WORDS)
    here = await hub(place.store, ScriptedProvider(script), grace_s=0)
    elsewhere = await hub(place.other, ScriptedProvider())
    stream = await begin(here)
    with here.reader(stream, 0):
        await pauses[0].reached.wait()
        reading = [asyncio.create_task(rest(elsewhere, await find(elsewhere, stream.id), last)) for last in (0, 1, 2)]
        for pause in pauses:
            await pause.reached.wait()
            pause.release()
        whole, *parts = await asyncio.gather(*reading)

    assert TEXT == text_of(whole)
    assert [True, True] == [
        whole.endswith(part) and part.startswith(b"id: %d\n" % n) for n, part in zip((2, 3), parts, strict=True)
    ]


async def test_a_stream_that_grows_while_it_is_looked_for(place: Place, hub: Hub) -> None:
    """What comes between the finding and the reading is neither missed nor read twice."""
    script, pauses = paused("Hello", " world")
    here = await hub(place.store, ScriptedProvider(script))
    elsewhere = await hub(place.other, ScriptedProvider())
    stream = await begin(here)
    await pauses[0].reached.wait()
    found = await elsewhere.find(stream.id, KEY)
    pauses[0].release()
    await pauses[1].reached.wait()
    followed = elsewhere.attach(stream.id, found, "req_2")
    with elsewhere.reader(followed, 0) as reader:
        begun = await reader.read() or b""
        pauses[1].release()
        while (data := await asyncio.wait_for(reader.read(), 60)) is not None:
            begun += data

    assert "Hello world" == text_of(begun)


async def test_a_reader_elsewhere_keeps_the_writer_going(place: Place, hub: Hub) -> None:
    """The grace period is over here, but somebody reads there: nothing is stopped until they leave as well."""
    script, pauses = paused("Hello", " world")
    provider = ScriptedProvider(script)
    here = await hub(place.store, provider, grace_s=0)
    elsewhere = await hub(place.other, ScriptedProvider())
    stream = await begin(here)
    with here.reader(stream, 0):
        await pauses[0].reached.wait()
        reader = elsewhere.reader(await find(elsewhere, stream.id), 0)
        reader.__enter__()
        await elsewhere.heartbeat()
        await here.heartbeat()
    for _ in range(10):
        await asyncio.sleep(0)
    await here.heartbeat()
    left_meanwhile = provider.calls[0].left
    reader.__exit__(None, None, None)
    await quiet(elsewhere)
    await place.pass_time(LEASE_S * 1.1)
    await here.heartbeat()
    left = await asyncio.wait_for(provider.calls[0].over(), 60)

    assert (None, "cancelled") == (left_meanwhile, left)


async def test_dropping_at_another_server_stops_the_writer(place: Place, hub: Hub) -> None:
    """At its next sign of life, if nothing is said before."""
    script, pauses = paused("Hello", " world")
    provider = ScriptedProvider(script)
    here = await hub(place.store, provider)
    elsewhere = await hub(place.other, ScriptedProvider())
    stream = await begin(here)
    await pauses[0].reached.wait()
    await elsewhere.drop(stream.id)
    await here.heartbeat()

    assert "cancelled" == await asyncio.wait_for(provider.calls[0].over(), 60)


@SHARED
@pytest.mark.parametrize("said", range(len(WORDS)))
async def test_a_server_that_dies_is_taken_over_from(place: Place, hub: Hub, said: int) -> None:
    """Wherever it stopped: a reader elsewhere gets the rest as if nothing had been, and the whole is what it would have been.
    The dead one, should it come back, adds nothing."""
    script, pauses = paused(*WORDS)
    dying, first = gateway(script)
    here = await hub(place.store, dying)
    saving, second = gateway(answer(*WORDS, usage=Usage(1, 9, 10)))
    elsewhere = await hub(place.other, saving)
    stream = await begin(here)
    for pause in pauses[:said]:
        pause.release()
    await pauses[said].reached.wait()
    begun = await up_to(here, stream, said + 2)
    await place.pass_time(LEASE_S * 1.1)
    found = await find(elsewhere, stream.id)
    whole = begun + await rest(elsewhere, found, said + 2)
    for pause in pauses:
        pause.release()
    await first.calls[0].over()
    again = await rest(elsewhere, await find(elsewhere, stream.id))

    assert (TEXT, whole, 1) == (text_of(whole), again, whole.count(b'"role"'))
    assert [call.kwargs["seed"] for call in first.calls] == [call.kwargs["seed"] for call in second.calls]


@SHARED
async def test_one_server_dies_after_another(place: Place, hub: Hub) -> None:
    """The account tells of each of them, and of every place where the answer went on elsewhere."""
    servers = [
        await hub(store, gateway(script)[0])
        for store, script in zip((place.store, place.other, place.store), (until(1), until(2), answer(*WORDS)), strict=True)
    ]
    stream = await begin(servers[0])
    said = await up_to(servers[0], stream, 2)
    await place.pass_time(LEASE_S * 1.1)
    said = await up_to(servers[1], await find(servers[1], stream.id), 3)
    await place.pass_time(LEASE_S * 1.1)
    data = said + await rest(servers[2], await find(servers[2], stream.id), 3)
    answered = ChatStreamDecoder()
    answered.feed(data)
    account = answered.extension
    assert account is not None

    assert TEXT == text_of(data)
    assert [(3, "one", "one"), (5, "one", "one")] == [(each["offset"], each["from"], each["to"]) for each in account["splices"]]
    assert ["server_lost", "server_lost", "ok"] == [each["outcome"] for each in account["attempts"]]


@SHARED
async def test_what_dead_servers_generated_is_counted(place: Place, hub: Hub) -> None:
    """One piece, then that piece again and another, then the whole: all of them were generated, and so they are used."""
    scripts = (until(1), until(2), answer(*WORDS, usage=Usage(1, len(WORDS), 1 + len(WORDS))))
    servers = [
        await hub(store, gateway(script)[0])
        for store, script in zip((place.store, place.other, place.store), scripts, strict=True)
    ]
    stream = await begin(servers[0])
    await up_to(servers[0], stream, 2)
    await place.pass_time(LEASE_S * 1.1)
    await up_to(servers[1], await find(servers[1], stream.id), 3)
    await place.pass_time(LEASE_S * 1.1)
    answered = ChatStreamDecoder()
    answered.feed(await rest(servers[2], await find(servers[2], stream.id)))

    generated = 1 + 2 + len(WORDS)
    assert Usage(1, generated, 1 + generated) == answered.finish().usage


async def test_a_closing_server_takes_over_nothing(place: Place, hub: Hub) -> None:
    """Somebody else may; what it writes itself can be read to its end."""
    script, pauses = paused("Hello", " world")
    here = await hub(place.store, ScriptedProvider(script))
    elsewhere = await hub(place.other, ScriptedProvider())
    stream = await begin(here)
    await pauses[0].reached.wait()
    here.draining = elsewhere.draining = True

    assert stream is await find(here, stream.id)
    with pytest.raises(StatusError) as caught:
        await find(elsewhere, stream.id)
    assert (503, "shutting_down") == (caught.value.status, caught.value.code)


@SHARED
@pytest.mark.parametrize("can", ["nobody", "somebody who says something else"])
async def test_what_nobody_can_go_on_with(place: Place, hub: Hub, can: str) -> None:
    """It ends in an error, and never in a blend: what was delivered is all there is."""
    script, _ = paused("Hello", " world")
    here = await hub(place.store, gateway(script)[0])
    provider = ScriptedProvider() if can == "nobody" else gateway(answer("Hullo", " world"))[0]
    elsewhere = await hub(place.other, provider)
    stream = await begin(here)
    begun = await up_to(here, stream, 2)
    await place.pass_time(LEASE_S * 1.1)
    said = begun + await rest(elsewhere, await find(elsewhere, stream.id), 2)

    assert ["Hello"] == [event for event in ChatStreamDecoder().feed(said) if type(event) is str]
    assert (True, False) == (b'id: 3\ndata: {"error":' in said, b"data: [DONE]" in said)
    assert said == await rest(elsewhere, await find(elsewhere, stream.id))


class Resuming(ScriptedProvider):
    """Plays its next script as the rest of an answer, and notes what it was handed of it."""

    def __init__(self, *scripts: Any) -> None:
        super().__init__(*scripts)
        self.handed: list[Batch] = []

    def resume(self, request: ChatRequest, options: CallOptions) -> BatchStream:
        assert options.answer is not None
        self.handed.append(options.answer.joined())
        return self.stream(request, options)


@SHARED
async def test_all_that_was_delivered_is_handed_to_the_provider(place: Place, hub: Hub) -> None:
    """Thoughts, text, tool calls and what else there is, from the log alone; and the checksum is over all of the text."""
    delivered: Batch = [
        Started("m", extra={"service_tier": "default"}),
        Reasoning("hm"),
        "Hello",
        Refusal("no"),
        ToolCallDelta(0, "call_1", "f", '{"a', extra={"signature": "x"}),
        Annotations([{"type": "url_citation", "score": 0.5}]),
        ChoiceEvent(1, "Hi"),
    ]
    here = await hub(place.store, ScriptedProvider([delivered, Pause()]))
    provider = Resuming(answer(" world"))
    elsewhere = await hub(place.other, provider)
    stream = await begin(here)
    begun = await up_to(here, stream, 4)
    await place.pass_time(LEASE_S * 1.1)
    found = await find(elsewhere, stream.id)
    with elsewhere.reader(found, 0) as reader:
        whole = await reader.read() or b""
        while (data := await asyncio.wait_for(reader.read(), 60)) is not None:
            whole += data
    answered = ChatStreamDecoder()
    answered.feed(whole)
    assert answered.extension is not None

    assert [delivered] == provider.handed
    assert (True, 11) == (whole.startswith(begun), answered.extension["length"])


@SHARED
async def test_a_server_that_dies_before_it_said_anything(place: Place, hub: Hub) -> None:
    """The question is asked anew: nobody has heard anything of the first answer."""
    pause = Pause()
    here = await hub(place.store, ScriptedProvider([pause, *answer()]))
    provider = ScriptedProvider(answer("Hello"))
    elsewhere = await hub(place.other, provider)
    stream = await begin(here)
    await pause.reached.wait()
    await place.pass_time(LEASE_S * 1.1)
    said = await rest(elsewhere, await find(elsewhere, stream.id))

    assert "Hello" == text_of(said)
    assert [(ASKED.model, ASKED.messages, {"temperature": 0.5})] == [
        (call.model, call.messages, call.kwargs) for call in provider.calls
    ]


async def test_a_closing_server_hands_over_at_once(place: Place, hub: Hub) -> None:
    """Its lease is given back: whoever is asked next need not wait for it to lapse."""
    script, _ = paused("Hello", " world")
    provider = ScriptedProvider(script)
    here = await hub(place.store, provider)
    stream = await begin(here)
    begun = await up_to(here, stream, 2)
    here.cancel_all()
    left = await asyncio.wait_for(provider.calls[0].over(), 60)
    await quiet(here)

    # Where its reader waits for the next record meanwhile, it is cancelled; in Python 3.13 it may be closed before that.
    assert left in ("cancelled", "closed")
    assert b"Hello" in begun
    assert None is not await place.other.claim(stream.id)


async def test_who_needs_what_was_let_go_is_sent_away(hub: Hub) -> None:
    """A reader that is too far behind a stream that was too large for its place hears no more, and learns why when it asks."""
    pause = Pause()
    provider = ScriptedProvider(["Hello", pause, *answer(*["x" * 1000] * 400)])
    streams = await hub(MemoryStore(keep_s=300, max_bytes=50_000), provider)
    stream = await begin(streams)
    with streams.reader(stream, 0) as slow:
        while slow.last < 2:
            await slow.read()
        pause.release()
        await provider.calls[0].over()

        assert (None, False) == (await slow.read(), slow.ended)
    with pytest.raises(StatusError) as caught:
        await rest(streams, await find(streams, stream.id), 2)
    assert 410 == caught.value.status


# ---- errors


async def test_an_error_before_anything_was_said(place: Place, hub: Hub) -> None:
    """Whoever reads first is handed the error itself; it is also what the stream says, to whoever comes later."""
    error = StatusError("no", status=429, retry_after=7)
    streams = await hub(place.store, ScriptedProvider([error]))
    stream = await begin(streams)
    said = await rest(streams, stream)

    assert (error, True) == (stream.error, said.startswith(b'id: 1\ndata: {"error":'))
    assert said == await rest(streams, await find(streams, stream.id))


async def test_an_error_in_the_midst(place: Place, hub: Hub) -> None:
    """It is the last event, with a number like any other, and neither a finish reason nor [DONE] follows."""
    streams = await hub(place.store, ScriptedProvider(["Hello", StatusError("no", status=500)]))
    stream = await begin(streams)
    said = await rest(streams, stream)

    assert (True, False, False) == (b'id: 3\ndata: {"error":' in said, b"[DONE]" in said, b'"finish_reason":"' in said)
    assert said == await rest(streams, await find(streams, stream.id))


async def test_a_bug_costs_its_own_stream_alone(place: Place, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged under the request's name, and told as an error of ours."""
    streams = await hub(place.store, ScriptedProvider(["Hello", ZeroDivisionError()]))
    said = await rest(streams, await begin(streams))

    assert (True, True) == (b'"internal_error"' in said, "req_1: a bug" in caplog.text)


class Failing:
    """A store whose place is gone, from when it is told so."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.gone = False

    @property
    def shared(self) -> bool:
        """Return whether records are bytes: memory alone could not go away."""
        return self.gone or self.store.shared

    def __getattr__(self, name: str) -> Any:
        if self.gone and name != "aclose":
            raise StoreError("the place is gone")
        return getattr(self.store, name)


async def test_a_store_that_fails_does_not_end_an_answer(place: Place, hub: Hub) -> None:
    """The answer goes on to whoever reads it; but under ids that nobody can resume after, for it is not stored."""
    script, pauses = paused("Hello", " world")
    store = Failing(place.store)
    streams = await hub(store, ScriptedProvider(script))
    stream = await begin(streams)
    with streams.reader(stream, 0) as reader:
        begun = b""
        while reader.last < 2:
            begun += await reader.read() or b""
        store.gone = True
        for pause in pauses:
            pause.release()
        await streams.heartbeat()
        while (data := await reader.read()) is not None:
            begun += data
    numbers = [line[4:] for line in begun.split(b"\n") if line.startswith(b"id: ")]
    found = await place.store.find(stream.id)

    assert "Hello world" in "".join(event for event in ChatStreamDecoder().feed(begun) if type(event) is str)
    assert [b"1", b"2", b"-", b"-", b"-", b"-"] == numbers
    assert found is not None
    assert ("running", 1) == (found.state, found.last)


async def empty(place: Place) -> None:
    """Take all that the place holds, as an operator does who empties it or starts it anew."""
    if isinstance(place.store, SqliteStore):
        with closing(sqlite3.connect(place.store._path)) as database, database:
            database.executescript("DELETE FROM streams; DELETE FROM records")
    else:
        assert isinstance(place.store, RedisStore)
        await place.store._redis.flushall()


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
@pytest.mark.parametrize("beats", [0, 2], ids=["at once", "after a heartbeat"])
async def test_a_store_that_forgets_does_not_end_an_answer(place: Place, hub: Hub, beats: int) -> None:
    """Emptied, evicted or begun anew: whoever reads the answer gets all of it, however far behind, and it is no lost lease."""
    script, pauses = paused("Hello", *["."] * 200, " world")
    streams = await hub(place.store, ScriptedProvider(script))
    stream = await begin(streams)
    with streams.reader(stream, 0) as reader:
        begun = b""
        while reader.last < 2:
            begun += await reader.read() or b""
        await empty(place)
        for _ in range(beats):
            await streams.heartbeat()
        for pause in pauses:
            pause.release()
        assert stream.source is not None
        await asyncio.wait({stream.source})
        while (data := await reader.read()) is not None:
            begun += data

    assert reader.ended
    assert f"Hello{'.' * 200} world" == "".join(event for event in ChatStreamDecoder().feed(begun) if type(event) is str)


async def fall_away(place: Place, store: Failing) -> None:
    """Let the place be out of reach."""
    store.gone = True


async def be_emptied(place: Place, store: Failing) -> None:
    """Let the place be there and hold nothing."""
    await empty(place)


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
@pytest.mark.parametrize(("happen", "told"), [(be_emptied, 404), (fall_away, 503)], ids=["emptied", "gone"])
async def test_a_store_that_comes_back_is_used_again(
    happen: Callable[[Place, Failing], Awaitable[None]], told: int, place: Place, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """Who comes back for what it lost is told so, also while the answer still runs; what begins then is kept as ever."""
    script, pauses = paused("Hello", " world")
    store = Failing(place.store)
    streams = await hub(store, ScriptedProvider(script, ["Hi", *answer()]))
    lost = await begin(streams)
    await up_to(streams, lost, 2)
    await happen(place, store)
    with pytest.raises(StatusError) as running:
        await find(streams, lost.id)
    for pause in pauses:
        pause.release()
    assert lost.source is not None
    await asyncio.wait({lost.source})
    warned = [record.message for record in caplog.records if "cannot be resumed" in record.message]
    store.gone = False
    await streams.heartbeat()
    kept = await begin(streams)
    whole = await rest(streams, kept)
    again = await rest(streams, await find(streams, kept.id), 2)

    assert (told, 1) == (running.value.status, len(warned))
    assert "Hi" in text_of(whole)
    assert again
    assert whole.endswith(again)
    if told == 404:
        with pytest.raises(StatusError, match="there is no stream of that id"):
            await find(streams, lost.id)


@pytest.mark.parametrize("place", ["redis"], indirect=True)
async def test_a_stream_without_its_beginning_is_gone(place: Place, hub: Hub) -> None:
    """Where its records alone were evicted while it was written: nobody gets the rest of it for the whole."""
    script, pauses = paused("Hello", " world")
    streams, elsewhere = await hub(place.store, ScriptedProvider(script)), await hub(place.other, ScriptedProvider())
    stream = await begin(streams)
    await up_to(streams, stream, 2)
    assert isinstance(place.store, RedisStore)
    assert 1 == await place.store._redis.delete(_keys(stream.id)[1])
    for pause in pauses:
        pause.release()
    assert stream.source is not None
    await asyncio.wait({stream.source})

    with pytest.raises(StatusError) as caught:
        await rest(elsewhere, await find(elsewhere, stream.id))
    assert 410 == caught.value.status


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
async def test_a_store_that_is_full_does_not_end_an_answer(place: Place, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of it cannot be resumed; and what begins then is not kept at all."""
    script, pauses = paused("Hello", "x" * 100_000, " world")
    streams = await hub(place.store, ScriptedProvider(script))
    stream = await begin(streams)
    if isinstance(place.store, RedisStore):
        place.store._room = SharedRoom(50_000, 300_000)
    else:
        monkeypatch.setattr(place.store, "_max_bytes", 50_000)
    for pause in pauses:
        pause.release()
    said = await rest(streams, stream)
    await streams.heartbeat()
    kept = await streams.begin(ASKED, KEY, "req_2", OPENAI_CHAT)

    assert (True, True) == (b" world" in said, b"[DONE]" in said)
    assert kept is None or isinstance(place.store, RedisStore)


async def test_without_a_store_nothing_is_promised(place: Place, hub: Hub) -> None:
    """A stream that cannot be kept is not begun, and one that cannot be looked up may be there."""
    store = Failing(place.store)
    provider = ScriptedProvider()
    streams = await hub(store, provider)
    store.gone = True

    assert (None, []) == (await streams.begin(ASKED, KEY, "", OPENAI_CHAT), provider.calls)
    with pytest.raises(StatusError) as caught:
        await find(streams, "x" * 32)
    assert (503, None) == (caught.value.status, caught.value.retry_after)


def test_timers_of_uvloop_need_not_say_when_they_are_due() -> None:
    """Its handle of no time at all cannot, which is what the second of two streams that are followed at once would ask."""

    async def follow() -> bool:
        streams = StreamBroker(
            MemoryStore(keep_s=1, max_bytes=1000),
            ScriptedProvider(),
            ready=asyncio.Event().wait,  # type: ignore[arg-type]  # it is never asked
            resolve=str,
            places=RequestLimiter(4, 1),
            config=ResumeConfig(),
        )
        for seconds in (60.0, 0.0, 0.0, 0.0002, 60.0):
            streams._arm(seconds)
        timer = streams._timer
        await streams.aclose()
        return timer is not None and not hasattr(timer, "when")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(follow()), "uvloop's handle says when it is due: the case is not there any more"
