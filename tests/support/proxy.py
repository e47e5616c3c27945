"""A small forwarding proxy on a real socket: absolute-form requests and CONNECT, with or without credentials, and a log."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.relay import Relay, join


@dataclass
class Forwarded:
    """One request that the proxy saw. ``authorization``: the Proxy-Authorization header; ``refused``: answered with 407."""

    method: str
    target: str
    authorization: str | None
    refused: bool


class ForwardingProxy(Relay):
    """``async with ForwardingProxy(credentials="user:pass") as proxy: proxy.url``; one request a connection."""

    def __init__(self, credentials: str | None = None) -> None:
        super().__init__()
        self.log: list[Forwarded] = []
        self._credentials = credentials
        self._wanted = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()

    @property
    def url(self) -> str:
        """With the credentials inside, if it wants any."""
        return f"http://{self._credentials + '@' if self._credentials else ''}{self.address}"

    @property
    def bare_url(self) -> str:
        """Without credentials."""
        return f"http://{self.address}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, version = start.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        authorization = headers.get("proxy-authorization")
        refused = self._wanted is not None and authorization != self._wanted
        self.log.append(Forwarded(method, target, authorization, refused))
        if refused:
            writer.write(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\n'
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            upstream = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            url = urlsplit(target)
            assert url.hostname is not None
            upstream = await asyncio.open_connection(url.hostname, url.port or 80)
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
            upstream[1].write("\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""]).encode("latin-1"))
        await join(reader, writer, *upstream)
