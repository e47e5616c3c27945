"""What our server costs in instructions, counted by callgrind: they waver by a hundredth, where microseconds waver by a third.

    python bench/instructions.py [--write]

One server under valgrind is asked one request after the other. What it executes in user space is counted; the kernel's work is
not. Exits 1 when a figure is higher than the one that is kept in bench/instructions.json for this architecture and build of
Python; where none is kept, the figures are printed alone. `--write` keeps them.

    small    a request without streaming     one    a request for a stream of one word, which comes at once
    burst    an event of a stream of 200 that come all at once     paced    an event of a stream, in a write of its own

The same over other wires, as ratios to chat completions in the same run:

    messages     Anthropic's Messages API, from an upstream of the same wire
    responses    OpenAI's Responses API, from an upstream of chat completions

And at a second server a small request of a caller whose key has every limit, with prices and a ledger, as a ratio to the first:

    keyed        from the request's first byte to the answer's last: without what the ledger's thread writes later, many at once
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from measure import BENCH, Figures, Goal, judge, note, progress
from servers import OURS, PATIENCE, SERVERS, Kind, Server
from traffic import MESSAGES, Upstream

UNITS = {"small": "a request", "one": "a request", "burst": "an event", "paced": "an event"}

#: How much higher than what is kept a figure may be.
TOLERANCE = 1.03

KEPT = BENCH / "instructions.json"

#: What executes most of them beside the interpreter: for who looks for the cause of a change.
PACKAGES = ["httptools", "msgspec", "uvloop"]

ROUNDS = 6

#: Requests of each scenario that are not counted: until then the interpreter adapts itself to what is often executed.
WARM_UPS = 10

#: Seconds that it is watched while nobody asks anything.
IDLE_S = 2


class Scenario(NamedTuple):
    """An answer of so many words: all of it in one write, or ``paced``: each word in its own."""

    words: int
    stream: bool = True
    paced: bool = False


class Dialect(NamedTuple):
    """How one wire is asked. ``kind``: of the upstream; ``fields``: of the request, beside model and stream;
    ``headers``: more of them, each with its line end."""

    path: str
    kind: str
    fields: dict[str, Any]
    headers: str = ""


DIALECTS = {
    OURS: Dialect("/v1/chat/completions", "openai", {"messages": MESSAGES}),
    "messages": Dialect(
        "/v1/messages",
        "anthropic",
        {"system": MESSAGES[0]["content"], "messages": MESSAGES[1:], "max_tokens": 1000},
    ),
    "responses": Dialect("/v1/responses", "openai", {"input": MESSAGES, "store": False}),
}

KEYED = "keyed"

SECRET = "sk-aai-DGqvQhGvw2mkrFFXFsNYBKMlBSPBs4yhjJ9KJLQvYwE"

#: As chat completions, of a caller who has a key.
CALLER = DIALECTS[OURS]._replace(headers=f"authorization: Bearer {SECRET}\r\n")

#: What a server has beside its upstreams where callers have keys: every limit, and a ledger that writes when it is closed.
WITH_KEYS = f"""
[keys.shop]
key = "{SECRET}"
models = ["steps-*", "bench"]
requests_per_minute = 1000000
tokens_per_minute = 1000000000
max_concurrency = 1000
budget = 1000000
token_budget = 2000000000
labels = {{ team = "shop" }}
[prices]
"*" = {{ input = 1, output = 2 }}
[ledger]
url = "LEDGER"
flush_s = 86400
"""

#: Small requests of other kinds that have a figure of their own, and how much higher than what is kept that may be: they waver
#: more, with the times that they look at.
OTHERS = {KEYED: 1.08, "messages": 1.08, "responses": 1.08}

SCENARIOS = {"small": Scenario(1, stream=False), "burst": Scenario(200), "paced": Scenario(40, paced=True)}

ONE = Scenario(1)

#: The same streams with fewer words, which are told from the others: what is left is the other words'. A burst that is short is
#: answered without a task, and costs less than the beginning of a long one.
BEGINNINGS = {"burst": Scenario(50), "paced": Scenario(1, paced=True)}

#: `autonomousai`, which reads the proxies of the environment once, and looks at no deadline: usually it does the one once in a
#: second and the other four times, and so, as the machine is quick or busy, at every second request or at every tenth. Nor does
#: it look whether keys have changed, or write the date anew, once in a second too.
PROGRAM = """
from math import inf
from autonomousai.cli import main
from autonomousai.http import pool
from autonomousai.http.server import cycle
from autonomousai.http.sweep import Sweep
from autonomousai.keys import directory
assert directory.POLL_S
directory.POLL_S = 1e6
assert cycle.time
cycle.time = (1.8e9).__float__
assert pool._ENVIRONMENT_S
pool._ENVIRONMENT_S = inf
def arm(sweep, when):
    sweep.due = -inf
    sweep._handle = sweep._loop.call_later(1e6, sweep._on_timer)
