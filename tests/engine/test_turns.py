"""Long conversations on few slots: each finds its own again, and what is kept of them does not grow."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from autonomousai.answer import Answer
from autonomousai.engine import weights
from autonomousai.engine.provider import LlamaCpp
from autonomousai.events import Messages
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.request import ChatRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pair() -> AsyncIterator[LlamaCpp]:
    """An engine of two slots."""
    weights.pull(DEFAULT_WEIGHTS)
    async with LlamaCpp(slots=2, context=512) as engine:
        yield engine


class Talk:
    """A conversation with a long beginning."""

    def __init__(self, about: str, facts: int = 40) -> None:
        opening = " ".join(f"The {about} number {number} has a mill." for number in range(facts))
        self.messages: Messages = [{"role": "user", "content": f"{opening} What do they have?"}]

    async def turn(self, engine: LlamaCpp, question: str = "") -> int:
        """Ask, and return how many tokens of the prompt the engine read."""
        if question:
            self.messages.append({"role": "user", "content": question})
        answer = Answer()
        async for batch in engine.stream(ChatRequest("llama", self.messages, True, fields={"max_tokens": 4})):
            answer.add(batch)
        assert answer.finish is not None
        usage = answer.finish.usage
        assert usage is not None
        self.messages.append({"role": "assistant", "content": answer.text})
        return usage.prompt_tokens - (usage.cached_tokens or 0)


async def test_each_conversation_finds_its_own_slot(pair: LlamaCpp) -> None:
    """Two that take turns, and begin with the same system message; the first turn is read whole."""
    talks = [Talk("town"), Talk("village")]
    first = [await talk.turn(pair) for talk in talks]
    later = [await talk.turn(pair, question) for question in ("Why?", "And then?") for talk in talks]

    assert min(first) > 200
    assert max(later) < 40


async def test_a_conversation_that_lost_its_slot_is_read_anew(pair: LlamaCpp) -> None:
    """As many are known as there are slots."""
    talks = [Talk("town"), Talk("village"), Talk("castle")]
    for talk in talks:
        await talk.turn(pair)

    assert await talks[0].turn(pair, "Why?") > 200
    assert await talks[2].turn(pair, "Why?") < 40


def resident(pid: int) -> float:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def test_what_is_kept_of_conversations_does_not_grow(pair: LlamaCpp) -> None:
    """The cache is the slots' own context: when each has been full once, further conversations take nothing."""
    for number in range(2):
        await Talk(f"full {number}", facts=38).turn(pair)
    assert pair.pid is not None
    before = resident(pair.pid)
    for number in range(3):
        await Talk(f"further {number}", facts=38).turn(pair)

    assert resident(pair.pid) < before + 20
