"""`AsyncResult`: one answer as its caller reads it, chunk by chunk. The inner streams that it is read from are in `batches`."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from functools import wraps
from inspect import isasyncgenfunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from .answer import Answer
from .batches import BatchStream, GeneratedBatches, JoinedBatches, Sink
from .completion import CLOSED, LEFT, AnswerView
from .errors import HTTPError, IncompleteStreamError
from .events import (
    Batch,
    Chunk,
    Extra,
    FinishReason,
    ForeignEvent,
    Started,
    ToolCallDelta,
    ToolCalls,
    as_readable,
    join_tool_calls,
    split_tool_calls,
)
from .report import Report

_READ_ALREADY = "this answer is being read already, or is closed; make a new one with create_async_generator()"

_ASYNC: Final = (
    "this answer is read by asyncio code: with async for, async with or await; blocking code calls complete() or "
    "create_completion()"
)


class AnswerBatches:
    """A stream's batches, each added to the `Answer` before it is handed out. Raises where the stream ends without a
    `FinishReason`. A reader whose stream is closed by another task gets an error with its next batch.

    ``stream``: what they are read from. ``is_over``: whether no further batch comes. ``is_closed``: whether the stream was
    closed. ``is_delivered``: whether the reader has got the `FinishReason`; set by the one who hands chunks on.
    """

    __slots__ = ("_answer", "_error", "is_closed", "is_delivered", "is_over", "stream")

    def __init__(self, stream: BatchStream, answer: Answer) -> None:
        self.stream = stream
        self._answer = answer
        self.is_over = self.is_closed = False
        self._error: Exception | None = None
        self.is_delivered = False

    def error(self, problem: str = CLOSED) -> Exception:
        """Return what has ended the answer before its end; *problem* where that was its reader."""
        return self._error or IncompleteStreamError(problem, partial=self._answer.text)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        if self.is_over:
            raise StopAsyncIteration
        try:
            batch = await self.stream.__anext__()
            if self.is_over:
                raise IncompleteStreamError(CLOSED)
        except BaseException as error:
            await self.end(error)
            raise
        self._answer.add(batch)
        return batch

    async def end(self, error: BaseException) -> None:
        """Close the stream, which has ended with *error*. Raises `IncompleteStreamError` where it just stopped, and where
        another task closed it while this one waited for it."""
        is_left = self.is_over
        await self.aclose()
        answer = self._answer
        if is_left and isinstance(error, IncompleteStreamError):
            self._error = IncompleteStreamError(CLOSED, partial=answer.text)
            raise self._error from None
        if isinstance(error, StopAsyncIteration):
            if answer.finish is None:
                self._error = IncompleteStreamError(partial=answer.text)
                raise self._error from None
            return
        if isinstance(error, HTTPError):
            error.partial = answer.text or error.partial
        if isinstance(error, Exception):
            self._error = error

    async def pipe_to(self, sink: Sink) -> bool:
        """See `BatchStream.pipe_to`."""
        add = self._answer.add

        def take(batch: Batch) -> bool:
            add(batch)
            return sink(batch)

        try:
            return await self.stream.pipe_to(take)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        self.is_over = True
        await self.stream.aclose()
        self.is_closed = True


#: Events that are no chunks.
_INNER: Final = frozenset({Started, Extra, ForeignEvent, ToolCallDelta})


def chunks_of(batch: Batch, answer: Answer) -> list[Chunk]:
    """Return what a caller iterates of *batch*, which was added to its *answer*: text and reasoning as they come, tool calls
    joined, the finish reason last."""
    chunks: list[Any] = [event for event in batch if type(event) not in _INNER]
    if answer.calls and chunks and type(finish := chunks[-1]) is FinishReason:
        chunks.insert(-1, as_readable(join_tool_calls(answer.calls), finish.reason))
    return chunks


def _close_later(loop: AbstractEventLoop, batches: AnswerBatches) -> None:
    """Close the answer of a reader who dropped it, in its event loop."""
    if not batches.is_closed:
        loop.create_task(batches.aclose())  # as asyncio does for a generator: what it waits for keeps it


def _is_read_by(package: str) -> bool:
    """Whether it is *package* that begins to iterate."""
    return str(sys._getframe(2).f_globals.get("__name__", "")).partition(".")[0] == package


async def _for_gpt4free(chunks: AsyncResult) -> AsyncGenerator[Any]:
    """Yield *chunks* as gpt4free's client takes them: it would hand our `FinishReason` on as text, and knows its own."""
    own = getattr(sys.modules.get("g4f.providers.response"), "FinishReason", None)
    try:
        async for chunk in chunks:
            if type(chunk) is not FinishReason:
                yield chunk
            elif own is not None and chunk.reason is not None:
                yield own(chunk.reason)
    finally:
        await chunks.aclose()


