"""`autonomousai models list | show | remove`, and `pull` of files and from a hub: what is told, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.gguf import LLAMA, gguf, write_gguf
from tests.support.hub import hub_standing_in
from tests.support.program import run


@pytest.fixture
def here(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with nothing on it."""
    (tmp_path / "home").mkdir(exist_ok=True)
    env.pop("OLLAMA_MODELS", None)
    return {**env, "AUTONOMOUSAI_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}


async def test_a_file_is_pulled_listed_shown_and_removed(here: dict[str, str], tmp_path: Path) -> None:
    """It stays where it is all the while; the path is the output of `pull`."""
    path = write_gguf(tmp_path / "tiny-Q8_0.gguf", tokenizer__chat_template="{% if tools %}")
    pulled = await run("pull", str(path), "--name", "mine", env=here)
    listed = await run("models", "list", env=here)
    document = await run("models", "list", "--json", env=here)
    shown = await run("models", "show", "mine", env=here)
    told = await run("models", "show", "mine", "--json", env=here)
    removed = await run("models", "remove", "mine", env=here)
    nothing = await run("models", "list", env=here)

    assert (0, f"{path}\n", "autonomousai: mine is this file, which stays where it is\n") == pulled
    assert ["NAME", "SIZE", "QUANTISATION", "CONTEXT", "CAN", "LICENCE", "FROM"] == listed.out.split("\n")[0].split()
    assert ["mine", "Q8_0", "1000", "tools", "mit", str(path)] == [
        word for word in listed.out.split("\n")[1].split() if word not in ("0", "MB")
    ]
    (row,) = json.loads(document.out)
    assert row == json.loads(told.out)
    assert (path.stat().st_size, 1000, 64, ["tools"], str(path)) == (
        row["size"],
        row["context"],
        row["parameters"],
        row["can"],
        row["path"],
    )
    assert "context       1,000 tokens\n" in shown.out
    assert (0, "", f"autonomousai: mine is no model any more; its file stays: {path}\n") == removed
    assert path.exists()
    assert (0, "", "autonomousai: no model is installed yet; `autonomousai pull` fetches one\n") == nothing


async def test_a_copy_is_deleted_with_its_model(here: dict[str, str], tmp_path: Path) -> None:
    """The file that was copied is not."""
    path = write_gguf(tmp_path / "tiny.gguf")
    pulled = await run("pull", str(path), "--copy", env=here)
    removed = await run("models", "remove", "tiny", env=here)

    copy = tmp_path / "cache/models/tiny/tiny.gguf"
    assert (f"{copy}\n", f"{copy}\n") == (pulled.out, removed.out)
    assert (True, False) == (path.exists(), copy.exists())


async def test_a_folder_and_other_programs_stores_are_listed(here: dict[str, str], tmp_path: Path) -> None:
    """The folder of a config; what is in a store is told how to be used; a file that cannot be read is told why."""
    write_gguf(tmp_path / "models/one.gguf")
    (tmp_path / "models/bad.gguf").write_text("GGUF")
    write_gguf(tmp_path / "home/.lmstudio/models/a/b/two.gguf")
    config = tmp_path / "config.toml"
    config.write_text(f'[engine]\nmodels_dir = "{tmp_path / "models"}"\n')
    listed = await run("models", "list", "--config", str(config), env=here)
    without = await run("models", "list", "--json", env=here)
    pulled = await run("pull", "lmstudio:two", env=here)

    assert ["bad", "one", "lmstudio:two"] == [line.split()[0] for line in listed.out.splitlines()[1:]]
    assert "chat --weights lmstudio:two" in listed.err
    assert "bad.gguf is not a GGUF file that can be read" in listed.err
    assert ["lmstudio:two"] == [row["name"] for row in json.loads(without.out)]
    assert (0, f"{tmp_path / 'home/.lmstudio/models/a/b/two.gguf'}\n") == (pulled.code, pulled.out)
    assert ["two"] == [row["name"] for row in json.loads((await run("models", "list", "--json", env=here)).out)][:1]


@pytest.mark.parametrize("action", ["show", "remove"])
async def test_a_model_that_is_not_there_is_told(action: str, here: dict[str, str]) -> None:
    """With those that are."""
    ended = await run("models", action, "none", env=here)

    assert (3, "") == (ended.code, ended.out)
    assert "there is no model 'none' on this machine; there is none yet; `autonomousai pull` fetches one" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pull", "/no/such.gguf"], 3, "/no/such.gguf cannot be read (No such file or directory)"),
        (["pull", "nothing"], 2, "or give the path of a GGUF file, or hf:OWNER/REPO"),
        (["pull", "smollm2-135m", "--copy"], 2, "--copy is for files"),
        (["pull", "smollm2-135m", "--name", "x"], 2, "--name is for models of your own"),
        (["pull", "hf:nothing"], 3, "write hf:OWNER/REPO, hf:OWNER/REPO:QUANT"),
        (["pull", "ollama:nothing"], 3, "there is no model 'ollama:nothing' on this machine"),
    ],
)
async def test_what_cannot_be_pulled_says_what_can(arguments: list[str], code: int, words: str, here: dict[str, str]) -> None:
    """A file that is not there, an unknown name, options that do not go with it."""
    ended = await run(*arguments, env=here)

    assert (code, "") == (ended.code, ended.out)
    assert words in ended.err


async def test_a_hub_is_asked_where_its_variable_says(here: dict[str, str], tmp_path: Path) -> None:
    """By the library's own HF_ENDPOINT and HF_TOKEN; the licence is said first; the second pull fetches nothing."""
    repo = "someone/Tiny-GGUF"
    with hub_standing_in() as hub:
        hub.files[repo] = {"tiny-Q8_0.gguf": gguf(LLAMA), "tiny-Q4_0.gguf": gguf(LLAMA)}
        hub.cards[repo] = {"license": "apache-2.0"}
        hub.gated.add(repo)
        asking = {**here, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "HF_HOME": str(tmp_path / "hf")}
        unclear = await run("pull", f"hf:{repo}", env=asking)
        pulled = await run("pull", f"hf:{repo}:Q8_0", env=asking)
        again = await run("pull", f"hf:{repo}:Q8_0", env=asking)

    path = tmp_path / "cache/models/tiny-Q8_0/tiny-Q8_0.gguf"
    assert (3, "") == (unclear.code, unclear.out)
    assert f"choose one of:\n  hf:{repo}:Q8_0  (0 MB)\n  hf:{repo}:Q4_0  (0 MB)" in unclear.err
    assert (0, f"{path}\n") == (pulled.code, pulled.out)
    assert f"tiny-Q8_0: hf:{repo}/tiny-Q8_0.gguf, 0 MB (licence: apache-2.0)" in pulled.err.splitlines()[0]
    assert (0, f"{path}\n", "autonomousai: tiny-Q8_0 is here already\n") == again
    assert {"Bearer hf_secret"} == hub.tokens
    assert "hf_secret" not in pulled.err + pulled.out
    assert 1 == len([path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path])
