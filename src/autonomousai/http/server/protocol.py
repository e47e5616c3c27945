"""HTTP/1.1 on httptools, for one application: connections, and the requests that come over each. Knows no route; what becomes
of one request and its answer is `exchange`'s, how long one may take to arrive `request_bounds`'.

Strict in what it takes (llhttp's strict mode): whatever two readers could understand in two ways ends the connection.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final, cast

import httptools

from .connections import Connections
from .cycle import RequestResponseCycle
from .exchange import Application, Handle, log_bug, new_request_id
from .leaving import LeavingWatch
from .refusals import MAX_HEAD, MAX_HEADERS, MAX_TARGET, RefusedError, status_of
from .request_bounds import RequestBounds
from .request_form import FORMAL, check_form, read_target
from .upgrade import WithoutUpgrade

#: Seconds that an idle connection is kept, at the least: longer than usual clients and proxies do, so that it is they who let
#: go.
KEEP_ALIVE_S: Final = 75

#: Requests that may wait on one connection for the answer to the one before. More of them are not answered (RFC 9112 section
#: 9.3.2): the connection ends after those.
PIPELINED: Final = 16

#: Requests of one connection whose heads are remembered: a caller whose heads all differ has always new ones.
LEARNT: Final = 3

#: What the parser's callbacks may raise.
_EXPECTED: Final = (RefusedError, httptools.HttpParserError)


class HTTPProtocol(RequestBounds):
    """One connection. Its timer runs only while a request has begun to arrive and is not whole yet."""

    __slots__ = (
        "_connections",
        "_expects",
        "_has_room",
        "_headers",
        "_heads",
        "_hosts",
        "_idle_since",
        "_is_cut",
        "_learnt",
        "_leaving",
        "_parser",
        "_partial_head",
        "_target",
        "_to_start",
        "_trailer",
        "_waiting",
        "_whole",
        "client",
        "server",
    )

    def __init__(self, app: Application, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, loop)
        self._connections = connections
        self._parser: Any = None  # made for the first request whose head is not known: it takes a kilobyte
        self._heads = WithoutUpgrade()
        self._waiting: list[RequestResponseCycle] = []  # for the answer before theirs: few, and a deque takes 600 bytes
        self._to_start: RequestResponseCycle | None = None  # its head has come, and it is its turn
        self._leaving: LeavingWatch | None = None
        self._idle_since = 0.0
        self._has_room = True  # else its request is refused
        self._learnt = 0  # heads
        self._is_cut = False  # after too many requests: the rest is not read as such
        self._partial_head = False
        self._trailer = 0  # bytes since the last of the body: of trailers, chunk sizes, and what else is not the body
        self._whole = False
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        self._hosts = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        socket = transport.get_extra_info("socket")
        self._has_room = socket is None or self._connections.has_room(socket.fileno())
        self._connections.add(self)
        self._idle_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._leaving is not None:
            self._leaving.stop()
            self._leaving = None
        self.resume_writing()
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                exchange.lose()
        self._waiting.clear()
        self._parser = self._newest = self._current = None  # they and we hold one another
        self._connections.discard(self)

    def shutdown(self) -> None:
        """Take no more requests: close, after the answers that are under way."""
        if self._newest is None or self._newest.is_complete:
            self.transport.close()
        else:
            self._newest.keeps = False

    def eof_received(self) -> bool:
        """Keep the way back open for the answers that are owed: the other end sends no more (RFC 9112 section 9.6)."""
        newest = self._newest
        if newest is None or newest.is_complete or self._in_body or self._lingering:
            return False
        newest.keeps = False
        self._watch_leaving()
        return True

    def _watch_leaving(self) -> None:
        if self._leaving is None:
            self._leaving = LeavingWatch(self.loop, self.transport, self._probe)
        self._leaving.start()

    def _probe(self) -> None:
        if self._current is not None:
            self._current.probe()

    def on_answered(self, keeps: bool) -> None:
        """An answer is complete: the next request's turn, where there is one."""
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        if not keeps:
            if self._in_body or self._is_paused or self._is_cut:
                self._linger()
            else:
                self.transport.close()
            return
        if self._waiting:
            self._current = self._to_start = self._waiting.pop(0)
            self._start()
        if not self._waiting:  # else there is enough to do
            if self._leaving is not None:
                self._leaving.stop()
            if self._is_paused:
                self.resume_reading()

    def _start(self) -> None:
        """Let the application answer the request whose turn it is."""
        cycle, self._to_start = self._to_start, None
        if cycle is None:
            return
        if self._has_room:
            self._connections.start(cycle, self._app)
            return
        cycle.keeps = False
        status, headers, body = self._app.encode_error(self._connections.no_room())
        cycle.respond(status, body, [(name.encode(), value.encode()) for name, value in headers.items()])

    def hand_over(self, cycle: RequestResponseCycle, handle: Handle) -> None:
        """Let *handle* answer what the application has launched."""
        self._connections.run(cycle, self._app, handle)

    def look(self, now: float) -> None:
        """Close the connection where it has not been used for too long; called by the sweep."""
        if now < self._idle_since + KEEP_ALIVE_S or self._timer is not None:
            return
        if self._newest is not None and not self._newest.is_complete:
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the other end does not read: closing would wait for it
        else:
            self.transport.close()

    # ---- what comes

    def data_received(self, data: bytes) -> None:
        newest = self._newest
        if self._lingering or (newest is not None and not newest.keeps and self._is_past_last()):
            return
        is_first = not (self._bytes or self._in_body or self._partial_head) and (newest is None or newest.is_complete)
        if not is_first or (known := self._connections.heads.read(data)) is None:
            self._parse(data, is_first=is_first)
            return
        # A whole request is here, of which the parser knows all but the body. Without names, which would take longer: it keeps
        # the connection, and expects no 100 Continue.
        head, length, body = known
        cycle = RequestResponseCycle(
            self,
            head.method,
            head.path,
            head.raw_path,
            head.query,
            "1.1",
            None,  # they are made when they are looked for
            True,
            False,
            new_request_id(),
            monotonic(),
            [body] if body else [],
            False,
            head,
            length,
        )
        self._newest = self._current = cycle
        if self._has_room:
            self._connections.start(cycle, self._app)
        else:
            self._to_start = cycle
            self._start()

    def _parse(self, data: bytes, *, is_first: bool) -> None:
        """Read what comes. *is_first*: it begins a request, and nothing of that came before."""
        self._whole = False
        self._bytes += len(data)
        self._trailer += len(data)
        if not self._in_body:
            came, data = data, self._heads.read(data)
            is_first = is_first and came is data
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._start()
            if self._is_past_last():
                return
            cause = error.__context__
            if isinstance(cause, RefusedError):
                self._refuse(cause.status)
                return
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, _EXPECTED):
                log_bug(None, cause or error)
            is_method = isinstance(error, httptools.HttpParserInvalidMethodError)
            self._refuse(400 if self._in_body else status_of(data, is_method=is_method))
            return
        # As a rule all of the request is here: the application need not wait for its body.
        self._start()
        if self._lingering or self.transport.is_closing():
            return
        if self._whole and not (self._partial_head or self._in_body):
            self._bytes = 0
            if is_first and self._learnt < LEARNT:
                self._learn(data)
        elif not self._in_body:
            self._heads.break_off(data)
            self._await_head()
        elif self._trailer > MAX_HEAD:
            self._refuse(431)
        else:
            self._await_body()

    def _learn(self, data: bytes) -> None:
        """Remember the head of the one request that was in *data*."""
        newest = self._newest
        if newest is not None and newest.keeps and newest.http_version == "1.1" and self._target.startswith(b"/"):
            self._learnt += 1
            self._connections.heads.learn(data, newest.method, newest.path, newest.raw_path, newest.query, newest.headers)

    def _is_past_last(self) -> bool:
        """Whether what comes now follows a request after which the connection ends: it belongs to none, and is no reason to cut
        that request's answer."""
        newest = self._newest
        return newest is not None and not newest.keeps and not self._in_body

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        newest = self._newest
        if newest is not None:
            if len(self._waiting) >= PIPELINED:
                newest.keeps = False
                self._is_cut = True
            if not newest.keeps and self._is_past_last():
                raise RefusedError
        self._target = b""
        self._headers = []
        self._expects = False
        self._hosts = 0
        self._partial_head = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > MAX_TARGET:
            raise RefusedError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # trailers are of no use to us, and must not change what the head said
        name = name.lower()
        if name in FORMAL:
            if name == b"host":
                self._hosts += 1
            elif name == b"expect":
                self._expects = value.lower() == b"100-continue"
            elif value.lower() != b"chunked":
                raise RefusedError(501)
        self._headers.append((name, value))
        if len(self._headers) > MAX_HEADERS:
            raise RefusedError(431)

    def on_headers_complete(self) -> None:
        self._partial_head = False
        target, headers, parser = self._target, self._headers, self._parser
        # What came with the end of the head may be a body; only a read that is too large for a head is looked at closely.
        if self._bytes > MAX_HEAD and len(target) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
            raise RefusedError(431)
        if parser.should_upgrade():
            # A tunnel; or behind another request in one read: the parser would lose its body, and take that for the next one.
            raise RefusedError
        # A long target is not worth remembering.
        path, raw_path, query, host = read_target(target)
        version, method = parser.get_http_version(), parser.get_method().decode("ascii")
        check_form(version, method, path, headers, self._hosts)
        if host is not None:  # RFC 9112 section 3.2.2: it takes the place of the header
            headers = [*(each for each in headers if each[0] != b"host"), (b"host", host)]
        self._in_body = True
        self._bytes = self._trailer = 0
        self._body_from = self.loop.time()
        if self._timer is not None:
            self._stop_timer()
        before = self._newest
        keeps = version != "1.0" and parser.should_keep_alive()
        self._newest = cycle = RequestResponseCycle(
            self,
            method,
            path,
            raw_path,
            query,
            version,
            headers,
            keeps,
            self._expects and version == "1.1",
            new_request_id(),
            monotonic(),
        )
        if before is None or before.is_complete:
            self._current = self._to_start = cycle
        else:
            self.pause_reading()
            self._waiting.append(cycle)
            self._watch_leaving()

    def on_body(self, body: bytes) -> None:
        self._trailer = 0
        if self._newest is not None:
            self._newest.feed(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._whole = True
        self._bytes = 0
        if self._timer is not None:
            self._stop_timer()
        if self._newest is not None:
            self._newest.end_of_body()
        if self._is_paused and not self._waiting:
            self.resume_reading()  # what waits is complete; and who is not read from is not seen to leave


def _address(name: Any) -> tuple[str, int] | None:
    """A socket's address, as ASGI has it; that of a Unix socket is no such thing."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
