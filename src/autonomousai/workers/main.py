"""The runner of `autonomousai serve`: the address, and then one process that serves, or a parent of several that do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..config import Config, Reloaded, check_exposure
from ..errors import ConfigError
from ..http.urls import authority
from ..server.app import App
from ..server.upstreams import UpstreamMaker, make_gateway
from ..telemetry.access_log import LogFormat, open_log
from ..telemetry.tracer import open_tracer
from .banner import banner
from .malloc import tune_malloc
from .reloading import LoadConfig, reload_at_sighup
from .server import Server, loop_factory
from .shutdown import Shutdown, say, signals_to
from .sockets import bind
from .systemd import ServiceManager

if TYPE_CHECKING:
    from .parent import Workers


def run(
    config: Config,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int = 1,
    log: LogFormat | None = None,
    load: Callable[[], Config] | None = None,
    prepare: Callable[[Config], None] = lambda _: None,
) -> int:
    """Serve until a signal comes, and return the exit code. ``host``, ``port`` and ``log`` go over the config's.
    ``load``: reads the config's file again, at SIGHUP and where an admin asks for it. ``prepare``: fetches what the config
    needs, after what is refused without it.

    On stdout stands exactly one line, once the server takes requests: ``listening on http://HOST:PORT``. Raises `ConfigError`
    for what cannot be listened on, and what a provider raises that cannot start.
    """
    host = (config.server.host if host is None else host).strip("[]")
    port = config.server.port if port is None else port
    given = {"host": host, "port": port, "log": log or config.server.log}
    server = msgspec.structs.replace(config.server, **given)
    check_exposure(server, config.keys)
    if workers > 1 and server.state == "memory:":
        raise ConfigError(
            f"--workers {workers}: server.state is 'memory:', so a stream could not be resumed at another worker; "
            "set it to 'sqlite:PATH', or to 'redis://host[:port]' to share streams with other machines too"
        )
    config = msgspec.structs.replace(config, server=server)
    with bind(host, port) as listener:  # a port that is taken is said before anything is fetched
        _check_routes(config)
        prepare(config)
        tune_malloc()
        reload = None if load is None else partial(_load_again, load, given)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(config, listener, authority(host, listener.getsockname()[1]), workers, reload))


async def _load_again(load: Callable[[], Config], given: Mapping[str, Any]) -> Config:
    """Return the config of the file as it is now. What was *given* at the start still goes over it."""
    config = await asyncio.to_thread(load)
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, **given))


async def _serve(config: Config, listener: socket.socket, where: str, workers: int, load: LoadConfig | None) -> int:
    ending = Shutdown()
    manager = ServiceManager()
    app = _app(config) if workers == 1 else None

    def announce() -> None:
        url = f"http://{where}"
        say(banner(config, app.provider if app else make_gateway(config), url))
        print(f"listening on {url}", flush=True)
        manager.ready(f"listening on {url}")

    def say_draining() -> None:
        seconds = config.server.drain_s
        say(f"draining for up to {seconds:g} s; a second signal ends it\n")
        manager.stopping(f"draining for up to {seconds:g} s")

    async with manager.watchdog(), contextlib.AsyncExitStack() as reloading:
        reloading.enter_context(signals_to(ending.on_signal))
        if app is not None:
            if load is not None:
                app.reload_file = partial(_reload, app.reload, load)
                reloading.enter_context(reload_at_sighup(partial(manager.reload, app.reload_file)))
            one = Server(app, config.server.drain_s, ending, on_listening=announce, on_draining=say_draining)
            await one.serve(listener, where)
        else:
            several = _several(config)(workers, ending, on_listening=announce, on_draining=say_draining, load=load)
            if load is not None:
                reloading.enter_context(reload_at_sighup(partial(manager.reload, several.reload)))
            await several.serve(listener, where)
    return ending.code


def _several(config: Config) -> Callable[..., Workers]:
    """Return what makes the parent of several processes that serve together, which one alone does not need."""
    # The engine comes with it.
    from ..server.engine_upstreams import EngineMaker  # noqa: PLC0415
    from .engines import SharedEngines  # noqa: PLC0415
    from .parent import Workers  # noqa: PLC0415

    return partial(Workers, SharedEngines(config, EngineMaker(config)))


def _app(config: Config) -> App:
    """Return the application of one process that serves alone."""
    tracer = open_tracer(config.telemetry)
    maker = UpstreamMaker(tracer)
    return App(config, maker.make(config), log=open_log(config.server.log), tracer=tracer, maker=maker)


async def _reload(reload: Callable[[Config], Awaitable[Reloaded]], load: LoadConfig) -> Reloaded:
    return await reload(await load())


def _check_routes(config: Config) -> None:
    """An upstream that no model has a route to is the first mistake one makes. Mounted elsewhere, readyz tells of it."""
    if not config.served():
        first = next(iter(config.upstreams), "NAME")
        raise ConfigError(
            f'models: none has a route, so that nothing would be served; write [models.llama] and route = ["{first}"]'
        )
