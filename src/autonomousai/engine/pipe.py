"""Hands on the pieces of one answer past the generators that it comes through, which cost a task switch for every token. Knows
the stream of the engine's client, and what is done with each piece.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from ..batches import BatchStream, GeneratedBatches, Sink, cannot_pipe
from ..events import Batch

#: Returns what of a batch is to be handed on, and whether the answer continues behind it.
Continue = Callable[[Batch], tuple[Batch, bool]]


class EnginePipe:
    """From the engine's client to the reader of an answer, while its generators wait. ``left``: a batch after which the answer
    does not continue, for the generators to bring."""

    __slots__ = ("_batches", "_continue", "_sink", "left")

    def __init__(self) -> None:
        self.left: Batch = []
        self._batches: BatchStream | None = None

    def open(self, batches: BatchStream, continued: Continue) -> None:
        """Take what *batches* bring from now on, as *continued* says."""
        self._batches = batches
        self._continue = continued

    def close(self) -> None:
        """Take nothing any more."""
        self._batches = None

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`. It cannot, where it is not open."""
        if self._batches is None:
            return cannot_pipe()
        self._sink = sink
        return self._batches.pipe_to(self._take)

    def _take(self, brought: Batch) -> bool:
        batch, continues = self._continue(brought)
        if not continues:
            self.left = batch
            return False
        return self._sink(batch) if batch else True


class EngineBatches(GeneratedBatches):
    """The batches of one answer of the engine. *pipe*: opened by the generator where it does nothing else with each."""

    __slots__ = ("_pipe",)

    def __init__(self, source: Callable[[], AsyncGenerator[Batch]], pipe: EnginePipe) -> None:
        super().__init__(source)
        self._pipe = pipe

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`."""
        return self._pipe.pipe_to(sink)
