"""Make an environment with llmock in it: a server that breaks on demand, and judges how its clients took it.

It is no dependency of ours, and brings a pytest plugin of its own; so it gets an environment of its own, and
is asked over HTTP.
Usage: ``python tests/compat/llmock_env.py [DIRECTORY]``, by default ``.venv-llmock``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENT = "llmock>=0.2.2,<0.3"
ROOT = Path(__file__).parents[2]


def main(directory: Path) -> None:
    python = directory / "bin" / "python"
    if not python.exists():
        print(f"setting up {directory}", file=sys.stderr)
        venv.create(directory, with_pip=False, symlinks=True)
    quiet = "-qq" if os.environ.get("CI") else "-q"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "install", quiet, REQUIREMENT], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".venv-llmock")
