"""Connections to upstreams, shared by the requests of one event loop. Knows nothing of models or events, nor of aiohttp, whose
import `transport` brings with the first request."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from .._version import __version__
from ..config import Clocks
from .proxy import Proxy, environment_proxy

if TYPE_CHECKING:
    import aiohttp

    from .transport import HttpResponse

USER_AGENT = f"autonomousai/{__version__}"


class HttpPool:
    """Connections to upstreams, one session an event loop; closed with `aclose`, or by the loop's own end.

    ``uds``: the path of a Unix socket that all requests go to. ``proxy``: for every request that names none itself.
    """

    def __init__(self, *, proxy: str | None = None, uds: str | None = None, trust_env: bool = True) -> None:
        self._proxy = Proxy(proxy) if proxy else None
        self._uds = uds
        self._trust_env = trust_env and uds is None
        self._kept: dict[
            weakref.ref[asyncio.AbstractEventLoop], tuple[AsyncGenerator[aiohttp.ClientSession], aiohttp.ClientSession]
        ] = {}

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        clocks: Clocks,
        streaming: bool,
        deadline: float | None = None,
        proxy: Proxy | None = None,
    ) -> HttpResponse:
        """POST *body* and return the response once its head is there.

        ``streaming``: the first-token clock runs from when the connection stands; without it connect and total bound the wait.
        ``deadline``: the loop's time when the total clock runs out, where it began to run before this request.
        A request that cannot have been read (a stale pooled connection) is sent once more. Raises `HTTPError` and its kin.
        """
        return await self._send("POST", url, headers, body, clocks, streaming=streaming, deadline=deadline, proxy=proxy)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        clocks: Clocks,
        streaming: bool = False,
        deadline: float | None = None,
        proxy: Proxy | None = None,
    ) -> HttpResponse:
        """GET *url*; the other arguments are those of `post`."""
        return await self._send("GET", url, headers, None, clocks, streaming=streaming, deadline=deadline, proxy=proxy)

    async def delete(self, url: str, *, headers: Mapping[str, str], clocks: Clocks, proxy: Proxy | None = None) -> HttpResponse:
        """DELETE *url*; bounded by connect and total."""
        return await self._send("DELETE", url, headers, None, clocks, streaming=False, deadline=None, proxy=proxy)

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
        proxy: Proxy | None,
    ) -> HttpResponse:
        from . import transport  # noqa: PLC0415  aiohttp comes with it: at the first request

        loop = asyncio.get_running_loop()
        send = partial(
            transport.send,
            await self._session(),
            method,
            url,
            headers=headers,
            body=body,
            clocks=clocks,
            streaming=streaming,
            deadline=loop.time() + clocks.total if deadline is None else deadline,
            proxy=proxy or self._proxy or (environment_proxy(url) if self._trust_env else None),
        )
        try:
            return await send()
        except transport.StaleConnectionError:
            return await send()

    async def _session(self) -> aiohttp.ClientSession:
        """The running loop's session. An async generator keeps it, so that the loop's own end closes it."""
        from . import transport  # noqa: PLC0415  aiohttp comes with it: at the first request

        key = weakref.ref(asyncio.get_running_loop())
        kept = self._kept.get(key)
        if kept is None or kept[1].closed:
            for old in [old for old in self._kept if (owner := old()) is None or owner.is_closed()]:
                del self._kept[old]
            keeper = transport.keep_session(self._uds, USER_AGENT)
            self._kept[key] = kept = (keeper, await anext(keeper))
        return kept[1]

    async def aclose(self) -> None:
        """Close this loop's connections. Another loop's are closed by that loop's end."""
        kept = self._kept.pop(weakref.ref(asyncio.get_running_loop()), None)
        if kept is not None:
            await kept[0].aclose()
