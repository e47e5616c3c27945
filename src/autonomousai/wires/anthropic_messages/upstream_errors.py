"""Errors of servers of the Messages API, read (Anthropic API reference, "Errors", "Rate limits")."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from ...errors import StatusError
from ..foreign_errors import read_error

#: Headers ``anthropic-ratelimit-LIMIT-remaining`` and ``anthropic-ratelimit-LIMIT-reset``, a time of RFC 3339.
_LIMITS: Final = "anthropic-ratelimit-"
_REMAINING: Final = "-remaining"
_RESET: Final = "-reset"


def read_messages_error(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Iterable[str] = (),
    now: Callable[[], float] = time.time,
) -> StatusError:
    """Return the error that a response of *status* is. One of a limit that says nothing of a pause is over when every limit
    that is spent is filled again. *now*: seconds since the epoch."""
    error = read_error(status, body, headers, secrets=secrets, now=now)
    if status == 429 and error.retry_after is None:
        error.retry_after = max((max(0.0, reset - now()) for reset in _resets(headers)), default=None)
    return error


def _resets(headers: Mapping[str, str]) -> Iterator[float]:
    """Yield when the limits of which nothing remains are filled again, in seconds since the epoch."""
    named = {name.lower(): value for name, value in headers.items()}
    for name, value in named.items():
        if name.startswith(_LIMITS) and name.endswith(_REMAINING) and value.strip() == "0":
            try:
                reset = datetime.fromisoformat(named.get(name.removesuffix(_REMAINING) + _RESET, ""))
            except ValueError:
                continue
            yield (reset if reset.tzinfo else reset.replace(tzinfo=UTC)).timestamp()
