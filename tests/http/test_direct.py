"""Our own transport over real sockets, on asyncio's loop and on uvloop: its pool, TLS, Unix sockets, every way of leaving."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from autonomousai import ConfigError, ConnectError, HTTPError, OpenAICompatible, StatusError
from autonomousai.http import httptools_transport as direct
from autonomousai.http.request_head import make_head
from autonomousai.testing import Close, Head, Pause, Raw, Script, ScriptedServer, Send, chunks, completion
from tests.support.proxy import ForwardingProxy
from tests.support.tls import authority_pem, server_context

HELLO = [{"role": "user", "content": "Hello"}]
Story = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Runs a story to its end, and the loop too; nothing may be left that the collector would have to warn of."""

    def runs(story: Story) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(story())
        gc.collect()

    return runs


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own authority is trusted."""
    path = tmp_path / "authority.pem"
    path.write_bytes(authority_pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> AsyncIterator[int]:
    """The port of a server of which *handle* is all; it is left when every connection is over."""
    tasks = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError):
            await handle(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*tasks)


async def ask(provider: OpenAICompatible, **options: Any) -> str:
    return await provider.create_async_generator("m", HELLO, **options).text()


async def test_who_leaves_while_connecting_leaves_no_socket() -> None:
    """Cancelled at every step of the way to the server: no socket waits for the collector, open as it is."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    def sockets() -> int:
        return sum(target.startswith("socket:") for target in map(_target, Path("/proc/self/fd").iterdir()))

    async with serving(hear) as port, OpenAICompatible(f"http://127.0.0.1:{port}/v1") as provider:
        gc.collect()
        gc.disable()
        try:
            before = sockets()
            for steps in range(12):
                asking = asyncio.create_task(ask(provider))
                for _ in range(steps):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
            async with asyncio.timeout(60):
                while sockets() > before:
                    await asyncio.sleep(0)
        finally:
            gc.enable()


def _target(link: Path) -> str:
    with suppress(FileNotFoundError):
        return str(link.readlink())
    return ""


# ---- the pool


def test_one_connection_carries_one_answer_after_another(run: Callable[[Story], None]) -> None:
    """Streams and documents, chunked and by length: as long as both sides keep it, there is one connection."""

    async def story() -> None:
        async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
            texts = [await ask(provider, stream=stream) for stream in (True, False) * 3]
            assert ({"Hello world"}, 1) == (set(texts), server.connections)

    run(story)


def test_answers_at_once_have_connections_of_their_own(run: Callable[[Story], None]) -> None:
    """No answer waits for another; the connections are used again afterwards."""

    async def story() -> None:
        async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
            for _ in range(2):
                await asyncio.gather(*[ask(provider) for _ in range(5)])
            assert (10, 5) == (len(server.requests), server.connections)

    run(story)


