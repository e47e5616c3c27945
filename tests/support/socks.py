"""A small SOCKS 5 proxy on a real socket (RFC 1928, RFC 1929), with or without credentials, and a log of its requests."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_NO_LOGIN, _LOGIN, _NONE = 0, 2, 255
_REFUSED = 5


class SocksProxy:
    """``async with SocksProxy("user:pass") as proxy: proxy.url``. ``log``: hosts and ports as they were asked for."""

    def __init__(self, credentials: str | None = None) -> None:
        self.log: list[tuple[str, int]] = []
        self._credentials = credentials
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"socks5://{self._credentials + '@' if self._credentials else ''}127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        # Aborted transports are closed at the loop's next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a side has left, or the proxy stops
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        offered = await reader.readexactly(methods)
        method = _LOGIN if self._credentials else _NO_LOGIN
        writer.write(bytes([5, method if method in offered else _NONE]))
        if method == _LOGIN:
            parts = []
            await reader.readexactly(1)
            for _ in range(2):
                (size,) = await reader.readexactly(1)
                parts.append((await reader.readexactly(size)).decode())
            accepted = ":".join(parts) == self._credentials
            writer.write(bytes([1, not accepted]))
            if not accepted:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            (size,) = await reader.readexactly(1)
            host = (await reader.readexactly(size)).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.log.append((host, port))
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(bytes([5, _REFUSED, 0, 1]) + bytes(6))
            await writer.drain()
            return
        writer.write(bytes([5, 0, 0, 1]) + bytes(6))
        ways = [
            asyncio.ensure_future(_carry(reader, upstream_writer)),
            asyncio.ensure_future(_carry(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            upstream_writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
