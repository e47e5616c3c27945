"""Ray Serve on this machine, with two servers and two engines: one of each is killed in mid-answer. Run by `test_ray`, in an
environment of its own; prints what came as a line of JSON.

    python on_ray.py CONFIG PORT
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import ray
from ray import serve

from autonomousai import AutonomousAI
from autonomousai.ray import build

MODEL, MESSAGES = "llama", [{"role": "user", "content": "Tell me a long story about a lighthouse and its keeper."}]
FIELDS: dict[str, Any] = {"max_tokens": 160, "temperature": 0, "seed": 7}

#: Pieces of an answer after which something is killed.
AFTER = 20


def replicas(name: str) -> list[psutil.Process]:
    """The processes of a deployment's replicas."""
    title = f"ray::ServeReplica:default:{name}"
    return [process for process in psutil.process_iter(["name", "cmdline"]) if title in " ".join(process.info["cmdline"] or ())]


def work_of(process: psutil.Process) -> float:
    """The seconds of CPU time that a process and its children have had."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def busiest(name: str, before: dict[int, float]) -> psutil.Process:
    """The replica that has worked most since then."""
    return max(replicas(name), key=lambda process: work_of(process) - before.get(process.pid, 0))


async def stream(client: AutonomousAI, kill: Callable[[dict[int, float]], int | None], name: str) -> dict[str, Any]:
    """Read an answer, and kill what *kill* says after some pieces of it."""
    before = {process.pid: work_of(process) for process in replicas(name)}
    began, killed, gap, last, pieces = time.monotonic(), None, 0.0, 0.0, []
    result = client.create_async_generator(MODEL, MESSAGES, stream=True, **FIELDS)
    async for piece in result:
        if not isinstance(piece, str):
            continue
        now = time.monotonic()
        gap = max(gap, now - last) if killed is not None else 0.0
        last = now
        pieces.append(piece)
        if len(pieces) == AFTER:
            killed = kill(before)
    report = result.report
    return {
        "text": "".join(pieces),
        "killed": killed,
        "seconds": round(time.monotonic() - began, 1),
        "longest_silence": round(gap, 1),
        "attempts": [] if report is None else [attempt.outcome for attempt in report.attempts],
        "splices": 0 if report is None else len(report.splices),
    }


def kill(process: psutil.Process) -> int:
    os.kill(process.pid, signal.SIGKILL)
    return int(process.pid)


async def main(config: str, port: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=6, include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    began = time.monotonic()
    serve.run(build({"config": config, "replicas": 2, "engine_replicas": 2}))
    told: dict[str, Any] = {"started": round(time.monotonic() - began, 1)}
    async with AutonomousAI(f"http://127.0.0.1:{port}") as client:
        told["whole"] = await stream(client, lambda before: None, "engine-embedded")
        told["engine"] = await stream(client, lambda before: kill(busiest("engine-embedded", before)), "engine-embedded")
        told["server"] = await stream(client, lambda before: kill(busiest("autonomousai", before)), "autonomousai")
        told["after"] = await stream(client, lambda before: None, "autonomousai")
    print(json.dumps(told), flush=True)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
