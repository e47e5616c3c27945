"""A server that answers with bytes as they are given, whatever it is asked."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[["RawConnection"], Awaitable[None]]


@dataclass
class RawConnection:
    """One connection to the server: ``number``, and how many requests it has ``heard``."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: int = 0

    async def send(self, data: bytes, *, bytewise: bool = False) -> None:
        pieces = [data[at : at + 1] for at in range(len(data))] if bytewise else [data]
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class RawServer:
    """Where the server listens, and what came: the connection of each request, by number, and the requests, without the
    server's address."""

    url: str = ""
    connections: int = 0
    asked: list[int] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[RawServer]:
    """A server that calls *answer* for each request, which has been read; it is left when every connection is over."""
    server = RawServer()
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        server.connections += 1
        connection = RawConnection(server.connections, reader, writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                _, found, length = head.lower().partition(b"content-length: ")
                body = await reader.readexactly(int(length.split()[0])) if found else b""
                server.requests.append(head.replace(server.url.removeprefix("http://").encode(), b"") + body)
                server.asked.append(connection.number)
                connection.heard += 1
                await answer(connection)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield server
    await asyncio.gather(*tasks)
