"""A connection that breaks in mid-answer is replaced, where the server can resume: the caller's loop never notices."""

from __future__ import annotations

import pytest

from autonomousai import AutonomousAI, HTTPError, IncompleteStreamError, OpenAICompatible, StreamError, TimeoutError  # noqa: A004
from autonomousai.clients import reconnecting
from autonomousai.gateway import Gateway, Upstream
from autonomousai.testing import Close, Hang, Head, Reset, Script, ScriptedServer, Send, event

pytestmark = pytest.mark.usefixtures("transport")

HELLO = [{"role": "user", "content": "Hello"}]
NAMED = {"X-Stream-Id": "s1"}
STREAM = "/v1/streams/s1"


def numbered(*texts: str, first: int = 1, end: bool = False) -> bytes:
    """Chunks with ids from *first* on, and perhaps the end."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts]
    if end:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    data = b"".join(b"id: %d\n" % number + event(chunk) for number, chunk in enumerate(chunks, start=first))
    return data + (event("[DONE]") if end else b"")


def begun(*texts: str, then: Reset | Close | Hang | None = None) -> Script:
    return Script(Head(headers=NAMED), Send(numbered(*texts)), *([then] if then else []))


@pytest.mark.parametrize("then", [Reset(), Close(), None], ids=["reset", "cut", "a clean end without evidence"])
async def test_a_broken_connection_is_replaced(then: Reset | Close | None) -> None:
    """The rest is fetched after the last event that came, and the text is whole."""
    async with ScriptedServer(begun("a", "b", then=then)) as server, AutonomousAI(server.url, api_key="k") as provider:
        server.play(Script.body(numbered("c", "d", first=3, end=True)), path=STREAM)
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()
        post, get = server.requests

    assert text == "abcd"
    assert post.headers["x-stream-resumable"] == "1"
    assert (get.method, get.path, get.headers["last-event-id"], get.headers["authorization"]) == (
        "GET",
        STREAM,
        "2",
        "Bearer k",
    )


async def test_half_an_event_comes_again_whole() -> None:
    """What was cut in the middle of an event is not an event: the new connection brings it from its beginning."""
    cut = Script(Head(headers=NAMED), Send(numbered("a", "b")[:-20]), Reset())
    async with ScriptedServer(cut) as server, AutonomousAI(server.url) as provider:
        server.play(Script.body(numbered("b", "c", first=2, end=True)), path=STREAM)
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (text, server.requests[1].headers["last-event-id"]) == ("abc", "1")


async def test_before_the_first_event_it_is_replaced_too() -> None:
    """A connection that breaks after the head, with nothing delivered, asks from the beginning."""
    async with ScriptedServer(begun(then=Reset())) as server, AutonomousAI(server.url) as provider:
        server.play(Script.body(numbered("a", end=True)), path=STREAM)
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (text, "last-event-id" in server.requests[1].headers) == ("a", False)


async def test_it_is_tried_until_the_server_is_back() -> None:
    """Faults on the way back are waited out: the server may be starting again."""
    faults = (Script.reset_before_headers(), Script.status(503), Script.hang_up())
    async with ScriptedServer(begun("a", then=Reset())) as server, AutonomousAI(server.url) as provider:
        server.play(*faults, Script.body(numbered("b", first=2, end=True)), path=STREAM)
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (text, len(server.requests)) == ("ab", 5)


async def test_a_connection_that_breaks_again_and_again() -> None:
    """Every piece over a connection of its own."""
    async with ScriptedServer(begun("0", then=Reset())) as server, AutonomousAI(server.url) as provider:
        pieces = [Script(Head(), Send(numbered(str(n), first=n + 1)), Reset()) for n in range(1, 8)]
        server.play(*pieces, Script.body(numbered("8", first=9, end=True)), path=STREAM)
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert text == "012345678"


async def test_a_connection_that_breaks_again_before_anything_came() -> None:
    """A new connection that brings nothing, not even a whole event, is replaced as well."""
    nothing = [Script(Head(), Close()), Script(Head(), Send(numbered("1", first=2)[:-9]), Reset()), Script(Head())]
    async with ScriptedServer(begun("0", then=Reset())) as server, AutonomousAI(server.url) as provider:
        server.play(*nothing, Script.body(numbered("1", first=2, end=True)), path=STREAM)
        text = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (text, [None, "1", "1", "1", "1"]) == ("01", [each.headers.get("last-event-id") for each in server.requests])


@pytest.mark.parametrize("status", [404, 410])
async def test_a_stream_that_was_let_go_is_the_first_error(status: int) -> None:
    """When the server no longer has it, the caller hears of the cut, with the text so far."""
    async with ScriptedServer(begun("a", then=Reset())) as server, AutonomousAI(server.url) as provider:
        server.play(Script.status(status), path=STREAM)
        with pytest.raises(IncompleteStreamError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (caught.value.partial, len(server.requests)) == ("a", 2)


async def test_a_silent_connection_is_replaced_once() -> None:
    """A dead network may leave the connection standing: the idle clock replaces it, and raises if that brings nothing."""
    async with ScriptedServer(begun("a", then=Hang())) as server, AutonomousAI(server.url, timeout={"idle": 0.2}) as provider:
        server.play(Script(Head(), Hang()), path=STREAM)
        with pytest.raises(TimeoutError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (caught.value.clock, caught.value.partial) == ("idle", "a")
    assert ["POST", "GET", "DELETE"] == [request.method for request in server.requests]


async def test_without_an_id_nothing_is_resumed() -> None:
    """A server that cannot is not asked to."""
    async with ScriptedServer(Script.cut("a")) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(HTTPError):
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert len(server.requests) == 1


async def test_leaving_on_purpose_tells_the_server() -> None:
    """Breaking out sends the DELETE, so that nobody generates for a caller who will not come back."""
    async with ScriptedServer(begun("a", then=Hang())) as server, AutonomousAI(server.url, api_key="k") as provider:
        server.play(Script.status(204, ""), path=STREAM)
        async with provider.create_async_generator("llama", HELLO, stream=True) as result:
            async for _ in result:
                break

    assert [("DELETE", STREAM)] == [(request.method, request.path) for request in server.requests[1:]]
    assert server.requests[1].headers["authorization"] == "Bearer k"


async def test_a_whole_answer_needs_no_goodbye() -> None:
    """After the end there is nothing to tell."""
    whole = Script.body(numbered("a", end=True), headers=NAMED)
    async with ScriptedServer(whole) as server, AutonomousAI(server.url) as provider:
        await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert len(server.requests) == 1


async def test_an_openai_compatible_server_can_resume_too() -> None:
    """Its streams lie under its base URL; without streaming nothing is asked for."""
    async with ScriptedServer(begun("a", then=Reset())) as server, OpenAICompatible(server.url + "/v1") as provider:
        server.play(Script.body(numbered("b", first=2, end=True)), path=STREAM)
        text = await provider.create_async_generator("m", HELLO, stream=True).text()
        server.play(Script.document("x"))
        await provider.create_async_generator("m", HELLO).text()

    assert (text, "x-stream-resumable" in server.requests[-1].headers) == ("ab", False)


@pytest.mark.parametrize("name", ["../../admin?x=1", "a/b", "", "x" * 200])
async def test_an_id_that_is_none_is_not_followed(name: str) -> None:
    """What would lead the client, and its key, to another address is not a stream's id."""
    cut = Script(Head(headers={"X-Stream-Id": name}), Send(numbered("a")), Reset())
    async with ScriptedServer(cut) as server, AutonomousAI(server.url, api_key="k") as provider:
        with pytest.raises(IncompleteStreamError):
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert len(server.requests) == 1


