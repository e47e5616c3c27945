"""What our server costs over each served wire in front of a chat completions upstream, beside LiteLLM's proxy on the same.

    python bench/wires.py [--quick] [--only small,burst,paced] [--rounds N] [--peers] [--json FILE]

The figures are the server's CPU, as in bench/server.py. The load comes from threads here, whose own cost does not count, and
compares the text of each answer. A subject is a server and a wire: "ours: chat", "litellm: responses". What an event costs is
what a long stream costs more than a stream of one event does. bench/instructions.py has the guards of the wires.

    small    a request without streaming      burst    a stream whose events come all at once      paced    20 ms between them
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from measure import Figures, Goal, Plan, cpu, finish, note, plan, progress
from servers import OURS, PEERS, SERVERS, Server, litellm
from traffic import MESSAGES, Upstream, WrongAnswerError

SCENARIOS = ["small", "burst", "paced"]
UNITS = {"small": "µs a request", "burst": "µs an event", "paced": "µs an event"}

LITELLM = "litellm"
EVENTS, PACED_EVENTS, PACED_MS = 200, 40, 20


class AskedWire(NamedTuple):
    """How a wire is asked. ``document``: the text of a whole answer; ``delta``: that of an event of a stream, or nothing."""

    path: str
    fields: dict[str, Any]
    document: Callable[[Any], str]
    delta: Callable[[Any], str | None]


WIRES = {
    "chat": AskedWire(
        "/v1/chat/completions",
        {"messages": MESSAGES},
        lambda body: body["choices"][0]["message"]["content"],
        lambda event: event["choices"][0]["delta"].get("content") if event.get("choices") else None,
    ),
    "messages": AskedWire(
        "/v1/messages",
        {"system": MESSAGES[0]["content"], "messages": MESSAGES[1:], "max_tokens": 100_000},
        lambda body: "".join(block["text"] for block in body["content"] if block["type"] == "text"),
        lambda event: event["delta"].get("text") if event["type"] == "content_block_delta" else None,
    ),
    "completions": AskedWire(
        "/v1/completions",
        {"prompt": MESSAGES[1]["content"], "max_tokens": 100_000},
        lambda body: body["choices"][0]["text"],
        lambda event: event["choices"][0].get("text") if event.get("choices") else None,
    ),
    "responses": AskedWire(
        "/v1/responses",
        {"input": MESSAGES, "store": False},
        lambda body: "".join(part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]),
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else None,
    ),
}

#: What is wanted: as cheap as chat completions within a quarter, and far from the peer.
GOALS = [
    *(
        Goal(scenario, f"{OURS}: {wire}", 1.25, f"{OURS}: chat", guard=False)
        for scenario in SCENARIOS
        for wire in ("messages", "responses")
    ),
    *(
        Goal(scenario, f"{OURS}: {wire}", 1 / 20, f"{LITELLM}: {wire}", guard=False)
        for scenario in ("small", "burst")
        for wire in WIRES
    ),
]


def events_of(body: bytes) -> Iterator[Any]:
    """The JSON of each event of a stream."""
    for line in body.split(b"\n"):
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
            yield json.loads(line[5:])


def ask(port: int, name: str, text: str, *, stream: bool) -> None:
    """Ask once, on a connection of its own. Raises `WrongAnswerError` where the answer is not *text*."""
    wire = WIRES[name]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = json.dumps({"model": "bench", "stream": stream, **wire.fields})
    headers = {"Content-Type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "none"}
    connection.request("POST", wire.path, body, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    if response.status != 200:
        raise WrongAnswerError(f"{wire.path}: {response.status} {data[:300]!r}")
    said = "".join(wire.delta(event) or "" for event in events_of(data)) if stream else wire.document(json.loads(data))
    if said != text:
        raise WrongAnswerError(f"{wire.path}: another text, {said[:100]!r} where it is {text[:100]!r}")


class WireBench:
    """One upstream, and the servers before it."""

    def __init__(self, plan: Plan, upstream: Upstream) -> None:
        self.plan = plan
        self.upstream = upstream
        self.figures: Figures = {}

    def spend(self, server: Server, wire: str, requests: int, *, stream: bool, at_once: int = 4) -> float:
        """Microseconds of the server's CPU that one of so many requests cost."""
        requests = max(self.plan.count(requests) // server.kind.slowness, at_once)
        before = cpu(server.pid)
        with ThreadPoolExecutor(at_once) as threads:
            asked = [threads.submit(ask, server.port, wire, self.upstream.text, stream=stream) for _ in range(requests)]
            for each in asked:
                each.result()
        return (cpu(server.pid) - before) * 1e6 / requests

    def measure(self, server: Server, wire: str) -> None:
        """One round of all scenarios."""
        subject = f"{server.name}: {wire}"
        self.upstream.answers(1)
        for stream in (True, False):  # what a first request brings in is not what a request costs
            ask(server.port, wire, self.upstream.text, stream=stream)
        if self.plan.has("small"):
            note(self.figures, "small", subject, self.spend(server, wire, 1000, stream=False))
        one = self.spend(server, wire, 500, stream=True)
        for scenario, events, interval_ms, streams in (("burst", EVENTS, 0, 100), ("paced", PACED_EVENTS, PACED_MS, 40)):
            if self.plan.has(scenario):
                self.upstream.answers(events, interval_ms=interval_ms * server.kind.pause)
                at_once = 4 if scenario == "burst" else 20
                spent = self.spend(server, wire, streams, stream=True, at_once=at_once)
                note(self.figures, scenario, subject, (spent - one) / (events - 1))


def main() -> int:
    options, path = plan("CPU of our server over each wire, beside LiteLLM's proxy.", SCENARIOS)
    peer = PEERS[LITELLM]._replace(command=partial(litellm, provider="lm_studio"))  # which has chat completions alone
    kinds = {OURS: SERVERS[OURS], **({LITELLM: peer} if options.peers else {})}
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        bench = WireBench(options, upstream)
        subjects = []
        for name, kind in kinds.items():
            try:
                server = Server(name, kind, upstream.url)
            except RuntimeError as error:
                if name == OURS:
                    raise SystemExit(f"{name} cannot be started: {error}") from None
                print(f"{name} is left out: {error}", flush=True)
                continue
            stack.callback(server.close)
            subjects += [(server, wire) for wire in WIRES]
        for number in range(options.rounds):
            for server, wire in list(subjects):
                progress(f"round {number + 1} of {options.rounds}: {server.name}: {wire}")
                try:
                    bench.measure(server, wire)
                except WrongAnswerError as error:
                    if server.name == OURS:
                        raise
                    print(f"{server.name}: {wire} is left out: {error}", flush=True)
                    subjects = [each for each in subjects if each != (server, wire)]
        return finish("wires", bench.figures, UNITS, GOALS, options, path)


if __name__ == "__main__":
    sys.exit(main())
