"""The `llm` command, unmodified, with a model entry that points at the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def user_path(tmp_path: Path, real_server: str) -> Path:
    """What a user writes to make our model one of `llm`'s."""
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: ours\n  model_name: llama\n  api_base: {real_server}/v1\n  aliases: [mine]\n"
    )
    return tmp_path


def llm(user_path: Path, *arguments: str, given: str | None = None) -> str:
    env = {**os.environ, "LLM_USER_PATH": str(user_path), "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        [sys.executable, "-m", "llm", *arguments], env=env, input=given or "", capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


FIXED = ("-m", "ours", "-o", "temperature", "0", "-o", "max_tokens", "40", "-o", "seed", "1")


def test_lists_our_model(user_path: Path) -> None:
    """The entry is understood."""
    assert "ours" in llm(user_path, "models")


def test_prompts_streamed_and_whole_alike(user_path: Path) -> None:
    """Both ways print the same answer."""
    streamed = llm(user_path, *FIXED, "Name three colours.")
    whole = llm(user_path, *FIXED, "--no-stream", "Name three colours.")

    assert streamed.strip()
    assert streamed == whole


def test_goes_on_with_a_conversation(user_path: Path) -> None:
    """`-c` sends the history, and the system message stays."""
    llm(user_path, *FIXED, "-s", "You are a helpful assistant.", "The secret word is tiger. What is the secret word?")

    answer = llm(user_path, "-c", "What is the secret word?", "-o", "temperature", "0", "-o", "max_tokens", "40")

    assert "tiger" in answer
