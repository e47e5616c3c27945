"""Answers in Redis or Valkey, which all servers share that name it. How much room they take is Redis's own setting
(``maxmemory``, with a policy that evicts).
"""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..errors import ConfigError
from .stores import CacheError

_KEY: Final = "autonomousai:answer:1:"

#: Seconds that a connection may take, and that a reply may: an answer that is not there in time is asked for upstream.
_TIMEOUT_S: Final = 1.0


class RedisCache:
    """Answers under the URL of a Redis. They go after *ttl_s* seconds, by its clock."""

    def __init__(self, url: str, *, ttl_s: float) -> None:
        self._ttl_ms = max(1, round(ttl_s * 1000))
        try:
            self._redis: Redis = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        except (ValueError, TypeError) as error:  # not shown: the URL may hold a password
            raise ConfigError("is no URL that redis-py takes", key="cache.store", advice="write redis://host[:port]") from error

    async def get(self, key: str) -> bytes | None:
        try:
            data = await self._redis.get(_KEY + key)
        except (RedisError, OSError) as error:
            raise CacheError(type(error).__name__) from None
        return data if isinstance(data, bytes) else None

    async def set(self, key: str, data: bytes) -> None:
        try:
            await self._redis.set(_KEY + key, data, px=self._ttl_ms)
        except (RedisError, OSError) as error:
            raise CacheError(type(error).__name__) from None

    async def aclose(self) -> None:
        await self._redis.aclose()
