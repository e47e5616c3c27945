"""What our server costs in front of an OpenAI-compatible upstream, beside a bare pipe on uvicorn, and beside peers.

    python bench/server.py [--quick] [--only small,one,burst,paced,first,crowd,workers] [--rounds N] [--peers] [--json FILE]

The server under test has a core of its own; the figures are its CPU. One event's cost is what a long stream costs more than a
stream of one event does. All answers are compared to the byte. Exits 1 when a guard is missed.

    small    a request without streaming, 32 at once                      one     a stream of one event, 32 at once
    burst    streams of 1,000 events that come all at once, 4 at a time   paced   200 streams, each event in a write of its own
    first    a lone request's first event, later than from the upstream   workers requests a second with --workers 2
    crowd    2,000 streams paced at 25 ms: stalls, the first event of the last ones, memory
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from measure import CORES, Figures, Goal, Plan, cpu, finish, note, plan, progress, resident, stop
from servers import OURS, PEERS, PIPE, SERVERS, Kind, Server
from traffic import Load, Upstream, WrongAnswerError

SCENARIOS = ["small", "one", "burst", "paced", "first", "crowd", "workers"]

UNITS = {
    "small": "µs a request",
    "one": "µs a stream",
    "burst": "µs an event",
    "paced": "µs an event",
    "first": "µs later",
    "crowd: stall": "ms at worst",
    "crowd: first": "ms, 99 of 100",
    "crowd: memory": "kB a stream",
    "small: rate": "requests a second",
    "workers": "requests a second",
}

#: The guards stand for the goals in microseconds below them, by what the pipe costs on the machine where those were set. The
#: bounds of quick runs are what the server costs now, with room, as other work runs beside them in CI.
GOALS = [
    # What is kept: half as much again as was measured.
    Goal("small", OURS, 1.5, PIPE, quick=2),
    Goal("burst", OURS, 1.6, PIPE, quick=2.5),
    Goal("paced", OURS, 1.4, PIPE, quick=2),
    # What is wanted.
    Goal("small", OURS, 0.68, PIPE, guard=False),
    Goal("burst", OURS, 1.25, PIPE, guard=False),
    Goal("paced", OURS, 0.68, PIPE, guard=False),
    Goal("small", OURS, 70, guard=False),
    Goal("burst", OURS, 3, guard=False),
    Goal("small", OURS, 1, "sglang-router", guard=False),
    Goal("small", OURS, 1 / 150, "litellm", guard=False),
    Goal("burst", OURS, 1, "sglang-router", guard=False),
    Goal("burst", OURS, 1, "vllm-router", guard=False),
    Goal("burst", OURS, 1 / 200, "litellm", guard=False),
    Goal("paced", OURS, 1.6, "nginx", guard=False),
    Goal("paced", OURS, 1, "sglang-router", guard=False),
    Goal("first", OURS, 2.5, "nginx", guard=False),
    Goal("crowd: stall", OURS, 250, guard=False),
    Goal("crowd: memory", OURS, 30, guard=False),
    Goal("workers", "1 worker", 1 / 1.7, "2 workers", guard=False),
]

BURST_EVENTS = 1000
PACED_STREAMS, PACED_EVENTS, PACED_MS = 200, 80, 20
CROWD_STREAMS, CROWD_EVENTS, CROWD_MS = 2000, 160, 25


class Spent(NamedTuple):
    """What one run of load cost the server, in microseconds of CPU, and how it went."""

    micros: float
    load: Load


class Bench:
    """One upstream, the servers before it, and the figures."""

    def __init__(self, plan: Plan, upstream: Upstream) -> None:
        self.plan = plan
        self.upstream = upstream
        self.figures: Figures = {}
        self.empty: dict[str, int] = {}  # by server: bytes resident before the first crowd; an allocator gives little back
        self.one: dict[str, float] = {}  # by server: a stream of one event, in this round
        self.failed: set[str] = set()  # peers that could not stream an answer: what they cost says nothing

    def spend(
        self,
        server: Server,
        *,
        requests: int,
        concurrency: int,
        stream: bool,
        ramp_ms: int = 0,
        headers: Sequence[str] = (),
    ) -> Spent:
        before = cpu(server.pid)
        load = self.upstream.load(
            server.port,
            requests=requests,
            concurrency=concurrency,
            stream=stream,
            ramp_ms=ramp_ms,
            headers=(*server.headers, *headers),
        )
        return Spent((cpu(server.pid) - before) * 1e6, load)

    def attempt(self, name: str, server: Server, step: Callable[[Server], None]) -> None:
        """Run *step*; a peer whose answers are wrong is named, and left out from there on. Wrong answers of ours raise."""
        if server.name in self.failed:
            return
        try:
            step(server)
        except WrongAnswerError as error:
            if server.name in SERVERS:
                raise
            self.failed.add(server.name)
            stop(server.process)  # it may have left streams open at the upstream
            print(f"{server.name} is left out from {name!r} on: {error}", flush=True)

    def count(self, server: Server, number: int, at_least: int = 1) -> int:
        return max(self.plan.count(number) // server.kind.slowness, at_least)

    def small(self, server: Server) -> None:
        requests = self.count(server, 4000, 50)
        spent = self.spend(server, requests=requests, concurrency=32, stream=False)
        note(self.figures, "small", server.name, spent.micros / requests)
        note(self.figures, "small: rate", server.name, spent.load.rate)

    def measure_one(self, server: Server) -> None:
        requests = self.count(server, 3000, 50)
        spent = self.spend(server, requests=requests, concurrency=32, stream=True)
        self.one[server.name] = spent.micros / requests
        note(self.figures, "one", server.name, self.one[server.name])

    def burst(self, server: Server) -> None:
        streams = self.count(server, 100, 4)
        spent = self.spend(server, requests=streams, concurrency=4, stream=True)
        note(self.figures, "burst", server.name, (spent.micros / streams - self.one[server.name]) / (BURST_EVENTS - 1))

    def paced(self, server: Server) -> None:
        streams = PACED_STREAMS // (4 if self.plan.quick else 1)
        spent = self.spend(server, requests=streams, concurrency=streams, stream=True)
        note(self.figures, "paced", server.name, (spent.micros / streams - self.one[server.name]) / (self.upstream.events - 1))

    def first(self, server: Server) -> None:
        requests = self.count(server, 500, 50)
        direct = self.upstream.load(requests=500, concurrency=1, stream=True).first
        through = self.spend(server, requests=requests, concurrency=1, stream=True).load.first
        note(self.figures, "first", server.name, through - direct)

    def crowd(self, server: Server) -> None:
        streams = self.count(server, CROWD_STREAMS, 50)
        before = self.empty.setdefault(server.name, resident(server.pid))
        with watching(lambda: resident(server.pid)) as seen:
            load = self.spend(server, requests=streams, concurrency=streams, stream=True, ramp_ms=1000).load
        note(self.figures, "crowd: stall", server.name, load.gap / 1000)
        note(self.figures, "crowd: first", server.name, load.first_p99 / 1000)
        note(self.figures, "crowd: memory", server.name, (max(seen) - before) / streams / 1000)

    def workers(self) -> None:
        """Requests a second of one worker and of two, which may use all cores but those that the load needs."""
        spare = CORES[:-2]
        if len(spare) < 2:
            print(
                f"workers: {len(CORES)} cores leave none beside two workers for the load and the upstream: it says little here"
            )
        cores = spare if len(spare) >= 2 else CORES
        self.upstream.answers(1)
        with ExitStack() as stack:
            servers = []
            for workers in (1, 2):
                try:
                    extra = ("--workers", str(workers)) if workers > 1 else ()
                    name = f"{workers} worker{'s' if workers > 1 else ''}"
                    server = Server(name, WORKERS, self.upstream.url, *extra, cores=cores)
                except RuntimeError as error:
                    print(f"workers: {workers} are not there yet ({error})")
                    return
                stack.callback(server.close)
                servers.append(server)
            for _ in range(min(self.plan.rounds, 3)):
                for server in servers:
                    load = self.upstream.load(server.port, requests=self.plan.count(8000), concurrency=64, stream=False)
                    note(self.figures, "workers", server.name, load.rate)


def _with_state(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
    """Two workers need a place to share what outlives a connection."""
    command = SERVERS[OURS].command(upstream, port, folder)
    config = folder / "config.toml"
    state = f'[server]\nstate = "sqlite:{folder}/state.db"\n'
    config.write_text(config.read_text(encoding="utf-8").replace("[server]\n", state), encoding="utf-8")
    return command


WORKERS = Kind(_with_state)


@contextmanager
def watching(look: Callable[[], int]) -> Iterator[list[int]]:
    """Look ten times a second."""
    seen = [look()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            seen.append(look())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def show_limits(upstream: Upstream, plan: Plan) -> None:
    """The upstream and the load generator, driven by one another alone: they must be far quicker than what is measured."""
    upstream.answers(1)
    load = upstream.load(requests=plan.count(20000), concurrency=32, stream=False)
    print("no limit: with no server between the load generator and the upstream")
    print(f"  {load.rate:,.0f} requests a second, for {load.cpu / load.requests * 1e6:.1f} µs of the load generator's CPU each")
    if plan.quick:
        return
    count = CROWD_EVENTS // 4
    upstream.answers(count, interval_ms=CROWD_MS)
    before = upstream.stats()["cpu_us"]
    load = upstream.load(requests=CROWD_STREAMS, concurrency=CROWD_STREAMS, stream=True, ramp_ms=1000)
    stats = upstream.stats()
    events = CROWD_STREAMS * count
    print(
        f"  {CROWD_STREAMS:,} streams paced at {CROWD_MS} ms: {(stats['cpu_us'] - before) / events:.1f} µs of the upstream's",
        end="",
    )
    print(f" and {load.cpu / events * 1e6:.1f} µs of the load generator's CPU an event; at worst a gap of", end="")
    print(f" {load.gap / 1000:.0f} ms, and the timer {stats['late_us'] / 1000:.0f} ms late", flush=True)


def start_servers(plan: Plan, upstream: Upstream, stack: ExitStack) -> list[Server]:
    """All that can be started; a peer that cannot is named."""
    upstream.answers(1)
    servers = []
    for name, kind in {**SERVERS, **(PEERS if plan.peers else {})}.items():
        try:
            server = Server(name, kind, upstream.url)
        except RuntimeError as error:
            if name in SERVERS:
                raise SystemExit(f"{name} cannot be started: {error}") from None
            print(f"{name} is left out: {error}", flush=True)
            continue
        stack.callback(server.close)
        servers.append(server)
    return servers


def measure(bench: Bench, servers: list[Server]) -> None:
    """The rounds: in each, every scenario for every server in turn."""
    streaming = [server for server in servers if not server.kind.small_only]
    steps: list[tuple[str, int, int, list[Server], Callable[[Server], None]]] = [
        ("small", 1, 0, servers, bench.small),
        ("one", 1, 0, streaming, bench.measure_one),
        ("burst", BURST_EVENTS, 0, streaming, bench.burst),
        ("paced", PACED_EVENTS, PACED_MS, streaming, bench.paced),
        ("first", 1, 0, streaming, bench.first),
    ]
    needed = {"burst", "paced"} & bench.plan.only
    for number in range(bench.plan.rounds):
        for name, events, interval_ms, subjects, step in steps:
            if not bench.plan.has(name) and not (name == "one" and needed):
                continue
            for server in subjects:
                slow = name == "paced" and server.kind.pause > 1  # and gets fewer events
                bench.upstream.answers(events // 4 if slow else events, interval_ms=interval_ms * server.kind.pause)
                progress(f"round {number + 1} of {bench.plan.rounds}: {name}: {server.name}")
                bench.attempt(name, server, step)
    if bench.plan.has("crowd"):
        for number in range(1 if bench.plan.quick else 2):
            for server in streaming:
                if number and server.name == PIPE:
                    continue  # it takes half a minute to let 2,000 callers in
                events = CROWD_EVENTS // 4 if bench.plan.quick else CROWD_EVENTS
                bench.upstream.answers(events, interval_ms=CROWD_MS * min(server.kind.pause, 4))
                progress(f"crowd: {server.name}")
                bench.attempt("crowd", server, bench.crowd)


def main() -> int:
    options, path = plan("CPU of our server, beside a bare pipe.", SCENARIOS)
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        show_limits(upstream, options)
        bench = Bench(options, upstream)
        measure(bench, start_servers(options, upstream, stack))
        if options.has("workers"):
            bench.workers()
        return finish("server", bench.figures, UNITS, GOALS, options, path)


if __name__ == "__main__":
    sys.exit(main())
