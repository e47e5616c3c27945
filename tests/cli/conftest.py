"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import environment


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has never used the program."""
    return environment(tmp_path)
