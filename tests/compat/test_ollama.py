"""Ollama's client for Python, unmodified: against the engine, and before scripted upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import ollama
import pytest
from pydantic import BaseModel

QUESTION: Any = {
    "model": "llama",
    "messages": [{"role": "user", "content": "Name three colours."}],
    "options": {"temperature": 0, "num_predict": 20, "num_ctx": 2048},
}


@pytest.fixture
def engine(real_server: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=real_server) as client:
        yield client


def test_an_answer_streamed_and_complete_is_the_same(engine: ollama.Client) -> None:
    """With its end and its tokens."""
    pieces = list(engine.chat(**QUESTION, stream=True))
    whole = engine.chat(**QUESTION)

    text = "".join(piece.message.content or "" for piece in pieces)
    assert text == whole.message.content
    assert len(text) > 5 < len(pieces)
    assert (True, whole.done_reason) == (pieces[-1].done, pieces[-1].done_reason)
    assert (whole.prompt_eval_count, whole.eval_count) == (pieces[-1].prompt_eval_count, pieces[-1].eval_count)


async def test_the_async_client_generates(real_server: str) -> None:
    """From one prompt."""
    options = {"num_predict": 8, "temperature": 0}
    async with ollama.AsyncClient(host=real_server) as client:
        stream = await client.generate(model="llama", prompt="Hello", options=options, stream=True)
        text = "".join([piece.response async for piece in stream])
        whole = await client.generate(model="llama:latest", prompt="Hello", options=options)

    assert text == whole.response != ""


def test_a_conversation_continues_by_its_context(engine: ollama.Client) -> None:
    """Which is of the client's types; so are the durations, which clients divide by."""
    options = {"num_predict": 8, "temperature": 0}
    first = engine.generate(model="llama", prompt="Name a colour.", options=options)
    second = engine.generate(model="llama", prompt="Another?", context=first.context, options=options)

    assert first.context
    assert (second.prompt_eval_count or 0) > (first.prompt_eval_count or 0)
    assert (first.total_duration or 0) >= (first.eval_duration or 0) > 0


def test_a_raw_prompt_is_continued(engine: ollama.Client) -> None:
    """As it is, without a conversation around it; a template of the caller's own writes one."""
    options = {"num_predict": 4, "temperature": 0}
    raw = engine.generate(model="llama", prompt="One, two, three,", raw=True, options=options)
    written = engine.generate(model="llama", prompt="three", template="One, two, {{ .Prompt }},", options=options)

    assert raw.response == written.response != ""
    assert (raw.prompt_eval_count or 99) < 12


def test_a_model_is_loaded_pulled_and_listed(engine: ollama.Client) -> None:
    """As programs do before they ask."""
    assert "load" == engine.chat(model="llama", messages=[]).done_reason
    assert "unload" == engine.generate(model="llama", keep_alive=0).done_reason
    assert "success" == list(engine.pull("llama", stream=True))[-1].status
    assert "llama:latest" in [model.model for model in engine.ps().models]


def test_an_answer_obeys_a_schema(engine: ollama.Client) -> None:
    """As pydantic writes it."""

    class Colour(BaseModel):
        name: Literal["red", "green"]

    got = engine.chat(**QUESTION | {"options": {"num_predict": 60}}, format=Colour.model_json_schema())

    assert Colour.model_validate_json(got.message.content or "").name in ("red", "green")


def test_models_are_listed_and_shown(engine: ollama.Client) -> None:
    """By the names that they are asked by."""
    names = [model.model for model in engine.list().models]
    shown = engine.show("llama")

    assert "llama:latest" in names
    assert "completion" in (shown.capabilities or ())
    assert shown.modelinfo


def test_errors_are_of_the_clients_class(engine: ollama.Client) -> None:
    """With the status and a text."""
    with pytest.raises(ollama.ResponseError, match="none") as caught:
        engine.chat(**QUESTION | {"model": "none"})

    assert 404 == caught.value.status_code


@pytest.fixture
def scripted(scripted_server: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=scripted_server) as client:
        yield client


def weather(place: str) -> str:
    """Return the weather at a place.

    Args:
        place: Where.
    """
    return f"fine in {place}"


def test_a_tool_is_called_and_its_result_read(scripted: ollama.Client) -> None:
    """A function in Python, as the client describes it; the call and its result have no ids."""
    messages: list[Any] = [{"role": "user", "content": "How is it in Paris?"}]
    asked = list(scripted.chat(model="llama", messages=messages, tools=[weather], stream=True))
    (call,) = next(piece.message.tool_calls for piece in asked if piece.message.tool_calls)
    result = {"role": "tool", "content": weather(**call.function.arguments), "tool_name": call.function.name}
    said = {"role": "assistant", "tool_calls": [call]}
    answered = scripted.chat(model="llama", messages=[*messages, said, result], tools=[weather])

    assert ("weather", {"place": "Paris"}) == (call.function.name, call.function.arguments)
    assert "In Paris it is fine in Paris." == answered.message.content


def test_thinking_stands_beside_the_text(scripted: ollama.Client) -> None:
    """Streamed and complete."""
    messages = [{"role": "user", "content": "a"}]
    whole = scripted.chat(model="thinks", messages=messages, think=True)
    pieces = list(scripted.chat(model="thinks", messages=messages, think=True, stream=True))

    assert ("Hm, yes.", "I think so.") == (whole.message.thinking, whole.message.content)
    assert "Hm, yes." == "".join(piece.message.thinking or "" for piece in pieces)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_broken_answer_is_an_error(scripted: ollama.Client, streamed: bool) -> None:
    """Never an answer that looks complete."""
    with pytest.raises(ollama.ResponseError):
        got = scripted.chat(model="broken", messages=[{"role": "user", "content": "a"}], stream=streamed)
        list(got)


def test_vectors_are_read(scripted: ollama.Client) -> None:
    """Of several texts."""
    assert [[0.25, -0.5, 1.0]] * 2 == scripted.embed(model="vectors", input=["a", "b"]).embeddings