assert Sweep._arm
Sweep._arm = arm
raise SystemExit(main())
"""

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Steps:
    """A caller and an upstream in one, which take turns with the server between them: nothing is sent before the server sleeps.
    So what it reads at once, and how often it looks, does not depend on how quick the machine is."""

    def __init__(self, name: str, dialect: Dialect, events: Sequence[bytes]) -> None:
        self.name = f"steps-{name}"
        self.dialect = dialect
        self._server: Server
        self._caller: socket.socket
        self._upstream: socket.socket | None = None
        self._events = events
        self._open = contextlib.ExitStack()
        self._listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}" + ("/v1" if self.dialect.kind == "openai" else "")

    def connect(self, server: Server) -> None:
        self._server = server
        self._caller = self._open.enter_context(socket.create_connection(("127.0.0.1", server.port)))

    def close(self) -> None:
        self._open.close()

    def ask(self, scenario: Scenario) -> None:
        """One request, from its first byte to the server's sleep after the answer."""
        body = json.dumps({"model": self.name, "stream": scenario.stream, **self.dialect.fields}).encode()
        head = (
            f"POST {self.dialect.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{self.dialect.headers}"
        )
        self._caller.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        upstream = self._take_request()
        answer = b""
        for piece in self._pieces(scenario):
            self._await_sleep()
            upstream.sendall(piece)
            answer += self._caller.recv(1 << 20)  # each piece is passed on at once
        while not _is_whole(answer):
            answer += self._caller.recv(1 << 20)
        if not answer.endswith(END if scenario.stream else b"}"):
            raise SystemExit(f"an answer of another kind: {answer[:2000]!r}")
        self._await_sleep()

    def _pieces(self, scenario: Scenario) -> list[bytes]:
        """The upstream's answer, in the writes that it comes in."""
        role, *words = (b"%x\r\n%b\r\n" % (len(event), event) for event in self._events[: scenario.words + 1])
        end = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in self._events[-2:]) + END
        if scenario.paced:
            return [HEAD + role + words[0], *words[1:], end]
        return [b"".join([HEAD, role, *words, end])]

    def _take_request(self) -> socket.socket:
        """The upstream's side: read the whole request, and return the connection that it came on, which may be a new one."""
        request = b""
        while not _is_whole(request):
            data = self._upstream.recv(1 << 20) if self._upstream is not None else b""
            if not data or self._upstream is None:
                self._upstream = self._open.enter_context(self._listener.accept()[0])
            request += data
        assert self._upstream is not None
        return self._upstream

    def _await_sleep(self) -> None:
        while Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0)


def _is_whole(message: bytes) -> bool:
    """Whether an HTTP message has come to its end, by its length or by its last chunk."""
    head, separator, body = message.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
    return bool(separator) and (len(body) == int(length[1]) if length else body.endswith(END))


