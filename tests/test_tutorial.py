"""The tutorial, walked through as it stands: its files are written, its commands run by a shell, its servers started."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.walk import follow, walking

TUTORIAL = Path(__file__).parents[1] / "docs/tutorial.md"


def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    """Every file and command in its order; and it shows what it says that it shows."""
    with walking(tmp_path) as walk:
        follow(walk, TUTORIAL.read_text(encoding="utf-8"))
        said = "\n".join(walk.said)

    assert '"reason":"length"' in said
    assert "whole: " in said
    assert re.search(r"'upstream': 'better', 'outcome': 'connect_error'.*'upstream': 'embedded', 'outcome': 'ok'", said)
