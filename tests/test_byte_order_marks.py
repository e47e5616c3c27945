"""A byte order mark, which some editors and servers write before UTF-8, is dropped wherever text is read, or named."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from autonomousai import AutonomousAI, StatusError
from autonomousai.cli import templates
from autonomousai.config import load_config
from autonomousai.testing import Recording, Script, ScriptedServer, chunks, completion
from autonomousai.testing.steps import Head, Send
from tests.support.sockets import CHAT, HELLO, ask, request

BOM = codecs.BOM_UTF8
MESSAGES = [{"role": "user", "content": "Hello"}]


def test_in_a_config(tmp_path: Path) -> None:
    """A TOML file as a Windows editor saves it is read."""
    path = tmp_path / "config.toml"
    path.write_bytes(BOM + b"[server]\nport = 1234\n")

    assert 1234 == load_config(path, {}).server.port


def test_in_a_template(tmp_path: Path) -> None:
    """Likewise."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    path = templates.path_of("brief", environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BOM + b'system = "Be brief."\n')

    assert "Be brief." == templates.load("brief", environment).system


def test_in_a_recording(tmp_path: Path) -> None:
    """Likewise."""
    path = tmp_path / "recording.toml"
    recording = Recording("http://127.0.0.1:9/v1")
    path.write_bytes(BOM + recording.text().encode())

    assert recording == Recording.load(path)


async def test_in_a_request(port: int) -> None:
    """A body that begins with one is read."""
    answer = await ask(port, request("POST", CHAT, BOM + json.dumps(HELLO).encode(), content_type="application/json"))

    assert 200 == answer.status


async def test_of_another_encoding(port: int) -> None:
    """A body in UTF-16 is refused by its name."""
    answer = await ask(port, request("POST", CHAT, json.dumps(HELLO).encode("utf-16"), content_type="application/json"))

    assert (400, "invalid_json") == answer.told
    assert "UTF-16" in answer.error["message"]


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("stream", [True, False])
async def test_in_an_answer(stream: bool) -> None:
    """Streamed or whole."""
    head, body = (Head(), chunks("Hi")) if stream else (Head(content_type="application/json", chunked=False), completion("Hi"))
    async with ScriptedServer(Script(head, Send(BOM + body))) as server, AutonomousAI(server.url) as provider:
        text = await provider.create_async_generator("llama", MESSAGES, stream=stream).text()

    assert "Hi" == text


async def test_in_an_error() -> None:
    """Its words are found."""
    refusal = Script(
        Head(status=400, content_type="application/json", chunked=False), Send(BOM + b'{"error": {"message": "too odd"}}')
    )
    async with ScriptedServer(refusal) as server, AutonomousAI(server.url) as provider:
        with pytest.raises(StatusError, match=r"400 Bad Request: too odd$"):
            await provider.create_async_generator("llama", MESSAGES).text()
