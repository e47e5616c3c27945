"""Waiting for one of the engine's slots: bounded, and told honestly."""

from __future__ import annotations

import pytest

from autonomousai.errors import StatusError
from autonomousai.gateway import Gateway, Upstream
from autonomousai.providers.llamacpp import LlamaCpp

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
