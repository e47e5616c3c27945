"""Coding agents, unmodified, started by `autonomousai launch` against the server: a small task is done, and a file is there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import CONTENT, DONE, PATCHES, Houses
from .houses_env import programs

TASK = "Write hello.txt"
#: How each is told to do one task, without asking back and without a look at the network.
TASKS = {
    "codex": [
        *("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        *("-c", "model_providers.autonomousai.stream_max_retries=1", TASK),
    ],
    "opencode": ["run", TASK],
    "aider": [
        *("--message", TASK, "--edit-format", "whole", "--no-git", "--yes-always", "--no-check-update"),
        *("--analytics-disable", "--no-show-release-notes", "hello.txt"),
    ],
    "qwen": ["-p", TASK, "--yolo"],
}


#: Variables that keep them from looking at the network for lists of the world's models, and for new versions of themselves.
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}
#: How each tells of an answer that broke off: its exit code, and its words.
BROKEN = {
    "codex": (1, "the connection broke before the answer was complete"),
    "opencode": (1, "the connection broke before the answer was complete"),
    "aider": (0, "APIConnectionError"),  # its exit code is 0 whatever happens
    "qwen": (1, "the connection broke before the answer was complete"),
}


class Done(NamedTuple):
    """How an agent ended, what it wrote on its outputs, and what is in hello.txt."""

    code: int
    out: str
    err: str
    file: str | None


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which the agents are, under the names that people type."""
    directory = tmp_path_factory.mktemp("bin")
    for name, command in programs().items():
        assert command[-1].exists(), f"{command[-1]} is missing: make it with `make houses`"
        (directory / name).write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
        (directory / name).chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


@pytest.fixture
def work(houses: Houses) -> Iterator[Path]:
    """The directory that the agent works in, empty."""
    houses.work.mkdir(exist_ok=True)
    yield houses.work
    shutil.rmtree(houses.work)


def run(path: str, houses: Houses, home: Path, *arguments: str) -> Done:
    """Launch an agent as somebody who has never used it."""
    home.mkdir(exist_ok=True)
    env = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb", "AUTONOMOUSAI_BASE_URL": houses.url, **OFFLINE}
    if "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    command = [sys.executable, "-m", "autonomousai", "launch", *arguments]
    done = subprocess.run(
        command, env=env, cwd=houses.work, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240
    )
    file = houses.work / "hello.txt"
    return Done(done.returncode, done.stdout, done.stderr, file.read_text() if file.exists() else None)


@pytest.mark.parametrize("agent", TASKS)
def test_an_agent_writes_a_file(agent: str, path: str, houses: Houses, work: Path, tmp_path: Path) -> None:
    """The model's call reaches the agent's own tool, its result the model, and the last words the user."""
    done = run(path, houses, tmp_path / "home", agent, "--model", "writes", "--", *TASKS[agent])

    assert (0, CONTENT) == (done.code, done.file), done
    if agent != "aider":  # which has no tools
        assert DONE in done.out
        assert "tool" == houses.asked()[-1]["messages"][-1]["role"]


@pytest.mark.parametrize("agent", TASKS)
def test_an_agent_sees_nothing_of_failures_that_were_mended(
    agent: str, path: str, houses: Houses, work: Path, tmp_path: Path
) -> None:
    """An upstream that fails every other time costs no agent its task: the server asks again, and finishes what broke."""
    done = run(path, houses, tmp_path / "home", agent, "--model", "breaks", "--", *TASKS[agent])

    assert (0, CONTENT) == (done.code, done.file), done


def test_aider_edits_by_search_and_replace(path: str, houses: Houses, work: Path, tmp_path: Path) -> None:
    """The other edit format; the new file comes as an empty search."""
    task = ["diff" if word == "whole" else word for word in TASKS["aider"]]
    done = run(path, houses, tmp_path / "home", "aider", "--model", "writes", "--", *task)

    assert (0, CONTENT) == (done.code, done.file), done


def test_codex_applies_a_patch(path: str, houses: Houses, work: Path, tmp_path: Path) -> None:
    """A tool whose input is a text in a grammar of its own: the model is shown a function, and Codex gets the text back."""
    done = run(path, houses, tmp_path / "home", "codex", "--model", PATCHES, "--", *TASKS["codex"])

    assert (0, CONTENT) == (done.code, done.file), done
    assert DONE in done.out


@pytest.mark.parametrize("agent", TASKS)
def test_a_broken_answer_is_no_whole_one(agent: str, path: str, houses: Houses, work: Path, tmp_path: Path) -> None:
    """An answer that breaks off for good is told as an error: no agent does as if the task were done."""
    done = run(path, houses, tmp_path / "home", agent, "--model", "cut", "--", *TASKS[agent])

    code, words = BROKEN[agent]
    assert code == done.code, done
    assert words in done.out + done.err
    assert not done.file
