"""Another config while the server runs: what has not changed stays, what was begun ends as it began, and a config that cannot
be served is refused before anything is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ConfigError, StatusError
from ..gateway.gateway import Gateway
from ..gateway.upstream import Upstream
from ..settings import Reloaded
from .auth import ADMIN_PATH

#: Seconds between two looks whether the answers are over that upstreams were used for which are gone.
_LOOK_S: Final = 0.5

#: A config. What one is, the composition root knows.
Config_contra = TypeVar("Config_contra", contravariant=True)

#: Loads the config's file again, and has all that serve together serve by it.
ReloadFile = Callable[[], Awaitable[Reloaded]]


class GatewayMaker(Protocol[Config_contra]):
    """Makes gateways of configs, one after another; an upstream that has not changed is the same object in the next.
    ``is_stale``: whether the same config would make another one now; ``settled``: models that any of them would serve."""

    def make(self, config: Config_contra, current: Mapping[str, Upstream]) -> Gateway: ...

    def is_stale(self) -> bool: ...

    def settled(self, gateway: Gateway) -> frozenset[str]: ...


class Reloader(Generic[Config_contra]):
    """Puts one config after another into a *gateway* that is served. ``check``: raises `ConfigError` where the second of two
    configs cannot follow the first while the server runs; ``prepare``: is waited for before anything changes;
    ``apply``: has the rest of the server follow; ``running``: what is being answered now."""

    def __init__(
        self,
        config: Config_contra,
        gateway: Gateway,
        maker: GatewayMaker[Config_contra],
        *,
        check: Callable[[Config_contra, Config_contra], None],
        prepare: Callable[[Config_contra], Awaitable[None]],
        apply: Callable[[Config_contra], None],
        running: Callable[[], Collection[object]],
    ) -> None:
        self.config = config
        self._gateway = gateway
        self._maker = maker
        self._check = check
        self._prepare = prepare
        self._apply = apply
        self._running = running
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def reload(self, config: Config_contra, *, started: bool) -> Reloaded:
        """Serve by *config* from now on. *started*: whether its upstreams are to be started now.

        Raises `ConfigError` for one that cannot be served, and what an upstream raises that cannot start: then nothing has
        changed."""
        async with self._lock:
            self._check(self.config, config)
            before = dict(self._gateway.upstreams)
            made = self._maker.make(config, before)
            new = {name: upstream for name, upstream in made.upstreams.items() if before.get(name) is not upstream}
            if started:
                await _start(new.values(), lambda: self._prepare(config))
            self._gateway.adopt(made)
            self._apply(config)
            self.config = config
        old = {name: upstream for name, upstream in before.items() if made.upstreams.get(name) is not upstream}
        if old:
            self._retire(list(old.values()))
        return Reloaded(
            sorted(new.keys() - before.keys()),
            sorted(new.keys() & before.keys()),
            sorted(before.keys() - made.upstreams.keys()),
            list(made.models),
        )

    async def aclose(self) -> None:
        """Close what is still to be closed, at once."""
        for task in list(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _retire(self, upstreams: list[Upstream]) -> None:
        task = asyncio.get_running_loop().create_task(self._close_unused(upstreams, set(self._running())))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close_unused(self, upstreams: list[Upstream], users: set[object]) -> None:
        """Close *upstreams* once all *users* are over: they were begun when these were still there."""
        try:
            while users:
                await asyncio.sleep(_LOOK_S)
                users &= set(self._running())
        finally:
            for upstream in upstreams:
                with contextlib.suppress(Exception):  # another's closing does not depend on it
                    await upstream.provider.aclose()


async def _start(upstreams: Iterable[Upstream], then: Callable[[], Awaitable[None]]) -> None:
    """Start what is new, and do what comes *then*. Where one cannot start, none of them stays."""
    new = list(upstreams)
    try:
        await asyncio.gather(*(upstream.provider.start() for upstream in new))
        await then()
    except BaseException:
        await asyncio.gather(*(upstream.provider.aclose() for upstream in new), return_exceptions=True)
        raise


def reload_route(reload_file: Callable[[], ReloadFile | None]) -> Route:
    """Return the route by which an admin has the config's file loaded again."""

    async def reload(request: Request) -> Response:
        if (load := reload_file()) is None:
            problem = "this server was started without a config file, so there is none to reload"
            raise StatusError(problem, status=409, type="invalid_request_error", code="no_config_file")
        try:
            reloaded = await load()
        except ConfigError as error:
            problem = f"the config was not reloaded, and the server keeps the one before: {error}"
            raise StatusError(problem, status=400, type="invalid_request_error", code="invalid_config") from None
        return Response(msgspec.json.encode(reloaded), media_type="application/json")

    return Route(f"{ADMIN_PATH}reload", reload, methods=["POST"])
