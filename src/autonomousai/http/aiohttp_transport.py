"""One HTTP exchange on aiohttp, under clocks. The only file that imports aiohttp; `http` imports it when the first request is
made, because that costs more than all of ours together. aiohttp's errors are translated here, at one border."""

from __future__ import annotations

import asyncio
import inspect
import io
import select
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import ConfigError, ConnectError, HTTPError
from ..errors import TimeoutError as ClockError
from ..result import cannot_pipe
from ..timeouts import Clocks
from .decoding import BodyDecoder, CodingError, make_decoder
from .descriptors import is_short, no_descriptors
from .failures import (
    closed_before_answer,
    cut,
    host_not_found,
    not_connected,
    not_http,
    request_failed,
    tls_failed,
    without_quotes,
)
from .headers import Headers
from .heads import MAX_HEAD, TOO_LARGE, is_http, is_odd, split_head
from .proxies import Proxy
from .timeouts import ReadTimeouts
from .tls import tls_context
from .transport import StaleConnectionError
from .urls import without_credentials

#: Seconds that the rest of a body may take to arrive after the answer has ended, so that its connection can be used again.
_DRAIN = 0.05

#: aiohttp warns about larger bodies given as bytes.
_LARGE_BODY = 1 << 20


#: A limit that newer versions of aiohttp have; ours is `framing_problem`'s.
_MORE_LIMITS: dict[str, Any] = (
    {"max_headers": MAX_HEAD} if "max_headers" in inspect.signature(aiohttp.ClientSession.__init__).parameters else {}
)


#: Sessions that are to be closed. Whoever forgets one closes it through its generator; it must not go before that.
_open: set[aiohttp.ClientSession] = set()


class _ConnectionAttempt:
    """One try of one request: its connection, when it was connected, and whether that had been used before.

    ``fresh``: it may not have been.
    """

    __slots__ = ("connected", "deadline", "first_token", "fresh", "protocol", "reused", "timer")

    def __init__(self, timer: asyncio.Timeout, deadline: float, first_token: float | None, *, fresh: bool) -> None:
        self.timer = timer
        self.deadline = deadline
        self.first_token = first_token
        self.fresh = fresh
        self.connected: float | None = None
        self.protocol: _Protocol | None = None
        self.reused = False

    def on_connected(self, protocol: _Protocol) -> None:
        self.protocol = protocol
        self.reused = protocol.requests > 1
        self.connected = now = asyncio.get_running_loop().time()
        if self.first_token is not None:
            self.timer.reschedule(min(now + self.first_token, self.deadline))

    @property
    def is_stale(self) -> bool:
        """Whether nothing came over a connection that had been used before."""
        return self.reused and self.protocol is not None and not self.protocol.has_heard


#: The attempt that this task is making, for the connector that finds it a connection.
_ATTEMPT: ContextVar[_ConnectionAttempt | None] = ContextVar("attempt", default=None)


