"""docs/prove.py: the page of what the proofs said, made anew in part."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "docs/prove.py"
spec = importlib.util.spec_from_file_location("prove", SCRIPT)
assert spec is not None
assert spec.loader is not None
prove = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prove)

KILLS, CUTS = "tests/proof/test_kills.py", "tests/proof/test_cuts.py"


def row(file: str, seconds: float, failed: int = 0) -> object:
    return prove.Row(file, "test_it", 3, failed, seconds, {})


def test_a_part_that_is_run_again_leaves_the_others() -> None:
    """It has its own date; what it said before is gone."""
    before = prove.page([row(CUTS, 1.0), row(KILLS, 2.0)], datetime(2026, 1, 1, tzinfo=UTC))
    after = prove.with_part(before, [row(KILLS, 7.5, failed=1)], datetime(2026, 2, 3, 4, 5, tzinfo=UTC))

    assert before.partition(f"## `{KILLS}`")[0] == after.partition(f"## `{KILLS}`")[0]
    part = after.partition(f"## `{KILLS}`")[2]
    assert "Run by itself: 2026-02-03 04:05 UTC, 8 s, " in part
    assert "**1 failed.**" in part
    assert "| 3 | 1 | 7.5 |" in part
    assert "| 2.0 |" not in after


def test_the_page_that_stands_can_be_made_anew_in_part() -> None:
    """All of its sections stay."""
    page = (SCRIPT.parent / "proof.md").read_text(encoding="utf-8")
    after = prove.with_part(page, [row(KILLS, 1.0)], datetime.now(UTC))

    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == [line for line in after.splitlines() if line.startswith("## ")]
