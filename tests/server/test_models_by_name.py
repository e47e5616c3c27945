"""The server with a folder of models, on the real engine: each by its name, loaded when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autonomousai.config import Config, EngineConfig, ModelConfig, OpenAIConfig, ServerConfig
from autonomousai.engine import library, weights
from autonomousai.engine.loader import memory_for
from autonomousai.errors import ConfigError
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.server import App, create_app
from autonomousai.server.installed import InstalledModels
from autonomousai.server.upstreams import UpstreamMaker
from tests.support.gguf import write_gguf
from tests.support.metrics import counted
from tests.support.sockets import CHAT, HELLO, Connection, ask, listening, request

ASKED = {**HELLO, "max_tokens": 3, "temperature": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models, and a file that is none."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.gguf").symlink_to(weights.pull(DEFAULT_WEIGHTS))
    write_gguf(tmp_path / "broken.gguf")
    return tmp_path


@pytest.fixture
async def port(folder: Path) -> AsyncIterator[int]:
    """A server with room for one of the models, and without any other engine."""
    needs = memory_for(folder / "one.gguf", slots=4, context=4096)
    config = Config(
        server=ServerConfig(keepalive_s=0.05),
        engine=EngineConfig(models_dir=str(folder), memory=str(needs + 1000)),
        upstreams={"far": OpenAIConfig(base_url="http://127.0.0.1:9/v1")},
    )
    async with listening(create_app(config)) as place:
        yield place.port


async def test_each_model_answers_by_its_name(port: int) -> None:
    """One after the other, as there is memory for one; the list and the counters name them."""
    documents = [(await ask(port, request("POST", CHAT, {**ASKED, "model": name}))).json() for name in ("one", "two", "one")]
    listed = (await ask(port, request("GET", "/v1/models"))).json()["data"]
    found = await counted(port)

    assert ["one", "two", "one"] == [document["model"] for document in documents]
    assert ["engine/one", "engine/two"] == [document["x_autonomousai"]["upstream"] for document in documents[:2]]
    assert 1 == len({document["choices"][0]["message"]["content"] for document in documents})
    meta = next(entry for entry in listed if entry["id"] == "one")["meta"]
    assert ("Q4_1", "apache-2.0", 134_515_008, 8192) == tuple(
        meta[name] for name in ("quantization", "license", "n_params", "n_ctx_train")
    )
    assert not any("answered_by" in entry for entry in listed if entry["id"] in ("one", "two", "broken"))
    assert {"one": 4096, "two": 4096, "broken": 768} == {
        entry["id"]: entry["context_length"] for entry in listed if entry["id"] in ("one", "two", "broken")
    }
    assert {("engine/one",): 2, ("engine/two",): 1} == found.by("engine_loads_total", "upstream")
    assert {("engine/one",): 1, ("engine/two",): 1} == found.by("engine_evictions_total", "upstream")
    assert {("engine/one",): 1} == found.by("engine_up", "upstream")


async def test_who_waits_for_a_load_hears_comments(port: int) -> None:
    """Until the model is there, and then its answer."""
    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, {**ASKED, "model": "one", "stream": True}))
        before = await connection.until(b'"content":"')
        after = await connection.until(b"[DONE]")

    assert b": keep-alive\n\n" in before.partition(b"data: ")[0]
    assert after


async def test_a_load_that_fails_is_told_to_its_callers(port: int) -> None:
    """With the file and the engine's words; a model that is loaded answers on."""
    await ask(port, request("POST", CHAT, {**ASKED, "model": "one"}))
    failed, answered = await asyncio.gather(
        ask(port, request("POST", CHAT, {**ASKED, "model": "broken"})),
        ask(port, request("POST", CHAT, {**ASKED, "model": "one"})),
    )
    ready = await ask(port, request("GET", "/readyz"))

    assert 200 == answered.status == ready.status
    assert failed.status in (500, 502, 503)
    assert "cannot start with broken.gguf" in failed.json()["error"]["message"]


