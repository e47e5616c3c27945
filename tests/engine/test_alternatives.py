"""Log probabilities of the tokens that were chosen alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from autonomousai.engine.alternatives import wants_no_alternatives, without_alternatives
from autonomousai.engine.request import engine_fields
from autonomousai.events import Batch, FinishReason, LogProbs

END = FinishReason("stop", "done")


@pytest.mark.parametrize(
    ("fields", "asked", "bare"),
    [
        ({}, None, False),
        ({"logprobs": False}, None, False),
        ({"logprobs": False, "top_logprobs": 0}, None, False),
        ({"logprobs": True}, 1, True),
        ({"logprobs": True, "top_logprobs": None}, 1, True),
        ({"logprobs": True, "top_logprobs": 0}, 1, True),
        ({"logprobs": True, "top_logprobs": 3}, 3, False),
    ],
    ids=str,
)
def test_nothing_is_said_of_other_tokens_unless_they_are_wanted(fields: dict[str, Any], asked: int | None, bare: bool) -> None:
    """llama.cpp named twenty beside each."""
    assert (asked, bare) == (
        engine_fields(fields, max_tokens=9, context=99).get("top_logprobs"),
        wants_no_alternatives(fields),
    )


async def test_the_tokens_themselves_stay() -> None:
    """With their log probabilities; all else is as it was."""

    async def answer() -> AsyncGenerator[Batch]:
        yield [LogProbs([{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Hi"}]}]), "Hi"]
        yield [END]

    got = [batch async for batch in without_alternatives(answer())]

    assert [[LogProbs([{"token": "Hi", "logprob": -0.5, "top_logprobs": []}]), "Hi"], [END]] == got
