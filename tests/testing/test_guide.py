"""docs/guides/pytest.md, followed as it stands: its files are tests, which pass, and record a scripted server."""

from __future__ import annotations

import re
from pathlib import Path

from autonomousai.testing import CHAOS, FAULTS, Script, scripted
from bench.testers import PAGE, SITUATIONS
from tests.support.walk import BLOCK, walking

GUIDE = Path(__file__).parents[2] / "docs/guides/pytest.md"
#: What the guide's tests call.
SERVER = "https://api.openai.com/v1"


def test_the_guide_works(tmp_path: Path) -> None:
    """Each command names one of its files; together they pass, and again without a server: what is replayed calls none."""
    text = GUIDE.read_text(encoding="utf-8").partition("## When a test fails")[0]
    files = {title: block for _, title, block in BLOCK.findall(text) if title}
    commands = [command for language, _, block in BLOCK.findall(text) if language == "sh" for command in block.splitlines()]
    with scripted(Script.stream("Grüße", " an alle", " 😀")) as upstream, walking(tmp_path) as walk:
        walk.env["PYTEST_ADDOPTS"] = "-p pytest_autonomousai"
        for name, block in files.items():
            walk.write(name, block.replace(SERVER, f"{upstream.url}/v1"))
        walk.run("pytest")
        asked = len(upstream.requests)
        walk.run("pytest --record-mode none")

        assert asked == len(upstream.requests)
    assert set(files) == {word for command in commands for word in command.split() if word.endswith(".py")}
    assert asked == len(list(tmp_path.rglob("*.toml")))
    assert (tmp_path / "recordings/test_recorded/test_hello.toml").exists()


def test_the_guide_has_every_name_that_a_server_takes() -> None:
    """The scripts' names in order, and the faults' in the table that it points to."""
    listed = GUIDE.read_text(encoding="utf-8").partition("The names that stand for a script are:")[2].partition(".\n")[0]
    table = (GUIDE.parents[1] / "testing.md").read_text(encoding="utf-8").partition("## Chaos")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert list(FAULTS) == re.findall(r"`(\w+)`", listed)
    assert set(CHAOS) == set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_the_page_of_other_tools_is_of_its_script() -> None:
    """Every situation stands in it, in order, and with what the clients and tools made of it."""
    rows = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    names = [situation.name for situation in SITUATIONS]

    assert names * 2 == [row for row in rows if row in names]
