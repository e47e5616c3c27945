"""The runner of `autonomousai serve`: one socket, one event loop, signals and the drain. Of the application it knows the life.

uvicorn's own server closes the listener first and exits by the signal; here a signal means: take no more work, and keep saying
so to whoever comes, finish what was begun within ``drain_s``, tell the rest, exit 0. A second signal means: now.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..config import Config, check_exposure
from ..errors import ConfigError
from .app import App, create_app
from .greeting import greeting
from .http import Connections, listen
from .requestlog import LogFormat, RequestLog

#: Seconds for the last words to those who were still being answered when the time to drain was over.
FAREWELL_S: Final = 2.0

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run(
    config: Config,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int = 1,
    log: LogFormat | None = None,
) -> int:
    """Serve until a signal comes, and return the exit code. ``host``, ``port`` and ``log`` go over the config's.

    On stdout stands exactly one line, once the server takes requests: ``listening on http://HOST:PORT``. Raises `ConfigError`
    for what cannot be listened on, and what a provider raises that cannot start.
    """
    if workers != 1:
        raise ConfigError(
            f"--workers {workers}: this version runs one worker; run several servers on ports of their own, which may share "
            "what outlives a connection with a server.state other than 'memory:'"
        )
    host = (config.server.host if host is None else host).strip("[]")
    port = config.server.port if port is None else port
    server = msgspec.structs.replace(config.server, host=host, port=port, log=log or config.server.log)
    check_exposure(server)
    config = msgspec.structs.replace(config, server=server)
    with bind(host, port) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        _check_routes(config)
        app = create_app(config, log=None if server.log == "off" else RequestLog(server.log))
        return runner.run(_Server(app, config).serve(listener, host))


def _check_routes(config: Config) -> None:
    """An upstream that no model has a route to is the first mistake one makes. Mounted elsewhere, readyz tells of it."""
    if not config.served():
        first = next(iter(config.upstreams), "NAME")
        raise ConfigError(
            f'models: none has a route, so that nothing would be served; write [models.llama] and route = ["{first}"]'
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet. Port 0 is any free one."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"server.port: {port} is no port; choose one between 1 and 65535, or 0 for any free one")
    where = f"{_bracketed(host)}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"server.host: cannot find the address {host!r} ({error.strerror or error})") from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(where, error) from None
    return listener


def _cannot_listen(where: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"server.port: cannot listen on {where} ({error.strerror or error}); "
        "stop what listens there, or choose another with --port (0 takes any free one)"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415  it does not exist on every system

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Server:
    """One application on one socket, from its start to its end."""

    def __init__(self, app: App, config: Config) -> None:
        self._app = app
        self._config = config
        self._drain_s = config.server.drain_s
        self._connections = Connections()
        self._asked = asyncio.Event()
        self._forced = asyncio.Event()
        self._code = 0

    async def serve(self, listener: socket.socket, host: str) -> int:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            if await self._start():
                server = await self._listen(listener, host)
                await self._asked.wait()
                await self._drain()
                server.close()
                await self._disconnect()
            return self._code
        finally:
            await self._app.aclose()
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if self._forced.is_set():
            os._exit(128 + number)  # the third time
        if self._asked.is_set():
            self._code = 128 + number
            self._forced.set()
        self._asked.set()

    async def _listen(self, listener: socket.socket, host: str) -> asyncio.Server:
        port = listener.getsockname()[1]
        try:
            server = await listen(self._app, listener, self._connections)
        except OSError as error:
            raise _cannot_listen(f"{_bracketed(host)}:{port}", error) from None
        url = f"http://{_bracketed(host)}:{port}"
        print(greeting(self._config, self._app.provider, url), end="", file=sys.stderr, flush=True)
        print(f"listening on {url}", flush=True)
        return server

    async def _start(self) -> bool:
        """Start the providers. False when a signal came first."""
        starting = asyncio.create_task(self._app.start())
        if await self._first(starting, self._asked, None):
            await starting  # raises what it raised
            return True
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False

    async def _drain(self) -> None:
        """New requests get 503 from now on. Return when nobody is being answered any more, one way or the other."""
        print(f"draining for up to {self._drain_s:g} s; a second signal ends it", file=sys.stderr, flush=True)
        self._app.drain()
        if not await self._first(asyncio.create_task(self._app.empty()), self._forced, self._drain_s):
            self._app.dismiss()
            await self._first(asyncio.create_task(self._app.empty()), self._forced, FAREWELL_S)

    async def _first(self, work: asyncio.Task[Any], event: asyncio.Event, seconds: float | None) -> bool:
        """Whether *work* was done before *event* and within *seconds*. It is not cancelled otherwise."""
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait({work, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return work.done()

    async def _disconnect(self) -> None:
        """Close all connections: after what is still to be sent, but not long after. Their tasks end with them."""
        connections = self._connections
        for connection in list(connections.connections):
            connection.shutdown()
        closed = asyncio.create_task(connections.none_left.wait())
        await self._first(closed, self._forced, FAREWELL_S)
        closed.cancel()
        for connection in list(connections.connections):
            connection.transport.abort()
        if connections.tasks:
            await asyncio.wait(list(connections.tasks), timeout=FAREWELL_S)
