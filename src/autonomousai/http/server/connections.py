"""All connections of a server, the tasks of those that are being answered, and how many begin to be at once."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Protocol

from ...errors import StatusError
from ..sweep import Sweep
from .cycle import RequestResponseCycle
from .exchange import Application, Handle
from .known_heads import KnownHeads

#: Requests that begin to be answered in one turn of the loop, at least. To begin costs as much as several events of a stream,
#: so that those who come all at once would hold up all streams that are open; and as more come meanwhile, each time for longer.
STARTS: Final = 16

#: Seconds that a turn may take before fewer begin: what it takes is what the streams that are open wait for. While turns are
#: shorter, `STARTS` more may begin in each, or who comes among many would wait for long beside a core that could do more.
_LONG_TURN: Final = 0.08

#: Requests that begin in one turn, at most.
_MOST_STARTS: Final = 16 * STARTS

#: Seconds between two looks at whether the connections are still used.
SWEEP_S: Final = 5.0

#: Ends of connections over which their pace is measured.
_REMEMBERED: Final = 32


def starts_after(turn: float, starts: int) -> int:
    """Return how many requests may begin in the next turn of the loop, after one of *turn* seconds in which *starts* began."""
    return min(starts + STARTS, _MOST_STARTS) if turn < _LONG_TURN else max(starts // 2, STARTS)


class Closable(Protocol):
    """What is to be known of a connection."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def look(self, now: float) -> None: ...
    def shutdown(self) -> None: ...


class Connections:
    """``none_left``: set while there is no connection. ``is_closed``: set when no connection is to be let in any more; one
    that was on the way in already is closed. ``descriptors``: how many may be in use before new callers are refused, None for
    any number. ``heads``: what their callers send again and again."""

    def __init__(self, descriptors: int | None = None) -> None:
        self.connections: set[Closable] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.heads = KnownHeads()
        self.none_left = asyncio.Event()
        self.none_left.set()
        self.is_closed = False
        #: Requests that may begin in one turn of the loop.
        self.starts = STARTS
        self._room = STARTS  # in this turn
        self._full_at = 0.0  # when the last one began that might in this turn
        self._waiting: deque[tuple[RequestResponseCycle, Application]] = deque()
        self._descriptors = descriptors
        self._sweep: Sweep | None = None  # from the first connection on: looks which are not used any more
        self._lost_at = deque([monotonic()], maxlen=_REMEMBERED)

    def add(self, connection: Closable) -> None:
        """It has been made."""
        self.connections.add(connection)
        if self._sweep is None:
            self._sweep = Sweep(connection.loop, SWEEP_S)
        self._sweep.add(connection)
        self.none_left.clear()
        if self.is_closed:
            connection.transport.abort()

    def discard(self, connection: Closable) -> None:
        """It has been lost."""
        self.connections.discard(connection)
        self._lost_at.append(monotonic())
        if self._sweep is not None:
            self._sweep.discard(connection)
        if not self.connections:
            self.none_left.set()
            if self._sweep is not None:
                self._sweep.stop()

    def has_room(self, descriptor: int) -> bool:
        """Return whether descriptors are left beside that of a new connection: the system gives the lowest that is free."""
        return self._descriptors is None or descriptor < self._descriptors

    def no_room(self) -> StatusError:
        """Return the error for who comes while descriptors are short: as often as connections ended of late, one will."""
        wait = (monotonic() - self._lost_at[0]) / len(self._lost_at)
        return StatusError(
            "the server has as many connections as it may have; try again later",
            status=503,
            type="server_error",
            code="overloaded",
            retry_after=max(1.0, wait),
        )

    def start(self, exchange: RequestResponseCycle, app: Application) -> None:
        """Let *app* answer: now, or in its turn behind those that came before."""
        if not self._room:
            self._waiting.append((exchange, app))
            return
        self._room -= 1
        if not self._room:  # a server that is never busy asks the loop for nothing
            self._full_at = monotonic()
            exchange.connection.loop.call_soon(self._next_turn)
        if not app.launch(exchange):
            exchange.task = task = exchange.connection.loop.create_task(exchange.run(app.handle, app, self.tasks))
            self.tasks.add(task)

    def run(self, exchange: RequestResponseCycle, app: Application, handle: Handle) -> None:
        """Let *handle* of *app* answer what was launched."""
        exchange.task = task = exchange.connection.loop.create_task(exchange.run(handle, app, self.tasks))
        self.tasks.add(task)

    def _next_turn(self) -> None:
        self.starts = starts_after(monotonic() - self._full_at, self.starts)
        self._room = self.starts
        while self._room and self._waiting:
            self.start(*self._waiting.popleft())
