"""`make pythons`: which further Pythons it finds on a machine, and that the sample it runs is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import pythons

MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")

OWN = (3, sys.version_info.minor)
OTHER, ANOTHER = [version for version in pythons.VERSIONS if version != OWN][:2]


def put(path: Path, version: tuple[int, int] | None) -> Path:
    """A program that says that it is a Python of that version; None: one that does not start, as a shim of pyenv's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + (f"echo {version[0]} {version[1]}\n" if version else "echo no >&2\nexit 127\n"))
    path.chmod(0o755)
    return path


def test_a_python_is_found_on_path_and_where_pyenv_keeps_it(tmp_path: Path) -> None:
    """One of each version: first that on PATH, then the latest of pyenv's. A shim that leads nowhere is passed over, and so is
    the version that runs this."""
    home, on_path = tmp_path / "home", tmp_path / "bin"
    of_path = put(on_path / f"python{pythons.name_of(OTHER)}", OTHER)
    put(on_path / f"python{pythons.name_of(ANOTHER)}", None)
    put(on_path / f"python{pythons.name_of(OWN)}", OWN)
    for patch in (9, 10):
        for version in (OTHER, ANOTHER):
            name = pythons.name_of(version)
            put(home / f".pyenv/versions/{name}.{patch}/bin/python{name}", version)
    put(home / f".pyenv/versions/{pythons.name_of(ANOTHER)}-dev/bin/python", ANOTHER)
    latest = home / f".pyenv/versions/{pythons.name_of(ANOTHER)}.10/bin/python{pythons.name_of(ANOTHER)}"

    found = pythons.further_pythons({"PATH": str(on_path), "HOME": str(home)})

    assert {OTHER: of_path, ANOTHER: latest} == found


@pytest.mark.parametrize("env", [{}, {"PYENV_ROOT": "/nowhere"}], ids=str)
def test_a_machine_without_another_says_so(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, and nothing is run."""
    monkeypatch.setattr("os.environ", {"PATH": str(tmp_path), "HOME": str(tmp_path), **env})

    failed = pythons.main("1")

    assert (0, "no further Python of 3.11 to 3.14 is on this machine: the sample was run with none\n") == (
        failed,
        capsys.readouterr().out,
    )


def test_the_sample_is_there_and_make_test_runs_it() -> None:
    """Each of its paths."""
    recipe = MAKEFILE.partition("\ntest:")[2].partition("\n\n")[0]

    assert [] == [path for path in pythons.SAMPLE if not (pythons.ROOT / path).exists()]
    assert "$(MAKE) --no-print-directory pythons" in recipe
