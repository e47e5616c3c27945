"""When a client asks again by itself: before anything of an answer came, and only what another try can mend. No I/O.

The policy is that of OpenAI's own clients. A gateway has one of its own, and asks its upstreams with ``retries=0``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ..errors import ConfigError, HTTPError, StreamError
from ..retry import backoff

#: Tries after the first, where the caller does not say how many, and the most that can be asked for.
DEFAULT_RETRIES: Final = 2
_MOST: Final = 1000

#: Seconds before the second try; doubled with each further one, up to a bound.
_BACKOFF_S: Final = 0.5
_LONGEST_BACKOFF_S: Final = 8.0

#: Seconds that a server may ask to wait. The caller hears at once of one that wants more.
LONGEST_WAIT_S: Final = 60.0

#: What waits; tests have their own.
sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def retry_delay(error: HTTPError, failures: int, retries: int) -> float | None:
    """Return the seconds to wait before another try, or None where another would be wrong.

    ``failures``: tries that failed until now, the one with *error* included. An event that says what is wrong is an answer.
    """
    if failures > retries or not error.retryable or isinstance(error, StreamError):
        return None
    if error.retry_after is not None and error.retry_after > LONGEST_WAIT_S:
        return None
    return backoff(failures, base=_BACKOFF_S, retry_after=error.retry_after, ceiling=_LONGEST_BACKOFF_S)


def check_retries(retries: int) -> int:
    """Return *retries*. Raises `ConfigError` where it is no number of tries."""
    if isinstance(retries, bool) or not hasattr(retries, "__index__") or not 0 <= retries <= _MOST:
        raise ConfigError(f"retries must be a whole number from 0 to {_MOST}, not {retries!r:.50}")
    return retries
