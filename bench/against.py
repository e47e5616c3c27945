"""Two checkouts beside one another, in one run: what server and clients cost in each, and the ratio of the two.

    python bench/against.py OLD [NEW] [--quick] [--only small,one,burst,...] [--rounds N] [--json FILE]

OLD and NEW are checkouts; NEW is this one by default. Both are measured in turn within each round, in changing order, on the
same core, with the same upstream and load; a ratio is the median of the rounds' ratios. Both run with this interpreter and its
libraries: only the package is each one's own. A row with a goal is to reach it, any other row is to cost no more than before.
Exits 1 when a goal is missed.

    small    a request without streaming, 32 at once             one      a stream of one event, 32 at once
    burst    streams of 1,000 events at once, 4 at a time        paced    200 streams, each event in a write of its own
    event    a paced event without the beginning of its stream: what streams of 200 events cost more than streams of 40
    first    a lone request's first event, later than from the upstream
    crowd    2,000 streams paced at 25 ms, in a new server: stalls, first events, memory of a stream that mostly waits
    workers  --workers 2: time a request, and how many of 64 connections the busier worker gets
    clients  small, one, burst and paced of both clients
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeAlias

import client
import server
from measure import CORES, ROOT, Figures, Plan, family, machine, note, progress, ratio
from servers import OURS, SERVERS, Kind, Server
from traffic import Upstream

NEW, OLD = "new", "old"

Scenario: TypeAlias = str
SCENARIOS: list[Scenario] = ["small", "one", "burst", "paced", "event", "first", "crowd", "workers", "clients"]

CLIENTS = (client.OPENAI, client.OURS)

UNITS = {
    **{row: unit for row, unit in server.UNITS.items() if row not in {"small: rate", "workers"}},
    "event": "µs an event",
    "workers: time": "µs a request",
    "workers: split": "% at the busier",
    **{f"{name}: {row}": unit for name in CLIENTS for row, unit in client.UNITS.items()},
}


class Goal(NamedTuple):
    """The most that a row may reach: ``ratio`` to the other checkout, or ``units``."""

    ratio: float | None = None
    units: float | None = None

    def __str__(self) -> str:
        return f"x {self.ratio:.2f}" if self.ratio is not None else f"{self.units:g}"


GOALS = {
    "small": Goal(0.40),
    "one": Goal(0.40),
    "event": Goal(0.80),
    "first": Goal(0.60),
    "crowd: first": Goal(units=400),
    "crowd: memory": Goal(units=12),
    "OpenAICompatible: small": Goal(0.65),
}

#: The goal of every other row: what a few rounds cannot tell from the same.
NO_WORSE = Goal(1.03)

#: Events of the two streams that tell what one event costs, and milliseconds between two.
FEW, MANY, PACED_MS = 40, 200, 20

#: Connections that two workers share out, and seconds after which they are counted: they are open then, and still streaming.
SHARED, SHARED_MS, COUNT_AFTER_S = 64, 50, 1.3

#: A crowd and a pair of workers are new servers each time; that many times at most.
FRESH_ROUNDS = 3


def ours(source: Path, kind: Kind = SERVERS[OURS]) -> Kind:
    """Our server, of the package in *source*."""

    def command(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
        return in_source(source, kind.command(upstream, port, folder))

    return kind._replace(command=command)


def in_source(source: Path, command: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return *command*, run with the package in *source*."""
    return ["/usr/bin/env", f"PYTHONPATH={source}", *command]


def run(command: Sequence[str | Path], source: Path, *, allowed: Sequence[int] = (0,)) -> None:
    """Run *command* with the package in *source*. Raises `RuntimeError` where its exit code is none of the *allowed*."""
    done = subprocess.run(in_source(source, command), capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        said = done.stderr.strip().splitlines()
        raise RuntimeError(said[-1] if said else f"it ended with status {done.returncode}")


def check_source(source: Path) -> None:
    """Raise `SystemExit` where Python would import the package from elsewhere."""
    command = [sys.executable, "-c", "import autonomousai; print(autonomousai.__file__)"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(source)}, cwd="/"
    )
    if not done.stdout.startswith(f"{source}{os.sep}"):
        raise SystemExit(f"{source} has no package: {done.stdout}{done.stderr}")