async def test_events_that_had_come_already_are_not_taken_again() -> None:
    """A server that resumes from the beginning does not get its words in twice."""
    async with ScriptedServer(begun("Hel", then=Reset())) as server, AutonomousAI(server.url) as provider:
        server.play(Script.body(numbered("Hel", "lo", end=True)), path=STREAM)
        with pytest.raises(StreamError, match="had come already") as caught:
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert caught.value.partial == "Hel"


@pytest.mark.parametrize("others", [True, False])
async def test_where_another_upstream_has_the_rest_the_search_is_short(others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway with a second upstream does not wait for the first to come back; without one it does."""
    monkeypatch.setattr(reconnecting, "_LOOKED_FOR_BESIDE_OTHERS_S", 0.0)
    back = Script.body(numbered(" lost", first=2, end=True))
    async with ScriptedServer(begun("not", then=Reset())) as lost, ScriptedServer(Script.stream(" here")) as other:
        lost.play(*[Script.status(503)] * 4, back, path=STREAM)
        first, second = OpenAICompatible(f"{lost.url}/v1"), OpenAICompatible(f"{other.url}/v1", prefill="yes")
        gateway = Gateway(
            [Upstream("first", first), Upstream("second", second)], {"m": ["first", "second"] if others else ["first"]}
        )
        text = await gateway.create_async_generator("m", HELLO, stream=True).text()
        await gateway.aclose()

    searches = [request for request in lost.requests if (request.method, request.path) == ("GET", STREAM)]
    assert (text, len(searches)) == (("not here", 1) if others else ("not lost", 5))
