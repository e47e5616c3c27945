"""Headers of the config go with each request to an upstream, whichever way it is sent, and no value of one is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from autonomousai.cli.config_commands import _shown
from autonomousai.config import Config, load_config
from autonomousai.errors import ConfigError
from autonomousai.server import create_app
from autonomousai.testing import Script, ScriptedServer
from autonomousai.workers.messages import packed, unpacked
from tests.support.sockets import ask, listening, request

CONFIG = """
[upstreams.far]
kind = "{kind}"
base_url = "{url}"
headers = {{ HTTP-Referer = "https://app.example", X-Title = "My app", X-Gateway-Key = "env:GATEWAY_KEY" }}
[models.mine]
route = ["far"]
"""
KEY = "gateway-key-never-to-be-seen"


SCRIPTS = {"openai": Script.stream("Hello"), "anthropic": Script.messages("Hello"), "gemini": Script.gemini("Hello")}


def load(path: Path, text: str) -> Config:
    file = path / "config.toml"
    file.write_text(text)
    return load_config(file, {"GATEWAY_KEY": KEY})


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("kind", SCRIPTS)
async def test_each_request_has_them(kind: str, streams: bool, tmp_path: Path) -> None:
    """Also where a worker got the config."""
    async with ScriptedServer(SCRIPTS[kind]) as upstream:
        config = load(tmp_path, CONFIG.format(kind=kind, url=upstream.url))
        async with listening(create_app(unpacked(packed(config), Config))) as server:
            body = {"model": "mine", "messages": [{"role": "user", "content": "Hi"}], "stream": streams}
            got = await ask(server.port, request("POST", "/v1/chat/completions", body))

    headers = upstream.requests[0].headers
    assert 200 == got.status
    assert ("https://app.example", "My app", KEY) == tuple(
        headers[name] for name in ("http-referer", "x-title", "x-gateway-key")
    )


def test_no_value_is_shown(tmp_path: Path) -> None:
    """Neither by a command nor in an error; one that is no key is no secret in other texts."""
    config = load(tmp_path, CONFIG.format(kind="openai", url="http://127.0.0.1:1/v1"))

    assert "***" == _shown({"headers": config.upstreams["far"].headers})["headers"]  # type: ignore[attr-defined]
    assert KEY not in repr(config)
    assert (True, False) == (KEY in config.secrets(), "My app" in config.secrets())


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ('Content-Length = "5"', "no header that can be set"),
        ('"a b" = "5"', "no header that can be set"),
        ("X-A = 5", "expected text"),
        ('X-A = "a\\nb"', "visible ASCII"),
        ('X-A = ""', "visible ASCII"),
        ('X-A = "env:MISSING"', "MISSING is not set"),
    ],
)
def test_what_is_no_header_is_named(header: str, says: str, tmp_path: Path) -> None:
    """With its key."""
    text = f'[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nheaders = {{ {header} }}'
    with pytest.raises(ConfigError, match=says) as caught:
        load(tmp_path, text)

    assert "upstreams.far.headers." in str(caught.value)