class AsyncResult(AnswerView):
    """One answer: an async iterator, an async context manager, an awaitable, and something to close.

    Making it does no I/O, and dropping it unread is no error. Iterating yields `str` (text), `Reasoning`, `ToolCalls`, and
    last exactly one `FinishReason`; otherwise an exception is raised: it never just stops. ``await result`` and ``text()`` read
    all of it and return the text. Leaving the ``async with``, ``aclose()`` and cancelling the task close the HTTP response at
    once. It can be read once, in one way: by chunks, or by ``batches()``; what has come stays readable.

    ``source``: a `BatchStream`, or a function that returns one or an async generator of batches.

    Example::

        result = provider.create_async_generator("llama", messages)
        print(await result, result.usage)
    """

    __slots__ = ("__weakref__", "_chunks", "_closed", "_is_reading", "_loop", "_source", "_stream", "_waiting")

    _to_be_read = "await it, or iterate it with async for"

    def __init__(
        self,
        source: BatchStream | Callable[[], BatchStream | AsyncGenerator[Batch]],
        *,
        report: Report | None = None,
        answer: Answer | None = None,
    ) -> None:
        self._answer = answer or Answer(report)
        self._source: BatchStream = GeneratedBatches(source) if callable(source) else source  # type: ignore[arg-type]
        self._stream: AnswerBatches | None = None
        self._chunks: list[Chunk] = []  # of the batch that was read last, those that were not handed out, from the last one
        self._loop: AbstractEventLoop | None = None  # in which it is iterated
        self._is_reading = False  # a task waits for a batch
        self._closed = False
        self._waiting: list[Future[None]] | None = None  # while one task reads all of it: the others that want the text

    def batches(self) -> BatchStream:
        """Return the inner stream: lists of all events that one network read brought, `Started` first, `FinishReason` last."""
        return self._begin()

    def _begin(self) -> AnswerBatches:
        if self._stream is not None or self._closed:
            raise RuntimeError(_READ_ALREADY)
        self._stream = batches = AnswerBatches(self._source, self._answer)
        return batches

    def __aiter__(self) -> AsyncIterator[Chunk]:
        if "g4f" in sys.modules and _is_read_by("g4f"):
            return _for_gpt4free(self)
        return self

    async def __anext__(self) -> Chunk:
        answer, batches = self._answer, self._stream
        if self._loop is None or batches is None:
            batches = self._begin()
            self._loop = get_running_loop()
        elif batches.is_over and answer.finish is None:  # each time: after an error, or a reader's timeout, it never just stops
            if not batches.is_closed:
                await batches.aclose()
            raise batches.error()
        while not (chunks := self._chunks):
            if self._is_reading:
                raise RuntimeError("this answer is being read by another task")
            if answer.finish is not None and not batches.is_over:  # nothing follows it
                await batches.aclose()
            if batches.is_over:
                raise StopAsyncIteration
            self._is_reading = True
            try:  # as `AnswerBatches.__anext__`, without its turn
                batch = await batches.stream.__anext__()
                if batches.is_over:
                    raise IncompleteStreamError(CLOSED)
            except BaseException as error:
                await batches.end(error)
                raise
            finally:
                self._is_reading = False
            answer.add(batch)
            if len(batch) == 1 and type(text := batch[0]) is str:
                return text
            self._chunks = chunks_of(batch, answer)
            self._chunks.reverse()
        chunk = chunks.pop()
        if answer.finish is not None:
            batches.is_delivered = type(chunk) is FinishReason
        return chunk

    def __del__(self) -> None:
        # Who dropped it can close it no more. One that was made with wrong arguments has no loop, and nothing else.
        loop: AbstractEventLoop | None = getattr(self, "_loop", None)
        if loop is not None and (batches := self._stream) is not None and not batches.is_closed and not loop.is_closed():
            loop.call_soon_threadsafe(_close_later, loop, batches)

    async def texts(self) -> AsyncGenerator[str]:
        """Iterate the pieces of the text alone, which can be joined or sent on; what else comes is read later from
        `tool_calls`, `reasoning`, `finish`. Leaving the loop closes the response. Web frameworks take it as a body.

        Example::

            async for text in provider.chat("llama", messages).texts():
                print(text, end="", flush=True)
        """
        try:
            async for chunk in self:
                if isinstance(chunk, str):
                    yield chunk
        finally:
            await self.aclose()

    async def text(self) -> str:
        """Read to the end and return the text; after the end return it again. Errors are those of iterating, with the text so
        far in ``.partial``, the same each time. Several tasks may call it at once: one reads, and all get the text.

        Raises `IncompleteStreamError` where the answer was left before its end: after a ``break``, ``aclose()``, or an ``async
        with`` that is over. It never returns a remainder.

        Example::

            text = await provider.create_async_generator("llama", messages).text()
        """
        stream = self._stream
        if stream is None and not self._closed:
            await self._read()
        elif self._waiting is not None:
            waiting = get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
            return await self.text()
        elif stream is None:
            raise IncompleteStreamError(CLOSED)
        elif self._answer.finish is None or not (stream.is_delivered or self._loop is None):
            raise stream.error(CLOSED if self._closed else LEFT)
        return self._answer.text

    async def _read(self) -> None:
        """Read to the end, and wake the tasks that wait for it, however it ends."""
        self._waiting = []
        try:
            async for _ in self:
                pass
        finally:
            waiting, self._waiting = self._waiting, None
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    def __await__(self) -> Generator[Any, None, str]:
        return self.text().__await__()

    async def aclose(self) -> None:
        """Close the response now. Safe to call again, before anything was read, and while another task reads: that one gets an
        `IncompleteStreamError`, at once from a client, with the next batch from a provider that cannot be woken."""
        self._closed = True
        if (stream := self._stream) is None:
            await self._source.aclose()
        elif not stream.is_closed:
            await stream.aclose()

    if not TYPE_CHECKING:  # type checkers find it without these

        def __iter__(self):
            raise TypeError(_ASYNC)

        def __enter__(self):
            raise TypeError(_ASYNC)

        def __exit__(self, *_):
            """Be there, so that Python calls `__enter__`, which says what to write."""

    async def __aenter__(self) -> AsyncResult:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def as_result(front: Any) -> Any:
    """Return *front*, a provider's ``create_async_generator``, which may be an async generator of chunks, as gpt4free's are:
    then it returns an `AsyncResult` of them. Without a `FinishReason` as the last one, an answer is incomplete."""
    chunks_of = front.__func__ if isinstance(front, classmethod) else front
    if not isasyncgenfunction(chunks_of):
        return front

    @wraps(chunks_of)
    def create_async_generator(
        self_or_cls: Any, /, model: str, messages: Any, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        async def batches() -> AsyncGenerator[Batch]:
            started: Batch = [Started(model or None)]
            async with aclosing(chunks_of(self_or_cls, model, messages, proxy=proxy, stream=stream, **kwargs)) as chunks:
                async for chunk in chunks:
                    yield [*started, *(split_tool_calls(chunk) if isinstance(chunk, ToolCalls) else [chunk])]
                    started = []

        source = GeneratedBatches(batches)
        return AsyncResult(source if stream else JoinedBatches(source, Answer()))

    return classmethod(create_async_generator) if isinstance(front, classmethod) else create_async_generator
