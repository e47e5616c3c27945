"""A server around a scripted provider, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from autonomousai.config import Config, Secret, ServerConfig
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider
from tests.support.sockets import Listening, listening

Serve = Callable[..., Awaitable[Listening]]


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
