"""The engines that several workers share, while the config and the installed models change. No child is started here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from autonomousai.config import Config, EngineConfig, LlamaCppConfig, ModelConfig, OpenAIConfig
from autonomousai.errors import ConfigError
from autonomousai.server.engine_upstreams import EngineMaker
from autonomousai.workers.engines import SharedEngines
from tests.support.gguf import write_gguf

FAR = OpenAIConfig(base_url="http://127.0.0.1:9/v1")


def _config(folder: Path, **engines: LlamaCppConfig) -> Config:
    return Config(
        engine=EngineConfig(models_dir=str(folder)),
        upstreams={"far": FAR, **engines},
        models={"llama": ModelConfig(route=("far", *engines))},
    )


def _shared(config: Config) -> SharedEngines:
    return SharedEngines(config, EngineMaker(config))


async def test_models_come_and_go_and_come_again(tmp_path: Path) -> None:
    """Each is made once: callers may still be answered by one that is served no more."""
    write_gguf(tmp_path / "old.gguf")
    shared = _shared(_config(tmp_path))
    await shared.start()
    try:
        first = shared.supervisors["engine/old"]
        stale = [await shared.is_stale()]
        (tmp_path / "old.gguf").rename(tmp_path / "hidden")
        write_gguf(tmp_path / "new.gguf")
        stale.append(await shared.is_stale())
        await shared.adopt_installed()
        stale.append(await shared.is_stale())
        served = [name for name in ("old", "new") if name in shared.config.models]
        (tmp_path / "hidden").rename(tmp_path / "old.gguf")
        await shared.adopt_installed()
        again = shared.supervisors["engine/old"]
    finally:
        await shared.aclose()

    assert [False, True, False] == stale
    assert ["new"] == served
    assert first is again
    assert {"engine/old", "engine/new"} <= shared.settings().keys()


@pytest.mark.parametrize("change", ["comes", "goes", "changes", "moves"])
async def test_other_engines_than_at_the_start_are_refused(tmp_path: Path, change: str) -> None:
    """Those of the config stay loaded, and so does what was served by a name. Nothing is changed then."""
    engine = LlamaCppConfig(weights="smollm2-135m", slots=1)
    write_gguf(tmp_path / "one.gguf")
    shared = _shared(_config(tmp_path, own=engine))
    before = shared.config
    if change == "moves":
        (tmp_path / "sub").mkdir()
        (tmp_path / "one.gguf").rename(tmp_path / "sub" / "one.gguf")
    after = {
        "comes": _config(tmp_path, own=engine, other=engine),
        "goes": _config(tmp_path),
        "changes": _config(tmp_path, own=msgspec.structs.replace(engine, slots=2)),
        "moves": _config(tmp_path, own=engine),
    }[change]

    with pytest.raises(ConfigError, match="is an engine, and several workers share") as caught:
        await shared.adopt(after)

    name = {"comes": "other", "moves": "engine/one"}.get(change, "own")
    assert f"upstreams.{name}" in str(caught.value)
    assert before is shared.config
