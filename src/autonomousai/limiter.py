"""A bounded number of seats, given in the order of asking, with an honest estimate for callers who have to wait. No I/O."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from .errors import StatusError

#: Limiter given back over which the rate is measured.
_REMEMBERED = 32


class Limiter:
    """``seats`` at once; who comes later waits in line, whose speed is measured while there is one. ``code``: of the error for
    who cannot wait so long."""

    def __init__(self, seats: int, *, code: str = "overloaded", time: Callable[[], float] = time.monotonic) -> None:
        self._free = seats
        self._code = code
        self._time = time
        self._line: deque[asyncio.Future[None]] = deque()
        #: When the line began to form, and since then seats were given back; of these the latest.
        self._moments: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def expected_wait(self) -> float | None:
        """Seconds that a caller who came now would wait, at the speed of late; None where nothing is known of that."""
        if self._free and not self._line:
            return 0.0
        given_back = len(self._moments) - 1
        if not self._line or given_back < 1:
            return None
        # Up to now, not up to the last one: a line that has come to a stand is getting slower.
        pace = (self._time() - self._moments[0]) / given_back
        return pace * (len(self._line) + 1)

    def likely_wait(self) -> float | None:
        """Return about how long it would take for who came now: like `expected_wait`, but a line in which no seat was given
        back yet is taken to stand still for about as long again. None where there is no line."""
        if not self._line and len(self._moments) < 2:
            return None if not self._moments else self._time() - self._moments[0]
        pace = (self._time() - self._moments[0]) / max(1, len(self._moments) - 1)
        return pace * (len(self._line) + 1)

    def try_acquire(self) -> bool:
        """Take a seat, if one is free and no other caller stands in line for it."""
        if self._free and not self._line:
            self._free -= 1
            return True
        return False

    async def acquire(self, patience: float) -> None:
        """Take a seat within *patience* seconds. Raises `StatusError` 503 with ``retry_after`` where that is not possible: at
        once, where the line is too long by its own speed."""
        if self.try_acquire():
            return
        expected = self.expected_wait()
        if expected is not None and expected > patience:
            raise busy(f"{len(self._line)} others wait, about {expected:.0f} s", expected - patience, code=self._code)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._line:
            self._moments.clear()
            self._moments.append(self._time())
        self._line.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # the seat came together with our leaving: it goes to the next
            elif turn in self._line:  # where it is not, it was passed over already
                self._line.remove(turn)
            if isinstance(error, TimeoutError):
                raise busy(f"no place was free within {patience:g} s", self.likely_wait(), code=self._code) from None
            raise

    def release(self) -> None:
        """Leave a seat, which the next in line gets."""
        if self._line:
            self._moments.append(self._time())
            self._pass_on()
        else:
            self._free += 1

    def _pass_on(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def busy(problem: str, wait: float | None, *, code: str = "overloaded") -> StatusError:
    """Return a 503 that says when to come back: after *wait* seconds, at least one; None where that is not known."""
    return StatusError(
        f"the server is busy: {problem}; try again later",
        status=503,
        type="server_error",
        code=code,
        retry_after=None if wait is None else float(max(1, round(wait))),
    )


#: The error code of requests that a shutdown refuses or interrupts.
SHUTTING_DOWN: Final = "shutting_down"


def shutting_down(left: float = 0.0) -> StatusError:
    """Return the error for who comes during a shutdown. *left*: seconds until it is over, and another server may be here."""
    return StatusError(
        "the server is shutting down; try again, or ask another",
        status=503,
        type="server_error",
        code=SHUTTING_DOWN,
        retry_after=max(1.0, left),
    )


class QuotaHold(Protocol):
    """What a caller's key reserves for one answer. `settle` it once, when the answer has ended, however it did; what it took is
    known by then. `hand_over` returns it for another task, and `leave` leaves it to another server. `written`: what that needs.
    """

    def settle(self) -> None: ...
    def hand_over(self) -> QuotaHold: ...
    def leave(self) -> None: ...
    def written(self) -> bytes: ...


class Interruptible(Protocol):
    """A request that is being answered, as `RequestLimiter.cancel_all` sees it."""

    def interrupt(self, reason: Exception) -> None: ...


class Place:
    """The place of one request: taken when it is to be answered, and given back once. ``is_taken``: whether it is held."""

    __slots__ = ("_limiter", "_queue_s", "_seats", "is_taken")

    def __init__(self, limiter: RequestLimiter | None, seats: Limiter, queue_s: float) -> None:
        self.is_taken = False
        self._limiter = limiter
        self._seats = seats
        self._queue_s = queue_s

    def try_acquire(self) -> bool:
        """Take the place, if that needs no waiting. Returns whether it is held."""
        if not self.is_taken:
            self.is_taken = self._seats.try_acquire()
        return self.is_taken

    async def acquire(self) -> None:
        """Take the place, unless it is held. Raises `StatusError` 503 when none is free in time, or none can be by the speed of
        late."""
        if not self.is_taken:
            await self._seats.acquire(self._queue_s)
            self.is_taken = True

    def release(self) -> None:
        """Give the place back, if it is held."""
        if self.is_taken:
            self.is_taken = False
            self._seats.release()

    def hand_over(self) -> Place:
        """Return this place for another task, which gives it back: the request inside holds none any more."""
        place = Place(None, self._seats, self._queue_s)
        place.is_taken, self.is_taken = self.is_taken, False
        return place

    def leave(self) -> None:
        """Give the place back, and go outside."""
        if self.is_taken:
            self.is_taken = False
            self._seats.release()
        if self._limiter is not None:
            self._limiter.on_left()
            self._limiter = None


class RequestLimiter:
    """How many requests are answered at once, and how many more may wait for that, and for how long.

    Every request inside (waiting, or being answered) is counted, so that the memory that whole bodies take is bounded too: at
    most as many again may be inside as there are places.
    """

    def __init__(self, places: int, queue_s: float) -> None:
        self.inside = 0
        self.places = places
        self._emptied: asyncio.Event | None = None  # once it is waited for
        self._most = 2 * places
        self._queue_s = queue_s
        self._seats = Limiter(places)
        #: Requests that are being answered, and can be interrupted.
        self.callers: set[Interruptible] = set()

    @property
    def waiting(self) -> int:
        """How many stand in line for a place."""
        return self._seats.waiting

    def enter(self) -> Place:
        """Come inside. Raises `StatusError` 503 when all places and the queue are full."""
        if self.inside >= self._most:
            raise busy("too many requests are waiting already", self._seats.likely_wait())
        self.inside += 1
        return Place(self, self._seats, self._queue_s)

    def try_enter(self) -> bool:
        """Come inside and take a place, where that needs no waiting: both are given back by `leave`. False elsewhere."""
        seats = self._seats
        if self.inside >= self._most or seats._line or not seats._free:
            return False
        seats._free -= 1
        self.inside += 1
        return True

    def leave(self) -> None:
        """Give back what `try_enter` took."""
        seats = self._seats
        if seats._line:
            seats.release()
        else:
            seats._free += 1
        self.inside = inside = self.inside - 1
        if not inside and self._emptied is not None:
            self._emptied.set()

    def place(self) -> Place:
        """Return what takes a place for an answer that no request inside waits for."""
        return Place(None, self._seats, self._queue_s)

    def on_left(self) -> None:
        """Count one less inside."""
        self.inside -= 1
        if not self.inside and self._emptied is not None:
            self._emptied.set()

    async def empty(self) -> None:
        """Wait until no request is inside."""
        while self.inside:
            if self._emptied is None:
                self._emptied = asyncio.Event()
            self._emptied.clear()
            await self._emptied.wait()

    def cancel_all(self) -> None:
        """Send away every caller who is still being answered: the end of the time to drain."""
        for caller in list(self.callers):
            caller.interrupt(shutting_down())
