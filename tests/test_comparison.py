"""The comparison in README.md and docs/comparison.md: what was tried here is tried again, and the tables say what was found."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOUND = json.loads((ROOT / "docs/comparison.json").read_text(encoding="utf-8"))
CUT = "ends early, in good order"


@pytest.fixture(scope="module")
def rivals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rivals", ROOT / "bench/rivals.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rivals"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["autonomousai", "openai-python", "llm"])
async def test_the_clients_do_what_the_table_says(rivals: ModuleType, name: str) -> None:
    """An answer that ends early in good order, a lost connection, an error event: as in docs/comparison.json."""
    found = {key: value for key, value in FOUND["clients"][name].items() if key != "version"}

    assert found == await rivals.try_client(name)


async def test_our_gateway_does_what_the_table_says(rivals: ModuleType) -> None:
    """Another upstream before the first word and after it, nothing cut passed on, and a caller who leaves ends the work."""
    found = {key: value for key, value in FOUND["gateways"]["autonomousai"].items() if key != "version"}

    assert found == await rivals.try_gateway("autonomousai")


def test_the_documents_tables_are_those_results(rivals: ModuleType) -> None:
    """`python bench/rivals.py` writes them."""
    text = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")

    assert text == rivals.with_tables(text, FOUND)


def cells(row: str) -> dict[str, str]:
    """A row of the README's first table: client to mark."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    table = lines.index(next(line for line in lines if line.startswith(f"| {row} |")))
    head = next(line for line in reversed(lines[:table]) if line.startswith("| |"))
    names, marks = _cells(head), _cells(lines[table])
    return dict(zip((name.split()[0] for name in names), marks, strict=True))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_readmes_table_has_the_versions_of_those_results() -> None:
    """Beside each name, of a client and, where it is another, of the gateway: a mark holds for a release."""
    clients, gateways = FOUND["clients"], FOUND["gateways"]
    heads = []
    for name, found in clients.items():
        head = name if name == "autonomousai" else f"{name} {found['version']}"
        other = gateways.get(name, found)["version"]
        heads.append(head if other == found["version"] else f"{head}, proxy {other}")
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert heads in [_cells(line) for line in text.splitlines() if line.startswith("| | ")]


@pytest.mark.parametrize(
    ("row", "fault", "text"),
    [
        ("an answer that ends early, in good order, is an error", CUT, None),
        ("a lost connection is an error, and the text so far is kept", "connection lost", "The sky"),
    ],
)
def test_the_readmes_marks_are_those_results(row: str, fault: str, text: str | None) -> None:
    """A mark is what the client did: whether it raised, and what text it had delivered."""

    def mark(found: dict[str, Any]) -> str:
        return "✓" if found["error"] and text in (None, found["text"]) else "✗"

    assert cells(row) == {name: mark(found[fault]) for name, found in FOUND["clients"].items()}


def test_the_readmes_marks_of_gateways_are_those_results() -> None:
    """Complete from the second upstream, or an error; a finish reason after half an answer is neither."""
    for name, found in FOUND["gateways"].items():
        whole = {key: value["text"] == "The sky is blue." for key, value in found.items() if isinstance(value, dict)}
        honest = whole[CUT] or found[CUT]["error"] is not None
        rows = {
            "gateway: another upstream before the first word": whole["before the first word"],
            "gateway: another upstream continues the answer": whole["connection lost"],
            "gateway: a cut answer is not passed on as complete": honest,
        }
        assert {row: cells(row)[name] for row in rows} == {row: "✓" if good else "✗" for row, good in rows.items()}


def test_no_cell_is_a_question() -> None:
    """What was not checked is not in the table."""
    assert "| ? |" not in (ROOT / "README.md").read_text(encoding="utf-8")
