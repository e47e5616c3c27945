"""What keeps a broken upstream from costing callers time, and an outage from being multiplied. Pure: the time is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "probing"]

#: The failure rate is judged over this many outcomes: half of them opens the breaker.
_WINDOW = 20
_LONGEST_COOLDOWN = 60.0

#: Seconds within which answers that break half-way are taken to have broken together, for one cause.
_TOGETHER = 1.0


class Breaker:
    """One upstream's breaker. It opens after ``failures`` in a row, or when half of the last 20 outcomes failed; after the
    cool-down it lets one request through, whose success closes it. The cool-down doubles, up to a minute, while probes fail."""

    def __init__(self, *, failures: int, cooldown: float, time: Callable[[], float]) -> None:
        self.state: State = "closed"
        self._failures = failures
        self._cooldown = self._base = cooldown
        self._time = time
        self._in_a_row = 0
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self._probe_at = 0.0
        self._failed_at = -_TOGETHER

    def admit(self) -> bool:
        """Whether a request may try the upstream now. Who was admitted reports `success`, `failure` or `abandon`."""
        if self.state == "open" and self._time() >= self._probe_at:
            self.state = "probing"
            return True
        return self.state == "closed"

    def wait(self) -> float:
        """Seconds until a request might be admitted."""
        return 0.0 if self.state == "closed" else max(0.0, self._probe_at - self._time())

    def success(self) -> None:
        """The upstream did its work."""
        if self.state == "probing":
            self._outcomes.clear()
            self.state = "closed"
        self._cooldown = self._base
        self._in_a_row = 0
        self._outcomes.append(True)

    def failure(self, *, halfway: bool = False, probe: bool = True) -> None:
        """The upstream failed, through no fault of the caller's. *halfway*: after it had begun to answer. All that it was
        answering breaks at once when it dies, and that is one failure: whether it comes back, the next requests will tell.
        *probe*: whether it was admitted as one. What was begun before, and ends beside a probe, says nothing new."""
        now = self._time()
        together = halfway and now - self._failed_at < _TOGETHER
        self._failed_at = now
        if self.state == "probing":
            if not probe:
                return
            self._cooldown = min(self._cooldown * 2, _LONGEST_COOLDOWN)
            self._open()
            return
        if together:
            return
        self._in_a_row += 1
        self._outcomes.append(False)
        rate_exceeded = len(self._outcomes) == _WINDOW and self._outcomes.count(False) * 2 >= _WINDOW
        if self.state == "closed" and (self._in_a_row >= self._failures or rate_exceeded):
            self._open()

    def abandon(self, *, probe: bool = True) -> None:
        """The caller left before anything could be said of the upstream: a probe is given back."""
        if probe and self.state == "probing":
            self.state = "open"

    def _open(self) -> None:
        self.state = "open"
        self._in_a_row = 0
        self._probe_at = self._time() + self._cooldown


class RetryBudget:
    """Retries as a share of requests: each request earns a fifth of a retry, so that an outage grows by no more than that."""

    def __init__(self, *, share: float = 0.2, reserve: float = 10.0) -> None:
        self._share = share
        self._limit = self._tokens = reserve

    def request(self) -> None:
        """A request came."""
        self._tokens = min(self._limit, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether one more retry can be afforded; it is spent then."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
