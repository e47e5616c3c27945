"""Our plugin in the `llm` command and library, unmodified: with the real server, without any, and with scripted ones."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import llm
import openai
import pytest

from autonomousai import IncompleteStreamError
from autonomousai.testing import Script
from tests.support.thread import Served, served

FIXED = ("-o", "temperature", "0", "-o", "max_tokens", "40", "-o", "seed", "1")
QUESTION = "Name three colours."
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class User:
    """Somebody who has `llm` and our package, and perhaps the address of a server."""

    def __init__(self, home: Path, server: str | None) -> None:
        names = ("AUTONOMOUSAI_BASE_URL", "AUTONOMOUSAI_API_KEY")
        self.home = home
        self.env = {**{name: value for name, value in os.environ.items() if name not in names}, "LLM_USER_PATH": str(home)}
        if server:
            self.env["AUTONOMOUSAI_BASE_URL"] = server

    def runs(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llm", *arguments]
        return subprocess.run(command, env=self.env, input="", capture_output=True, text=True, check=False)

    def llm(self, *arguments: str) -> str:
        done = self.runs(*arguments)
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def logged(self) -> Any:
        return json.loads(self.llm("logs", "--json"))


@pytest.fixture
def user(tmp_path: Path, real_server: str) -> User:
    return User(tmp_path, real_server)


@pytest.fixture
def text(real_server: str) -> str:
    """The answer as openai's client reads it."""
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none") as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        answer = client.chat.completions.create(model="llama", messages=messages, temperature=0, seed=1, max_tokens=40)
    return answer.choices[0].message.content or ""


def test_the_five_are_listed(user: User) -> None:
    """By their own names and their aliases, with their options."""
    listed = user.llm("models", "--options", "-q", "autonomousai")

    for name in ("llama", "qwen_coder", "hermes", "vision", "summary", "hermes-3"):
        assert f"autonomousai/{name}" in listed
    assert "temperature" in listed


def test_prompts_streamed_and_whole_alike(user: User, text: str) -> None:
    """Both ways print the server's answer, and what is stored says who answered, how it ended, and what it took."""
    streamed = user.llm("-m", "autonomousai/llama", *FIXED, QUESTION)
    whole = user.llm("-m", "autonomousai/llama", *FIXED, "--no-stream", QUESTION)

    assert [text, text] == [streamed.rstrip("\n"), whole.rstrip("\n")]
    for stored in user.logged():
        assert (text, "smollm2-135m") == (stored["response"], stored["resolved_model"])
        assert stored["response_json"]["finish_reason"] in ("stop", "length")
        assert stored["input_tokens"] > 0
        assert 0 < stored["output_tokens"] <= 40


def test_without_a_server_the_embedded_engine_answers(tmp_path: Path, text: str) -> None:
    """The same words: it is the same model."""
    assert text == User(tmp_path, None).llm("-m", "autonomousai/llama", *FIXED, QUESTION).rstrip("\n")


def test_goes_on_with_a_conversation(user: User) -> None:
    """`-c` sends the history, and the system message stays."""
    user.llm(
        "-m",
        "autonomousai/llama",
        *FIXED,
        "-s",
        "You are a helpful assistant.",
        "The secret word is tiger. What is the secret word?",
    )

    answer = user.llm("-c", "What is the secret word?", *FIXED)

    assert "tiger" in answer


def test_an_answer_obeys_a_schema(user: User) -> None:
    """`llm --schema` constrains the engine."""
    answer = user.llm("-m", "autonomousai/llama", *FIXED, "--schema", "colour, weight int", "Describe a ball.")

    assert {"colour": str, "weight": int} == {name: type(value) for name, value in json.loads(answer).items()}


