"""What other people's clients get beside the real server: one whose upstream calls a tool, one that thinks
first, one that has no room at first, one whose answers break, and one that makes vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autonomousai.testing import Script
from autonomousai.testing.server import Request
from tests.support.serving import serving
from tests.support.thread import served

CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
ARGUMENTS = {"index": 0, "function": {"arguments": '{"place": "Paris"}'}}


def ask_for_the_weather(request: Request) -> Script:
    """An upstream that asks for a tool, and when it has what that says, says it."""
    last = request.json()["messages"][-1]
    if last["role"] == "tool":
        return Script.stream("In Paris it is ", last["content"], ".")
    return Script.stream({"tool_calls": [CALL]}, {"tool_calls": [ARGUMENTS]}, finish="tool_calls")


class Limited:
    """An upstream that has no room for every other request."""

    def __init__(self) -> None:
        self._odd = False

    def __call__(self, request: Request) -> Script:
        """Refuse, or answer."""
        self._odd = not self._odd
        if self._odd:
            return Script.status(429, headers={"Retry-After": "0"})
        return Script.stream("There", " is room") if request.json().get("stream") else Script.document("There is room")


def think(request: Request) -> Script:
    """An upstream that thinks before it speaks."""
    return Script.stream({"reasoning_content": "Hm"}, {"reasoning_content": ", yes."}, "I", " think so.")


@pytest.fixture(scope="session")
def scripted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of `autonomousai serve` before upstreams that are scripted, each behind a model."""
    config = tmp_path_factory.mktemp("scripted") / "autonomousai.toml"
    with (
        served(ask_for_the_weather) as llama,
        served(think) as thinks,
        served(Limited()) as limited,
        served(Script.cut("Once upon")) as broken,
        served() as vectors,
    ):
        upstreams = {"llama": llama, "thinks": thinks, "limited": limited, "broken": broken, "vectors": vectors}
        sections = [
            f'[upstreams.{name}]\nkind = "openai"\nbase_url = "{at.url}/v1"\nprefill = "no"\n'
            f'[models.{name}]\nroute = ["{name}"]\n'
            for name, at in upstreams.items()
        ]
        config.write_text("\n".join(["[retry]\nattempts = 1", *sections]))
        with serving("--config", str(Path(config))) as running:
            yield running.url


@pytest.fixture(autouse=True)
def pauses() -> list[float]:
    """Clients wait in earnest here: the programs that judge them look at the time."""
    return []
