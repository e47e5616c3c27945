"""One HTTP exchange on aiohttp, under clocks. The only file that imports aiohttp; `http` imports it when the first request is
made, because that costs more than all of ours together. aiohttp's errors are translated here, at one border."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import aiohttp

from ..config import Clocks
from ..errors import Clock, ConfigError, ConnectError, HTTPError, IncompleteStreamError
from ..errors import TimeoutError as ClockError
from .proxy import Proxy, without_credentials

#: Seconds that the rest of a body may take to arrive after the answer has ended, so that its connection can be used again.
_DRAIN = 0.05

#: Seconds by which a timer may fire late before we suspect our own event loop.
_LATE = 0.25

#: aiohttp warns about larger bodies given as bytes.
_LARGE_BODY = 1 << 20


class _Attempt:
    """One try of one request: tells when it was connected, and whether over a connection that had been used before."""

    __slots__ = ("connected", "deadline", "first_token", "reused", "timer")

    def __init__(self, timer: asyncio.Timeout, deadline: float, first_token: float | None) -> None:
        self.timer = timer
        self.deadline = deadline
        self.first_token = first_token
        self.connected: float | None = None
        self.reused = False

    def on_connected(self, *, reused: bool) -> None:
        self.reused = reused
        self.connected = now = asyncio.get_running_loop().time()
        if self.first_token is not None:
            self.timer.reschedule(min(now + self.first_token, self.deadline))


async def _on_created(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.on_connected(reused=False)


async def _on_reused(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.on_connected(reused=True)


async def keep_session(uds: str | None, user_agent: str) -> AsyncGenerator[aiohttp.ClientSession]:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(_on_created)
    trace.on_connection_reuseconn.append(_on_reused)
    connector = aiohttp.UnixConnector(path=uds, limit=0) if uds else aiohttp.TCPConnector(limit=0)
    session = aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
    )
    try:
        yield session
    finally:
        await session.close()


class StaleConnectionError(Exception):
    """A pooled connection had been closed by the server before our request reached it."""


async def send(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    clocks: Clocks,
    streaming: bool,
    deadline: float,
    proxy: Proxy | None,
) -> HttpResponse:
    """Send the request and return the response once its head is there. See `HttpPool.post`."""
    timer = asyncio.timeout_at(deadline)
    attempt = _Attempt(timer, deadline, clocks.first_token if streaming else None)
    extra: dict[str, Any] = {}
    if proxy is not None:
        extra = {"proxy": proxy.url, "proxy_headers": proxy.headers}
        if url.startswith("http://"):
            headers = {**headers, **proxy.headers}
    try:
        async with timer:
            response = await session.request(
                method,
                url,
                headers=headers,
                data=io.BytesIO(body) if body is not None and len(body) >= _LARGE_BODY else body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=clocks.connect),
                trace_request_ctx=attempt,
                **extra,
            )
    except Exception as error:
        raise _translate(error, attempt, clocks, without_credentials(url)) from error
    return HttpResponse(response, clocks, deadline, streaming, attempt)


_Translation: TypeAlias = Callable[[Any, str], Exception]

#: What can go wrong before the response's head: the first row that fits. A test holds every error of aiohttp against it.
_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], _Translation], ...] = (
    (
        (aiohttp.ClientHttpProxyError,),
        lambda error, where: ConnectError(
            f"the proxy refused the connection with status {error.status}; "
            + ("check its credentials" if error.status == 407 else "check the proxy"),
            retryable=error.status >= 500,
        ),
    ),
    (
        (aiohttp.ClientProxyConnectionError,),
        lambda error, where: ConnectError(f"cannot connect to the proxy: {_reason(error)}; check the proxy's address"),
    ),
    (
        (aiohttp.ClientConnectorDNSError,),
        lambda error, where: ConnectError(
            f"cannot find the host of {where}: {_reason(error)}; check the address and the network"
        ),
    ),
    (
        (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch),
        lambda error, where: ConnectError(f"TLS with {where} failed: {error}; check its certificate", retryable=False),
    ),
    (
        (aiohttp.ClientConnectorError,),
        lambda error, where: ConnectError(f"cannot connect to {where}: {_reason(error)}; check that the server runs there"),
    ),
    (
        (aiohttp.InvalidURL,),
        lambda error, where: ConfigError(f"{where!r} is not a URL that a request can be sent to"),
    ),
    (
        (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError),
        lambda error, where: HTTPError(
            f"the server at {where} closed the connection before it answered; try again", retryable=True
        ),
    ),
    (
        (aiohttp.ClientResponseError,),
        lambda error, where: HTTPError(f"the server at {where} did not answer in HTTP: {error.message}"[:500]),
    ),
    (
        (aiohttp.ClientError, OSError),
        lambda error, where: HTTPError(f"the request to {where} failed: {type(error).__name__}: {error}"[:500], retryable=True),
    ),
)


def _translate(error: Exception, attempt: _Attempt, clocks: Clocks, where: str) -> Exception:
    """What went wrong before the response's head came, in our own errors. What is none of aiohttp's stays as it is."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ClockError("connect", clocks.connect)
    if isinstance(error, asyncio.TimeoutError):
        first = attempt.first_token
        silent = attempt.connected is not None and first is not None and attempt.connected + first < attempt.deadline
        return ClockError("first_token", clocks.first_token) if silent else ClockError("total", clocks.total)
    if attempt.reused and isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return StaleConnectionError()
    for kinds, translation in _TRANSLATIONS:
        if isinstance(error, kinds):
            return translation(error, where)
    return error


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return str(getattr(cause, "strerror", None) or cause)


