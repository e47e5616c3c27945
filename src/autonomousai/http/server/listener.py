"""A listening socket, whose connections are taken as they come, however much else there is to do."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from .connections import STARTS, Connections
from .exchange import Application
from .protocol import HTTPProtocol

BACKLOG: Final = 2048

#: Connections that are taken at once, beside the one of which the loop has told: as many as can begin to be answered. More
#: would be taken away from the other workers, which listen on the same socket.
_TAKEN: Final = STARTS


async def listen(app: Application, listener: socket.socket, connections: Connections) -> asyncio.Server:
    """Serve *app* on a bound socket. Raises `OSError` when that cannot be. Whoever calls it minds lifespan and signals."""
    door = Acceptor(app, listener, connections)
    return await door.loop.create_server(door.on_connection, sock=listener, backlog=BACKLOG)


class Acceptor:
    """Takes what waits to be taken whenever the loop has taken one connection. libuv takes a single one each time that it has
    looked at all sockets, which with a thousand streams is a few times a second: new callers would wait for half a minute."""

    def __init__(self, app: Application, listener: socket.socket, connections: Connections) -> None:
        self.loop = asyncio.get_running_loop()
        self._app = app
        self._listener = listener
        self._connections = connections
        self._is_due = False
        self._entering: set[asyncio.Task[None]] = set()

    def on_connection(self) -> HTTPProtocol:
        """The loop has taken one."""
        if not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._take_more)
        return self._make()

    def _make(self) -> HTTPProtocol:
        return HTTPProtocol(self._app, self._connections, self.loop)

    def _take_more(self) -> None:
        self._is_due = False
        with suppress(OSError):  # none is left, or the loop will tell of it, or the socket is closed
            for _ in range(_TAKEN):
                taken, _ = self._listener.accept()
                taken.setblocking(False)
                entering = self.loop.create_task(self._enter(taken))
                self._entering.add(entering)
                entering.add_done_callback(self._entering.discard)

    async def _enter(self, taken: socket.socket) -> None:
        try:
            if taken.family != socket.AF_UNIX:
                taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(self._make, taken)
        except OSError:  # whoever it was has gone
            taken.close()
