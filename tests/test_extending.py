"""The pages that extend the package, followed as they stand in a copy of it: what they add answers over a socket."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.walk import Walk, follow, walking

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs/guides"


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """A reader in a checkout: the package, its documents and its tests, from which everything is imported."""
    junk = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("src", "docs", "tests", "bench"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=junk)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    with walking(tmp_path) as walk:
        walk.env["PYTHONPATH"] = str(tmp_path / "src")
        yield walk


def test_a_wire_is_added_step_by_step(walk: Walk) -> None:
    """It streams, is resumed with the same bytes, passes the tests that all wires pass, and is described."""
    follow(walk, (GUIDES / "add-a-wire.md").read_text(encoding="utf-8"))
    said = "\n".join(walk.said)

    assert re.search(r'^id: 1\ndata: \{"text":".+"\}\n\nid: 2\ndata: ', said, re.MULTILINE)
    assert re.search(r'^id: \d+\ndata: \{"finish":"(stop|length)"\}\n', said, re.MULTILINE)
    assert "resumed: True" in said
    assert re.search(r"^\d+ passed", said, re.MULTILINE)
    assert "over the plain wire" in (walk.folder / "docs/reference/http.md").read_text(encoding="utf-8")


def test_an_upstream_kind_is_added_step_by_step(walk: Walk) -> None:
    """Its config is checked, it streams through the gateway, passes the tests that all kinds pass, and has its reference."""
    follow(walk, (GUIDES / "add-an-upstream-kind.md").read_text(encoding="utf-8"))
    said = "\n".join(walk.said)

    assert re.search(r"parrot +.*parrot \(echo\)", said)
    assert "'I hear: '\n'Hello there'\nFinishReason(reason='stop'" in said
    assert re.search(r"^\d+ passed", said, re.MULTILINE)
    reference = (walk.folder / "docs/reference/config.md").read_text(encoding="utf-8")
    assert "of the kind `echo`" in reference
    assert '| `greeting` | text | `"You said: "` | what it says first |' in reference


def test_a_mistake_in_the_new_section_is_told_as_any_other(walk: Walk) -> None:
    """An unknown kind is told of the new one too, and the kind's own check names the key."""
    follow(walk, (GUIDES / "add-an-upstream-kind.md").read_text(encoding="utf-8").partition("## 3.")[0])
    said = {}
    for kind, rest in (("eco", ""), ("echo", 'greeting = ""'), ("echo", "hello = 1")):
        walk.write("wrong.toml", f'[upstreams.u]\nkind = "{kind}"\n{rest}\n')
        walk.run("autonomousai config check wrong.toml 2>&1 || true")
        said[kind, rest] = walk.said[-1]

    assert "'anthropic', 'gemini', 'autonomousai', 'echo'" in said["eco", ""]
    assert "upstreams.u.greeting: is empty; write a text" in said["echo", 'greeting = ""']
    assert "known here: kind, greeting, context" in said["echo", "hello = 1"]


def test_a_change_that_fits_nowhere_is_a_mistake(walk: Walk) -> None:
    """A page whose surroundings have moved does not pass."""
    with pytest.raises(AssertionError, match="has this 0 times"):
        walk.change("pyproject.toml", " no such line\n+more\n")
