"""One question to an upstream and its answer, as batches of events: what every HTTP provider shares, whatever its wire.

Knows no endpoint and no model. Whether an answer is whole is decided by the wire; here it is read, under clocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, NoReturn, Self

import msgspec

from ..errors import ConnectError, HTTPError, IncompleteStreamError
from ..events import Batch
from ..http.pool import HttpPool
from ..http.transport import Response, read_body
from ..http.urls import Proxy
from ..result import CLOSED, Sink
from ..retry import backoff
from ..timeouts import Clocks
from ..wires.foreign_errors import read_error
from .answer_reader import AnswerReader
from .reconnecting import RESUMABLE, ReconnectingResponse

#: Bytes of an error's body that are read.
_ERROR_BODY = 64 * 1024

#: Tries after a connection could not be made, where the caller did not say how many: nothing can have reached a server.
_CONNECT_RETRIES = 3
_CONNECT_BACKOFF = 0.1


class PreparedRequest(msgspec.Struct, frozen=True):
    """A request, ready to be sent. ``retries``: tries after the first, or None for those that reached no server alone.
    ``api_key``: so that no error repeats it. ``streams_url``: where a stream that broke can be resumed, if the server can.
    ``deadline``: the loop's time by which the answer must be complete, instead of the clock ``total``."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    clocks: Clocks
    stream: bool
    proxy: Proxy | None = None
    retries: int | None = None
    api_key: str | None = None
    streams_url: str | None = None
    deadline: float | None = None


async def _no_more() -> Batch:
    raise StopAsyncIteration


class ResponseStream:
    """The answer's batches: `Started` first and `FinishReason` last, or an error. Nothing is tried again once an event came.

    Iterate it, and close it. No generator: an event loop keeps a list of those.
    """

    __slots__ = ("_answer", "_asker", "_exchange", "_line", "_over", "_pool")

    def __init__(self, pool: HttpPool, exchange: PreparedRequest) -> None:
        self._pool = pool
        self._exchange = exchange
        self._line: ReconnectingResponse | None = None
        self._answer: AnswerReader | None = None
        self._asker: asyncio.Task[Any] | None = None  # who waits for the first batch
        self._over = False

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Batch]:
        if self._over:
            return _no_more()
        return self._begin() if self._answer is None else self._go_on(self._answer)

    async def _go_on(self, answer: AnswerReader) -> Batch:
        try:
            batch = await answer.next() if self._exchange.stream else None
        except BaseException as error:
            await self._leave(error)
            raise
        if batch is None:
            await self.aclose()
            raise StopAsyncIteration
        return batch

    async def pipe_to(self, sink: Sink) -> bool:
        """See `provider.pour`."""
        if self._over or self._answer is None or not self._exchange.stream:
            return False
        try:
            return await self._answer.pipe_to(sink)
        except BaseException as error:
            await self._leave(error)
            raise

    async def _begin(self) -> Batch:
        """The first batch, by the first try that brings one."""
        loop = asyncio.get_running_loop()
        exchange = self._exchange
        began = loop.time()
        deadline = began + exchange.clocks.total if exchange.deadline is None else exchange.deadline
        failures = 0
        self._asker = asyncio.current_task(loop)
        try:
            while True:
                try:
                    response = await _send(self._pool, exchange, deadline)
                    if not 200 <= response.status < 300:
                        await _refuse(response, exchange.api_key)
                    self._line = line = ReconnectingResponse(self._pool, exchange, response, deadline)
                    answer = AnswerReader(line)
                    batch = await answer.next() if exchange.stream else await answer.whole()
                except HTTPError as error:
                    failures += 1
                    delay = _delay(error, failures, exchange, loop.time() - began)
                    if delay is None or loop.time() + delay >= deadline:
                        raise
                else:
                    self._answer = answer
                    self._asker = None
                    if batch is None:
                        raise StopAsyncIteration
                    return batch
                await self._hang_up()
                await asyncio.sleep(delay)
        except BaseException as error:
            await self._leave(error)
            raise

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is None or line.is_over:
            return
        try:
            if line.is_whole:
                await line.drain()
        finally:
            await line.aclose()

    async def _leave(self, error: BaseException) -> None:
        """Close. Who was only woken from waiting, by another task that closes, is told so, and is not cancelled."""
        woken = self._over and isinstance(error, asyncio.CancelledError) and self._answer is None
        await self.aclose()
        task = asyncio.current_task()
        if woken and task is not None and not task.uncancel():
            raise IncompleteStreamError(CLOSED, status=None) from None

    async def aclose(self) -> None:
        """Close the response, if it is open; after a whole answer its connection is kept. Safe to call again, and while another
        task waits for the answer."""
        asker, self._asker = self._asker, None
        if asker is not None and not self._over and asker is not asyncio.current_task():
            asker.cancel()
        self._over = True
        if self._line is not None:
            await self._hang_up()


def _send(pool: HttpPool, exchange: PreparedRequest, deadline: float) -> Awaitable[Response]:
    """Send the request, and wait for the response's head."""
    return pool.post(
        exchange.url,
        headers={**exchange.headers, RESUMABLE: "1"} if exchange.stream else exchange.headers,
        body=exchange.body,
        clocks=exchange.clocks,
        streaming=exchange.stream,
        deadline=deadline,
        proxy=exchange.proxy,
    )


async def _refuse(response: Response, api_key: str | None) -> NoReturn:
    """Raise what the server answered in place of an answer."""
    try:
        raise await _refusal(response, api_key)
    finally:
        await response.aclose()


def _delay(error: HTTPError, failures: int, exchange: PreparedRequest, elapsed: float) -> float | None:
    """Seconds to wait before another try, or None where another would be wrong."""
    if not error.retryable:
        return None
    if exchange.retries is None:
        delay = backoff(failures, base=_CONNECT_BACKOFF)
        refused = isinstance(error, ConnectError) and failures <= _CONNECT_RETRIES
        return delay if refused and elapsed + delay < exchange.clocks.connect else None
    return backoff(failures, base=0.5, retry_after=error.retry_after) if failures <= exchange.retries else None


async def _refusal(response: Response, api_key: str | None) -> HTTPError:
    if response.status < 200:
        return HTTPError(
            f"the server answered {response.status} where an answer should be; check base_url", status=response.status
        )
    if response.status < 400:
        target = response.headers.get("Location", "another address")
        return HTTPError(
            f"the server redirects to {target[:200]} (status {response.status}); use the address that it means as base_url",
            status=response.status,
        )
    secrets = (api_key,) if api_key else ()
    return read_error(response.status, await read_body(response, _ERROR_BODY), response.headers, secrets=secrets)
