"""The page's files as they are shipped: complete, from nowhere else, with their licences, and readable."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.wheel import WheelBuilder

from autonomousai.server.page import page_files
from docs.make_icons import ICONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src/autonomousai/server/page"
OURS = sorted(path for path in PAGE.iterdir() if path.suffix in {".html", ".css", ".js"})
VENDOR = PAGE / "vendor"
PACKAGES: list[dict[str, Any]] = json.loads((VENDOR / "packages.json").read_text(encoding="utf-8"))
VENDORED = {target: file["sha256"] for package in PACKAGES for target, file in package["files"].items()}


def test_our_files_ask_for_what_is_there() -> None:
    """Each import and each link of ours leads to a file of the package, and none of them leaves it."""
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            found = re.findall(r'(?:src|href)="page/([^"]+)"', text)
        else:
            found = re.findall(r'(?:from |import |url\()"(?:\./)?([^"]+)"', text)
        for name in found:
            assert name in page_files(), f"{path.name}: {name}"
        assert [] == re.findall(r"https?://(?!www\.w3\.org/(?:2000/svg|1998/Math/MathML))[\w.]+", text), path.name


def test_the_logo_is_the_same_everywhere() -> None:
    """In the page and in the documentation; `docs/make_icons.py` draws the icons from it."""
    logo = (PAGE / "logo.svg").read_bytes()

    assert logo == (ROOT / "docs/images/logo.svg").read_bytes()
    assert {path.name for path in (PAGE / "icons").iterdir()} == set(ICONS)


def test_our_files_are_read_in_one_sitting() -> None:
    """Under 400 lines each, and their first lines tell their rule."""
    for path in OURS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 400, path.name
        assert lines[0].startswith(("// ", "/* ", "<!doctype html>")), path.name


def test_the_page_has_nothing_inline() -> None:
    """No script, style or handler stands in it."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")

    assert [] == re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)


def test_every_key_is_said_somewhere_and_every_one_said_is_there() -> None:
    """What is in the table and not in the page is dead; what is in the page and not in the table throws before a reader."""
    english = (PAGE / "words.en.js").read_text(encoding="utf-8")
    keys = set(re.findall(r"^  (\w+):", english, re.MULTILINE))
    used: set[str] = set()
    sure: set[str] = set()
    for path in OURS:
        if path.name.startswith("words.") and path.name != "words.js":
            continue
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"[\"](\w+)[\"]", text)) | set(re.findall(r"^\s+\[?\"?(\w+)", text, re.MULTILINE))
        sure |= set(re.findall(r"\bsay\(\"(\w+)\"", text)) | set(re.findall(r"data-say(?:-\w+)?=\"(\w+)\"", text))
    used |= {f"{key}Text" for key in used}

    assert set() == sure - keys
    assert set() == keys - used


def test_no_text_stands_outside_the_table() -> None:
    """No literal of the page's code begins as a text does; index.html holds none but for noscript."""
    allowed = re.compile(r"[A-Z]\w*(?:Error|Exception)|Enter|Escape|Arrow\w+|Bearer .*|SHA-256|Files|English|Deutsch")
    for path in OURS:
        if path.suffix != ".js" or path.name in {"words.en.js", "words.de.js"}:
            continue
        code = re.sub(r"^\s*(?://|/?\*).*$|\s// .*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for literal in re.findall(r"\"((?:[^\"\\\n]|\\.)*)\"", code):
            assert allowed.fullmatch(literal) or not re.match(r"[A-ZÄÖÜ“][a-zäöüß’]", literal), f"{path.name}: {literal}"
    html = re.sub(
        r"<noscript>.*?</noscript>|<title>.*?</title>|<svg.*?</svg>",
        "",
        (PAGE / "index.html").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    texts = [text.strip() for text in re.findall(r">([^<]+)<", html)]
    assert {"autonomousai", "sh", ",", "."} >= {text for text in texts if text}
    assert [] == re.findall(r'\s(?:aria-label|title|placeholder|alt)="[^"]', html)


def test_what_comes_from_elsewhere_is_what_was_recorded() -> None:
    """Each vendored file has its recorded checksum, and there is no other; each package has a version and its licence."""
    found = {path.relative_to(VENDOR).as_posix(): path for path in VENDOR.rglob("*") if path.is_file()}
    found.pop("packages.json")

    assert VENDORED == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}
    for package in PACKAGES:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["integrity"].startswith("sha512-")
        assert [name for name in package["files"] if "LICENSE" in name], package["name"]


def test_the_wheel_holds_the_page(tmp_path: Path) -> None:
    """Every file of it, byte for byte, with the licences."""
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])

    with zipfile.ZipFile(wheel) as archive:
        for name, file in page_files().items():
            assert file.body == archive.read(f"autonomousai/server/page/{name}")
        assert "autonomousai/server/page/vendor/dompurify/LICENSE.txt" in archive.namelist()
