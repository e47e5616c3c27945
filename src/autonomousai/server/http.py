"""HTTP/1.1 on uvicorn's httptools protocol, bounded: how long a head may be, how slowly it may come, how a bad one is refused.

Plain uvicorn takes a head of any size at any speed, and answers what it cannot read in plain text. Knows no route.

Names of uvicorn that are relied on, beside the public `uvicorn.Config` (a test fails when one disappears):
`HttpToolsProtocol` with ``__init__(config, server_state, app_state, _loop)``, the attributes ``transport``, ``loop``, ``flow``
(``read_paused``), ``parser``, ``cycle`` (``response_started``, ``response_complete``, ``keep_alive``), ``url``, ``headers``,
``connections``, ``timeout_keep_alive``, ``timeout_keep_alive_task``, ``timeout_keep_alive_handler``, ``shutdown`` and
``send_400_response``, which it calls for whatever the parser or one of the parser's callbacks raises; and
`uvicorn.server.ServerState` with ``connections`` and ``tasks``.
"""

from __future__ import annotations

import asyncio
import re
import socket
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ..errors import StatusError
from ..wire.fault_writer import write_error
from .asgi import LEAVING, ASGIApp, Leaving, new_request_id

#: Seconds that an idle connection is kept: longer than usual clients and proxies do, so that it is they who let go.
KEEP_ALIVE_S: Final = 75

BACKLOG: Final = 2048

#: Bytes of a request's line and headers.
MAX_HEAD: Final = 64 * 1024

#: Seconds from a head's first byte to its last.
HEAD_S: Final = 10.0

#: Seconds for the next piece of a body, while somebody wants to read it.
BODY_IDLE_S: Final = 60.0

#: Seconds that a refused sender is listened to, without heed: closing at once would take the answer away from under its eyes.
LINGER_S: Final = 1.0

#: Bytes of a refused request's body that are read and forgotten before the connection is closed.
MAX_UNWANTED: Final = 64 * 1024 * 1024


async def listen(app: ASGIApp, listener: socket.socket, connections: Connections) -> asyncio.Server:
    """Serve *app* on a bound socket. Raises `OSError` when that cannot be. Whoever calls it minds lifespan and signals."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: BoundedProtocol(config, connections, loop), sock=listener, backlog=BACKLOG)


class _RefusedError(Exception):
    """Raised inside a parser callback: the parser stops, and `send_400_response` says why."""


class Connections(ServerState):
    """All connections of a server, and their tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.none_left = asyncio.Event()
        self.none_left.set()


class HeadFirst(asyncio.Transport):
    """A transport that holds a response's head back for what follows in the same turn of the loop: both become one segment.

    uvicorn writes them apart, and each write is a system call and a packet. A body that looks like a head is not harmed.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:9] == b"HTTP/1.1 ":
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


_UPGRADE = re.compile(rb"(\r?\n)upgrade(?=[ \t]*:)", re.IGNORECASE)

#: A line at the end of what has come that may become such a wish.
_UPGRADE_BEGUN = re.compile(rb"\r?\n(?:u(?:p(?:g(?:r(?:a(?:de?)?)?)?)?)?)?\Z", re.IGNORECASE)
_LONGEST_BEGINNING: Final = len(b"\r\nupgrade")


def undecided(data: bytes) -> int:
    """How many bytes at the end of a head's part wait for its next: they may begin a wish for another protocol."""
    begun = _UPGRADE_BEGUN.search(data, max(0, len(data) - _LONGEST_BEGINNING))
    return 0 if begun is None or b"\n\r\n" in data or b"\n\n" in data else len(data) - begun.start()


