"""Waiting for one of the engine's slots: bounded, and told honestly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from autonomousai.engine import generation
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import StatusError
from autonomousai.events import Batch
from autonomousai.gateway import Gateway, Upstream
from tests.support.engine import eventually

HELLO = [{"role": "user", "content": "Write a long story about a dragon."}]


async def test_who_cannot_wait_for_a_slot_is_told_so_once() -> None:
    """With its only slot taken and no patience, the engine answers 503 with a time to come back; the gateway neither asks again
    nor holds it against the engine."""
    async with LlamaCpp(slots=1, context=512, queue=0) as engine:
        upstream = Upstream("embedded", engine)
        gateway = Gateway([upstream], {"llama": ["embedded"]})
        async with gateway.create_async_generator("llama", HELLO, stream=True) as first:
            await anext(first)
            second = gateway.create_async_generator("llama", HELLO, stream=True)
            with pytest.raises(StatusError) as caught:
                await second.text()

    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "engine_busy", 1)
    assert second.report is not None
    assert ([503], "closed") == ([each.status for each in second.report.attempts], upstream.breaker.state)


async def test_leavers_do_not_heap_up_inside_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who left keeps the slot until the engine has noticed: whoever gets it next finds the engine with nothing to do. Meanwhile
    the others wait outside, where leaving costs nothing."""
    story = [{"role": "user", "content": "Tell me a long story about the sea. " * 45}]
    found: list[float] = []
    looked = asyncio.Event()
    ask = generation._ask

    async def look_and_ask(*question: Any) -> AsyncGenerator[Batch]:
        counters = await engine.metrics()
        found.append(counters["requests_processing"] + counters["requests_deferred"])
        looked.set()
        async with contextlib.aclosing(ask(*question)) as batches:
            async for batch in batches:
                yield batch

    monkeypatch.setattr(generation, "_ask", look_and_ask)
    async with LlamaCpp(slots=1, context=512) as engine:
        for _ in range(2):
            result = engine.create_async_generator("llama", story, stream=True, max_tokens=50)
            async with result:
                reading = asyncio.ensure_future(result.text())
                await looked.wait()
                looked.clear()
                await eventually(engine, lambda counters: counters["requests_processing"] == 1)
                reading.cancel()
                await asyncio.wait([reading])

    assert [0, 0] == found
