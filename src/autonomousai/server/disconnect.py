"""The scope of one answer: it is cancelled as soon as its caller disconnects, or the server shuts down."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ..http.server.asgi import ClientLeftError, DisconnectNotifier, Receive
from ..limiter import Interruptible
from ..streams.orphans import Orphans


class DisconnectScope:
    """Somebody who waits for an answer. ``with`` it, the block is cancelled as soon as they leave or are sent away, and the
    reason is raised instead of the cancellation: `ClientLeftError`, or what `interrupt` was given.

    Only for a request whose body has been read: what is received from then on is the leaving alone.
    """

    __slots__ = ("_answering", "_leaving", "_orphans", "_reason", "_receive", "_registry", "_suspicion", "_watching")

    def __init__(
        self, leaving: DisconnectNotifier | None, receive: Receive, registry: set[Interruptible], orphans: Orphans
    ) -> None:
        self._leaving = leaving
        self._receive = receive
        self._registry = registry
        self._orphans = orphans
        self._suspicion: asyncio.TimerHandle | None = None
        self._reason: Exception | None = None
        #: Who answers, as long as that may be interrupted.
        self._answering: asyncio.Task[object] | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._answering = asyncio.current_task()
        self._registry.add(self)
        if self._leaving is not None:
            self._leaving.add(self)
        else:
            self._watching = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.on_left()

    def on_left(self) -> None:
        """The other end of the connection has gone."""
        self.interrupt(ClientLeftError())

    def interrupt(self, reason: Exception) -> None:
        """Cancel the answering now, unless it is over or cancelled already."""
        if self._answering is not None and self._reason is None:
            self._reason = reason
            self._suspicion = self._orphans.suspect()
            self._answering.cancel()

    def release(self) -> None:
        """The answer is complete but for its last bytes: from now on it is not interrupted any more."""
        self._registry.discard(self)
        if self._leaving is not None:
            self._leaving.discard(self)
        elif self._watching is not None:
            self._watching.cancel()
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
            return  # somebody else cancelled us as well, and goes first
        if exc is not None:
            raise self._reason from None
