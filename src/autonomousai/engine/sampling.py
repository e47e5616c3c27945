"""The sampling of weights where the caller says nothing of it: which defaults a request gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..models import WEIGHTS

#: What is against repetition. Documents and calls repeat their names and brackets by right, and with a temperature of 0 the
#: likeliest token is asked for, whatever was said before.
_PENALTIES: Final = ("repeat_penalty", "dry_multiplier", "dry_base", "dry_allowed_length")

#: Fields with which an answer is a document or calls tools.
_FORMS: Final = ("response_format", "tools", "functions")


def sampling_of(weights: str) -> Mapping[str, float]:
    """Return the sampling that suits *weights*, a name of `WEIGHTS`; of a file that is none of them, nothing is known."""
    row = WEIGHTS.get(weights)
    return {} if row is None else row.sampling


def with_sampling(fields: Mapping[str, Any], sampling: Mapping[str, float]) -> dict[str, Any]:
    """Return the *fields* of a request to llama.cpp, with the *sampling* of its weights for those that are not given.

    Example::

        assert with_sampling({"temperature": 1}, {"temperature": 0.2, "min_p": 0.1}) == {"temperature": 1, "min_p": 0.1}
        assert with_sampling({"temperature": 0}, {"repeat_penalty": 1.1}) == {"temperature": 0}
    """
    free = any(name in fields for name in _FORMS) or fields.get("temperature") == 0
    defaults = {name: value for name, value in sampling.items() if not (free and name in _PENALTIES)}
    return {**defaults, **fields}
