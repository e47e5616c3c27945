"""An outside judge: llmock breaks in every way it knows, watches what our client does, and finds nothing to blame or warn of.

It sees attempts and their times, not what the program then makes of an answer. So what the caller was told is checked here.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autonomousai import HTTPError, IncompleteStreamError, OpenAICompatible, StatusError, StreamError
from autonomousai.errors import TimeoutError as ClockError
from autonomousai.gateway import Gateway, Upstream

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("AUTONOMOUSAI_LLMOCK", ROOT / ".venv-llmock")) / "bin" / "python"
SERVE = """
import sys
from llmock.testing import LLMockServer
with LLMockServer() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""

MODEL = "gpt-4o"
MESSAGES = [{"role": "user", "content": "Say something."}]
TEXT = "One, two, three, four, five, six, seven."
CLOCKS = {"connect": 30, "first_token": 30, "idle": 1, "total": 120}

#: What a program that uses our client asks again after: an answer that it knows to be broken.
BROKEN = (IncompleteStreamError, StreamError, ClockError)


class Judge:
    """A running llmock."""

    def __init__(self, url: str) -> None:
        self.url = url

    def play(self, *behaviors: dict[str, Any]) -> None:
        """Forget all that was, and do this. It says `TEXT` where it says anything."""
        self._ask("/reset", {})
        self._ask("/scenario", {"behaviors": [{"type": "reply", "text": TEXT, "times": None}, *behaviors]})

    def verdict(self) -> Any:
        return self._ask("/verdict")

    def requests(self) -> list[Any]:
        """All that it has seen, the ends included: it waits for those that are still open, for two seconds."""
        seen: list[Any] = self._ask("/requests")["requests"]
        return seen

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/_llmock{path}", data) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    assert PYTHON.exists(), f"{PYTHON} is missing: make it with `make test` or `python tests/compat/llmock_env.py`"
    # Any faster, and a stream would have been sent whole before the judge could see that somebody stopped reading it.
    env = {**os.environ, "LLMOCK_STREAM_CHUNK_DELAY_MS": "20"}
    command = [PYTHON, "-c", SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        yield Judge(process.stdout.readline().strip())
        assert process.stdin is not None
        process.stdin.close()


class Client(OpenAICompatible):
    """Ours. `continues`, which a gateway asks before it looks for the rest of an answer, waits until the judge has noticed that
    we left the broken one: else the judge takes the next request for another question."""

    def __init__(self, judge: Judge, retries: int) -> None:
        super().__init__(f"{judge.url}/v1", timeout=CLOCKS, retries=retries)
        self.judge = judge

    async def continues(self) -> bool:
        await asyncio.to_thread(self.judge.requests)
        return False


async def persistent(provider: Client, model: str, *, stream: bool) -> tuple[str, list[str]]:
    """What a program gets that asks again when an answer is known to be broken; and what it had got of the broken ones."""
    partials = []
    while True:
        try:
            return await provider.create_async_generator(model, MESSAGES, stream=stream).text(), partials
        except BROKEN as error:
            partials.append(error.partial)
            await provider.continues()


def fail(status: int, **more: Any) -> dict[str, Any]:
    return {"type": "fail", "status": status, "times": 2, **more}


def fault(kind: str) -> dict[str, Any]:
    return {"type": "stream_fault", "kind": kind, "after_chunks": 4, "stall_seconds": 3}


class Case(NamedTuple):
    """What llmock does, how often it is asked, and whether the caller gets the text or an error of that status."""

    behavior: dict[str, Any]
    asked: int
    status: int | None = None


STATUSES = {
    "healthy": Case({"type": "delay", "seconds": 0}, 1),
    "slow": Case({"type": "delay", "seconds": 1.5}, 1),
    "rate limited": Case(fail(429, retry_after=0.7), 3),
    **{str(status): Case(fail(status), 3) for status in (408, 409, 500, 502, 503, 504, 529)},
    "an outage": Case(fail(503, times=None), 3, 503),
    "a quota that lasts": Case(fail(429, times=None, retry_after=0.3), 3, 429),
    **{str(status): Case(fail(status, times=None), 1, status) for status in (400, 401, 403, 404, 422)},
    "a prompt too long": Case(fail(400, times=None, code="context_length_exceeded"), 1, 400),
}
STREAMS = ("disconnect", "truncate", "malformed", "stall")


async def test_statuses(judge: Judge) -> None:
    """What can be mended is asked again, with patience and a bound; what cannot is not. Nothing to blame, nor warn of."""
    cases = {
        f"{name}, {'streamed' if stream else 'whole'}": (case, stream) for name, case in STATUSES.items() for stream in (1, 0)
    }
    judge.play(*({**case.behavior, "match": {"model": name}} for name, (case, _) in cases.items()))

    async def outcome(provider: Client, name: str, *, stream: bool) -> str | int | None:
        try:
            return (await persistent(provider, name, stream=stream))[0]
        except StatusError as error:
            return error.status

    async with Client(judge, retries=2) as provider:
        outcomes = await asyncio.gather(*(outcome(provider, name, stream=bool(stream)) for name, (_, stream) in cases.items()))
    asked = Counter(each["model"] for each in judge.requests())

    assert {name: case.status or TEXT for name, (case, _) in cases.items()} == dict(zip(cases, outcomes, strict=True))
    assert {name: case.asked for name, (case, _) in cases.items()} == asked
    assert [] == judge.verdict()["findings"]


@pytest.mark.parametrize("kind", STREAMS)
async def test_broken_streams(judge: Judge, kind: str) -> None:
    """A broken stream never passes for an answer: it is an error with the exact text so far, and a program can ask again."""
    judge.play(fault(kind))

    async with Client(judge, retries=2) as provider:
        text, partials = await persistent(provider, MODEL, stream=True)

    assert (TEXT, ["One, two, three, "], []) == (text, partials, judge.verdict()["findings"])


@pytest.mark.parametrize("kind", STREAMS)
async def test_broken_streams_behind_a_gateway(judge: Judge, kind: str) -> None:
    """There the program has nothing to do: the rest is fetched, and the text is whole, once."""
    judge.play(fault(kind))

    async with Gateway([Upstream("llmock", Client(judge, retries=0))], {MODEL: ["llmock"]}) as gateway:
        result = gateway.create_async_generator(MODEL, MESSAGES, stream=True)
        text = await result.text()

    assert result.report is not None
    assert (TEXT, [17], []) == (text, [splice.offset for splice in result.report.splices], judge.verdict()["findings"])


async def test_a_slow_first_token_is_waited_for(judge: Judge) -> None:
    """Asked once."""
    judge.play({"type": "slow_first_token", "seconds": 1.5})

    async with Client(judge, retries=2) as provider:
        text = await provider.create_async_generator(MODEL, MESSAGES, stream=True).text()

    assert (TEXT, 1, []) == (text, len(judge.requests()), judge.verdict()["findings"])


async def test_the_judge_can_condemn(judge: Judge) -> None:
    """Our client without the program that asks again: the judge cannot see that it raised, and blames what it sees."""
    judge.play(fault("truncate"))

    async with Client(judge, retries=2) as provider:
        with pytest.raises(HTTPError):
            await provider.create_async_generator(MODEL, MESSAGES, stream=True).text()

    assert ["truncated_stream_accepted"] == [finding["code"] for finding in judge.verdict()["findings"]]
