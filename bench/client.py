"""What our clients cost a caller, beside aiohttp reading the same bytes with nothing parsed, and beside peers.

    python bench/client.py [--quick] [--only small,one,burst,paced] [--rounds N] [--peers] [--json FILE]

A caller is a process of its own on a core of its own; the figures are its CPU. One event's cost is what a long stream costs
more than a stream of one event does. All answers are compared to the byte. Exits 1 when a guard is missed.

    small   a request without streaming           one     a stream of one event
    burst   streams of 2,000 events at once       paced   200 streams at once, each event in a write of its own
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from measure import BENCH, SUBJECT_CORE, Figures, Goal, Plan, finish, log_file, note, plan, progress, start, stop
from servers import ENVIRONMENTS
from traffic import Upstream, WrongAnswerError

SCENARIOS = ["small", "one", "burst", "paced"]
UNITS = {"small": "µs a request", "one": "µs a stream", "burst": "µs an event", "paced": "µs an event"}

OURS, OPENAI = "AutonomousAI", "OpenAICompatible"
BARE = "aiohttp"

#: The bounds of quick runs for small requests are what those cost now, with room: they are to follow it down.
GOALS = [
    # What is kept: half as much again as was measured.
    *(Goal("burst", ours, 2.5, BARE, quick=3.5) for ours in (OURS, OPENAI)),
    *(Goal("paced", ours, 2.5, BARE, quick=3) for ours in (OURS, OPENAI)),
    Goal("small", OURS, 2, BARE, quick=2.6),
    Goal("small", OPENAI, 0.8, BARE, quick=1.2),
    # What is wanted.
    *(Goal("burst", ours, 1.7, BARE, guard=False) for ours in (OURS, OPENAI)),
    *(Goal("paced", ours, 1.25, BARE, guard=False) for ours in (OURS, OPENAI)),
    *(Goal("small", ours, 1.3, BARE, guard=False) for ours in (OURS, OPENAI)),
    Goal("burst", OPENAI, 1 / 50, "openai", guard=False),
    Goal("burst", OPENAI, 1 / 150, "LiteLLM", guard=False),
    Goal("paced", OPENAI, 1 / 8, "openai", guard=False),
    Goal("small", OPENAI, 1 / 7, "openai", guard=False),
]

BURST_EVENTS = 2000
PACED_STREAMS, PACED_EVENTS, PACED_MS = 200, 80, 20


class Kind(NamedTuple):
    """``python``: of which environment; ``words``: the caller's file and what follows; ``slowness``: how many times fewer
    requests it gets, so that its rounds end; ``pause``: how many times longer the pauses of its paced streams are, so that it
    can follow; ``source``: where its package is imported from, if not from where it is installed."""

    python: str
    words: tuple[str, ...]
    slowness: int = 1
    pause: int = 1
    source: Path | None = None


CALLERS = {
    OURS: Kind(sys.executable, ("ours.py",)),
    OPENAI: Kind(sys.executable, ("ours.py", "openai")),
    BARE: Kind(sys.executable, ("bare_aiohttp.py",)),
}
PEERS = {
    "openai": Kind(f"{ENVIRONMENTS}/openai/bin/python", ("openai_sdk.py",), slowness=8, pause=4),
    "any-llm": Kind(f"{ENVIRONMENTS}/any-llm/bin/python", ("any_llm_sdk.py",), slowness=8, pause=4),
    "LiteLLM": Kind(f"{ENVIRONMENTS}/litellm/bin/python", ("litellm_sdk.py",), slowness=20, pause=8),
}


class Asked(Protocol):
    """What the callers ask: an `Upstream`, or what stands for it."""

    url: str
    text: str
    stream: bytes
    document: bytes


class Caller:
    """One of them, waiting for orders; *before*: words of the command before it. Raises `OSError` or `RuntimeError` where it
    cannot be started."""

    def __init__(self, name: str, kind: Kind, upstream: Asked, before: Sequence[str] = ()) -> None:
        self.name = name
        self.kind = kind
        self._upstream = upstream
        file, *more = kind.words
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it looks for it on the web
        if kind.source is not None:
            environment["PYTHONPATH"] = str(kind.source)
        with log_file(name) as log:
            self._process = start(
                [*before, kind.python, BENCH / "callers" / file, upstream.url, *more],
                SUBJECT_CORE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        if not self._line().startswith("ready"):
            self.close()
            raise RuntimeError(f"it does not start; see .bench/{name}.log")

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def micros(self, *, requests: int, concurrency: int = 1, stream: bool = True) -> float:
        """CPU of one request."""
        return float(self.order(requests=requests, concurrency=concurrency, stream=stream)["cpu"]) / requests * 1e6

    def order(self, *, requests: int, concurrency: int = 1, stream: bool = True, calls: bool = False) -> dict[str, Any]:
        """Have it ask so many requests, and return what it tells of them. Raises `WrongAnswerError`."""
        assert self._process.stdin is not None
        order = {
            "requests": requests,
            "concurrency": concurrency,
            "stream": stream,
            "calls": calls,
            "text": self._upstream.text,
        }
        order["bodies"] = [self._upstream.stream.decode(), self._upstream.document.decode()]
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._line()
        if not line:
            raise WrongAnswerError(f"{self.name} has died; see .bench/{self.name}.log")
        told: dict[str, Any] = json.loads(line)
        if told["wrong"] or told["answers"] != requests:
            raise WrongAnswerError(f"{self.name}: {told['answers']} of {requests} answers; {told['wrong']}")
        return told

    def close(self) -> None:
        stop(self._process)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Bench:
    """The figures, and how each scenario makes one."""

    def __init__(self, plan: Plan, upstream: Upstream) -> None:
        self.plan = plan
        self.upstream = upstream
        self.figures: Figures = {}
        self.one: dict[str, float] = {}  # by caller: a stream of one event, in this round

    def count(self, caller: Caller, number: int) -> int:
        return max(self.plan.count(number) // caller.kind.slowness, 2)

    def small(self, caller: Caller) -> None:
        micros = caller.micros(requests=self.count(caller, 2000), concurrency=4, stream=False)
        note(self.figures, "small", caller.name, micros)

    def measure_one(self, caller: Caller) -> None:
        self.one[caller.name] = caller.micros(requests=self.count(caller, 2000), concurrency=4)
        note(self.figures, "one", caller.name, self.one[caller.name])

    def burst(self, caller: Caller) -> None:
        micros = caller.micros(requests=self.count(caller, 100))
        note(self.figures, "burst", caller.name, (micros - self.one[caller.name]) / (BURST_EVENTS - 1))

    def paced(self, caller: Caller) -> None:
        micros = caller.micros(requests=PACED_STREAMS, concurrency=PACED_STREAMS)
        note(self.figures, "paced", caller.name, (micros - self.one[caller.name]) / (self.upstream.events - 1))


def paced_events(pause: int) -> int:
    """Who has longer pauses gets fewer events."""
    return PACED_EVENTS if pause == 1 else PACED_EVENTS // 4


def start_callers(plan: Plan, upstream: Upstream, stack: ExitStack) -> list[Caller]:
    """All that can be started; a peer that cannot is named."""
    callers = []
    for name, kind in {**CALLERS, **(PEERS if plan.peers else {})}.items():
        try:
            caller = Caller(name, kind, upstream)
        except (OSError, RuntimeError) as error:
            if name in CALLERS:
                raise SystemExit(f"{name} cannot be started: {error}") from None
            print(f"{name} is left out: {error}", flush=True)
            continue
        stack.callback(caller.close)
        callers.append(caller)
    return callers


def measure(bench: Bench, callers: list[Caller], rounds: int) -> None:
    """The rounds: in each, every scenario for every caller in turn."""
    steps: list[tuple[str, int, int, Callable[[Caller], None]]] = [
        ("small", 1, 0, bench.small),
        ("one", 1, 0, bench.measure_one),
        ("burst", BURST_EVENTS, 0, bench.burst),
        ("paced", PACED_EVENTS, PACED_MS, bench.paced),
    ]
    needed = {"burst", "paced"} & bench.plan.only
    for number in range(rounds):
        for name, events, interval_ms, step in steps:
            if not bench.plan.has(name) and not (name == "one" and needed):
                continue
            for caller in callers:
                count = paced_events(caller.kind.pause) if name == "paced" else events
                bench.upstream.answers(count, interval_ms=interval_ms * caller.kind.pause)
                progress(f"round {number + 1} of {rounds}: {name}: {caller.name}")
                step(caller)


def main() -> int:
    options, path = plan("CPU of our clients, beside bare aiohttp.", SCENARIOS)
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        bench = Bench(options, upstream)
        measure(bench, start_callers(options, upstream, stack), options.rounds)
        return finish("client", bench.figures, UNITS, GOALS, options, path)


if __name__ == "__main__":
    sys.exit(main())
