"""A server, as `autonomousai serve` starts it, before scripted models: they call tools, break off now and then, or always."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autonomousai.testing import Script
from autonomousai.testing.server import Request
from tests.support.serving import serving
from tests.support.thread import Served, served

#: What the models write into hello.txt, whatever tool they have for it.
CONTENT = "Hello from the model\n"
DONE = "The file is written."

#: A model of this name is offered a tool that applies patches; of a name that it does not know, Codex thinks it has none.
PATCHES = "gpt-5.5"
PATCH = f"*** Begin Patch\n*** Add File: hello.txt\n+{CONTENT}*** End Patch\n"
#: The arguments that each agent's tool for writing a file takes; the first that a request offers is called.
CALLS = {
    "write_file": lambda home: {"file_path": f"{home}/hello.txt", "content": CONTENT},
    "write": lambda home: {"filePath": f"{home}/hello.txt", "content": CONTENT},
    "exec_command": lambda home: {"cmd": "printf 'Hello from the model\\n' > hello.txt"},
    "shell_command": lambda home: {"command": "printf 'Hello from the model\\n' > hello.txt"},
    "shell": lambda home: {"command": ["bash", "-c", "printf 'Hello from the model\\n' > hello.txt"]},
}


class Houses(NamedTuple):
    """The server's root URL, its upstream, and the directory that agents work in: one for all, emptied before each."""

    url: str
    upstream: Served
    work: Path

    def asked(self) -> list[dict[str, Any]]:
        """Return the bodies of what the upstream was asked, in order."""
        return [request.json() for request in self.upstream.scripted.requests if request.method == "POST"]


def call(name: str, arguments: dict[str, Any]) -> Script:
    """Return an answer that calls a tool, its arguments in two pieces."""
    text = json.dumps(arguments)
    head = {"index": 0, "id": f"call_{next(_numbers)}", "type": "function", "function": {"name": name, "arguments": text[:7]}}
    tail = {"index": 0, "function": {"arguments": text[7:]}}
    return Script.stream({"tool_calls": [head]}, {"tool_calls": [tail]}, finish="tool_calls", usage=_USAGE)


def say(text: str) -> Script:
    """Return an answer in pieces of a few characters."""
    return Script.stream(*(text[at : at + 9] for at in range(0, len(text), 9)), usage=_USAGE)


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body["messages"])


class Model:
    """An upstream that plays a model: it calls the tool that writes a file, sees its result, and says that it is done."""

    def __init__(self, work: Path) -> None:
        self._work = work

    def __call__(self, request: Request) -> Script:
        """Answer one request."""
        body = request.json()
        if body["model"] == "cut":
            return Script.cut("The file is")
        if body["messages"][-1]["role"] == "tool":
            return say(DONE)
        tools = {tool["function"]["name"] for tool in body.get("tools", ())}
        if body["model"] == PATCHES:
            return call("apply_patch", {"input": PATCH})
        for name, arguments in CALLS.items():
            if name in tools:
                return call(name, arguments(self._work))
        return say(self._edit(body))

    def _edit(self, body: dict[str, Any]) -> str:
        """Return what Aider wants in place of a call, in the format that its instructions ask for."""
        if "SEARCH/REPLACE" in _text(body):
            return f"hello.txt\n```\n<<<<<<< SEARCH\n=======\n{CONTENT}>>>>>>> REPLACE\n```\n"
        return f"hello.txt\n```\n{CONTENT}```\n"


class Breaking(Model):
    """The same, whose every other answer fails: first with a status, then in the middle."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self._failures = iter(
            [Script.status(503), Script.cut("The"), Script.reset_after_headers(), Script.error_event("The"), *[None] * 99]
        )
        self._odd = False

    def __call__(self, request: Request) -> Script:
        """Fail, or answer."""
        self._odd = not self._odd
        failure = next(self._failures) if self._odd else None
        return failure or super().__call__(request)


_numbers = count(1)
_USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    """The server with its models: `writes`, `breaks`, `cut`, and one of a name that Codex knows."""
    home = tmp_path_factory.mktemp("houses")
    work = home / "work"
    work.mkdir()
    with served(Model(work)) as model, served(Breaking(work)) as breaking:
        upstreams = {"writes": model, PATCHES: model, "breaks": breaking, "cut": model}
        sections = [
            f'[upstreams."{name}"]\nkind = "openai"\nbase_url = "{at.url}/v1"\nprefill = "no"\ncontext = 100_000\n'
            f'model = "{name}"\n[models."{name}"]\nroute = ["{name}"]\n'
            for name, at in upstreams.items()
        ]
        config = home / "autonomousai.toml"
        config.write_text("\n".join(sections))
        with serving("--config", str(config), "--log", "off") as running:
            yield Houses(running.url, model, work)


@pytest.fixture(autouse=True)
def pauses() -> list[float]:
    """Clients wait in earnest here."""
    return []
