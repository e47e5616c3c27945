"""Every row of the benchmarks for two checkouts, side by side in one run: before, after, the ratio, and what is worse.

    python bench/side_by_side.py OLD [NEW] [--quick] [--only small,one,...] [--rounds N] [--json FILE]

OLD and NEW are checkouts; NEW is this one by default. In each round both are measured in turn, in changing order, on the same
cores and with the same upstream, load and libraries; a ratio is the median of the rounds' ratios. `against.py` has servers and
clients, and what their rows are; here stand the others:

    decoder      an event that is decoded, by each checkout's own bench/decoder.py
    import       `from autonomousai import AutonomousAI`, more than the bare interpreter
    serve, chat  a server until it listens, a cold `autonomousai chat` until its first word
    engine       our part of an engine's answers: one, 2, 4 and 8 at once, and a lone first token

What one checkout cannot do is named, and the other one's figure stands alone. Exits 1 where a row is worse than 3 % in NEW, or
only OLD has it. One row is decided by few rounds: repeat a row that is worse with --only and more rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import against
import decoder
import engine
import startup
from against import NEW, NO_WORSE, OLD, Row, Scenario, check_source, in_source, rows
from measure import ROOT, Plan, cpu_of, machine, note, progress, stop
from servers import OURS as OUR_SERVER
from servers import SERVERS, free_port
from traffic import Upstream

DECODER, IMPORT, SERVE, CHAT, ENGINE = "decoder", "import", "serve", "chat", "engine"

#: Rounds that `bench/decoder.py` makes by itself: of its quick run.
DECODER_ROUNDS = 3

#: The row of one engine's answers, as our part of its CPU: a checkout's own, as steady as a shared machine lets it be.
ENGINE_ROWS = {f"{ENGINE}: {name}: share": "% of the engine's CPU" for name in engine.STREAMS} | {
    f"{ENGINE}: first: later": "ms"
}

UNITS = {
    **against.UNITS,
    **{f"{DECODER}: {stream.name}": "µs an event" for stream in decoder.streams()},
    **{name: startup.UNITS[name] for name in (IMPORT, SERVE, CHAT)},
    **ENGINE_ROWS,
}


class SideBySide(against.Comparison):
    """Two checkouts and all rows. The checkouts' own scripts are run where the rows are about what only they can import."""

    def measure(self) -> None:
        """Measure every scenario that was asked for."""
        if any(map(self.plan.has, against.SCENARIOS)):
            super().measure()
        if self.plan.has(DECODER):
            self._take_turns(DECODER, self._decoder)
        for scenario, step in ((IMPORT, self._import), (SERVE, self._serve), (CHAT, self._chat)):
            if self.plan.has(scenario):
                self._take_turns(scenario, step)
        if self.plan.has(ENGINE):
            self._engines()

    def _take_turns(self, scenario: Scenario, step: Callable[[str], None]) -> None:
        for number in range(self.plan.rounds):
            for name in self.order(number):
                progress(f"round {number + 1} of {self.plan.rounds}: {scenario}: {name}")
                self.attempt(scenario, name, step, name)

    def _decoder(self, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            raw = Path(folder) / "decoder.json"
            script = self.sources[name].parent / "bench/decoder.py"
            against.run([sys.executable, script, "--quick", "--json", raw], self.sources[name], allowed=(0, 1))
            figures = json.loads(raw.read_text(encoding="utf-8"))["figures"]
        for stream, readers in figures.items():
            # Of the same bytes, json takes the same time: where it does not, the machine was slower.
            note(self.figures, f"{DECODER}: {stream}", name, median(readers["ours"]))

    def _import(self, name: str) -> None:
        bare, ours = (startup.IMPORTS[each] for each in (startup.BARE, OUR_SERVER))
        environment = {**os.environ, "PYTHONPATH": str(self.sources[name])}
        spent = [cpu_of([python, "-c", statement], env=environment) for python, statement in (bare, ours)]
        note(self.figures, IMPORT, name, (spent[1] - spent[0]) * 1000)

    def _serve(self, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            command = SERVERS[OUR_SERVER].command(self.upstream.url, free_port(), Path(folder))
            note(self.figures, SERVE, name, startup.until_first_byte(in_source(self.sources[name], command), "serve"))

    def _chat(self, name: str) -> None:
        command = [sys.executable, "-m", "autonomousai", "chat", "--temperature", "0", "Say hello."]
        note(self.figures, CHAT, name, startup.until_first_byte(in_source(self.sources[name], command), "chat"))

    def _engines(self) -> None:
        """Two servers with an engine each, which take turns."""
        with ExitStack() as stack:
            engines: dict[str, engine.Engine] = {}
            for name, source in self.sources.items():
                self.attempt(ENGINE, name, self._start_engine, stack, engines, name, source)
            plan = self.plan._replace(only=frozenset({"first", *engine.STREAMS}), rounds=1)
            for number in range(self.plan.rounds):
                for name in self.order(number):
                    if name in engines:
                        progress(f"round {number + 1} of {self.plan.rounds}: {ENGINE}: {name}")
                        self.attempt(ENGINE, name, self._measure_engine, engines[name], name, plan)

    def _start_engine(self, stack: ExitStack, engines: dict[str, engine.Engine], name: str, source: Path) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        engines[name] = started = engine.Engine(Path(folder), source)
        stack.callback(stop, started.process)

    def _measure_engine(self, subject: engine.Engine, name: str, plan: Plan) -> None:
        figures: against.Figures = {}
        engine.measure(subject, figures, plan)
        for row, rounds in figures.items():
            if f"{ENGINE}: {row}" in ENGINE_ROWS and engine.OPENAI in rounds:
                self.figures.setdefault(f"{ENGINE}: {row}", {}).setdefault(name, []).extend(rounds[engine.OPENAI])


# ---- the report


def show(found: Sequence[Row], comparison: SideBySide) -> bool:
    """Print every row, what is worse, and what one checkout does not have. Returns whether nothing is worse or gone."""
    print(f"\nmedians of {comparison.plan.rounds} rounds; load average at the end {machine()['load']}")
    print(f"{'':<46}{OLD:>11}{NEW:>11}{'ratio':>8}{'of rounds':>12}")
    alone = {name: have for name in UNITS if len(have := comparison.figures.get(name, {})) == 1}
    for name, unit in UNITS.items():
        row = next((row for row in found if row.name == name), None)
        if row is not None:
            spread = f"{row.least:.2f}-{row.most:.2f}"
            mark = "" if row.ratio <= (NO_WORSE.ratio or 1) else "  worse"
            print(f"{f'{name}, {unit}':<46}{row.old:>11,.2f}{row.new:>11,.2f}{row.ratio:>8.3f}{spread:>12}{mark}")
        elif name in alone:
            cells = [f"{median(alone[name][each]):>11,.2f}" if each in alone[name] else f"{'-':>11}" for each in (OLD, NEW)]
            print(f"{f'{name}, {unit}':<46}{''.join(cells)}")
    worse = [row.name for row in found if row.ratio > (NO_WORSE.ratio or 1)]
    print(f"\nworse than 3 %: {', '.join(worse) or 'no row'} (of {len(found)})")
    for (scenario, name), why in comparison.missing.items():
        print(f"not measured: {scenario} of {name}: {why}")
    return not worse and not any(OLD in have for have in alone.values())


def main() -> int:
    scenarios = [*against.SCENARIOS, DECODER, IMPORT, SERVE, CHAT, ENGINE]
    parser = argparse.ArgumentParser(description="All benchmarks of two checkouts, side by side.")
    parser.add_argument("old", type=Path, help="the checkout to compare with")
    parser.add_argument("new", type=Path, nargs="?", default=ROOT, help="the checkout to judge; this one by default")
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--rounds", type=int, help="5 by default")
    parser.add_argument("--only", default="", help=f"a comma between them: {', '.join(scenarios)}")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    options = parser.parse_args()
    only = frozenset(options.only.split(",")) - {""}
    if unknown := only - set(scenarios):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(scenarios)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then too
    sources = {OLD: options.old.resolve() / "src", NEW: options.new.resolve() / "src"}
    for source in sources.values():
        check_source(source)
    upstream = Upstream()
    try:
        comparison = SideBySide(
            sources, Plan(options.quick, options.rounds or (3 if options.quick else 5), only, False), upstream
        )
        comparison.measure()
    finally:
        upstream.close()
    found = rows(comparison.figures, UNITS)
    is_kept = show(found, comparison)
    if options.json is not None:
        table = [row._asdict() | {"goal": row.goal._asdict()} for row in found]
        missing = [[*where, why] for where, why in comparison.missing.items()]
        document = {
            "machine": machine(),
            "units": UNITS,
            "rows": table,
            "missing": missing,
            "figures": comparison.figures,
        }
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
