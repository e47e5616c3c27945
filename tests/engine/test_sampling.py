"""The sampling that belongs to the weights: where it is used, and that what a caller says goes first."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.engine.provider import LlamaCpp
from autonomousai.engine.sampling import sampling_of, with_sampling
from autonomousai.models import DEFAULT_WEIGHTS, WEIGHTS

SAMPLING = {"temperature": 0.4, "min_p": 0.1, "repeat_penalty": 1.1, "dry_multiplier": 0.8}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SAMPLING),
        ({"seed": 1}, {**SAMPLING, "seed": 1}),
        ({"temperature": 1.5, "repeat_penalty": 1}, {**SAMPLING, "temperature": 1.5, "repeat_penalty": 1}),
        ({"temperature": 0}, {"temperature": 0, "min_p": 0.1}),
        ({"response_format": {"type": "json_object"}}, {"temperature": 0.4, "min_p": 0.1}),
        ({"tools": [{}], "repeat_penalty": 1.2}, {"temperature": 0.4, "min_p": 0.1, "repeat_penalty": 1.2}),
    ],
    ids=str,
)
def test_what_is_given_goes_first(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """What is not has the weights' own; what repeats by right, or is to be the likeliest, has nothing against repetition."""
    assert {**given, **expected} == with_sampling(given, SAMPLING)


def test_each_row_has_its_own() -> None:
    """A file that is no row has none."""
    assert WEIGHTS[DEFAULT_WEIGHTS].sampling == sampling_of(DEFAULT_WEIGHTS)
    assert {} == sampling_of("/some/file.gguf")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_engine_samples_as_the_row_says(engine: LlamaCpp) -> None:
    """The same answer as where a caller says the same; another where they say otherwise."""
    own = WEIGHTS[DEFAULT_WEIGHTS].sampling
    other = {"temperature": 1.0, "repeat_penalty": 1.0}
    texts = [
        await engine.create_async_generator(
            "llama", [{"role": "user", "content": "Tell me a story."}], max_tokens=40, **fields
        ).text()
        for fields in ({"seed": 3}, {"seed": 3, **own}, {"seed": 3, **other})
    ]

    assert texts[0] == texts[1] != texts[2]
