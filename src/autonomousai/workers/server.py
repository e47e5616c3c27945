"""One application on one socket, from its start to its end: the drain, and what is said to those who are still there.

Usual servers close the listener first and exit by the signal; here a signal means: take no more work, and keep saying so to
every caller, finish what was begun within ``drain_s``, tell the rest, exit 0. A second signal means: now.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import socket
from collections.abc import Callable, Sequence
from typing import Final

from ..http.server.connections import Connections
from ..http.server.exchange import ServedApplication
from ..http.server.listener import listen
from .descriptors import raise_descriptor_limit
from .shutdown import FAREWELL_S, Shutdown
from .sockets import cannot_listen


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415  it does not exist on every system

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


#: Containers that may be added before the collector looks for cycles; usually it is after 700. No answer leaves any, and a look
#: at the whole process, every few thousand requests, is a pause that all streams notice.
_COLLECT_AFTER: Final = 10_000


def _calm_collector() -> None:
    """What is here now stays until the end, and need not be looked at again."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 2, 200)


class Server:
    """One application on one socket. ``on_listening`` and ``on_draining`` are called when it has come to that."""

    def __init__(
        self,
        app: ServedApplication,
        drain_s: float,
        ending: Shutdown,
        *,
        on_listening: Callable[[], None],
        on_draining: Callable[[], None],
    ) -> None:
        self._app = app
        self._drain_s = drain_s
        self._ending = ending
        self._on_listening = on_listening
        self._on_draining = on_draining
        self._connections = Connections(raise_descriptor_limit())

    async def serve(self, listener: socket.socket, where: str, others: Sequence[socket.socket] = ()) -> None:
        """Serve until the end. ``where``: what to call the socket's address. ``others``: see `Acceptor`."""
        try:
            if await self._start():
                try:
                    acceptor = await listen(self._app, listener, self._connections, others)
                except OSError as error:
                    raise cannot_listen(where, error) from None
                _calm_collector()
                self._on_listening()
                await self._ending.asked.wait()
                await self._drain()
                acceptor.close()
                await self._disconnect()
        finally:
            await self._app.aclose()

    async def _start(self) -> bool:
        """Start the providers. False when the end was asked for first."""
        starting = asyncio.create_task(self._app.start())
        if await self._ending.first(starting, self._ending.asked):
            await starting  # raises what it raised
            return True
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False

    async def _drain(self) -> None:
        """New requests get 503 from now on. Return when no request is being answered any more, one way or the other."""
        self._on_draining()
        self._app.drain()
        if not await self._ending.first(asyncio.create_task(self._app.empty()), self._ending.forced, self._drain_s):
            self._app.cancel_all()
            await self._ending.first(asyncio.create_task(self._app.empty()), self._ending.forced, FAREWELL_S)

    async def _disconnect(self) -> None:
        """Close all connections: after what is still to be sent, but not long after. Their tasks end with them."""
        connections = self._connections
        connections.is_closed = True
        for connection in list(connections.connections):
            connection.shutdown()
        closed = asyncio.create_task(connections.none_left.wait())
        await self._ending.first(closed, self._ending.forced, FAREWELL_S)
        closed.cancel()
        for connection in list(connections.connections):
            connection.transport.abort()
        if connections.tasks:
            await asyncio.wait(list(connections.tasks), timeout=FAREWELL_S)
