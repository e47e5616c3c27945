"""What a client is made of: a setting that means nothing, or not what it says, is refused when it is given."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from autonomousai import Anthropic, AutonomousAI, ConfigError, OpenAICompatible

URL = "http://127.0.0.1:1"
CLIENTS = [OpenAICompatible, Anthropic, AutonomousAI]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("given", [False, True, "/etc/ssl/certs/ca.pem"])
def test_a_context_is_one(kind: type[Any], given: Any) -> None:
    """``False``, by which others turn verification off, was taken and did nothing."""
    with pytest.raises(ConfigError, match=r"ssl_context must be an ssl\.SSLContext, not .*create_default_context"):
        kind(URL, ssl_context=given)

    assert kind(URL, ssl_context=ssl.create_default_context())


@pytest.mark.parametrize("kind", [OpenAICompatible, Anthropic])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"models": "llama"}, "models must be a list of names, not 'llama'"),
        ({"models": [1]}, "models must be a list of names"),
        ({"model": 1}, "model must be text, not int"),
    ],
)
def test_names_of_models_are_texts(kind: type[Any], given: dict[str, Any], said: str) -> None:
    """A text is a sequence of letters, none of which is a model."""
    with pytest.raises(ConfigError, match=said):
        kind(URL, **given)


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_flag_is_no_text(kind: type[Any]) -> None:
    """As the environment has it: "no" is true in Python."""
    with pytest.raises(ValueError, match="trust_env must be True or False"):
        kind(URL, trust_env="no")


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("host", ["a..b", "a" * 64, r"localhost\v1", ".a"])
def test_a_host_that_is_none_is_told_at_once(kind: type[Any], host: str) -> None:
    """And not by a codec, with the first request."""
    with pytest.raises(ConfigError, match=r"is not a URL|dots part names"):
        kind(f"http://{host}/v1")
