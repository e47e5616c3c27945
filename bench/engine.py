"""What our road to the embedded engine costs: time a token through our server, beside the same engine asked past it.

    python bench/engine.py [--quick] [--only first,1,2,4,8,tools,turns] [--rounds N] [--json FILE]

One server, one engine of eight slots. In each round the same question goes to both wires of the server, and directly to the
engine's own HTTP on its Unix socket, as often at once as the scenario's name says. `first`: a lone first token, at best.
`share`: our CPU in percent of the engine's over the same answers, which is what we can take away from it at the most where all
cores are its own; it is steady where the clock wavers by a twentieth. `tools`: see `tools.py`; `turns`: see
`turns.py`. There are no further rounds once they would take longer than three minutes: of the streams, and of the turns. The
weights must be there (`autonomousai pull`).
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from measure import (
    BENCH,
    CORES,
    Figures,
    Goal,
    Plan,
    built,
    cpu_alone,
    family,
    finish,
    log_file,
    note,
    plan,
    progress,
    rounds_within,
    start,
    stop,
)
from servers import free_port
from tools import SCENARIO as TOOLS
from tools import TOOLS_GOALS, TOOLS_UNITS, measure_tools
from traffic import Load, run_load
from turns import DIRECT, LLAMA, TURNS_GOALS, TURNS_UNITS, Server, llama_server, measure_turns
from turns import OURS as OPENAI
from turns import SCENARIO as TURNS

STREAMS = ["1", "2", "4", "8"]
SCENARIOS = ["first", *STREAMS, TOOLS, TURNS]
UNITS = {"first": "ms", "first: later": "ms", **dict.fromkeys(STREAMS, "ms a token"), **TOOLS_UNITS, **TURNS_UNITS}
UNITS |= {f"{name}: share": "% of the engine's CPU" for name in STREAMS}

OURS = "AutonomousAI wire"

#: At most 3 % of the tokens a second, and 5 ms.
GOALS = [
    *(Goal(name, subject, 1 / 0.97, DIRECT, guard=False) for name in STREAMS for subject in (OPENAI, OURS)),
    *(Goal(f"{name}: share", subject, 3) for name in STREAMS for subject in (OPENAI, OURS)),
    *(Goal("first: later", subject, 5, guard=False) for subject in (OPENAI, OURS)),
    *TOOLS_GOALS,
    *TURNS_GOALS,
]

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Tell a long story of a fox and a lazy dog who travel around the world."},
]
#: A first token comes after its prompt, whose time wavers by a tenth: the shorter, the less.
SHORT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]

SLOTS = 8

#: Seconds that rounds may take in all.
ROUNDS_S = 180
PATIENCE = 60


class Spent(NamedTuple):
    """A load, and our CPU and the engine's meanwhile, in seconds."""

    load: Load
    ours: float
    engines: float


class Place(NamedTuple):
    """Where a question goes, and what it looks like there."""

    where: list[str]
    fields: dict[str, Any]


