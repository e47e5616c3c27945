"""The clocks of a response on a connection that a sweep looks at: which timeout runs, and what restarts it.

What happens when one has run out is the connection's.
"""

from __future__ import annotations

import asyncio
from math import inf

from ..errors import Clock
from ..errors import TimeoutError as ClockError
from ..timeouts import Clocks
from .response_head import HeadReader
from .sweep import Sweep
from .timeouts import seconds_of


class TimedResponse(HeadReader):
    """``deadline``: the loop's time when the timeout that runs now runs out."""

    __slots__ = (
        "_clock",
        "_clocks",
        "_ends_quietly",
        "_is_alive",
        "_is_overdue",
        "_loop",
        "_progressed",
        "_sent_at",
        "_sweep",
        "_total_at",
        "_winds",
        "deadline",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sweep: Sweep) -> None:
        super().__init__()
        self.deadline = inf  # until the first request, for which the connection was opened, has been sent
        self._loop = loop
        self._sweep = sweep
        self._clocks: Clocks
        self._winds = False  # events restart the idle timeout
        self._clock: Clock = "total"
        self._total_at = 0.0
        self._sent_at = 0.0
        self._progressed = self._is_alive = False  # what has come since the last sweep
        self._is_overdue = False  # the deadline passed while the reader did not wait
        self._ends_quietly = False

    def _expire(self, now: float) -> None:
        """End the response, whose deadline has passed."""
        raise NotImplementedError

    @property
    def _alive_until(self) -> float:
        """Return the loop's time until which signs of life count, before the first token."""
        clocks = self._clocks
        return min(self._total_at, self._sent_at + max(clocks.first_token, clocks.first_token_alive))

    def progress(self) -> None:
        """See `Response.progress`. The timeout is restarted by the next sweep."""
        self._progressed = True

    def alive(self) -> None:
        """See `Response.alive`; likewise."""
        self._is_alive = True

    def wait_no_longer_than(self, seconds: float) -> None:
        """See `Response.wait_no_longer_than`."""
        if (self._progressed or not self._ends_quietly) and not self._is_complete:
            self._end_within(seconds)

    def _wind(self, now: float) -> None:
        """Set the deadline anew after what has come since the last sweep."""
        if self._progressed and self._winds:
            self._ends_quietly = False  # what was taken for the end was not it
            self._clock, self.deadline = "idle", now + self._clocks.idle
        elif self._clock == "first_token" and not self._ends_quietly and now < self._alive_until:
            self.deadline = min(now + self._clocks.first_token, self._alive_until)
        self._progressed = self._is_alive = False
        self._is_overdue = now >= self.deadline
        if self.deadline >= self._total_at:
            self._clock, self.deadline = "total", self._total_at
        self._sweep.by(self.deadline)

    def _end_overdue(self) -> bool:
        """End the response whose deadline passed while its reader did not wait, unless what came meanwhile winds it: comments
        in step with the sweep must not keep it for ever. Returns whether it has ended."""
        if not self._is_overdue or self._progressed:
            return False
        now = self._loop.time()
        if self._is_alive and self._clock == "first_token" and now < self._alive_until:
            return False
        self._is_overdue = False
        self._expire(now)
        return True

    def _end_within(self, seconds: float) -> None:
        """The answer is proven: the body ends quietly in *seconds* at the latest."""
        self._ends_quietly = True
        self._progressed = False
        self.deadline = min(self._total_at, self._loop.time() + seconds)
        self._sweep.by(self.deadline)

    def _timeout_error(self, now: float) -> ClockError:
        """Return the error for the reader when the deadline has passed."""
        clock = "total" if now >= self._total_at else self._clock
        seconds = seconds_of(clock, self._clocks, at_bound=now >= self._alive_until)
        return ClockError(clock, seconds, status=self.status or None)
