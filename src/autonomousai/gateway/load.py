"""What a policy knows of one upstream of a model: its speed, who waits for it, and whether it rests. No I/O; the time is the
upstream's own."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from .upstream import Upstream

#: Seconds after which a measurement has lost two thirds of its say in the average.
_MEMORY_S: Final = 10.0

#: Seconds after which an upstream that was not measured again may be tried, whatever its last measurement was.
_STALE_S: Final = 10.0

#: First tokens of which the percentile is taken, and how many of them there must be.
_WINDOW: Final = 100
_ENOUGH: Final = 20
_PERCENTILE: Final = 0.95

#: Seconds that an upstream rests after a failure; doubled with each that follows upon a rest, up to the second of them, which
#: also bounds what it asks for.
_REST_S: Final = 2.0
_LONGEST_REST_S: Final = 60.0


class UpstreamLoad:
    """One upstream, as one model's requests find it."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.weight = upstream.weight
        self.first_token: float | None = None  # seconds, averaged over the last of them
        self._measured_at = -math.inf
        self._window: deque[float] = deque(maxlen=_WINDOW)
        self._percentile: float | None = None
        self._waiting: dict[int, float] = {}  # requests without a first token: since when each waits
        self._refusals = 0
        self._rests_since = self._rests_until = -math.inf

    # ---- what a policy asks

    @property
    def running(self) -> int:
        """Return the requests that the upstream is answering, for whichever model."""
        return self.upstream.breaker.running

    @property
    def waiting(self) -> int:
        """Return the requests of this model that wait for their first token."""
        return len(self._waiting)

    @property
    def is_ready(self) -> bool:
        """Return whether a request may be sent there now: it does not rest, and its breaker would admit a request."""
        return self.upstream.breaker.would_admit() and self.upstream.time() >= self._rests_until

    @property
    def is_stale(self) -> bool:
        """Return whether its last measurement is so old that it says little, and none is under way."""
        return not self._waiting and self.upstream.time() - self._measured_at >= _STALE_S

    @property
    def cost(self) -> float:
        """Return the seconds to a first token that a further request must expect: as measured, or as long as the oldest waits
        already; and as much again for each that waits."""
        oldest = self.upstream.time() - next(iter(self._waiting.values())) if self._waiting else 0.0
        return max(self.first_token or 0.0, oldest) * (1 + len(self._waiting) / self.weight)

    @property
    def slow_after(self) -> float | None:
        """Return the 95th percentile of the seconds to a first token; None while too few were measured."""
        if self._percentile is None and len(self._window) >= _ENOUGH:
            self._percentile = sorted(self._window)[math.ceil(_PERCENTILE * len(self._window)) - 1]
        return self._percentile

    # ---- what attempts report

    def begin(self, attempt: int) -> None:
        """Note that an attempt, by its number, waits for its first token."""
        self._waiting[attempt] = self.upstream.time()

    def end(self, attempt: int) -> None:
        """Note that it waits no longer."""
        self._waiting.pop(attempt, None)

    def measure(self, seconds: float) -> None:
        """Note a first token after *seconds*."""
        now = self.upstream.time()
        if self.first_token is None:
            self.first_token = seconds
        else:
            share = max(1 - math.exp((self._measured_at - now) / _MEMORY_S), 0.1)
            self.first_token += share * (seconds - self.first_token)
        self._measured_at = now
        self._remember(seconds)

    def measure_at_least(self, seconds: float) -> None:
        """Note that a first token would have taken more than *seconds*, which counts where that is slow for this upstream:
        were it forgotten, the slow answers that a hedge ends would be missing in the percentile that decides on hedges."""
        if self.first_token is not None and seconds > self.first_token:
            self.measure(seconds)
        elif self.slow_after is not None and seconds >= self.slow_after:
            self._remember(seconds)

    def refused(self, retry_after: float | None) -> None:
        """Note a failure that another request would meet too: the upstream rests. Of many at once, and of the tries of one
        request, the first counts."""
        now = self.upstream.time()
        rest = min(retry_after or 0.0, _LONGEST_REST_S)
        if now >= self._rests_until:
            rest = max(rest, min(_REST_S * 2**self._refusals, _LONGEST_REST_S))
            self._refusals = min(self._refusals + 1, 10)
            self._rests_since = now
        self._rests_until = max(self._rests_until, now + rest)

    def answered(self, asked_at: float) -> None:
        """Note a whole answer to what was asked then; it says nothing of a rest that has begun since."""
        if asked_at >= self._rests_since:
            self._refusals = 0
            self._rests_until = self._rests_since = -math.inf

    def _remember(self, seconds: float) -> None:
        self._window.append(seconds)
        self._percentile = None