class Engine:
    """The server with its engine, and three places to ask it at. *source*: the package's, with its checkout's script."""

    def __init__(self, folder: Path, source: Path = BENCH.parent / "src") -> None:
        self.folder = folder
        config, told, port = folder / "config.toml", folder / "engine.json", free_port()
        config.write_text(f'[upstreams.embedded]\nkind = "llamacpp"\nslots = {SLOTS}\n', encoding="utf-8")
        began = time.monotonic()
        with log_file("engine") as log:
            script = source.parent / "bench/engine_server.py"
            command = ["/usr/bin/env", f"PYTHONPATH={source}", sys.executable, script, config, str(port), told]
            self.process = start(command, CORES, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        if not self.process.stdout.readline().startswith("listening"):
            raise SystemExit("the server does not start; see .bench/engine.log")
        _await_ready(port)
        self.loaded = time.monotonic() - began
        engine = json.loads(told.read_text(encoding="utf-8"))
        self.places = {
            DIRECT: Place(
                ["--unix", engine["socket"], "--header", f"Authorization: Bearer {engine['api_key']}"],
                {"model": engine["name"], "cache_prompt": False},
            ),
            OPENAI: Place(["--port", str(port)], {"model": "llama"}),
            OURS: Place(["--port", str(port), "--path", "/api/v1/ai/chat"], {"threadId": "llama", "aiAgent": "llama"}),
        }

        child, key = family(self.process.pid)[1], f"Bearer {engine['api_key']}"
        cached = {"model": engine["name"], "cache_prompt": True}
        self.servers = {
            OPENAI: Server(None, port, child, {"model": "llama"}, {}),
            DIRECT: Server(engine["socket"], 0, child, cached, {"authorization": key}),
        }

    def ask(self, place: str, *, tokens: int, at_once: int, requests: int, messages: list[dict[str, str]] = MESSAGES) -> Spent:
        where, fields = self.places[place]
        packed = base64.b64encode(json.dumps(messages).encode()).decode()
        asked = {**fields, "messages": packed if place == OURS else messages}
        body = self.folder / "body"
        body.write_text(json.dumps({**asked, "stream": True, "temperature": 0, "max_tokens": tokens}), encoding="utf-8")
        load = [built("load"), *where, "--body", body, "--streams"]
        before = self._cpu()
        done = run_load([*load, "--concurrency", str(at_once), "--requests", str(requests)])
        ours, engines = (after - earlier for after, earlier in zip(self._cpu(), before, strict=True))
        return Spent(done, ours, engines)

    def _cpu(self) -> tuple[float, float]:
        server, *children = family(self.process.pid)
        return cpu_alone(server), sum(map(cpu_alone, children))


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
        except urllib.error.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the engine does not start; see .bench/engine.log")


def measure(engine: Engine, figures: Figures, plan: Plan) -> None:
    """The places take turns in a different order each round: who asks second finds a warmer machine."""
    tokens = 8 if plan.quick else 16
    for number in rounds_within(plan, ROUNDS_S):
        places = list(engine.places)
        for place in places[number % 3 :] + places[: number % 3]:
            progress(f"round {number + 1} of {plan.rounds}: {place}")
            for name in STREAMS:
                if plan.has(name):
                    spent = engine.ask(place, tokens=tokens, at_once=int(name), requests=int(name))
                    note(figures, name, place, spent.load.wall / spent.load.texts * 1000)
                    if place != DIRECT:
                        note(figures, f"{name}: share", place, spent.ours / spent.engines * 100)
        if plan.has("first"):
            measure_first(engine, figures, plan)


def measure_first(engine: Engine, figures: Figures, plan: Plan) -> None:
    """One request here, one there, and so on; the quickest of each: an engine on a shared machine wavers by far more than what
    is looked for, but always upwards."""
    lone: dict[str, list[float]] = {place: [] for place in engine.places}
    for _ in range(plan.count(16)):
        for place, seen in lone.items():
            seen.append(engine.ask(place, tokens=1, at_once=1, requests=1, messages=SHORT).load.first / 1000)
    for place, seen in lone.items():
        note(figures, "first", place, min(seen))
    for place in (OPENAI, OURS):
        note(figures, "first: later", place, min(lone[place]) - min(lone[DIRECT]))


def main() -> int:
    options, path = plan("What our road to the embedded engine costs.", SCENARIOS, peers=False)
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        engine = Engine(Path(folder))
        try:
            measure(engine, figures, options)
            if options.has(TOOLS):
                measure_tools(engine.servers[OPENAI].port, figures, options)
            if options.has(TURNS):
                note(figures, "load", OPENAI, engine.loaded)
                with llama_server(Path(folder), SLOTS, figures) as other:
                    measure_turns({**engine.servers, LLAMA: other}, figures, options, ROUNDS_S)
        finally:
            stop(engine.process)
    return finish("engine", figures, UNITS, GOALS, options, path)


if __name__ == "__main__":
    sys.exit(main())
