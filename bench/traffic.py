"""The upstream and the load: what is asked, what must come back, and the proof that neither is the limit.

Knows the two C programs, and believes neither: the text that the load generator expects is read from the upstream's own answer
by Python's json.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measure import OTHER_CORES, built, start, stop

#: Seconds that streams which nobody reads any more may take to end.
PATIENCE = 10

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello! Tell me of the fox, and of the lazy dog."},
]


class Load(NamedTuple):
    """One run of the load generator: seconds, counts, and latencies in microseconds."""

    requests: int
    wall: float
    cpu: float
    first: float
    first_p99: float
    gap: float
    texts: int

    @property
    def rate(self) -> float:
        return self.requests / self.wall


class WrongAnswerError(Exception):
    """An answer was not, byte for byte, what the upstream had sent."""


class Upstream:
    """The upstream of everything that is measured here. ``text`` is its answer just now; ``stream`` and ``document`` are the
    bodies that it comes in."""

    def __init__(self) -> None:
        self.process = start([built("upstream")], OTHER_CORES, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self.text = ""
        self.stream = self.document = b""
        self.events = 0
        self.prompt = 0  # characters by which the load's prompt is longer
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.answers(1)

    def answers(self, events: int, *, interval_ms: int = 0) -> None:
        """From now on an answer has *events* words: all at once, or one each *interval_ms*."""
        if self.events != events:
            self._get(f"/set?events={events}&interval_ms=0")
            self.stream = self._post(stream=True)
            lines = [line[6:] for line in self.stream.decode().split("\n") if line.startswith("data: {")]
            self.text = "".join(json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines)
            self.document = self._post(stream=False)
            if json.loads(self.document)["choices"][0]["message"]["content"] != self.text:
                raise WrongAnswerError("the upstream's document and its stream differ")
            self.events = events
        self._get(f"/set?events={events}&interval_ms={interval_ms}")

    def stats(self) -> dict[str, int]:
        """Its counters since `answers`: requests, events, cpu_us, and late_us: by how much its timer came late, at worst."""
        stats: dict[str, int] = json.loads(self._get("/stats"))
        return stats

    def load(
        self,
        port: int | None = None,
        *,
        requests: int,
        concurrency: int,
        stream: bool,
        ramp_ms: int = 0,
        path: str = "/v1/chat/completions",
        model: str = "bench",
        headers: Sequence[str] = (),
    ) -> Load:
        """Ask the server on *port* (without one: the upstream itself), and compare each answer with the one that is set."""
        folder = Path(self._folder.name)
        messages = [*MESSAGES, {"role": "user", "content": ("fox " * self.prompt)[: self.prompt]}] if self.prompt else MESSAGES
        (folder / "body").write_text(json.dumps({"model": model, "messages": messages, "stream": stream}), encoding="utf-8")
        (folder / "text").write_text(self.text, encoding="utf-8")
        command: list[str | Path] = [built("load"), "--port", str(port or self.port), "--path", path]
        command += ["--body", folder / "body", "--text", folder / "text"]
        command += ["--requests", str(requests), "--concurrency", str(concurrency), "--ramp", str(ramp_ms)]
        command += [word for header in headers for word in ("--header", header)]
        return run_load([*command, *(["--streams"] if stream else [])])

    def close(self) -> None:
        stop(self.process)
        self._folder.cleanup()

    def _get(self, path: str) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while True:
            with urllib.request.urlopen(self.url + path) as response:
                data: bytes = response.read()
            if b"paced stream open" not in data or time.monotonic() > deadline:
                break
            time.sleep(0.1)  # a caller that was stopped has left one: it ends once that is noticed
        if b'"error"' in data:
            raise ValueError(data.decode())
        return data

    def _post(self, *, stream: bool) -> bytes:
        body = json.dumps({"model": "bench", "messages": MESSAGES, "stream": stream}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + "/v1/chat/completions", body)) as response:
            data: bytes = response.read()
        return data


def run_load(command: Sequence[str | Path]) -> Load:
    """Run the load generator; raises `WrongAnswerError` where an answer is not what it must be."""
    process = start(command, OTHER_CORES, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, complaint = process.communicate()
    if process.returncode not in {0, 1}:
        raise WrongAnswerError(complaint.strip())
    told: dict[str, Any] = json.loads(said)
    if told["wrong"]:
        raise WrongAnswerError(f"{told['wrong']} of {told['wrong'] + told['requests']} answers: {told['complaint']}")
    return Load(
        told["requests"], told["wall_us"] / 1e6, told["cpu_us"] / 1e6, told["first"]["p50"], told["first"]["p99"],
        told["gap_us"], told["texts"],
    )  # fmt: skip
