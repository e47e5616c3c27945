"""How all is measured here: CPU time of a process on a core of its own, in interleaved rounds, told as medians and ratios.

Knows processes, cores and figures; no HTTP, and none of the programs that are measured. A figure is one scenario's cost for one
subject in one round. What can be carried to another machine is the ratio of two subjects' figures within the same round:
that is what goals are made of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import IO, Any, NamedTuple

BENCH = Path(__file__).parent
ROOT = BENCH.parent
BUILT = ROOT / ".bench"

#: A quick run's bounds are this much wider.
GENEROUS = 2.0

# What is installed has its bytecode; where this says not to write it, our own sources would be compiled at each start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

CORES = sorted(os.sched_getaffinity(0))
SUBJECT_CORE = CORES[:1]
OTHER_CORES = CORES[1:] or CORES

Figures = dict[str, dict[str, list[float]]]
"""scenario -> subject -> a figure for each round"""


# ---- processes


def start(command: Sequence[str | Path], cores: Sequence[int], **options: Any) -> subprocess.Popen[str]:
    """A child process on these cores alone."""
    words = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
    return subprocess.Popen(words, text=True, **options)


def stop(process: subprocess.Popen[str], *, patience: float = 10) -> None:
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def log_file(name: str) -> IO[str]:
    """Where a subject's stderr goes: for the one who asks why it did not start."""
    BUILT.mkdir(exist_ok=True)
    return (BUILT / f"{name}.log").open("w", encoding="utf-8")


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    pids = [pid]
    for one in pids:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
    return pids


def cpu(pid: int) -> float:
    """Seconds of CPU that a process, its threads and its living descendants have had: finer than /proc/PID/stat."""
    return sum(map(cpu_alone, family(pid)))


def cpu_alone(pid: int) -> float:
    """The same of the process alone."""
    return time.clock_gettime((~pid << 3) | 2)


def resident(pid: int) -> int:
    """Bytes of memory that a process and its descendants hold."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_of(command: Sequence[str | Path], **options: Any) -> float:
    """Seconds of CPU that a command takes from its start to its end, with its children. It must succeed."""
    process = start(command, SUBJECT_CORE, **options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def built(name: str) -> Path:
    """The program of NAME.c, made anew when its source is newer."""
    program, source = BUILT / name, BENCH / f"{name}.c"
    newest = max(source.stat().st_mtime, (BENCH / "net.h").stat().st_mtime)
    if not program.exists() or program.stat().st_mtime < newest:
        BUILT.mkdir(exist_ok=True)
        made = BUILT / f"{name}.{os.getpid()}"
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-o", made, source], check=True)
        made.replace(program)
    return program


def progress(text: str) -> None:
    """Say what is being measured, where somebody is watching."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\r", file=sys.stderr, flush=True)


# ---- figures


def note(figures: Figures, scenario: str, subject: str, value: float) -> None:
    figures.setdefault(scenario, {}).setdefault(subject, []).append(value)


def ratio(figures: Figures, scenario: str, subject: str, reference: str) -> float | None:
    """The median of the rounds' ratios; None where one of the two was not measured."""
    rounds = figures.get(scenario, {})
    if not rounds.get(subject) or not rounds.get(reference):
        return None
    return median(one / other for one, other in zip(rounds[subject], rounds[reference], strict=False))


class Goal(NamedTuple):
    """``subject`` costs at most ``at_most`` times what ``reference`` costs; or, without one, at most that many units.

    ``guard``: whether to miss it is a failure: ratios to what runs beside it are, units and peers are not. ``quick``: the bound
    of a quick run, which has few rounds and may share its machine; by default twice the goal.
    """

    scenario: str
    subject: str
    at_most: float
    reference: str | None = None
    guard: bool = True
    quick: float | None = None

    def bound(self, *, quick: bool) -> float:
        if not quick or not self.guard:
            return self.at_most
        return self.at_most * GENEROUS if self.quick is None else self.quick

    def reached(self, figures: Figures) -> float | None:
        if self.reference is not None:
            return ratio(figures, self.scenario, self.subject, self.reference)
        rounds = figures.get(self.scenario, {}).get(self.subject)
        return median(rounds) if rounds else None

    def __str__(self) -> str:
        of = f" x {self.reference}" if self.reference else ""
        return f"{self.scenario}: {self.subject} at most {self.at_most:.3g}{of}"


