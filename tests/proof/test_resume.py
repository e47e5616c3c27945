"""A network that cuts the connection twenty times in a long answer: the caller's text is that of an undisturbed run, byte for
byte, and the engine has generated it once, by its own count."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.config import Config, LlamaCppConfig
from autonomousai.engine.provider import LlamaCpp
from autonomousai.server import create_app
from tests.support.chaos import ChaosProxy
from tests.support.sockets import Listening, listening

from .sample import SEED, WHOLE, sample

MESSAGES = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]
LENGTH = 2000 if WHOLE else 120
CUTS = 20

CLIENTS: dict[str, Callable[[str], Any]] = {
    "AutonomousAI": AutonomousAI,
    "OpenAICompatible": lambda url: OpenAICompatible(f"{url}/v1"),
}
SAMPLINGS: dict[str, dict[str, Any]] = {"greedy": {"temperature": 0}, "sampled": {"temperature": 1, "seed": 8}}
CASES = sample([(client, sampling) for client in CLIENTS for sampling in SAMPLINGS], 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving() -> AsyncIterator[Listening]:
    app = create_app(Config(upstreams={"embedded": LlamaCppConfig(slots=1)}))
    async with listening(app) as place:
        await app.start()
        yield place


async def answer(provider: Any, engine: LlamaCpp, **fields: Any) -> tuple[str, str | None, float]:
    """The text, the reason of its end, and the tokens that the engine generated meanwhile."""
    before = (await engine.metrics())["tokens_predicted_total"]
    async with provider:
        result = provider.create_async_generator("llama", MESSAGES, stream=True, max_tokens=LENGTH, **fields)
        text = await result.text()
    assert result.finish is not None
    return text, result.finish.reason, (await engine.metrics())["tokens_predicted_total"] - before


def random_cuts(size: int) -> list[int]:
    """How many bytes each connection lives: twenty random places of an answer of that many bytes, the head of the first one
    spared, for without it nobody knows that the answer can be resumed."""
    dice = random.Random(SEED)
    places = sorted(dice.randrange(500, size) for _ in range(CUTS))
    return [after - before for before, after in zip([0, *places], places, strict=False)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("client", "sampling"), CASES)
async def test_twenty_cuts_cost_no_character_and_no_token(
    serving: Listening, client: str, sampling: str, record_property: Callable[[str, Any], None]
) -> None:
    """The text is identical, each of the connections was cut, and the engine has generated the tokens of one answer."""
    engine = serving.app.provider.upstreams["embedded"].provider
    assert isinstance(engine, LlamaCpp)
    make, fields = CLIENTS[client], SAMPLINGS[sampling]
    undisturbed = await answer(make(serving.url), engine, **fields)

    async with ChaosProxy(serving.port, random_cuts(LENGTH * 150)) as network:
        disturbed = await answer(make(network.url), engine, **fields)
    record_property(f"{client}, {sampling}", f"{disturbed[2]:g} tokens, {len(disturbed[0])} characters, {network.cut} cuts")

    assert (undisturbed, CUTS, LENGTH) == (disturbed, network.cut, undisturbed[2])
