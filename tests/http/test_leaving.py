"""A caller who sends no more is answered; one who has left is seen to have, whatever the connection is doing meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from autonomousai.http.server.connections import Connections
from autonomousai.http.server.protocol import HTTPProtocol
from autonomousai.server import create_app
from autonomousai.testing import Pause, answer
from tests.support.sockets import CHAT, HELLO, PATIENCE, Connection, events, request, text_of

STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
WAYS = pytest.mark.parametrize("way", ["close", "reset"])

LARGE = {**HELLO, "messages": [{"role": "user", "content": "x" * 300_000}]}


def leave(connection: Connection, way: str) -> None:
    if way == "reset":
        connection.reset()
    else:
        connection.writer.close()


async def final(connection: Connection) -> bytes:
    """What comes after the interim responses, to the end of the connection."""
    rest = await connection.rest()
    while rest.startswith(b"HTTP/1.1 100 "):
        rest = rest.partition(b"\r\n\r\n")[2]
    return rest


@STREAMS
async def test_who_sends_no_more_is_answered(serve, provider, stream):
    """``nc -N`` shuts its side down behind the request: the answer comes whole, and then the connection ends."""
    pause = Pause()
    provider.play(["Hello", pause, *answer(" world")])
    port = (await serve()).port

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": stream}))
        connection.writer.write_eof()
        await pause.reached.wait()
        pause.release()
        got = await final(connection)

    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in got
    assert b" world" in got
    assert got.endswith(b"0\r\n\r\n" if stream else b"}")


async def test_who_sends_no_more_in_the_midst_of_a_stream_gets_its_rest(serve, provider):
    """What is sent to learn whether they are still there is a comment, which no reader of events sees."""
    pause = Pause()
    provider.play(["Hello", pause, *answer(" world")])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
        await connection.head()
        parts = [await connection.piece()]
        await pause.reached.wait()
        connection.writer.write_eof()
        parts.append(await connection.piece())
        pause.release()
        while part := await connection.piece():
            parts.append(part)

    assert b": keep-alive\n\n" == parts[1]
    assert "Hello world" == text_of(events(b"".join(parts)))


async def test_an_old_client_that_sends_no_more_is_answered(port):
    """HTTP/1.0 knows no interim response, and gets none."""
    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, HELLO).replace(b"HTTP/1.1", b"HTTP/1.0"))
        connection.writer.write_eof()
        got = await connection.rest()

    assert (True, 1) == (got.startswith(b"HTTP/1.1 200 OK\r\n"), got.count(b"HTTP/1.1"))


async def test_all_requests_before_the_end_are_answered(port):
    """A pipeline that ends in a FIN gets every answer."""
    async with Connection(port) as connection:
        await connection.send(request("GET", "/healthz") + request("POST", CHAT, HELLO) + request("GET", "/nothing"))
        connection.writer.write_eof()
        got = await connection.rest()

    assert [b"200", b"200", b"404"] == [each[:3] for each in got.split(b"HTTP/1.1 ")[1:] if not each.startswith(b"100")]


@pytest.mark.parametrize("sent", [b"", b"GET /heal", request("POST", CHAT, HELLO)[:-5]], ids=["nothing", "head", "body"])
async def test_a_connection_that_owes_no_answer_ends_with_its_sender(port, sent):
    """Nothing whole came, and nothing more will."""
    async with Connection(port) as connection:
        await connection.send(sent)
        connection.writer.write_eof()

        assert b"" == await connection.rest()


BEHIND = {
    "a large body": (LARGE, b""),
    "another request": (HELLO, request("GET", "/healthz")),
    "half of another": (HELLO, request("POST", CHAT, LARGE)[:200_000]),
}


@pytest.mark.parametrize(("body", "more"), BEHIND.values(), ids=BEHIND)
@STREAMS
@WAYS
async def test_leaving_is_seen_whatever_was_sent(serve, provider, body, more, stream, way):
    """A connection that is not read from, or was not for a while, does not hide that its caller has left."""
    pause = Pause()
    provider.play(["Hello", pause, *answer("late")])
    serving = await serve()

    async with Connection(serving.port) as connection:
        await connection.send(request("POST", CHAT, {**body, "stream": stream}) + more)
        await pause.reached.wait()
        leave(connection, way)
        async with asyncio.timeout(PATIENCE):
            left = await provider.calls[0].over()
            await serving.connections.none_left.wait()

    assert "cancelled" == left


@STREAMS
@pytest.mark.parametrize("half", [True, False], ids=["sends no more", "leaves"])
async def test_a_unix_socket_tells_the_same(tmp_path: Path, provider, stream, half):
    """There is no reset there: its other end shows by itself."""
    pause = Pause()
    provider.play([pause, *answer("Hello")])
    app, connections = create_app(provider=provider), Connections()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: HTTPProtocol(app, connections, loop), tmp_path / "s")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as caller:
        caller.connect(str(tmp_path / "s"))
        caller.setblocking(False)
        await loop.sock_sendall(caller, request("POST", CHAT, {**HELLO, "stream": stream}))
        await pause.reached.wait()
        if half:
            caller.shutdown(socket.SHUT_WR)
            pause.release()
            got = b""
            while part := await loop.sock_recv(caller, 65536):
                got += part
            assert b"Hello" in got
        else:
            caller.close()
            assert "cancelled" == await provider.calls[0].over()
    server.close()
    await connections.none_left.wait()
    await asyncio.gather(*connections.tasks)
    await app.aclose()
