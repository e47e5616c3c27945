"""Resumable streams over real sockets: what is sent to whom, and what a connection's end means."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from autonomousai import AutonomousAI
from autonomousai.capabilities import Capabilities
from autonomousai.config import Config, RescueConfig, ResumeConfig, Secret, ServerConfig
from autonomousai.errors import IncompleteStreamError, StatusError
from autonomousai.events import Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.chaos import ChaosProxy
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, Listening, ask, events, listening, request, text_of

AGENT = "/api/v1/ai/chat"
WIRES = pytest.mark.parametrize("path", [CHAT, AGENT])
STREAM = {**HELLO, "stream": True}
NAME = "x-stream-id"

Resuming = Callable[..., Awaitable[Listening]]


@pytest.fixture
async def serve(provider: ScriptedProvider) -> AsyncIterator[Resuming]:
    """Start a server around the scripted provider or another one, with these keys of ``[server]`` and of ``[resume]``."""
    async with AsyncExitStack() as stack:

        async def start(around: AsyncGeneratorProvider | None = None, *, grace_s: float = 10_000, **server: Any) -> Listening:
            server["api_keys"] = tuple(Secret(key) for key in server.get("api_keys", ()))
            config = Config(server=ServerConfig(**server), resume=ResumeConfig(grace_s=grace_s))
            return await stack.enter_async_context(listening(create_app(config, provider=around or provider)))

        yield start


def post(path: str = CHAT, **headers: str) -> bytes:
    return request("POST", path, STREAM, x_stream_resumable="1", **headers)


def get(name: str, last: int | str = "", method: str = "GET", **headers: str) -> bytes:
    if last != "":
        headers["last_event_id"] = str(last)
    return request(method, f"/v1/streams/{name}", **headers)


class Begun:
    """A resumable stream that was begun and is paused after its first word."""

    def __init__(self, connection: Connection, name: str, said: bytes) -> None:
        self.connection = connection
        self.name = name
        self.said = said

    @property
    def last(self) -> int:
        return ids(self.said)[-1]


async def begin(connection: Connection, path: str = CHAT, until: bytes = b'Hello"', **headers: str) -> Begun:
    """Ask, and read up to the first word."""
    await connection.send(post(path, **headers))
    status, head = await connection.head()
    assert 200 == status
    said = b""
    while until not in said:
        said += await connection.piece()
    return Begun(connection, dict(head)[NAME], said)


def ids(body: bytes) -> list[int]:
    return [int(line[4:]) for line in body.split(b"\n") if line.startswith(b"id: ")]


def script(provider: ScriptedProvider) -> Pause:
    """Say "Hello", wait, say " world"."""
    pause = Pause()
    provider.play(["Hello", pause, *answer(" world")])
    return pause


async def settled(serving: Listening) -> None:
    async with asyncio.timeout(PATIENCE):
        await serving.app.empty()


# ---- the first answer


@WIRES
async def test_who_asks_for_it_gets_a_name_and_numbers(serve, path):
    """The head names the stream, and every event has a number; the same answer can be had again under that name."""
    serving = await serve()

    first = await ask(serving.port, post(path))
    again = await ask(serving.port, get(first[NAME]))

    assert "Hello world" == text_of(events(first.body))
    assert list(range(1, len(events(first.body)) + 1)) == ids(first.body)
    assert (200, first.body, first[NAME], "text/event-stream; charset=utf-8") == (
        again.status,
        again.body,
        again[NAME],
        again["content-type"],
    )


@WIRES
@pytest.mark.parametrize("header", [{}, {"x_stream_resumable": "0"}, {"x_stream_resumable": "true"}])
async def test_who_does_not_ask_for_it_gets_neither(serve, path, header):
    """The bytes are as they were without all this."""
    serving = await serve()

    got = await ask(serving.port, request("POST", path, STREAM, **header))

    assert (None, []) == (got[NAME], ids(got.body))
    assert "Hello world" == text_of(events(got.body))


async def test_a_whole_document_has_no_name(serve):
    """There is nothing to resume."""
    serving = await serve()

    got = await ask(serving.port, request("POST", CHAT, HELLO, x_stream_resumable="1"))

    assert (200, None) == (got.status, got[NAME])


async def test_an_error_before_the_first_event_keeps_its_status(serve, provider):
    """As without the header; nothing is left behind under a name that nobody has heard."""
    provider.play([StatusError("too many", status=429, retry_after=7)])
    serving = await serve()

    got = await ask(serving.port, post())
    await settled(serving)

    assert ((429, None), "7", None) == (got.told, got["retry-after"], got[NAME])


async def test_an_error_in_the_midst_is_an_event(serve, provider):
    """However quickly it follows upon the first words."""
    provider.play(["Hello", StatusError("no", status=500)])
    serving = await serve()

    got = await ask(serving.port, post())

    assert (200, "Hello", "error") == (got.status, text_of(events(got.body)[:-1]), *events(got.body)[-1])


async def test_who_leaves_after_the_last_byte_has_had_the_answer(serve):
    """The request counts as answered."""
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.ask(post())
    await settled(serving)
    counted = (await ask(serving.port, request("GET", "/metrics"))).body

    assert b'status="200"} 1' in counted


async def test_the_name_comes_with_the_first_comment(serve, provider):
    """A caller who waits long for the first event can resume as soon as the head is out."""
    pause = Pause()
    provider.play([pause, *answer("late")])
    serving = await serve(keepalive_s=0.01)

    async with Connection(serving.port) as connection:
        await connection.send(post())
        status, head = await connection.head()
        assert (200, b": keep-alive\n\n") == (status, await connection.piece())
    pause.release()
    got = await ask(serving.port, get(dict(head)[NAME]))

    assert "late" == text_of(events(got.body))


class Repeating(ScriptedProvider):
    """One that gives the same bytes again, as its script says."""

    capabilities = Capabilities(deterministic=True)


@WIRES
@pytest.mark.parametrize("resumable", [True, False], ids=["resumable", "plain"])
async def test_a_long_rescue_says_that_it_gets_on(serve, path, resumable):
    """While what was delivered comes again, a silent stream is sent chunks that say so, under no id and with nothing in them; a
    rescue that does not get on is told no more of."""
    stuck, pause = Pause(), Pause()
    words = [Started("m"), "The", " sky", " is"]
    engine = Repeating([*words, IncompleteStreamError()], [*words[:3], stuck, " is", pause, *answer(" blue")])
    made = Gateway([Upstream("u", engine)], {"llama": ["u"]}, rescue=RescueConfig(exact_tokens=512))
    serving = await serve(made, keepalive_s=0.02)

    async with Connection(serving.port) as connection:
        await connection.send(post(path) if resumable else request("POST", path, STREAM))
        await connection.head()
        first = await connection.until(b"keep-alive\n\n")
        stuck.release()
        second = await connection.until(b"keep-alive\n\n")
        pause.release()
        rest = await connection.until(b"[DONE]\n\n")

    signs = [event for part in (first, second, rest) for event in events(part) if "progress" in str(event)]
    told = [sign["x_autonomousai"]["progress"] for sign in signs]
    assert told == sorted(set(told))
    assert any("progress" in str(event) for event in events(second))
    assert [[{"index": 0, "delta": {}, "finish_reason": None}]] * len(signs) == [sign["choices"] for sign in signs]
    assert "The sky is blue" == text_of(events(first + second + rest))
    numbers = [int(line[4:]) for line in (first + second + rest).split(b"\n") if line.startswith(b"id: ")]
    assert list(range(1, 8)) * resumable == numbers


# ---- leaving and coming back


@WIRES
async def test_a_lost_connection_loses_nothing(serve, provider, path):
    """The rest comes on another connection, from the next event on, and it was generated once."""
    pause = script(provider)
    serving = await serve()

    async with Connection(serving.port) as connection:
        begun = await begin(connection, path)
        connection.reset()
    async with Connection(serving.port) as connection:
        await connection.send(get(begun.name, begun.last))
        assert 200 == (await connection.head())[0]
        pause.release()
        rest = b""
        while piece := await connection.piece():
            rest += piece

    assert "Hello world" == text_of(events(begun.said + rest))
    assert list(range(1, len(events(begun.said + rest)) + 1)) == ids(begun.said + rest)
    assert ["finished"] == [call.left for call in provider.calls]


@pytest.mark.parametrize(
    ("path", "wire", "other"), [(CHAT, "openai_chat", "autonomousai"), (AGENT, "autonomousai", "openai_chat")]
)
async def test_another_wire_can_be_asked_for(serve, path, wire, other):
    """By its name; by default it is the one that the stream was begun over."""
    serving = await serve()

    first = await ask(serving.port, post(path))
    same, another, rest = [
        await ask(serving.port, get(f"{first[NAME]}?wire={name}", last)) for name, last in ((wire, ""), (other, ""), (other, 2))
    ]

    assert first.body == same.body
    assert ("Hello world", list(range(1, len(events(another.body)) + 1))) == (text_of(events(another.body)), ids(another.body))
    ours = {wire: same.body, other: another.body}
    assert [b'}],"finish_reason":"stop"' in ours[name] for name in ("autonomousai", "openai_chat")] == [True, False]
    assert (True, 3) == (another.body.endswith(rest.body), ids(rest.body)[0])


async def test_a_wire_that_there_is_not(serve):
    """The answer names those that there are."""
    serving = await serve()
    first = await ask(serving.port, post())

    got = await ask(serving.port, get(f"{first[NAME]}?wire=telepathy"))

    assert ((400, "invalid_value"), True) == (got.told, b"openai_chat, autonomousai" in got.body)


async def test_several_read_at_once(serve, provider):
    """Each from where they want to, while it is written."""
    pause = script(provider)
    serving = await serve()

    async with Connection(serving.port) as connection:
        begun = await begin(connection)
        reading = [asyncio.create_task(ask(serving.port, get(begun.name, last))) for last in ("", 1, 2)]
        await asyncio.sleep(0)
        pause.release()
        whole = begun.said + await connection.until(b"[DONE]\n\n")
        got = await asyncio.gather(*reading)

    assert "Hello world" == text_of(events(got[0].body))
    assert [ids(got[0].body)[number:] for number in range(3)] == [ids(each.body) for each in got]
    assert whole.endswith(b"[DONE]\n\n")


async def test_who_leaves_before_the_head_stops_it(serve, provider):
    """Nobody can come back to a stream whose name was not sent."""
    pause = Pause()
    provider.play([pause, *answer("late")])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(post())
        await pause.reached.wait()
    left = await asyncio.wait_for(provider.calls[0].over(), PATIENCE)
    await settled(serving)

    assert "cancelled" == left


async def test_who_does_not_come_back_stops_it(serve, provider):
    """After the grace period."""
    script(provider)
    serving = await serve(grace_s=0)

    async with Connection(serving.port) as connection:
        begun = await begin(connection)
    left = await asyncio.wait_for(provider.calls[0].over(), PATIENCE)
    await settled(serving)
    got = await ask(serving.port, get(begun.name, begun.last))

    assert ("cancelled", (410, "stream_gone")) == (left, got.told)


async def test_delete_stops_it(serve, provider):
    """At once; whoever reads it hears no more, and it is gone."""
    script(provider)
    serving = await serve()

    async with Connection(serving.port) as connection:
        begun = await begin(connection)
        got = await ask(serving.port, get(begun.name, method="DELETE"))
        left = await asyncio.wait_for(provider.calls[0].over(), PATIENCE)
        rest = await connection.until(b"0\r\n\r\n")
    later = [await ask(serving.port, get(begun.name, method=method)) for method in ("GET", "DELETE")]

    assert ((204, b"", None), "cancelled") == ((got.status, got.body, got["content-length"]), left)
    assert (True, False) == (b"retry: " in rest, b"[DONE]" in rest)
    assert [(410, "stream_gone")] * 2 == [each.told for each in later]


async def test_nothing_more_to_read(serve):
    """Who has it all already is told so, in the way that stops a browser from asking again."""
    serving = await serve()

    first = await ask(serving.port, post())
    got = await ask(serving.port, get(first[NAME], ids(first.body)[-1]))

    assert (204, b"") == (got.status, got.body)


async def test_head_tells_whether_it_is_there(serve):
    """Without its events."""
    serving = await serve()
    first = await ask(serving.port, post())

    there, not_there = [await ask(serving.port, get(name, method="HEAD")) for name in (first[NAME], "x" * 32)]

    assert (200, first[NAME], 404) == (there.status, there[NAME], not_there.status)


# ---- what is refused


async def test_somebody_elses_stream(serve, provider):
    """It does not exist for them, to read or to stop."""
    script(provider)
    serving = await serve(api_keys=["sk-1", "sk-2"])

    async with Connection(serving.port) as connection:
        begun = await begin(connection, authorization="Bearer sk-1")
        theirs = [
            await ask(serving.port, get(begun.name, method=method, authorization="Bearer sk-2")) for method in ("GET", "DELETE")
        ]
        nobody = await ask(serving.port, get(begun.name))

    assert [(404, "stream_not_found")] * 2 == [each.told for each in theirs]
    assert ((401, "invalid_api_key"), None) == (nobody.told, provider.calls[0].left)


@pytest.mark.parametrize(
    ("name", "last", "told"),
    [
        ("x" * 32, "", (404, "stream_not_found")),
        ("", "", (404, "not_found")),
        ("x" * 32 + "/more", "", (404, "stream_not_found")),
        ("%7B*%7D", "", (404, "stream_not_found")),
        (None, "x", (400, "invalid_value")),
        (None, "-1", (400, "invalid_value")),
        (None, "9" * 30, (400, "invalid_value")),
        (None, "100", (410, "stream_gone")),
    ],
)
async def test_what_cannot_be_read(serve, name, last, told):
    """Streams and events that there are not."""
    serving = await serve()
    first = await ask(serving.port, post())

    got = await ask(serving.port, get(first[NAME] if name is None else name, last))

    assert told == got.told


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("PUT", 405), ("OPTIONS", 204)])
async def test_other_methods(serve, method, status):
    """The answer names those that there are."""
    serving = await serve()

    got = await ask(serving.port, get("x" * 32, method=method))

    assert (status, "DELETE, GET, HEAD, OPTIONS") == (got.status, got["allow"])


# ---- the end


async def test_while_draining_what_was_begun_can_be_resumed(serve, provider):
    """New questions are refused, and old ones answered to their end, even over a new connection."""
    pause = script(provider)
    serving = await serve()

    async with Connection(serving.port) as connection:
        begun = await begin(connection)
    serving.app.drain()
    refused = await ask(serving.port, post())
    reading = asyncio.create_task(ask(serving.port, get(begun.name, begun.last)))
    pause.release()
    got = await reading
    await settled(serving)

    assert ((503, "shutting_down"), "Hello world") == (refused.told, text_of(events(begun.said + got.body)))


async def test_while_draining_nothing_is_taken_over(serve, provider, tmp_path: Path):
    """A stream of another server is for another server."""
    script(provider)
    state = f"sqlite:{tmp_path / 'state.db'}"
    writing, draining = await serve(state=state), await serve(state=state)

    async with Connection(writing.port) as connection:
        begun = await begin(connection)
        await draining.app.start()
        draining.app.drain()
        got = await ask(draining.port, get(begun.name))

    assert (503, "shutting_down") == got.told


async def test_after_draining_who_was_in_memory_is_told_the_truth(serve, provider):
    """It cannot be resumed anywhere: an error, and no end."""
    script(provider)
    serving = await serve()

    async with Connection(serving.port) as connection:
        begun = await begin(connection)
        serving.app.cancel_all()
        rest = await connection.until(b"0\r\n\r\n")
    await settled(serving)

    assert (True, False) == (b'"shutting_down"' in rest, b"[DONE]" in begun.said + rest)


async def test_after_draining_a_stored_stream_goes_on_elsewhere(serve, provider, tmp_path: Path):
    """The connection ends with a word on how to go on, and without an error; the next server has the rest at once."""
    script(provider)
    gateway = Gateway([Upstream("one", provider)], {"llama": ["one"]})
    state = f"sqlite:{tmp_path / 'state.db'}"
    ending = await serve(gateway, state=state)
    async with Connection(ending.port) as connection:
        begun = await begin(connection)
        ending.app.cancel_all()
        rest = await connection.until(b"0\r\n\r\n")
    await settled(ending)
    await ending.app.aclose()
    provider.play(answer("Hello world"))
    next_one = await serve(gateway, state=state)
    got = await ask(next_one.port, get(begun.name, begun.last))

    assert (True, False, False) == (b"retry: 1000\n: to be continued" in rest, b"error" in rest, b"[DONE]" in rest)
    assert "Hello world" == text_of(events(begun.said + got.body))
    account = events(got.body)[-2]["x_autonomousai"]
    assert [{"offset": 5, "from": "one", "to": "one"}] == account["splices"]
    assert [("one", "server_lost"), ("one", "ok")] == [(each["upstream"], each["outcome"]) for each in account["attempts"]]


# ---- with our client


async def test_our_clients_loop_never_notices(serve, provider):
    """Twenty connections in a row are reset at random bytes; the text is whole, and was generated once."""
    dice = random.Random(7)
    words = [f" {number}" for number in range(2000)]
    provider.play(answer(*words))
    serving = await serve()
    cuts = [dice.randrange(500, 20_000) for _ in range(20)]

    async with ChaosProxy(serving.port, cuts) as network, AutonomousAI(network.url) as client:
        text = await client.create_async_generator("llama", HELLO["messages"], stream=True).text()

    assert ("".join(words), 20, ["finished"]) == (text, network.cut, [call.left for call in provider.calls])


async def test_our_client_says_when_it_leaves(serve, provider):
    """Breaking out stops the generation at once, however long the grace period is."""
    script(provider)
    serving = await serve()

    async with AutonomousAI(serving.url) as client:
        async with client.create_async_generator("llama", HELLO["messages"], stream=True) as result:
            async for _ in result:
                break
        left = await asyncio.wait_for(provider.calls[0].over(), PATIENCE)

    assert "cancelled" == left