def without_upgrade(data: bytes) -> bytes:
    """The bytes of a head with its wish for another protocol renamed. We speak no other, and may ignore it; but the parser ends
    a request where it finds one, and its body would be lost (curl --http2 and others send ``Upgrade: h2c``)."""
    if b"pgrade" not in data.lower():
        return data
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(rb"\1x-upgrade", head) + end + rest


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Its one timer runs only while a request has begun to arrive and is not whole yet."""

    def __init__(self, config: uvicorn.Config, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, connections, {}, loop)
        self._none_left = connections.none_left
        self._leaving = Leaving()
        self._refusal: StatusError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._in_body = False
        self._partial_head = False
        self._undecided = b""  # of a head: the end of what has come, see `undecided`
        self._bytes = 0  # of the head that is not whole yet, or of the body that nobody wants
        self._trailer = 0  # bytes since the last of the body: of trailers, chunk sizes, and what else is not the body
        self._whole = False
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = HeadFirst(transport, self.loop)
        self._none_left.clear()
        # uvicorn winds this up after each answer; a connection that never says anything is closed by it as well.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)
        self._leaving.happen()
        if not self.connections:
            self._none_left.set()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self._whole = False
        self._bytes += len(data)
        self._trailer += len(data)
        if not self._in_body:
            if self._undecided:
                data, self._undecided = self._undecided + data, b""
            if count := undecided(data):
                data, self._undecided = data[:-count], data[-count:]
            data = without_upgrade(data)
        super().data_received(data)
        if self._lingering or self.transport.is_closing():
            return
        if self._in_body and self._trailer > MAX_HEAD:
            self._refuse(431)
        elif self._in_body:
            self._await_body()
        elif self._partial_head or not self._whole:
            self._await_head()
        else:
            self._stop_timer()
            self._bytes = 0

    def _await_head(self) -> None:
        """Part of a head is here, or bytes between two requests, which count as one."""
        if self._bytes > MAX_HEAD:
            self._refuse(431)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_S, self._on_late_head)

    def _await_body(self) -> None:
        self._heard = self.loop.time()
        if self.cycle is not None and self.cycle.response_complete and self._bytes > MAX_UNWANTED:
            self.transport.close()
        elif self._timer is None:
            self._timer = self.loop.call_later(BODY_IDLE_S, self._on_late_body)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_late_head(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(408)
        else:
            # The head of a next request, while this one's answer is under way: that answer is finished first.
            self.cycle.keep_alive = False

    def _on_late_body(self) -> None:
        self._timer = None
        if not self._in_body:
            return
        wait = self._heard + BODY_IDLE_S - self.loop.time()
        if self.flow.read_paused:
            wait = BODY_IDLE_S  # it is we who do not read
        if wait > 0:
            self._timer = self.loop.call_later(wait, self._on_late_body)
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            self._refuse(408)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[LEAVING] = self._leaving  # type: ignore[typeddict-unknown-key]
        self._partial_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # trailers are of no use to us, and must not change what the head said
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._trailer = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._partial_head = False
        # What came with the end of the head may be a body; only a read that is too large for a head is looked at closely.
        if (
            self._bytes > MAX_HEAD
            and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD
        ):
            self._refusal = _refusals(431)
            raise _RefusedError
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            # Behind another request in one read: the parser would lose its body, and take that for the next request.
            raise _RefusedError
        self._in_body = True
        self._bytes = self._trailer = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._whole = True
        self._bytes = 0
        self._stop_timer()
        super().on_message_complete()

    # Refusals

    def _refuse(self, status: int) -> None:
        self._refusal = _refusals(status)
        self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Answer in OpenAI's shape what never becomes a request, and close. Called by uvicorn for whatever it cannot parse."""
        self._stop_timer()
        answering = self.cycle is not None and not self.cycle.response_complete
        if not (answering and self.cycle.response_started):  # in the midst of another answer there is no place for this one
            self.transport.write(_raw_answer(self._refusal or _refusals(400)))
        if answering or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self._lingering = True
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)


def _refusals(status: int) -> StatusError:
    problem, code = {
        400: ("the request is not valid HTTP/1.1", "invalid_http"),
        408: ("the request did not come in time; send it at once", "request_timeout"),
        431: (f"the request line and headers are larger than {MAX_HEAD} bytes; send less", "headers_too_large"),
    }[status]
    return StatusError(problem, status=status, type="invalid_request_error", code=code)


def _raw_answer(error: StatusError) -> bytes:
    status, _, body = write_error(error)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-request-id: {new_request_id()}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
