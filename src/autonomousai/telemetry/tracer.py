"""Whether requests are traced, and what a tracer can do: without OpenTelemetry, which is an optional extra (see `tracing`)."""

from __future__ import annotations

from typing import Protocol

from ..errors import ConfigError
from ..gateway.upstream import AttemptObserver, Upstream
from ..http.server.exchange import Handle
from ..request import ChatRequest
from ..settings import TelemetryConfig


class Tracer(Protocol):
    """Traces requests, and the attempts of a gateway."""

    def around(self, handle: Handle, untraced: frozenset[str], /) -> Handle:
        """Return *handle* with a span around each request, except of the paths in *untraced*."""

    def attempt(self, upstream: Upstream, request: ChatRequest, /) -> AttemptObserver:
        """A span around an attempt; see `gateway.observer`."""

    async def aclose(self) -> None:
        """Send what is left."""


def open_tracer(config: TelemetryConfig) -> Tracer | None:
    """The tracer that is configured, if one is. Raises `ConfigError` where OpenTelemetry is not installed."""
    if not config.otel:
        return None
    try:
        from .tracing import OpenTelemetry  # noqa: PLC0415  an optional extra
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigError(
            "telemetry.otel: OpenTelemetry is not installed; run: pip install 'autonomousai[otel]', or set it to false"
        ) from None
    return OpenTelemetry.from_environment(content=config.content)
