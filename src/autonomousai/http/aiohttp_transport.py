"""One HTTP exchange on aiohttp, under timeouts. `http` imports it with the first request, as aiohttp costs more than this whole
package. Its errors are translated in `aiohttp_errors`, its connections are in `aiohttp_connector`."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpVersion11

from ..batches import cannot_pipe
from ..errors import HTTPError
from ..errors import TimeoutError as ClockError
from ..timeouts import Clocks
from .aiohttp_connector import ATTEMPT, AttemptTimer, ConnectionAttempt, TCPConnector, UnixConnector
from .aiohttp_errors import AT_PROXY, payload_problem, timeout_error, translate
from .decoding import BodyDecoder, response_decoder
from .failures import cut, not_http
from .headers import Headers
from .proxies import Proxy
from .request_head import is_sent
from .strict_heads import MAX_HEAD
from .timeouts import ReadTimeouts
from .tls import tls_context
from .urls import without_credentials

#: Seconds that the rest of a body may take to arrive after the answer has ended, so that its connection can be used again.
_DRAIN = 0.05

#: A limit that newer versions of aiohttp have; ours is `framing_problem`'s.
_MORE_LIMITS: dict[str, Any] = (
    {"max_headers": MAX_HEAD} if "max_headers" in inspect.signature(aiohttp.ClientSession.__init__).parameters else {}
)


#: Sessions that are to be closed. A forgotten one is closed through its generator; it must not go before that.
_open: set[aiohttp.ClientSession] = set()


@lru_cache(maxsize=16)
def _connect_timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds)


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _through(proxy: Proxy, url: str) -> dict[str, Any]:
    """Return the options of aiohttp for a request to *url* through a *proxy*, which reads the head of one without TLS."""
    options: dict[str, Any] = {"proxy": proxy.url, "proxy_headers": proxy.headers}
    if url.startswith("http:"):
        options["headers"] = dict(proxy.headers)
    return options


class AiohttpTransport:
    """A `Transport` over aiohttp's client."""

    def __init__(self, uds: str | None, user_agent: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._timer = AttemptTimer()
        connector = UnixConnector(path=uds, limit=0) if uds else TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            **_MORE_LIMITS,
        )
        _open.add(self._session)
        self._own = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._given: tuple[tuple[str, str], ...] | None = None  # the headers of the last request

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
        if (given := tuple(headers.items())) != self._given:
            self._learn(given)
        extra: dict[str, Any] = {} if proxy is None else _through(proxy, url)
        if url.startswith("https:"):
            extra["ssl"] = self._tls or tls_context()
        if body is not None:
            length = {"Content-Length": str(len(body))}
            extra["headers"] = extra["headers"] | length if "headers" in extra else length
        if "@" in url and any(name.lower() == "authorization" for name in headers):
            url = _without_login(url)  # the key goes before it, and aiohttp takes no two
        attempt = ConnectionAttempt(self._timer, body, deadline, clocks.first_token if streaming else None, fresh=fresh)
        token = ATTEMPT.set(attempt)
        try:
            response = await self._session.request(
                method,
                url,
                allow_redirects=False,
                timeout=_connect_timeout(clocks.connect),
                **extra,
            )
        except BaseException as error:
            is_due = attempt.finish()
            if isinstance(error, asyncio.CancelledError) and is_due:
                raise timeout_error(attempt, clocks) from error
            if not isinstance(error, Exception):
                raise
            where = without_credentials(url) if proxy is None or not isinstance(error, AT_PROXY) else proxy.title
            raise translate(error, attempt, clocks, where) from error
        else:
            attempt.finish()
        finally:
            ATTEMPT.reset(token)
        told = Headers(response.raw_headers)
        version = response.version
        if version == HttpVersion11 and response.status >= 200 and told.is_usual():
            return AiohttpResponse(response, told, clocks, deadline, streaming, attempt)
        try:
            decoder = _decoder_of(response, told)
        except ValueError as error:
            response.close()
            raise not_http(without_credentials(url), str(error)) from None
        if decoder is None:
            return AiohttpResponse(response, told, clocks, deadline, streaming, attempt)
        coded = _CodedResponse(response, told, clocks, deadline, streaming, attempt)
        coded.decoder = decoder
        return coded

    def _learn(self, given: tuple[tuple[str, str], ...]) -> None:
        """Have those headers of *given* sent that are a caller's to send, from now on: as those of the session, aiohttp copies
        them in one step, and they are looked at once as long as they stay the same."""
        allowed = {name: value for name, value in given if is_sent(name, value)}  # raises before anything is changed
        sent = self._session.headers
        sent.clear()
        sent.update(self._own)
        sent.update(allowed)
        self._given = given

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._timer.stop()
        await self._session.close()
        _open.discard(self._session)


def _decoder_of(response: aiohttp.ClientResponse, headers: Headers) -> BodyDecoder | None:
    """Return what undoes the coding of a response's body, None where it has none. Raises `ValueError` for a head that can be
    read and must not be, and for a coding that is not undone here."""
    version = response.version
    if problem := headers.framing_problem(response.status, f"{version.major}.{version.minor}" if version else ""):
        raise ValueError(problem)
    codings = headers.values_of("content-encoding")
    return response_decoder(response.status, codings) if codings else None


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
        attempt: ConnectionAttempt,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = headers
        self._response = response
        self._content = response.content
        self._broken: Exception | None = None
        self._failure: ClockError | None = None  # the total timeout passed while nothing was read
        self._is_fresh = True  # nothing was read yet
        self._whole = b""  # what has come with the head, and is all; not read yet
        first_token_from = attempt.connected if streaming else None
        self._watch = watch = ReadTimeouts(asyncio.get_running_loop(), self._on_expired, clocks, total_at, first_token_from)
        self.progress = watch.progress
        self.alive = watch.alive
        self.wait_no_longer_than = watch.wait_no_longer_than

    def peek(self) -> bytes:
        """See `Response.peek`; aiohttp shows nothing that it does not give, but here a body that is complete."""
        content = self._content
        if self._is_fresh and content.is_eof() and content.exception() is None:
            self._is_fresh = False
            self._whole = content.read_nowait(-1)
        return self._whole

    def whole(self) -> bytes | None:
        """See `Response.whole`."""
        return self.peek() or None

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
        if data := self._whole:
            self._whole = b""
            return data
        if self._broken is not None:
            raise self._broken
        watch = self._watch
        try:
            # A short answer has come with its head, and needs no timer; what came before a deadline is no silence.
            if self._is_fresh or watch.is_overdue:
                self._is_fresh = False
                if data := self._content.read_nowait(-1):
                    return data
            if self._content.at_eof() and self._content.exception() is None:
                return b""  # nothing more is to come: no timer is needed for that
            watch.wait()
            return await self._content.readany()
        except _GraceOverError:
            return b""
        except HTTPError as error:
            return self._rest(error)
        except (OSError, aiohttp.ClientError) as error:
            if self._failure is not None:
                return self._rest(self._failure)
            broken = cut(payload_problem(error))
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
        if not self._watch.waiting:  # its caller may never read again: the server must not work in vain
            self._failure = error
            self._response.close()
        self._content.set_exception(error)

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        self._watch.stop()
        # At its end aiohttp has given the connection back, but for one that was to speak another protocol from there on.
        if self._response.connection is not None or not self._content.is_eof():
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

    def peek(self) -> bytes:
        """See `Response.peek`; what has come was not decoded."""
        return b""

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
