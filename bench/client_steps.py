"""What our clients cost a caller, counted in calls and in instructions: neither depends on how busy the machine is.

    python bench/client_steps.py [--only small,one,burst,paced] [--instructions] [--json FILE]

Calls are those of functions, in Python and in C, with all libraries and the event loop; instructions are what the process
executes in user space, counted by callgrind, which takes a minute. The kernel's work is in neither. The callers and the answers
are those of `client.py`, one after the other. Exits 1 when a guard is missed: in calls, beside bare aiohttp in the same run.

    small   a request without streaming           one     a stream of one event
    burst   an event of a stream of 500 at once   paced   an event of a stream of 40, each in a write of its own
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path

from client import BARE, CALLERS, OPENAI, OURS, Caller
from measure import Figures, Goal, Plan, finish, note, progress
from traffic import PATIENCE, Upstream

UNITS = {"small": "a request", "one": "a stream", "burst": "an event", "paced": "an event"}

#: By how many requests a figure is made, and before it as many for the interpreter to adapt itself.
REQUESTS = 20

#: Events of a stream.
EVENTS = {"small": 1, "one": 1, "burst": 500, "paced": 40}

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

CALLS = [
    Goal("small", OPENAI, 0.55, BARE),
    Goal("small", OURS, 1.12, BARE),
    Goal("one", OPENAI, 0.53, BARE),
    Goal("one", OURS, 1.19, BARE),
    Goal("paced", OPENAI, 1, BARE),
    Goal("paced", OURS, 1.3, BARE),
]


class SteppedUpstream:
    """An upstream of one caller that writes each event of its stream once the caller sleeps again after the one before: so what
    comes at once does not depend on how busy the machine is."""

    def __init__(self, upstream: Upstream) -> None:
        upstream.answers(EVENTS["paced"])
        self.text, self.stream, self.document = upstream.text, upstream.stream, upstream.document
        self.caller = 0  # its process
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        events = [event + b"\n\n" for event in self.stream.split(b"\n\n")[:-1]]
        chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
        pieces = [HEAD + b"".join(chunks[:2]), *chunks[2:-2], b"".join(chunks[-2:]) + b"0\r\n\r\n"]
        request = b""
        with connection:
            while data := connection.recv(1 << 16):
                request += data
                if request.endswith(b"}"):  # as each of these bodies does, and no head
                    request = b""
                    for piece in pieces:
                        sleeps = self._sleep(after=0)
                        connection.sendall(piece)
                        self._sleep(after=sleeps)

    def _sleep(self, *, after: int) -> int:
        """Wait until the caller sleeps, and has gone to sleep more often than so many times; return how often."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and Path(f"/proc/{self.caller}").exists():
            with suppress(OSError):  # it has just ended
                status = Path(f"/proc/{self.caller}/status").read_text(encoding="utf-8")
                found = re.search(r"^State:\tS.*^voluntary_ctxt_switches:\t(\d+)", status, re.MULTILINE | re.DOTALL)
                if found and int(found[1]) > after:
                    return int(found[1])
            time.sleep(0)
        return after


def measure(figures: Figures, name: str, subject: str, count: Callable[[int, bool], float]) -> None:
    """Note one figure. *count*: what so many requests cost, streamed or not."""
    stream = name != "small"
    events = EVENTS[name]
    requests = max(REQUESTS // events, 3)
    count(REQUESTS if events == 1 else 1, stream)
    figure = (count(2 * requests, stream) - count(requests, stream)) / requests
    if events > 1:
        figure = (figure - figures["one"][subject][0]) / (events - 1)
    note(figures, name, subject, figure)


def calls_of(caller: Caller) -> Callable[[int, bool], float]:
    return lambda requests, stream: float(caller.order(requests=requests, stream=stream, calls=True)["calls"])


class Callgrind:
    """Counts what a caller executes that runs under valgrind."""

    def __init__(self, caller: Caller, out: Path) -> None:
        self._caller = caller
        self._out = out
        self._dumps = 0
        self._control("instrumentation", "on")

    def __call__(self, requests: int, stream: bool) -> float:
        self._control("zero")
        self._caller.order(requests=requests, stream=stream)
        self._control("dump")
        self._dumps += 1
        told = self._out.with_name(f"{self._out.name}.{self._dumps}").read_text(encoding="utf-8")
        found = re.search(r"^(?:summary|totals): (\d+)$", told, re.MULTILINE)
        assert found is not None, told[:1000]
        return float(found[1])

    def _control(self, *words: str) -> None:
        command = ["vgdb", f"--pid={self._caller.pid}", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Calls and instructions of our clients, beside bare aiohttp.")
    parser.add_argument("--only", default=",".join(UNITS), help="a comma between them; all by default")
    parser.add_argument("--quick", action="store_true", help="as without it: there is one round, and no clock")
    parser.add_argument("--instructions", action="store_true", help="count instructions too, by callgrind")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then too
    names = [name for name in UNITS if name in options.only.split(",") or name == "one"]
    figures: dict[str, Figures] = {}
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-callgrind-"))
        for name, subject, what in product(names, CALLERS, ["calls", "instructions"][: 1 + options.instructions]):
            progress(f"{what}: {name}, {subject}")
            valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
            valgrind.append(f"--callgrind-out-file={folder}/{subject}-{name}")
            with ExitStack() as each:
                asked = SteppedUpstream(upstream) if name == "paced" else upstream
                if isinstance(asked, SteppedUpstream):
                    each.callback(asked.close)
                else:
                    asked.answers(EVENTS[name])
                caller = Caller(subject, CALLERS[subject], asked, valgrind if what == "instructions" else ())
                each.callback(caller.close)
                if isinstance(asked, SteppedUpstream):
                    asked.caller = caller.pid
                count = calls_of(caller) if what == "calls" else Callgrind(caller, Path(folder) / f"{subject}-{name}")
                measure(figures.setdefault(what, {}), name, subject, count)
    plan = Plan(False, 1, frozenset(), False)
    if options.instructions:
        finish("client, instructions", figures["instructions"], UNITS, [], plan, None)
    return finish("client, calls", figures["calls"], UNITS, CALLS, plan, options.json)


if __name__ == "__main__":
    sys.exit(main())