class _Protocol(ResponseHandler):
    """aiohttp's side of a connection, with heads brought into strict form before its parser reads them.

    ``requests``: how many it has carried. ``has_heard``: something has come since the last one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        self.has_heard = False
        self._begun = b""  # what has come of the head
        self._awaits_head = False
        self._poll: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        is_tls = transport.get_extra_info("sslcontext") is not None
        if not is_tls and hasattr(select, "poll"):  # inside TLS, bytes are no sign of an end
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def begin(self, *, fresh: bool) -> bool:
        """Make ready for a request; False where it cannot carry one: it is to be *fresh* and is not, or the server has sent
        something unasked, or closed it."""
        if self.requests:
            unread = self._poll is not None and self._poll.poll(0)
            if fresh or unread or self.should_close or not self.is_connected():
                return False
        self.requests += 1
        self.has_heard = False
        self._begun = b""
        self._awaits_head = True
        return True

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        if not self._awaits_head or not data:
            super().data_received(data)
        elif not self._begun and 4 < (end := data.find(b"\r\n\r\n") + 4) <= MAX_HEAD and not is_odd(data, 0, end):
            self._awaits_head = False
            super().data_received(data[:end])
            if end < len(data):
                super().data_received(data[end:])
        else:
            self._on_odd_head(data)
        if self._exception is not None:
            self._wake_reader()

    def _on_odd_head(self, data: bytes) -> None:
        """More of a head that is not complete, or not in strict form."""
        self._begun += data
        parts = split_head(self._begun) if is_http(self._begun) else (self._begun, b"")
        if parts is None and len(self._begun) <= MAX_HEAD:
            return
        self._begun = b""
        self._awaits_head = False
        problem = TOO_LARGE if parts is None or len(parts[0]) > MAX_HEAD else ""
        if parts is None or problem or b"\0" in parts[0]:
            self.set_exception(HttpProcessingError(message=problem or "a zero byte in a head"))
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        for part in parts:
            if part:
                super().data_received(part)

    def _wake_reader(self) -> None:
        """Let the reader of a body know that its parser has failed: aiohttp leaves it waiting."""
        error, body = self._exception, self._payload
        if body is not None and not body.is_eof():
            broken = aiohttp.ClientPayloadError(getattr(error, "message", "") or str(error))
            body.set_exception(broken)
            self._loop.call_soon(body.set_exception, broken)  # one that was just woken does not look before it waits again


class _AnnotatingConnector(aiohttp.BaseConnector):
    """Tells the attempt of its connection, and gives it none that the server has closed meanwhile. (aiohttp's own tracing tells
    too, but costs as much as half of the request.)"""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]  # a subclass of what it makes

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        attempt = _ATTEMPT.get()
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol: Any = connection.protocol
            if attempt is None or protocol.begin(fresh=attempt.fresh):
                if attempt is not None:
                    attempt.on_connected(protocol)
                return connection
            connection.close()


class _TCPConnector(_AnnotatingConnector, aiohttp.TCPConnector):
    pass


class _UnixConnector(_AnnotatingConnector, aiohttp.UnixConnector):
    pass


@lru_cache(maxsize=16)
def _connect_timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds)


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class AiohttpTransport:
    """A `Transport` over aiohttp's client."""

    def __init__(self, uds: str | None, user_agent: str) -> None:
        connector = _UnixConnector(path=uds, limit=0) if uds else _TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            **_MORE_LIMITS,
        )
        _open.add(self._session)

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
    ) -> AiohttpResponse:
        """See `Transport.send`."""
        timer = asyncio.timeout_at(deadline)
        head = headers
        attempt = _ConnectionAttempt(timer, deadline, clocks.first_token if streaming else None, fresh=fresh)
        extra: dict[str, Any] = {"ssl": tls_context()} if url.startswith("https:") else {}
        if proxy is not None:
            extra |= {"proxy": proxy.url, "proxy_headers": proxy.headers}
            if url.startswith("http://"):
                head = {**headers, **proxy.headers}
        if "@" in url and any(name.lower() == "authorization" for name in headers):
            url = _without_login(url)  # the key goes before it, and aiohttp takes no two
        token = _ATTEMPT.set(attempt)
        try:
            async with timer:
                response = await self._session.request(
                    method,
                    url,
                    headers=head,
                    data=io.BytesIO(body) if body is not None and len(body) >= _LARGE_BODY else body,
                    allow_redirects=False,
                    timeout=_connect_timeout(clocks.connect),
                    **extra,
                )
        except Exception as error:
            raise _translate(error, attempt, clocks, without_credentials(url)) from error
        finally:
            _ATTEMPT.reset(token)
        told = Headers(response.raw_headers)
        version = response.version
        problem = told.framing_problem(response.status, f"{version.major}.{version.minor}" if version else "")
        codings = told.values_of("content-encoding")
        try:
            decoder = make_decoder(codings) if codings else None
        except CodingError as error:
            problem = problem or str(error)
        if problem:
            response.close()
            raise not_http(without_credentials(url), problem)
        if decoder is None:
            return AiohttpResponse(response, told, clocks, deadline, streaming, attempt)
        coded = _CodedResponse(response, told, clocks, deadline, streaming, attempt)
        coded.decoder = decoder
        return coded

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._session.close()
        _open.discard(self._session)


_Translation: TypeAlias = Callable[[Any, str], Exception]

#: What can go wrong before the response's head: the first row that fits. A test holds every error of aiohttp against it.
_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], _Translation], ...] = (
    (
        (aiohttp.ClientHttpProxyError,),
        lambda error, where: ConnectError(
            f"the proxy refused the connection with status {error.status}",
            advice="check its credentials" if error.status == 407 else "check the proxy",
            retryable=error.status >= 500,
        ),
    ),
    (
        (aiohttp.ClientProxyConnectionError,),
        lambda error, where: ConnectError(f"cannot connect to the proxy: {_reason(error)}", advice="check the proxy's address"),
    ),
    (
        (aiohttp.ClientConnectorDNSError,),
        lambda error, where: host_not_found(where, _reason(error)),
    ),
    (
        (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch),
        lambda error, where: tls_failed(where, error),
    ),
    (
        (aiohttp.ClientConnectorError,),
        lambda error, where: not_connected(where, _reason(error)),
    ),
    (
        (aiohttp.InvalidURL,),
        lambda error, where: ConfigError(f"{where!r} is not a URL that a request can be sent to"),
    ),
    (
        (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError),
        lambda error, where: closed_before_answer(where),
    ),
    (
        (aiohttp.ClientResponseError,),
        lambda error, where: not_http(where, error.message),
    ),
    (
        (aiohttp.ClientError, OSError),
        lambda error, where: request_failed(where, error),
    ),
)


