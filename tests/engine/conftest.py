"""One engine on real weights for all tests of a module, on the module's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from autonomousai.engine import weights
from autonomousai.engine.provider import LlamaCpp
from autonomousai.models import DEFAULT_WEIGHTS


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine() -> AsyncIterator[LlamaCpp]:
    """Four slots of 1,024 tokens."""
    weights.pull(DEFAULT_WEIGHTS)
    async with LlamaCpp(context=1024) as engine:
        yield engine
