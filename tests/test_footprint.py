"""How much of the package one request enters does not grow: `bench/footprint.py` counts, and its table holds the limits."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "bench/footprint.py"
DOCUMENT = ROOT / "docs/architecture.md"


@pytest.fixture(scope="module")
def footprint() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("footprint", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["footprint"] = module  # its dataclass looks for its own module
    spec.loader.exec_module(module)
    return module


def stated() -> dict[str, list[int]]:
    """The figures in the document, by subject."""
    rows = re.findall(
        r"^\| ((?:client|server) [^|]+) \| (\d+) \| (\d+) \| (\d+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {subject: [int(figure) for figure in figures] for subject, *figures in rows}


def test_the_document_states_the_limits(footprint: ModuleType) -> None:
    """Whoever enters less lowers both."""
    assert {subject: list(limit) for subject, limit in footprint.LIMITS.items()} == stated()


def test_a_streamed_request_enters_no_more_of_the_package_than_the_document_says(footprint: ModuleType, tmp_path: Path) -> None:
    """Files, functions and classes of every subject are counted, and none exceeds its figure."""
    file = tmp_path / "counts.json"

    done = subprocess.run([sys.executable, SCRIPT, "--json", file], capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    counts = json.loads(file.read_text(encoding="utf-8"))
    assert stated().keys() == counts.keys()
    for subject, found in counts.items():
        assert all(found[unit] <= limit for unit, limit in zip(footprint.Footprint._fields, stated()[subject], strict=True))
    for found in counts.values():
        assert len(set(found["entered"])) >= found["classes"] > 0
        assert found["functions"] >= found["files"] > 0


def test_a_count_above_its_limit_is_named(footprint: ModuleType) -> None:
    """Each count is compared by itself, and the sentence says by how much it is too large."""
    files, functions, classes = footprint.LIMITS["server burst"]

    kept = footprint.exceeded({"server burst": footprint.Footprint(files, functions, classes)})
    missed = footprint.exceeded({"server burst": footprint.Footprint(files, functions + 1, classes)})

    assert [] == kept
    assert [f"server burst: {functions + 1} functions, {functions} allowed"] == missed


SHAPES = """
import threading

class Base:
    def inherited(self): return [self.untouched for _ in "ab"]
    def untouched(self): ...

class Derived(Base):
    def __init__(self): self.inherited()

def outer():
    class Local:
        def method(self): ...
    def inner(): Local().method()
    threading.Thread(target=inner).start()
    Derived()
    return before

def before(): ...
"""


@pytest.fixture
def no_profile() -> Iterator[None]:
    """What a recorder has set for later threads is taken back."""
    yield
    threading.setprofile(None)


@pytest.mark.usefixtures("no_profile")
def test_what_is_entered_is_recorded(footprint: ModuleType, tmp_path: Path) -> None:
    """Functions of the folder that run while the recorder is on, in threads too; a comprehension is no function of its own."""
    file = tmp_path / "shapes.py"
    namespace: dict[str, Callable[[], Any]] = {"__name__": "shapes"}
    exec(compile(SHAPES, file, "exec"), namespace)
    recorder = footprint.Recorder(tmp_path)

    namespace["before"]()
    recorder.start()
    namespace["outer"]()
    json.dumps([])
    recorded = recorder.stop()
    namespace["before"]()

    names = [
        "Base.inherited", "Derived.__init__", "outer", "outer.<locals>.Local.method", "outer.<locals>.inner",
    ]  # fmt: skip
    assert names == [function.name for function in recorded]
    assert (1, 5, 3) == footprint.footprint(recorded)
