"""Connections to upstreams, shared by the requests of one event loop. Knows nothing of models or events, nor of aiohttp and
httptools: they come with the transport that the first request takes."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import ConfigError
from ..timeouts import Clocks
from .proxies import Proxy, environment_proxy
from .transport import Response, StaleConnectionError, Transport

if TYPE_CHECKING:
    from ssl import SSLContext

    from .connection import ClientConnection
    from .httptools_transport import HttptoolsTransport

USER_AGENT = f"autonomousai/{__version__}"

#: Seconds that what the environment says of proxies is believed before it is read again.
_ENVIRONMENT_S = 1.0

#: This machine's hosts, as they are mostly written.
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class _LoopTransports:
    """What one event loop has of a pool: its transports, and the generator by whose closing they end."""

    def __init__(self, uds: str | None, tls: SSLContext | None) -> None:
        self.closed = False
        #: Our own transport, once it was asked for; it replaces stale connections by itself.
        self.direct: HttptoolsTransport | None = None
        self.lifetime = self._live()
        self._uds = uds
        self._tls = tls
        self._plain: Transport | None = None
        self._direct: Transport | None = None

    def transport(self, proxy: Proxy | None, *, direct: bool) -> Transport:
        """Return the transport for a request that goes through *proxy*, if any. ``direct``: ours, where it can."""
        if proxy is None:
            return (self._direct or self._ours()) if direct else (self._plain or self._aiohttp())
        if proxy.is_socks:
            from importlib.util import find_spec  # noqa: PLC0415  few have a proxy of this kind

            if any(find_spec(module) is None for module in ("python_socks", "httptools")):
                raise ConfigError(
                    f"{proxy.said_by} {proxy.url!r} speaks SOCKS, which an extra brings: pip install 'autonomousai[socks]'"
                )
            return self._ours()
        return self._aiohttp()

    def made(self, *, direct: bool) -> Transport | None:
        """Return the transport for a request without a proxy, where it is there already."""
        return self._direct if direct else self._plain

    def _aiohttp(self) -> Transport:
        """The transport that knows HTTP's proxies."""
        if self._plain is None:
            from . import aiohttp_transport as transport  # noqa: PLC0415  aiohttp comes with it: at the first request

            self._plain = transport.AiohttpTransport(self._uds, USER_AGENT, self._tls)
        return self._plain

    def _ours(self) -> Transport:
        """Our own transport, where httptools is installed; of proxies, it knows those of SOCKS."""
        if self._direct is None:
            try:
                from .httptools_transport import HttptoolsTransport  # noqa: PLC0415  httptools comes with it
            except ModuleNotFoundError as error:
                if error.name != "httptools":
                    raise
                self._direct = self._aiohttp()
            else:
                self._direct = self.direct = HttptoolsTransport(self._uds, USER_AGENT, self._tls)
        return self._direct

    async def _live(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.closed = True
            # Where the loop's own end did not close it, the interpreter's does: nothing can be waited for any more.
            in_loop = asyncio._get_running_loop() is not None
            for transport in (self._plain, self._direct):
                if transport is not None and in_loop:
                    await transport.aclose()


class _Known(NamedTuple):
    """How requests to a URL go that no proxy is in the way of. ``until``: the loop's time up to which that stands; ``direct``:
    the transport, where it is our own."""

    loop: weakref.ref[asyncio.AbstractEventLoop]
    url: str
    until: float
    home: _LoopTransports
    transport: Transport
    direct: HttptoolsTransport | None


def bring_transport() -> None:
    """Import what a first request without a proxy would import, now: for who has to wait for something else anyway."""
    try:
        from . import httptools_transport as direct  # noqa: F401, PLC0415  httptools comes with it, where it is installed
    except ModuleNotFoundError:
        from . import aiohttp_transport as transport  # noqa: F401, PLC0415  aiohttp comes with it, and that takes a while


class HttpPool:
    """Connections to upstreams, for each event loop its own; closed with `aclose`, or by the loop's own end.

    ``uds``: the path of a Unix socket that all requests go to. ``proxy``: for every request that names none itself.
    ``direct``: whether our own transport is used where it can be (httptools is installed, and no proxy is in the way).
    ``tls``: what TLS is spoken with, in place of what the environment says.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        uds: str | None = None,
        trust_env: bool = True,
        direct: bool = False,
        tls: SSLContext | None = None,
    ) -> None:
        self._proxy = Proxy(proxy) if proxy else None
        self._uds = uds
        self._tls = tls
        self._trust_env = trust_env and uds is None
        #: Answers that a server continues in vain, because it could not learn that the caller left.
        self.orphans = 0
        self._prefers_direct = direct
        self._environment: dict[str, tuple[float, Proxy | None]] = {}
        self._homes: dict[weakref.ref[asyncio.AbstractEventLoop], _LoopTransports] = {}
        self._last: _Known | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy, here or in another process, has connections of its own."""
        return {**vars(self), "_homes": {}, "_environment": {}, "_last": None}

    def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        clocks: Clocks,
        streaming: bool,
        deadline: float | None = None,
        proxy: Proxy | None = None,
        fresh: bool = False,
    ) -> Coroutine[Any, Any, Response]:
        """POST *body* and return the response once its head is there.

        ``streaming``: the first-token timeout runs from when the connection stands; without it connect and total bound the
        wait. ``deadline``: the loop's time when the total timeout passes, where it began to run before this request. ``fresh``:
        over a new connection; otherwise a request to which nothing came over one that had been used before is sent once more.
        Raises `HTTPError` and its kin.
        """
        if self._prefers_direct and proxy is None and not fresh:
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + clocks.total
            sent = self.try_post(url, headers, body, clocks, deadline, streaming=streaming)
            if sent is not None:
                return self._answered(sent, url, headers, body, clocks, streaming=streaming, deadline=deadline)
        return self._send("POST", url, headers, body, clocks, streaming=streaming, deadline=deadline, proxy=proxy, fresh=fresh)

    async def _answered(
        self,
        sent: ClientConnection,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        clocks: Clocks,
        *,
        streaming: bool,
        deadline: float,
    ) -> Response:
        """Return the response to what was *sent* over an open connection; over a new one where that was stale."""
        if await sent.is_answered(url, alone=False, reused=True):
            return sent
        return await self._send("POST", url, headers, body, clocks, streaming=streaming, deadline=deadline, fresh=True)

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        clocks: Clocks,
        streaming: bool = False,
        deadline: float | None = None,
        proxy: Proxy | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """GET *url*; the other arguments are those of `post`."""
        return self._send("GET", url, headers, None, clocks, streaming=streaming, deadline=deadline, proxy=proxy)

    def delete(
        self, url: str, *, headers: Mapping[str, str], clocks: Clocks, proxy: Proxy | None = None
    ) -> Coroutine[Any, Any, Response]:
        """DELETE *url*; bounded by connect and total."""
        return self._send("DELETE", url, headers, None, clocks, streaming=False, deadline=None, proxy=proxy)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, clocks: Clocks
    ) -> Coroutine[Any, Any, Response]:
        """Send a request of any method, whose answer may be a stream; see `post`."""
        return self._send(method, url, headers, body, clocks, streaming=True, deadline=None, proxy=None)

    def try_post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        clocks: Clocks,
        deadline: float,
        on_news: Callable[[], None] | None = None,
        *,
        streaming: bool = True,
    ) -> ClientConnection | None:
        """Send a request as `post` does, where that needs no waiting; see `HttptoolsTransport.try_send`. None elsewhere, and
        nothing is sent. Where the connection turns out to be stale, it is to be sent again, over a fresh one."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        last = self._last
        if last is not None:
            of, there, until, home, _, direct = last  # at once: to read a member by its name takes ten times as long
            if there is url and of() is loop and now < until and not home.closed:
                if direct is None:
                    return None
                return direct.try_send(url, headers, body, clocks, streaming, deadline, now, on_news)
        known = self._known(url, loop, now)
        if known is None or known.direct is None:
            return None
        return known.direct.try_send(url, headers, body, clocks, streaming, deadline, now, on_news)

    def _known(self, url: str, loop: asyncio.AbstractEventLoop, now: float) -> _Known | None:
        """Return how requests to *url* go, where no proxy is in the way and the transport is there already. What was found last
        is remembered."""
        last = self._last
        if last is not None and last.url is url and last.loop() is loop and now < last.until and not last.home.closed:
            return last
        self._last = None
        reference = weakref.ref(loop)
        home = self._homes.get(reference)
        if home is None or home.closed or self._proxy is not None:
            return None
        until = inf
        if self._trust_env:
            if self._environment_proxy(url, now) is not None:
                return None
            until = self._environment[_origin(url)][0] + _ENVIRONMENT_S
        if (transport := home.made(direct=self._prefers_direct)) is not None:
            self._last = _Known(reference, url, until, home, transport, home.direct if self._prefers_direct else None)
        return self._last

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        clocks: Clocks,
        *,
        streaming: bool,
        deadline: float | None,
        proxy: Proxy | None = None,
        fresh: bool = False,
    ) -> Response:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if proxy is None and (known := self._known(url, loop, now)) is not None:
            transport = known.transport
        else:
            proxy = proxy or self._proxy or (self._environment_proxy(url, now) if self._trust_env else None)
            home = self._homes.get(weakref.ref(loop))
            if home is None or home.closed:
                home = await self._settle(loop)
            transport = home.transport(proxy, direct=self._prefers_direct)
        if deadline is None:
            deadline = now + clocks.total
        while True:
            try:
                return await transport.send(
                    method,
                    url,
                    headers=headers,
                    body=body,
                    clocks=clocks,
                    streaming=streaming,
                    deadline=deadline,
                    proxy=proxy,
                    fresh=fresh,
                )
            except StaleConnectionError:
                if fresh:
                    raise
                fresh = True

    def proxy_to_this_machine(self, url: str) -> Proxy | None:
        """Return the environment's proxy through which *url* is asked although it is of this machine; None for none."""
        if not self._trust_env or self._proxy is not None or urlsplit(url).hostname not in _THIS_MACHINE:
            return None
        return environment_proxy(url)

    def _environment_proxy(self, url: str, now: float) -> Proxy | None:
        """The proxy that the environment names, which is read anew after a second: reading it costs as much as a request."""
        origin = _origin(url)
        read_at, proxy = self._environment.get(origin, (now - 2 * _ENVIRONMENT_S, None))
        if not 0 <= now - read_at < _ENVIRONMENT_S:
            proxy = environment_proxy(url)
            self._environment[origin] = now, proxy
        return proxy

    async def _settle(self, loop: asyncio.AbstractEventLoop) -> _LoopTransports:
        """The running loop's part of the pool. An async generator keeps it, so that the loop's own end closes it."""
        for old in [old for old in self._homes if (owner := old()) is None or owner.is_closed()]:
            del self._homes[old]
        home = self._homes[weakref.ref(loop)] = _LoopTransports(self._uds, self._tls)
        await anext(home.lifetime)
        return home

    async def aclose(self) -> None:
        """Close this loop's connections. Another loop's are closed by that loop's end."""
        home = self._homes.pop(weakref.ref(asyncio.get_running_loop()), None)
        if home is not None:
            await home.lifetime.aclose()


def _origin(url: str) -> str:
    """Return scheme, host and port of *url*, as they are written."""
    return url[: url.find("/", 8)]
