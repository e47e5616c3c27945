"""One HTTP/1.1 connection of a client, on httptools, and the response that it carries (RFC 9112).

A request is sent with `send`; then the connection is that request's `Response` until `release`, or until it is closed. Its
head is read by `response_head`, its clocks are those of `response_clocks`. Strict in what it takes: whatever two readers could
understand in two ways ends the connection. Knows no pool.
"""

from __future__ import annotations

import asyncio
import select
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import httptools

from ..errors import HTTPError
from ..timeouts import Clocks
from .failures import closed_before_answer, cut, not_http, request_failed
from .fairness import FairDispatcher
from .read_size import bound_reads
from .request_head import ONE_PIECE, Origin
from .response_clocks import TimedResponse
from .strict_heads import MAX_HEAD
from .sweep import Sweep
from .urls import without_credentials

#: Bytes that a reader may be behind before the server is made to wait.
_HELD: Final = 256 * 1024

#: The first status of those that bring no answer.
_REFUSED: Final = 300

#: Seconds that the rest of a body may take to arrive after the answer has ended, so that its connection can be used again.
_DRAIN_S: Final = 0.05


class ClientConnection(TimedResponse):
    """``on_idle`` is called when the connection can carry another request, ``on_lost`` when it is gone. Between two requests,
    ``deadline`` is when it is closed."""

    __slots__ = (
        "_ends",
        "_error",
        "_fault",
        "_held",
        "_is_busy",
        "_is_paused",
        "_known_parser",
        "_on_idle",
        "_on_lost",
        "_on_news",
        "_poll",
        "_take",
        "_transport",
        "_unpacked",
        "_waiter",
        "dispatcher",
        "is_due",
        "on_body",
        "origin",
        "parts",
    )

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        dispatcher: FairDispatcher,
        sweep: Sweep,
        on_idle: Callable[[ClientConnection], None],
        on_lost: Callable[[ClientConnection], None],
    ) -> None:
        self.origin = origin
        #: What of the body has come and was not taken. The parser appends to it by itself.
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        super().__init__(loop, sweep)  # makes the parser, which looks for `on_body`
        self.dispatcher = dispatcher
        self.is_due = False  # to be delivered in a later turn of the loop
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._poll: Any = None
        self._known_parser: Any = None
        self._is_busy = False  # from a request to the release of its response
        self._ends = False  # the request asks for the connection's end
        self._unpacked = 0  # of `parts`, from the first
        self._is_paused = False
        self._held = 0  # bytes in `parts`, or a few more
        self._waiter: asyncio.Future[None] | None = None
        self._on_news: Callable[[], None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._fault: BaseException | None = None  # raised by what takes the body
        self._error: Exception | None = None

    # ---- for the pool

    def send(
        self,
        head: bytes,
        body: bytes,
        ends: bool,
        clocks: Clocks,
        streaming: bool,
        total_at: float,
        now: float,
        on_news: Callable[[], None] | None = None,
    ) -> None:
        """Send a request. ``ends``: it asks for the connection's end. ``streaming``: the first-token timeout runs from *now*
        on, then the idle timeout; otherwise the total timeout alone, to the loop's time *total_at*. ``on_news``: called once,
        in place of the end of `head`: when the first of the body has come, the response is complete, or an error is there."""
        self._on_news = on_news
        self._wants_head = False
        self.status = self._silent = self._held = 0
        if self._known:
            self._feed = self._parser.feed_data
        self._decoder = self._error = self._fault = self._take = self._oddity = None
        self._begun = b""
        self._fields = []  # trailers, of the response before
        self._is_busy = True
        self._is_complete = self._progressed = self._ends_quietly = False
        self._is_alive = self._is_overdue = False
        self._ends = ends
        self._clocks = clocks
        self._winds = streaming
        self._total_at = total_at
        self._sent_at = now
        first_token_at = now + clocks.first_token
        if streaming and first_token_at < total_at:
            self._clock, self.deadline = "first_token", first_token_at
        else:
            self._clock, self.deadline = "total", total_at
        if self.deadline < self._sweep.due:
            self._sweep.by(self.deadline)
        if len(body) <= ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    @property
    def is_complete(self) -> bool:
        """Whether the body has come to its end."""
        return self._is_complete

    @property
    def is_unheard(self) -> bool:
        """Whether nothing has come since the last request."""
        return not self._silent and not self._held

    @property
    def is_lost(self) -> bool:
        """Whether its socket is closed."""
        return self._parser is None

    def is_quiet(self) -> bool:
        """Return whether it is open, and the server has neither sent anything unasked nor closed it."""
        return not self._transport.is_closing() and (self._poll is None or not self._poll.poll(0))

    # ---- for the reader of the response: see `transport.Response`

    async def head(self, *, alone: bool = True) -> None:
        """Wait for the response's head, or, unless *alone*, for the first of its body as well: one wait instead of two. Of a
        refusal the head is enough: its words may not come.

        Raises `HttpParserError`, `OSError`, `TimeoutError` before the head.
        """
        self._wants_head = alone
        self._on_news = None
        while not (self.parts or self._is_complete or self._error is not None):
            if self.status and (alone or self.status >= _REFUSED):
                break
            await self._news()
        if not self.status and self._error is not None:
            raise self._error

    async def is_answered(self, url: str, *, alone: bool, reused: bool) -> bool:
        """Wait for the response's head, and unless *alone* for the first of its body. False: the connection was used before,
        and is stale, so that the request is to be sent over a new one. Raises `HTTPError`, which names *url*."""
        try:
            await self.head(alone=alone)
        except (OSError, httptools.HttpParserError) as error:
            if isinstance(error, HTTPError):
                raise  # a timeout passed
            if reused and self.is_unheard and isinstance(error, ConnectionError):
                return False
            raise _translate(error, without_credentials(url)) from error
        except BaseException:
            self.abort()
            raise
        return True

    def peek(self) -> bytes:
        """See `Response.peek`."""
        parts = self.parts
        if len(parts) > 1:
            parts[:] = [b"".join(parts)]
            self._unpacked = min(self._unpacked, 1)
        return parts[0] if parts else b""

    def whole(self) -> bytes | None:
        """See `Response.whole`."""
        parts = self.parts
        if not self._is_complete:
            return None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def read_some(self) -> bytes:
        """See `Response.read_some`."""
        while not self.parts:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                return b""
            if not (self._is_overdue and self._end_overdue()):
                await self._news()
        return self._taken()

    async def pipe_to(self, take: Callable[[bytes], bool]) -> bool:
        """See `Response.pipe_to`."""
        if self._is_complete or self._error is not None or (self.parts and not take(self._taken())):
            return True
        self._take = take
        try:
            await self._news()
        finally:
            self._take = None
        if (fault := self._fault) is not None:
            self._fault = None
            raise fault
        return True

    def release(self) -> bool:
        """See `Response.release`."""
        if not self._is_complete:
            return False
        if self._is_busy:
            self._is_busy = self._progressed = False
            self.parts.clear()
            if (
                self._keeps
                and not self._ends
                and not self._transport.is_closing()
                and not self._transport.get_write_buffer_size()
            ):
                if self._is_paused:
                    self._resume_reading()
                self._on_idle(self)
            else:
                self._transport.abort()
        return True

    async def drain(self) -> None:
        """See `Response.drain`."""
        if not self._is_complete and self._error is None:
            self._end_within(_DRAIN_S)
            with suppress(HTTPError):
                while await self.read_some():
                    pass
        await self.aclose()

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        if not self.release():
            self.abort()

    def abort(self) -> None:
        """Close at once, whatever the connection is doing."""
        self._break(ConnectionError("the connection was closed"))

    def _news(self) -> asyncio.Future[None]:
        """Return a future that is done as soon as something has come."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        if (on_news := self._on_news) is not None:
            self._on_news = None
            on_news()
            return
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _taken(self) -> bytes:
        """Return what has come of the body and was not taken; the server may send on."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._held = self._unpacked = 0
        if self._is_paused:
            self._resume_reading()
        return data

    def _resume_reading(self) -> None:
        self._is_paused = False
        self._transport.resume_reading()

    # ---- its deadline

    def look(self, now: float) -> None:
        """Act on a deadline that has passed; called by the sweep."""
        if self._progressed or self._is_alive:
            self._wind(now)
        if now < self.deadline:
            return
        if not self._is_busy:
            self.abort()
        elif now >= self._total_at or ((self._waiter or self._on_news) is not None and not self.parts):
            self._expire(now)
        else:
            self._is_overdue = True  # its reader has not taken yet what came

    def rest(self, seconds: float) -> None:
        """Between two requests: close the connection unless it is used within *seconds*."""
        self.deadline = self._total_at = self._loop.time() + seconds
        if self.deadline < self._sweep.due:
            self._sweep.by(self.deadline)

    def _expire(self, now: float) -> None:
        if self._is_complete:
            self.release()
        elif self._ends_quietly:
            self._is_complete = True
            self._keeps = False
            self._transport.abort()
            self._wake()
        else:
            self._break(self._timeout_error(now))

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        bound_reads(transport)
        if not self.origin.tls and hasattr(select, "poll"):  # inside TLS, bytes are no sign of an answer
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._sweep.add(self)

    def data_received(self, data: bytes) -> None:
        # An event that is handed on at once, as it came, passes no other function here, and several that come at once only one.
        take = self._take
        if take is None or self.is_due or self._decoder is not None:
            take = None
            if not self._is_busy:
                self.abort()  # no request was sent
                return
            self._silent += len(data)
            if not self.status:
                self._begin(data)
        broken: BaseException | None = None
        try:
            if self._oddity is None:
                self._feed(data)
            else:
                broken = self._parse_strictly()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            broken = self._on_refused(error)
        if self._is_complete and self._decoder is None:
            self._finish()
            return
        parts, dispatcher = self.parts, self.dispatcher
        if take is None or not parts or dispatcher.room <= 1 or broken is not None:
            if take is not None:
                self._silent += len(data)
            self._note(broken)
            return
        dispatcher.room -= 1
        self._silent = 0
        try:
            if take(parts.pop() if len(parts) == 1 else self._taken()):
                if self._is_overdue:
                    self._end_overdue()
                return
        except BaseException as error:  # it is the reader's
            self._fault = error
        self._take = None
        self._wake()

    def _note(self, broken: BaseException | None) -> None:
        """Note what the parser has read: more of the head or of the body, the end, or that it is *broken*."""
        if self._decoder is not None and not self._unpack():
            return
        if self._is_complete:
            self._finish()
        elif broken is not None:
            self._break(broken)
        elif self.parts:
            self._held += self._silent
            self._silent = 0
            if self._take is not None and not self.is_due:
                self.dispatcher.add(self)
                return
            if self._held > _HELD and not self._is_paused:  # it is kept until it is read or delivered
                self._is_paused = True
                self._transport.pause_reading()
            if self._take is None:
                self._wake()
        elif self._silent > MAX_HEAD:
            self._break(httptools.HttpParserError(f"more than {MAX_HEAD} bytes that belong to no body"))
        elif self.status >= _REFUSED:
            self._wake()  # who waits for a body, which the head refuses

    def _begin(self, data: bytes) -> None:
        """The response begins, or its head continues. One that begins with the head of the response before is read by a parser
        that brings no headers."""
        if not self._known or self._begun or self._wants_head or not data.startswith(self._known):
            self._begun = self._begun + data if self._begun else data
            return
        self.status = self._known_status
        if self._known_parser is None:
            self._known_parser = httptools.HttpResponseParser(_KnownHeadCallbacks(self))
            self._known_parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self._feed = self._known_parser.feed_data

    def on_known_complete(self) -> None:
        """The response whose head was known is complete."""
        self._is_complete = True
        self._keeps = self._known_parser.should_keep_alive()

    def deliver(self) -> None:
        """Hand on what has come of the body; called by the dispatcher."""
        take, parts = self._take, self.parts
        if take is None or not parts:
            return  # the response has ended, or was read meanwhile
        try:
            if take(self._taken()):
                if self._is_overdue:
                    self._end_overdue()
                return
        except BaseException as error:  # as above
            self._fault = error
        self._take = None
        self._wake()

    def _unpack(self) -> bool:
        """Decompress what has just come; False where that fails, which ends the response."""
        assert self._decoder is not None
        packed = b"".join(self.parts[self._unpacked :])
        del self.parts[self._unpacked :]
        if packed:  # otherwise a head or trailers came, which count as what they are
            self._silent = 0
        try:
            if data := self._decoder.decode(packed):
                self.parts.append(data)
                self._held += len(data)
            self._unpacked = len(self.parts)
            if self._is_complete:
                self._decoder.finish()
        except zlib.error as error:
            self._is_complete = False
            self._break(error)
            return False
        return True

    def eof_received(self) -> None:
        if not self._is_busy or self._is_complete:
            return
        framed = self.status and ("content-length" in self.headers or "transfer-encoding" in self.headers)
        if self.status and not framed:
            self._is_complete = True
            self._keeps = False
            if self._decoder is None or self._unpack():
                self._finish()
        else:
            self._break(ConnectionError("the server closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        self._sweep.discard(self)
        if self._is_busy and not self._is_complete:
            self._break(error or ConnectionError("the connection was closed"))
        self._on_lost(self)
        self._parser = self._known_parser = self._feed = None  # they and their callbacks hold one another

    # ---- the parser's side

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise httptools.HttpParserError("a response to no request")
        self._is_interim = False

    def on_message_complete(self) -> None:
        if not self._is_interim:
            self._is_complete = True
            self._keeps = self._parser.should_keep_alive()

    # ---- ends

    def _finish(self) -> None:
        """The body has ended: its reader releases the connection, which notices meanwhile when the server closes it."""
        if not self._keeps or self._ends:
            self._transport.abort()
        elif self._is_paused:
            self._resume_reading()
        self._take = None
        self._wake()

    def _break(self, error: BaseException | None) -> None:
        """The response will not become complete. What has come of it is read before the error is raised."""
        if self._is_busy and not self._is_complete and self._error is None:
            broken = error if isinstance(error, Exception) else ConnectionError("the connection broke")
            if self.status and not isinstance(broken, HTTPError):
                incomplete = cut(broken)
                incomplete.__cause__ = broken
                broken = incomplete
            self._error = broken
            self._take = None
            self._wake()
        self._transport.abort()


def _translate(error: Exception, where: str) -> HTTPError:
    """What went wrong before the response's head came."""
    if isinstance(error, ConnectionError):
        return closed_before_answer(where)
    if isinstance(error, httptools.HttpParserError):
        return not_http(where, str(error))
    return request_failed(where, error)


class _KnownHeadCallbacks:
    """What a parser calls that reads a response whose head is known."""

    __slots__ = ("on_body", "on_message_begin", "on_message_complete")

    def __init__(self, connection: ClientConnection) -> None:
        self.on_body = connection.on_body
        self.on_message_begin = connection.on_message_begin
        self.on_message_complete = connection.on_known_complete
