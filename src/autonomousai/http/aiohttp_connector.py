"""aiohttp's connections: heads brought into strict form before its parser reads them, and none used again that has ended.

`aiohttp_transport` sends over them. Both are imported with the first request, as aiohttp costs more than all of this package.
"""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from .read_size import bound_reads
from .request_head import ONE_PIECE
from .strict_heads import MAX_HEAD, TOO_LARGE, is_http, is_odd, match_usual_head, split_head


class AttemptTimer:
    """Ends attempts whose time is over: one timer for all of a loop, set again only when it fires, or would be late.
    ``attempts``: those that have not ended."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.attempts: dict[ConnectionAttempt, None] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0

    def watch(self, attempt: ConnectionAttempt) -> None:
        """End *attempt* when it is due, or earlier than was said before."""
        self.attempts[attempt] = None
        if self._handle is None or attempt.due < self._armed_at:
            if self._handle is not None:
                self._handle.cancel()
            self._armed_at = attempt.due
            self._handle = self.loop.call_at(attempt.due, self._on_timer)

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_timer(self) -> None:
        self._handle = None
        for attempt in [attempt for attempt in self.attempts if attempt.due <= self._armed_at]:
            del self.attempts[attempt]
            attempt.expire()
        if self.attempts:
            self.watch(min(self.attempts, key=lambda attempt: attempt.due))


class ConnectionAttempt:
    """One try of one request, of the task that makes it: its connection, when it was connected, and whether that had been used
    before.

    ``body``: what is sent with the request's head. ``fresh``: it may not have been. ``due``: the loop's time when it ends.
    """

    __slots__ = (
        "_cancelling", "_is_expired", "_task", "_timer", "body", "connected", "deadline", "due", "first_token", "fresh",
        "protocol", "reused",
    )  # fmt: skip

    def __init__(
        self, timer: AttemptTimer, body: bytes | None, deadline: float, first_token: float | None, *, fresh: bool
    ) -> None:
        self.body = body
        self.deadline = self.due = deadline
        self.first_token = first_token
        self.fresh = fresh
        self.connected: float | None = None
        self.protocol: _Protocol | None = None
        self.reused = False
        self._timer = timer
        self._is_expired = False
        task: Any = asyncio.current_task(timer.loop)
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        timer.watch(self)

    def on_connected(self, protocol: _Protocol) -> None:
        self.protocol = protocol
        self.reused = protocol.requests > 1
        self.connected = now = self._timer.loop.time()
        if self.first_token is not None and now + self.first_token < self.deadline:
            self.due = now + self.first_token
            self._timer.watch(self)

    def expire(self) -> None:
        """Cancel the task, which waits; see `finish`."""
        self._is_expired = True
        self._task.cancel()

    def finish(self) -> bool:
        """Return whether the attempt has ended because it was due, and not by another's cancelling of its task. As
        `asyncio.Timeout` does, at its end."""
        self._timer.attempts.pop(self, None)
        return self._is_expired and self._task.uncancel() <= self._cancelling

    @property
    def is_stale(self) -> bool:
        """Whether nothing came over a connection that had been used before."""
        return self.reused and self.protocol is not None and not self.protocol.has_heard


#: The attempt that this task is making, for the connector that finds it a connection.
ATTEMPT: ContextVar[ConnectionAttempt | None] = ContextVar("attempt", default=None)


class _HeadAndBody(NamedTuple):
    """Stands for a connection's transport until the next write, which is a request's head: with it, the body is sent. aiohttp
    would make a task for that, and before Python 3.12 write both a turn of the loop later."""

    protocol: _Protocol
    transport: asyncio.Transport
    body: bytes

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def write(self, head: bytes) -> None:
        self.protocol.transport = self.transport
        if len(self.body) <= ONE_PIECE:
            self.transport.write(head + self.body)
        else:
            self.transport.write(head)
            self.transport.write(self.body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


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
        bound_reads(transport)
        is_tls = transport.get_extra_info("sslcontext") is not None
        if not is_tls and hasattr(select, "poll"):  # inside TLS, bytes are no sign of an end
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def begin(self, body: bytes | None, *, fresh: bool) -> bool:
        """Make ready for a request with this *body*; False where it cannot carry one: it is to be *fresh* and is not, or the
        server has sent something unasked, has not taken the request before completely, or has closed it."""
        if (transport := self.transport) is None:
            return False
        if self.requests:
            unread = self._poll is not None and self._poll.poll(0)
            if fresh or unread or self.should_close or transport.is_closing() or transport.get_write_buffer_size():
                return False
        if body is not None:
            self.transport = cast("asyncio.Transport", _HeadAndBody(self, transport, body))
        self.requests += 1
        self.has_heard = False
        self._begun = b""
        self._awaits_head = True
        return True

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        if not self._awaits_head or not data:
            super().data_received(data)
        elif not self._begun and (end := head.end() if (head := match_usual_head(data, 0, MAX_HEAD)) else _end_of_strict(data)):
            self._awaits_head = False
            length = b"\r\ncontent-length: %d\r\n" % (len(data) - end)
            if end == len(data) or (data.startswith(b"HTTP/1.1 200 ") and length in data[:end].lower()):
                super().data_received(data)  # nothing in the body can be wrong
            else:
                super().data_received(data[:end])
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


def _end_of_strict(data: bytes) -> int:
    """Return where the head ends that *data* begins with; 0 unless it is complete, and in strict form."""
    end = data.find(b"\r\n\r\n") + 4
    return end if 4 < end <= MAX_HEAD and not is_odd(data, 0, end) else 0


class _AnnotatingConnector(aiohttp.BaseConnector):
    """Tells the attempt of its connection, and gives it none that the server has closed meanwhile. (aiohttp's own tracing tells
    too, but costs as much as half of the request.)"""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]  # a subclass of what it makes

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        attempt = ATTEMPT.get()
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol: Any = connection.protocol
            if attempt is None or protocol.begin(attempt.body, fresh=attempt.fresh):
                if attempt is not None:
                    attempt.on_connected(protocol)
                return connection
            connection.close()


class TCPConnector(_AnnotatingConnector, aiohttp.TCPConnector):
    """Connections over TCP."""


class UnixConnector(_AnnotatingConnector, aiohttp.UnixConnector):
    """Connections over a Unix socket."""
