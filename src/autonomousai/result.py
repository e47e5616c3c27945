"""`AsyncResult`: one answer as its caller reads it, chunk by chunk. The inner streams that it is read from are in `batches`."""

from __future__ import annotations

import sys
from asyncio import Future, get_running_loop
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
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

    ``is_over``: whether no further batch comes. ``is_closed``: whether the stream was closed. ``is_delivered``: whether the
    reader has got the `FinishReason`; set by the one who hands chunks on.
    """

    __slots__ = ("_answer", "_error", "_stream", "is_closed", "is_delivered", "is_over")

    def __init__(self, stream: BatchStream, answer: Answer) -> None:
        self._stream = stream
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
        answer = self._answer
        try:
            batch = await self._stream.__anext__()
            if self.is_over:
                raise IncompleteStreamError(CLOSED)
        except BaseException as error:
            is_left = self._is_left()
            await self.aclose()
            if is_left and isinstance(error, IncompleteStreamError):
                self._error = IncompleteStreamError(CLOSED, partial=answer.text)
                raise self._error from None
            if isinstance(error, StopAsyncIteration):
                if answer.finish is not None:
                    raise
                self._error = IncompleteStreamError(partial=answer.text)
                raise self._error from None
            if isinstance(error, HTTPError):
                error.partial = answer.text or error.partial
            if isinstance(error, Exception):
                self._error = error
            raise
        answer.add(batch)
        return batch

    def _is_left(self) -> bool:
        """Return whether another task closed the stream while this one waited for it."""
        return self.is_over

    async def pipe_to(self, sink: Sink) -> bool:
        """See `BatchStream.pipe_to`."""
        add = self._answer.add

        def take(batch: Batch) -> bool:
            add(batch)
            return sink(batch)

        try:
            return await self._stream.pipe_to(take)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        self.is_over = True
        await self._stream.aclose()
        self.is_closed = True


class ChunkIterator:
    """Turns batches into what a caller iterates: text and reasoning as they come, tool calls joined, the finish reason last."""

    __slots__ = ("_deltas",)

    def __init__(self) -> None:
        self._deltas: list[ToolCallDelta] = []

    def chunks(self, batch: Batch) -> list[Chunk]:
        """Return the public chunks of *batch*."""
        chunks: list[Chunk] = []
        for event in batch:
            if type(event) is str:
                chunks.append(event)
            elif type(event) is ToolCallDelta:
                self._deltas.append(event)
            elif type(event) is FinishReason:
                if self._deltas:
                    chunks.append(as_readable(join_tool_calls(self._deltas), event.reason))
                chunks.append(event)
            elif not isinstance(event, Started | Extra | ForeignEvent | ToolCallDelta):
                chunks.append(event)
        return chunks


async def _chunks(batches: AnswerBatches, answer: Answer) -> AsyncGenerator[Chunk]:
    iterator = ChunkIterator()
    try:
        async for batch in batches:
            chunks = iterator.chunks(batch)
            if answer.finish is None:
                for chunk in chunks:
                    yield chunk
            else:
                for chunk in chunks:
                    batches.is_delivered = type(chunk) is FinishReason
                    yield chunk
        if answer.finish is None:
            raise batches.error()
    finally:
        if not batches.is_closed:
            await batches.aclose()


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

    __slots__ = ("__weakref__", "_chunks", "_closed", "_source", "_stream", "_waiting")

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
        self._chunks: AsyncGenerator[Chunk] | None = None
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

    def __anext__(self) -> Awaitable[Chunk]:
        # No reader holds the generator itself: one that an error or a reader's timeout has ended would just stop from then on.
        chunks, stream = self._chunks, self._stream
        if chunks is None:
            chunks = self._chunks = _chunks(self._begin(), self._answer)
        elif stream is not None and stream.is_over and self._answer.finish is None:
            chunks = self._chunks = _chunks(stream, self._answer)  # it raises again
        return chunks.__anext__()

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
        elif self._answer.finish is None or not (stream.is_delivered or self._chunks is None):
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
        # The generator of chunks is left as it is: a reader inside it is to get an error, and would get an end.

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
