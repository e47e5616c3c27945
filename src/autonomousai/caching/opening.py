"""The place where a config keeps answers."""

from __future__ import annotations

from ..errors import ConfigError
from ..settings import CacheConfig
from .stores import CacheStore, MemoryCache


def open_cache(config: CacheConfig) -> CacheStore:
    """Return the store of *config*. Does no I/O. Raises `ConfigError` where what it needs is not installed."""
    if config.store == "memory:":
        return MemoryCache(ttl_s=config.ttl_s, max_bytes=config.max_bytes)
    try:
        from .redis_store import RedisCache  # noqa: PLC0415  an optional extra, needed by this kind alone
    except ImportError as error:
        if error.name != "redis":
            raise
        raise ConfigError("cache.store: redis:// needs redis-py; install it with: pip install 'autonomousai[redis]'") from None
    return RedisCache(config.store, ttl_s=config.ttl_s)
