"""Three turns of one long conversation: what the first token of each costs, through our server, at its engine, and at
llama.cpp's own server with its cache, all in one run.

Each round has a conversation of its own at each place, so that nothing of it is known from before. ``turn: CPU`` is the time
that the engine's process spends until the first token: it wavers less with what else the machine does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from measure import (
    BENCH,
    CORES,
    Figures,
    Goal,
    Plan,
    cpu_alone,
    family,
    log_file,
    note,
    progress,
    resident,
    rounds_within,
    start,
    stop,
)

from autonomousai.engine.weights import weights_path
from autonomousai.models import DEFAULT_WEIGHTS

OURS, DIRECT, LLAMA = "OpenAI wire", "the engine", "llama-server"

TURNS: Final = ("turn 1", "turn 2", "turn 3")

SCENARIO: Final = "turns"
TURNS_UNITS: Final = {
    **dict.fromkeys(TURNS, "ms to its first token"),
    **{f"{turn}: CPU": "ms of the engine" for turn in TURNS},
    "load": "s from the command to an answer",
    "memory": "MB of the engine",
}

#: Of llama.cpp's own, in the same run.
TURNS_GOALS: Final = [
    *(Goal(f"{turn}: CPU", OURS, 1.3, LLAMA) for turn in TURNS[1:]),
    *(Goal(turn, OURS, 1.3, LLAMA, guard=False) for turn in TURNS[1:]),
]

#: Sentences of about eleven tokens, and how many make the conversation's beginning 2,000 tokens long.
_SENTENCES: Final = 170
_CONTEXT: Final = 4096


class Server(NamedTuple):
    """A place that is asked over OpenAI's wire: a Unix socket or a port, and the process that generates."""

    socket: str | None
    port: int
    engine: int
    fields: dict[str, Any]
    headers: dict[str, str]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=600)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def measure_turns(servers: dict[str, Server], figures: Figures, plan: Plan, seconds: float) -> None:
    """Three turns at each of *servers*, in another order each round; rounds that take so many *seconds* in all."""
    names = list(servers)
    sentences = _SENTENCES // 8 if plan.quick else _SENTENCES
    for number in rounds_within(plan, seconds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            progress(f"turns, round {number + 1} of {plan.rounds}: {name}")
            opening = " ".join(f"In round {number} at {name} the town {place} has a mill." for place in range(sentences))
            messages = [{"role": "user", "content": f"{opening} What do they have?"}]
            for turn, question in zip(TURNS, ("", "Why?", "And then?"), strict=True):
                if question:
                    messages.append({"role": "user", "content": question})
                first, spent, text = _first_token(servers[name], messages)
                note(figures, turn, name, first * 1000)
                note(figures, f"{turn}: CPU", name, spent * 1000)
                messages.append({"role": "assistant", "content": text})
    for name, server in servers.items():
        note(figures, "memory", name, resident(server.engine) / 1e6)


def _first_token(server: Server, messages: list[dict[str, str]]) -> tuple[float, float, str]:
    """Ask; return the seconds until the first token, those of CPU that the engine spent until then, and the whole text."""
    connection = (
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        if server.socket is None
        else _UnixConnection(server.socket)
    )
    body = {"messages": messages, "stream": True, "max_tokens": 16, "temperature": 0, **server.fields}
    before, began = cpu_alone(server.engine), time.monotonic()
    first = spent = 0.0
    texts: list[str] = []
    with contextlib.closing(connection):
        headers = {"content-type": "application/json", **server.headers}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise SystemExit(f"{response.status} {response.read().decode()}")
        for line in response:
            if line.startswith(b"data: {") and (text := _text(json.loads(line[6:]))):
                if not texts:
                    first, spent = time.monotonic() - began, cpu_alone(server.engine) - before
                texts.append(text)
    return first, spent, "".join(texts)


def _text(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


@contextlib.contextmanager
def llama_server(folder: Path, slots: int, figures: Figures) -> Iterator[Server]:
    """llama.cpp's own server, while it is needed; how long it took to load is noted."""
    path = folder / "llama.sock"
    command = [sys.executable, BENCH / "llama_server.py", weights_path(DEFAULT_WEIGHTS), path, str(slots), str(_CONTEXT)]
    began = time.monotonic()
    with log_file("llama_server") as log:
        process = start(command, CORES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        if not process.stdout.readline().startswith("listening"):
            raise SystemExit("llama.cpp's server does not start; see .bench/llama_server.log")
        note(figures, "load", LLAMA, time.monotonic() - began)
        yield Server(str(path), 0, family(process.pid)[-1], {}, {})
    finally:
        stop(process)
