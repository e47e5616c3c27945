"""A listening socket, whose connections are taken as they come, however much else there is to do; and the sockets of other
workers, whose connections are taken where no other worker does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from .connections import Connections
from .exchange import Application
from .protocol import HTTPProtocol

BACKLOG: Final = 2048

#: Seconds between two looks at the sockets of the other workers: longer than a healthy worker leaves a connection waiting, and
#: too short to matter to who waits at one that is dead.
LOOK_S: Final = 0.25


async def listen(
    app: Application, listener: socket.socket, connections: Connections, others: Sequence[socket.socket] = ()
) -> Acceptor:
    """Serve *app* on a bound socket until the returned `Acceptor` is closed. Raises `OSError` when that cannot be. Lifespan and
    signals are the caller's to mind."""
    acceptor = Acceptor(app, listener, connections, others)
    await acceptor.start()
    return acceptor


class Acceptor:
    """Takes what waits to be taken whenever the loop has taken one connection. libuv takes a single one each time that it has
    looked at all sockets, which with a thousand streams is a few times a second: new callers would wait for half a minute.

    ``others``: sockets that listen at the same address, do not block, and are other workers'. The system gives each of them its
    share of the connections, whether its worker takes them or not: who waits at one that is dead, stuck or not back yet is
    taken here.
    """

    def __init__(
        self, app: Application, listener: socket.socket, connections: Connections, others: Sequence[socket.socket] = ()
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._app = app
        self._listener = listener
        self._connections = connections
        self._others = others
        self._is_due = False
        self._entering: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._next_look: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Take connections from now on. Raises `OSError` when that cannot be."""
        self._server = await self._loop.create_server(self._on_connection, sock=self._listener, backlog=BACKLOG)
        if self._others:
            self._look_at_others()

    def close(self) -> None:
        """Take no more. What waits in a socket that another process has too is left to that one."""
        if self._server is not None:
            self._server.close()
        if self._next_look is not None:
            self._next_look.cancel()

    def _on_connection(self) -> HTTPProtocol:
        """The loop has taken one."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._take_more)
        return self._make()

    def _make(self) -> HTTPProtocol:
        return HTTPProtocol(self._app, self._connections, self._loop)

    def _take_more(self) -> None:
        self._is_due = False
        self._take(self._listener)

    def _look_at_others(self) -> None:
        has_more = [self._take(other) for other in self._others]
        self._next_look = self._loop.call_later(0 if any(has_more) else LOOK_S, self._look_at_others)

    def _take(self, listener: socket.socket) -> bool:
        """Take who waits there, and no more than can begin: more would be taken away from the other workers, which may listen
        on the same socket. Returns whether more may wait."""
        with suppress(OSError):  # none is left, or the loop will tell of it, or the socket is closed
            for _ in range(self._connections.starts):
                taken, _ = listener.accept()
                taken.setblocking(False)
                entering = self._loop.create_task(self._enter(taken))
                self._entering.add(entering)
                entering.add_done_callback(self._entering.discard)
            return True
        return False

    async def _enter(self, taken: socket.socket) -> None:
        try:
            if taken.family != socket.AF_UNIX:
                taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._make, taken)
        except OSError:  # the other end has gone
            taken.close()
