"""Entries as the tests write them."""

from __future__ import annotations

from typing import Any

from autonomousai.ledger.entry import LedgerAttempt, LedgerEntry


def entry(id: str = "req_1", **changes: Any) -> LedgerEntry:
    """An entry, with *changes*."""
    usual: dict[str, Any] = {
        "id": id,
        "time": 1_790_000_000.25,
        "key": "alice",
        "labels": {"team": "blue"},
        "model": "llama",
        "wire": "openai_chat",
        "upstream": "u0",
        "attempts": [LedgerAttempt("u0", "ok", 200, 5, 2, False, 0.5)],
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "lost_tokens": 1,
        "cached_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "estimated": False,
        "cost": 0.5,
        "first_ms": 3,
        "total_ms": 5,
        "outcome": "ok",
        "status": 200,
        "splices": 0,
        "cache": None,
        "hedged": False,
    }
    return LedgerEntry(**{**usual, **changes})
