"""What the server says of itself: whether it lives, whether it is ready, and its metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ProviderError
from ..provider import AsyncGeneratorProvider
from ..telemetry.metrics import Metrics
from .auth import AccessControl

#: Of the text that Prometheus reads.
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Seconds that an engine may take to tell its counters.
_ENGINE_S: Final = 2.0


@runtime_checkable
class _EngineProvider(Protocol):
    """What the embedded engine has beside the contract of providers."""

    @property
    def state(self) -> str: ...

    async def metrics(self) -> Mapping[str, float]: ...


class HealthRoutes:
    """The state of one server and of its engines. ``start``: starts what the provider needs; ``gather``: see `App`."""

    def __init__(
        self,
        provider: AsyncGeneratorProvider,
        upstreams: Mapping[str, Any],
        metrics: Metrics,
        guard: AccessControl,
        *,
        start: Callable[[], Awaitable[None]],
        gather: Callable[[], Awaitable[list[bytes]]] | None,
    ) -> None:
        self._provider = provider
        self._upstreams = upstreams
        self._metrics = metrics
        self._guard = guard
        self._start = start
        self._gather = gather

    def routes(self) -> list[Route]:
        """Return the routes of health checks and of metrics."""
        return [
            *(Route(path, self._healthz, methods=["GET"]) for path in ("/health", "/healthz")),
            Route("/readyz", self._readyz, methods=["GET"]),
            Route("/metrics", self._write_metrics, methods=["GET"]),
        ]

    async def snapshot(self) -> bytes:
        """All that is counted here, and the counters of the engines that are run from here."""
        engines: dict[str, dict[str, float]] = {}
        for name, engine in self._engines().items():
            engines[name] = {"up": float(engine.state == "ready")}
            with contextlib.suppress(ProviderError, TimeoutError):  # it may crash, or hang, just now
                async with asyncio.timeout(_ENGINE_S):
                    engines[name] |= await engine.metrics()
        return self._metrics.snapshot(engines)

    async def _healthz(self, request: Request) -> Response:
        return _document({"status": "ok"})

    async def _readyz(self, request: Request) -> Response:
        """Start what is to be started: the first check of readiness may come from the balancer that then sends requests."""
        if self._guard.draining:
            return _document({"status": "draining"}, 503)
        try:
            await self._start()
        except ProviderError as error:
            return _document({"status": "failed", "reason": str(error)}, 503)
        if getattr(self._provider, "routes", None) == {}:
            return _document({"status": "failed", "reason": "no model has a route: nothing is served"}, 503)
        failed = [name for name, engine in self._engines().items() if engine.state == "failed"]
        return _document({"status": "failed", "upstreams": failed}, 503) if failed else _document({"status": "ready"})

    async def _write_metrics(self, request: Request) -> Response:
        # Where there are many series, the text takes longer than a stream should have to wait.
        others = [] if self._gather is None else await self._gather()
        text = await asyncio.to_thread(_render, [await self.snapshot(), *others])
        return Response(text, headers={"content-type": _METRICS_TYPE})

    def _engines(self) -> dict[str, _EngineProvider]:
        providers = {name: upstream.provider for name, upstream in self._upstreams.items()} or {"provider": self._provider}
        return {name: provider for name, provider in providers.items() if isinstance(provider, _EngineProvider)}


def _render(snapshots: list[bytes]) -> bytes:
    """Write snapshots of metrics; in a thread of its own, as its import is the first time."""
    from ..telemetry.exposition import render  # noqa: PLC0415  prometheus-client comes with the first reading of metrics

    return render(snapshots)


def _document(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
