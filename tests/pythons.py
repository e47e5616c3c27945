"""Run a sample of the tests with each further Python of this machine: ``python tests/pythons.py``, or ``make pythons``.

Looked for are those that the package supports, on PATH and where pyenv keeps them; each gets an environment of its own,
``.venv-3.12`` and so on, of what the sample needs and no more: a second engine or a second Redis would take minutes to build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = [(3, minor) for minor in range(11, 15)]

#: What shows a difference between Pythons soonest: the wires and the configs, and what lives by asyncio's ways, over sockets.
#: One argument of pytest each.
SAMPLE = (
    *("tests/wires/test_sse.py", "tests/wires/test_openai_decoder.py", "tests/wires/test_responses_decoder.py"),
    *("tests/wires/test_fields.py", "tests/wires/test_messages.py", "tests/kinds", "tests/test_config.py"),
    *("tests/gateway", "tests/http", "tests/clients/test_leaving.py", "tests/clients/test_clocks.py"),
    *("tests/clients/test_autonomousai.py", "tests/clients/test_blocking.py", "tests/server/test_app.py"),
    *("tests/server/test_leaving.py", "tests/server/test_resume.py", "tests/streams/test_readers.py"),
    *("tests/cli/test_command_line.py", "tests/test_public_api.py"),
)


def name_of(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def candidates(version: tuple[int, int], env: Mapping[str, str]) -> Iterator[Path]:
    """Yield where a Python of that version may be: first on PATH, then pyenv's, the newest first."""
    name = name_of(version)
    if found := shutil.which(f"python{name}", path=env.get("PATH")):
        yield Path(found)
    versions = Path(env.get("PYENV_ROOT") or Path(env.get("HOME") or "/nowhere") / ".pyenv") / "versions"
    patches = [path for path in versions.glob(f"{name}.*/bin/python{name}") if path.parts[-3].rpartition(".")[2].isdecimal()]
    yield from sorted(patches, key=lambda path: int(path.parts[-3].rpartition(".")[2]), reverse=True)


def version_of(python: Path) -> tuple[int, int] | None:
    """Return the version of an interpreter; None where it does not start, as one of pyenv's shims may not."""
    program = "import ensurepip, sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    major, _, minor = done.stdout.strip().partition(" ")
    return (int(major), int(minor)) if done.returncode == 0 and major.isdecimal() and minor.isdecimal() else None


def further_pythons(env: Mapping[str, str]) -> dict[tuple[int, int], Path]:
    """Return one interpreter of each supported version but this program's own."""
    found = {}
    for version in VERSIONS:
        if version != sys.version_info[:2]:
            python = next((path for path in candidates(version, env) if version_of(path) == version), None)
            if python is not None:
                found[version] = python
    return found


def environment(version: tuple[int, int], python: Path) -> Path:
    """Return the interpreter of the environment for a version. It is made where it is missing, or older than pyproject.toml."""
    directory = ROOT / f".venv-{name_of(version)}"
    inside, ready = directory / "bin/python", directory / ".sample"
    if ready.exists() and ready.stat().st_mtime >= (ROOT / "pyproject.toml").stat().st_mtime:
        return inside
    print(f"setting up {directory.name}", file=sys.stderr)
    if version_of(inside) != version if inside.exists() else True:
        subprocess.run([python, "-m", "venv", "--clear", directory], check=True)
    quiet = "-qq" if os.environ.get("CI") else "-q"
    pip = [inside, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", quiet]
    subprocess.run([*pip, "-e", ".[sample]"], cwd=ROOT, check=True)
    ready.touch()
    return inside


def main(jobs: str) -> int:
    """Run the sample with each, and return how many failed."""
    pythons = further_pythons(os.environ)
    if not pythons:
        supported = f"{name_of(VERSIONS[0])} to {name_of(VERSIONS[-1])}"
        print(f"no further Python of {supported} is on this machine: the sample was run with none")
    failed = 0
    for version, python in pythons.items():
        print(f"a sample of the tests with Python {name_of(version)}, {python}", flush=True)
        options = ["-q", "-n", jobs, "-m", "not thorough", "--hypothesis-profile", "quick", "-p", "no:cacheprovider"]
        done = subprocess.run([environment(version, python), "-m", "pytest", *options, *SAMPLE], cwd=ROOT, check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else "2"))
