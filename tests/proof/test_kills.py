"""The engine's child is killed in mid-answer: the text is byte for byte that of the undisturbed run, and so are the
others'."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from autonomousai import FinishReason, LlamaCpp
from autonomousai.gateway import Gateway, Upstream

from .kills import LENGTH, PROMPTS, SYSTEM, all_kills
from .sample import sample

KILLS = sample(all_kills(), 5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[LlamaCpp]:
    async with LlamaCpp(slots=4, context=512) as engine:
        yield engine


async def answer(gateway: Gateway, prompt: int, fields: dict[str, Any], *, kill_after: int = 0, engine: LlamaCpp) -> Any:
    """The text, the finish reason, and the splices of one answer; its engine is killed after so many pieces."""
    messages = [SYSTEM, {"role": "user", "content": PROMPTS[prompt]}]
    result = gateway.create_async_generator("llama", messages, stream=True, max_tokens=LENGTH, **fields)
    texts: list[str] = []
    async for chunk in result:
        if isinstance(chunk, str):
            texts.append(chunk)
            if len(texts) == kill_after:
                assert engine.pid is not None
                os.kill(engine.pid, signal.SIGKILL)
    assert isinstance(result.finish, FinishReason)
    assert result.report is not None
    return "".join(texts), result.finish.reason, result.report.splices


@pytest.mark.asyncio(loop_scope="module")
async def test_a_killed_engine_costs_no_character(engine: LlamaCpp) -> None:
    """Killed with SIGKILL at many points: each answer, and each one beside it, is byte-identical to the undisturbed run."""
    gateway = Gateway([Upstream("embedded", engine)], {"llama": ["embedded"]})
    undisturbed: dict[Any, str] = {}

    async def reference(prompt: int, sampling: tuple[tuple[str, Any], ...]) -> str:
        key = (prompt, sampling)
        if key not in undisturbed:
            undisturbed[key], _, _ = await answer(gateway, prompt, dict(sampling), engine=engine)
        return undisturbed[key]

    rescued = 0
    for kill in KILLS:
        expected = [await reference(kill.prompt, kill.sampling)]
        others = [((kill.prompt + number) % len(PROMPTS), (("temperature", 0),)) for number in range(1, kill.beside + 1)]
        expected += [await reference(*other) for other in others]
        found = await asyncio.gather(
            answer(gateway, kill.prompt, dict(kill.sampling), kill_after=kill.after, engine=engine),
            *(answer(gateway, prompt, dict(sampling), engine=engine) for prompt, sampling in others),
        )

        assert expected == [text for text, _, _ in found], kill
        rescued += sum(bool(splices) for _, _, splices in found)

    assert rescued >= len(KILLS) // 2  # an answer that ends before its kill needs no rescue


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("after", sample([1, 5, 12, 20, 33], 2))
async def test_a_long_conversation_is_continued(after: int, engine: LlamaCpp) -> None:
    """Above the length up to which an answer is repeated exactly, what was delivered stays, and the rest continues it: said by
    a splice of that offset, and checked by length and hash as ever."""
    gateway = Gateway([Upstream("embedded", engine)], {"llama": ["embedded"]})
    story = " ".join(f"On day {day} the keeper lit the lamp and wrote into the book." for day in range(24))
    messages = [SYSTEM, {"role": "user", "content": f"{story} Tell this story in your own words."}]
    result = gateway.create_async_generator("llama", messages, stream=True, max_tokens=LENGTH, temperature=0)
    texts: list[str] = []
    async for chunk in result:
        if isinstance(chunk, str):
            texts.append(chunk)
            if len(texts) == after:
                assert engine.pid is not None
                os.kill(engine.pid, signal.SIGKILL)
                delivered = "".join(texts)

    assert result.report is not None
    (splice,) = result.report.splices
    assert (["continue"], len(delivered)) == (result.report.ways, splice.offset)
    assert len("".join(texts)) > len(delivered)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_next_request_finds_a_fresh_child(engine: LlamaCpp) -> None:
    """After a kill between two requests the next one is answered by another process."""
    gateway = Gateway([Upstream("embedded", engine)], {"llama": ["embedded"]})
    await engine.start()
    before = engine.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)

    text, reason, _ = await answer(gateway, 0, {"temperature": 0}, engine=engine)

    assert text
    assert reason in ("stop", "length")
    assert engine.pid != before


@pytest.mark.asyncio(loop_scope="module")
async def test_who_asks_just_as_the_engine_dies_is_answered(engine: LlamaCpp) -> None:
    """Nobody has noticed yet, or the next child still loads: nothing was lost, and so nobody is told of it, gateway or not."""
    await engine.start()
    messages = [SYSTEM, {"role": "user", "content": PROMPTS[0]}]

    async def ask() -> str:
        return await engine.create_async_generator("llama", messages, stream=True, max_tokens=8, temperature=0).text()

    expected = await ask()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    found = await asyncio.gather(*(ask() for _ in range(6)))

    assert [expected] * 6 == found
