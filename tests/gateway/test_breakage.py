"""What is promised of upstreams that fail now and then, or always: the tables of docs/dependability.md, and more of the same
over sockets."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DEPENDABILITY = (ROOT / "docs" / "dependability.md").read_text()

#: Per cent of whole answers at the least, and attempts a request at the most.
WHOLE = 99.5
ATTEMPTS = 1.6
ATTEMPTS_AT_DEAD = 1.1


@pytest.fixture
def breakage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`bench/breakage.py`, which is a script's module and in no package."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    return importlib.import_module("breakage")


@pytest.mark.thorough
def test_the_docs_show_what_the_simulation_finds(breakage: ModuleType) -> None:
    """Both tables are those that `python bench/breakage.py` prints."""
    shown = [table in DEPENDABILITY for table in breakage.simulated_tables()]

    assert [True, True] == shown


def test_what_the_docs_show_is_good_enough() -> None:
    """Whole but for one in two hundred, with few attempts: in all cells of the tables, simulated or measured."""
    failing = re.findall(r"([0-9.]+) %, ([0-9.]+)", DEPENDABILITY)
    dead = [
        each
        for line in re.findall(r"^\| [a-z].*", DEPENDABILITY, re.MULTILINE)
        for each in re.findall(r" ([0-9]\.[0-9]{2}) ", line)
    ]

    assert (2 * 45, 30) == (len(failing), len(dead))
    assert [] == [cell for cell in failing if float(cell[0]) < WHOLE or float(cell[1]) > ATTEMPTS]
    assert [] == [cell for cell in dead if float(cell) > ATTEMPTS_AT_DEAD]


@pytest.mark.thorough
@pytest.mark.parametrize("fault", ["refused", "500", "503", "reset", "cut"])
async def test_over_sockets_answers_are_whole(breakage: ModuleType, fault: str) -> None:
    """Three of ten attempts fail, forty requests at once: the same over real connections."""
    row = await breakage.measure(fault, 30, 40, requests=120, backoff=0.01)

    assert (row.whole >= WHOLE, row.attempts <= ATTEMPTS) == (True, True), row
