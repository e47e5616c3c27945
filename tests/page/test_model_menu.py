"""The menu of models: who answers, and what is offered first."""

from __future__ import annotations

import pytest

from autonomousai.testing import ScriptedProvider
from tests.page.conftest import Serve, Sit
from tests.support.sockets import Listening

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_the_menu_says_who_answers(engine: Listening, sit: Sit) -> None:
    """Weights that stand in for a model are named; `vision` is not offered where it cannot see."""
    reader = await sit(engine)
    names = await reader.page.locator("#model option").all_text_contents()

    assert "llama · smollm2-135m, a demo model" == names[0]
    assert ["llama", "qwen_coder", "hermes", "summary"] == [name.partition(" · ")[0] for name in names][:4]
    assert not [name for name in names if name.startswith("vision")]


async def test_what_can_see_is_offered_as_vision(serve: Serve, sit: Sit) -> None:
    """And a model that answers itself has its name alone."""
    reader = await sit(await serve(ScriptedProvider(vision=True, models=["own", "vision"])))
    names = await reader.page.locator("#model option").all_text_contents()

    assert ["own (sees images)", "vision (sees images)"] == names
