"""The four clocks. The upstream is silent for ever, so that only a clock can end the wait; how soon is nobody's bet."""

from __future__ import annotations

import asyncio
import builtins
import re
import socket
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from autonomousai import (
    Anthropic,
    AutonomousAI,
    HTTPError,
    OpenAICompatible,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.clients import refusals
from autonomousai.clients.options import CLIENT_CLOCKS, read_timeout
from autonomousai.clients.prepared_request import PreparedRequest
from autonomousai.clients.remote import ResponseStream
from autonomousai.testing import Hang, Head, Pause, Script, ScriptedServer, Send, chunks, completion
from autonomousai.timeouts import Clocks
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT
from tests.conftest import Serve
from tests.support.sockets import CHAT, ask, request
from tests.support.sockets import HELLO as SAY

pytestmark = pytest.mark.usefixtures("transport")

HELLO = [{"role": "user", "content": "Hello"}]
SHORT = 0.15
KEEP_ALIVES = Send(b": keep-alive\n\n" * 3)


async def timeout_of(script: Script, *, stream: bool = True, **clocks: float) -> TimeoutError:
    async with ScriptedServer(script) as server, AutonomousAI(server.url, timeout=clocks) as provider:
        with pytest.raises(TimeoutError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=stream).text()
        assert await server.requests[0].over() == "left"
    return caught.value


@pytest.mark.parametrize(
    "script",
    [
        Script.silence(),
        Script(Head()),
        Script.body(b": keep-alive\n\n"),
        Script.body(chunks(finish=None, done=False)),
    ],
    ids=["no head", "head only", "comments only", "role only"],
)
async def test_first_token(script: Script) -> None:
    """No head, a head alone, comments and a role are no first token."""
    script = script.then(*Script.silence().steps)

    error = await timeout_of(script, first_token=SHORT)

    assert (error.clock, error.seconds, error.partial, error.retryable) == ("first_token", SHORT, "", True)
    assert isinstance(error, builtins.TimeoutError)
    assert isinstance(error, HTTPError)


SIGNS = {"comments": Send(b": keep-alive\n\n"), "blank lines": Send(b"\n")}


@pytest.mark.parametrize("sign", SIGNS.values(), ids=SIGNS)
async def test_signs_of_life_prolong_the_wait_for_the_first_token(sign: Send) -> None:
    """An upstream that says that it is there is waited for: longer than `first_token`, if not for ever."""
    steps = [step for _ in range(100) for step in (Pause(seconds=0.03), sign)]
    body = Script.stream("Hello").steps[1:]
    clocks = {"first_token": 1.0, "first_token_alive": 60.0}
    async with ScriptedServer(Script(Head(), *steps, *body)) as server, AutonomousAI(server.url, timeout=clocks) as provider:
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    error = await timeout_of(Script(Head(), *steps * 100), first_token=SHORT, first_token_alive=2 * SHORT)

    assert (text, error.clock, error.seconds) == ("Hello", "first_token", 2 * SHORT)


class BlankResponse:
    """A response that begins with one blank line after another, a few bytes a read, and never ends."""

    status = 200
    headers: Mapping[str, str] = MappingProxyType({})

    async def post(self, *args: Any, **options: Any) -> BlankResponse:
        return self

    def peek(self) -> bytes:
        return b""

    def whole(self) -> bytes | None:
        return None

    async def read_some(self) -> bytes:
        return b"\n\n\n\n"

    def alive(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def test_blank_lines_cost_no_more_than_they_are() -> None:
    """A mebibyte of them in tiny reads is an error at its end, and not hours of copying before that."""
    asked = PreparedRequest(url="", headers={}, body=b"", clocks=Clocks(), stream=True, wire=OPENAI_CHAT)

    with pytest.raises(StreamError, match="white space"):
        await anext(ResponseStream(BlankResponse(), asked))  # type: ignore[arg-type]


class CountedResponse(BlankResponse):
    """A response of *pieces*, one a read, which lists what its reader notes after each."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.noted: list[list[str]] = []

    async def read_some(self) -> bytes:
        self.noted.append([])
        return self.pieces.pop(0)

    def progress(self) -> None:
        self.noted[-1].append("progress")

    def alive(self) -> None:
        self.noted[-1].append("alive")

    def wait_no_longer_than(self, seconds: float) -> None:
        pass

    def release(self) -> bool:
        return True


OPENED = (
    b'data: {"type":"message_start","message":{"role":"assistant","content":[]}}\n\n'
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
)
SAID = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
ENDED = b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize(("bound", "later"), [(60, ["progress"]), (1e-9, [])], ids=["within", "beyond"])
async def test_pings_prolong_the_wait_for_the_next_event_up_to_a_bound(bound: float, later: list[str]) -> None:
    """An upstream that writes a long argument says no more than that it is at work; one that hangs says so for ever. Comments
    restart nothing, and before the first word pings are as they are."""
    response = CountedResponse(PING + OPENED, SAID, PING, PING, b": comment\n\n", PING, ENDED)
    asked = PreparedRequest(
        url="",
        headers={},
        body=b"",
        clocks=Clocks(first_token_alive=bound),
        stream=True,
        wire=ANTHROPIC_MESSAGES,
    )
    stream = ResponseStream(response, asked)  # type: ignore[arg-type]
    text = "".join([str(event) async for batch in stream for event in batch])

    assert "a" == text
    assert [["alive"], ["progress"], ["progress"], later, ["alive"], later] == response.noted[:-1]


@pytest.mark.parametrize("after", [(), (KEEP_ALIVES,)], ids=["silence", "comments"])
async def test_idle(after: tuple[Any, ...]) -> None:
    """Silence after the first token, comments or not, ends the answer with what had come."""
    hang = Script.silence().steps
    opened = Script.stall("Hel", "lo").steps[:-1]

    error = await timeout_of(Script(*opened, *after, *hang), idle=SHORT)

    assert (error.clock, error.partial, error.status) == ("idle", "Hello", 200)


async def test_idle_runs_from_event_to_event() -> None:
    """Each event winds the clock up: an answer may take longer than `idle` as a whole."""
    pieces = [Pause(seconds=0.06) for _ in range(5)]
    deltas = [Send(chunks("x", finish=None, done=False)) for _ in pieces]
    steps = [step for pair in zip(pieces, deltas, strict=True) for step in pair]
    script = Script(*Script.stall("x").steps[:-1], *steps, Send(chunks(finish="stop")))
    async with ScriptedServer(script) as server, AutonomousAI(server.url, timeout={"idle": 5}) as provider:
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert text == "xxxxxx"


@pytest.mark.parametrize("stream", [True, False])
async def test_total(stream: bool) -> None:
    """The whole answer has a bound of its own; without streaming it is the only one besides connect."""
    error = await timeout_of(Script.silence(), stream=stream, total=SHORT)

    assert (error.clock, error.retryable) == ("total", False)


async def test_without_stream_silence_is_no_fault() -> None:
    """A document takes as long as it takes: neither first_token nor idle bound it."""
    pause = Pause(seconds=0.4)
    script = Script(pause, *Script.document("Hello").steps)
    clocks = {"first_token": 0.1, "idle": 0.1}
    async with ScriptedServer(script) as server, AutonomousAI(server.url, timeout=clocks) as provider:
        text = await provider.create_async_generator("llama", HELLO).text()

    assert text == "Hello"


async def test_without_stream_a_gap_in_the_document_is_no_fault() -> None:
    """Nor does the idle clock begin to run with the document's first bytes."""
    document = completion("Hello")
    script = Script(Head(200, "application/json"), Send(document[:30]), Pause(seconds=0.6), Send(document[30:]))
    async with ScriptedServer(script) as server, AutonomousAI(server.url, timeout={"idle": 0.1}) as provider:
        text = await provider.create_async_generator("llama", HELLO).text()

    assert text == "Hello"


async def test_an_end_that_was_none_does_not_spoil_the_next() -> None:
    """Where text follows a finish reason, the clock runs as before, and the grace after the next finish reason is as short."""
    silent = chunks(done=False).split(b"\n\n")[1] + b"\n\n"
    pause = Pause(seconds=0.1)
    steps = [Head(), Send(chunks("a", done=False)), pause, Send(chunks("b", finish=None, done=False)), pause]
    async with (
        ScriptedServer(Script(*steps, Send(silent), Hang()), Script(*steps, Hang())) as server,
        AutonomousAI(server.url, timeout={"idle": 3}) as provider,
    ):
        began = time.monotonic()
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()
        took = time.monotonic() - began
        with pytest.raises(TimeoutError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=True, timeout={"idle": SHORT}).text()

    assert (text, took < 2.5) == ("ab", True)
    assert (caught.value.clock, caught.value.partial) == ("idle", "ab")


async def test_a_number_is_the_total() -> None:
    """timeout=SECONDS bounds the whole answer, for one call as for an instance."""
    async with ScriptedServer(Script.stall("Hi")) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(TimeoutError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=True, timeout=SHORT).text()

    assert (caught.value.clock, caught.value.partial) == ("total", "Hi")


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose backlog is full: connecting to it takes for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


async def test_connect(deaf_port: int) -> None:
    """A connection that does not come about ends by the connect clock."""
    async with AutonomousAI(f"http://127.0.0.1:{deaf_port}", timeout={"connect": SHORT}) as provider:
        with pytest.raises(TimeoutError) as caught:
            await provider.create_async_generator("llama", HELLO).text()

    assert (caught.value.clock, caught.value.status) == ("connect", None)


async def test_a_slow_caller_is_not_a_silent_server() -> None:
    """The idle clock runs while we wait for the server, not while the caller thinks."""
    thinking = Pause(seconds=0.5)
    async with ScriptedServer(Script.stream("a", "b")) as server, AutonomousAI(server.url, timeout={"idle": 0.1}) as provider:
        found = []
        async for chunk in provider.create_async_generator("llama", HELLO, stream=True):
            found.append(str(chunk))
            await thinking.wait()

    assert ["a", "b", ""] == found


def test_the_guide_says_what_a_client_allows() -> None:
    """Each clock with its seconds, for who comes from a client with one timeout."""
    guide = (Path(__file__).parents[2] / "docs/guides/from-openai.md").read_text(encoding="utf-8").replace("\n", " ")
    said = {name: seconds for seconds, name in re.findall(r"(\d+) s\b[^.;,]*?\(`(\w+)`\)", guide)}
    clocks = ("connect", "first_token", "idle", "total", "first_token_alive")

    assert {name: f"{getattr(CLIENT_CLOCKS, name):g}" for name in clocks} == said


@pytest.mark.parametrize(
    ("given", "seconds"), [(Decimal("2.5"), 2.5), (Fraction(5, 2), 2.5), (inf, 10_000_000), ({"total": inf}, 10_000_000)]
)
def test_seconds_are_any_number(given: Any, seconds: float) -> None:
    """Numpy's and decimal ones too; an infinity is as long as there is."""
    assert seconds == read_timeout(given, Clocks()).total


@pytest.mark.parametrize("given", [0, -1, float("nan"), -inf, True, "5", None, object()])
def test_what_is_no_time_is_refused(given: Any) -> None:
    """By the name of the clock, and with what is taken."""
    with pytest.raises(ValueError, match="'idle' must be a number of seconds above 0"):
        read_timeout({"idle": given}, Clocks())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", [OpenAICompatible, Anthropic, AutonomousAI])
async def test_a_refusal_without_words_is_one(kind: Any, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status is known with its head, and its words are waited for a little while: no longer timeout has to pass first."""
    monkeypatch.setattr(refusals, "_WORDS_S", SHORT)
    silent = Script(Head(401), Hang())
    async with ScriptedServer(silent) as server, kind(server.url, api_key="k", timeout={"first_token": 500}) as provider:
        async with asyncio.timeout(30):
            with pytest.raises(StatusError) as caught:
                await provider.create_async_generator("llama", HELLO, stream=stream)

    assert 401 == caught.value.status


async def test_a_server_hands_on_a_refusal_without_words(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it asks its upstream over a connection that stands, without a task."""
    monkeypatch.setattr(refusals, "_WORDS_S", SHORT)
    scripts = Script.stream("Hello"), Script(Head(401), Hang())
    async with ScriptedServer(*scripts) as upstream, OpenAICompatible(upstream.url, timeout={"first_token": 500}) as provider:
        port = (await serve(provider)).port
        async with asyncio.timeout(30):
            answers = [await ask(port, request("POST", CHAT, {**SAY, "stream": True})) for _ in range(2)]

    assert 200 == answers[0].status
    assert 400 <= answers[1].status
