"""A small SOCKS 5 proxy on a real socket (RFC 1928, RFC 1929), with or without credentials, and a log of its requests."""

from __future__ import annotations

import asyncio

from tests.support.relay import Relay, join

_NO_LOGIN, _LOGIN, _NONE = 0, 2, 255
_REFUSED = 5


class SocksProxy(Relay):
    """``async with SocksProxy("user:pass") as proxy: proxy.url``. ``log``: hosts and ports as they were asked for."""

    def __init__(self, credentials: str | None = None) -> None:
        self.log: list[tuple[str, int]] = []
        super().__init__()
        self._credentials = credentials

    @property
    def url(self) -> str:
        return f"socks5://{self._credentials + '@' if self._credentials else ''}{self.address}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            upstream = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(bytes([5, _REFUSED, 0, 1]) + bytes(6))
            await writer.drain()
            return
        writer.write(bytes([5, 0, 0, 1]) + bytes(6))
        await join(reader, writer, *upstream)
