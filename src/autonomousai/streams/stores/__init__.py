"""Where the logs of resumable streams are kept: in memory, in a SQLite file, in Redis. Only here those two are imported, each
where it is the one."""

from __future__ import annotations

from pathlib import Path

from ...errors import ConfigError
from .memory import MemoryStore
from .store import (
    Claim,
    GoneError,
    Heartbeat,
    LeaseLostError,
    Page,
    Store,
    StoreError,
    StoreFullError,
    StreamInfo,
    StreamVanishedError,
    context_keep_s,
)

__all__ = [
    "Claim",
    "GoneError",
    "Heartbeat",
    "LeaseLostError",
    "Page",
    "Store",
    "StoreError",
    "StoreFullError",
    "StreamInfo",
    "StreamVanishedError",
    "context_keep_s",
    "open_state",
]


def open_state(url: str, *, keep_s: float, max_bytes: int, kept_s: float | None = None) -> Store:
    """Return the store that *url* names: ``memory:``, ``sqlite:PATH``, ``redis://…`` or ``rediss://…``. Does no I/O.

    ``keep_s``: seconds that a stream is kept after its end; ``kept_s``: the same of those that are kept as responses.
    ``max_bytes``: what it may hold in all.
    """
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return MemoryStore(keep_s=keep_s, max_bytes=max_bytes)
    if kind == "sqlite":
        from .sqlite import SqliteStore  # noqa: PLC0415  sqlite3 comes with it

        return SqliteStore(Path(rest), keep_s=keep_s, max_bytes=max_bytes)
    try:
        from .redis import RedisStore  # noqa: PLC0415  an optional extra, needed by this kind alone
    except ImportError as error:
        if error.name != "redis":
            raise
        raise ConfigError("server.state: redis:// needs redis-py; install it with: pip install 'autonomousai[redis]'") from None
    return RedisStore(url, keep_s=keep_s, max_bytes=max_bytes, kept_s=kept_s)
