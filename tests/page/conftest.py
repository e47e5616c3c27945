"""One browser for all tests of the page, one server on the real engine, and servers around scripted providers as needed.

Everything runs on one event loop, the package's: the browser's connection belongs to it. It ends with the last of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from autonomousai.config import Config, Secret, ServerConfig
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider
from tests.support.browser import Reader, chromium
from tests.support.sockets import Listening, listening

Sit = Callable[..., Awaitable[Reader]]
Serve = Callable[..., Awaitable[Listening]]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def engine() -> AsyncIterator[Listening]:
    """The server as it is without a config: the embedded engine behind the five models."""
    async with listening(create_app()) as running:
        await running.app.start()
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def provider() -> ScriptedProvider:
    """Says "Hello world", until it is told what to play."""
    return ScriptedProvider()


@pytest.fixture
def serve(stack: AsyncExitStack, provider: ScriptedProvider) -> Serve:
    """Start a server with these keys of ``[server]`` around the scripted provider, or another."""

    async def start(around: AsyncGeneratorProvider | None = None, **server: Any) -> Listening:
        server["api_keys"] = tuple(Secret(key) for key in server.get("api_keys", ()))
        config = Config(server=ServerConfig(**server))
        return await stack.enter_async_context(listening(create_app(config, provider=around or provider)))

    return start


@pytest.fixture
def sit(stack: AsyncExitStack, browser: Browser) -> Sit:
    """Somebody sits down before a server's page; with ``open=False``, they have not opened it yet."""

    async def start(server: Listening, *, open: bool = True, **options: Any) -> Reader:
        reader = await stack.enter_async_context(Reader(browser, server.url, **options))
        if open:
            await reader.open()
        return reader

    return start
