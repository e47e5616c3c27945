"""Requests over connections of our own, for what a gateway does to an upstream: HTTP/1.1, kept connections, TLS, Unix sockets.

No redirects, no cookies, and of proxies those of SOCKS alone. Errors are translated here, into the words of `failures`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..errors import HTTPError
from ..errors import TimeoutError as ClockError
from ..timeouts import Clocks
from .connection import ClientConnection
from .descriptors import is_short, no_descriptors
from .failures import host_not_found, not_connected, tls_failed
from .fairness import FairDispatcher
from .proxies import Proxy
from .request_head import Origin, RequestHead, make_head
from .sweep import Sweep
from .tls import tls_context
from .urls import without_credentials

#: Seconds that a connection is kept without a request, and how many are.
_IDLE_S = 15.0
_IDLE_CONNECTIONS = 1000

#: Heads of requests that are remembered: one provider has two or three, and one for each stream that is resumed.
_HEADS = 256

#: Seconds after which the host's next address is tried beside the first.
_HAPPY_EYEBALLS_S = 0.25


class HttptoolsTransport:
    """A `Transport` on httptools."""

    def __init__(self, uds: str | None, user_agent: str, tls: ssl.SSLContext | None = None) -> None:
        self._uds = uds
        self._tls = tls
        self._user_agent = user_agent
        self._loop = asyncio.get_running_loop()
        self._dispatcher = FairDispatcher(self._loop)
        self._sweep = Sweep(self._loop)
        self._heads: dict[tuple[Any, ...], RequestHead] = {}
        #: By `try_send`: the head, and the connections that are idle for it.
        self._last_head: tuple[str, Mapping[str, str], RequestHead, dict[ClientConnection, None]] | None = None
        self._open: set[ClientConnection] = set()
        self._idle: dict[Origin, dict[ClientConnection, None]] = {}
        self._idle_count = 0
        self._closing: asyncio.Future[None] | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        clocks: Clocks,
        streaming: bool,
        deadline: float,
        proxy: Proxy | None,
        fresh: bool,
    ) -> ClientConnection:
        """See `Transport.send`; *proxy* is one of SOCKS, or None. A connection that is stale is replaced here."""
        head = self._head(method, url, headers)
        origin = head.origin if proxy is None else head.origin._replace(via=proxy)
        idle = self._idle_at(origin)
        connection = None if fresh else self._take(idle)
        reused = connection is not None
        if connection is None:
            connection = await self._connect(origin, clocks, deadline, url)
        start = head.start + b"\r\n" if body is None else b"%bContent-Length: %d\r\n\r\n" % (head.start, len(body))
        now = self._loop.time()
        connection.send(start, body or b"", head.closes, clocks, streaming, deadline, now)
        if await connection.is_answered(url, alone=method != "POST", reused=reused):
            return connection
        return await self.send(
            method,
            url,
            headers=headers,
            body=body,
            clocks=clocks,
            streaming=streaming,
            deadline=deadline,
            proxy=proxy,
            fresh=True,
        )

    def try_send(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        clocks: Clocks,
        streaming: bool,
        deadline: float,
        now: float,
        on_news: Callable[[], None] | None = None,
    ) -> ClientConnection | None:
        """POST a request over a connection that is open already, and return that; None where there is none. What comes is for
        *on_news*, see `ClientConnection.send`, or else for who waits for `is_answered`."""
        known = self._last_head
        if known is None or known[0] is not url or known[1] is not headers:
            head = self._head("POST", url, headers)
            known = self._last_head = url, headers, head, self._idle_at(head.origin)
        head = known[2]
        if (connection := self._take(known[3])) is not None:
            start = b"%bContent-Length: %d\r\n\r\n" % (head.start, len(body))
            connection.send(start, body, head.closes, clocks, streaming, deadline, now, on_news)
        return connection

    def _head(self, method: str, url: str, headers: Mapping[str, str]) -> RequestHead:
        """The request's head: made once, as long as neither the address nor a header changes."""
        key = (method, url, *headers.items())
        head = self._heads.get(key)
        if head is None:
            head = make_head(method, url, headers, self._user_agent)
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[key] = head
        return head

    # ---- connections

    def _idle_at(self, origin: Origin) -> dict[ClientConnection, None]:
        """Return the connections to *origin* that are idle, the one that was used last behind the others."""
        if (idle := self._idle.get(origin)) is None:
            idle = self._idle[origin] = {}
        return idle

    def _take(self, idle: dict[ClientConnection, None]) -> ClientConnection | None:
        """The connection that was used last, of those that can be used again."""
        while idle:
            connection, _ = idle.popitem()
            self._idle_count -= 1
            if connection.is_quiet():
                return connection
            connection.abort()
        return None

    def _on_idle(self, connection: ClientConnection) -> None:
        if self._idle_count >= _IDLE_CONNECTIONS or self._closing is not None:
            connection.abort()
            return
        self._idle[connection.origin][connection] = None  # where it was looked for, before it was made
        self._idle_count += 1
        connection.rest(_IDLE_S)

    def _on_lost(self, connection: ClientConnection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            del idle[connection]
            self._idle_count -= 1
        if self._closing is not None and not self._open and not self._closing.done():
            self._closing.set_result(None)

    async def _connect(self, origin: Origin, clocks: Clocks, deadline: float, url: str) -> ClientConnection:
        until = self._loop.time() + clocks.connect
        connection = ClientConnection(origin, self._loop, self._dispatcher, self._sweep, self._on_idle, self._on_lost)
        timer = asyncio.timeout_at(min(until, deadline))
        try:
            async with timer:
                await self._open_connection(connection)
        except OSError as error:
            if timer.expired():
                raise (
                    ClockError("connect", clocks.connect) if until <= deadline else ClockError("total", clocks.total)
                ) from None
            raise _translate_connecting(error, without_credentials(url)) from error
        if not connection.is_lost:
            self._open.add(connection)
        if self._closing is not None:
            connection.abort()
        return connection

    async def _open_connection(self, connection: ClientConnection) -> None:
        tls, host, port, proxy = connection.origin
        options: dict[str, Any] = {"ssl": self._tls or tls_context(), "server_hostname": host} if tls else {}
        if self._uds is not None:
            await self._loop.create_unix_connection(lambda: connection, self._uds, **options)
            return
        if proxy is not None:
            from .socks import connect_through  # noqa: PLC0415  an extra brings what it imports

            sock = await connect_through(proxy, host, port)
            await self._loop.create_connection(lambda: connection, sock=sock, **options)
            return
        # uvloop does not know of it; and who leaves in its midst leaves a socket to the collector, so only where it helps.
        if isinstance(self._loop, asyncio.BaseEventLoop) and not _is_address(host):
            options["happy_eyeballs_delay"] = _HAPPY_EYEBALLS_S
        await self._loop.create_connection(lambda: connection, host, port, **options)

    async def aclose(self) -> None:
        """See `Transport.aclose`; waits until the sockets are closed."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            for connection in list(self._open):
                connection.abort()
        if self._open:
            await self._closing


@cache
def _is_address(host: str) -> bool:
    """Whether *host* is an address itself: then there is no other to try beside it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _translate_connecting(error: OSError, where: str) -> HTTPError:
    if is_short(error):
        return no_descriptors()
    reason = str(error.strerror or error)
    if isinstance(error, socket.gaierror):
        return host_not_found(where, reason)
    if isinstance(error, ssl.SSLError):
        return tls_failed(where, error)
    return not_connected(where, reason)
