"""Defaults of `chat`: kept by `config set`, used where an option is left out, never a key in a file."""

from __future__ import annotations

import base64
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from autonomousai.testing import Request, ScriptedServer
from tests.support.program import Ended, run


def messages(request: Request) -> Any:
    body = request.json()["messages"]
    return json.loads(base64.b64decode(body)) if isinstance(body, str) else body


async def keep(env: dict[str, str], **values: str) -> list[Ended]:
    return [await run("config", "set", key, value, env=env) for key, value in values.items()]


async def test_what_is_kept_is_used(env: dict[str, str], tmp_path: Path) -> None:
    """Server, key by its variable, model, system message, sampling; an option goes over it; the file is its owner's."""
    async with ScriptedServer() as server:
        kept = await keep(
            env,
            base_url=f"{server.url}/v1",
            api_key="env:MY_KEY",
            model="large",
            system="Be kind.",
            temperature="0.5",
            plain="true",
        )
        with_key = {**env, "MY_KEY": "key-1"}
        await run("chat", "Why?", env=with_key)
        await run("chat", "--model", "small", "--temperature", "0", "Why?", env=with_key)
    first, second = server.requests
    path = tmp_path / ".config/autonomousai/defaults.toml"

    assert [(0, "", "")] * 6 == kept
    assert ("/v1/chat/completions", "Bearer key-1") == (first.path, first.headers["authorization"])
    assert ("large", 0.5, "small", 0) == (
        *[first.json()[key] for key in ("model", "temperature")],
        *[second.json()[key] for key in ("model", "temperature")],
    )
    assert {"role": "system", "content": "Be kind."} == messages(first)[0]
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert "key-1" not in path.read_text()


async def test_a_key_may_be_in_the_keyring(env: dict[str, str], tmp_path: Path) -> None:
    """`keyring:NAME` is kept, and read when it is used; where it is not there, the file and the key are named."""
    backend = """
from keyring.backend import KeyringBackend

class Entries(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return {("autonomousai", "work"): "key-1"}.get((service, username))
    def set_password(self, service, username, password):
        raise NotImplementedError
"""
    (tmp_path / "entries_for_tests.py").write_text(backend)
    path = os.pathsep.join(filter(None, (env.get("PYTHONPATH"), str(tmp_path))))
    named = {**env, "PYTHONPATH": path, "PYTHON_KEYRING_BACKEND": "entries_for_tests.Entries"}
    async with ScriptedServer() as server:
        await keep(named, base_url=f"{server.url}/v1", api_key="keyring:work", model="large")
        asked = await run("chat", "Why?", env=named)
        await keep(named, api_key="keyring:away")
        missing = await run("chat", "Why?", env=named)

    assert (0, ["Bearer key-1"]) == (asked.code, [request.headers["authorization"] for request in server.requests])
    assert 3 == missing.code
    assert "defaults.toml: api_key: the keyring has no key 'away'" in missing.err


async def test_another_server_gets_neither_key_nor_model(env: dict[str, str]) -> None:
    """What belongs to the kept server stays with it; how to ask goes along."""
    await keep(env, base_url="http://127.0.0.1:9/v1", api_key="env:MY_KEY", model="large", wire="openai", system="Be kind.")
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "Why?", env=env)
        named = await run("chat", "Why?", env={**env, "AUTONOMOUSAI_BASE_URL": server.url})

    assert (0, 0) == (ended.code, named.code)
    for request in server.requests:
        assert ("/api/v1/ai/chat", None) == (request.path, request.headers.get("authorization"))
        assert ["system", "user"] == [message["role"] for message in messages(request)]


async def test_they_can_be_shown_and_forgotten(env: dict[str, str]) -> None:
    """One, all of them as TOML, and none."""
    await keep(env, model="large", plain="true", max_tokens="40")
    one = [await run("config", "get", key, env=env) for key in ("model", "plain", "max_tokens", "system")]
    everything = await run("config", "get", env=env)
    await run("config", "unset", "model", env=env)
    left = await run("config", "get", env=env)

    assert [(0, "large\n", ""), (0, "true\n", ""), (0, "40\n", ""), (1, "", "")] == one
    assert {"model": "large", "max_tokens": 40, "plain": True} == tomllib.loads(everything.out)
    assert {"max_tokens": 40, "plain": True} == tomllib.loads(left.out)


