"""Answers for callers who block: an answer is read in a background loop, a batch whenever the caller wants its next chunk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from .blocking import BackgroundLoop, ClosedError
from .completion import Completion
from .errors import IncompleteStreamError
from .events import Batch, Chunk

if TYPE_CHECKING:
    from .batches import BatchStream
    from .result import AsyncResult

#: Seconds within which a response that a blocking caller leaves is closed.
_FAREWELL: Final = 5.0


def completion_of(
    result: AsyncResult, chunks_of: Callable[[Batch], Iterable[Chunk]], background: Callable[[], BackgroundLoop]
) -> Completion:
    """Return *result* for blocking code: it is read in the loop that *background* returns, and nothing is read ahead.
    *chunks_of*: what a caller gets of the next batch."""

    def hang_up() -> None:
        with contextlib.suppress(CancelledError, TimeoutError, RuntimeError):  # what is closed needs no closing
            closing = background()
            over = closing.submit(result.aclose())
            if not closing.is_asking:
                over.result(_FAREWELL)

    return Completion(_chunks(result, chunks_of, background), result.answer, hang_up)


def _chunks(
    result: AsyncResult, chunks_of: Callable[[Batch], Iterable[Chunk]], background_of: Callable[[], BackgroundLoop]
) -> Generator[Chunk]:
    reader = _Reader(result, background_of())
    try:
        while (batch := reader.next()) is not None:
            yield from chunks_of(batch)
    except (CancelledError, ClosedError):
        problem = "the provider was closed before the answer was complete"
        raise IncompleteStreamError(problem, partial=result.text_so_far) from None
    finally:
        reader.leave()


class _Reader:
    """One task of a background loop that reads an answer, a batch whenever its caller wants one, and closes it at the end.

    The caller and the task hand over by an event and a queue: a task and a future for each batch would cost as much again.
    """

    def __init__(self, result: AsyncResult, background: BackgroundLoop) -> None:
        self._result = result
        self._background = background
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._task: asyncio.Task[Any] | None = None
        self._is_left = False
        self._begun = False
        #: The batches, and behind them the task's end.
        self._brought: SimpleQueue[Batch | Future[None]] = SimpleQueue()
        self._end = background.submit(self._read(result.batches()))
        self._end.add_done_callback(self._brought.put)

    def next(self) -> Batch | None:
        """Wait for the next batch and return it; None at the end. Raises what the answer raises, `CancelledError` where the
        loop ends before, and `ClosedError` where it has ended."""
        if self._begun:
            if self._result.finish is not None:  # nothing follows it
                return None
            self._background.call(self._wanted.set)
        self._begun = True
        brought = self._brought.get()
        if isinstance(brought, Future):
            return brought.result()
        return brought

    def leave(self) -> None:
        """Close the answer, and wait for that, but for the loop's own thread, where nothing of it can be waited for."""
        with contextlib.suppress(CancelledError, ClosedError, TimeoutError):
            if not self._end.done() and self._result.finish is None:
                self._background.call(self._stop)
            if not self._background.is_asking:
                self._end.exception(_FAREWELL)

    # ---- in the loop

    async def _read(self, batches: BatchStream) -> None:
        self._task = asyncio.current_task()
        try:
            while not self._is_left and self._result.finish is None:
                await self._wanted.wait()
                self._wanted.clear()
                if (batch := await anext(batches, None)) is None:
                    break
                self._brought.put(batch)
        finally:
            self._task = None
            await self._result.aclose()

    def _stop(self) -> None:
        self._is_left = True
        if self._task is not None:
            self._task.cancel()
