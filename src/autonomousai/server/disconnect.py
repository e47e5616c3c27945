"""The scope of one answer: it is cancelled as soon as its caller disconnects, or the server shuts down."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ..http.server.exchange import ClientLeftError, Exchange
from ..limiter import Interruptible
from ..streams.orphans import Orphans


class DisconnectScope:
    """``with`` it, the block is cancelled as soon as the caller leaves or is interrupted, and the reason is raised instead of
    the cancellation: `ClientLeftError`, or what `interrupt` was given.

    Only for a request whose body has been read: what comes from then on is the disconnect alone.
    """

    __slots__ = ("_answering", "_exchange", "_orphans", "_reason", "_registry", "_suspicion")

    def __init__(self, exchange: Exchange, registry: set[Interruptible], orphans: Orphans) -> None:
        self._exchange = exchange
        self._registry = registry
        self._orphans = orphans
        self._suspicion: asyncio.TimerHandle | None = None
        self._reason: Exception | None = None
        #: The task that answers, as long as it may be interrupted.
        self._answering: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._answering = asyncio.current_task()
        self._registry.add(self)
        self._exchange.watch(self)
        return self

    def on_left(self) -> None:
        """The caller has left."""
        self.interrupt(ClientLeftError())

    def interrupt(self, reason: Exception) -> None:
        """Cancel the block now, unless it is over or cancelled already."""
        if self._answering is not None and self._reason is None:
            self._reason = reason
            self._suspicion = self._orphans.suspect()
            self._answering.cancel()

    def release(self) -> None:
        """The answer is complete but for its last bytes: from now on it is not interrupted any more."""
        self._registry.discard(self)
        self._exchange.unwatch()
        if self._reason is None:
            self._answering = None

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._answering is None:  # released, and not interrupted before
            return
        self.release()
        if self._suspicion is not None:
            self._orphans.clear(self._suspicion)
        if self._reason is None or self._answering is None:
            return
        if self._answering.uncancel() > 0:
            return  # the task was cancelled from elsewhere as well, which goes first
        if exc is not None:
            raise self._reason from None
