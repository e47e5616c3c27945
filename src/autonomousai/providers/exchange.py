"""One question to an upstream and its answer, as batches of events: what every HTTP provider shares, whatever its wire.

Knows no endpoint and no model. Whether an answer is whole is decided by the wire; here it is read, under clocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

import msgspec

from ..config import Clocks
from ..errors import ConnectError, HTTPError, StreamError
from ..events import Batch, Event, FinishReason, Reasoning, Started, ToolCallDelta
from ..retry import backoff
from ..wire.faults import read_error
from ..wire.openai import AnswerStream, read_completion
from .http import HttpPool
from .proxy import Proxy

if TYPE_CHECKING:
    from .transport import HttpResponse

#: Bytes of an error's body that are read.
_ERROR_BODY = 64 * 1024

#: Bytes of an answer in one document.
_DOCUMENT = 64 * 1024 * 1024

#: Seconds to wait for usage or [DONE] after a finish reason: many servers send neither.
_GRACE = 1.0

#: Tries after a connection could not be made, where the caller did not say how many: nothing can have reached a server.
_CONNECT_RETRIES = 3
_CONNECT_BACKOFF = 0.1


class Exchange(msgspec.Struct, frozen=True):
    """A request, ready to be sent. ``retries``: tries after the first, or None for those that reached no server alone.
    ``api_key``: so that no error repeats it."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    clocks: Clocks
    stream: bool
    proxy: Proxy | None = None
    retries: int | None = None
    api_key: str | None = None


async def ask(pool: HttpPool, exchange: Exchange) -> AsyncGenerator[Batch]:
    """The answer's batches: `Started` first and `FinishReason` last, or an error. Nothing is tried again once an event came."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    deadline = began + exchange.clocks.total
    failures = 0
    while True:
        answer = _ask_once(pool, exchange, deadline)
        started = False
        try:
            async for batch in answer:
                started = True
                yield batch
            return
        except HTTPError as error:
            failures += 1
            delay = None if started else _delay(error, failures, exchange, loop.time() - began)
            if delay is None or loop.time() + delay >= deadline:
                raise
        finally:
            await answer.aclose()
        await asyncio.sleep(delay)


def _delay(error: HTTPError, failures: int, exchange: Exchange, elapsed: float) -> float | None:
    """Seconds to wait before another try, or None where another would be wrong."""
    if not error.retryable:
        return None
    if exchange.retries is None:
        delay = backoff(failures, base=_CONNECT_BACKOFF)
        refused = isinstance(error, ConnectError) and failures <= _CONNECT_RETRIES
        return delay if refused and elapsed + delay < exchange.clocks.connect else None
    return backoff(failures, base=0.5, retry_after=error.retry_after) if failures <= exchange.retries else None


async def _ask_once(pool: HttpPool, exchange: Exchange, deadline: float) -> AsyncGenerator[Batch]:
    response = await pool.post(
        exchange.url,
        headers=exchange.headers,
        body=exchange.body,
        clocks=exchange.clocks,
        streaming=exchange.stream,
        deadline=deadline,
        proxy=exchange.proxy,
    )
    try:
        if response.status >= 300:
            raise await _refusal(response, exchange.api_key)
        batches = _read_answer(response)
        if not exchange.stream:
            batches = _whole(batches)
        try:
            async for batch in batches:
                yield batch
        finally:
            await batches.aclose()
        await response.drain()
    finally:
        await response.aclose()


async def _refusal(response: HttpResponse, api_key: str | None) -> HTTPError:
    if response.status < 400:
        target = response.headers.get("Location", "another address")
        return HTTPError(
            f"the server redirects to {target[:200]} (status {response.status}); use the address that it means as base_url",
            status=response.status,
        )
    secrets = (api_key,) if api_key else ()
    return read_error(response.status, await response.read(_ERROR_BODY), response.headers, secrets=secrets)


async def _read_answer(response: HttpResponse) -> AsyncGenerator[Batch]:
    """Whatever was asked for: a body that begins with ``{`` is one document, any other one is an event stream."""
    chunks = response.chunks()
    try:
        head = b""
        async for data in chunks:
            head += data
            if first := head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]:
                break
        else:
            first = b""
        if first == b"{":
            yield await _read_document(head, chunks, response)
            return
        if first == b"<":
            raise StreamError(
                "the server answered with a web page instead of an answer; check base_url",
                status=response.status,
                retryable=False,
            )
        events = _read_events(head, chunks, response)
        try:
            async for batch in events:
                yield batch
        finally:
            await events.aclose()
    finally:
        await chunks.aclose()


async def _read_document(head: bytes, chunks: AsyncGenerator[bytes], response: HttpResponse) -> Batch:
    parts = [head]
    size = len(head)
    response.progress()
    async for data in chunks:
        response.progress()
        parts.append(data)
        size += len(data)
        if size > _DOCUMENT:
            raise StreamError(f"the answer is larger than {_DOCUMENT} bytes", status=response.status, code="answer_too_large")
    return read_completion(b"".join(parts))


async def _read_events(head: bytes, chunks: AsyncGenerator[bytes], response: HttpResponse) -> AsyncGenerator[Batch]:
    stream = AnswerStream()
    data = head
    while True:
        batch = stream.feed(data)
        if stream.failure is not None:
            if batch:
                yield batch
            raise stream.failure
        if stream.complete:
            break
        if batch:
            if len(batch) > 1 or type(batch[0]) is not Started:
                response.progress()
            yield batch
            batch = []
        if stream.ending:
            response.wait_no_longer_than(_GRACE)
        try:
            data = await anext(chunks)
        except StopAsyncIteration:
            break
        except HTTPError:
            if not stream.ending:
                raise
            break  # the finish reason had come: the answer is whole, however its connection ended
    finish = stream.finish()
    yield [*batch, finish]


async def _whole(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    """All of an answer in one batch: who answers, the reasoning, the text as one string, the tool calls, the finish reason."""
    started: list[Event] = []
    reasoning: list[str] = []
    texts: list[str] = []
    rest: list[Event] = []
    try:
        async for batch in batches:
            for event in batch:
                if type(event) is str:
                    texts.append(event)
                elif type(event) is Reasoning:
                    reasoning.append(event.text)
                elif type(event) is Started:
                    started.append(event)
                elif type(event) is ToolCallDelta or type(event) is FinishReason:
                    rest.append(event)
    except HTTPError as error:
        error.partial = "".join(texts)
        raise
    finally:
        await batches.aclose()
    if reasoning:
        started.append(Reasoning("".join(reasoning)))
    if texts:
        started.append("".join(texts))
    yield [*started, *rest]
