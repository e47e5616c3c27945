"""Other people's clients, unmodified, in environments of their own: against the server on the real engine, and for tools and
faults against the server before a scripted upstream."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.compat.clients_env import CLIENTS, DRIVERS, node_of, python_of

QUESTION = "Say yes."
#: The driver of each, and the wire that it speaks where it has several.
PROGRAMS = {
    "pydantic-ai": ("drive_pydantic_ai.py", "chat"),
    "openai-agents": ("drive_openai_agents.py", "chat"),
    "llama-index": ("drive_llama_index.py", "chat"),
    "openai-node": ("drive_openai.mjs", "chat"),
    "openai-agents-js": ("drive_openai_agents.mjs", "chat"),
    "ai-sdk": ("drive_ai_sdk.mjs", "chat"),
    "openai-agents, responses": ("drive_openai_agents.py", "responses"),
    "openai-agents-js, responses": ("drive_openai_agents.mjs", "responses"),
    "openai-node, responses": ("drive_openai_responses.mjs", "responses"),
    "ai-sdk, responses": ("drive_ai_sdk.mjs", "responses"),
    "ai-sdk, messages": ("drive_ai_sdk.mjs", "messages"),
    "anthropic-sdk": ("drive_anthropic.mjs", "messages"),
}


@pytest.fixture(scope="module")
def text(real_server: str) -> str:
    """The answer as openai's client reads it."""
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none") as client:
        answer = client.chat.completions.create(
            model="llama",
            messages=[{"role": "system", "content": "You are brief."}, {"role": "user", "content": QUESTION}],
            temperature=0,
            max_tokens=40,
        )
    return answer.choices[0].message.content or ""


@pytest.fixture(scope="module", params=PROGRAMS)
def seen(request: pytest.FixtureRequest, real_server: str, scripted_server: str, tmp_path_factory: Any) -> Any:
    """What one client saw, which is asked everything at once: its start takes longer than its answers."""
    (driver, wire), home = PROGRAMS[request.param], tmp_path_factory.mktemp("client")
    if driver.endswith(".mjs"):
        # Modules are looked for beside the program.
        (home / "node_modules").symlink_to(CLIENTS / "node_modules")
        command = [node_of() / "bin" / "node", shutil.copy(DRIVERS / driver, home)]
    else:
        command = [python_of("llama-index" if request.param == "llama-index" else "python"), DRIVERS / driver]
    assert Path(command[0]).exists(), (
        f"{command[0]} is missing: make it with `make test` or `python tests/compat/clients_env.py`"
    )
    urls = {"SERVER": f"{real_server}/v1", "SCRIPTED": f"{scripted_server}/v1"}
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "WIRE": wire, **urls}
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_whole_answer(seen: Any, text: str) -> None:
    """The same text, and its tokens are counted."""
    assert text == seen["whole"]
    assert 0 < seen["tokens"] <= 40


def test_a_streamed_answer(seen: Any, text: str) -> None:
    """Every piece comes through."""
    assert text == "".join(seen["pieces"])
    assert len(seen["pieces"]) > 5


def test_a_tool_is_called_and_its_result_is_used(seen: Any) -> None:
    """The call arrives with its arguments, and what the tool returned goes back."""
    assert "Paris" == seen["called with"]
    assert "In Paris it is 21 degrees." == seen["tool answer"]


def test_a_broken_answer_is_an_error(seen: Any) -> None:
    """A stream that broke is never taken for a whole answer."""
    assert seen["broken"]


#: What some of them can do beside that.
MORE = {
    "pydantic-ai": {"city", "unknown model", "history"},
    "openai-agents": {"city"},
    "llama-index": {"complete", "async pieces"},
    "openai-node": {"helper", "models", "unknown model", "aborted", "completed", "vectors"},
    "openai-agents-js": {"city", "unknown model"},
    "ai-sdk": {"city", "unknown model", "streamed tokens", "finish"},
    "openai-agents, responses": {"city"},
    "openai-agents-js, responses": {"city", "unknown model"},
    "openai-node, responses": {"helper", "unknown model", "aborted", "thought", "retried", "refused"},
    "ai-sdk, responses": {"city", "unknown model", "streamed tokens", "finish"},
    "ai-sdk, messages": {"unknown model", "streamed tokens", "finish"},
    "anthropic-sdk": {
        *("helper", "models", "unknown model", "aborted", "streamed tokens", "finish"),
        *("thought", "retried", "refused"),
    },
}
#: What is to be seen of each of these; *text* is the answer to the question.
HOLDS: dict[str, Callable[[Any, str], bool]] = {
    "city": lambda city, text: {"name": str, "people": int, "coast": bool} == {key: type(value) for key, value in city.items()},
    "unknown model": lambda told, text: "404" in str(told),
    "history": lambda history, text: history[0] == 4 and bool(history[1]),
    "complete": lambda completed, text: bool(completed),
    "completed": lambda completed, text: bool(completed[0]) and completed[0] == completed[1],
    "vectors": lambda vectors, text: [[0.25, -0.5, 1]] * 2 == vectors,
    "async pieces": lambda pieces, text: text == "".join(pieces),
    "helper": lambda helped, text: text == helped,
    "models": lambda models, text: "llama" in models,
    "aborted": lambda aborted, text: aborted is True,
    "streamed tokens": lambda tokens, text: 0 < tokens <= 40,
    "finish": lambda finish, text: finish in ("stop", "length"),
    "thought": lambda thought, text: [["thinking", "Hm, yes."], ["text", "I think so."]] == thought,
    "retried": lambda retried, text: "There is room" == retried,
    "refused": lambda refused, text: "BadRequestError" == refused[0] and "max_" in str(refused[1:]),
}


def test_what_else_each_can_do(seen: Any, text: str, request: pytest.FixtureRequest) -> None:
    """Structured output on the real engine, unknown models, histories, helpers, leaving early: where the client has them."""
    wanted = MORE[request.node.callspec.params["seen"]]

    assert [] == [name for name in sorted(wanted) if not HOLDS[name](seen[name], text)]
