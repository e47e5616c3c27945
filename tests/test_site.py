"""The site is built from docs/ without a warning, and loads nothing from another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import autonomousai

ROOT = Path(__file__).parents[1]

#: Attributes whose address is loaded with the page. A link is followed by the reader alone.
LOADED = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "link": "href", "object": "data", "script": "src",
    "source": "src", "video": "src",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does."""
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return target


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED and (address := values.get(LOADED[tag])) and values.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(address)
        self.addresses += re.findall(r"url\(['\"]?([^)'\"]+)", values.get("style") or "")


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    """Neither in its markup nor in its styles: no font, no script, no picture."""
    foreign = []
    for page in site.rglob("*.html"):
        loads = _Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        foreign += [f"{page.name}: {address}" for address in loads.addresses if re.match(r"(?:https?:)?//", address)]
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        foreign += re.findall(r"(?:url\(|@import )['\"]?((?:https?:)?//[^)'\"]+)", text)

    assert [] == foreign
    assert (site / "index.html").is_file()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """With its docstring: the page is made from the package."""
    page = (site / "reference/python.html").read_text(encoding="utf-8")

    missing = [
        name
        for name in autonomousai.__all__
        if f'id="autonomousai.{name}"' not in page and name not in ("Messages", "__version__")
    ]

    assert [] == missing
    assert "Making it does no I/O" in page


def test_every_public_name_has_an_example_and_no_inner_name_is_shown(site: Path) -> None:
    """An example after each name, which `tests/test_docs.py` runs; what the layers call one another is not promised."""
    text = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    page = (site / "reference/python.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^::: autonomousai\.([\w.]+)\n(.*?)(?=^::: |^## |\Z)", text, re.MULTILINE | re.DOTALL))

    without = [
        name
        for name, section in sections.items()
        if not re.search(rf"```python\n.*\b{name.rpartition('.')[2]}\b", section, re.DOTALL)
    ]

    assert [] == without
    assert set(autonomousai.__all__) - {"Messages", "__version__"} <= set(sections)
    assert [] == re.findall(r'id="autonomousai\.\w+\.(?:stream|stream_continuation|batches|capabilities|status|repeats)"', page)
