"""Our application on a real socket in the test's own loop, and a client that sees and sends single bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from autonomousai.http.server.connections import Connections
from autonomousai.http.server.listener import listen
from autonomousai.server import App
from tests.support.asgi import ASGIApplication

#: Generous: a machine that is busy elsewhere must not fail a test.
PATIENCE = 60

CHAT = "/v1/chat/completions"
HELLO = {"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Listening:
    """Where the application is, and what it is made of."""

    app: App
    port: int
    connections: Connections

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[Listening]:
    """Serve *app* on a free port until the block is left; then nothing of it may still be running."""
    connections = Connections()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        application = app if isinstance(app, App) else ASGIApplication(app)
        server = await listen(application, listener, connections)
        try:
            yield Listening(app, listener.getsockname()[1], connections)
        finally:
            server.close()
            for connection in list(connections.connections):
                connection.transport.abort()
            async with asyncio.timeout(PATIENCE):
                await connections.none_left.wait()
                await asyncio.gather(*connections.tasks)
                await app.aclose()


def request(method: str = "GET", path: str = "/", body: Any = b"", *, host: str | None = "localhost", **headers: str) -> bytes:
    """The bytes of a request; a body that is no bytes is sent as JSON, under its content type."""
    fields = {"host": host} if host is not None else {}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        fields["content-type"] = "application/json"
    if body:
        fields["content-length"] = str(len(body))
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(head).encode() + body


@dataclass
class Answer:
    """A response as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """A header's values, joined."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Mapping[str, Any]:
        """The error object; it must have OpenAI's shape."""
        document = self.json()
        assert {"error"} == set(document)
        assert {"message", "type", "param", "code"} == set(document["error"])
        assert document["error"]["message"]
        error: Mapping[str, Any] = document["error"]
        return error

    @property
    def told(self) -> tuple[int, str | None]:
        """The status, and the code of the error."""
        return self.status, self.error["code"]


class Connection:
    """``async with Connection(port) as connection``: a TCP connection that sends what it is told."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.writer.close()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer(head_only=data.startswith(b"HEAD "))

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        """The status and the headers of the next answer."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        return int(head[0].split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs]

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, whole."""
        status, headers = await self.head()
        fields = dict(headers)
        async with asyncio.timeout(PATIENCE):
            if head_only or status in (204, 304):
                body = b""
            elif "content-length" in fields:
                body = await self.reader.readexactly(int(fields["content-length"]))
            else:
                assert "chunked" == fields["transfer-encoding"]
                parts = []
                while part := await self.piece():
                    parts.append(part)
                body = b"".join(parts)
        return Answer(status, headers, body)

    async def piece(self) -> bytes:
        """The next chunk of a chunked body; empty at its end."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def until(self, text: bytes) -> bytes:
        """Everything up to and with *text*."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(text)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def reset(self) -> None:
        """Leave with a TCP reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def ask(port: int, data: bytes) -> Answer:
    """One request on a connection of its own."""
    async with Connection(port) as connection:
        return await connection.ask(data)


def events(body: bytes) -> list[Any]:
    """The payloads of a stream, decoded, ``[DONE]`` as text; comments are left out."""
    payloads = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def text_of(payloads: list[Any]) -> str:
    """The text of a stream's payloads."""
    choices = [choice for payload in payloads if payload != "[DONE]" for choice in payload.get("choices", ())]
    return "".join(choice["text"] if "text" in choice else choice["delta"].get("content") or "" for choice in choices)
