"""What a start costs: an import, `autonomousai serve` until it listens, a cold `autonomousai chat` until its first word.

    python bench/startup.py [--quick] [--only import,serve,chat] [--rounds N] [--peers] [--json FILE]

An import's figure is CPU over that of a bare interpreter, which is measured in the same round. The two commands are timed by
the clock as their user would, with the weights present, so they tell of this machine, now.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measure import CORES, Figures, Goal, Plan, cpu_of, finish, log_file, note, plan, progress, start, stop
from servers import ENVIRONMENTS, OURS, SERVERS, free_port
from traffic import Upstream

SCENARIOS = ["import", "serve", "chat"]
UNITS = {"import": "ms of CPU", "serve": "ms till it listens", "chat": "ms till the first word"}

BARE = "interpreter"

IMPORTS = {
    BARE: (sys.executable, "pass"),
    OURS: (sys.executable, "from autonomousai import AutonomousAI"),
    "aiohttp": (sys.executable, "import aiohttp"),
}
PEERS = {
    "openai": (f"{ENVIRONMENTS}/openai/bin/python", "from openai import AsyncOpenAI"),
    "any-llm": (f"{ENVIRONMENTS}/any-llm/bin/python", "from any_llm import acompletion"),
    "LiteLLM": (f"{ENVIRONMENTS}/litellm/bin/python", "from litellm import acompletion"),
}

GOALS = [
    Goal("import", OURS, 100, guard=False),
    Goal("import", OURS, 1 / 6, "openai", guard=False),
]


def imports(figures: Figures, plan: Plan) -> None:
    """One round. The first import of each, which writes bytecode, is not counted."""
    known = {**IMPORTS, **(PEERS if plan.peers else {})}
    bare = 0.0
    for name, (python, statement) in known.items():
        if not Path(python).exists():
            continue
        progress(f"import: {name}")
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        spent = cpu_of([python, "-c", statement], env=environment) * 1000
        bare = spent if name == BARE else bare
        note(figures, "import", name, spent if name == BARE else spent - bare)


def until_first_byte(command: Sequence[str | Path], log: str) -> float:
    """Milliseconds until a command's standard output brings something; then it is ended."""
    with log_file(log) as errors:
        began = time.perf_counter()
        process = start(command, CORES, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1)
        spent = time.perf_counter() - began
        stop(process)
    if not first:
        raise SystemExit(f"{' '.join(map(str, command))} said nothing; see .bench/{log}.log")
    return spent * 1000


def main() -> int:
    options, path = plan("What a start costs.", SCENARIOS)
    figures: Figures = {}
    upstream = Upstream()
    try:
        if options.has("import"):
            imports({}, options)
        for _ in range(options.rounds):
            if options.has("import"):
                imports(figures, options)
            if options.has("serve"):
                progress("serve")
                with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                    command = SERVERS[OURS].command(upstream.url, free_port(), Path(folder))
                    note(figures, "serve", OURS, until_first_byte(command, "serve"))
            if options.has("chat"):
                progress("chat")
                command = [sys.executable, "-m", "autonomousai", "chat", "--temperature", "0", "Say hello."]
                note(figures, "chat", OURS, until_first_byte(command, "chat"))
    finally:
        upstream.close()
    return finish("startup", figures, UNITS, GOALS, options, path)


if __name__ == "__main__":
    sys.exit(main())
