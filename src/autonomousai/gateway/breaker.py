"""What keeps a broken upstream from costing callers time, and an outage from being multiplied. Pure: the time is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Literal, NamedTuple

State = Literal["closed", "open", "probing"]

#: The failure rate is judged over this many outcomes: half of them opens the breaker.
_WINDOW: Final = 20
_LONGEST_COOLDOWN: Final = 60.0

#: Trials that an open breaker admits at once where no other upstream can be asked.
_TRIALS: Final = 8

#: Seconds for which a success gives hope of more, and an upstream is not given up whose breaker has opened.
_HOPE_S: Final = 5.0


#: Seconds after a success here for which the failures of other processes are not believed.
_OWN_WORD_S: Final = 1.0


class BreakerChange(NamedTuple):
    """What became of the breaker of an upstream, by its name. ``cooldown``: seconds to the next trial, where it is open."""

    upstream: str
    is_open: bool
    cooldown: float


class Breaker:
    """One upstream's breaker. It opens after ``failures`` in a row, or when half of the last 20 outcomes failed. Failures come
    quicker than answers: of many requests at once at least half must have failed, those in a row.

    While it is not closed, requests are admitted as trials. Where another upstream can be asked: one, after the cool-down,
    which doubles up to a minute while trials fail. Where none can be asked, the breaker must not be worse than none: a few at
    a time, without a cool-down. A trial that succeeds closes it; one that has begun to answer makes room for the next.
    """

    def __init__(self, *, failures: int, cooldown: float, time: Callable[[], float]) -> None:
        #: Called when it has opened or closed, or has to rest for longer, by what this process found out.
        self.on_change: Callable[[Breaker], None] | None = None
        self._by_report = False  # whether it was opened by a probe or by another process, and by no request here
        self._was_up = False  # whether a probe has ended a cool-down since it opened
        self._failures = failures
        self._cooldown = self._base = cooldown
        self._time = time
        self.is_closed = True
        self._in_a_row = 0
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self._probe_at = 0.0
        self._failed_at = self._hopeful_at = -inf  # the last failure that counted; the last success, or when it opened
        self._running = 0  # requests that were admitted and are not over
        self._trials: deque[float] = deque()  # when each of them was admitted, where the breaker was not closed

    @property
    def state(self) -> State:
        """Return ``probing`` while a trial runs, else whether it is open."""
        return "closed" if self.is_closed else "probing" if self._trials else "open"

    @property
    def running(self) -> int:
        """Return how many requests were admitted and are not over."""
        return self._running

    def admit(self, *, last: bool = False) -> bool:
        """Return whether a request may try the upstream now. *last*: no other can be asked. Who is admitted is to be
        released; it is a trial where `state` is not closed then."""
        if not self.is_closed:
            now = self._time()
            if len(self._trials) >= (_TRIALS if last else 1) or not (last or now >= self._probe_at):
                return False
            self._trials.append(now)
        self._running += 1
        return True

    def enter(self) -> None:
        """Note that a request is admitted while the breaker is closed; it is to be released."""
        self._running += 1

    def would_admit(self) -> bool:
        """Return what `admit` would, where another upstream can be asked."""
        return self.is_closed or (not self._trials and self._time() >= self._probe_at)

    def wait(self, *, last: bool = False) -> float:
        """Return the seconds until a request might be admitted. How long a trial will still take is not known: about as long
        again as it has taken."""
        if self.is_closed:
            return 0.0
        now = self._time()
        cooling = 0.0 if last else max(0.0, self._probe_at - now)
        busy = now - self._trials[0] if len(self._trials) >= (_TRIALS if last else 1) else 0.0
        return max(cooling, busy)

    def is_hopeful(self) -> bool:
        """Return whether others may succeed soon: some are running, and the breaker is closed, or a success or its opening was
        not long ago."""
        return self._running > 0 and (self.is_closed or self._time() - self._hopeful_at < _HOPE_S)

    def heard(self) -> None:
        """Make room for the next trial, once for each: it has begun to be answered, which may take long."""
        if self._trials:
            self._trials.popleft()

    def release(self, *, trial: bool) -> None:
        """Note that a request is over. *trial*: whether it has a trial's room still."""
        self._running -= 1
        if trial:
            self.heard()

    def answered(self) -> float:
        """Note that a request is over and had success that was admitted while the breaker was closed. Returns the time."""
        self._running -= 1
        if not self.is_closed:
            return self.success(trial=False)
        self._hopeful_at = now = self._time()
        self._cooldown = self._base
        self._in_a_row = 0
        self._outcomes.append(True)
        return now

    def success(self, *, trial: bool = True) -> float:
        """The upstream did its work. What was begun before the breaker opened does not close it. Returns the time."""
        self._hopeful_at = now = self._time()
        if not self.is_closed:
            if not trial and not self._by_report:
                return now
            self._close()
            self._changed()
        self._cooldown = self._base
        self._in_a_row = 0
        self._outcomes.append(True)
        return now

    def failure(self, *, halfway_since: float | None = None, trial: bool = True) -> None:
        """The upstream failed, through no fault of the caller's. *halfway_since*: when it was asked, where it had begun to
        answer. All that it was answering breaks at once when it dies, and that is one failure: whether it comes back, requests
        will tell that come later. *trial*: whether the request was one; others that end beside it say nothing new."""
        now = self._time()
        if not self.is_closed:
            if trial and now >= self._probe_at:
                self._cooldown = min(self._cooldown * 2, _LONGEST_COOLDOWN)
                self._probe_at = now + self._cooldown
                self._changed()
            return
        if halfway_since is not None and halfway_since < self._failed_at:
            return
        self._failed_at = now
        self._in_a_row += 1
        self._outcomes.append(False)
        rate_exceeded = len(self._outcomes) == _WINDOW and self._outcomes.count(False) * 2 >= _WINDOW
        enough = self._failures if halfway_since is not None else max(self._failures, self._running)
        if self._in_a_row >= enough or rate_exceeded:
            self._open(self._cooldown)
            self._changed()

    # ---- what is learned otherwise than by requests

    @property
    def cooling(self) -> float:
        """Return the seconds until the next trial is due, where another upstream can be asked."""
        return 0.0 if self.is_closed else max(0.0, self._probe_at - self._time())

    def probed(self, *, up: bool, since: float) -> None:
        """Note what a probe found that was begun at *since*. One that finds the upstream down opens the breaker before a caller
        finds out, unless an answer came meanwhile. One that finds it up closes what probes opened. What requests opened gets a
        trial at once, but only one, until it has been closed: that a server lives does not prove that it answers."""
        now = self._time()
        if up:
            if self._by_report:
                self._close()
                self._changed()
            elif not self.is_closed and not self._was_up:
                self._was_up = True
                self._probe_at = now
        elif self.is_closed:
            if self._hopeful_at < since:
                self._open(self._cooldown, by_report=True)
                self._changed()
        else:
            self._probe_at = max(self._probe_at, now + self._cooldown)

    def learn(self, *, is_open: bool, cooldown: float) -> None:
        """Take over what another process found out. Not its failures where requests have just succeeded here: the fault may be
        its own."""
        now = self._time()
        if not is_open:
            if not self.is_closed:
                self._close()
        elif not self.is_closed:
            self._probe_at = max(self._probe_at, now + cooldown)
        elif now - self._hopeful_at >= _OWN_WORD_S:
            self._open(cooldown, by_report=True)

    def _open(self, cooldown: float, *, by_report: bool = False) -> None:
        now = self._time()
        self.is_closed = False
        self._by_report, self._was_up = by_report, False
        self._in_a_row = 0
        self._hopeful_at = now
        self._probe_at = now + cooldown

    def _close(self) -> None:
        self._outcomes.clear()
        self._trials.clear()
        self._in_a_row = 0
        self._cooldown = self._base
        self._by_report = self._was_up = False
        self.is_closed = True

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)


class RetryBudget:
    """Retries as a share of successes: an upstream that answers most requests can be asked again for the others, and an outage
    is not multiplied. Each success earns *share* of a retry; *reserve* are there at first, and at most."""

    def __init__(self, *, share: float = 0.6, reserve: float = 30.0) -> None:
        self._share = share
        self._limit = self._tokens = reserve
        self.is_full = True

    def success(self) -> None:
        """A request was answered. Of a budget that is full, this makes no more."""
        self._tokens = min(self._limit, self._tokens + self._share)
        self.is_full = self._tokens >= self._limit

    def spend(self) -> bool:
        """Return whether one more retry can be afforded; it is spent then."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self.is_full = False
        return True
