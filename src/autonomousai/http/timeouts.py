"""The clocks of a response: how long its reader may wait, and which clock it is that ends the wait. Knows no connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import Clock
from ..errors import TimeoutError as ClockError
from ..timeouts import Clocks

#: Seconds by which a timer may fire late before we suspect our own event loop.
_LATE = 0.25


def _nobody() -> None:
    """Whom a stopped watch tells."""


class ReadTimeouts:
    """One deadline, moved by assignment, and one timer that is set again only when it fires: an event costs it no more.

    ``waiting``: set by the reader while it waits; only then does a deadline that passes call ``expired``. ``ends_quietly``: the
    answer was proven, so that the deadline is no fault, just the end. It can ``begin`` again and again, until it is stopped.
    """

    __slots__ = (
        "_armed_at",
        "_clock",
        "_clocks",
        "_deadline",
        "_expired",
        "_handle",
        "_loop",
        "_time",
        "_total_at",
        "_winds",
        "ends_quietly",
        "waiting",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self.waiting = False
        self.ends_quietly = False
        self._loop = loop
        self._time = loop.time
        self._expired = expired
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._clocks: Clocks
        self._clock: Clock
        self._deadline: float
        self._total_at: float
        self._winds = False

    def begin(self, clocks: Clocks, total_at: float, first_token_from: float | None, *, lazily: bool = False) -> None:
        """A request is on its way. ``total_at``: the loop's time when the total clock runs out; ``first_token_from``: the time
        from which the first token's clock runs, or None where it and the idle clock do not. ``lazily``: without a timer, until
        somebody has to `wait`."""
        self._clocks = clocks
        self._total_at = total_at
        self.ends_quietly = False
        self._winds = first_token_from is not None
        self._clock = "total"
        self._deadline = total_at
        if first_token_from is not None and first_token_from + clocks.first_token < total_at:
            self._clock = "first_token"
            self._deadline = first_token_from + clocks.first_token
        if not lazily:
            self._arm()

    def wait(self) -> None:
        """From now on the reader waits."""
        self.waiting = True
        if self._handle is None:
            self._arm()

    def progress(self) -> None:
        """An event came: from now on the idle clock runs, from anew; where the total clock runs alone, it still does."""
        if not self._winds:
            return
        self.ends_quietly = False  # what was taken for the end was none
        deadline = self._time() + self._clocks.idle
        if deadline < self._total_at:
            self._clock = "idle"
            self._deadline = deadline
        else:
            self._clock = "total"
            self._deadline = self._total_at
        if self._deadline < self._armed_at and self._handle is not None:
            self._arm()

    def wait_no_longer_than(self, seconds: float) -> None:
        """The answer is proven; what may still follow is awaited this long, and then the body just ends."""
        if not self.ends_quietly:
            self.end_within(seconds)

    def end_within(self, seconds: float) -> None:
        """From now on there are so many seconds, and then it is over."""
        self.ends_quietly = True
        self._deadline = min(self._total_at, self._time() + seconds)
        if self._handle is not None:
            self._arm()

    def rest(self, seconds: float) -> None:
        """Nothing is asked for now; whoever begins nothing within so many seconds is told."""
        self.waiting = True
        self._deadline = self._total_at = self._time() + seconds
        self._arm()

    def stop(self) -> None:
        """No timer is left, and nobody is told any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._expired = _nobody

    def error(self, status: int | None) -> ClockError:
        """What the reader is told when the deadline has passed."""
        clocks = self._clocks
        seconds = {"first_token": clocks.first_token, "idle": clocks.idle}.get(self._clock, clocks.total)
        return ClockError(self._clock, seconds, status=status)

    def _arm(self) -> None:
        """A timer that would fire after the deadline is set again; one that fires too early sets itself."""
        if self._handle is None:
            self._set(self._deadline)
        elif self._deadline < self._armed_at:
            self._handle.cancel()
            self._set(self._deadline)

    def _set(self, when: float) -> None:
        self._armed_at = when
        self._handle = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        now = self._time()
        if not self.waiting:
            self._set(max(self._deadline, now + 1))
        elif now < self._deadline:
            self._set(self._deadline)
        elif now - self._armed_at > _LATE:
            # The loop itself stood still: what came meanwhile has not been read yet, and would be blamed on the server.
            self._set(now + _LATE)
        else:
            self._handle = None
            self._expired()