def _translate(error: Exception, attempt: _ConnectionAttempt, clocks: Clocks, where: str) -> Exception:
    """What went wrong before the response's head came, in our own errors. What is none of aiohttp's stays as it is."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ClockError("connect", clocks.connect)
    if isinstance(error, asyncio.TimeoutError):
        first = attempt.first_token
        silent = attempt.connected is not None and first is not None and attempt.connected + first < attempt.deadline
        return ClockError("first_token", clocks.first_token) if silent else ClockError("total", clocks.total)
    if attempt.is_stale and isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return StaleConnectionError()
    cause = getattr(error, "os_error", None) or error
    if attempt.connected is None and isinstance(cause, OSError) and is_short(cause):
        return no_descriptors()
    for kinds, translation in _TRANSLATIONS:
        if isinstance(error, kinds):
            return translation(error, where)
    return error


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return str(getattr(cause, "strerror", None) or cause)


def _payload_problem(error: Exception) -> object:
    """Why a body broke off, in the words of our own transport where aiohttp's are those of its parser."""
    if isinstance(error, aiohttp.ClientPayloadError) and "not completed" in str(error):
        return "the server closed the connection"
    return without_quotes(str(error))


class _GraceOverError(Exception):
    """Enough was waited for a sentinel that need not come."""


class AiohttpResponse:
    """A `Response` that aiohttp brings."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        headers: Headers,
        clocks: Clocks,
        total_at: float,
        streaming: bool,
        attempt: _ConnectionAttempt,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = headers
        self._response = response
        self._content = response.content
        self._broken: Exception | None = None
        self._failure: ClockError | None = None  # the total clock ran out while nobody read
        self._is_fresh = True  # nothing was read yet
        self._watch = watch = ReadTimeouts(asyncio.get_running_loop(), self._on_expired)
        watch.begin(clocks, total_at, attempt.connected if streaming else None, lazily=True)
        self.progress = watch.progress
        self.alive = watch.alive
        self.wait_no_longer_than = watch.wait_no_longer_than

    def pipe_to(self, take: Callable[[bytes], bool]) -> Awaitable[bool]:
        """See `Response.pipe_to`; aiohttp wakes its reader with a task switch."""
        return cannot_pipe()

    def release(self) -> bool:
        """See `Response.release`; aiohttp has freed the connection by itself."""
        if not self._content.is_eof():
            return False
        self._watch.stop()
        return True

    async def read_some(self) -> bytes:
        """See `Response.read_some`."""
        if self._broken is not None:
            raise self._broken
        watch = self._watch
        try:
            # A short answer has come with its head, and needs no timer; what came before a deadline is no silence.
            if self._is_fresh or watch.is_overdue:
                self._is_fresh = False
                if data := self._content.read_nowait(-1):
                    return data
            watch.wait()
            return await self._content.readany()
        except _GraceOverError:
            return b""
        except HTTPError as error:
            return self._rest(error)
        except (OSError, aiohttp.ClientError) as error:
            if self._failure is not None:
                return self._rest(self._failure)
            broken = cut(_payload_problem(error))
            broken.__cause__ = error
            return self._rest(broken)
        finally:
            watch.waiting = False

    def _rest(self, error: HTTPError) -> bytes:
        """What aiohttp had read before the connection broke, and would otherwise keep to itself; the error comes after it."""
        self._watch.stop()
        self._broken = error
        self._content.set_exception(None)  # type: ignore[arg-type]
        if rest := self._content.read_nowait(-1):
            return rest
        raise error

    def _on_expired(self) -> None:
        if self._watch.ends_quietly:
            self._content.set_exception(_GraceOverError())
            return
        error = self._watch.error(self.status)
        if not self._watch.waiting:  # its caller may never read again: the server must not work for nobody
            self._failure = error
            self._response.close()
        self._content.set_exception(error)

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        self._watch.stop()
        if not self._content.is_eof():
            self._response.close()

    async def drain(self) -> None:
        """See `Response.drain`."""
        if self._broken is None and not self._content.is_eof() and self._content.exception() is None:
            with suppress(asyncio.TimeoutError, OSError, aiohttp.ClientError):
                async with asyncio.timeout(_DRAIN):
                    while await self._content.readany():
                        pass
        await self.aclose()


class _CodedResponse(AiohttpResponse):
    """The same with a body in a coding that is undone."""

    decoder: BodyDecoder

    async def read_some(self) -> bytes:
        """See `Response.read_some`."""
        try:
            while coded := await super().read_some():
                if data := self.decoder.decode(coded):
                    return data
            if not self._watch.ends_quietly:
                self.decoder.finish()
        except zlib.error as error:
            self._response.close()
            self._watch.stop()
            self._broken = broken = cut(error)
            raise broken from error
        return b""
