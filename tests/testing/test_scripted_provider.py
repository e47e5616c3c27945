"""`ScriptedProvider` keeps the contract of a provider, and its log says how each answer was left."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from autonomousai.errors import IncompleteStreamError, ModelNotFoundError, StreamError
from autonomousai.events import FinishReason, Started, ToolCall, ToolCalls
from autonomousai.testing import Pause, ScriptedProvider, answer

MESSAGES = [{"role": "user", "content": "hi"}]
STOP = FinishReason("stop", "finish_reason", None, "scripted")


async def test_answers_without_a_script() -> None:
    """Text in pieces, and last the finish reason."""
    provider = ScriptedProvider()

    chunks = [chunk async for chunk in provider.create_async_generator("llama", MESSAGES, stream=True)]

    assert ["Hello", " world", STOP] == chunks


async def test_without_stream_the_text_is_one_chunk() -> None:
    """The contract's `stream=False`."""
    provider = ScriptedProvider()

    chunks = [chunk async for chunk in provider.create_async_generator("llama", MESSAGES)]

    assert ["Hello world", STOP] == chunks


async def test_scripts_are_taken_in_order_and_the_last_is_repeated() -> None:
    """One script a call."""
    provider = ScriptedProvider(answer("one"), answer("two"))

    texts = [await provider.create_async_generator("llama", MESSAGES).text() for _ in range(3)]

    assert ["one", "two", "two"] == texts


async def test_batches_are_kept_and_begin_with_started() -> None:
    """A list in a script is one batch, as one network read would bring it."""
    provider = ScriptedProvider([["a", "b"], "c", STOP])

    batches = [batch async for batch in provider.create_async_generator("llama", MESSAGES, stream=True).batches()]

    assert [[Started(model="scripted"), "a", "b"], ["c"], [STOP]] == batches


async def test_raises_what_is_scripted_with_the_partial_text() -> None:
    """An exception in a script is raised at its place."""
    provider = ScriptedProvider(["Hel", StreamError("broken")])

    with pytest.raises(StreamError, match="broken") as caught:
        await provider.create_async_generator("llama", MESSAGES, stream=True).text()

    assert "Hel" == caught.value.partial
    assert "failed" == provider.calls[0].left


async def test_a_script_without_an_end_is_a_stream_that_just_stops() -> None:
    """The contract turns it into an error."""
    provider = ScriptedProvider(["Hel"])

    with pytest.raises(IncompleteStreamError):
        await provider.create_async_generator("llama", MESSAGES, stream=True).text()

    assert "failed" == provider.calls[0].left


async def test_tool_calls_may_be_scripted_as_they_are_read() -> None:
    """The public chunk is a step as well, also where two calls have the same index."""
    calls = ToolCalls((ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "[]")))
    result = ScriptedProvider([["a", calls], STOP]).create_async_generator("llama", MESSAGES, stream=True)

    chunks = [chunk async for chunk in result]

    assert ["a", "c1", "c2"] == [chunks[0], *(call.id for call in result.tool_calls)]
    assert [ToolCall("c1", "f", "{}", 0), ToolCall("c2", "g", "[]", 1)] == list(chunks[1].calls)  # type: ignore[union-attr]


async def test_an_exception_may_be_scripted_by_its_class() -> None:
    """As `raise` takes it."""
    provider = ScriptedProvider(["a", ConnectionResetError])

    with pytest.raises(ConnectionResetError):
        await provider.create_async_generator("llama", MESSAGES, stream=True)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("Hello", "a script is a list of steps, such as answer('Hello'), not str"),
        (StreamError("no"), "not StreamError"),
        ({"role": "assistant"}, "not dict"),
        (["a", 5], "step 1 of the script is no event, batch, exception or Pause, but int"),
        ([["a", None]], "step 0 of the script is no event, batch, exception or Pause, but NoneType"),
    ],
)
def test_what_is_no_script_is_refused_at_once(script: Any, said: str) -> None:
    """Not as an answer that ends without its end."""
    with pytest.raises(TypeError, match=re.escape(said)):
        ScriptedProvider(script)
    with pytest.raises(TypeError, match=re.escape(said)):
        ScriptedProvider().play(script)


async def test_a_pause_waits_for_its_release() -> None:
    """What comes after a pause comes only when the test says so."""
    pause = Pause()
    result = ScriptedProvider(["a", pause, "b", STOP]).create_async_generator("llama", MESSAGES, stream=True)

    first = await anext(result)
    second = asyncio.create_task(anext(result))
    await pause.reached.wait()
    waited = not second.done()
    pause.release()

    assert ("a", True, "b") == (first, waited, await second)
    await result.aclose()


async def test_the_log_holds_the_call() -> None:
    """Model, messages, stream, proxy and further arguments, as they were given."""
    provider = ScriptedProvider()

    await provider.create_async_generator("hermes-3", MESSAGES, proxy="http://p", stream=True, seed=7).text()

    call = provider.calls[0]
    assert ("hermes-3", MESSAGES, True, "http://p", {"seed": 7}) == (
        call.model,
        call.messages,
        call.stream,
        call.proxy,
        call.kwargs,
    )
    assert "finished" == await call.over()


async def test_the_log_tells_how_an_answer_was_left() -> None:
    """Never read, closed half-way, and cancelled are told apart."""
    provider = ScriptedProvider(["a", Pause(), STOP])
    unread = provider.create_async_generator("llama", MESSAGES, stream=True)
    closed = provider.create_async_generator("llama", MESSAGES, stream=True)
    cancelled = provider.create_async_generator("llama", MESSAGES, stream=True)

    await unread.aclose()
    await anext(closed)
    await closed.aclose()
    reader = asyncio.create_task(cancelled.text())
    while not provider.calls[2].read:
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)

    assert [(False, None), (True, "closed"), (True, "cancelled")] == [(call.read, call.left) for call in provider.calls]


def test_an_unknown_model_is_refused_at_the_call() -> None:
    """As of any provider; and the call is not logged."""
    provider = ScriptedProvider(models=["one"])

    with pytest.raises(ModelNotFoundError, match="one"):
        provider.create_async_generator("two", MESSAGES)

    assert [] == provider.calls
    assert "one" == provider.get_model("")
