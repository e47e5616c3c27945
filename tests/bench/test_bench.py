"""The benchmarks, in short: ratios to what runs beside them must not get far out of hand. No time is compared with a clock."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"

#: The upstream and the load generator are built on epoll.
QUICK = [("decoder.py",)]
if sys.platform == "linux":
    QUICK += [
        ("engine.py", "--only", "turns", "--rounds", "1"),
        ("client.py", "--only", "small,burst"),
        ("client_steps.py",),
        ("server.py", "--only", "small,burst,paced"),
        ("variants.py", "--rounds", "1"),
        ("wires.py", "--only", "small"),
    ]


@pytest.mark.parametrize("words", QUICK, ids=lambda words: words[0])
def test_ours_costs_no_multiple_of_what_does_less(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Decoder beside json, clients beside bare aiohttp, server beside a bare pipe: within generous bounds, figures printed. The
    wires have no bounds there, and every answer over each is the upstream's."""
    done = subprocess.run(
        [sys.executable, BENCH / words[0], "--quick", *words[1:]], capture_output=True, text=True, check=False
    )

    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert 0 == done.returncode, done.stderr


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`bench/measure.py`, which is a script's module and in no package."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("measure")


def test_a_missed_guard_is_a_failure(measure: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A goal in units that is missed is told; a ratio that is missed makes the run fail; a quick run allows more."""
    figures = {"small": {"ours": [30.0, 10.0, 90.0], "pipe": [10.0, 10.0, 30.0]}}
    goals = [measure.Goal("small", "ours", 2, "pipe"), measure.Goal("small", "ours", 20, guard=False)]

    verdicts = measure.judge(goals, figures, quick=False)
    quick = measure.judge(goals, figures, quick=True)

    assert [("small: ours at most 2 x pipe", 3.0, False, True), ("small: ours at most 20", 30.0, False, False)] == verdicts
    assert [(False, False), (False, False)] == [(verdict.kept, verdict.is_failure) for verdict in quick]
    assert "MISSED" in capsys.readouterr().out


def test_the_page_says_what_was_measured(measure: ModuleType) -> None:
    """The tables and the plots are those that the committed figures make."""
    report = importlib.import_module("report")
    results = json.loads((report.FOLDER / "figures.json").read_text(encoding="utf-8"))

    drawn = report.draw(results)

    assert {"performance.md", "clients.svg", "gateways.svg"} == {path.name for path in drawn}
    for path, text in drawn.items():
        assert text == path.read_text(encoding="utf-8"), f"{path.name} is not what figures.json makes: run bench/report.py"


def test_the_table_of_costs_names_what_is_there() -> None:
    """Each file of the package that has a row is one of the package: `bench/costs.py --write` makes the rows anew."""
    page = (BENCH.parent / "docs/performance.md").read_text(encoding="utf-8")
    named = set(re.findall(r"autonomousai/[\w/]+\.py", page))

    assert named
    assert not [file for file in named if not (BENCH.parent / "src" / file).exists()]


def test_ratios_come_first_and_what_is_missed_has_a_reason(measure: ModuleType) -> None:
    """A rate is no cost, and has no ratio; a goal that no row explains is named all the same."""
    report = importlib.import_module("report")
    part = {
        "units": {"small": "µs a request", "small: rate": "requests a second"},
        "figures": {"small": {"ours": [30.0, 10.0], "pipe": [10.0, 10.0]}, "small: rate": {"ours": [9.0], "pipe": [3.0]}},
        "goals": [
            {"goal": "small: ours at most 1 x nginx", "reached": 2.0, "kept": False},
            {"goal": "first: another", "reached": 3.0, "kept": False},
            {"goal": "burst: ours at most 9", "reached": 1.0, "kept": True},
        ],
    }
    results = {"server": part, "quick": True, "versions": {}, "machine": measure.machine()}

    page = next(
        text
        for path, text in report.draw({**results, "machine": {**results["machine"], "load": 0}}).items()
        if path.suffix == ".md"
    )

    measured = page.partition("<!-- figures -->")[2].partition("<!-- end -->")[0]
    places = [
        measured.index(text) for text in ("| times pipe | ours |\n|---|---:|\n| small | 2.00 |", "| goal |", "| small, µs")
    ]
    assert sorted(places) == places
    assert "nginx is C" in measured
    assert "first: another; it is 3.00: the reason is not known." in measured
    assert "| small: rate | " not in measured.partition("| goal |")[0]


def test_figures_of_another_day_say_so(measure: ModuleType) -> None:
    """What is measured anew goes over what is kept, and each part has the machine and the day that it was measured on."""
    bench, report = importlib.import_module("all"), importlib.import_module("report")
    part = {"units": {"small": "µs"}, "figures": {"small": {"ours": [3.0], "pipe": [2.0]}}, "goals": []}
    before, now = ({**measure.machine(), "date": date, "load": 0} for date in ("2026-11-28", "2026-11-30"))
    kept = {"machine": before, "quick": False, "versions": {"nginx": "1"}, "server": part, "decoder": part}

    results = bench.joined(
        kept, {"machine": now, "quick": False, "versions": {"openai": "3"}, "server": {**part, "machine": now}}
    )

    assert {"nginx": "1", "openai": "3"} == results["versions"]
    page = next(text for path, text in report.draw(results).items() if path.suffix == ".md")
    first, decoder, server = page.partition("<!-- figures -->")[2].partition("<!-- end -->")[0].split("###")[:3]
    assert ["2026-11-30" in first, "2026-11-28" in decoder, "2026-11-28" in server] == [True, True, False]


def test_more_instructions_than_are_kept_are_a_failure(measure: ModuleType) -> None:
    """By more than three in a hundred, and of the same build alone: elsewhere there is no guard."""
    instructions = importlib.import_module("instructions")
    kept = {instructions.build(): {"instructions": {"small": 1000, "paced": 100}}, "another": {"instructions": {"burst": 1}}}
    figures = {"small": {"ours": [1031.0]}, "paced": {"ours": [103.0]}, "burst": {"ours": [9.0]}}

    verdicts = measure.judge(instructions.guards(kept), figures, quick=False)

    assert [("small: ours at most 1.03e+03", True), ("paced: ours at most 103", False)] == [
        (verdict.goal, verdict.is_failure) for verdict in verdicts
    ]
    assert [] == instructions.guards({"another": kept["another"]})


def test_two_checkouts_are_set_side_by_side(measure: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """What is more than 3 % worse is named, what only one has stands alone, and what fails in one is not tried again."""
    side_by_side = importlib.import_module("side_by_side")
    comparison = side_by_side.SideBySide({"old": BENCH, "new": BENCH}, measure.Plan(True, 2, frozenset(), False), None)
    comparison.figures.update(
        small={"old": [10.0, 20.0], "new": [10.2, 20.4]}, one={"old": [1.0], "new": [1.04]}, serve={"new": [9.0]}
    )
    tries: list[str] = []

    def step(name: str) -> None:
        tries.append(name)
        raise RuntimeError("no such command")

    for _ in range(2):
        comparison.attempt("serve", "old", step, "old")
    found = side_by_side.rows(comparison.figures, side_by_side.UNITS)
    is_kept = side_by_side.show(found, comparison)

    table = capsys.readouterr().out
    assert not is_kept
    assert ["old"] == tries
    assert "worse than 3 %: one (of 2)" in table
    assert "not measured: serve of old: no such command" in table
    assert [("small", 1.02), ("one", 1.04)] == [(row.name, round(row.ratio, 3)) for row in found]


@pytest.mark.parametrize("subject", ["keyed", "messages", "responses"])
def test_a_request_of_another_kind_that_costs_more_than_is_kept_is_a_failure(measure: ModuleType, subject: str) -> None:
    """With a key, or over another API: as one of chat completions that costs more than is kept of it."""
    instructions = importlib.import_module("instructions")
    kept = {instructions.build(): {subject: 1500.0}}

    verdicts = [
        measure.judge(instructions.guards(kept), {"small": {"ours": [1000.0], subject: [number]}}, quick=False)
        for number in (1600.0, 1700.0)
    ]

    assert [[False], [True]] == [[verdict.is_failure for verdict in each] for each in verdicts]


if sys.platform == "linux":

    def test_a_request_costs_no_more_instructions(capsys: pytest.CaptureFixture[str]) -> None:
        """A small request, a paced event, one of a burst: no more is executed for it than is kept for this build of Python."""
        done = subprocess.run([sys.executable, BENCH / "instructions.py"], capture_output=True, text=True, check=False)

        with capsys.disabled():
            print(f"\n{done.stdout}")
        assert 0 == done.returncode, done.stderr

    @pytest.fixture
    def upstream(measure: ModuleType) -> Iterator[Any]:
        """The upstream that all benchmarks ask."""
        upstream = importlib.import_module("traffic").Upstream()
        yield upstream
        upstream.close()

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("interval_ms", [0, 1])
    def test_the_load_generator_gets_what_the_upstream_sends(upstream: Any, stream: bool, interval_ms: int) -> None:
        """All at once or one by one, streamed or not: each answer, to the byte."""
        upstream.answers(100, interval_ms=interval_ms)

        load = upstream.load(requests=20, concurrency=7, stream=stream)

        assert (20, 2000 if stream else 20) == (load.requests, load.texts)

    @pytest.mark.parametrize("text", ["", " the quick", " the quick brown fox jumped", " the quick brown fox jumps over"])
    def test_the_load_generator_notices_another_text(upstream: Any, text: str) -> None:
        """Nothing, a part of it, another word, a word more: a benchmark of wrong answers is none."""
        upstream.answers(5)
        assert upstream.text == " the quick brown fox jumps"
        upstream.text = text

        with pytest.raises(importlib.import_module("traffic").WrongAnswerError, match="3 of 3 answers"):
            upstream.load(requests=3, concurrency=1, stream=True)


@pytest.mark.parametrize(("takes", "expected"), [(10.0, [0, 1, 2, 3, 4]), (45.0, [0, 1, 2, 3]), (100.0, [0]), (1000.0, [0])])
def test_rounds_end_in_time(takes: float, expected: list[int], measure: ModuleType) -> None:
    """No further one is begun that would end too late; one is made on any machine."""
    made: list[int] = []
    clock = lambda: takes * len(made)  # noqa: E731
    for number in measure.rounds_within(measure.Plan(False, 5, frozenset(), False), 180, clock):
        made.append(number)  # noqa: PERF402  its length is the time

    assert expected == made
