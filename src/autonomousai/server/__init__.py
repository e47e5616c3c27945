"""The server: all APIs over ASGI. Only here starlette is imported."""

from __future__ import annotations

from ..config import Config
from ..provider import AsyncGeneratorProvider
from ..telemetry.access_log import AccessLog
from ..telemetry.tracer import open_tracer
from .app import App
from .upstreams import UpstreamMaker

__all__ = ["App", "create_app"]


def create_app(
    config: Config | None = None, *, provider: AsyncGeneratorProvider | None = None, log: AccessLog | None = None
) -> App:
    """Return an ASGI application that serves the upstreams of *config* (by default the embedded engine), or *provider*.

    It may be mounted inside another application. Where its lifespan is not run, it starts with the first request, and the
    caller of this function may close it with ``aclose()``. ``log``: gets a line a request; without it requests are not logged.
    """
    config = config or Config()
    tracer = open_tracer(config.telemetry)
    if provider is not None:
        return App(config, provider, log=log, tracer=tracer)
    maker = UpstreamMaker(tracer)
    return App(config, maker.make(config), log=log, tracer=tracer, maker=maker)
