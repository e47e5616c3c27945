"""A request's way in: which part of the server answers it, what is refused before that, and what is noted when it is over.

Knows no config, and not what the parts are made of: that is `app`'s.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from time import monotonic

from starlette.applications import Starlette

from ..awaitables import DONE
from ..errors import ProviderError
from ..http.server.asgi import run_asgi
from ..http.server.exchange import CLIENT_LEFT, ClientLeftError, Exchange, Handle, internal_error, log_bug
from ..http.sweep import INTERVAL_S, Sweep
from ..keys.ring import KeyRing
from ..telemetry.access_log import AccessLog
from ..wires.registry import COUNTED, OPENAI_CHAT, SERVED
from .auth import STREAMS_PATH, AccessControl
from .caller_context import named_back
from .cold import wire_of_request
from .context import EndpointContext
from .cors import CrossOrigin
from .counting import CountEndpoint
from .endpoint import LONGER, Endpoint
from .flight import launch
from .refusals import refuse
from .responses import ResponsesRoute
from .resume import StreamRoute, no_content
from .route_names import RESPONSES_PATHS, STREAM_ROUTE, V1, meant_path, route_name, without_needless_slashes


class RequestRouter(ABC):
    """Serves requests by *hot* endpoints, each at its path, and by the *cold* application, once the server has started.
    ``launches``: whether usual ones may be answered without a task."""

    def __init__(
        self,
        context: EndpointContext,
        hot: Mapping[str, Endpoint | CountEndpoint],
        cold: Starlette,
        *,
        guard: AccessControl,
        keys: KeyRing,
        cors: CrossOrigin | None,
        log: AccessLog | None,
        launches: bool,
    ) -> None:
        self.keys = keys
        #: Serves a request of the package's own HTTP server; see `Application`.
        self.handle: Handle = self._enter
        self._context = context
        self._hot = hot
        self._cold = cold
        self._stream_route = StreamRoute(context)
        self._responses_route = ResponsesRoute(context)
        self._guard = guard
        self._cors = cors
        self._metrics = context.metrics
        self._log = log
        self._starting: asyncio.Task[None] | None = None
        self._started = False
        self._sweep: Sweep | None = None
        #: Endpoints of requests that may be launched, by path.
        self._usual: dict[str, Endpoint] = {}
        if launches:
            self._usual = {path: endpoint for path, endpoint in hot.items() if isinstance(endpoint, Endpoint)}

    # ---- its start

    @abstractmethod
    async def _open(self) -> None:
        """Start what the parts need."""

    @abstractmethod
    async def _open_keys(self) -> None:
        """Open what keeps the callers' keys, and read those. Raises `ConfigError`."""

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

    def _on_started(self, starting: asyncio.Task[None]) -> None:
        self._starting = None
        self._started = not starting.cancelled() and starting.exception() is None

    def _sweep_of_loop(self) -> Sweep:
        """Return what looks at the open streams, in the running event loop."""
        if self._sweep is None:
            self._sweep = Sweep(asyncio.get_running_loop(), min(INTERVAL_S, self._context.keepalive_s / 4))
        return self._sweep

    # ---- a request

    def launch(self, exchange: Exchange) -> bool:
        """See `Application.launch`."""
        known = exchange.known
        endpoint = None if known is None else known.note
        if endpoint is None:
            endpoint = self._usual.get(exchange.path) if exchange.method == "POST" else None
        if endpoint is None or endpoint is LONGER or not self._started:
            return False
        return launch(self._context, self._guard, endpoint, exchange, self._note)

    async def _enter(self, exchange: Exchange) -> None:
        endpoint = self._hot.get(exchange.path) or self._meant(exchange)
        path = exchange.path
        try:
            if self._cors is not None and self._cors.admit(exchange):
                await exchange.drain()
                return
            if (id_header := _id_header(exchange) if endpoint is None else endpoint.id_header) is not None:
                exchange.extra = [*exchange.extra, (id_header, exchange.request_id.encode())]
            if not self._started and self.keys.asks:
                await self._open_keys()  # those that were made may be all that there are
            known = exchange.known
            if known is None or known.note is None or self._guard.draining or not self._guard.recall(exchange):
                exchange.extra = [*exchange.extra, *named_back(exchange.head)]
                self._guard.check(exchange)
                self._guard.remember(exchange)
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

    def _meant(self, exchange: Exchange) -> Endpoint | CountEndpoint | None:
        """Give a request that has the path of no endpoint the one that it means, and return the endpoint that it has there."""
        path = exchange.path
        path, model = meant_path(without_needless_slashes(path) if path.endswith("/") or "//" in path else path)
        if model and exchange.method not in ("POST", "OPTIONS"):
            return None
        exchange.path = path
        if not model:
            return self._hot.get(path)
        if path in COUNTED:
            return CountEndpoint(self._context, COUNTED[path], model)
        return Endpoint(self._context, SERVED[path].in_form(exchange.query), model)

    def _note(self, exchange: Exchange, hot: bool = True) -> None:
        """Count and log a request that is over. *hot*: whether it was at an endpoint."""
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


def _id_header(exchange: Exchange) -> bytes | None:
    """Return the header with the request's id of the wire that a request is answered in; None where it has none of its own."""
    header = wire_of_request(exchange).id_header
    return None if header is None else header.encode()
