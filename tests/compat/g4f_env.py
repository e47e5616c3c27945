"""Make an environment with gpt4free in it, and our package from this tree.

gpt4free is under the GPL: it is never a dependency of ours and never in our environment. Its tests drive this one from outside.
Usage: ``python tests/compat/g4f_env.py [DIRECTORY]``, by default ``.venv-g4f``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENT = "g4f>=8.8,<9"
ROOT = Path(__file__).parents[2]


def main(directory: Path) -> None:
    python = directory / "bin" / "python"
    if not python.exists():
        print(f"setting up {directory}", file=sys.stderr)
        venv.create(directory, with_pip=False, symlinks=True)
    quiet = "-qq" if os.environ.get("CI") else "-q"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "install", quiet, REQUIREMENT, "-e", str(ROOT)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".venv-g4f")
