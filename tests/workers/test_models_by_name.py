"""Models that are loaded when they are asked for, behind several workers: the parent loads them, and all workers share them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from autonomousai.engine import weights
from autonomousai.engine.loader import memory_for
from autonomousai.models import DEFAULT_WEIGHTS
from tests.support.engine import until
from tests.support.metrics import counted
from tests.support.serving import serving
from tests.support.sockets import CHAT, HELLO, ask, request
from tests.support.workers import ENGINE, WORKER, children


async def test_workers_share_a_model_and_its_memory(tmp_path: Path) -> None:
    """Callers of all workers wait for one load; another model takes its place; a file that is none harms neither."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.gguf").symlink_to(weights.pull(DEFAULT_WEIGHTS))
    (tmp_path / "broken.gguf").write_text("GGUF, but no more of it")
    needs = memory_for(tmp_path / "one.gguf", slots=4, context=4096)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[server]\nstate = "sqlite:{tmp_path / "state.db"}"\n[engine]\nmodels_dir = "{tmp_path}"\nmemory = "{needs + 1000}"\n'
        '[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.llama]\nroute = ["far"]\n'
    )

    with serving("--config", str(config), "--workers", "2") as served:
        port = urlsplit(served.url).port
        assert port is not None

        async def asked(name: str) -> tuple[int, str]:
            answer = await ask(port, request("POST", CHAT, {**HELLO, "model": name, "max_tokens": 3}))
            return answer.status, answer.json().get("model") or answer.json()["error"]["message"]

        before = children(served.process.pid, ENGINE)
        ones = await asyncio.gather(*(asked("one") for _ in range(8)))
        during = children(served.process.pid, ENGINE)
        broken = await asked("broken")
        two = await asked("two")
        after = children(served.process.pid, ENGINE)
        found = await counted(port)

    assert ([], 1, 1) == (before, len(during), len(after))
    assert [(200, "one")] * 8 + [(200, "two")] == [*ones, two]
    assert during != after
    assert broken[0] >= 500
    assert "cannot start with broken.gguf" in broken[1]
    assert {("engine/one",): 1, ("engine/two",): 1} == {
        key: count for key, count in found.by("engine_loads_total", "upstream").items() if key != ("engine/broken",)
    }
    assert {("engine/one",): 1} == found.by("engine_evictions_total", "upstream")


async def test_workers_follow_what_is_installed(tmp_path: Path) -> None:
    """A model that comes is served by each worker, also by one that is started later, and one that goes by none."""
    folder = tmp_path / "models"
    folder.mkdir()
    config = tmp_path / "config.toml"
    rest = '[upstreams.far]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n[models.llama]\nroute = ["far"]\n'
    config.write_text(f'[server]\nstate = "sqlite:{tmp_path / "state.db"}"\n[engine]\nmodels_dir = "{folder}"\n{rest}')

    with serving("--config", str(config), "--workers", "2") as served:
        port = urlsplit(served.url).port
        assert port is not None

        async def asked(name: str) -> int:
            return (await ask(port, request("POST", CHAT, {**HELLO, "model": name, "max_tokens": 3}))).status

        async def listed() -> bool:
            return "new" in [entry["id"] for entry in (await ask(port, request("GET", "/v1/models"))).json()["data"]]

        before = await asked("new"), await listed()
        (folder / "new.gguf").symlink_to(weights.pull(DEFAULT_WEIGHTS))
        came = await asyncio.gather(*(asked("new") for _ in range(8))), await listed()
        begun = children(served.process.pid, WORKER)
        for pid in begun:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(set(children(served.process.pid, WORKER)) - set(begun)) == len(begun))
        later = await asyncio.gather(*(asked("new") for _ in range(8)))
        engines = children(served.process.pid, ENGINE)
        (folder / "new.gguf").unlink()
        gone = await listed(), await asked("new")

    assert (404, False) == before
    assert ([200] * 8, True) == came
    assert [200] * 8 == later
    assert 1 == len(engines)
    assert (False, 404) == gone