class Comparison:
    """Two checkouts' sources, one upstream, and the figures."""

    def __init__(self, sources: Mapping[str, Path], plan: Plan, upstream: Upstream) -> None:
        self.sources = sources
        self.plan = plan
        self.upstream = upstream
        self.bench = server.Bench(plan, upstream)
        self.figures = self.bench.figures
        #: Scenario and checkout -> why it cannot be measured there.
        self.missing: dict[tuple[Scenario, str], str] = {}

    def measure(self) -> None:
        """Measure every scenario that was asked for."""
        if any(map(self.plan.has, ("small", "one", "burst", "paced", "event", "first"))):
            self._servers()
        if self.plan.has("clients"):
            self._clients()
        for number in range(min(self.plan.rounds, FRESH_ROUNDS)):
            for name in self.order(number):
                if self.plan.has("crowd"):
                    progress(f"crowd: {name}")
                    self.attempt("crowd", name, self._crowd, name)
                if self.plan.has("workers"):
                    progress(f"workers: {name}")
                    self.attempt("workers", name, self._workers, name)

    def attempt(self, scenario: Scenario, name: str, step: Callable[..., None], *arguments: Any) -> None:
        """Measure one scenario in one checkout. Where that fails, which an old one may, it is noted and not tried again."""
        if (scenario, name) in self.missing:
            return
        try:
            step(*arguments)
        except (Exception, SystemExit) as error:
            if isinstance(error, SystemExit) and isinstance(error.code, int):
                raise  # a signal
            self.missing[scenario, name] = str(error)

    def order(self, number: int) -> list[str]:
        """Who goes first changes from round to round, so that drift costs both the same."""
        return list(self.sources)[:: -1 if number % 2 else 1]

    def _servers(self) -> None:
        bench, upstream = self.bench, self.upstream
        steps: list[tuple[str, int, int, Callable[[Server], None]]] = [
            ("small", 1, 0, bench.small),
            ("one", 1, 0, bench.measure_one),
            ("burst", server.BURST_EVENTS, 0, bench.burst),
            ("paced", server.PACED_EVENTS, server.PACED_MS, bench.paced),
            ("event", 1, 0, self._event),
            ("first", 1, 0, bench.first),
        ]
        needs_one = {"burst", "paced"} & self.plan.only
        with ExitStack() as stack:
            servers: dict[str, Server] = {}
            for name in self.sources:
                self.attempt("servers", name, lambda name: servers.update({name: self._start(stack, name)}), name)
            for number in range(self.plan.rounds):
                for scenario, events, interval_ms, step in steps:
                    if not self.plan.has(scenario) and not (scenario == "one" and needs_one):
                        continue
                    for name in self.order(number):
                        if name in servers:
                            progress(f"round {number + 1} of {self.plan.rounds}: {scenario}: {name}")
                            upstream.answers(events, interval_ms=interval_ms)
                            self.attempt(scenario, name, step, servers[name])

    def _start(self, stack: ExitStack, name: str) -> Server:
        self.upstream.answers(1)
        started = Server(name, ours(self.sources[name]), self.upstream.url)
        stack.callback(started.close)
        return started

    def _event(self, subject: Server) -> None:
        streams = server.PACED_STREAMS // (4 if self.plan.quick else 1)
        spent = {}
        for events in (FEW, MANY):
            self.upstream.answers(events, interval_ms=PACED_MS)
            spent[events] = self.bench.spend(subject, requests=streams, concurrency=streams, stream=True).micros / streams
        note(self.figures, "event", subject.name, (spent[MANY] - spent[FEW]) / (MANY - FEW))

    def _crowd(self, name: str) -> None:
        with ExitStack() as stack:
            subject = self._start(stack, name)
            self.bench.spend(subject, requests=200, concurrency=16, stream=True)
            self.bench.empty.pop(name, None)
            events = server.CROWD_EVENTS // (4 if self.plan.quick else 1)
            self.upstream.answers(events, interval_ms=server.CROWD_MS)
            self.bench.crowd(subject)

    def _workers(self, name: str) -> None:
        kind = ours(self.sources[name], server.WORKERS)
        self.upstream.answers(1)
        subject = Server(name, kind, self.upstream.url, "--workers", "2", cores=CORES[:-2] if len(CORES) > 3 else CORES)
        try:
            load = self.upstream.load(subject.port, requests=self.plan.count(8000), concurrency=SHARED, stream=False)
            note(self.figures, "workers: time", name, 1e6 / load.rate)
            self.upstream.answers(int(COUNT_AFTER_S * 2000 / SHARED_MS), interval_ms=SHARED_MS)
            workers = [pid for pid in family(subject.pid) if pid != subject.pid]
            with later(COUNT_AFTER_S, lambda: [connections(pid, subject.port) for pid in workers]) as counted:
                self.upstream.load(subject.port, requests=SHARED, concurrency=SHARED, stream=True)
            note(self.figures, "workers: split", name, max(counted) / sum(counted) * 100)
        finally:
            subject.close()

    def _clients(self) -> None:
        bench = client.Bench(self.plan._replace(only=frozenset()), self.upstream)
        with ExitStack() as stack:
            callers: dict[tuple[str, str], client.Caller] = {}
            for name in self.sources:
                for kind in CLIENTS:
                    self.attempt(kind, name, self._start_client, stack, callers, kind, name)
            for number in range(self.plan.rounds):
                for kind in CLIENTS:
                    for name in self.order(number):
                        if (kind, name) in callers:
                            self.attempt(kind, name, client.measure, bench, [callers[kind, name]], 1)
        for row, rounds in bench.figures.items():
            for subject, values in rounds.items():
                kind, _, name = subject.partition(" ")
                self.figures.setdefault(f"{kind}: {row}", {})[name] = values

    def _start_client(self, stack: ExitStack, callers: dict[tuple[str, str], client.Caller], kind: str, name: str) -> None:
        caller = client.Caller(f"{kind} {name}", client.CALLERS[kind]._replace(source=self.sources[name]), self.upstream)
        stack.callback(caller.close)
        callers[kind, name] = caller


