"""A client is copied, or goes to another process, with its settings and without its connections."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from autonomousai import Anthropic, AutonomousAI, OpenAICompatible
from autonomousai.testing import Script, ScriptedProvider, ScriptedServer
from autonomousai.wires.base import Wire
from autonomousai.wires.registry import WIRES

HELLO = [{"role": "user", "content": "Hello"}]


def over_pickle(provider: Any) -> Any:
    return pickle.loads(pickle.dumps(provider))


@pytest.mark.parametrize("made_again", [over_pickle, copy.deepcopy, copy.copy], ids=["pickle", "deepcopy", "copy"])
@pytest.mark.parametrize("kind", [OpenAICompatible, AutonomousAI, Anthropic])
async def test_a_copy_answers_as_the_first_one(kind: Any, made_again: Callable[[Any], Any]) -> None:
    """Before the first was used, and while it is: what belongs to its event loop is left behind."""
    script = Script.messages("Hello") if kind is Anthropic else Script.stream("Hello")
    async with ScriptedServer(script) as server, kind(server.url, api_key="k", retries=0) as first:
        fresh = made_again(first)
        reading = first.create_async_generator("llama", HELLO, stream=True)
        await anext(reading)
        used = made_again(first)
        texts = [await each.create_async_generator("llama", HELLO, stream=True).text() for each in (fresh, used)]
        await reading.aclose()
        for each in (fresh, used):
            await each.aclose()

    assert ["Hello", "Hello"] == texts
    assert {"k"} == {(each.headers.get("x-api-key") or each.headers["authorization"][-1]) for each in server.requests}


@pytest.mark.parametrize("made_again", [over_pickle, copy.deepcopy, copy.copy], ids=["pickle", "deepcopy", "copy"])
async def test_a_copy_asks_in_the_same_words(made_again: Callable[[Any], Any]) -> None:
    """Mistral's ids of calls are short: a copy of its client shortens longer ones as the first one does."""
    call = {"id": "call_of_another_vendor", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Call f."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "done"},
    ]
    async with ScriptedServer(Script.stream("Hello")) as server:
        first = OpenAICompatible(server.url, vendor="mistral", api_key="k")
        for each in (first, made_again(first)):
            await each.create_async_generator("m", messages, stream=True).text()
            await each.aclose()
    asked, again = (request.json() for request in server.requests)

    assert asked == again


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("made_again", [over_pickle, copy.deepcopy, copy.copy], ids=["pickle", "deepcopy", "copy"])
def test_a_wire_is_never_copied(wire: Wire, made_again: Callable[[Any], Any]) -> None:
    """It is known by its identity."""
    assert made_again(wire) is wire


async def test_a_lock_that_was_waited_for_is_left_behind() -> None:
    """It belongs to its event loop."""
    provider = OpenAICompatible("http://localhost:1")
    async with provider._asking:
        waiting = asyncio.ensure_future(provider._asking.acquire())
        await asyncio.sleep(0)
        copied = over_pickle(provider)
        waiting.cancel()

    assert not copied._asking.locked()


def test_what_was_learnt_is_learnt_again() -> None:
    """A copy may live on another machine, whose clock shows another time."""
    provider = OpenAICompatible("http://localhost:1")
    provider._adaptations.remember("m", ["max_tokens"])

    assert [] == over_pickle(provider)._adaptations.known()


@pytest.mark.parametrize("method", ["create_async_generator", "create_completion"])
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_answer_is_not_copied(method: str, take: Callable[[Any], Any]) -> None:
    """It is read once, from a connection: the error says what can be kept of it."""
    result = getattr(ScriptedProvider(), method)("llama", HELLO)

    with pytest.raises(TypeError, match=r"cannot be copied or pickled; keep its text\(\)"):
        take(result)
