"""The forwarding proxy of the suite is a proxy: it forwards, tunnels, and refuses who has no credentials."""

from __future__ import annotations

import asyncio
import base64

from autonomousai.testing import ScriptedServer, chunks
from tests.support.proxy import ForwardingProxy

BODY = b'{"stream": true}'


async def exchange(port: int, *parts: bytes) -> bytes:
    """Everything that comes back from a connection on which *parts* were sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_forwards_an_absolute_form_request() -> None:
    """The upstream sees the path, and the log the whole target."""
    async with ScriptedServer() as server, ForwardingProxy() as proxy:
        request = f"POST {server.url}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(request + BODY)
        answer = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    assert chunks("Hello", " world") in answer
    assert ["/chat/completions"] == [request.path for request in server.requests]
    assert [("POST", f"{server.url}/chat/completions", False)] == [
        (seen.method, seen.target, seen.refused) for seen in proxy.log
    ]


async def test_tunnels() -> None:
    """CONNECT joins both sockets."""
    async with ScriptedServer() as server, ForwardingProxy() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n\r\n".encode())
        established = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await reader.readuntil(b"}]}")
        writer.close()
        await writer.wait_closed()

    assert established.startswith(b"HTTP/1.1 200")
    assert answer.startswith(b"HTTP/1.1 200")
    assert f"127.0.0.1:{server.port}" == proxy.log[0].target


async def test_refuses_who_has_no_credentials() -> None:
    """407 for the wrong ones, and nothing reaches the upstream."""
    wrong = base64.b64encode(b"user:wrong").decode()
    async with ScriptedServer() as server, ForwardingProxy("user:pass") as proxy:
        request = f"GET {server.url}/ HTTP/1.1\r\nProxy-Authorization: Basic {wrong}\r\n\r\n".encode()
        answer = await exchange(proxy.port, request)

    assert answer.startswith(b"HTTP/1.1 407")
    assert [True] == [seen.refused for seen in proxy.log]
    assert [] == server.requests
