"""One request over HTTP/1.1 and the response to it (RFC 9112): an `Exchange` on the server's own protocol.

Knows no parser and no route: `protocol` brings what came over the connection. The head of a streamed response waits for the
first of its body, and goes out with it in one segment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from .exchange import (
    JSON,
    Application,
    ClientLeftError,
    DisconnectListener,
    Handle,
    Headers,
    by_name,
    internal_error,
    log_bug,
)
from .head_lines import STATUS_LINES, date_line

if TYPE_CHECKING:
    from .known_heads import KnownHead

#: Bytes of a body that may wait for the application to read them.
HIGH_WATER: Final = 64 * 1024

#: Bytes of a piece of a body below which it is put to the one before: an object of its own takes forty more.
_PIECE: Final = 512

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Statuses whose responses never have a body (RFC 9110 section 6.4.1).
_BODILESS: Final = frozenset({204, 304})

#: Headers that are not always an application's to send, or that say how its response ends.
_OURS: Final = frozenset({b"date", b"content-length", b"connection"})

_LF: Final = 0x0A
_CR: Final = 0x0D

#: The length of a body that is not known beforehand.
_UNKNOWN: Final = -1


class CycleConnection(Protocol):
    """What a cycle needs of its connection. ``clear``: there while the other end does not read; done when it does again."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def clear(self) -> asyncio.Future[None] | None: ...
    @property
    def server(self) -> tuple[str, int | None] | None: ...
    @property
    def client(self) -> tuple[str, int] | None: ...

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def on_answered(self, keeps: bool) -> None: ...
    def hand_over(self, cycle: RequestResponseCycle, handle: Handle) -> None: ...