def test_a_tool_is_called(tmp_path: Path, scripted_server: str) -> None:
    """`llm --functions` offers a function, runs it when the model asks, and sends what it returned."""
    function = "def weather(place: str) -> str:\n    'The weather at a place.'\n    return '21 degrees'"

    answer = User(tmp_path, scripted_server).llm("-m", "autonomousai/llama", "--functions", function, "Is it warm in Paris?")

    assert "In Paris it is 21 degrees.\n" == answer


def test_a_wrong_option_is_named(user: User) -> None:
    """Before anything is asked."""
    done = user.runs("-m", "autonomousai/llama", "-o", "temperature", "5", QUESTION)

    assert 1 == done.returncode
    assert "temperature" in done.stderr


@pytest.mark.parametrize("flags", [(), ("--no-stream",)])
def test_a_cut_answer_is_an_error_and_is_not_stored(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """What had come is shown, where it streams; `llm` says why it ended, and its log does not have it as an answer."""
    with served(Script.cut_document("Once") if flags else Script.cut("Once")) as server:
        user = User(tmp_path, server.url)
        done = user.runs("-m", "autonomousai/llama", *flags, "Tell me a story.")

    assert 1 == done.returncode
    assert "Error: " in done.stderr
    assert done.stdout.startswith("" if flags else "Once")
    assert [] == user.logged()


# ---- the library


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that says "Hello world", for the library in this process."""
    monkeypatch.delenv("AUTONOMOUSAI_API_KEY", raising=False)
    with served(Script.stream("Hello", " world", usage={"prompt_tokens": 3, "completion_tokens": 2})) as server:
        monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", server.url)
        yield server


def sent(server: Served, index: int = 0) -> Any:
    """The messages that the server got."""
    return json.loads(base64.b64decode(server.scripted.requests[index].json()["messages"]))


def test_an_image_is_sent_to_vision(scripted: Served, tmp_path: Path) -> None:
    """With its bytes, beside the question. The other models take none."""
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    attachment = llm.Attachment(path=str(path))

    text = llm.get_model("autonomousai/vision").prompt("What is this?", attachments=[attachment]).text()

    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    assert ("Hello world", [{"role": "user", "content": content}]) == (text, sent(scripted))
    with pytest.raises(ValueError, match="does not support attachments"):
        llm.get_model("autonomousai/llama").prompt("What is this?", attachments=[attachment])


def test_a_key_is_sent_where_there_is_one(scripted: Served) -> None:
    """As a bearer key; without one, none."""
    model = llm.get_model("autonomousai/llama")
    model.prompt("Hello", key="a-key-of-mine").text()
    model.prompt("Hello").text()

    first, second = (request.headers.get("authorization") for request in scripted.scripted.requests)
    assert ("Bearer a-key-of-mine", None) == (first, second)


async def test_the_async_model_streams(scripted: Served) -> None:
    """Piece by piece, with the history of its conversation."""
    conversation = llm.get_async_model("autonomousai/llama").conversation()

    pieces = [piece async for piece in conversation.prompt("Hello", system="Be brief.")]
    usage = await conversation.responses[0].usage()
    again = await conversation.prompt("And again?").text()

    assert (["Hello", " world"], "Hello world") == (pieces, again)
    assert (3, 2) == (usage.input, usage.output)
    assert ["system", "user", "assistant", "user"] == [message["role"] for message in sent(scripted, 1)]


async def test_the_async_model_raises_where_an_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the provider does."""
    with served(Script.cut("Once")) as server:
        monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", server.url)
        with pytest.raises(IncompleteStreamError):
            await llm.get_async_model("autonomousai/llama").prompt("Tell me a story.").text()


def test_reasoning_is_no_part_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes as what it is."""
    with served(Script.stream({"reasoning_content": "hm"}, "Hello")) as server:
        monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", server.url)
        response = llm.get_model("autonomousai/llama").prompt("Hello")
        events = [(event.type, event.chunk) for event in response.stream_events()]

    assert [("reasoning", "hm"), ("text", "Hello")] == events
    assert "Hello" == response.text()
