"""The border to aiohttp: its errors become ours, nothing that had arrived is lost, and stale connections mend themselves."""

from __future__ import annotations

import inspect
import json

import aiohttp
import pytest

from autonomousai import AutonomousAI, ConfigError, ConnectError, HTTPError, IncompleteStreamError
from autonomousai.http.aiohttp_errors import TRANSLATIONS
from autonomousai.testing import Raw, Script, ScriptedServer, chunks

pytestmark = pytest.mark.usefixtures("transport")

HELLO = [{"role": "user", "content": "Hello"}]

CLIENT_ERRORS = [
    kind
    for _, kind in inspect.getmembers(aiohttp, inspect.isclass)
    if issubclass(kind, aiohttp.ClientError) and not issubclass(kind, aiohttp.WSServerHandshakeError)
]


@pytest.mark.parametrize("kind", CLIENT_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_aiohttp_has_a_counterpart(kind: type[Exception]) -> None:
    """Whatever aiohttp may raise is translated by a row of the table."""
    row = next((row for row in TRANSLATIONS if issubclass(kind, row[0])), None)

    assert row is not None


async def test_a_burst_before_a_reset_is_not_lost() -> None:
    """Text that arrived together with the reset is delivered before the error: all of it, and nothing else."""
    texts = [f"{number} " for number in range(2000)]
    script = Script.reset_after_headers(*texts)
    whole = "".join(texts)
    async with ScriptedServer(script) as server, AutonomousAI(server.url) as provider:
        found: list[str] = []
        with pytest.raises(HTTPError) as caught:
            async for chunk in provider.create_async_generator("llama", HELLO, stream=True):
                found.append(str(chunk))

    assert caught.value.partial == "".join(found)
    assert whole.startswith(caught.value.partial)


async def test_a_burst_before_a_cut_is_whole() -> None:
    """A cut in good order loses nothing that was sent before it, however fast it came."""
    texts = [f"{number} " for number in range(20000)]
    async with ScriptedServer(Script.cut(*texts)) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(IncompleteStreamError) as caught:
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert caught.value.partial == "".join(texts)


async def test_a_stale_connection_is_replaced_silently() -> None:
    """A pooled connection that the server closes as our request arrives: it is sent once more on a new one."""
    async with ScriptedServer(Script.stream("one"), Script.hang_up(), Script.stream("two")) as server:
        async with AutonomousAI(server.url) as provider:
            first = await provider.create_async_generator("llama", HELLO, stream=True).text()
            second = await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (first, second, server.connections) == ("one", "two", 2)


async def test_a_fresh_connection_closed_without_an_answer_is_an_error() -> None:
    """On a new connection it is no accident of pooling: the caller hears of it, and may try again."""
    async with ScriptedServer(Script.hang_up()) as server, AutonomousAI(server.url, retries=0) as provider:
        with pytest.raises(HTTPError, match="closed the connection before it answered") as caught:
            await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert (caught.value.status, caught.value.retryable, len(server.requests)) == (None, True, 1)


async def test_a_refused_connection_is_a_connect_error() -> None:
    """Nobody listens: a ConnectError that names the address, after a few quick tries."""
    async with ScriptedServer() as gone:
        url = gone.url
    async with AutonomousAI(url) as provider:
        with pytest.raises(ConnectError, match=f"cannot connect to {url}/api/v1/ai/chat: .* check that the server runs there"):
            await provider.create_async_generator("llama", HELLO).text()


async def test_an_unknown_host_is_a_connect_error() -> None:
    """A name that does not resolve is said to be one."""
    async with AutonomousAI("http://no-such-host.invalid", retries=0) as provider:
        with pytest.raises(ConnectError, match=r"cannot find the host of http://no-such-host\.invalid"):
            await provider.create_async_generator("llama", HELLO).text()


async def test_what_is_not_http_is_an_error() -> None:
    """A server that speaks something else is not an answer."""
    async with ScriptedServer(Script.not_http()) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(HTTPError, match="did not answer in HTTP"):
            await provider.create_async_generator("llama", HELLO).text()


async def test_a_cut_document_is_incomplete() -> None:
    """A document that ends before its Content-Length is not an answer."""
    async with ScriptedServer(Script.cut_document("Hello")) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(IncompleteStreamError):
            await provider.create_async_generator("llama", HELLO).text()


async def test_a_body_without_any_framing_is_read_to_its_end() -> None:
    """An old server that neither counts nor chunks ends its body by closing: the evidence decides."""
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    whole, cut = Script(Raw(head + chunks("Hi"))), Script(Raw(head + chunks("Hi", finish=None, done=False)))
    async with ScriptedServer(*[Script(*script.steps, *Script.hang_up().steps) for script in (whole, cut)]) as server:
        async with AutonomousAI(server.url) as provider:
            text = await provider.create_async_generator("llama", HELLO, stream=True).text()
            with pytest.raises(IncompleteStreamError):
                await provider.create_async_generator("llama", HELLO, stream=True).text()

    assert text == "Hi"


async def test_a_large_request_is_sent_whole() -> None:
    """A body of several megabytes goes out without a warning."""
    text = "é" * 2_000_000
    async with ScriptedServer() as server, AutonomousAI(server.url) as provider:
        await provider.create_async_generator("llama", [{"role": "user", "content": text}], marker="end").text()

    assert json.loads(server.requests[0].body)["marker"] == "end"


@pytest.mark.parametrize(("key", "sent"), [("sk-key", "Bearer sk-key"), ("", "Basic dXNlcjpwdw==")])
async def test_a_key_goes_before_the_credentials_of_a_url(key: str, sent: str) -> None:
    """A server behind a login may be asked by either."""
    async with ScriptedServer() as server:
        async with AutonomousAI(server.url.replace("://", "://user:pw@"), api_key=key) as provider:
            await provider.create_async_generator("llama", [{"role": "user", "content": "Hi"}]).text()

    assert [sent] == [request.headers["authorization"] for request in server.requests]


def test_an_error_shows_no_credentials_of_a_url() -> None:
    """A base URL with a password in it is shown without."""
    with pytest.raises(ConfigError) as caught:
        AutonomousAI("ftp://user:hunter2@host")

    assert "hunter2" not in str(caught.value)
