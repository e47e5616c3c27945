"""The one function for blocking callers."""

from __future__ import annotations

import asyncio

import pytest

from autonomousai import AutonomousAI, FinishReason, IncompleteStreamError
from autonomousai.testing import Script, ScriptedServer
from tests.support.thread import served

HELLO = [{"role": "user", "content": "Hello"}]


def test_it_yields_the_same_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a running loop: text, and last the finish reason; on the class too."""
    with served(Script.stream("Hel", "lo")) as server:
        monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", server.url)
        found = list(AutonomousAI.create_completion("llama", HELLO, stream=True))

    assert ["Hel", "lo"] == found[:2]
    assert [FinishReason] == [type(chunk) for chunk in found[2:]]


async def test_it_works_inside_a_running_loop() -> None:
    """Inside a running loop it blocks that loop, as a blocking function does, and still answers."""
    with served(Script.stream("Hel", "lo")) as server:
        found = "".join(map(str, AutonomousAI(server.url).create_completion("llama", HELLO, stream=True)))

    assert found == "Hello"


def test_errors_come_through() -> None:
    """A cut stream raises in the blocking caller's loop, after the text."""
    with served(Script.cut("Hel", "lo")) as server:
        found: list[str] = []
        with pytest.raises(IncompleteStreamError) as caught:
            for chunk in AutonomousAI(server.url).create_completion("llama", HELLO, stream=True):
                found.append(str(chunk))

    assert ("Hello", "Hello") == ("".join(found), caught.value.partial)


def test_leaving_closes_the_response() -> None:
    """Closing the iterator closes the response and ends its thread."""
    with served(Script.stall("Hi")) as server:
        chunks = AutonomousAI(server.url).create_completion("llama", HELLO, stream=True)
        first = next(chunks)
        chunks.close()  # type: ignore[attr-defined]
        end = server.run(server.scripted.requests[0].over)

    assert ("Hi", "left") == (first, end)


def test_an_unknown_model_raises_at_the_call() -> None:
    """ValueError at the call, not at the first chunk."""
    with pytest.raises(ValueError, match="gpt-9"):
        AutonomousAI.create_completion("gpt-9", HELLO)


async def test_never_iterated_starts_nothing() -> None:
    """An iterator that nobody reads starts no thread and makes no request."""
    async with ScriptedServer() as server:
        AutonomousAI(server.url).create_completion("llama", HELLO)
        await asyncio.sleep(0)

    assert server.requests == []
