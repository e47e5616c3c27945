"""How a caller's name of a model becomes the one that a server gets."""

from __future__ import annotations

from typing import Any

import pytest

from autonomousai import Anthropic, ModelNotFoundError, OpenAICompatible

URL = "http://localhost:1"


@pytest.mark.parametrize("kind", [OpenAICompatible, Anthropic])
def test_a_name_is_passed_on_unless_another_was_configured(kind: Any) -> None:
    """On the class too, as of the other providers: a class knows no models."""
    assert ("any", "any", "m") == (kind.get_model("any"), kind(URL).get_model("any"), kind(URL, model="m").get_model("any"))


@pytest.mark.parametrize("kind", [OpenAICompatible, Anthropic])
def test_a_name_is_among_those_that_callers_may_use(kind: Any) -> None:
    """Where there are any; none is the first of them."""
    provider = kind(URL, models=["a", "b"])

    assert ("a", "b") == (provider.get_model(""), provider.get_model("b"))
    with pytest.raises(ModelNotFoundError, match="a, b"):
        provider.get_model("c")
