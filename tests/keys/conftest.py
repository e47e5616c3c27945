"""Servers whose callers have keys with names."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from autonomousai.config import Config, KeyConfig, Secret, ServerConfig
from autonomousai.keys.stores import sqlite
from autonomousai.keys.stores.redis import RedisCounters
from autonomousai.provider import AsyncGeneratorProvider
from autonomousai.server import create_app
from autonomousai.streams.stores import redis as streams_redis
from autonomousai.testing import ScriptedProvider
from tests.support.sockets import PATIENCE, Listening, listening


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine fail no test here: a store that is slow is not one that is away."""
    monkeypatch.setitem(RedisCounters.__init__.__kwdefaults__, "timeout_s", PATIENCE)
    monkeypatch.setattr(streams_redis, "_TIMEOUT_S", PATIENCE)
    monkeypatch.setattr(sqlite, "_BUSY_S", PATIENCE)


ServeKeys = Callable[..., Awaitable[Listening]]


def key(secret: str, **policy: Any) -> KeyConfig:
    """A key of a config, by its hash."""
    return KeyConfig(hash="sha256:" + hashlib.sha256(secret.encode()).hexdigest(), **policy)


@pytest.fixture
async def serve_keys(provider: ScriptedProvider) -> AsyncIterator[ServeKeys]:
    """Start a server with these keys with names, and these of ``[server]``."""
    async with AsyncExitStack() as stack:

        async def start(
            keys: dict[str, KeyConfig], *, around: AsyncGeneratorProvider | None = None, **server: Any
        ) -> Listening:
            for name in ("api_keys", "admin_keys"):
                server[name] = tuple(Secret(each) for each in server.get(name, ()))
            config = Config(server=ServerConfig(**server), keys=keys)
            return await stack.enter_async_context(listening(create_app(config, provider=around or provider)))

        yield start