@contextmanager
def later(seconds: float, look: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Look once, that long after the block was entered; the list is filled when it is left."""
    seen: list[int] = []
    timer = threading.Timer(seconds, lambda: seen.extend(look()))
    timer.start()
    try:
        yield seen
    finally:
        timer.join()


def connections(pid: int, port: int) -> int:
    """Established connections to *port* that a process holds, by proc_pid_net(5)."""
    established = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "01" and int(local.partition(":")[2], 16) == port:
            established.add(f"socket:[{inode}]")
    return sum(str(descriptor.readlink()) in established for descriptor in Path(f"/proc/{pid}/fd").iterdir())


# ---- the report


class Row(NamedTuple):
    """One line of the table. ``least`` and ``most``: of the rounds' ratios."""

    name: str
    old: float
    new: float
    ratio: float
    least: float
    most: float
    goal: Goal

    @property
    def is_kept(self) -> bool:
        return self.ratio <= self.goal.ratio if self.goal.ratio is not None else self.new <= (self.goal.units or 0)

    def __str__(self) -> str:
        spread = f"{self.least:.2f}-{self.most:.2f}"
        unit = f"{self.name}, {UNITS[self.name]}"
        verdict = "kept" if self.is_kept else "MISSED" if self.name in GOALS else "WORSE"
        return f"{unit:<42}{self.old:>11,.2f}{self.new:>11,.2f}{self.ratio:>8.3f}{spread:>12}{self.goal!s:>9}  {verdict}"


def rows(figures: Figures, units: Mapping[str, str]) -> list[Row]:
    """Return a row for each figure that both checkouts have, in the order of *units*."""
    found = []
    for name in units:
        quotient = ratio(figures, name, NEW, OLD)
        if quotient is None:
            continue
        old, new = figures[name][OLD], figures[name][NEW]
        quotients = [one / other for one, other in zip(new, old, strict=False)]
        goal = GOALS.get(name, NO_WORSE)
        found.append(Row(name, median(old), median(new), quotient, min(quotients), max(quotients), goal))
    return found


def show(found: Sequence[Row], rounds: int) -> None:
    print(f"\nmedians of {rounds} rounds; load average at the end {machine()['load']}")
    print(f"{'':<42}{OLD:>11}{NEW:>11}{'ratio':>8}{'of rounds':>12}{'goal':>9}")
    for row in found:
        print(row)


def main() -> int:
    parser = argparse.ArgumentParser(description="Two checkouts, beside one another.")
    parser.add_argument("old", type=Path, help="the checkout to compare with")
    parser.add_argument("new", type=Path, nargs="?", default=ROOT, help="the checkout to judge; this one by default")
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--rounds", type=int, help="5 by default")
    parser.add_argument("--only", default="", help=f"a comma between them: {', '.join(SCENARIOS)}")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    options = parser.parse_args()
    only = frozenset(options.only.split(",")) - {""}
    if unknown := only - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(SCENARIOS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then too
    sources = {OLD: options.old.resolve() / "src", NEW: options.new.resolve() / "src"}
    for source in sources.values():
        check_source(source)
    plan = Plan(options.quick, options.rounds or (3 if options.quick else 5), only, peers=False)
    upstream = Upstream()
    try:
        comparison = Comparison(sources, plan, upstream)
        comparison.measure()
    finally:
        upstream.close()
    found = rows(comparison.figures, UNITS)
    show(found, plan.rounds)
    for (scenario, name), why in comparison.missing.items():
        print(f"not measured: {scenario} of {name}: {why}")
    if options.json is not None:
        table = [{**row._asdict(), "goal": row.goal._asdict(), "kept": row.is_kept} for row in found]
        document = {"machine": machine(), "units": UNITS, "rows": table, "figures": comparison.figures}
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if all(row.is_kept for row in found) and not comparison.missing else 1


if __name__ == "__main__":
    sys.exit(main())
