"""What keeps a broken upstream from costing callers time, and an outage from being multiplied. Pure: the time is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

State = Literal["closed", "open", "probing"]

#: The failure rate is judged over this many outcomes: half of them opens the breaker.
_WINDOW: Final = 20
_LONGEST_COOLDOWN: Final = 60.0

#: Seconds within which answers that break half-way are taken to have broken together, for one cause.
_TOGETHER: Final = 1.0

#: Trials that an open breaker admits at once where no other upstream can be asked.
_TRIALS: Final = 8


class Breaker:
    """One upstream's breaker. It opens after ``failures`` in a row, or when half of the last 20 outcomes failed.

    While it is not closed, requests are admitted as trials. Where another upstream can be asked: one, after the cool-down,
    which doubles up to a minute while trials fail. Where none can be asked, the breaker must not be worse than none: a few at
    a time, without a cool-down. A trial that succeeds closes it; one that has begun to answer makes room for the next.
    """

    def __init__(self, *, failures: int, cooldown: float, time: Callable[[], float]) -> None:
        self._failures = failures
        self._cooldown = self._base = cooldown
        self._time = time
        self._is_closed = True
        self._in_a_row = 0
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self._probe_at = 0.0
        self._failed_at = -_TOGETHER
        self._trials: deque[float] = deque()  # when each was admitted

    @property
    def state(self) -> State:
        """Return ``probing`` while a trial runs, else whether it is open."""
        return "closed" if self._is_closed else "probing" if self._trials else "open"

    def admit(self, *, last: bool = False) -> bool:
        """Return whether a request may try the upstream now. *last*: no other can be asked. Where `state` is not closed then,
        the request is a trial, which has to be released."""
        if self._is_closed:
            return True
        now = self._time()
        if len(self._trials) >= (_TRIALS if last else 1) or not (last or now >= self._probe_at):
            return False
        self._trials.append(now)
        return True

    def wait(self, *, last: bool = False) -> float:
        """Return the seconds until a request might be admitted. How long a trial will still take is not known: about as long
        again as it has taken."""
        if self._is_closed:
            return 0.0
        now = self._time()
        cooling = 0.0 if last else max(0.0, self._probe_at - now)
        busy = now - self._trials[0] if len(self._trials) >= (_TRIALS if last else 1) else 0.0
        return max(cooling, busy)

    def release(self) -> None:
        """Make room for the next trial, once for each: it has begun to be answered, which may take long, or is over."""
        if self._trials:
            self._trials.popleft()

    def success(self, *, trial: bool = True) -> None:
        """The upstream did its work. What was begun before the breaker opened does not close it."""
        if not self._is_closed:
            if not trial:
                return
            self._outcomes.clear()
            self._trials.clear()
            self._is_closed = True
        self._cooldown = self._base
        self._in_a_row = 0
        self._outcomes.append(True)

    def failure(self, *, halfway: bool = False, trial: bool = True) -> None:
        """The upstream failed, through no fault of the caller's. *halfway*: after it had begun to answer. All that it was
        answering breaks at once when it dies, and that is one failure: whether it comes back, the next requests will tell.
        *trial*: whether it was admitted as one. What was begun before, and ends beside a trial, says nothing new."""
        now = self._time()
        together = halfway and now - self._failed_at < _TOGETHER
        self._failed_at = now
        if not self._is_closed:
            if trial and now >= self._probe_at:
                self._cooldown = min(self._cooldown * 2, _LONGEST_COOLDOWN)
                self._probe_at = now + self._cooldown
            return
        if together:
            return
        self._in_a_row += 1
        self._outcomes.append(False)
        rate_exceeded = len(self._outcomes) == _WINDOW and self._outcomes.count(False) * 2 >= _WINDOW
        if self._in_a_row >= self._failures or rate_exceeded:
            self._is_closed = False
            self._in_a_row = 0
            self._probe_at = now + self._cooldown


class RetryBudget:
    """Retries as a share of successes: an upstream that answers most requests can be asked again for the others, and an outage
    is not multiplied. Each success earns *share* of a retry; *reserve* are there at first, and at most *limit*."""

    def __init__(self, *, share: float = 0.5, reserve: float = 10.0, limit: float = 15.0) -> None:
        self._share = share
        self._tokens = reserve
        self._limit = limit

    def success(self) -> None:
        """A request was answered."""
        self._tokens = min(self._limit, self._tokens + self._share)

    def spend(self) -> bool:
        """Return whether one more retry can be afforded; it is spent then."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
