"""A response whose connection is ours: what its reader waits for, and takes or has poured. Knows no parser and no pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from ..errors import HTTPError, IncompleteStreamError
from .headers import Headers
from .timeouts import ReadTimeouts

#: Seconds that the rest of a body may take to arrive after the answer has ended, so that its connection can be used again.
_DRAIN = 0.05

#: Reads whose text is handed on at once, before the loop is through with all that can be read.
AT_ONCE: Final = 32


def _ignore(*_: object) -> None:
    """What a clock that is over does."""


class ResponseConnection(Protocol):
    """What a response needs of its connection. ``parts``: what of the body has come and was not taken."""

    @property
    def parts(self) -> list[bytes]: ...
    @property
    def dispatcher(self) -> FairDispatcher: ...
    @property
    def watch(self) -> ReadTimeouts: ...

    def take(self) -> bytes: ...
    def abort(self) -> None: ...


class FairDispatcher:
    """Who is poured now, of those that something has come for, and who when the loop has read all there is.

    libuv goes on reading, turn after turn, as long as a thousand sockets have something, and neither writes nor runs a task
    meanwhile. So where much comes at once, what is read is only kept: else, the more there is to do, the longer all wait."""

    __slots__ = ("_due", "_limit", "_loop", "_room")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = AT_ONCE) -> None:
        self._loop = loop
        self._limit = limit
        self._room = limit
        self._due: list[HttptoolsResponse] = []

    def add(self, response: HttptoolsResponse) -> None:
        """Something has come for it."""
        if not self._room:
            self._due.append(response)
            return
        self._room -= 1
        if not self._room:  # where never much comes at once, the loop is asked for nothing
            self._loop.call_soon(self._next_turn)
        response.deliver_due()

    def _next_turn(self) -> None:
        self._room = self._limit
        due, self._due = self._due, []
        for response in due:
            response.deliver_due()


class HttptoolsResponse:
    """A `Response` of ours. ``status`` is 0 until its head has come; `head` waits for it."""

    __slots__ = (
        "_connection",
        "_error",
        "_fault",
        "_is_due",
        "_loop",
        "_rest",
        "_take",
        "_watch",
        "headers",
        "progress",
        "status",
        "wait_no_longer_than",
        "waiter",
    )

    def __init__(self, connection: ResponseConnection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str]
        self.waiter: asyncio.Future[None] | None = None
        self._loop = loop
        self._connection: ResponseConnection | None = connection
        self._rest = b""
        self._error: Exception | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._fault: BaseException | None = None
        self._is_due = False  # to be poured, in this turn of the loop
        self._watch = watch = connection.watch
        self.progress: Callable[[], None] = watch.progress
        self.wait_no_longer_than: Callable[[float], None] = watch.wait_no_longer_than

    # ---- its reader's side

    @property
    def is_over(self) -> bool:
        """See `Response.is_over`."""
        return self._connection is None

    async def head(self) -> None:
        """Wait for the head. Raises `HttpParserError`, `OSError`, `TimeoutError`."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._news()

    async def read_some(self) -> bytes:
        """See `Response.read_some`."""
        while (connection := self._connection) is not None:
            if connection.parts:
                return connection.take()
            await self._news()
        data, self._rest = self._rest, b""
        if data or self._error is None:
            return data
        raise self._error

    async def pipe_to(self, take: Callable[[bytes], bool]) -> bool:
        """Hand to *take* what comes of the body, as it comes, until it returns False, or nothing more will come."""
        connection = self._connection
        if connection is not None and (not connection.parts or take(connection.take())):
            self._take = take
            try:
                await self._news()
            finally:
                self._take = None
            if (fault := self._fault) is not None:
                self._fault = None
                raise fault
        return True

    def _news(self) -> asyncio.Future[None]:
        """A future that is done as soon as something has come."""
        self.waiter = waiter = self._loop.create_future()
        self._watch.waiting = True
        return waiter

    async def drain(self) -> None:
        """See `Response.drain`."""
        if self._connection is not None:
            self._watch.end_within(_DRAIN)
            with suppress(HTTPError):
                while await self.read_some():
                    pass
            await self.aclose()

    async def aclose(self) -> None:
        """See `Response.aclose`."""
        if self._connection is not None:
            self._connection.abort()

    # ---- its connection's side

    def on_parts(self, connection: ResponseConnection) -> None:
        """More of the body has come."""
        if self._take is None:
            self.wake()
        elif not self._is_due:
            self._is_due = True
            connection.dispatcher.add(self)

    def deliver_due(self) -> None:
        """Hand over what has come of the body."""
        self._is_due = False
        connection, take = self._connection, self._take
        if connection is None or take is None or not connection.parts:
            return  # it has ended, or was read meanwhile
        try:
            if take(connection.take()):
                return
        except BaseException as error:  # it is the reader's
            self._fault = error
        self._take = None
        self.wake()

    def on_head(self, status: int, headers: Headers) -> None:
        self.headers = headers
        self.status = status
        self.wake()

    def on_end(self, rest: bytes) -> None:
        """The body has ended, and *rest* was the last of it. From now on the connection, and its watch, are another's."""
        self._rest = rest
        self._connection = None
        self.progress = self.wait_no_longer_than = _ignore
        self.wake()

    def on_broken(self, error: Exception, rest: bytes) -> None:
        if self.status and not isinstance(error, HTTPError):
            broken = IncompleteStreamError(f"the connection broke before the answer was complete: {error}"[:300])
            broken.__cause__ = error
            error = broken
        self._error = error
        self.on_end(rest)

    def wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            self._watch.waiting = False
            if not waiter.done():
                waiter.set_result(None)
