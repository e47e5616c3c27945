"""Where keys' counters are kept: in memory, in a file of this machine, or in Redis."""

from __future__ import annotations

from .fallback import FallbackCounters
from .memory import MemoryCounters
from .store import CounterStore, CounterStoreError

__all__ = ["CounterStore", "CounterStoreError", "FallbackCounters", "MemoryCounters", "open_counters"]


def open_counters(state: str) -> CounterStore:
    """Return the counters that belong to the state *state*, as ``server.state`` names it."""
    if state == "memory:":
        return MemoryCounters()
    if state.startswith("sqlite:"):
        from .sqlite import SqliteCounters  # noqa: PLC0415  sqlite3 comes with it

        return FallbackCounters(SqliteCounters(state.removeprefix("sqlite:") + "-keys"))
    from .redis import RedisCounters  # noqa: PLC0415  an optional extra, needed by this kind alone

    return FallbackCounters(RedisCounters(state))
