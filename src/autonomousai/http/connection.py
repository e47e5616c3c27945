"""One HTTP/1.1 connection on httptools: a request goes out, its response comes in, and then perhaps the next.

Strict in what it takes: whatever two readers could understand in two ways ends the connection. Knows no pool and no clocks but
the `ReadTimeouts` of the response that it carries.
"""

from __future__ import annotations

import asyncio
import select
import zlib
from collections.abc import Callable
from typing import Any, cast

import httptools

from ..timeouts import Clocks
from .headers import Headers
from .request_head import Origin
from .response import FairDispatcher, HttptoolsResponse
from .timeouts import ReadTimeouts

#: Bytes of a response's head, and of whatever else is no body (trailers, what chunks are called) between two pieces of one.
MAX_HEAD = 64 * 1024
MAX_FIELDS = 256

#: Bytes that a reader may be behind before the server is made to wait.
_HELD = 256 * 1024

#: Bytes that one read may become, where a server packs what it was asked not to pack.
_UNPACKED = 64 * 1024 * 1024

#: Bytes of a request's body up to which it is sent in one piece with its head.
_ONE_PIECE = 64 * 1024


class ClientConnection(asyncio.Protocol):
    """``on_idle`` and ``on_lost`` are told when it can carry another request, and when it is gone."""

    __slots__ = (
        "_ends",
        "_feed",
        "_fields",
        "_held",
        "_inflate",
        "_is_chunked",
        "_is_complete",
        "_is_interim",
        "_is_paused",
        "_keeps",
        "_on_idle",
        "_on_lost",
        "_parser",
        "_poll",
        "_response",
        "_silent",
        "_transport",
        "_unpacked",
        "dispatcher",
        "on_body",
        "origin",
        "parts",
        "watch",
    )

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        dispatcher: FairDispatcher,
        on_idle: Callable[[ClientConnection], None],
        on_lost: Callable[[ClientConnection], None],
    ) -> None:
        self.origin = origin
        #: What of the body has come and was not taken. The parser puts it there by itself.
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        self.dispatcher = dispatcher
        self.watch = ReadTimeouts(loop, self._on_expired)
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._poll: Any = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._feed: Any = self._parser.feed_data
        self._response: HttptoolsResponse | None = None
        self._ends = False  # the request asks for the connection's end
        self._keeps = False  # the response allows that it goes on
        self._fields: list[tuple[bytes, bytes]] = []
        self._inflate: Any = None
        self._unpacked = 0  # of `parts`, from the first
        self._is_chunked = False
        self._is_interim = False
        self._is_complete = False
        self._is_paused = False
        self._held = 0  # bytes in `parts`, or a few more
        self._silent = 0  # bytes since the last piece of a body

    # ---- for the pool and the response

    def ask(
        self,
        response: HttptoolsResponse,
        head: bytes,
        body: bytes,
        *,
        ends: bool,
        clocks: Clocks,
        total_at: float,
        first_token_from: float | None,
    ) -> None:
        """Send a request, whose answer *response* becomes. ``ends``: the request asks for the connection's end."""
        self._response = response
        self._ends = ends
        self._inflate = None
        self._is_chunked = self._is_complete = False
        self._silent = self._held = 0
        self.watch.waiting = False
        self.watch.begin(clocks, total_at, first_token_from)
        if len(body) <= _ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    @property
    def is_unheard(self) -> bool:
        """Whether nothing has come since the last request."""
        return not self._silent and not self._held

    @property
    def is_lost(self) -> bool:
        """Whether its socket is closed."""
        return self._parser is None

    def is_quiet(self) -> bool:
        """Whether it is open, and the server has sent nothing that nobody asked for, nor closed it."""
        return not self._transport.is_closing() and (self._poll is None or not self._poll.poll(0))

    def take(self) -> bytes:
        """What has come."""
        data = b"".join(self.parts)
        self.parts.clear()
        self._held = self._unpacked = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Close at once, whatever it is doing."""
        self._break(ConnectionError("the connection was closed"))

    def _release(self) -> HttptoolsResponse | None:
        response, self._response = self._response, None
        return response

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        if not self.origin.tls and hasattr(select, "poll"):  # inside TLS, bytes are no sign of an answer
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()  # nobody asked
            return
        self._silent += len(data)
        broken: BaseException | None = None
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            broken = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
            self._keeps = False  # if the answer is complete, then more came than was asked for
        if self._inflate is not None and not self._unpack():
            return
        if broken is not None and not self._is_complete:
            self._break(broken)
        elif self._is_complete:
            self._finish()
        elif self.parts:
            self._held += self._silent
            self._silent = 0
            if self._held > _HELD and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            response.on_parts(self)
        elif self._silent > MAX_HEAD:
            self._break(httptools.HttpParserError(f"more than {MAX_HEAD} bytes that belong to no body"))

    def _unpack(self) -> bool:
        """Unpack what has just come; False where it cannot be, which is the answer's end."""
        packed = b"".join(self.parts[self._unpacked :])
        if not packed:
            return True  # a head or trailers, which count as what they are
        del self.parts[self._unpacked :]
        try:
            data = self._inflate.decompress(packed, _UNPACKED)
            if self._inflate.unconsumed_tail:
                raise zlib.error(f"more than {_UNPACKED} bytes in one piece")
        except zlib.error as error:
            self._break(error)
            return False
        self._silent = 0
        if data:
            self.parts.append(data)
            self._held += len(data)
        self._unpacked = len(self.parts)
        return True

    def eof_received(self) -> None:
        response = self._response
        if response is None:
            return
        framed = response.status and ("content-length" in response.headers or "transfer-encoding" in response.headers)
        if response.status and not framed:
            self._keeps = False
            self._finish()
        else:
            self._break(ConnectionError("the server closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        self.watch.stop()
        if self._response is not None:
            self._break(error or ConnectionError("the connection was closed"))
        self._on_lost(self)
        self._parser = self._feed = None  # it and its callbacks hold one another

    # ---- the parser's side

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise httptools.HttpParserError("an answer that nobody asked for")
        self._is_interim = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        if len(name) == 17 and name.lower() == b"transfer-encoding":
            if self._is_chunked or value.strip().lower() != b"chunked":
                raise httptools.HttpParserError("a transfer encoding that is not chunked, once")
            self._is_chunked = True
        elif len(name) == 16 and name.lower() == b"content-encoding" and value.strip().lower() != b"identity":
            fresh = self._inflate is None and self._response is not None and not self._response.status
            if not fresh or value.strip().lower() not in (b"gzip", b"x-gzip", b"deflate"):
                raise httptools.HttpParserError("a packed body, though none was asked for")
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def on_headers_complete(self) -> None:
        fields, self._fields = self._fields, []
        if len(fields) > MAX_FIELDS or (
            self._silent > MAX_HEAD and sum(len(name) + len(value) for name, value in fields) > MAX_HEAD
        ):
            raise httptools.HttpParserError("a head that is too large")
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if status < 100 or version not in ("1.1", "1.0") or (self._is_chunked and version == "1.0"):
            raise httptools.HttpParserError(f"status {status} in HTTP/{version}")
        if status < 200 and status != 101:
            self._is_interim = True
            return
        assert self._response is not None
        self._response.on_head(status, Headers(fields))

    def on_message_complete(self) -> None:
        if not self._is_interim:
            self._is_complete = True
            self._keeps = self._parser.should_keep_alive()

    # ---- ends

    def _finish(self) -> None:
        """The response is whole: the connection is free, or of no more use."""
        response = self._release()
        assert response is not None
        response.on_end(self.take())
        if self._keeps and not self._ends and not self._transport.is_closing() and not self._transport.get_write_buffer_size():
            self._on_idle(self)
        else:
            self._transport.abort()

    def _break(self, error: BaseException | None) -> None:
        """The response will not become whole."""
        if response := self._release():
            rest = b"".join(self.parts)
            self.parts.clear()
            response.on_broken(error if isinstance(error, Exception) else ConnectionError("the connection broke"), rest)
        self._transport.abort()

    def _on_expired(self) -> None:
        response = self._release()
        if response is not None:
            if self.watch.ends_quietly:
                response.on_end(b"".join(self.parts))
            else:
                response.on_broken(self.watch.error(response.status or None), b"".join(self.parts))
            self.parts.clear()
        self._transport.abort()
