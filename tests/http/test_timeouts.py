"""Deadlines hold whatever an upstream's timing: the clocks of both transports, driven by hand, with a loop whose time is the
test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from autonomousai.errors import TimeoutError as ClockError
from autonomousai.http.aiohttp_connector import AttemptTimer, ConnectionAttempt
from autonomousai.http.connection import ClientConnection
from autonomousai.http.fairness import FairDispatcher
from autonomousai.http.request_head import Origin
from autonomousai.http.sweep import Sweep
from autonomousai.http.timeouts import ReadTimeouts
from autonomousai.timeouts import Clocks
from tests.http.test_connection import Wire

CLOCKS = Clocks(first_token=20, idle=15, total=600, first_token_alive=60)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"3\r\n: \n\r\n"


class HandLoop:
    """The little of an event loop that clocks use; time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def call_at(self, when: float, callback: Callable[[], Any]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), self)  # type: ignore[arg-type]
        handle._scheduled = True  # type: ignore[attr-defined]
        self.timers.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def pass_by(self, seconds: float, *, late: float = 0.0) -> None:
        """Let so much time pass, and run what is due; each timer comes *late* by so much."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.when() + late <= until]:
            timer = min(due, key=lambda timer: timer.when())
            self.timers.remove(timer)
            self.now = max(self.now, timer.when() + late)
            timer._run()
        self.now = max(self.now, until)


class OverAiohttp:
    """A response whose reader waits, read over aiohttp: of the transport, its clocks alone."""

    def __init__(self, loop: HandLoop) -> None:
        self.error: ClockError | None = None
        made: Any = loop
        self.clocks = ReadTimeouts(made, self._on_expired, CLOCKS, loop.now + CLOCKS.total, loop.now)
        self.clocks.wait()

    def _on_expired(self) -> None:
        self.error = self.error or self.clocks.error(200)

    def arrive(self) -> None:
        """Something has come; its reader has not seen it yet."""
        self.clocks.waiting = False

    def read(self, note: str) -> None:
        """The reader takes what came for *note*, "alive" or "progress", and waits for more."""
        getattr(self.clocks, note)()
        self.clocks.wait()

    def think(self) -> None:
        """The reader does not wait."""
        self.clocks.waiting = False


class OverHttptools:
    """The same over our own transport."""

    def __init__(self, loop: HandLoop) -> None:
        made: Any = loop
        self.connection = ClientConnection(Origin(True, "host", 443), made, FairDispatcher(made), Sweep(made), print, print)
        self.connection.connection_made(Wire())
        now = loop.now
        self.connection.send(b"", b"", ends=False, clocks=CLOCKS, streaming=True, total_at=now + CLOCKS.total, now=now)
        self.connection.data_received(HEAD)
        self._read()

    @property
    def error(self) -> ClockError | None:
        error: Any = self.connection._error
        return error

    def _read(self) -> None:
        self.reading = self.connection.read_some()
        with suppress(ClockError):
            self.reading.send(None)

    def arrive(self) -> None:
        self.connection.data_received(PIECE)

    def read(self, note: str) -> None:
        with suppress(StopIteration):
            self.reading.send(None)
        getattr(self.connection, note)()
        self._read()

    def think(self) -> None:
        self.connection.data_received(PIECE)
        with suppress(StopIteration):
            self.reading.send(None)
        self.connection.progress()


@pytest.fixture(params=[OverAiohttp, OverHttptools], ids=["aiohttp", "httptools"])
def kind(request: pytest.FixtureRequest) -> type[OverAiohttp | OverHttptools]:
    made: type[OverAiohttp | OverHttptools] = request.param
    return made


Kind = type[OverAiohttp | OverHttptools]


def in_step(loop: HandLoop, response: OverAiohttp | OverHttptools, note: str, *, late: float = 0.0) -> tuple[str, float, float]:
    """Let a piece come every second, just before the timers of that moment, until a clock runs out: which, what it allowed, and
    when."""
    began = loop.now
    while response.error is None and loop.now < began + 2 * CLOCKS.total:
        loop.pass_by(0.99, late=late)
        response.arrive()
        loop.pass_by(0.01, late=late)
        if response.error is None:
            response.read(note)
    assert response.error is not None
    return response.error.clock, response.error.seconds, round(loop.now - began)


async def test_silence_ends_by_the_first_tokens_clock(kind: Kind) -> None:
    """Without a sign of life it is twenty seconds."""
    loop = HandLoop()
    response = kind(loop)
    loop.pass_by(19.9)
    before = response.error
    loop.pass_by(0.5)

    assert (before, response.error and response.error.seconds) == (None, 20)


async def test_comments_prolong_the_wait_up_to_its_bound(kind: Kind) -> None:
    """A comment each second, in step with our timers: after sixty seconds it is over."""
    loop = HandLoop()

    assert ("first_token", 60, 60) == in_step(loop, kind(loop), "alive")


async def test_comments_wind_up_no_idle_clock(kind: Kind) -> None:
    """After the first word they are worth nothing, however they come."""
    loop = HandLoop()
    response = kind(loop)
    response.arrive()
    response.read("progress")

    clock, seconds, when = in_step(loop, response, "alive")

    assert (clock, seconds, 15 <= when <= 16) == ("idle", 15, True)


async def test_events_wind_up_no_total_clock(kind: Kind) -> None:
    """An answer without an end has one."""
    loop = HandLoop()

    assert ("total", 600, 600) == in_step(loop, kind(loop), "progress")


async def test_the_total_clock_waits_for_no_reader(kind: Kind) -> None:
    """A caller who stops reading keeps the upstream until then, and no longer."""
    loop = HandLoop()
    response = kind(loop)
    response.think()
    loop.pass_by(599)
    before = response.error
    loop.pass_by(2)

    assert (before, response.error and response.error.clock) == (None, "total")


async def test_a_slow_reader_is_not_a_silent_server(kind: Kind) -> None:
    """What came while the reader was away was in time, whenever it is read."""
    loop = HandLoop()
    response = kind(loop)
    response.arrive()
    loop.pass_by(300)
    response.read("progress")
    loop.pass_by(14)

    assert response.error is None


async def test_a_flood_that_makes_the_loop_slow_does_not_escape(kind: Kind) -> None:
    """Timers that always come late look all the same, if not each time."""
    loop = HandLoop()

    clock, _, when = in_step(loop, kind(loop), "progress", late=0.3)

    assert (clock, 600 <= when <= 602) == ("total", True)


async def test_attempts_of_one_loop_end_by_one_timer() -> None:
    """Each when it is due, whichever began first; one whose caller cancels it was not due."""
    timer, now = AttemptTimer(), asyncio.get_running_loop().time()

    async def attempt(due: float) -> bool:
        each = ConnectionAttempt(timer, None, due, None, fresh=True)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return each.finish()
        return False

    later, *due = [asyncio.create_task(attempt(when)) for when in (now + 1000, now, now - 1, now + 0.01)]
    ended = await asyncio.gather(*due)
    later.cancel()

    assert ([True, True, True], False) == (ended, await later)
    assert [0, 0, 0, 1] == [task.cancelling() for task in (*due, later)]
    assert {} == timer.attempts
    timer.stop()
