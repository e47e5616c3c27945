"""No secret of a server's config comes to its callers: also not one that an upstream could only have from elsewhere."""

from __future__ import annotations

import gc
import logging
from typing import Any
from urllib.parse import quote

import pytest

from autonomousai.config import Config, LlamaCppConfig, ModelConfig, OpenAIConfig, RetryConfig, Secret, ServerConfig
from autonomousai.server import create_app
from autonomousai.streams.errors import store_unavailable
from autonomousai.streams.stores import StoreError
from autonomousai.testing import ScriptedServer
from autonomousai.wires.redaction import HiddenSecrets, redact
from tests.clients.test_secrets import PLACES, repeated
from tests.support.sockets import CHAT, HELLO, ask, listening, request

OWN, OTHER, SERVERS = "upstreams-own-4f9c2b7e1d", "another-upstreams-77ab01c9", "callers-of-this-server-90f1"


def config(url: str) -> Config:
    return Config(
        server=ServerConfig(api_keys=(Secret(SERVERS),)),
        upstreams={
            "a": OpenAIConfig(f"{url}/v1", api_key=Secret(OWN)),
            "b": OpenAIConfig("http://127.0.0.1:9/v1", api_key=Secret(OTHER)),
        },
        models={"llama": ModelConfig(route=("a",)), "qwen": ModelConfig(route=("b",))},
        retry=RetryConfig(attempts=1),
    )


@pytest.mark.parametrize("said", [OWN, OTHER, SERVERS, OTHER[:18]], ids=["own", "other", "server's", "cut"])
@pytest.mark.parametrize("place", PLACES)
async def test_no_secret_comes_to_a_caller(place: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever upstream repeats it, in whatever place, and neither to the log."""
    caplog.set_level(logging.DEBUG)
    async with ScriptedServer(repeated(said)[place]) as upstream:
        async with listening(create_app(config(upstream.url))) as place_of:
            told = await ask(place_of.port, request("POST", CHAT, {**HELLO, "stream": True}, authorization=f"Bearer {SERVERS}"))

    assert said.encode() not in told.body
    assert said not in str(told.headers) + caplog.text
    assert b"error" in told.body


def test_what_a_config_holds() -> None:
    """Keys of callers and of upstreams, and the password of the place where streams are kept; nothing where there is none."""
    kept = Config(
        server=ServerConfig(api_keys=(Secret("one"), Secret("two")), state="redis://user:p%40ss@h:1/0"),
        upstreams={
            "a": OpenAIConfig("http://h/v1", api_key=Secret("three")),
            "b": OpenAIConfig("http://h/v1"),
            "c": LlamaCppConfig(),
        },
    )

    assert ("one", "two", "three", "p@ss") == kept.secrets()
    assert () == Config().secrets()


def test_a_servers_secrets_are_its_own() -> None:
    """They are hidden as long as it is there."""
    app: Any = create_app(config("http://127.0.0.1:9"))
    assert "***" == redact(OTHER)

    del app
    gc.collect()
    assert OTHER == redact(OTHER)


def test_the_store_of_streams_tells_no_password(caplog: pytest.LogCaptureFixture) -> None:
    """Its errors are its library's."""
    hidden = HiddenSecrets(["a-password-of-redis"])

    store_unavailable(
        StoreError(f"cannot connect to redis://u:{quote('a-password-of-redis')}@h: AUTH a-password-of-redis failed")
    )

    assert "a-password-of-redis" not in caplog.text
    assert "AUTH *** failed" in caplog.text
    assert hidden.parts
