"""The whole way: the command line and a real model on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from autonomousai.engine.weights import present, weights_path
from tests.support.program import CTRL_C, Ended, OnTerminal, finish, plain, run, start

NOTE = "autonomousai: Using the local demo model smollm2-135m. Use --base-url to call a server.\n"
LONG = "Count from one to one thousand, in words."


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    """A newcomer who has the weights already."""
    assert present("smollm2-135m"), "these tests need the weights: run `autonomousai pull` first"
    return {**env, "AUTONOMOUSAI_CACHE": str(weights_path("smollm2-135m").parents[1])}


def events(ended: Ended) -> list[Any]:
    """What `--json` wrote."""
    return [json.loads(line) for line in ended.out.splitlines()]


async def test_one_command_streams_an_answer(env: dict[str, str]) -> None:
    """The model's words on stdout, who says them on stderr, exit code 0."""
    ended = await run("chat", "--temperature", "0", "--max-tokens", "30", "What is the capital of France?", env=env)

    assert (0, NOTE) == (ended.code, ended.err)
    assert "Paris" in ended.out
    assert ended.out.endswith("\n")


async def test_a_long_prompt_is_seen_to_be_read(env: dict[str, str]) -> None:
    """The line that moves says how far it is; it is erased before the answer."""
    async with OnTerminal("chat", "--max-tokens", "2", "A word and a further word. " * 80, env=env) as terminal:
        await terminal.sees("reading the prompt: ")
        code, shown = await terminal.ends()

    assert 0 == code
    assert "of 5" in shown
    assert "2 tokens" in plain(shown)


async def test_the_finish_names_the_weights(env: dict[str, str]) -> None:
    """Whatever model was asked for, the finish says which weights spoke, and counts their tokens."""
    ended = await run("chat", "--model", "hermes-3", "--json", "--max-tokens", "5", "Say hello", env=env)

    *texts, finish_event = events(ended)
    assert 0 == ended.code
    assert {"text"} == {event["type"] for event in texts}
    assert ("finish", "smollm2-135m") == (finish_event["type"], finish_event["model"])
    assert 5 >= finish_event["usage"]["completion_tokens"] > 0


async def test_a_seed_repeats_an_answer(env: dict[str, str]) -> None:
    """The same seed gives the same words, another one others."""
    options = ["chat", "--temperature", "1.5", "--max-tokens", "30", "Write a line of a poem."]
    first = await run(*options, "--seed", "7", env=env)
    again = await run(*options, "--seed", "7", env=env)
    other = await run(*options, "--seed", "8", env=env)

    assert first.out == again.out
    assert first.out != other.out


async def test_standard_input_reaches_the_model(env: dict[str, str]) -> None:
    """A text through the pipe is what the model talks about."""
    text = b"The name of my dog is Barnaby. Barnaby is brown."
    ended = await run("chat", "--temperature", "0", "--max-tokens", "40", "What is my dog's name?", env=env, given=text)

    assert "Barnaby" in ended.out


async def test_a_prompt_too_long_is_a_failed_request(env: dict[str, str]) -> None:
    """What does not fit the model's context is refused in words, with exit code 1."""
    ended = await run("chat", env=env, given=b"word " * 20_000)

    assert (1, "") == (ended.code, ended.out)
    assert "autonomousai: error: " in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, 137)])
async def test_the_engine_goes_with_the_program(number: signal.Signals, code: int, env: dict[str, str]) -> None:
    """However the program is ended in the midst of an answer, its child process is gone soon after."""
    process = await start("chat", "--temperature", "0", LONG, env=env)
    assert process.stdout is not None
    await process.stdout.readexactly(10)
    (child,) = children(process.pid)
    gone = os.pidfd_open(child)
    process.send_signal(number)
    ended = await finish(process)
    await readable(gone)
    os.close(gone)

    assert code == ended.code
    assert "Traceback" not in ended.err


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def readable(descriptor: int) -> None:
    """Wait until there is something to read: for a pidfd, until the process is gone."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await asyncio.wait_for(ready, 60)
    finally:
        loop.remove_reader(descriptor)


async def test_a_conversation_with_the_engine(env: dict[str, str]) -> None:
    """Ctrl-C stops an answer and not the engine, a model can be changed, and Ctrl-D leaves nobody behind."""
    async with OnTerminal("chat", "--temperature", "0", env=env) as terminal:
        opening = plain(await terminal.sees("llama>"))
        terminal.types("Tell me a story about a cat.")
        await terminal.sees(" and ")
        (child,) = children(terminal.child.pid)
        gone = os.pidfd_open(child)
        terminal.types("", key=CTRL_C)
        await terminal.sees("stopped")
        terminal.types("/clear")
        await terminal.sees("forgotten")
        terminal.types("/model hermes")
        await terminal.sees("Using the local demo model smollm2-135m")
        terminal.types("What is the capital of France?")
        await terminal.sees("Paris")
        still = children(terminal.child.pid)
        terminal.types("/quit")
        code, shown = await terminal.ends()
        await readable(gone)
        os.close(gone)

    assert opening.startswith(NOTE)
    assert (0, [child]) == (code, still)
    assert "Traceback" not in shown


async def test_serve_and_chat_with_it(env: dict[str, str]) -> None:
    """`serve` on the engine, `chat --base-url` and `models --base-url` against it, and the end by SIGTERM."""
    process = await start("serve", "--port", "0", env=env)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 120)).decode()
    url = line.split()[-1]
    answer = await run("chat", "--base-url", url, "--temperature", "0", "What is the capital of France?", env=env)
    end = events(await run("chat", "--base-url", url, "--json", "--max-tokens", "2", "Hi", env=env))[-1]
    models = await run("models", "--base-url", url, "--json", env=env)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)

    assert f"listening on {url}\n" == line
    assert (0, "") == (answer.code, answer.err)
    assert "Paris" in answer.out
    assert ("finish", "smollm2-135m") == (end["type"], end["model"])
    assert ["llama", "qwen_coder", "hermes", "vision", "summary"] == [row["model"] for row in json.loads(models.out)][:5]
    assert (0, "") == (ended.code, ended.out)


async def test_weights_and_context_can_be_chosen(env: dict[str, str]) -> None:
    """A GGUF file by its path answers under its own name; a context too small for the question is refused by the engine."""
    path = str(weights_path("smollm2-135m"))
    answered = await run("chat", "--weights", path, "--json", "--max-tokens", "3", "Hi", env=env)
    refused = await run("chat", "--context", "256", env=env, given=b"word " * 600)
    missing = await run("chat", "--weights", "/no/such.gguf", "Hi", env=env)

    assert (0, weights_path("smollm2-135m").stem) == (answered.code, events(answered)[-1]["model"])
    assert (1, "") == (refused.code, refused.out)
    assert 3 == missing.code
    assert "nor a file that can be read" in missing.err


async def test_the_engine_tells_its_speed_on_a_terminal(env: dict[str, str]) -> None:
    """Tokens and tokens a second, under the answer."""
    async with OnTerminal("chat", "--temperature", "0", "--max-tokens", "20", "Tell me a story.", env=env) as terminal:
        code, shown = await terminal.ends()

    assert 0 == code
    assert re.search(r"autonomousai: 20 tokens, \d+ a second\n$", plain(shown))
