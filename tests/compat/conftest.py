"""What other people's clients get beside the real server: one whose upstream calls a tool, and one whose answers break."""

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


@pytest.fixture(scope="session")
def scripted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of `autonomousai serve` before an upstream that calls a tool, and another whose answers are cut."""
    config = tmp_path_factory.mktemp("scripted") / "autonomousai.toml"
    with served(ask_for_the_weather) as weather, served(Script.cut("Once upon")) as cut:
        config.write_text(
            f"""
            [retry]
            attempts = 1
            [upstreams.weather]
            kind = "openai"
            base_url = "{weather.url}/v1"
            [upstreams.cut]
            kind = "openai"
            base_url = "{cut.url}/v1"
            prefill = "no"
            [models.llama]
            route = ["weather"]
            [models.broken]
            route = ["cut"]
            """
        )
        with serving("--config", str(Path(config))) as running:
            yield running.url


@pytest.fixture(autouse=True)
def pauses() -> list[float]:
    """Clients wait in earnest here: the programs that judge them look at the time."""
    return []
