"""What all tests may share: servers, and which transport a client uses."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from autonomousai.clients import retries
from autonomousai.config import Config, Secret, ServerConfig
from autonomousai.http.pool import HttpPool
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider
from tests.support.serving import serving
from tests.support.sockets import Listening, listening

Serve = Callable[..., Awaitable[Listening]]

# Random examples take the time that they take: on a busy machine a slow one is no failure.
NO_CLOCK = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("no clock", **NO_CLOCK)  # type: ignore[arg-type]
settings.register_profile("quick", max_examples=10, **NO_CLOCK)  # type: ignore[arg-type]  # for `make quick`
settings.load_profile("no clock")

# A shell without job control starts what runs in its background with Ctrl-C ignored, and the programs under test inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `nohup` has SIGHUP ignored. A handler is not inherited by the programs under test, as that is: the signal ends them again.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def real_server() -> Iterator[str]:
    """The root URL of `autonomousai serve`, with the embedded engine behind the five models."""
    with serving() as running:
        yield running.url


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients would have waited before they asked again: in tests they wait for nothing."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(retries, "sleep", sleep)
    return waited


@pytest.fixture
def provider() -> ScriptedProvider:
    """Says "Hello world", as the one of the five that it is asked for."""
    return ScriptedProvider()


@pytest.fixture
async def serve(provider: ScriptedProvider) -> AsyncIterator[Serve]:
    """Start a server with these keys of ``[server]``, around the scripted provider or another one."""
    async with AsyncExitStack() as stack:

        async def start(around: AsyncGeneratorProvider | None = None, **server: Any) -> Listening:
            server["api_keys"] = tuple(Secret(key) for key in server.get("api_keys", ()))
            config = Config(server=ServerConfig(**server))
            return await stack.enter_async_context(listening(create_app(config, provider=around or provider)))

        yield start


@pytest.fixture
async def port(serve: Serve) -> int:
    """The port of a server with the default settings."""
    return (await serve()).port


@pytest.fixture(params=["aiohttp", "direct"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every pool made in this test uses this transport, whatever its provider prefers. It returns the transport's name."""
    made = HttpPool.__init__

    def make(self: HttpPool, **options: Any) -> None:
        made(self, **{**options, "direct": request.param == "direct"})

    monkeypatch.setattr(HttpPool, "__init__", make)
    name: str = request.param
    return name