async def test_a_key_may_be_written_like_its_option(env: dict[str, str]) -> None:
    """`--base-url` is what the command line calls it."""
    set_ = await run("config", "set", "base-url", "http://127.0.0.1:9/v1", env=env)
    got = await run("config", "get", "base-url", env=env)
    unset = await run("config", "unset", "base-url", env=env)
    left = await run("config", "get", env=env)

    assert ["", "http://127.0.0.1:9/v1\n", "", ""] == [each.out for each in (set_, got, unset, left)]
    assert [0, 0, 0, 0] == [each.code for each in (set_, got, unset, left)]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("modle", "x", "did you mean model?"),
        ("api_key", "sk-never-to-be-seen", "write env:NAME"),
        ("temperature", "warm", "temperature"),
        ("max_tokens", "1.5", "max_tokens"),
        ("wire", "grpc", "wire"),
        ("vendor", "grok", "vendor"),
        ("base_url", "127.0.0.1", "base_url"),
        ("temperature", "9", "temperature: expected a number of at most 2"),
        ("max_tokens", "0", "max_tokens: expected a whole number of at least 1"),
        ("max_tokens", "many", "max_tokens: expected a whole number, not 'many'"),
        ("plain", "maybe", "plain: expected true or false, not 'maybe'"),
        ("wire", "opena", "did you mean openai?"),
        ("proxy", "garbage", "proxy 'garbage' is not a URL"),
    ],
)
async def test_what_cannot_be_kept_is_refused(env: dict[str, str], key: str, value: str, said: str, tmp_path: Path) -> None:
    """With the key's name, without a secret; nothing is written."""
    ended = await run("config", "set", key, value, env=env)

    assert (2, "") == (ended.code, ended.out)
    assert said in ended.err
    assert "sk-never" not in ended.err
    assert not (tmp_path / ".config/autonomousai/defaults.toml").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = ", "is not TOML"),
        ("modle = 'x'", "modle: there is no such key; known here: model,"),
        ("temperature = 'x'", "temperature: expected a number, not text"),
        ("temperature = 9", "temperature: expected a number of at most 2"),
        ("wire = 'grpc'", "wire: 'grpc' is unknown; it is one of 'openai',"),
        ("api_key = 'sk-never-to-be-seen'\nbase_url = 'http://127.0.0.1:9/v1'", "a key is not kept in this file"),
        ("api_key = 'env:UNSET_KEY'\nbase_url = 'http://127.0.0.1:9/v1'", "UNSET_KEY is not set"),
    ],
)
async def test_a_damaged_file_is_named(env: dict[str, str], tmp_path: Path, text: str, said: str) -> None:
    """`chat` ends with exit code 3 and the file's name."""
    path = tmp_path / ".config/autonomousai/defaults.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    ended = await run("chat", "Why?", env=env)

    assert 3 == ended.code
    assert f"{path}: " in ended.err
    assert said in ended.err
    assert "sk-never" not in ended.err


async def test_what_is_wrong_in_the_file_can_be_removed(env: dict[str, str], tmp_path: Path) -> None:
    """A key that there is not, and a value that cannot be, by the same command as others; what is right stays."""
    path = tmp_path / ".config/autonomousai/defaults.toml"
    path.parent.mkdir(parents=True)
    path.write_text("modle = 'x'\nplain = true\ntemperature = 9\n")
    ended = [await run("config", "unset", "modle", env=env), await run("config", "set", "temperature", "1", env=env)]

    assert [(0, "", "")] * 2 == ended
    assert {"plain": True, "temperature": 1.0} == tomllib.loads(path.read_text())


async def test_the_same_server_named_again_keeps_its_defaults(env: dict[str, str]) -> None:
    """With its model and its key; another one gets neither."""
    async with ScriptedServer() as kept, ScriptedServer() as other:
        await keep(env, base_url=f"{kept.url}/v1", api_key="env:MY_KEY", model="large")
        with_key = {**env, "MY_KEY": "key-1"}
        await run("chat", "--base-url", f"{kept.url}/v1/", "Why?", env=with_key)
        await run("chat", "Why?", env={**with_key, "AUTONOMOUSAI_BASE_URL": f"{kept.url}/v1"})
        await run("chat", "--base-url", f"{other.url}/v1", "-m", "m", "Why?", env=with_key)

    assert [("large", "Bearer key-1")] * 2 == [
        (request.json()["model"], request.headers.get("authorization")) for request in kept.requests
    ]
    assert [("m", None)] == [(request.json()["model"], request.headers.get("authorization")) for request in other.requests]
