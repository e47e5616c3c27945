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


def seconds_of(clock: Clock, clocks: Clocks, *, at_bound: bool) -> float:
    """Return the seconds that *clock* allowed. *at_bound*: the bound of the first token from an upstream that is alive."""
    if clock == "first_token":
        return max(clocks.first_token, clocks.first_token_alive) if at_bound else clocks.first_token
    return clocks.idle if clock == "idle" else clocks.total


class ReadTimeouts:
    """One deadline, moved by assignment, and one timer that is set again only when it fires: an event costs it no more.

    ``waiting``: set by the reader while it waits. A deadline that passes then calls ``expired``; one that passes while the
    reader does not wait makes the response overdue, and the reader's next `wait` calls it, unless an event has come. The total
    timeout waits for no reader. ``ends_quietly``: the answer was proven, so that the deadline is no fault, just the end.
    """

    __slots__ = (
        "_alive_until",
        "_armed_at",
        "_clock",
        "_clocks",
        "_deadline",
        "_expired",
        "_handle",
        "_loop",
        "_time",
        "_total_at",
        "_was_late",
        "_winds",
        "ends_quietly",
        "is_overdue",
        "waiting",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        expired: Callable[[], None],
        clocks: Clocks,
        total_at: float,
        first_token_from: float | None,
    ) -> None:
        """``total_at``: the loop's time when the total timeout passes; ``first_token_from``: the time from which the first
        token's timeout runs, or None where it and the idle timeout do not. There is no timer until a task has to `wait`."""
        self.waiting = False
        self.is_overdue = False
        self.ends_quietly = False
        self._loop = loop
        self._time = loop.time
        self._expired = expired
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._was_late = False
        self._clocks = clocks
        self._total_at = self._alive_until = total_at
        self._winds = first_token_from is not None
        self._clock: Clock = "total"
        self._deadline = total_at
        if first_token_from is not None and first_token_from + clocks.first_token < total_at:
            self._clock = "first_token"
            self._deadline = first_token_from + clocks.first_token
            self._alive_until = min(total_at, first_token_from + max(clocks.first_token, clocks.first_token_alive))

    def wait(self) -> None:
        """From now on the reader waits."""
        self.waiting = True
        if self.is_overdue:
            self._expired()
        elif self._handle is None:
            self._set(self._deadline)

    def progress(self) -> None:
        """An event came: from now on the idle timeout runs, from anew; where the total timeout runs alone, it still does."""
        if not self._winds:
            return
        self.ends_quietly = False  # what was taken for the end was none
        self._clock = "idle"
        self.is_overdue = False
        self._deadline = deadline = self._time() + self._clocks.idle
        if deadline >= self._total_at or deadline < self._armed_at:
            self._wind(deadline)

    def alive(self) -> None:
        """Something came that is no event: the first token is waited for anew, up to a bound of its own."""
        now = self._time()
        if self._clock == "first_token" and not self.ends_quietly and now < self._alive_until:
            self._wind(min(now + self._clocks.first_token, self._alive_until))

    def _wind(self, deadline: float) -> None:
        self.is_overdue = False
        self._deadline = deadline
        if deadline >= self._total_at:
            self._clock = "total"
            self._deadline = self._total_at
        if self._deadline < self._armed_at and self._handle is not None:
            self._set(self._deadline)

    def wait_no_longer_than(self, seconds: float) -> None:
        """The answer is proven; what may still follow is awaited this long, and then the body just ends."""
        if not self.ends_quietly:
            self.ends_quietly = True
            self.is_overdue = False
            self._deadline = min(self._total_at, self._time() + seconds)
            if self._deadline < self._armed_at and self._handle is not None:
                self._set(self._deadline)

    def stop(self) -> None:
        """No timer is left, and nothing is reported any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.is_overdue = False
        self._expired = _nobody

    @property
    def is_over(self) -> bool:
        """Whether the total timeout has passed."""
        return self._time() >= self._total_at

    def error(self, status: int | None) -> ClockError:
        """Return the error for the reader when the deadline has passed."""
        now = self._time()
        clock = "total" if now >= self._total_at else self._clock
        return ClockError(clock, seconds_of(clock, self._clocks, at_bound=now >= self._alive_until), status=status)

    def _set(self, when: float) -> None:
        """Set the timer. One that would fire after the deadline is set again; one that fires too early sets itself."""
        if self._handle is not None:
            self._handle.cancel()
        self._armed_at = when
        self._handle = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._handle = None
        now = self._time()
        late = now - self._armed_at > _LATE and not self._was_late
        self._was_late = late and now >= self._deadline
        if now < self._deadline:
            self._set(self._deadline)
        elif late:
            # The loop itself stood still: what came meanwhile has not been read yet, and would be blamed on the server.
            self._set(now + _LATE)
        elif self.waiting or now >= self._total_at:
            self._expired()
        else:
            self.is_overdue = True
            self._set(self._total_at)
