"""The line to a server on which one answer comes: one connection, or as many as it takes where the server can resume.

Knows bytes and stream ids; what the bytes say is told it from outside.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from ..errors import USE_PARTIAL, ConnectError, HTTPError, ProviderError, StreamError
from ..http.pool import HttpPool
from ..http.transport import Response
from ..http.urls import Proxy
from ..result import cannot_pipe
from ..retry import backoff
from ..timeouts import Clocks

#: The request's header that asks for a stream that can be resumed, and the answer's that names it.
RESUMABLE = "X-Stream-Resumable"
STREAM_ID = "X-Stream-Id"

#: Seconds that a server is looked for after a connection broke, and between two looks at the most.
_LOOKED_FOR = 60.0
_LONGEST_PAUSE = 3.0

#: Seconds that telling the server may take when the caller leaves.
_GOODBYE = 1.0


#: Statuses by which a server says that a stream does not go on: it was stopped, or is not there any more.
_UNDERSTOOD = frozenset({200, 202, 204, 404, 410})

#: What a stream's id may be made of.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

#: The number of the first event in what came.
_FIRST_ID = re.compile(rb"(?:^|[\r\n])id: ?([0-9]{1,18})[\r\n]")


async def _later() -> bool:
    """Nothing to pipe_to for now."""
    return True


class ReconnectTarget(Protocol):
    """What of a request is needed to come back for its answer."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def clocks(self) -> Clocks: ...
    @property
    def proxy(self) -> Proxy | None: ...
    @property
    def streams_url(self) -> str | None: ...


class ReconnectingResponse:
    """Bytes of one answer. ``is_whole``: set by the reader when the answer has ended; a line that is closed before then tells
    the server that nobody will come back."""

    def __init__(self, pool: HttpPool, target: ReconnectTarget, response: Response, deadline: float) -> None:
        self.is_whole = False
        #: Whether an event has come since the connection was last replaced.
        self.has_heard = True
        self._pool = pool
        self._target = target
        self._response = response
        #: What has come, everything that is there at once; ``b""`` at the body's end. The errors of `Response.read_some`.
        self.read: Callable[[], Awaitable[bytes]] = response.read_some
        self._deadline = deadline
        self._failures = 0
        self._until = deadline
        self._url: str | None = None
        stream_id = response.headers.get(STREAM_ID) if response.status < 300 else None
        if stream_id is not None and _ID.fullmatch(stream_id) and target.streams_url:  # part of a URL that gets our key
            self._url = f"{target.streams_url}/{stream_id}"
        self._resumed_after: int | None = None

    @property
    def is_resumable(self) -> bool:
        """Whether the server said that it can."""
        return self._url is not None

    async def _read_resumed(self) -> bytes:
        """`read` after a resumption, until an event has shown that it is the one asked for."""
        data = await self._response.read_some()
        if first := _FIRST_ID.search(data):
            if self._resumed_after is not None and int(first[1]) <= self._resumed_after:
                raise StreamError(
                    "the server resumed the stream with events that had come already",
                    advice=USE_PARTIAL,
                    status=200,
                    retryable=True,
                    code="resumed_elsewhere",
                )
            self.read = self._response.read_some
        return data

    def pipe_to(self, take: Callable[[bytes], bool]) -> Awaitable[bool]:
        """Hand to *take* what comes, as it comes; see `provider.pour`. After a resumption, the first event is looked at."""
        if self.read == self._read_resumed:
            return _later()
        method: Callable[[Callable[[bytes], bool]], Awaitable[bool]] | None = getattr(self._response, "pour", None)
        return cannot_pipe() if method is None else method(take)

    def progress(self) -> None:
        """An event came; see `Response.progress`."""
        self.has_heard = True
        self._response.progress()

    def wait_no_longer_than(self, seconds: float) -> None:
        """The answer is proven; see `Response.wait_no_longer_than`."""
        self._response.wait_no_longer_than(seconds)

    async def resume(self, last_event_id: str) -> bool:
        """Connect again, to go on after that event. False where the server cannot, has let the stream go, or is not found.

        Where nothing comes over the new connection either, the search goes on: its time is counted from the last event."""
        url = self._url
        if url is None:
            return False
        loop = asyncio.get_running_loop()
        if self.has_heard:
            self.has_heard = False
            self._failures = 0
            self._until = min(self._deadline, loop.time() + _LOOKED_FOR)
        headers = dict(self._target.headers)
        headers.pop("Content-Type", None)
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        await self._response.aclose()
        while True:
            if self._failures:
                pause = backoff(self._failures, base=0.05, ceiling=_LONGEST_PAUSE)
                if loop.time() + pause >= self._until:
                    return False
                await asyncio.sleep(pause)
            self._failures += 1
            with suppress(HTTPError):
                response = await self._pool.get(
                    url,
                    headers=headers,
                    clocks=self._target.clocks,
                    streaming=True,
                    deadline=self._deadline,
                    proxy=self._target.proxy,
                )
                self._response, self.read = response, self._read_resumed
                if response.status == 200:
                    self._resumed_after = int(last_event_id) if last_event_id.isdecimal() else None
                    response.progress()
                    return True
                await self._response.aclose()
                if response.status < 500 and response.status != 429:
                    self._url = None
                    return False

    @property
    def is_over(self) -> bool:
        """Whether the answer is whole and nothing of it is on its way: there is nothing to drain then, nor to close."""
        return self.is_whole and self._response.is_over

    async def drain(self) -> None:
        """See `Response.drain`."""
        await self._response.drain()

    async def aclose(self) -> None:
        """Close at once. Where the answer is not whole and could be resumed, the server is told that it need not go on; one
        that could not be told goes on for nobody, which the pool counts."""
        await self._response.aclose()
        if self._url is not None and not self.is_whole:
            told = False
            try:
                with suppress(ProviderError, asyncio.TimeoutError):
                    told = await self._say_goodbye(self._url)
            finally:
                self._pool.orphans += not told

    async def _say_goodbye(self, url: str) -> bool:
        """Whether the stream does not go on."""
        try:
            async with asyncio.timeout(_GOODBYE):
                response = await self._pool.delete(
                    url, headers=self._target.headers, clocks=self._target.clocks, proxy=self._target.proxy
                )
                await response.aclose()
        except ConnectError:
            return True  # there is nobody to go on
        return response.status in _UNDERSTOOD
