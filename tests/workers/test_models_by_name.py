"""Models that are loaded when they are asked for, behind several workers: the parent loads them, and all workers share them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from autonomousai.engine import weights
from autonomousai.engine.loader import memory_for
from autonomousai.models import DEFAULT_WEIGHTS
from tests.support.metrics import counted
from tests.support.serving import serving
from tests.support.sockets import CHAT, HELLO, ask, request
from tests.support.workers import ENGINE, children


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
