"""What an embedded engine is made of, and asked for in Python: told when it is given, and by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autonomousai import ConfigError, HTTPError, LlamaCpp

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    "given",
    [
        *({"slots": "4"}, {"slots": 0}, {"slots": 1.5}, {"slots": True}),
        *({"context": -1}, {"context": "all"}, {"context": 2**40}, {"threads": -1}, {"max_tokens": 0}),
    ],
)
def test_sizes_that_no_engine_has_are_refused(given: dict[str, Any]) -> None:
    """The child's traceback was the answer to the first request."""
    with pytest.raises(ConfigError, match=f"{next(iter(given))}: must be a whole number from"):
        LlamaCpp(**given)


def test_weights_may_be_a_path(tmp_path: Path) -> None:
    """As the standard library has them."""
    assert str(tmp_path / "a.gguf") == LlamaCpp(tmp_path / "a.gguf").weights


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("temperature", float("nan")),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {"default": float("nan")}}}]),
    ],
)
def test_a_number_that_json_cannot_write_is_told(field: str, given: Any) -> None:
    """As of every other client: at the call, by the field's name."""
    with pytest.raises(ValueError, match=f"'{field}' (must be a number|holds NaN)"):
        LlamaCpp().create_async_generator("llama", HELLO, **{field: given})


async def test_what_is_no_json_is_told_by_its_field() -> None:
    """And not by its class alone; no engine is started for it."""
    with pytest.raises((ValueError, HTTPError), match="tools"):
        await LlamaCpp().create_async_generator("llama", HELLO, tools=[len])
