"""Where the server's microseconds go: a sampler looks at it under load, and a table says which functions were found at work.

    python bench/costs.py [--only small,burst,paced] [--write]

py-spy looks 500 times a second from another process (`bench/peers.py` installs it); a profiler inside would cost more than
what it measures. A function's share is the samples in which it was itself running: what it calls has lines of its own, except
C, which counts for its caller. --write puts the tables into docs/performance.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from measure import OTHER_CORES, cpu, start
from report import PAGE, replace_between
from servers import ENVIRONMENTS, OURS, SERVERS, Server
from traffic import Upstream

#: scenario -> events of an answer, milliseconds between them, requests at once, streams or not
SCENARIOS = {"small": (1, 0, 32, False), "burst": (1000, 0, 4, True), "paced": (40, 20, 200, True)}

SECONDS, RATE = 8, 500

#: Functions in a table.
TOP = 20

#: The least share that is told: a sampler that does not stop what it looks at misreads now and then.
LEAST = 0.004


def place(frame: str) -> str:
    """``function (file)``: what is ours by its path in the package, what is others' by their package."""
    match = re.match(r"(.+) \((.+?)(?::\d+)?\)$", frame)
    if match is None:
        return frame
    file = re.sub(r".*/site-packages/|.*/lib/python3\.\d+/|.*/src/", "", match[2])
    return f"{match[1]} ({file})"


def area(place: str) -> str:
    """A folder of ours, or another's package."""
    file = place.rpartition("(")[2].rstrip(")")
    first, _, rest = file.partition("/")
    return f"{first}/{rest.partition('/')[0]}" if first == "autonomousai" else first


def sample(pid: int) -> Counter[str]:
    """Samples by the function that was running. What waits for events is not at work, and not looked at."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "stacks"
        sampler = ENVIRONMENTS / "profile/bin/py-spy"
        command = [sampler, "record", "--pid", str(pid), "--format", "raw", "--output", file, "--nonblocking"]
        command += ["--rate", str(RATE), "--duration", str(SECONDS)]
        recording = start(command, OTHER_CORES, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, said = recording.communicate()
        if recording.returncode:
            raise SystemExit(f"py-spy: {said.strip()}")
        found: Counter[str] = Counter()
        for line in file.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            found[place(stack.split(";")[-1])] += int(count)
    return found


def measure(upstream: Upstream, server: Server, name: str) -> str:
    """A table of one scenario."""
    events, interval_ms, at_once, stream = SCENARIOS[name]
    upstream.answers(events, interval_ms=interval_ms)
    done = threading.Event()
    served = 0

    def keep_busy() -> None:
        nonlocal served
        while not done.is_set():
            count = at_once if interval_ms else at_once * 20
            served += upstream.load(server.port, requests=count, concurrency=at_once, stream=stream).requests

    load = threading.Thread(target=keep_busy)
    before = cpu(server.pid)
    load.start()
    try:
        found = sample(server.pid)
    finally:
        done.set()
        load.join()
    each = served * (events if stream and events > 1 else 1)
    spent = (cpu(server.pid) - before) / each * 1e6
    total = sum(found.values())
    what = "an event" if stream and events > 1 else "a request"
    areas: Counter[str] = Counter()
    for function, count in found.items():
        areas[area(function)] += count
    head = ["", "| share | µs | where |", "|---:|---:|---|"]
    lines = [f"**{name}**: {spent:.1f} µs {what}"]
    for counts in (areas, found):
        shares = [(where, count / total) for where, count in counts.most_common(TOP) if where and count / total >= LEAST]
        lines += [*head, *(f"| {share:.1%} | {share * spent:.2f} | `{where}` |" for where, share in shares)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Where the server's CPU goes.")
    parser.add_argument("--only", default="", help=f"a comma between them: {', '.join(SCENARIOS)}")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    if not (ENVIRONMENTS / "profile/bin/py-spy").exists():
        raise SystemExit("py-spy is not installed; run: python bench/peers.py")
    upstream = Upstream()
    try:
        server = Server(OURS, SERVERS[OURS], upstream.url)
        try:
            tables = [measure(upstream, server, name) for name in SCENARIOS if name in (options.only or name)]
        finally:
            server.close()
    finally:
        upstream.close()
    print("\n\n".join(tables))
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replace_between(text, "costs", "\n\n".join(tables)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
