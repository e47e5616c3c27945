"""Answers for callers who block: an answer is read in a background loop, a batch whenever the caller wants its next chunk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

from .blocking import BackgroundLoop, ClosedError
from .completion import Completion
from .errors import IncompleteStreamError
from .events import Batch, Chunk

if TYPE_CHECKING:
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
    background = background_of()
    batches = result.batches()
    left = asyncio.Event()
    reading: asyncio.Task[Any] | None = None

    async def hold() -> None:
        """Until the caller leaves, or the loop ends. It may be that a batch is still waited for then."""
        nonlocal reading
        try:
            await left.wait()
        finally:
            if reading is not None and not reading.done():
                reading.cancel()
                await asyncio.wait([reading])
            reading = None  # it would hold the error that holds our frame
            await result.aclose()

    async def next_batch() -> Batch | None:
        nonlocal reading
        reading = asyncio.current_task()
        return await anext(batches, None)

    async def leave() -> None:
        left.set()

    holding = background.submit(hold())
    try:
        while (batch := background.submit(next_batch()).result()) is not None:
            yield from chunks_of(batch)
    except (CancelledError, ClosedError):
        problem = "the provider was closed before the answer was complete"
        raise IncompleteStreamError(problem, partial=result.text_so_far) from None
    finally:
        with contextlib.suppress(CancelledError, ClosedError, TimeoutError):
            background.submit(leave())
            if not background.is_asking:
                holding.result(_FAREWELL)