class RequestResponseCycle(msgspec.Struct, eq=False):
    """``is_complete``: all of the response was sent. ``keeps``: whether the connection is kept after it. ``task``: of the
    application, once it runs. ``_expects``: whether the caller waits for 100 Continue (RFC 9110 section 10.1.1). ``_body``:
    what has come of the request's, and was not read; ``_more``: whether more may come.

    A `Struct`, as each request makes one: its many members take a third of the time that a method with assignments does."""

    connection: CycleConnection
    method: str
    path: str
    raw_path: bytes
    query: bytes
    http_version: str
    _headers: Headers | None
    keeps: bool
    _expects: bool
    request_id: str
    began: float
    _body: list[bytes | bytearray] = []
    _more: bool = True
    known: KnownHead | None = None
    _length: bytes = b""  # of the body, where the head is known
    status: int = 0
    route: str = ""
    meter: Any = None
    key: str = ""
    caller: Any = None
    read_by: float = inf
    listener: DisconnectListener | None = None
    filler: bytes = b""
    extra: Headers = ()  # type: ignore[assignment]  # one for all, until there are some
    lines: bytes = b""
    is_complete: bool = False
    task: asyncio.Task[None] | None = None
    _is_begun: bool = False  # something of the response was sent
    _head: dict[bytes, bytes] | None = None
    _gone: bool = False
    _waiter: asyncio.Future[None] | None = None
    _held: int = 0
    _head_bytes: bytes = b""  # of the response, while it waits for the first of its body
    _has_body: bool = False
    _is_chunked: bool = False
    _left: int = _UNKNOWN  # bytes of the response's body

    @property
    def is_written(self) -> bool:
        """Return whether something of the response was sent, so that no other can take its place."""
        return self._is_begun or self.is_complete

    async def run(self, handle: Handle, application: Application, tasks: set[asyncio.Task[None]]) -> None:
        """Let the *application*'s *handle* answer. A bug, or a response without an end, costs this connection alone."""
        try:
            await handle(self)
        except ClientLeftError:
            self.connection.transport.abort()
        except Exception as error:
            self._give_up(error, application)
        else:
            if not (self.is_complete or self._gone):
                self._give_up(RuntimeError("a response without an end"), application)
        finally:
            if not (self.is_complete or self._gone):
                self.connection.transport.close()
            tasks.discard(self.task)
            self.listener = None

    def _give_up(self, error: Exception, application: Application) -> None:
        """Log the bug, and report it to the caller where that is still possible; what was begun without being sent is
        dropped."""
        log_bug(self.request_id, error)
        if not (self.is_written or self._gone):
            self.keeps = self._is_chunked = False
            self._head_bytes = b""
            self._left = _UNKNOWN
            status, headers, body = application.encode_error(internal_error())
            self.respond(status, body, [(name.encode(), value.encode()) for name, value in headers.items()])

    # ---- what comes over the connection

    def feed(self, body: bytes) -> None:
        """More of the request's body has come."""
        if self.is_complete:
            return  # it will not be read
        parts = self._body
        if parts and len(body) < _PIECE:
            last = parts[-1]
            if type(last) is not bytearray:
                parts[-1] = last = bytearray(last)
            last += body
        else:
            parts.append(body)
        self._held += len(body)
        if self._held > HIGH_WATER:
            self.connection.pause_reading()
        if self._waiter is not None:
            self._wake()

    def end_of_body(self) -> None:
        """The request's body has come completely."""
        self._more = False
        if self._waiter is not None:
            self._wake()

    def probe(self) -> None:
        """Send what does not change the response, to learn whether the caller is still there: an interim response (RFC 9110
        section 15.2), or in the midst of a stream its filler."""
        if self.is_complete or self._gone:
            return
        if not self.is_written:
            if self.http_version == "1.1":
                self.connection.transport.write(_CONTINUE)
        elif self.filler and self.connection.clear is None:
            self.write(self.filler)

    def lose(self) -> None:
        """The connection is lost."""
        self._gone = not self.is_complete
        self._wake()
        if self.listener is not None:
            self.listener.on_left()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- the application's side: the request

    @property
    def headers(self) -> Headers:
        """See `Exchange.headers`."""
        if self._headers is None:
            known = self.known
            assert known is not None
            self._headers = known.headers.copy()
            self._headers[known.length_at] = (b"content-length", self._length)
        return self._headers

    @property
    def head(self) -> Mapping[bytes, bytes]:
        """See `Exchange.head`."""
        if self._head is None:
            self._head = by_name(self.headers)
        return self._head

    @property
    def server(self) -> tuple[str, int | None] | None:
        """See `Exchange.server`."""
        return self.connection.server

    def take_body(self) -> bytes | None:
        """See `Exchange.take_body`."""
        if self._more or self._gone or len(self._body) > 1:
            return None
        if self._held:
            self._held = 0
        body = self._body.pop() if self._body else b""
        return body if type(body) is bytes else bytes(body)

    def peek_body(self) -> bytes | None:
        """See `Exchange.peek_body`."""
        if self._more or self._gone or len(self._body) != 1:
            return None
        body = self._body[0]
        return body if type(body) is bytes else bytes(body)

    def hand_over(self, handle: Handle) -> None:
        """See `Exchange.hand_over`."""
        self.connection.hand_over(self, handle)

    async def next_body(self) -> tuple[bytes, bool]:
        """See `Exchange.next_body`."""
        if self._expects and self._more and not self._body and not (self.is_written or self._gone):
            self._expects = False
            self.connection.transport.write(_CONTINUE)
        while self._more and not self._body and not self._gone:
            self.connection.resume_reading()
            self._waiter = waiter = self.connection.loop.create_future()
            await waiter
        if self._gone:
            raise ClientLeftError
        parts = self._body
        body = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._held = 0
        return body, self._more

    @property
    def is_gone(self) -> bool:
        """Whether the connection was lost before the response was complete."""
        return self._gone

    async def left(self) -> None:
        """Wait until the connection is lost, or the response is complete."""
        while not (self._gone or self.is_complete):
            self._waiter = waiter = self.connection.loop.create_future()
            await waiter

    def watch(self, listener: DisconnectListener) -> None:
        """See `Exchange.watch`."""
        self.listener = listener
        if self._gone:
            listener.on_left()

    def unwatch(self) -> None:
        """See `Exchange.unwatch`."""
        self.listener = None

    # ---- the application's side: the response

    def respond(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (), kind: bytes = JSON) -> bool:
        """See `Exchange.respond`."""
        if status == 200 and not headers and (usual := self._usual_response(body, kind)):
            self.status = 200
            if self._gone:
                return True
            connection = self.connection
            connection.transport.write(usual)
            self.is_complete = True
            if self._waiter is not None:
                self._wake()
            connection.on_answered(True)
            return connection.clear is None
        lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"x-request-id", self.request_id.encode())]
        lines += headers
        self.start(status, lines)
        self.end(body)
        return self.connection.clear is None

    def _usual_response(self, body: bytes, kind: bytes) -> bytes:
        """Return the response with a document on a connection that is kept, at once; b"" where it may have another head than
        that."""
        if not self.keeps or self.http_version != "1.1" or self.method == "HEAD" or self._head_bytes or self._is_begun:
            return b""
        if self.is_complete:
            return b""
        more = self.lines
        if self.extra:
            for name, value in self.extra:
                if name in _OURS or _LF in value or _CR in value:
                    return b""
                more += b"%b: %b\r\n" % (name, value)
        # To join pieces takes less time than to format them.
        return b"".join(
            (
                b"HTTP/1.1 200 OK\r\n",
                date_line(int(time())),
                b"content-type: ",
                kind,
                b"\r\ncontent-length: ",
                str(len(body)).encode(),
                b"\r\nx-request-id: ",
                self.request_id.encode(),
                b"\r\n",
                more,
                b"\r\n",
                body,
            )
        )

    def start(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """See `Exchange.start`. Raises `RuntimeError` where a response was begun before."""
        if self._head_bytes or self.is_written:
            raise RuntimeError("a second head")
        status_line = STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status  # an upstream's own has no phrase
        pieces = [status_line, date_line(int(time())), lines, self.lines]
        closes = False
        for name, value in (*headers, *self.extra):
            if name in _OURS:
                if name == b"date" or (name == b"content-length" and status == 204):
                    continue  # RFC 9110 section 8.6: no length where no body can be
                if name == b"content-length":
                    self._left = int(value)
                elif value.lower() == b"close":
                    closes = True
            if _LF in value or _CR in value or _LF in name or _CR in name:
                raise RuntimeError("a header of more than one line")
            pieces += (name, b": ", value, b"\r\n")
        self._has_body = self.method != "HEAD" and status not in _BODILESS
        if self._has_body and self._left == _UNKNOWN:
            if self.http_version == "1.1":
                self._is_chunked = True
                pieces.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keeps = False  # the body's end is the connection's
        if closes:
            self.keeps = False
        elif not self.keeps:
            pieces.append(b"connection: close\r\n")
        pieces.append(b"\r\n")
        self.status = status
        self._head_bytes = b"".join(pieces)

    def write(self, data: bytes) -> bool:
        """See `Exchange.write`. Nothing is sent to a caller who has left."""
        if self._gone:
            return False
        if self._is_chunked and self._is_begun and data and not self.is_complete:  # as usual
            connection = self.connection
            connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            return connection.clear is None
        if self.is_complete or not (self._head_bytes or self.is_written):
            raise RuntimeError("a body without a head before it, or after its end")
        connection = self.connection
        if self._is_chunked:
            sent = b"%b%x\r\n%b\r\n" % (self._head_bytes, len(data), data) if data else self._head_bytes
        elif self._has_body:
            self._account(len(data), last=False)
            sent = self._head_bytes + data
        else:
            sent = self._head_bytes
        if sent:
            self._head_bytes = b""
            self._is_begun = True
            connection.transport.write(sent)
        return connection.clear is None

    def end(self, data: bytes = b"") -> bool:
        """See `Exchange.end`."""
        if self._gone:
            return True
        if self.is_complete or not (self._head_bytes or self.is_written):
            raise RuntimeError("a body without a head before it, or after its end")
        sent = self._head_bytes
        if self._is_chunked:
            size, end = (b"%x\r\n" % len(data), b"\r\n0\r\n\r\n") if data else (b"", b"0\r\n\r\n")
            sent = b"".join((sent, size, data, end))
        elif self._has_body:
            self._account(len(data), last=True)
            sent += data
        if sent:
            self._head_bytes = b""
            self._is_begun = True
            self.connection.transport.write(sent)
        self.is_complete = True
        if self._waiter is not None:
            self._wake()
        self.connection.on_answered(self.keeps)
        return True

    async def drain(self) -> None:
        """See `Exchange.drain`."""
        if (clear := self.connection.clear) is None or self._gone:
            return
        try:
            async with asyncio.timeout(None if self.read_by == inf else self.read_by - monotonic()):
                await asyncio.shield(clear)
        except TimeoutError:
            self._gone = not self.is_complete
            self.listener = None  # the task that waits here gets the error
            self.connection.transport.abort()  # closing would wait for the caller to read
            raise ClientLeftError from None

    def _account(self, size: int, *, last: bool) -> None:
        if self._left != _UNKNOWN:
            self._left -= size
            if self._left < 0 or (self._left and last):
                raise RuntimeError("a body of another length than its head says")
