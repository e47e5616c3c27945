"""Run the proofs whole, and write what came of it, with date and machine, into docs/proof.md.

Usage: ``python docs/prove.py [ARGUMENTS OF PYTEST]``; with PROOF=sample a quick look, which writes nothing.
``python docs/prove.py --from REPORT…``: from JUnit reports (``-o junit_family=xunit1``) of proofs that were run one by one.
``python docs/prove.py --part REPORT…``: from reports of some of them; what stands there of the others stays.
"""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PROOFS = ("tests/proof", "tests/compat/test_llmock.py")
RESULT = ROOT / "docs/proof.md"

#: Seconds for one test: the soak alone takes ten minutes.
TIMEOUT = 3600


class Row(NamedTuple):
    """One test, over all its cases. ``figures``: what it recorded of itself."""

    file: str
    name: str
    cases: int
    failed: int
    seconds: float
    figures: dict[str, str]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--from"]:
        write([row for report in arguments[1:] for row in read_report(Path(report))])
        return 0
    if arguments[:1] == ["--part"]:
        rows = [row for report in arguments[1:] for row in read_report(Path(report))]
        RESULT.write_text(with_part(RESULT.read_text(encoding="utf-8"), rows, datetime.now(UTC)), encoding="utf-8")
        return 0
    whole = os.environ.setdefault("PROOF", "whole") == "whole"
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        options = [f"--timeout={TIMEOUT}", f"--junit-xml={report}", "-o", "junit_family=xunit1"]
        command = [sys.executable, "-m", "pytest", *PROOFS, *options, *arguments]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        rows = read_report(report)
    if whole:
        write(rows)
    else:
        print(page(rows, datetime.now(UTC)))
    return code


def write(rows: list[Row]) -> None:
    RESULT.write_text(page(rows, datetime.now(UTC)), encoding="utf-8")
    print(f"wrote {RESULT.relative_to(ROOT)}")


def read_report(path: Path) -> list[Row]:
    """The rows of a JUnit report, in its order."""
    grouped: dict[tuple[str, str], list[ET.Element]] = defaultdict(list)
    for case in ET.parse(path).iter("testcase"):  # noqa: S314  pytest has just written it
        file = case.get("classname", "").replace(".", "/") + ".py"
        grouped[file, case.get("name", "").partition("[")[0]].append(case)
    return [row(file, name, cases) for (file, name), cases in grouped.items()]


def row(file: str, name: str, cases: list[ET.Element]) -> Row:
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    seconds = sum(float(case.get("time", 0)) for case in cases)
    figures = {str(each.get("name")): str(each.get("value")) for case in cases for each in case.iterfind("properties/property")}
    return Row(file, name, len(cases), failed, seconds, figures)


def page(rows: list[Row], now: datetime) -> str:
    failed = sum(each.failed for each in rows)
    outcome = f"**{failed} of {sum(each.cases for each in rows)} cases failed.**" if failed else "Nothing failed."
    lines = [
        "# What the proofs said",
        "",
        "Written by `make proof`; [dependability](dependability.md) says what each of them is for.",
        "",
        f"- {now:%Y-%m-%d %H:%M} UTC, {sum(each.seconds for each in rows):.0f} s. {outcome}",
        f"- {processor()}, {os.cpu_count()} cores, {platform.platform(terse=True)}, Python {platform.python_version()}",
    ]
    for file in dict.fromkeys(each.file for each in rows):
        lines += ["", *section(file, rows)]
    return "\n".join(lines) + "\n"


def section(file: str, rows: list[Row], remark: str = "") -> list[str]:
    """The lines of what came of one file. *remark*: goes before the table."""
    title, sentences = words_of(ROOT / file)
    remarks = ["", remark] if remark else []
    head = [f"## `{file}`", "", title, *remarks, "", "| what | cases | failed | seconds |", "|---|---:|---:|---:|"]
    return head + [line(each, sentences.get(each.name, "")) for each in rows if each.file == file]


def with_part(page: str, rows: list[Row], now: datetime) -> str:
    """Return *page* with the sections that *rows* are of made anew, each with its own date and machine."""
    head, *sections = page.rstrip("\n").split("\n\n## ")
    made = {text.partition("`")[2].partition("`")[0]: f"## {text}" for text in sections}
    for file in dict.fromkeys(each.file for each in rows):
        here = [each for each in rows if each.file == file]
        failed = sum(each.failed for each in here)
        outcome = f"**{failed} failed.**" if failed else "Nothing failed."
        remark = (
            f"Run by itself: {now:%Y-%m-%d %H:%M} UTC, {sum(each.seconds for each in here):.0f} s, {processor()}. {outcome}"
        )
        made[file] = "\n".join(section(file, here, remark))
    return "\n\n".join([head, *made.values()]) + "\n"


def line(row: Row, sentence: str) -> str:
    figures = "; ".join(f"{name}: {value}" for name, value in row.figures.items())
    what = f"`{row.name}`: {sentence}" + (f" *{figures}*" if figures else "")
    return f"| {what.replace('|', chr(92) + '|')} | {row.cases} | {row.failed} | {row.seconds:.1f} |"


def words_of(path: Path) -> tuple[str, dict[str, str]]:
    """A test file's own words: its first paragraph, and the sentence of each of its tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    sentences = {
        node.name: " ".join((ast.get_docstring(node) or "").split())
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split()), sentences


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