async def names(port: int) -> list[str]:
    listed = (await ask(port, request("GET", "/v1/models"))).json()["data"]
    return [entry["id"] for entry in listed]


async def test_a_model_that_comes_is_served_without_a_restart(port: int, folder: Path) -> None:
    """By the first request that names it, and in the list; the others answer on, in the process that they had."""
    await ask(port, request("POST", CHAT, {**ASKED, "model": "one"}))
    missing = await ask(port, request("POST", CHAT, {**ASKED, "model": "three"}))
    (folder / "three.gguf").symlink_to(weights.pull(DEFAULT_WEIGHTS))
    here = await ask(port, request("POST", CHAT, {**ASKED, "model": "three"}))
    (folder / "four.gguf").symlink_to(weights.pull(DEFAULT_WEIGHTS))
    listed = await names(port)
    found = await counted(port)

    assert (404, 200) == (missing.status, here.status)
    assert "three" == here.json()["model"]
    assert {"one", "two", "three", "four", "broken"} <= {*listed}
    assert {("engine/one",): 1, ("engine/three",): 1} == {
        name: count for name, count in found.by("engine_loads_total", "upstream").items() if count
    }


async def test_a_model_that_goes_is_gone(port: int, folder: Path) -> None:
    """From the list, and for who asks it, also where it is loaded just now."""
    before = await ask(port, request("POST", CHAT, {**ASKED, "model": "two"}))
    (folder / "two.gguf").unlink()
    after = await ask(port, request("POST", CHAT, {**ASKED, "model": "two"}))
    other = await ask(port, request("POST", CHAT, {**ASKED, "model": "one"}))

    assert (200, 404, 200) == (before.status, after.status, other.status)
    assert "two" not in await names(port)


async def test_a_folder_that_goes_leaves_what_is_served_as_it_is(port: int, folder: Path) -> None:
    """What is wrong is in the log; no request fails for it that would not fail otherwise."""
    folder.rename(folder.with_name("elsewhere"))
    try:
        assert {"one", "two"} <= {*await names(port)}
        assert 404 == (await ask(port, request("POST", CHAT, {**ASKED, "model": "three"}))).status
    finally:
        folder.with_name("elsewhere").rename(folder)


async def test_a_registered_model_is_served_and_removed_without_a_restart(folder: Path, tmp_path: Path) -> None:
    """As `autonomousai pull` and `models remove` do it, beside the usual engine; nothing is loaded for it."""
    async with listening(create_app()) as place:
        before = await names(place.port)
        library.add_file(write_gguf(tmp_path / "mine.gguf"), name="mine")
        during = await names(place.port)
        library.remove("mine")
        after = await names(place.port)

    assert before == after
    assert [*before, "mine"] == during


async def test_what_follows_for_all_that_serve_together_is_asked_where_a_model_may_have_come(tmp_path: Path) -> None:
    """A server of several says so to its parent: for a name that it does not know, and for the list, and for no other."""
    config = Config(
        upstreams={"far": OpenAIConfig(base_url="http://127.0.0.1:9/v1")}, models={"llama": ModelConfig(route=("far",))}
    )
    maker = UpstreamMaker(engines={})
    asked = 0

    async def follow() -> None:
        nonlocal asked
        asked += 1

    found = []
    async with listening(App(config, maker.make(config), maker=maker, follow_installed=follow)) as place:
        for made in (
            request("POST", CHAT, {**ASKED, "model": "new"}),
            request("GET", "/v1/models"),
            request("POST", CHAT, {**ASKED, "model": "llama"}),
        ):
            await ask(place.port, made)
            found.append(asked)

    assert [1, 2, 2] == found


async def test_a_folder_that_is_gone_is_no_callers_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A model that is not there is a 404 as ever; where the models lie stands in the log alone."""

    async def follow() -> None:
        raise ConfigError("/models is gone", key="engine.models_dir")

    await InstalledModels(follow).look_again("other")

    assert "/models is gone" in caplog.text
