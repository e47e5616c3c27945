"""The server with a folder of models, on the real engine: each by its name, loaded when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autonomousai.config import Config, EngineConfig, OpenAIConfig, ServerConfig
from autonomousai.engine import weights
from autonomousai.engine.loader import memory_for
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.server import create_app
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
