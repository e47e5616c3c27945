"""Several choices that are one answer: side by side where slots are free, else one after the other; without an engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from autonomousai.engine.choices import one_answer, side_by_side
from autonomousai.engine.completion import RawPart
from autonomousai.events import Batch, ChoiceEvent, Event, FinishReason, Started, Usage

OWN = "own"


def part(number: int, **fields: Any) -> RawPart:
    return RawPart(number, number == 0, "a", "", fields.get("echo", ""), fields.get("is_silent", False), {})


def choice(number: int, event: Event) -> Event:
    return ChoiceEvent(number, event) if number else event


class Slots:
    """An engine with so many *free* slots. ``log``: which choice began, spoke and was closed, in which slot."""

    def __init__(self, free: int = 0, *, fails: int | None = None) -> None:
        self.free = free
        self.log: list[tuple[str, int, str]] = []
        self._fails = fails

    @asynccontextmanager
    async def further(self) -> AsyncIterator[str | None]:
        if not self.free:
            yield None
            return
        self.free -= 1
        try:
            yield "further"
        finally:
            self.free += 1

    async def generate(self, part: RawPart, slot: str) -> AsyncGenerator[Batch]:
        self.log.append(("began", part.number, slot))
        try:
            yield [Started("m"), str(part.number)]
            if part.number == self._fails:
                raise ConnectionError("broken")
            yield [FinishReason("stop", "finish_reason", Usage(3, 2, 5, cached_tokens=0), "m")]
        finally:
            self.log.append(("left", part.number, slot))

    def answer(self, parts: list[RawPart], most: int = 4) -> AsyncGenerator[Batch]:
        return one_answer(side_by_side(parts, self.generate, OWN, self.further, most=most))


async def events(batches: AsyncGenerator[Batch]) -> list[Event]:
    return [event async for batch in batches for event in batch]


async def test_choices_are_generated_side_by_side_where_slots_are_free() -> None:
    """Both have begun before one has ended; each choice's end is said, and the slot is free again."""
    slots = Slots(free=1)
    answer = await events(slots.answer([part(0), part(1)]))

    assert [("began", 0, OWN), ("began", 1, "further")] == slots.log[:2]
    assert {str(choice(1, FinishReason("stop", "finish_reason"))), str(choice(1, "1"))} <= {str(event) for event in answer}
    assert 1 == slots.free


async def test_choices_are_generated_in_turn_where_no_slot_is_free() -> None:
    """In the one that is held; the end comes last, and what was counted of a prompt counts once."""
    slots = Slots()

    assert [
        Started("m"),
        "0",
        ChoiceEvent(1, "1"),
        ChoiceEvent(1, FinishReason("stop", "finish_reason")),
        FinishReason("stop", "finish_reason", Usage(3, 4, 7, cached_tokens=0), "m"),
    ] == await events(slots.answer([part(0), part(1)]))
    assert [("began", 0, OWN), ("left", 0, OWN), ("began", 1, OWN), ("left", 1, OWN)] == slots.log


async def test_no_more_slots_are_taken_than_may_be() -> None:
    """Whatever number is free."""
    slots = Slots(free=9)
    await events(slots.answer([part(number) for number in range(5)], most=2))

    assert ["began", "began", "left"] == [what for what, _, _ in slots.log[:3]]
    assert {OWN, "further"} == {slot for _, _, slot in slots.log}


@pytest.mark.parametrize("free", [0, 2])
@pytest.mark.parametrize("fails", [0, 1])
async def test_an_error_of_one_choice_is_the_error_of_all(free: int, fails: int) -> None:
    """All that had begun is left, and each slot given back."""
    slots = Slots(free=free, fails=fails)
    with pytest.raises(ConnectionError, match="broken"):
        await events(slots.answer([part(0), part(1), part(2)]))

    assert slots.log.count(("began", 2, OWN)) == 0
    assert sorted(each for what, *each in slots.log if what == "began") == sorted(
        each for what, *each in slots.log if what == "left"
    )
    assert free == slots.free


@pytest.mark.parametrize("free", [0, 2])
async def test_who_leaves_stops_all(free: int) -> None:
    """In the middle of the first choice."""
    slots = Slots(free=free)
    async with aclosing(slots.answer([part(0), part(1), part(2)])) as batches:
        await anext(batches)

    began = [each for what, *each in slots.log if what == "began"]
    assert sorted(began) == sorted(each for what, *each in slots.log if what == "left")
    assert 1 + free == len(began)
    assert free == slots.free


@pytest.mark.parametrize("is_silent", [False, True])
async def test_an_echo_comes_first(is_silent: bool) -> None:
    """Alone, where nothing is to be generated; the engine makes a token all the same."""
    answer = await events(Slots(free=1).answer([part(0, echo="a", is_silent=is_silent), part(1, echo="b")]))
    finish = answer[-1]

    assert ("a" if is_silent else "a0") == "".join(event for event in answer if isinstance(event, str))
    assert "b1" == "".join(event.event for event in answer if isinstance(event, ChoiceEvent) and isinstance(event.event, str))
    assert isinstance(finish, FinishReason)
    assert finish.usage is not None
    assert (("length", 2) if is_silent else ("stop", 4)) == (finish.reason, finish.usage.completion_tokens)