class _GraceOverError(Exception):
    """Enough was waited for a sentinel that need not come."""


class HttpResponse:
    """A response whose head has come. ``headers`` are case-insensitive. Whoever holds it closes it."""

    def __init__(
        self, response: aiohttp.ClientResponse, clocks: Clocks, total_at: float, streaming: bool, attempt: _Attempt
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._content = response.content
        self._clocks = clocks
        self._loop = asyncio.get_running_loop()
        self._total_at = total_at
        self._clock: Clock = "total"
        self._deadline = total_at
        self._reading = False
        self._grace = False
        self._broken = False
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        if streaming and attempt.connected is not None:
            self._set("first_token", attempt.connected + clocks.first_token)

    def _set(self, clock: Clock, deadline: float) -> None:
        if deadline < self._total_at:
            self._clock, self._deadline = clock, deadline
        else:
            self._clock, self._deadline = "total", self._total_at

    def progress(self) -> None:
        """An event came: from now on the idle clock runs, from anew."""
        self._set("idle", self._loop.time() + self._clocks.idle)
        self._advance()

    def wait_no_longer_than(self, seconds: float) -> None:
        """The answer is proven; what may still follow is awaited this long, and then the body just ends."""
        if not self._grace:
            self._grace = True
            self._deadline = min(self._total_at, self._loop.time() + seconds)
            self._advance()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body's bytes as they come, everything that is there at once.

        Raises `TimeoutError` when a clock runs out, `IncompleteStreamError` when the connection breaks; what had arrived before
        is yielded first. An end by the body's own framing just ends.
        """
        content = self._content
        self._arm(self._deadline)
        try:
            while True:
                self._reading = True
                data = await content.readany()
                self._reading = False
                if not data:
                    return
                yield data
        except _GraceOverError:
            return
        except HTTPError as error:
            if rest := self._buffered():
                yield rest
            raise error from None
        except (OSError, aiohttp.ClientError) as error:
            if rest := self._buffered():
                yield rest
            raise IncompleteStreamError(f"the connection broke before the answer was complete: {error}"[:300]) from error
        finally:
            self._disarm()

    def _buffered(self) -> bytes:
        """What aiohttp had read before the connection broke, and would otherwise keep to itself."""
        self._broken = True
        self._content.set_exception(None)  # type: ignore[arg-type]
        return self._content.read_nowait(-1)

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first *limit* bytes. The same errors as `chunks`."""
        parts: list[bytes] = []
        size = 0
        chunks = self.chunks()
        try:
            async for data in chunks:
                parts.append(data)
                size += len(data)
                if size > limit:
                    break
        finally:
            await chunks.aclose()
        return b"".join(parts)[: limit + 1]

    def _arm(self, when: float) -> None:
        self._armed_at = when
        self._handle = self._loop.call_at(when, self._on_timer)

    def _advance(self) -> None:
        """A timer that was set for later than the new deadline is set again; one that fires too early re-arms itself."""
        if self._handle is not None and self._deadline < self._armed_at:
            self._disarm()
            self._arm(self._deadline)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_timer(self) -> None:
        """One timer a response, re-armed only when it fires: moving the deadline costs an event nothing but an assignment."""
        now = self._loop.time()
        if not self._reading:
            self._arm(max(self._deadline, now + 1))
        elif now < self._deadline:
            self._arm(self._deadline)
        elif now - self._armed_at > _LATE:
            # The loop itself stood still: what came meanwhile has not been read yet, and would be blamed on the server.
            self._arm(now + _LATE)
        elif self._grace:
            self._content.set_exception(_GraceOverError())
        else:
            seconds = {"first_token": self._clocks.first_token, "idle": self._clocks.idle}.get(self._clock, self._clocks.total)
            self._content.set_exception(ClockError(self._clock, seconds, status=self.status))

    async def aclose(self) -> None:
        """Close at once. A body that has been read to its end leaves its connection to the pool, any other one closes it."""
        self._disarm()
        if not self._content.is_eof():
            self._response.close()

    async def drain(self) -> None:
        """Read the little that may follow a finished answer, so that the connection can be used again; then close."""
        if not self._broken and not self._content.is_eof() and self._content.exception() is None:
            with suppress(asyncio.TimeoutError, OSError, aiohttp.ClientError):
                async with asyncio.timeout(_DRAIN):
                    while await self._content.readany():
                        pass
        await self.aclose()
