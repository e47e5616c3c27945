"""Seats: in the order of asking, never lost, and with an honest word about the wait."""

from __future__ import annotations

import asyncio

import pytest

from autonomousai.errors import StatusError
from autonomousai.limiter import Limiter


class HandClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def turns(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_seats_are_given_in_the_order_of_asking() -> None:
    """Who asked first sits first."""
    seats = Limiter(1)
    order: list[int] = []

    async def sit(number: int) -> None:
        await seats.acquire(60)
        order.append(number)

    await seats.acquire(60)
    tasks = [asyncio.create_task(sit(number)) for number in range(3)]
    await turns()
    for _ in range(3):
        seats.release()
        await turns()
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2]


async def test_who_leaves_the_line_costs_nothing() -> None:
    """A caller who is cancelled while waiting is passed over, and the seat is not lost."""
    seats = Limiter(1)
    await seats.acquire(60)
    leaver, stayer = asyncio.create_task(seats.acquire(60)), asyncio.create_task(seats.acquire(60))
    await turns()
    leaver.cancel()
    await turns()
    seats.release()
    await stayer

    assert (seats.waiting, leaver.cancelled()) == (0, True)


async def test_a_seat_that_comes_with_the_leaving_goes_to_the_next() -> None:
    """Given and cancelled in the same turn: the next in line gets it."""
    seats = Limiter(1)
    await seats.acquire(60)
    leaver, stayer = asyncio.create_task(seats.acquire(60)), asyncio.create_task(seats.acquire(60))
    await turns()
    seats.release()
    leaver.cancel()
    async with asyncio.timeout(30):
        await stayer

    assert leaver.cancelled()


async def test_who_leaves_as_a_seat_comes_free_is_passed_over() -> None:
    """Cancelled first and the seat given back in the same turn: no error but the cancellation, and the next one sits."""
    seats = Limiter(1)
    await seats.acquire(60)
    leaver, stayer = asyncio.create_task(seats.acquire(60)), asyncio.create_task(seats.acquire(60))
    await turns()
    leaver.cancel()
    seats.release()
    async with asyncio.timeout(30):
        await stayer
    await asyncio.gather(leaver, return_exceptions=True)

    assert leaver.cancelled()


async def test_an_impatient_caller_is_told_when_time_is_up() -> None:
    """Past its patience a caller gets a 503 with a time to come back, and the line is as it was."""
    seats = Limiter(1)
    await seats.acquire(60)
    with pytest.raises(StatusError) as caught:
        await seats.acquire(0)

    assert (caught.value.status, caught.value.retry_after, seats.waiting) == (503, 1, 0)


async def test_a_line_that_stands_still_is_told_as_one() -> None:
    """Where no seat was given back for a minute, another minute is a better guess than none; nobody is refused for a guess."""
    clock = HandClock()
    seats = Limiter(1, time=clock)
    quiet = seats.likely_wait()
    await seats.acquire(1000)
    waiting = asyncio.create_task(seats.acquire(1000))
    await turns()
    clock.now += 60
    expected, likely = seats.expected_wait(), seats.likely_wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert (None, None, 120) == (quiet, expected, likely)


async def test_a_line_that_is_too_long_is_told_at_once() -> None:
    """A seat every 10 s, two in line: a newcomer would wait 30 s, which is told at once to who has only 20."""
    clock = HandClock()
    seats = Limiter(1, time=clock)
    await seats.acquire(1000)
    tasks = [asyncio.create_task(seats.acquire(1000)) for _ in range(4)]
    await turns()
    for _ in range(2):
        clock.now += 10
        seats.release()
        await turns()
    expected = seats.expected_wait()
    with pytest.raises(StatusError, match="2 others wait, about 30 s") as caught:
        await seats.acquire(20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (expected, caught.value.retry_after) == (30, 10)


async def test_quiet_hours_say_nothing_of_a_lines_speed() -> None:
    """The time in which nobody waited is not counted as a line's slowness."""
    clock = HandClock()
    seats = Limiter(1, time=clock)
    for _ in range(3):
        await seats.acquire(60)
        clock.now += 3600
        seats.release()
    await seats.acquire(60)
    waiting = asyncio.create_task(seats.acquire(60))
    await turns()
    seats.release()
    await waiting

    assert seats.waiting == 0


async def test_nothing_known_is_nothing_claimed() -> None:
    """Before seats were given back there is no speed to judge by: a newcomer may wait."""
    seats = Limiter(1)
    await seats.acquire(60)

    assert seats.expected_wait() is None
