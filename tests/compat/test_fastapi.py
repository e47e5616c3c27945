"""The documented example: our server inside somebody's FastAPI application, on plain uvicorn, which runs no lifespan of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from tests.support.engine import wait_until_gone

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "fastapi.md"


#: Another route of theirs, by which the test learns of the engine's process.
ENGINE = """

@app.get("/engine")
async def engine() -> int | None:
    return ai.provider.upstreams["embedded"].provider.pid
"""


class Theirs(NamedTuple):
    """Their running application."""

    url: str
    process: subprocess.Popen[str]

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def json(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    """The example as it stands, started as its reader would."""
    home = tmp_path_factory.mktemp("theirs")
    example = re.findall(r"^```python\n(.*?)^```$", RECIPE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (home / "theirs.py").write_text(example[0] + ENGINE)
    command = [sys.executable, "-m", "uvicorn", "theirs:app", "--port", "0"]
    with subprocess.Popen(command, cwd=home, env=dict(os.environ), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        try:
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"running on (http://[\d.:]+)", line):
                    break
            else:
                raise AssertionError("".join(said))
            yield Theirs(found[1], process)
        finally:
            process.kill()


def test_their_routes_are_theirs(theirs: Theirs) -> None:
    """Their own route, and their own description, beside ours."""
    assert {"hello": "world"} == theirs.json("/hello")
    assert {"/hello", "/engine"} == theirs.json("/openapi.json")["paths"].keys()
    assert 404 == theirs.status("/v1/models")


def test_ours_work_under_the_mount(theirs: Theirs) -> None:
    """openai's client, whole and streamed; the description names its root; an error keeps its shape."""
    fixed: Any = {"model": "llama", "messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 30}
    with openai.OpenAI(base_url=f"{theirs.url}/ai/v1", api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(**fixed, temperature=0).choices[0].message.content
        with client.chat.completions.create(**fixed, temperature=0, stream=True) as stream:
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**fixed, "model": "gpt-5"})

    assert whole
    assert whole == streamed
    assert [{"url": "/ai"}] == theirs.json("/ai/openapi.json")["servers"]
    assert [200, 200] == [theirs.status(path) for path in ("/ai/docs", "/ai/")]


def test_the_engine_ends_with_their_application(theirs: Theirs) -> None:
    """Nothing is left behind."""
    pid = theirs.json("/engine")

    theirs.process.send_signal(signal.SIGTERM)
    theirs.process.wait(60)

    wait_until_gone(pid)
