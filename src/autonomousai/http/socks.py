"""Connections through a proxy of SOCKS 4 or 5 (RFC 1928). The only file that imports python_socks, which an extra brings."""

from __future__ import annotations

import os
import socket

import python_socks
from python_socks.async_ import asyncio as python_socks_asyncio

from ..errors import ConnectError
from .proxies import Proxy

#: Seconds after which the library gives up by itself: the clocks of the request do so before.
_NEVER = 1e7


async def connect_through(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket that *proxy* has connected with *host*. Raises `ConnectError` where it does not."""
    client = python_socks_asyncio.Proxy(
        python_socks.ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else python_socks.ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.user,
        password=proxy.password,
        rdns=proxy.resolves,
    )
    try:
        return await client.connect(host, port, timeout=_NEVER)
    except python_socks.ProxyConnectionError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConnectError(f"cannot connect to {proxy.title}: {reason}", advice="check the proxy's address") from error
    except python_socks.ProxyError as error:
        said = " ".join(str(error).split())[:300]
        raise ConnectError(
            f"{proxy.title} refused the connection: {said or 'it closed it'}", advice="check the proxy"
        ) from error
