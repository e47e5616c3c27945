"""Servers of other programs on this machine: found by `doctor`, `chat --find` and `serve --find`, known by their answers."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from autonomousai.testing import Script, ScriptedServer
from tests.support.program import finish, run, start
from tests.support.sockets import CHAT, HELLO, ask, request

NOTHING = Script.status(404, "")


class Machine(Protocol):
    """Starts a server that lists these models as this owner's; its environment names the ports of all of them."""

    env: dict[str, str]

    async def add(self, owner: str, *names: str, version: str = "") -> ScriptedServer: ...


class _Machine:
    def __init__(self, stack: AsyncExitStack, env: dict[str, str]) -> None:
        self._stack = stack
        self.env = {
            **env,
            "HTTP_PROXY": "http://127.0.0.1:9",
            "AUTONOMOUSAI_API_KEY": "sk-secret",
        }  # this machine needs no proxy
        self._ports: list[str] = []

    async def add(self, owner: str, *names: str, version: str = "") -> ScriptedServer:
        server = await self._stack.enter_async_context(ScriptedServer())
        listed = [{"id": name, "object": "model", "owned_by": owner} for name in names]
        server.play(Script.status(200, {"object": "list", "data": listed or None}), path="/v1/models")
        server.play(Script.status(200, {"version": version}) if version else NOTHING, path="/api/version")
        self._ports.append(str(server.port))
        self.env["AUTONOMOUSAI_FIND_PORTS"] = ",".join(self._ports)
        return server


@pytest.fixture
async def machine(env: dict[str, str]) -> AsyncIterator[Machine]:
    async with AsyncExitStack() as stack:
        yield _Machine(stack, env)


async def local(machine: Machine) -> dict[str, dict[str, str]]:
    """What the doctor says of servers on this machine."""
    ended = await run("doctor", "--json", env=machine.env)
    rows = {row["check"]: row for row in json.loads(ended.out)["findings"]}
    return {check: row for check, row in rows.items() if check.startswith("local server")}


async def test_the_doctor_finds_servers_by_their_answers(machine: Machine) -> None:
    """By the owner of their models, or by what Ollama alone has; one that it does not know is not named; no key is sent."""
    ollama = await machine.add("library", "llama3.2:1b", "phi", "a", "b")
    tuned = await machine.add("someone", "someone/tuned", version="0.9.0")
    empty = await machine.add("", version="0.9.0")
    llama = await machine.add("llamacpp", "model.gguf")
    studio = await machine.add("organization_owner", "qwen")
    vllm = await machine.add("vllm", "meta/Llama")
    unknown = await machine.add("somebody", "thing")
    found = await local(machine)

    servers = (ollama, tuned, empty, llama, studio, vllm, unknown)
    assert [
        f"Ollama runs at {ollama.url}/v1 with llama3.2:1b, phi, a and 1 more",
        f"Ollama runs at {tuned.url}/v1 with someone/tuned",
        f"Ollama runs at {empty.url}/v1 with no model yet",
        f"llama-server (llama.cpp) runs at {llama.url}/v1 with model.gguf",
        f"LM Studio runs at {studio.url}/v1 with qwen",
        f"vLLM runs at {vllm.url}/v1 with meta/Llama",
    ] == [row["found"] for row in found.values()]
    assert f"autonomousai chat --base-url {vllm.url}/v1" == list(found.values())[-1]["how"]
    assert not any("authorization" in asked.headers for server in servers for asked in server.requests)
    assert {"GET"} == {asked.method for server in servers for asked in server.requests}


async def test_the_doctor_says_where_it_looked(machine: Machine) -> None:
    """Nothing runs there, or nothing that it knows."""
    await machine.add("somebody", "thing")
    (row,) = (await local(machine)).values()

    assert ("no", f"none on port {machine.env['AUTONOMOUSAI_FIND_PORTS']}") == (row["result"], row["found"])


async def test_a_chat_asks_the_server_that_it_was_told_to_find(machine: Machine) -> None:
    """The first that has a model; one line says which, and one how to ask another. Without --find none is asked."""
    empty = await machine.add("", version="0.9.0")
    first = await machine.add("library", "phi")
    second = await machine.add("vllm", "big")
    ended = await run("chat", "--find", "Hello", env=machine.env)

    assert (0, "Hello world\n") == (ended.code, ended.out)
    assert f"autonomousai: asking Ollama, which runs at {first.url}/v1 with phi" in ended.err
    assert f"autonomousai: vLLM runs at {second.url}/v1 with big; ask it with --base-url {second.url}/v1" in ended.err
    assert "phi" == next(asked for asked in first.requests if asked.method == "POST").json()["model"]
    assert not any(asked.method == "POST" for server in (empty, second) for asked in server.requests)
    assert not any("authorization" in asked.headers for asked in first.requests)


@pytest.mark.parametrize(
    ("arguments", "ports", "code", "words"),
    [
        (
            ["--find", "--base-url", "http://127.0.0.1:9/v1"],
            "9",
            2,
            "--find looks for a server; it does not go with --base-url",
        ),
        (["--find", "--weights", "smollm2-135m"], "9", 2, "--find looks for a server; it does not go with --weights"),
        (["--find"], "9", 3, "no server with a model was found on this machine (port 9)"),
        (["--find"], "x,1", 3, "AUTONOMOUSAI_FIND_PORTS is 'x,1', which names no ports"),
    ],
)
async def test_what_cannot_be_found_is_told(
    arguments: list[str], ports: str, code: int, words: str, env: dict[str, str]
) -> None:
    """Where somebody asked for a server, nothing else answers in its place."""
    ended = await run("chat", *arguments, "Hello", env={**env, "AUTONOMOUSAI_FIND_PORTS": ports})

    assert (code, "") == (ended.code, ended.out)
    assert words in ended.err


async def test_a_server_serves_the_models_that_it_was_told_to_find(machine: Machine, tmp_path: Path) -> None:
    """By their names, from where they are; a name that the config uses stays the config's."""
    ollama = await machine.add("library", "phi", "own")
    vllm = await machine.add("vllm", "big", "phi")
    config = tmp_path / "config.toml"
    config.write_text(
        '[upstreams.other]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.own]\nroute = ["other"]\n'
    )
    process = await start("serve", "--find", "--config", str(config), "--port", "0", env=machine.env)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    port = int(line.rpartition(":")[2])
    listed = (await ask(port, request("GET", "/v1/models"))).json()["data"]
    answers = [(await ask(port, request("POST", CHAT, {**HELLO, "model": name}))).json() for name in ("phi", "big")]
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)

    assert ["own", "phi", "big"] == [entry["id"] for entry in listed]
    assert [("Hello world", "ollama"), ("Hello world", "vllm")] == [
        (answer["choices"][0]["message"]["content"], answer["x_autonomousai"]["upstream"]) for answer in answers
    ]
    assert f"Ollama runs at {ollama.url}/v1 with phi, own; its models are served by their names" in ended.err
    assert f"vLLM runs at {vllm.url}/v1" in ended.err


async def test_a_server_that_finds_no_other_says_so(env: dict[str, str], tmp_path: Path) -> None:
    """With the ports where it looked."""
    config = tmp_path / "config.toml"
    config.write_text('[upstreams.a]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.own]\nroute = ["a"]\n')
    process = await start(
        "serve", "--find", "--config", str(config), "--port", "0", env={**env, "AUTONOMOUSAI_FIND_PORTS": "9"}
    )
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 60)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)

    assert "no other server was found on this machine (port 9)" in ended.err
