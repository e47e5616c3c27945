"""What a client asks again by itself, how often, and after which pauses; nothing waits in earnest here."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import Any

import pytest

from autonomousai import (
    Anthropic,
    AutonomousAI,
    ConfigError,
    ConnectError,
    HTTPError,
    OpenAICompatible,
    StatusError,
    StreamError,
)
from autonomousai.clients.retries import retry_delay
from autonomousai.config import Config
from autonomousai.gateway.gateway import Gateway
from autonomousai.gateway.upstream import Upstream
from autonomousai.testing import Close, Head, Script, ScriptedServer, Send, completion
from tests.support.raw import RawConnection, answering

HELLO = [{"role": "user", "content": "Hello"}]
KINDS = [AutonomousAI, OpenAICompatible, Anthropic]
ASKED_AGAIN = (408, 409, 429, 500, 502, 503, 504, 520, 529, 599, 600)
TOLD_AT_ONCE = (400, 401, 402, 403, 404, 405, 413, 415, 422, 430, 451, 499, 501, 505)


async def ask(provider: Anthropic | AutonomousAI | OpenAICompatible, **options: Any) -> str:
    return await provider.create_async_generator("llama", HELLO, **options).text()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ASKED_AGAIN)
async def test_a_status_that_may_pass_is_asked_again(kind: Any, status: int, stream: bool) -> None:
    """Two tries after the first, by default."""
    failing = Script.status(status, "no")
    whole = Script.message("Hello") if kind is Anthropic else Script.document("Hello")
    async with ScriptedServer(failing, failing, whole) as server, kind(server.url) as provider:
        text = await ask(provider, stream=stream)

    assert ("Hello", 3) == (text, len(server.requests))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ASKED_AGAIN)
async def test_a_status_that_lasts_is_told_as_it_is(kind: Any, status: int) -> None:
    """After the third try: that status, whatever table knows it."""
    async with ScriptedServer(Script.status(status, "no", retry_after=1)) as server, kind(server.url) as provider:
        with pytest.raises(StatusError) as caught:
            await ask(provider)

    assert (status, 1, 3) == (caught.value.status, caught.value.retry_after, len(server.requests))


@pytest.mark.parametrize(
    ("script", "retries", "notes"),
    [
        (
            Script.status(429, "no"),
            1,
            ["Tries: 2. retries=N, for the provider or for one call, is how many may follow the first"],
        ),
        (
            Script.status(429, "no", retry_after=90),
            1,
            ["The server asks to wait 90 s; a client waits 60 s at most"],
        ),
        (Script.status(429, "no"), 0, []),
        (Script.status(400, "no"), 1, []),
    ],
)
async def test_the_last_error_says_how_often(script: Script, retries: int, notes: list[str]) -> None:
    """Where another try may help: how many there were, and who decides it; or that the server asks for too long a pause."""
    async with ScriptedServer(script) as server, AutonomousAI(server.url, retries=retries) as provider:
        with pytest.raises(StatusError) as caught:
            await ask(provider)

    assert notes == getattr(caught.value, "__notes__", [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", TOLD_AT_ONCE)
async def test_a_status_that_lasts_by_its_meaning_is_told_at_once(kind: Any, status: int) -> None:
    """No try would change it."""
    async with ScriptedServer(Script.status(status, "no")) as server, kind(server.url) as provider:
        with pytest.raises(StatusError) as caught:
            await ask(provider)

    assert (status, 1) == (caught.value.status, len(server.requests))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("own", "of_the_call", "asked"), [(0, None, 1), (4, None, 5), (2, 0, 1), (0, 1, 2)])
async def test_how_often_is_the_callers_to_say(kind: Any, own: int, of_the_call: int | None, asked: int) -> None:
    """With the client, or with the call, which goes before it."""
    options = {} if of_the_call is None else {"retries": of_the_call}
    async with ScriptedServer(Script.status(503, "no")) as server, kind(server.url, retries=own) as provider:
        with pytest.raises(StatusError):
            await ask(provider, **options)

    assert asked == len(server.requests)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_that_breaks_before_an_answer_is_made_again(end: str) -> None:
    """Closed or reset, on a new connection each time."""

    async def serve(connection: RawConnection) -> None:
        if connection.number == 3:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE)
        getattr(connection, end if connection.number < 3 else "close")()

    async with answering(serve) as server, OpenAICompatible(server.url) as provider:
        text = await ask(provider)

    assert ("Hello", 3) == (text, server.connections)


WHOLE = completion("Hello")


@pytest.mark.usefixtures("transport")
async def test_a_refused_connection_is_tried_again(pauses: list[float]) -> None:
    """Nothing listens: three tries, and then the error."""
    async with ScriptedServer() as gone:
        url = gone.url
    async with OpenAICompatible(url) as provider:
        with pytest.raises(ConnectError):
            await ask(provider)

    assert 2 == len(pauses)


@pytest.mark.parametrize(
    "script",
    [
        Script.cut("Hel"),
        Script.stream("Hel").then(Close()),
        Script(Head(), Send(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')),
    ],
    ids=["cut", "broken", "an error event"],
)
async def test_nothing_is_asked_again_after_the_first_event(script: Script) -> None:
    """What was delivered cannot be taken back, and an error event is an answer: a gateway rescues, a client does not."""
    async with ScriptedServer(script) as server, AutonomousAI(server.url, retries=5) as provider:
        with suppress(HTTPError):
            await ask(provider, stream=True)

    assert 1 == len(server.requests)


# ---- pauses


def error(retry_after: float | None = None, status: int = 503) -> StatusError:
    return StatusError("m", status=status, retry_after=retry_after)


def test_pauses_grow_with_jitter_and_are_bounded() -> None:
    """Half a second, doubled each time and half as much again at the most; never more than eight and four."""
    pauses = [[retry_delay(error(), failures, 9) for _ in range(50)] for failures in range(1, 8)]

    for each, base in zip(pauses, (0.5, 1, 2, 4, 8, 8, 8), strict=True):
        assert all(delay is not None and base <= delay <= 1.5 * base for delay in each)
        assert len(set(each)) > 1


@pytest.mark.parametrize(
    ("headers", "asked", "pause"),
    [
        ({"Retry-After": "7"}, 2, 7),
        ({"Retry-After": "60"}, 2, 60),
        ({"retry-after-ms": "1500", "Retry-After": "7"}, 2, 1.5),
        ({"Retry-After": "61"}, 1, None),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 1, None),
        ({"x-should-retry": "false"}, 1, None),
        ({"X-Should-Retry": "False", "Retry-After": "1"}, 1, None),
    ],
    ids=repr,
)
async def test_what_the_server_says_of_a_further_try_is_heeded(
    headers: dict[str, str], asked: int, pause: float | None, pauses: list[float]
) -> None:
    """How long to wait, within a bound of a minute, and whether to come back at all."""
    refusing = Script.status(503, "no", headers=headers)
    async with ScriptedServer(refusing, Script.document("Hello")) as server, AutonomousAI(server.url, timeout=600) as provider:
        try:
            await ask(provider)
        except StatusError:
            assert asked == 1

    assert asked == len(server.requests)
    assert ([] if pause is None else [pause]) == pauses


async def test_a_server_may_ask_for_a_further_try() -> None:
    """Whatever its status says."""
    odd = Script.status(400, "no", headers={"x-should-retry": "true"})
    async with ScriptedServer(odd, Script.document("Hello")) as server, AutonomousAI(server.url) as provider:
        text = await ask(provider)

    assert "Hello" == text


async def test_no_pause_goes_beyond_the_total_clock(pauses: list[float]) -> None:
    """A wait that would end after it is not begun."""
    async with ScriptedServer(Script.status(503, "no", retry_after=30)) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(StatusError):
            await ask(provider, timeout=20)

    assert ([], 1) == (pauses, len(server.requests))


@pytest.mark.parametrize("retries", [-1, 1.5, True, "2", None, 10_000])
def test_what_is_no_number_of_tries_is_said_at_once(retries: Any) -> None:
    """A ConfigError that names the option."""
    with pytest.raises(ConfigError, match="retries"):
        OpenAICompatible("http://127.0.0.1:1", retries=retries)


def test_an_event_that_says_what_is_wrong_is_not_asked_again() -> None:
    """Even where it says that it may pass."""
    assert retry_delay(StreamError("m", status=200, retryable=True), 1, 5) is None


# ---- who has a policy of its own


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gateway_asks_as_often_as_its_own_policy_says(kind: Any) -> None:
    """An upstream of a gateway retries nothing by itself, whatever it was made with: both together would multiply."""
    retry = Config().retry
    async with ScriptedServer(Script.status(503, "no", retry_after=0)) as server:
        upstream = Upstream("u", kind(server.url, retries=5))
        async with Gateway([upstream], {"llama": ["u"]}) as gateway:
            with pytest.raises(HTTPError):
                await gateway.create_async_generator("llama", HELLO).text()

    assert 2 * retry.attempts == len(server.requests)  # the only upstream is tried twice as often


async def test_an_upstream_that_forbids_a_further_try_is_left_for_the_next() -> None:
    """That it is busy for good says nothing of the next one."""
    busy = Script.status(429, "no", headers={"x-should-retry": "false"})
    async with ScriptedServer(busy) as first, ScriptedServer(Script.document("Hello")) as second:
        upstreams = [Upstream(server.url, OpenAICompatible(server.url)) for server in (first, second)]
        async with Gateway(upstreams, {"llama": [first.url, second.url]}) as gateway:
            text = await gateway.create_async_generator("llama", HELLO).text()

    assert ("Hello", 1) == (text, len(first.requests))


async def test_a_list_of_models_is_asked_for_again_too() -> None:
    """As an answer is."""
    listing = Script.status(200, '{"data": [{"id": "m"}]}')
    async with ScriptedServer(Script.status(503, "no"), listing) as server, OpenAICompatible(server.url) as provider:
        names = await provider.fetch_models()

    assert (["m"], 2) == (names, len(server.requests))


class Whole:
    """A whole number that is no `int`, as numpy's are."""

    def __index__(self) -> int:
        return 1

    def __ge__(self, other: int) -> bool:
        return 1 >= other

    def __le__(self, other: int) -> bool:
        return 1 <= other


@pytest.mark.parametrize(("retries", "taken"), [(Whole(), True), (1.0, False), ("1", False), (True, False), (-1, False)])
def test_any_whole_number_is_a_number_of_tries(retries: Any, taken: bool) -> None:
    """What is none is refused when it is given."""
    with nullcontext() if taken else pytest.raises(ConfigError, match="retries must be a whole number"):
        AutonomousAI("http://127.0.0.1:1", retries=retries)
