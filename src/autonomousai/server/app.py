"""The composition root: a config and a provider become an ASGI application. Only here the parts of the server meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from ..config import Config, Reloaded, check_reload
from ..errors import ConfigError, ProviderError
from ..gateway.gateway import Gateway
from ..http.server.asgi import ASGIExchange, Receive, Scope, Send
from ..ledger.accounts import Accounts
from ..ledger.prices import Prices
from ..ledger.writer import open_ledger
from ..limiter import RequestLimiter
from ..outage import Outage
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..settings import asks_key
from ..streams.broker import StreamBroker
from ..streams.orphans import Orphans
from ..streams.stores import open_state
from ..telemetry.access_log import AccessLog
from ..telemetry.metrics import Metrics, Sample
from ..telemetry.tracer import Tracer
from ..wires.base import MODEL_IN_PATH
from ..wires.redaction import HiddenSecrets
from ..wires.registry import COUNTED, OPENAI_CHAT, OPENAI_RESPONSES, SERVED, key_headers, key_queries
from .auth import WATCHED_PATHS, AccessControl
from .bodies import BodyReader
from .cold import cold_app, routes_elsewhere
from .context import EndpointContext
from .cors import CrossOrigin
from .counting import CountEndpoint
from .endpoint import Endpoint
from .gauges import Gauges
from .health import HealthRoutes
from .installed import InstalledModels
from .keeping import KeepingEndpoint
from .key_control import KeyControl
from .lifespan import live
from .models import model_routes, wire_routes
from .ollama import ollama_routes
from .openapi import description_routes
from .page import routes as page_routes
from .pricing import make_prices
from .reloading import GatewayMaker, Reloader, ReloadFile, reload_route
from .route_names import V1
from .router import RequestRouter
from .shared_breakers import SharedBreakers
from .upstream_metrics import upstream_samples
from .usage import usage_routes

if TYPE_CHECKING:
    from .caching import AnswerCache

#: Configs before the present one whose secrets are hidden too.
_HIDDEN: Final = 16


class App(RequestRouter):
    """The server as an ASGI application. Beside that: its start, its drain and its end, for its process.

    ``gather``: brings what the other processes counted that serve together with this one. ``maker``: what made *provider*, and
    makes those of other configs; without it there is one config for good. ``follow_installed``: serves the models that are
    installed now, for all that serve together; without it this does so for itself.
    """

    def __init__(
        self,
        config: Config,
        provider: AsyncGeneratorProvider,
        *,
        log: AccessLog | None = None,
        tracer: Tracer | None = None,
        gather: Callable[[], Awaitable[list[bytes]]] | None = None,
        maker: GatewayMaker[Config] | None = None,
        follow_installed: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.provider = provider
        #: Loads the config's file again, for all that serve together: its process says how.
        self.reload_file: ReloadFile | None = None
        self._hidden = [HiddenSecrets(config.secrets())]  # as long as this server is there
        self.orphans = Orphans()
        self._follow_installed = follow_installed
        self._tracer = tracer
        self._places = RequestLimiter(config.server.max_concurrency, config.server.queue_s)
        self._upstreams: Mapping[str, Any] = getattr(provider, "upstreams", {})
        models = provider.get_models() if isinstance(provider, ProviderModelMixin) else ()
        self._metrics = Metrics(models, self._upstreams, gauges=self._samples)
        self._resolve: Callable[[str], str] = provider.get_model if isinstance(provider, ProviderModelMixin) else str
        self._open_accounts(config)
        self._cache = self._open_cache(config)
        self._streams = self._make_streams(config)
        self._health = HealthRoutes(provider, self._upstreams, self._metrics, self._guard, start=self.start, gather=gather)
        self._breakers = SharedBreakers(config.server.state, provider)
        self._drain_s = config.server.drain_s
        cors = CrossOrigin(config.server.cors_origins) if config.server.cors_origins else None
        context = self._make_context(config)
        hot = _hot_endpoints(context)
        super().__init__(
            context,
            hot,
            cold_app(self._cold_routes(hot, asks_key(config.server, config.keys))),
            guard=self._guard,
            keys=self._keys.ring,
            cors=cors,
            log=log,
            launches=cors is None and self._cache is None and tracer is None,
        )
        self._maker = maker
        self._reloader = self._make_reloader(config, maker)
        if tracer is not None:
            self.handle = tracer.around(self.handle, WATCHED_PATHS - {"/"})

    # What it is made of

    def _open_accounts(self, config: Config) -> None:
        """Make what counts costs, keeps the ledger, and knows the callers' keys."""
        provider = self.provider
        self.accounts = Accounts(self._metrics, self._prices(config))
        self.ledger = open_ledger(config.ledger)
        if self.ledger is not None:
            self.accounts.keep(self.ledger.take)
        self._keys = KeyControl(
            config.keys,
            provider,
            state=config.server.state,
            resolve=self._resolve,
            has_cheaper_route=provider.has_cheaper_route if isinstance(provider, Gateway) else lambda _: False,
            accounts=self.accounts,
            ledger=self.ledger,
            metrics=self._metrics,
        )
        self._guard = AccessControl(config.server, key_headers(), self._keys.ring, key_queries())

    def _open_cache(self, config: Config) -> AnswerCache | None:
        """Return the cache that *config* asks for, None where it asks for none."""
        if config.cache is None:
            return None
        from ..caching.provider import CACHE  # noqa: PLC0415  a server without a cache needs none of it
        from .caching import AnswerCache  # noqa: PLC0415  a server without a cache needs none of it

        self._metrics.know((), [CACHE])
        return AnswerCache(config.cache, self.provider, config.upstreams)

    def _prices(self, config: Config) -> Prices:
        return make_prices(config.prices, config.upstreams, getattr(self.provider, "routes", {}))

    @property
    def _source(self) -> AsyncGeneratorProvider:
        """What answers: the provider, or the cache before it."""
        return self.provider if self._cache is None else self._cache.source

    def _make_streams(self, config: Config) -> StreamBroker:
        store = open_state(
            config.server.state,
            keep_s=config.resume.keep_s,
            kept_s=config.responses.keep_s,
            max_bytes=config.resume.max_bytes,
        )
        return StreamBroker(
            store,
            self._source,
            ready=self.start,
            resolve=self._resolve,
            places=self._places,
            config=config.resume,
            responses=config.responses,
            metrics=self._metrics,
            orphans=self.orphans,
            adopt=self._keys.adopt,
        )

    def _make_context(self, config: Config) -> EndpointContext:
        return EndpointContext(
            provider=self.provider,
            source=self._source,
            cache=self._cache,
            ready=self._ready,
            resolve=self._resolve,
            places=self._places,
            orphans=self.orphans,
            metrics=self._metrics,
            streams=self._streams,
            key_of=self._guard.key_of,
            sweep=self._sweep_of_loop,
            keepalive_s=config.server.keepalive_s,
            bodies=BodyReader(config.server.max_body, [path for path, wire in SERVED.items() if wire.takes_any_type]),
            total_s=config.clocks.total,
            admission=self._keys.admission,
            traces=self._tracer is not None,
        )

    def _make_reloader(self, config: Config, maker: GatewayMaker[Config] | None) -> Reloader[Config] | None:
        """Return what puts other configs in the place of *config*, and have the endpoints look for models that come or go."""
        if maker is None or not isinstance(self.provider, Gateway):
            return None
        self._context.look_again = InstalledModels(self._follow_installed or self._reload_installed).look_again
        self._context.settled = maker.settled(self.provider)
        return Reloader(
            config,
            self.provider,
            maker,
            check=check_reload,
            prepare=lambda config: self._keys.prepare(config.keys),
            apply=self._follow,
            running=self._running,
        )

    def _cold_routes(self, hot: Iterable[str], asks_key: bool) -> list[Route]:
        """Return all routes that are no *hot* endpoint, in the order in which the description lists them."""
        provider, admission = self.provider, self._keys.admission
        return [
            *routes_elsewhere((*hot, *(path for path in (*SERVED, *COUNTED) if MODEL_IN_PATH in path))),
            *model_routes(provider, V1, admission, self._look_again),
            *model_routes(provider, "", admission, self._look_again),
            *wire_routes(provider, admission, self._look_again),
            *ollama_routes(provider, admission, self._look_again),
            *self._keys.routes(),
            *self._health.routes(),
            reload_route(lambda: self.reload_file),
            *page_routes(),
            *usage_routes(self.ledger, self.start),
            *description_routes(sees=self._sees, asks_key=asks_key),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application."""
        if scope["type"] == "http":
            await self.handle(ASGIExchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await live(self, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003, "reason": "there are no websockets here"})

    def encode_error(self, error: ProviderError) -> tuple[int, dict[str, str], bytes]:
        """See `Application.encode_error`."""
        return OPENAI_CHAT.encode_error(error)

    # Its life

    async def _open(self) -> None:
        await self._open_keys()
        await self._streams.open()
        await self.provider.start()
        self._breakers.start()

    async def _open_keys(self) -> None:
        """Open the ledger, which keeps keys too, and read those. Raises `ConfigError`."""
        if self.ledger is not None:
            await self.ledger.open()
        await self._keys.open()

    async def reload(self, config: Config) -> Reloaded:
        """Serve by *config* from now on; see `Reloader.reload`. Raises `ConfigError` where that cannot be."""
        if self._reloader is None:
            raise ConfigError("this server was made of a provider, not of a config")
        if self._starting is not None:  # what is being started is not to be closed meanwhile; whether it can start, others hear
            await asyncio.wait([self._starting])
        reloaded = await self._reloader.reload(config, started=self._started)
        if self._started:
            await self._keys.open()  # these may be the first keys that there are
        return reloaded

    async def _reload_installed(self) -> None:
        assert self._reloader is not None
        assert self._maker is not None
        if await asyncio.to_thread(self._maker.is_stale):
            await self.reload(self._reloader.config)

    async def _look_again(self) -> None:
        """Serve the models that are installed now."""
        if self._context.look_again is not None:
            await self._context.look_again("")

    def _follow(self, config: Config) -> None:
        """Follow a config that the provider has adopted."""
        # And the old ones: what was begun with them may repeat them.
        self._hidden = [*self._hidden[-_HIDDEN:], HiddenSecrets(config.secrets())]
        if isinstance(self.provider, ProviderModelMixin):
            self._metrics.know(self.provider.get_models(), self._upstreams)
        self.accounts.reprice(self._prices(config))
        self._keys.follow(config.keys)
        if self._cache is not None:
            self._cache.follow(config.upstreams, getattr(self.provider, "routes", {}))
        self._context.total_s = config.clocks.total
        if self._maker is not None and isinstance(self.provider, Gateway):
            self._context.settled = self._maker.settled(self.provider)

    def _running(self) -> set[object]:
        """Return what is being answered now, and the streams that are written."""
        return {*self._places.callers, *self._streams.tasks}

    def drain(self) -> None:
        """From now on, new requests are refused with 503; what was begun continues."""
        self._guard.draining = self._streams.draining = True
        self._guard.drained_by = self._streams.drained_by = monotonic() + self._drain_s

    async def empty(self) -> None:
        """Wait until no request is being answered, and nothing is generated for a caller who may come back."""
        while self._places.inside or not self._streams.idle.is_set():
            await self._places.empty()
            await self._streams.idle.wait()

    def cancel_all(self) -> None:
        """Stop all answers; each caller learns it, and how to continue where that is possible."""
        self._places.cancel_all()
        self._streams.cancel_all()

    async def aclose(self) -> None:
        """Close the streams and the provider."""
        self._started = False
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._breakers.aclose()
        await self._streams.aclose()
        if self._cache is not None:
            await self._cache.source.aclose()
        if self._reloader is not None:
            await self._reloader.aclose()
        await self._keys.aclose()
        await self.provider.aclose()
        if self._tracer is not None:
            await self._tracer.aclose()
        if self.ledger is not None:
            await self.ledger.aclose()
        if self._log is not None:
            self._log.close()

    # What is counted

    async def snapshot(self) -> bytes:
        """Return all that is counted here, and the counters of the engines that are run from here."""
        return await self._health.snapshot()

    def counted(self) -> bytes:
        """All that is counted here."""
        return self._metrics.snapshot()

    def _samples(self) -> Iterator[Sample]:
        """Yield what is looked up when metrics are read."""
        gauges = Gauges(
            self.provider, self._places, self._streams.count(), self.orphans, self.ledger, self._cache, self._outages()
        )
        yield from gauges.samples()
        yield from upstream_samples(self.provider)

    def _outages(self) -> dict[str, Outage]:
        """Return whether the stores that are shared are away, by what they hold."""
        outages = self._keys.outages()
        if self._streams.outlive_us:
            outages["streams"] = self._streams.outage
        if self._breakers.is_shared:
            outages["breakers"] = self._breakers.outage
        if self._cache is not None and self._cache.is_shared:
            outages["cache"] = self._cache.source.outage
        return outages

    def _sees(self) -> bool:
        """Whether any model takes images."""
        models = self.provider.get_models() if isinstance(self.provider, ProviderModelMixin) else []
        return self.provider.capabilities.vision or any(self.provider.capabilities_of(model).vision for model in models)


def _hot_endpoints(context: EndpointContext) -> dict[str, Endpoint | CountEndpoint]:
    """Return the endpoint of each path, with and without its ``/v1``: many a client's base URL lacks it. Paths that name a
    model have none: see `route_names.meant_path`."""
    hot: dict[str, Endpoint | CountEndpoint] = {
        path: (KeepingEndpoint if wire is OPENAI_RESPONSES else Endpoint)(context, wire) for path, wire in SERVED.items()
    }
    hot |= {path: CountEndpoint(context, wire) for path, wire in COUNTED.items()}
    hot = {path: endpoint for path, endpoint in hot.items() if MODEL_IN_PATH not in path}
    return hot | {path.removeprefix(V1): endpoint for path, endpoint in hot.items() if path.startswith(V1)}
