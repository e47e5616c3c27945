"""Google's client for Python, unmodified: against the engine, and before scripted upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

#: Of the client's own making, over aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

LIMITED = types.GenerateContentConfig(temperature=0, max_output_tokens=20)


def client_of(url: str) -> genai.Client:
    return genai.Client(api_key="none", http_options=types.HttpOptions(base_url=url))


@pytest.fixture
def engine(real_server: str) -> Iterator[genai.Client]:
    with client_of(real_server) as client:
        yield client


def test_an_answer_streamed_and_complete_is_the_same(engine: genai.Client) -> None:
    """With its end and its tokens."""
    config = types.GenerateContentConfig(temperature=0, max_output_tokens=8)
    question: Any = {"model": "llama", "contents": "Tell me a long story about a llama.", "config": config}
    pieces = list(engine.models.generate_content_stream(**question))
    whole = engine.models.generate_content(**question)

    text = "".join(piece.text or "" for piece in pieces)
    assert text == whole.text
    assert len(text) > 5 < len(pieces)
    assert pieces[-1].candidates
    assert whole.candidates
    assert whole.candidates[0].finish_reason == pieces[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert pieces[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata
    assert 8 == whole.usage_metadata.candidates_token_count


async def test_the_async_client_streams(real_server: str) -> None:
    """The same."""
    client = client_of(real_server)
    async with client.aio as aclient:
        stream = await aclient.models.generate_content_stream(model="models/llama", contents="Hello", config=LIMITED)
        text = "".join([piece.text or "" async for piece in stream])
        whole = await aclient.models.generate_content(model="llama", contents="Hello", config=LIMITED)

    assert text == whole.text != ""


def test_a_conversation_is_remembered(engine: genai.Client) -> None:
    """As the client keeps it: each piece of a streamed answer as a content of its own."""
    chat = engine.chats.create(model="llama", config=LIMITED)
    first = "".join(piece.text or "" for piece in chat.send_message_stream("Say hello."))
    second = chat.send_message("And again.")

    assert first
    assert second.text
    assert ["user", "model"] == [chat.get_history(curated=True)[place].role for place in (0, -1)]


def test_an_answer_obeys_a_schema(engine: genai.Client) -> None:
    """As the client writes one of pydantic's, with types in capitals."""

    class Colour(BaseModel):
        name: Literal["red", "green"]

    config = types.GenerateContentConfig(
        temperature=0, max_output_tokens=60, response_mime_type="application/json", response_schema=Colour
    )
    got = engine.models.generate_content(model="llama", contents="Name a colour.", config=config)

    assert isinstance(got.parsed, Colour)


def test_models_are_listed_and_shown_and_tokens_counted(engine: genai.Client) -> None:
    """By the names that they are asked by."""
    names = [model.name for model in engine.models.list()]
    shown = engine.models.get(model="llama")
    counted = engine.models.count_tokens(model="llama", contents="Name three colours.")

    assert "models/llama" in names
    assert "models/llama" == shown.name
    assert "generateContent" in (shown.supported_actions or ())
    assert 0 < (counted.total_tokens or 0) < 100


def test_errors_are_of_the_clients_class(engine: genai.Client) -> None:
    """With the status, its word and a text."""
    with pytest.raises(errors.ClientError, match="none") as caught:
        engine.models.generate_content(model="none", contents="a")

    assert (404, "NOT_FOUND") == (caught.value.code, caught.value.status)


@pytest.fixture
def scripted(scripted_server: str) -> Iterator[genai.Client]:
    with client_of(scripted_server) as client:
        yield client


def weather(place: str) -> str:
    """Return the weather at a place.

    Args:
        place: Where.
    """
    return f"fine in {place}"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_is_called_and_its_result_read(scripted: genai.Client, streamed: bool) -> None:
    """A function in Python, as the client describes, calls and answers it of its own accord."""
    config = types.GenerateContentConfig(tools=[weather])
    chat = scripted.chats.create(model="llama", config=config)
    ask: Any = chat.send_message_stream if streamed else chat.send_message
    got = ask("How is it in Paris?")
    text = "".join(piece.text or "" for piece in got) if streamed else got.text

    assert "In Paris it is fine in Paris." == text


@pytest.mark.parametrize(("shown", "thought"), [(True, "Hm, yes."), (False, "")])
def test_thoughts_are_parts_of_their_own(scripted: genai.Client, shown: bool, thought: str) -> None:
    """Streamed and complete, where they are asked for."""
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=shown))
    whole = scripted.models.generate_content(model="thinks", contents="a", config=config)
    pieces = list(scripted.models.generate_content_stream(model="thinks", contents="a", config=config))

    def thoughts(answers: list[types.GenerateContentResponse]) -> str:
        return "".join(part.text or "" for answer in answers for part in answer.parts or () if part.thought)

    assert ("I think so.", thought) == (whole.text, thoughts([whole]))
    assert ("I think so.", thought) == ("".join(piece.text or "" for piece in pieces), thoughts(pieces))


def test_a_broken_answer_is_an_error(scripted: genai.Client) -> None:
    """Never an answer that looks complete, also where a part of it has come."""
    with pytest.raises(errors.ServerError) as caught:
        scripted.models.generate_content(model="broken", contents="a")
    assert 502 == caught.value.code
    stream = scripted.models.generate_content_stream(model="broken", contents="a")
    assert "Once upon" == next(stream).text
    with pytest.raises(errors.ServerError) as caught:
        next(stream)
    assert (502, "UNAVAILABLE") == (caught.value.code, caught.value.status)


async def test_a_broken_answer_is_an_error_to_the_async_client(scripted_server: str) -> None:
    """The same."""
    async with client_of(scripted_server).aio as client:
        stream = await client.models.generate_content_stream(model="broken", contents="a")
        with pytest.raises(errors.ServerError):
            _ = [piece async for piece in stream]


def test_a_limit_is_tried_again(scripted_server: str) -> None:
    """As the client is told to."""
    options = types.HttpRetryOptions(attempts=2, initial_delay=0, max_delay=0, jitter=0)
    with genai.Client(
        api_key="none", http_options=types.HttpOptions(base_url=scripted_server, retry_options=options)
    ) as client:
        assert "There is room" == client.models.generate_content(model="limited", contents="a").text


def test_vectors_are_read(scripted: genai.Client) -> None:
    """Of several texts."""
    got = scripted.models.embed_content(model="vectors", contents=["a", "b"])

    assert [[0.25, -0.5, 1.0]] * 2 == [each.values for each in got.embeddings or ()]
