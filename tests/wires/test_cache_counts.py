"""What was read from a prompt's cache, by whatever name a server counts it."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai.wires.openai_chat.usage import usage_of

COUNTS = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({}, None),
        ({"prompt_tokens_details": {"cached_tokens": 3}}, 3),
        ({"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 6}, 3),
        ({"cached_tokens": 3}, 3),
        ({"cache_read_input_tokens": 0}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 3}, "prompt_cache_hit_tokens": 4}, 3),
        ({"prompt_tokens_details": None, "cached_tokens": "many"}, None),
    ],
)
def test_cached_tokens_are_counted(beside: dict[str, Any], expected: int | None) -> None:
    """Those of OpenAI's place first; what a vendor says itself stays beside them."""
    usage = usage_of({**COUNTS, **beside})

    assert usage is not None
    assert expected == usage.cached_tokens
    assert {name: value for name, value in beside.items() if name != "prompt_tokens_details"} == (usage.extra or {})
