"""Whether a command in a file for another program is one of this package."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import PurePosixPath


@cache
def help_of(command: str) -> str:
    """What `--help-all` shows."""
    shown = subprocess.run(
        [sys.executable, "-m", "autonomousai", command, "--help-all"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    return shown.stdout


def check_command(words: list[str]) -> None:
    """The program has this command, and the command these options."""
    assert PurePosixPath(words[0]).name == "autonomousai"
    shown = help_of(words[1]).split()
    assert [] == [
        word for word in words[2:] if word.startswith("--") and word.rstrip(",") not in {each.rstrip(",") for each in shown}
    ]