ENDS = {
    "the server says so": Script(
        Head(headers={"Connection": "close"}, content_type="application/json", length=len(completion("Hi"))),
        Send(completion("Hi")),
    ),
    "the body ends by it": Script(Head(chunked=False), Send(chunks("Hi"))),
    "HTTP/1.0": Script(Raw(b"HTTP/1.0 200 OK\r\n\r\n" + chunks("Hi")), Close()),
    "more came than was asked for": Script.stream("Hi").then(
        Raw(b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    ),
}


@pytest.mark.parametrize("why", ENDS)
def test_a_connection_that_ends_is_not_used_again(why: str, run: Callable[[Story], None]) -> None:
    """The next request has a connection of its own, and its own answer."""

    async def story() -> None:
        async with ScriptedServer(ENDS[why], Script.stream("next")) as server, OpenAICompatible(server.url) as provider:
            texts = [await ask(provider, stream=True) for _ in range(2)]
            assert (["Hi", "next"], 2) == (texts, server.connections)

    run(story)


def test_what_comes_between_two_requests_is_nobodys(run: Callable[[Story], None]) -> None:
    """An answer that comes unasked on a kept connection is not taken for the next one's."""

    async def story() -> None:
        async with (
            ScriptedServer(Script.stream("one"), Script.stream("two")) as server,
            OpenAICompatible(server.url) as provider,
        ):
            first = await ask(provider, stream=True)
            (connection,) = server.open
            connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
            second = await ask(provider, stream=True)
            assert ("one", "two", 2) == (first, second, server.connections)

    run(story)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(run: Callable[[Story], None]) -> None:
    """Even where the loop has had no time to hear of it."""

    async def story() -> None:
        async with (
            ScriptedServer(Script.stream("one"), Script.stream("two")) as server,
            OpenAICompatible(server.url) as provider,
        ):
            await ask(provider, stream=True)
            (connection,) = server.open
            with socket.socket(fileno=os.dup(connection.transport.get_extra_info("socket").fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)
            assert "two" == await ask(provider, stream=True)
            assert 2 == len(server.requests)

    run(story)


def test_the_limit_in_number(run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many connections so many are kept; the others are closed when their answer is whole."""
    monkeypatch.setattr(direct, "_IDLE_CONNECTIONS", 1)

    async def story() -> None:
        pause = Pause()
        slow = Script.slow_first_token(pause, "a")
        async with ScriptedServer(slow) as server, OpenAICompatible(server.url) as provider:
            asking = [asyncio.create_task(ask(provider, stream=True)) for _ in range(3)]
            await server.request(2)
            pause.release()
            await asyncio.gather(*asking)
            while len(server.open) > 1:
                await server.change()
            await ask(provider, stream=True)
            assert 3 == server.connections

    run(story)


def test_the_limit_in_time(run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody uses is closed after a while."""
    monkeypatch.setattr(direct, "_IDLE_S", 0.05)

    async def story() -> None:
        async with ScriptedServer() as server, OpenAICompatible(server.url) as provider:
            await ask(provider)
            await server.all_closed()
            assert "Hello world" == await ask(provider)

    run(story)


def test_closing_the_provider_closes_every_connection(run: Callable[[Story], None]) -> None:
    """Those that are kept, and those that carry an answer, whose reader is told."""

    async def story() -> None:
        async with ScriptedServer(Script.stall("Hi"), Script.stream("x")) as server:
            provider = OpenAICompatible(server.url)
            reading = asyncio.create_task(ask(provider, stream=True))
            await server.request(0)
            await ask(provider, stream=True)
            await provider.aclose()
            await server.all_closed()
            with pytest.raises(HTTPError):
                await reading

    run(story)


@pytest.mark.parametrize("policy", ["asyncio.Runner()", "asyncio.Runner(loop_factory=__import__('uvloop').new_event_loop)"])
def test_the_loops_end_closes_what_was_left_open(policy: str) -> None:
    """No `aclose`, two loops one after another: nothing warns, not even with every warning an error."""
    code = f"""
import asyncio, gc
from autonomousai import OpenAICompatible
from autonomousai.testing import ScriptedServer

async def main():
    async with ScriptedServer() as server:
        provider = OpenAICompatible(server.url)
        print(await provider.create_async_generator("m", [{{"role": "user", "content": "x"}}]).text())
        return provider

for _ in range(2):
    with {policy} as runner:
        kept = runner.run(main())
    gc.collect()
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert ("Hello world\n" * 2, "", 0) == (done.stdout, done.stderr, done.returncode)


# ---- leaving


async def left(started: asyncio.Event, gone: asyncio.Event, port: int, *, tls: bool) -> None:
    """Ask, cancel once the server has heard of us, and wait until it has seen us go."""
    async with OpenAICompatible(f"{'https' if tls else 'http'}://127.0.0.1:{port}") as provider:
        task = asyncio.create_task(ask(provider, stream=True))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


@pytest.mark.parametrize(
    ("tls", "answer"),
    [(True, b""), (False, b""), (False, b"HTTP/1.1 200 OK\r\nTransfer-"), (False, b"HTTP/1.1 200 OK\r\n\r\ndata: ")],
    ids=["in the handshake", "before the head", "in the head", "in the body"],
)
def test_cancelling_closes_the_socket(tls: bool, answer: bytes, run: Callable[[Story], None]) -> None:
    """While the handshake hangs, before the head, within it, and in the body: whoever is cancelled leaves no connection."""

    async def story() -> None:
        started, gone = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            if answer:
                writer.write(answer)
                await asyncio.sleep(0)
            started.set()
            with suppress(ConnectionError):
                while await reader.read(1 << 16):
                    pass
            gone.set()

        async with serving(serve) as port:
            await left(started, gone, port, tls=tls)

    run(story)


def test_cancelling_while_connecting_leaves_nothing(run: Callable[[Story], None]) -> None:
    """A connection that does not come about is given up: no socket is left for the collector to warn of."""

    async def story() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            async with OpenAICompatible(f"http://127.0.0.1:{listener.getsockname()[1]}") as provider:
                task = asyncio.create_task(ask(provider))
                for _ in range(5):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            for filler in fillers:
                filler.close()

    run(story)


# ---- TLS and Unix sockets


@pytest.mark.usefixtures("trusting")
def test_tls(run: Callable[[Story], None]) -> None:
    """A trusted server is asked over TLS, on one connection that is kept; leaving in mid-answer closes it."""

    async def story() -> None:
        async with ScriptedServer(tls=server_context()) as server, OpenAICompatible(server.url) as provider:
            texts = [await ask(provider, stream=stream) for stream in (True, False, True)]
            assert (["Hello world"] * 3, 1) == (texts, server.connections)
            server.play(Script.stall("Hi"))
            async with provider.create_async_generator("m", HELLO, stream=True) as result:
                async for _ in result:
                    break
            assert "left" == await server.requests[-1].over()

    run(story)


@pytest.mark.usefixtures("trusting")
def test_a_certificate_for_another_host_is_refused(run: Callable[[Story], None]) -> None:
    """Trusted, but not the one that was meant: an error that is not retried."""

    async def story() -> None:
        async with ScriptedServer(tls=server_context("elsewhere.example")) as server, OpenAICompatible(server.url) as provider:
            with pytest.raises(ConnectError, match=r"TLS with .* failed: .*check its certificate") as caught:
                await ask(provider)
            assert (False, []) == (caught.value.retryable, server.requests)

    run(story)


def test_a_server_without_tls_is_a_connect_error(run: Callable[[Story], None]) -> None:
    """https:// to a server that speaks http:// is said to be a failure of TLS, and no certificate is blamed."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def story() -> None:
        async with serving(plain) as port, OpenAICompatible(f"https://127.0.0.1:{port}", retries=0) as provider:
            with pytest.raises(ConnectError, match=r"TLS with .*; does http:// belong there\?"):
                await ask(provider)

    run(story)


def test_a_unix_socket(run: Callable[[Story], None], tmp_path: Path) -> None:
    """All requests go to the socket, whatever the URL says; a socket that is not there is a ConnectError."""

    async def story() -> None:
        path = tmp_path / "s.sock"
        async with ScriptedServer(uds=path), OpenAICompatible("http://engine/v1", uds=str(path)) as provider:
            assert "Hello world" == await ask(provider, stream=True)
        async with OpenAICompatible("http://engine", uds=str(tmp_path / "none"), retries=0) as provider:
            with pytest.raises(ConnectError, match="cannot connect to http://engine/chat/completions: No such file"):
                await ask(provider)
        path.unlink(missing_ok=True)

    run(story)


# ---- what is sent


def test_the_request_is_what_a_server_expects(run: Callable[[Story], None]) -> None:
    """Host, length, the headers of the provider, and none twice, whatever case a caller writes them in."""

    async def story() -> None:
        headers = {"user-agent": "mine/1", "X-Trace": "é", "Content-Length": "1", "transfer-encoding": "chunked"}
        async with ScriptedServer() as server, OpenAICompatible(server.url, api_key="k", headers=headers) as provider:
            await ask(provider)
            await provider.fetch("/models")
        post, get = server.requests
        names = [line.split(b":")[0].lower() for line in post.head.split(b"\r\n")[1:] if line]
        assert len(names) == len(set(names))
        assert (f"127.0.0.1:{server.port}", "mine/1", "identity", "Bearer k", "application/json") == tuple(
            post.headers[name] for name in ("host", "user-agent", "accept-encoding", "authorization", "content-type")
        )
        assert str(len(post.body)) == post.headers["content-length"]
        assert "transfer-encoding" not in post.headers
        assert ("GET", False) == (get.method, "content-length" in get.headers)

    run(story)


def test_a_large_request_that_is_refused_early(run: Callable[[Story], None]) -> None:
    """The answer is heard while the request is still being sent, and the connection is not used again."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async def story() -> None:
        large = [{"role": "user", "content": "x" * 20_000_000}]
        async with serving(refuse) as port, OpenAICompatible(f"http://127.0.0.1:{port}") as provider:
            with pytest.raises(StatusError) as caught:
                await provider.create_async_generator("m", large).text()
        assert 413 == caught.value.status

    run(story)


@pytest.mark.parametrize(
    "headers", [{"X: a\r\nHost": "b"}, {"X": "a\r\nHost: b"}, {"X": "a\0"}, {"": "a"}, {"X Y": "a"}], ids=repr
)
def test_a_header_that_would_be_two_is_refused(headers: dict[str, str]) -> None:
    """Nothing that a caller passes on can become another header, or another request."""
    with pytest.raises(ConfigError, match="headers: "):
        make_head("POST", "http://host/", headers, "agent")


#: URL -> host and port to connect to, request target, Host header
URLS = {
    "http://host": ("host", 80, b"/", b"host"),
    "http://host:8080/v1?a=b#c": ("host", 8080, b"/v1?a=b", b"host:8080"),
    "https://Host:443/v1": ("host", 443, b"/v1", b"host"),
    "http://[::1]:8080/": ("::1", 8080, b"/", b"[::1]:8080"),
    "http://host/a b/é%20%2F": ("host", 80, b"/a%20b/%C3%A9%20%2F", b"host"),
    "http://bücher.example/": ("xn--bcher-kva.example", 80, b"/", b"xn--bcher-kva.example"),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_becomes_an_origin_and_a_target(url: str) -> None:
    """Where to connect, and what to ask there for."""
    head = make_head("GET", url, {}, "agent")
    start, host = head.start.split(b"\r\n")[:2]

    assert URLS[url] == (head.origin.host, head.origin.port, start.split(b" ")[1], host.removeprefix(b"Host: "))


def test_a_zone_stays_on_this_machine() -> None:
    """It says by which interface the address is reached, and means nothing to the server (RFC 6874 section 4)."""
    head = make_head("GET", "http://[fe80::1%eth0]:8000/", {}, "agent")

    assert "fe80::1%eth0" == head.origin.host
    assert b"Host: [fe80::1]:8000\r\n" in head.start


def test_credentials_in_a_url_are_sent_as_such() -> None:
    """A user and a password become an Authorization header, unless there is one."""
    start = make_head("GET", "http://user:p%20w@host/", {}, "agent").start
    keyed = make_head("GET", "http://user:pw@host/", {"Authorization": "Bearer k"}, "agent").start

    assert b"\r\nAuthorization: Basic dXNlcjpwIHc=\r\n" in start
    assert (1, True) == (keyed.count(b"uthorization"), b"\r\nAuthorization: Bearer k\r\n" in keyed)


@pytest.mark.parametrize(
    "url", ["http://", "ftp://host/", "http://ho st/", "http://host:x/", "http://[::1/", "http://" + "a" * 70]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """A URL that cannot be asked is a ConfigError."""
    with pytest.raises(ConfigError, match="URL"):
        make_head("GET", url, {}, "agent")


# ---- who uses it


@pytest.mark.parametrize(
    ("provider", "before", "expected"),
    [
        ("OpenAICompatible(url)", "", ["httptools"]),
        ("OpenAICompatible(url)", "sys.modules['httptools'] = None", ["aiohttp"]),
        ("AutonomousAI(url)", "", ["aiohttp"]),
    ],
    ids=["ours", "without httptools", "the hosted wire"],
)
def test_which_transport_a_provider_takes(provider: str, before: str, expected: list[str]) -> None:
    """httptools where it is installed, else aiohttp; neither before the first request, and never both."""
    code = f"""
import asyncio, sys
{before}
from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.testing import ScriptedServer

def loaded():
    return [name for name in ("aiohttp", "httptools") if sys.modules.get(name)]

async def main():
    async with ScriptedServer() as server:
        url = server.url
        async with {provider} as provider:
            early = loaded()
            text = await provider.create_async_generator("llama", [{{"role": "user", "content": "x"}}]).text()
            print(text, early, loaded())

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (f"Hello world [] {expected}\n", "") == (done.stdout, done.stderr)


def test_a_proxy_is_aiohttps(run: Callable[[Story], None]) -> None:
    """A request that goes through a proxy is aiohttp's, whatever the provider prefers."""

    async def story() -> None:
        async with ScriptedServer() as server, ForwardingProxy() as proxy, OpenAICompatible(server.url) as provider:
            texts = [await ask(provider, proxy=address) for address in (None, proxy.url)]
            assert (["Hello world"] * 2, 1) == (texts, len(proxy.log))

    run(story)