class Callgrind:
    """Our server under valgrind's callgrind. *tables*: of its config, beside those of its upstreams; LEDGER there is a path."""

    def __init__(self, steps: Sequence[Steps], upstream: Upstream, tables: str = "") -> None:
        for program in ("valgrind", "vgdb"):
            if shutil.which(program) is None:
                raise SystemExit(f"{program} is not installed; on Debian: apt-get install valgrind")
        self._steps = steps
        self._tables = tables
        self._folder = tempfile.TemporaryDirectory(prefix="bench-callgrind-")
        self._dumps = 0
        self._counting = 0
        self._idle = 0.0  # a second
        try:
            self._server = Server("instructions", Kind(self._command, authorization=f"Bearer {SECRET}"), upstream.url)
        except BaseException:
            self._folder.cleanup()
            raise
        for each in steps:
            each.connect(self._server)

    def begin(self) -> None:
        """Count from now on."""
        self._control("instrumentation", "on")
        for steps in self._steps:  # what is done once is not counted
            for scenario in SCENARIOS.values():
                for _ in range(WARM_UPS):
                    steps.ask(scenario)
        self._counting, _ = self._counted(lambda: None)
        instructions, seconds = self._counted(lambda: time.sleep(IDLE_S))
        self._idle = (instructions - self._counting) / seconds

    def count(self, steps: Steps, scenario: Scenario) -> float:
        """Instructions for a request, without those for the counting and for the time that passes."""
        instructions, seconds = self._counted(lambda: steps.ask(scenario))
        return instructions - self._counting - self._idle * seconds

    def close(self) -> None:
        self._server.close()
        self._folder.cleanup()

    def _counted(self, run: Callable[[], None]) -> tuple[int, float]:
        """The instructions while *run* ran, and the seconds."""
        self._control("zero")
        began = time.monotonic()
        run()
        seconds = time.monotonic() - began
        self._control("dump")
        self._dumps += 1
        told = (Path(self._folder.name) / f"out.{self._dumps}").read_text(encoding="utf-8")
        found = re.search(r"^(?:summary|totals): (\d+)$", told, re.MULTILINE)
        assert found is not None, told[:1000]
        return int(found[1]), seconds

    def _command(self, upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
        python, _, _, *arguments = SERVERS[OURS].command(upstream, port, folder)
        config = folder / "config.toml"
        # How many lines of the log are written at once depends on the clock.
        text = config.read_text(encoding="utf-8").replace("[server]\n", '[server]\nlog = "off"\n')
        for steps in self._steps:
            text += f'[upstreams.{steps.name}]\nkind = "{steps.dialect.kind}"\nbase_url = "{steps.url}"\n'
            text += f'[models.{steps.name}]\nroute = ["{steps.name}"]\n'
        text += self._tables.replace("LEDGER", str(folder / "ledger.db"))
        config.write_text(text, encoding="utf-8")
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
        valgrind.append(f"--callgrind-out-file={self._folder.name}/out")
        return ["env", "PYTHONHASHSEED=0", *valgrind, python, "-c", PROGRAM, *arguments]

    def _control(self, *words: str) -> None:
        """Tell callgrind what to do, and wait until it has (Valgrind's manual: monitor commands of Callgrind)."""
        done = subprocess.run(["vgdb", f"--pid={self._server.pid}", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"vgdb {' '.join(words)}: {done.stderr.strip()}")


def measure() -> Figures:
    """The least of all rounds: whatever else happens in one comes on top."""
    socket.setdefaulttimeout(PATIENCE)
    with contextlib.ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        upstream.answers(max(scenario.words for scenario in SCENARIOS.values()))
        chat = [event + b"\n\n" for event in upstream.stream.split(b"\n\n")[:-1]]
        events = {"openai": chat, "anthropic": messages_events(len(chat) - 3)}
        steps = {name: Steps(name, dialect, events[dialect.kind]) for name, dialect in DIALECTS.items()}
        keyed = Steps(KEYED, CALLER, chat)
        for each in (*steps.values(), keyed):
            stack.callback(each.close)
        progress("instructions: the server starts")
        callgrind = Callgrind(list(steps.values()), upstream)
        stack.callback(callgrind.close)
        callgrind.begin()
        figures: Figures = {}
        for name, scenario in SCENARIOS.items():
            for subject, each in steps.items():
                progress(f"instructions: {name}, {subject}")
                figure = min(callgrind.count(each, scenario) for _ in range(ROUNDS))
                if name in BEGINNINGS:
                    beginning = min(callgrind.count(each, BEGINNINGS[name]) for _ in range(ROUNDS))
                    figure = (figure - beginning) / (scenario.words - BEGINNINGS[name].words)
                    if name == "burst":
                        note(figures, "one", subject, min(callgrind.count(each, ONE) for _ in range(ROUNDS)))
                note(figures, name, subject, figure)
        progress("instructions: a server with keys starts")
        callgrind = Callgrind([keyed], upstream, WITH_KEYS)
        stack.callback(callgrind.close)
        callgrind.begin()
        note(figures, "small", KEYED, min(callgrind.count(keyed, SCENARIOS["small"]) for _ in range(ROUNDS)))
    return figures


def messages_events(words: int) -> list[bytes]:
    """A stream of the Messages API, shaped as the others: what begins it, so many words, two events that end it."""

    def event(kind: str, **members: Any) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())

    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    start = event("message_start", message={**message, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1}})
    start += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    texts = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": f" word{number % 20}"})
        for number in range(words)
    ]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    end = event("content_block_stop", index=0) + event("message_delta", delta=stop, usage={"output_tokens": words})
    return [start, *texts, end, event("message_stop")]


def build() -> str:
    """The interpreter, as far as the number of instructions depends on it: architecture, minor version, compiler, options."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    known = [option for option in ("optimizations", "lto", "shared") if re.search(rf"--(enable|with)-{option}\b", options)]
    python = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    return ", ".join([platform.machine(), python, platform.python_compiler().strip(), *known])


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def guards(kept: dict[str, Any]) -> list[Goal]:
    """No more than what is kept of this build; none where nothing is."""
    of_build = kept.get(build(), {})
    numbers = of_build.get("instructions", {})
    goals = [Goal(name, OURS, TOLERANCE * number, quick=TOLERANCE * number) for name, number in numbers.items()]
    for subject, tolerance in OTHERS.items():
        if (number := of_build.get(subject)) is not None:
            goals.append(Goal("small", subject, tolerance * number, quick=tolerance * number))
    return goals


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions, counted by callgrind.")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {KEPT.relative_to(BENCH.parent)}")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then too
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    figures = measure()
    print()
    for name, rounds in figures.items():
        others = "; ".join(f"{wire} {rounds[wire][0] / rounds[OURS][0]:.2f} x" for wire in rounds if wire != OURS)
        print(f"{name:<8}{rounds[OURS][0]:>10,.0f} instructions {UNITS[name]}; {others}")
    if options.write:
        numbers = {name: round(rounds[OURS][0]) for name, rounds in figures.items()}
        small = {subject: round(figures["small"][subject][0]) for subject in OTHERS}
        kept[build()] = {"instructions": numbers, **small, "versions": versions()}
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    goals = guards(kept)
    if not goals:
        print(f"  nothing is kept for {build()}")
    missed = [verdict.goal for verdict in judge(goals, figures, quick=False) if verdict.is_failure]
    if missed:
        then = kept[build()]["versions"]
        print(f"missed: {'; '.join(missed)}; kept with {then}, now {versions()}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
