"""The composition root: a config, or one provider, becomes an ASGI application. Only here the parts of the server meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final

from starlette.routing import Route

from ..awaitables import DONE
from ..caching.provider import CACHE
from ..config import Config, Reloaded
from ..errors import ConfigError, ProviderError
from ..gateway.gateway import Gateway
from ..http.server.asgi import ASGIExchange, Receive, Scope, Send, run_asgi
from ..http.server.exchange import CLIENT_LEFT, ClientLeftError, Exchange, Handle, internal_error, log_bug
from ..http.sweep import INTERVAL_S, Sweep
from ..ledger.accounts import Accounts
from ..ledger.writer import open_ledger
from ..limiter import RequestLimiter
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..settings import asks_key
from ..streams.broker import StreamBroker
from ..streams.orphans import Orphans
from ..streams.stores import open_state
from ..telemetry.access_log import AccessLog
from ..telemetry.metrics import Metrics, Sample
from ..telemetry.tracer import Tracer, open_tracer
from ..wires.redaction import HiddenSecrets
from ..wires.registry import COUNTED, OPENAI_CHAT, OPENAI_RESPONSES, SERVED, key_headers
from .auth import RESPONSES_PATH, STREAMS_PATH, WATCHED_PATHS, AccessControl
from .bodies import BodyReader
from .caching import AnswerCache
from .cold import cold_app, kept_routes, not_here, wire_of_request
from .cors import CrossOrigin
from .counting import CountEndpoint
from .endpoint import Endpoint, EndpointContext, refuse
from .health import HealthRoutes
from .keeping import KeepingEndpoint
from .key_control import KeyControl
from .models import model_routes, wire_routes
from .openapi import description_routes
from .page import routes as page_routes
from .pricing import make_prices
from .reloading import GatewayMaker, Reloader, ReloadFile, reload_route
from .responses import ResponsesRoute
from .resume import StreamRoute, no_content
from .route_names import RESPONSES_PATHS, STREAM_ROUTE, V1, route_name, without_needless_slashes
from .shared_breakers import SharedBreakers
from .upstream_metrics import upstream_samples
from .upstreams import UpstreamMaker
from .usage import usage_routes

#: Configs before the present one whose secrets are hidden too.
_HIDDEN: Final = 16


def create_app(
    config: Config | None = None, *, provider: AsyncGeneratorProvider | None = None, log: AccessLog | None = None
) -> App:
    """An ASGI application that serves both wires: the upstreams of *config* (by default the embedded engine), or *provider*.

    It may be mounted inside another application. Where its lifespan is not run, it starts with the first request, and the
    caller of this function may close it with ``aclose()``. ``log``: gets a line a request; without it requests are not logged.
    """
    config = config or Config()
    tracer = open_tracer(config.telemetry)
    if provider is not None:
        return App(config, provider, log=log, tracer=tracer)
    maker = UpstreamMaker(tracer)
    return App(config, maker.make(config), log=log, tracer=tracer, maker=maker)


class App:
    """The server as an ASGI application. Beside that: its start, its drain and its end, for its process.

    ``gather``: brings what the other processes counted that serve together with this one. ``maker``: what made *provider*, and
    makes those of other configs; without it there is one config for good.
    """

    def __init__(
        self,
        config: Config,
        provider: AsyncGeneratorProvider,
        *,
        log: AccessLog | None = None,
        tracer: Tracer | None = None,
        gather: Callable[[], Awaitable[list[bytes]]] | None = None,
        maker: GatewayMaker | None = None,
    ) -> None:
        self.provider = provider
        #: Loads the config's file again, for all that serve together: its process says how.
        self.reload_file: ReloadFile | None = None
        self._hidden = [HiddenSecrets(config.secrets())]  # as long as this server is there
        self.orphans = Orphans()
        self._log = log
        self._tracer = tracer
        self._places = RequestLimiter(config.server.max_concurrency, config.server.queue_s)
        self._upstreams: Mapping[str, Any] = getattr(provider, "upstreams", {})
        models = provider.get_models() if isinstance(provider, ProviderModelMixin) else ()
        self._metrics = Metrics(models, self._upstreams, gauges=self._gauges)
        self.accounts = Accounts(self._metrics, make_prices(config, getattr(provider, "routes", {})))
        self.ledger = open_ledger(config.ledger)
        if self.ledger is not None:
            self.accounts.subscribe(self.ledger.take)
        resolve = provider.get_model if isinstance(provider, ProviderModelMixin) else str
        self._keys = keys = KeyControl(
            config, provider, resolve=resolve, accounts=self.accounts, ledger=self.ledger, metrics=self._metrics
        )
        self.keys = keys.ring
        self._guard = AccessControl(config.server, key_headers(), keys.ring)
        self._health = HealthRoutes(provider, self._upstreams, self._metrics, self._guard, start=self.start, gather=gather)
        self._breakers = SharedBreakers(config.server.state, provider)
        self._starting: asyncio.Task[None] | None = None
        self._started = False
        source, self._cache = provider, None
        if config.cache is not None:
            self._cache = AnswerCache(config, provider)
            source = self._cache.source
            self._metrics.know((), [CACHE])
        self._streams = StreamBroker(
            open_state(
                config.server.state,
                keep_s=config.resume.keep_s,
                kept_s=config.responses.keep_s,
                max_bytes=config.resume.max_bytes,
            ),
            source,
            ready=self.start,
            resolve=resolve,
            places=self._places,
            config=config.resume,
            responses=config.responses,
            metrics=self._metrics,
            orphans=self.orphans,
            adopt=keys.adopt,
        )
        self._context = context = EndpointContext(
            provider=provider,
            source=source,
            cache=self._cache,
            ready=self._ready,
            resolve=resolve,
            places=self._places,
            orphans=self.orphans,
            metrics=self._metrics,
            streams=self._streams,
            key_of=self._guard.key_of,
            sweep=self._sweep_of_loop,
            keepalive_s=config.server.keepalive_s,
            bodies=BodyReader(config.server.max_body),
            total_s=config.clocks.total,
            admission=keys.admission,
        )
        self._hot: dict[str, Endpoint | CountEndpoint] = {
            path: (KeepingEndpoint if wire is OPENAI_RESPONSES else Endpoint)(context, wire) for path, wire in SERVED.items()
        }
        # Many a client's base URL lacks the /v1.
        self._hot |= {path.removeprefix(V1): self._hot[path] for path in SERVED if path.startswith(V1)}
        self._hot |= {path: CountEndpoint(context, wire) for path, wire in COUNTED.items()}
        self._hot |= {path.removeprefix(V1): self._hot[path] for path in COUNTED}
        self._stream_route = StreamRoute(context)
        self._responses_route = ResponsesRoute(context)
        self._cold = cold_app(
            [
                # Named here for other methods than those that `_enter` takes.
                *(
                    Route(path, not_here, methods=["POST"], include_in_schema=path in SERVED or path in COUNTED)
                    for path in self._hot
                ),
                Route(STREAM_ROUTE, not_here, methods=["GET", "DELETE"]),
                *kept_routes(RESPONSES_PATH, described=True),
                *kept_routes(RESPONSES_PATH.removeprefix(V1), described=False),
                *model_routes(provider, V1, keys.admission),
                *model_routes(provider, "", keys.admission),
                *wire_routes(provider, keys.admission),
                *keys.routes(),
                *self._health.routes(),
                reload_route(lambda: self.reload_file),
                *page_routes(),
                *usage_routes(self.ledger, self.start),
                *description_routes(sees=self._sees, asks_key=asks_key(config.server, config.keys)),
            ],
        )
        self._reloader = None
        if maker is not None and isinstance(provider, Gateway):
            self._reloader = Reloader(
                config, provider, maker, prepare=self._keys.prepare, apply=self._follow, running=self._running
            )
        self._sweep: Sweep | None = None
        self._keepalive_s = config.server.keepalive_s
        self._drain_s = config.server.drain_s
        #: Serves a request of the package's own HTTP server; see `Application`.
        self.handle: Handle = self._enter
        self._cors = CrossOrigin(config.server.cors_origins) if config.server.cors_origins else None
        if tracer is not None:
            self.handle = tracer.around(self.handle, WATCHED_PATHS - {"/"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application."""
        if scope["type"] == "http":
            await self.handle(ASGIExchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003, "reason": "there are no websockets here"})

    def encode_error(self, error: ProviderError) -> tuple[int, dict[str, str], bytes]:
        """See `Application.encode_error`."""
        return OPENAI_CHAT.encode_error(error)

    # Its life

    async def start(self) -> None:
        """Start what the provider needs, once; who comes meanwhile waits. After a failure the next one tries again."""
        if self._started:
            return
        if self._starting is None:
            self._starting = asyncio.create_task(self._open())
            self._starting.add_done_callback(self._on_started)
        await asyncio.shield(self._starting)  # a caller who leaves does not stop it for the others

    def _ready(self) -> Awaitable[None]:
        return DONE if self._started else self.start()

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

    def _on_started(self, starting: asyncio.Task[None]) -> None:
        self._starting = None
        self._started = not starting.cancelled() and starting.exception() is None

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

    def _follow(self, config: Config) -> None:
        """Follow a config that the provider has adopted."""
        # And the old ones: what was begun with them may repeat them.
        self._hidden = [*self._hidden[-_HIDDEN:], HiddenSecrets(config.secrets())]
        if isinstance(self.provider, ProviderModelMixin):
            self._metrics.know(self.provider.get_models(), self._upstreams)
        self.accounts.reprice(make_prices(config, getattr(self.provider, "routes", {})))
        self._keys.follow(config)
        if self._cache is not None:
            self._cache.follow(config, getattr(self.provider, "routes", {}))
        self._context.total_s = config.clocks.total

    def _running(self) -> set[object]:
        """Return what is being answered now, and the streams that are written."""
        return {*self._places.callers, *self._streams.tasks}

    def drain(self) -> None:
        """From now on, new requests are refused with 503; what was begun continues."""
        self._guard.draining = self._streams.draining = True
        self._guard.drained_by = self._streams.drained_by = monotonic() + self._drain_s

    async def empty(self) -> None:
        """Wait until no request is being answered, and nothing is generated for a caller who may come back."""
        while not (self._places.empty.is_set() and self._streams.idle.is_set()):
            await self._places.empty.wait()
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

    async def _live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except ProviderError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
        self.drain()
        self.cancel_all()
        await self.empty()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    # A request's way in

    async def _enter(self, exchange: Exchange) -> None:
        path = exchange.path
        endpoint = self._hot.get(path)
        if endpoint is None and (path.endswith("/") or "//" in path):
            path = exchange.path = without_needless_slashes(path)
            endpoint = self._hot.get(path)
        try:
            if self._cors is not None and self._cors.admit(exchange):
                await exchange.drain()
                return
            if (id_header := _id_header(exchange) if endpoint is None else endpoint.id_header) is not None:
                exchange.extra = [*exchange.extra, (id_header, exchange.request_id.encode())]
            if not self._started and self.keys.asks:
                await self._open_keys()  # those that were made may be all that there are
            self._guard.check(exchange)
            if endpoint is not None and exchange.method == "POST":
                await endpoint(exchange)
            elif path.startswith(STREAMS_PATH) and exchange.method in ("GET", "HEAD", "DELETE"):
                await self._stream_route(exchange)
            elif path.startswith(RESPONSES_PATHS) and self._responses_route.serves(exchange):
                await self._responses_route(exchange)
            elif path == "*":  # OPTIONS: what the server as a whole can do (RFC 9110 section 9.3.7)
                await no_content(exchange)
            else:
                await self._serve_cold(exchange)
        except ProviderError as error:
            closing = ((b"connection", b"close"),) if self._guard.draining else ()
            await refuse(exchange, error, wire_of_request(exchange), headers=closing)
        except ClientLeftError:
            exchange.status = CLIENT_LEFT
        finally:
            self._note(exchange, hot=endpoint is not None)

    def _note(self, exchange: Exchange, *, hot: bool) -> None:
        """Count and log a request that is over."""
        path = exchange.path
        exchange.route = name = (path if path in SERVED or path in COUNTED else V1 + path) if hot else route_name(path)
        seconds = monotonic() - exchange.began
        self._metrics.request(name, exchange.status, seconds)
        if name == STREAM_ROUTE and exchange.method == "GET":
            self._metrics.resume(exchange.status)
        if self._log is not None:
            known = name != "other"
            self._log.note(exchange, name if known else exchange.path, known=known, seconds=seconds)

    async def _serve_cold(self, exchange: Exchange) -> None:
        try:
            await run_asgi(self._cold, exchange, [(b"x-request-id", exchange.request_id.encode())])
        except Exception as error:  # a bug must cost its own request alone
            log_bug(exchange.request_id, error)
            if not exchange.status:
                await refuse(exchange, internal_error(), OPENAI_CHAT)

    def _sweep_of_loop(self) -> Sweep:
        """Return what looks at the open streams, in the running event loop."""
        if self._sweep is None:
            self._sweep = Sweep(asyncio.get_running_loop(), min(INTERVAL_S, self._keepalive_s / 4))
        return self._sweep

    # What is counted

    async def snapshot(self) -> bytes:
        """Return all that is counted here, and the counters of the engines that are run from here."""
        return await self._health.snapshot()

    def counted(self) -> bytes:
        """All that is counted here."""
        return self._metrics.snapshot()

    def _gauges(self) -> Iterator[Sample]:
        """Return what is looked up when metrics are read."""
        if self._cache is not None:
            yield from self._cache.samples()
        yield "requests_in_flight", (), [self._places.inside]
        yield "places", (), [self._places.places]
        yield "queue_length", (), [self._places.waiting]
        for role, count in zip(("written", "followed"), self._streams.count(), strict=True):
            yield "streams", (role,), [count]
        yield from upstream_samples(self.provider)
        if self.ledger is not None:
            yield from self.ledger.samples()
        providers = [upstream.provider for upstream in self._upstreams.values()] or [self.provider]
        untold = sum(provider.status().orphans for provider in providers)
        yield "orphaned_generations_total", (), [self.orphans.count + untold]

    def _sees(self) -> bool:
        """Whether any model takes images."""
        models = self.provider.get_models() if isinstance(self.provider, ProviderModelMixin) else []
        return self.provider.capabilities.vision or any(self.provider.capabilities_of(model).vision for model in models)


def _id_header(exchange: Exchange) -> bytes | None:
    """Return the header with the request's id of the wire that a request is answered in; None where it has none of its own."""
    header = wire_of_request(exchange).id_header
    return None if header is None else header.encode()
