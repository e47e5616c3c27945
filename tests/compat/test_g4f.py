"""gpt4free's client takes our provider, in an environment of its own, and our text streams through it whole."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest

DRIVER = Path(__file__).with_name("g4f_driver.py")
PYTHON = Path(os.environ.get("AUTONOMOUSAI_G4F", DRIVER.parents[2] / ".venv-g4f")) / "bin" / "python"
PROMPT = "Name three colours."


@pytest.fixture(scope="module")
def text(real_server: str) -> str:
    """The answer as openai's client reads it."""
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none") as client:
        answer = client.chat.completions.create(
            model="llama", messages=[{"role": "user", "content": PROMPT}], temperature=0, seed=1, max_tokens=60
        )
    return answer.choices[0].message.content or ""


def drive(way: str, real_server: str, home: Path) -> Any:
    assert PYTHON.exists(), f"{PYTHON} is missing: make it with `make test` or `python tests/compat/g4f_env.py`"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "G4F_CONFIG_DIR": str(home / "g4f"),
        "AUTONOMOUSAI_BASE_URL": real_server,
    }
    done = subprocess.run([PYTHON, DRIVER, way, PROMPT], env=env, cwd=home, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_instance_streams_whole(real_server: str, tmp_path: Path, text: str) -> None:
    """Pointed at a server that works, every piece of the text comes through."""
    seen = drive("instance", real_server, tmp_path)

    assert text == "".join(seen["pieces"])
    assert len(seen["pieces"]) > 1


def test_an_instance_answers_without_streaming(real_server: str, tmp_path: Path, text: str) -> None:
    """The whole text, and our name as the provider's."""
    seen = drive("instance_whole", real_server, tmp_path)

    assert [text] == seen["pieces"]
    assert "AutonomousAI" == seen["provider"]


def test_the_class_streams_whole(real_server: str, tmp_path: Path, text: str) -> None:
    """The class stands for the server that the environment names."""
    seen = drive("the_class", real_server, tmp_path)

    assert text == "".join(seen["pieces"])


def test_the_class_is_taken_where_working_is_ignored(real_server: str, tmp_path: Path, text: str) -> None:
    """`working` is False, as in the mission document: refused, unless the caller ignores it."""
    seen = drive("the_class_ignoring_working", real_server, tmp_path)

    assert seen["refused"]
    assert text == "".join(seen["pieces"])
