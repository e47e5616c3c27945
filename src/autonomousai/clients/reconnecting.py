"""Coming back for an answer whose connection was lost, where the server keeps its stream (`X-Stream-Id`).

Knows bytes and stream ids; what the bytes say is the caller's to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from ..errors import USE_PARTIAL, ConnectError, HTTPError, ProviderError, StreamError, is_retryable
from ..errors import TimeoutError as ClockError
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.transport import Response
from ..late import late_pattern
from ..retry import backoff
from ..timeouts import Clocks

#: The request's header that asks for a stream that can be resumed, and the response's that names it.
RESUMABLE: Final = "X-Stream-Resumable"
STREAM_ID: Final = "X-Stream-Id"

#: Seconds that a server is looked for after a connection broke, the same where another upstream has the rest of the answer, and
#: seconds between two tries at the most.
_LOOKED_FOR_S: Final = 60.0
_LOOKED_FOR_BESIDE_OTHERS_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 3.0

#: Seconds that the DELETE of a stream may take when the caller leaves.
_GOODBYE_S: Final = 1.0

#: Statuses by which a server says that a stream does not continue: it was stopped, or is not there any more.
_STOPPED: Final = frozenset({200, 202, 204, 404, 410})

#: What a stream's id may be made of: it becomes part of a URL that is requested with the caller's key.
_ID: Final = late_pattern(r"[A-Za-z0-9_-]{1,128}")

#: The number of the first event in what came.
_FIRST_ID: Final = late_pattern(rb"(?:^|[\r\n])id: ?([0-9]{1,18})[\r\n]")


def resumable(headers: Mapping[str, str], streams_url: str | None) -> Mapping[str, str]:
    """Return the *headers* that ask for a stream as one that can be resumed, where *streams_url* says where."""
    return {**headers, RESUMABLE: "1"} if streams_url else headers


class ResumeTarget(Protocol):
    """What of a request is needed to come back for its answer."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def clocks(self) -> Clocks: ...
    @property
    def proxy(self) -> Proxy | None: ...
    @property
    def streams_url(self) -> str | None: ...
    @property
    def others(self) -> bool: ...


class ResumableStream:
    """A stream that the server keeps. ``has_heard``: whether an event has come since the connection was last replaced."""

    def __init__(self, pool: HttpPool, target: ResumeTarget, stream_id: str, deadline: float) -> None:
        self.has_heard = True
        self._pool = pool
        self._target = target
        self._url = f"{target.streams_url}/{stream_id}"
        self._deadline = deadline
        self._failures = 0
        self._until = deadline
        self._resumed_after: int | None = None
        self._is_gone = False

    @classmethod
    def of(cls, pool: HttpPool, target: ResumeTarget, stream_id: str, deadline: float) -> ResumableStream | None:
        """Return the stream of the *stream_id* that a response names, None where it cannot be resumed."""
        if not target.streams_url or not _ID.fullmatch(stream_id):
            return None
        return cls(pool, target, stream_id, deadline)

    def check(self, data: bytes) -> None:
        """Check that the first event after a resumption is the one that was asked for. Raises `StreamError` where it is not."""
        if self._resumed_after is not None and (first := _FIRST_ID.search(data)):
            if int(first[1]) <= self._resumed_after:
                raise StreamError(
                    "the server resumed the stream with events that had come already",
                    advice=USE_PARTIAL,
                    status=200,
                    retryable=True,
                    code="resumed_elsewhere",
                )
            self._resumed_after = None

    @property
    def is_unchecked(self) -> bool:
        """Whether the first event after a resumption is still to be checked."""
        return self._resumed_after is not None

    def is_lost(self, error: HTTPError) -> bool:
        """Return whether *error* means that the connection is gone. A network that is gone may leave it standing, silent: only
        the idle timeout notices. One that was replaced and is silent too is not the network's fault."""
        return not isinstance(error, ClockError) or (error.clock == "idle" and self.has_heard)

    async def resume(self, last_event_id: str) -> Response | None:
        """Connect again, to continue after that event. None where the server cannot, has dropped the stream, or is not found.

        Where nothing comes over the new connection either, the search continues: its time is counted from the last event.
        """
        if self._is_gone:
            return None
        loop = asyncio.get_running_loop()
        if self.has_heard:
            self.has_heard = False
            self._failures = 0
            self._until = min(
                self._deadline, loop.time() + (_LOOKED_FOR_BESIDE_OTHERS_S if self._target.others else _LOOKED_FOR_S)
            )
        headers = dict(self._target.headers)
        for name in ("Content-Type", RESUMABLE):  # of the request that began the stream
            headers.pop(name, None)
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        while True:
            if self._failures:
                pause = backoff(self._failures, base=0.05, ceiling=_LONGEST_PAUSE_S)
                if loop.time() + pause >= self._until:
                    return None
                await asyncio.sleep(pause)
            self._failures += 1
            with suppress(HTTPError):
                response = await self._pool.get(
                    self._url,
                    headers=headers,
                    clocks=self._target.clocks,
                    streaming=True,
                    deadline=self._deadline,
                    proxy=self._target.proxy,
                )
                if response.status == 200:
                    self._resumed_after = int(last_event_id) if last_event_id.isdecimal() else None
                    response.progress()
                    return response
                await response.aclose()
                if not is_retryable(response.status):
                    self._is_gone = True
                    return None

    async def stop(self) -> None:
        """Let the server stop the answer, which its caller does not want any more.

        A server that could not be reached in time continues the answer; the pool counts those."""
        if self._is_gone:
            return
        stopped = False
        try:
            with suppress(ProviderError, asyncio.TimeoutError):
                stopped = await self._delete()
        finally:
            self._pool.orphans += not stopped

    async def _delete(self) -> bool:
        """Return whether the stream does not continue."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                response = await self._pool.delete(
                    self._url, headers=self._target.headers, clocks=self._target.clocks, proxy=self._target.proxy
                )
                await response.aclose()
        except ConnectError:
            return True  # the server is not there
        return response.status in _STOPPED
