"""`BatchStream`, the inner stream of an answer: its batches as they come, or all of them as one. Knows no chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Protocol, Self, TypeAlias

from .answer import Answer
from .awaitables import DONE
from .errors import HTTPError, IncompleteStreamError
from .events import Batch, FinishReason
from .report import Report

#: Takes a batch at once. Returns False when the reader wants its turn before the next one comes.
Sink: TypeAlias = Callable[[Batch], bool]


class BatchStream(Protocol):
    """Batches as they come, `Started` first and `FinishReason` last, and a way to stop them. Its holder closes it.

    Making one does no I/O; the first batch is asked for with the first ``anext``.
    """

    def __aiter__(self) -> AsyncIterator[Batch]: ...
    def __anext__(self) -> Awaitable[Batch]: ...

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """Hand the batches by which the answer only continues to *sink* as they come, without a task switch.

        It returns when something is left for ``anext``: the end, an error, a batch that is not usual, or because *sink* wants
        it so. Errors are never raised here. False: the stream cannot do so, do not call it again.
        """
        ...

    def aclose(self) -> Awaitable[None]:
        """Stop the answer now. Safe to call twice, and while another task waits for a batch."""


class SentRequest(Protocol):
    """A request that was sent at once, and of whose answer nothing was read. Its holder learns once that something of it is
    there, or an error, and then reads it in one of two ways."""

    def whole(self) -> tuple[Batch, Report] | None:
        """Return the complete answer as one batch, and how it came about, where it is there and soon proven to be complete; the
        request is over then. None elsewhere: nothing was read."""
        ...

    def batches(self, answer: Answer, *, whole: bool = False) -> BatchStream:
        """Return the answer as `AsyncGeneratorProvider.stream` does, for the reader that fills *answer*. It may be called
        before anything is there: the holder does not learn of that any more. *whole*: see `CallOptions`."""
        ...


async def cannot_pipe() -> bool:
    """Return what `BatchStream.pipe_to` returns for a stream that cannot hand on batches without a task switch."""
    return False


class GeneratedBatches:
    """A `BatchStream` over an async generator, which is made when the first batch is asked for.

    Example::

        async def batches():
            yield ["Hello", FinishReason("stop", "finish_reason")]

        stream = GeneratedBatches(batches)
    """

    __slots__ = ("_closed", "_generator", "_source")

    def __init__(self, source: Callable[[], AsyncGenerator[Batch]]) -> None:
        self._source = source
        self._generator: AsyncGenerator[Batch] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        if self._closed:
            raise StopAsyncIteration
        if self._generator is None:
            self._generator = self._source()
        return await self._generator.__anext__()

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`; a generator cannot."""
        return cannot_pipe()

    async def aclose(self) -> None:
        """See `BatchStream.aclose`. A generator that runs cannot be closed: its reader gets one batch more."""
        self._closed = True
        if self._generator is not None and not self._generator.ag_running:  # type: ignore[attr-defined]
            await self._generator.aclose()


#: Events of a whole answer in which nothing can come twice: `Started`, one more, `FinishReason`.
JOINED: Final = 3


def joined(batch: Batch) -> Batch:
    """Return *batch*, a whole answer, with each kind of event once."""
    if len(batch) <= JOINED:
        return batch
    answer = Answer()
    answer.add(batch)
    return answer.joined()


class JoinedBatches:
    """All of a stream's batches as one, for a caller who did not ask for a stream. ``answer``: what they are folded into."""

    __slots__ = ("_answer", "_is_over", "_is_whole", "_stream")

    def __init__(self, stream: BatchStream, answer: Answer) -> None:
        self._stream = stream
        self._answer = answer
        self._is_over = False
        self._is_whole = False  # the one batch was returned

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        answer = self._answer
        if self._is_whole:
            raise StopAsyncIteration
        try:
            batch = await self._stream.__anext__()
            is_joined = len(batch) <= JOINED and type(batch[-1]) is FinishReason
            if not is_joined:
                answer.add(batch)
            while type(batch[-1]) is not FinishReason:
                batch = await self._stream.__anext__()
                answer.add(batch)
        except StopAsyncIteration:
            raise IncompleteStreamError(partial=answer.text) from None
        except HTTPError as error:
            error.partial = answer.text or error.partial
            raise
        finally:
            await self._stream.aclose()
            self._is_over = True
        self._is_whole = True
        if is_joined:
            return batch
        if answer.report is not None:
            answer.report.joined = answer.deltas
        return answer.joined()

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`; there is nothing to hand on."""
        return cannot_pipe()

    def aclose(self) -> Awaitable[None]:
        """See `BatchStream.aclose`."""
        return DONE if self._is_over else self._stream.aclose()
