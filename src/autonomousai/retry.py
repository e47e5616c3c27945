"""How long to wait before trying again: arithmetic alone, with no clock and no I/O of its own."""

from __future__ import annotations


def backoff(attempt: int, *, base: float, retry_after: float | None = None, ceiling: float = 30.0) -> float:
    """Seconds before attempt number *attempt* + 1 (the first failure is *attempt* 1).

    ``base`` is doubled with each attempt up to ``ceiling``; up to half of it is added at random, so that callers who failed
    together do not come back together. ``retry_after``, the server's own word, is a floor.
    """
    import random  # noqa: PLC0415  most requests succeed at once, and hashing and bisection come with it

    delay: float = min(base * 2 ** (attempt - 1), ceiling)
    delay += random.uniform(0, delay / 2)  # noqa: S311  jitter, not a secret
    return max(delay, retry_after) if retry_after is not None else delay