def show(title: str, figures: Figures, units: Mapping[str, str]) -> None:
    """Print a table: a line for each scenario, a column for each subject."""
    subjects = list(dict.fromkeys(subject for rounds in figures.values() for subject in rounds))
    print(f"\n{title}: medians of {max(len(values) for rounds in figures.values() for values in rounds.values())} rounds")
    print(f"{'':<34}" + "".join(f"{subject:>18}" for subject in subjects))
    for scenario, rounds in figures.items():
        cells = [f"{median(rounds[subject]):>18,.2f}" if rounds.get(subject) else f"{'-':>18}" for subject in subjects]
        print(f"{scenario + ', ' + units[scenario]:<34}" + "".join(cells))


class Verdict(NamedTuple):
    """How a goal stands. ``is_failure``: it is a guard, and missed by more than this run allows."""

    goal: str
    reached: float
    kept: bool
    is_failure: bool


def judge(goals: Sequence[Goal], figures: Figures, *, quick: bool) -> list[Verdict]:
    """Print how the goals stand, and return it."""
    verdicts = []
    for goal in goals:
        reached = goal.reached(figures)
        if reached is None:
            continue
        bound = goal.bound(quick=quick)
        kept = reached <= bound
        word = "kept" if kept else "MISSED" if goal.guard else "not reached"
        allowed = f" (a quick run allows {bound:.3g})" if bound != goal.at_most else ""
        print(f"  {word:<12}{goal}{allowed}: {reached:.3g}")
        verdicts.append(Verdict(str(goal), reached, reached <= goal.at_most, goal.guard and not kept))
    return verdicts


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(": ")[2] for line in info.splitlines() if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": names[0] if names else platform.machine(),
        "cores": len(CORES),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


# ---- the command line that all scripts share


class Plan(NamedTuple):
    """How much is measured. ``only``: the scenarios, all where it is empty; ``share``: of the usual number of requests."""

    quick: bool
    rounds: int
    only: frozenset[str]
    peers: bool

    def has(self, scenario: str) -> bool:
        return not self.only or scenario in self.only

    def count(self, number: int) -> int:
        """A number of requests; fewer in a quick run."""
        return max(number // 8, 1) if self.quick else number


def plan(about: str, scenarios: Sequence[str], *, peers: bool = True) -> tuple[Plan, Path | None]:
    """What the command line asks for, and the file to write the raw figures to."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="three short rounds, bounds twice as wide")
    parser.add_argument("--rounds", type=int, help="5 by default")
    parser.add_argument("--only", default="", help=f"a comma between them: {', '.join(scenarios)}")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    if peers:
        parser.add_argument("--peers", action="store_true", help="beside the peers that `bench/peers.py install` has installed")
    options = parser.parse_args()
    only = frozenset(options.only.split(",")) - {""}
    if unknown := only - set(scenarios):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(scenarios)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then too
    rounds = options.rounds or (3 if options.quick else 5)
    return Plan(options.quick, rounds, only, peers and options.peers), options.json


def rounds_within(plan: Plan, seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[int]:
    """Yield the numbers of the rounds: those of *plan*, but no further one where that would likely end after *seconds*. One is
    always made."""
    began = clock()
    for number in range(plan.rounds):
        if number and (clock() - began) * (number + 1) / number > seconds:
            progress(f"{number} of {plan.rounds} rounds, as they take long here")
            return
        yield number


def finish(title: str, figures: Figures, units: Mapping[str, str], goals: Sequence[Goal], plan: Plan, path: Path | None) -> int:
    """Print all, write the raw figures, and return the exit code."""
    show(title, figures, units)
    verdicts = judge(goals, figures, quick=plan.quick)
    missed = [verdict.goal for verdict in verdicts if verdict.is_failure]
    if path is not None:
        raw = {"units": dict(units), "figures": figures, "goals": [verdict._asdict() for verdict in verdicts]}
        path.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if missed:
        print("missed: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed else 0
