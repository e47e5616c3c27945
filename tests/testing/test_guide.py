"""docs/guides/pytest.md, followed as it stands: its files are tests, which pass, and record a scripted server."""

from __future__ import annotations

from pathlib import Path

from autonomousai.testing import Script, scripted
from bench.testers import PAGE, SITUATIONS
from tests.support.walk import follow, walking

GUIDE = Path(__file__).parents[2] / "docs/guides/pytest.md"
#: What the guide's tests call.
SERVER = "https://api.openai.com/v1"


def test_the_guide_works_step_by_step(tmp_path: Path) -> None:
    """And its recordings are made once: what is replayed calls no server."""
    shown, _, _ = GUIDE.read_text(encoding="utf-8").partition("## When a test fails")
    with scripted(Script.stream("Grüße", " an alle", " 😀")) as upstream, walking(tmp_path) as walk:
        walk.env["PYTEST_ADDOPTS"] = "-p pytest_autonomousai"
        follow(walk, shown.replace(SERVER, f"{upstream.url}/v1"))

    recordings = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.toml"))
    assert "recordings/test_recorded/test_hello.toml" in recordings
    assert len(recordings) == len(upstream.requests)


def test_the_page_of_other_tools_is_of_its_script() -> None:
    """Every situation stands in it, in order, and with what the clients and tools made of it."""
    rows = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    names = [situation.name for situation in SITUATIONS]

    assert names * 2 == [row for row in rows if row in names]
