"""The openai package, unmodified, against the server on the real engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

FIVE = {"llama", "qwen_coder", "hermes", "vision", "summary"}
WEIGHTS = "smollm2-135m"
MESSAGES: Any = [{"role": "user", "content": "Name three colours."}]
#: The same question, the same words: what several ways of asking are compared by.
FIXED: Any = {"model": "llama", "messages": MESSAGES, "max_tokens": 40, "temperature": 0, "seed": 1}


@pytest.fixture
def client(real_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(real_server: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{real_server}/v1", api_key="none", max_retries=0) as client:
        yield client


def text_of(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def reasons_of(chunks: list[Any]) -> list[str]:
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


def test_a_whole_answer(client: openai.OpenAI) -> None:
    """Text, a finish reason, counted tokens, and the name of the weights that spoke."""
    answer = client.chat.completions.create(**FIXED)

    choice, usage = answer.choices[0], answer.usage
    assert choice.message.content
    assert "assistant" == choice.message.role
    assert choice.finish_reason in {"stop", "length"}
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens <= 40
    assert WEIGHTS == answer.model


def test_a_streamed_answer_is_the_same_answer(client: openai.OpenAI) -> None:
    """Piece by piece it is the text that comes whole otherwise, and it ends in one finish reason."""
    whole = client.chat.completions.create(**FIXED)

    with client.chat.completions.create(**FIXED, stream=True) as stream:
        chunks = list(stream)

    assert whole.choices[0].message.content == text_of(chunks)
    assert [whole.choices[0].finish_reason] == reasons_of(chunks)
    assert len(chunks) > 5
    assert {WEIGHTS} == {chunk.model for chunk in chunks}


def test_a_stream_counts_tokens_when_asked(client: openai.OpenAI) -> None:
    """The last chunk has the usage and no choices; without the option there is none."""
    whole = client.chat.completions.create(**FIXED)

    with client.chat.completions.create(**FIXED, stream=True, stream_options={"include_usage": True}) as stream:
        counted = list(stream)
    with client.chat.completions.create(**FIXED, stream=True) as stream:
        uncounted = list(stream)

    assert ([], whole.usage and whole.usage.total_tokens) == (counted[-1].choices, counted[-1].usage.total_tokens)
    assert {None} == {chunk.usage for chunk in uncounted}


async def test_async_answers(async_client: openai.AsyncOpenAI) -> None:
    """The asynchronous client gets the same, whole and streamed."""
    whole = await async_client.chat.completions.create(**FIXED)

    async with await async_client.chat.completions.create(**FIXED, stream=True) as stream:
        chunks = [chunk async for chunk in stream]

    assert whole.choices[0].message.content == text_of(chunks)
    assert [whole.choices[0].finish_reason] == reasons_of(chunks)


async def test_the_stream_helper(async_client: openai.AsyncOpenAI) -> None:
    """The package's own accumulating helper puts the answer together."""
    async with async_client.chat.completions.stream(**FIXED) as stream:
        final = await stream.get_final_completion()

    assert final.choices[0].message.content


@pytest.mark.parametrize("model", sorted(FIVE))
def test_each_of_the_five_models_answers(client: openai.OpenAI, model: str) -> None:
    """All five stand on the one engine, and whoever answers is named truthfully."""
    answer = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=8)

    assert answer.choices[0].message.content
    assert answer.model in (WEIGHTS, "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    """The five, each of which can be retrieved, by its alias too."""
    listed = {model.id for model in client.models.list()}

    assert FIVE <= listed
    assert "llama" == client.models.retrieve("llama").id
    assert client.models.retrieve("hermes-3").id in {"hermes", "hermes-3"}


@pytest.mark.parametrize(
    ("change", "error", "param"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, "model"),
        ({"temperature": 5}, openai.BadRequestError, "temperature"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError, "messages[0].role"),
        ({"n": 99}, openai.BadRequestError, "n"),
        ({"extra_body": {"no_such_field": 1}}, openai.BadRequestError, "no_such_field"),
        ({"max_tokens": 1, "messages": [{"role": "user", "content": "word " * 9000}]}, openai.BadRequestError, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_its_own_classes(
    client: openai.OpenAI, change: dict[str, Any], error: type[openai.APIStatusError], param: str | None, stream: bool
) -> None:
    """A refusal arrives as the exception that its users catch, and names the field."""
    with pytest.raises(error) as caught:
        client.chat.completions.create(**{**FIXED, **change}, stream=stream)

    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]
    if param is not None:
        assert param == caught.value.param


def test_the_engine_calls_a_tool(client: openai.OpenAI) -> None:
    """Streamed and whole it is the same one."""
    number = {"type": "integer", "minimum": 1, "maximum": 31}
    parameters = {"type": "object", "properties": {"day": number}, "required": ["day"]}
    tool: Any = {"type": "function", "function": {"name": "book", "parameters": parameters}}
    asked: Any = {**FIXED, "tools": [tool], "tool_choice": {"type": "function", "function": {"name": "book"}}}
    whole = client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0]

    for choice in (whole, streamed):
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        assert choice.message.tool_calls[0].function.name == "book"
        assert 1 <= json.loads(choice.message.tool_calls[0].function.arguments)["day"] <= 31


def test_an_image_is_refused_clearly(client: openai.OpenAI) -> None:
    """No model here can see: a 400 that says so, not an answer that pretends."""
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    messages: Any = [{"role": "user", "content": content}]

    with pytest.raises(openai.BadRequestError, match="image"):
        client.chat.completions.create(model="vision", messages=messages)


def test_who_leaves_early_leaves_the_server_well(client: openai.OpenAI) -> None:
    """A stream closed after its first words; the next request is answered."""
    with client.chat.completions.create(**{**FIXED, "max_tokens": 1000}, stream=True) as stream:
        first = [next(stream) for _ in range(3)]

    assert first
    assert client.chat.completions.create(**FIXED).choices[0].message.content


def test_an_answer_obeys_a_schema(client: openai.OpenAI) -> None:
    """Constrained by a JSON schema, the model can write nothing else: hardly anybody but a model would."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 30},
            "people": {"type": "integer"},
            "coast": {"type": "boolean"},
        },
        "required": ["city", "people", "coast"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="llama",
        messages=[{"role": "user", "content": "Describe a city."}],
        max_tokens=120,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}},
    )

    city = json.loads(answer.choices[0].message.content or "")
    assert {"city": str, "people": int, "coast": bool} == {key: type(value) for key, value in city.items()}


def test_a_seed_decides(client: openai.OpenAI) -> None:
    """Two seeds, two stories; the same seed, the same story."""

    def tell(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model="llama",
            messages=[{"role": "user", "content": "Tell me a story about a dragon."}],
            max_tokens=30,
            temperature=1,
            seed=seed,
        )
        return answer.choices[0].message.content

    one, again, other = tell(1), tell(1), tell(2)

    assert one == again
    assert one != other


@pytest.mark.parametrize("word", ["tiger", "banana"])
def test_history_matters(client: openai.OpenAI, word: str) -> None:
    """The last question is the same, and can only be answered from what was said before."""
    answer = client.chat.completions.create(
        model="llama",
        messages=[
            {"role": "user", "content": f"The secret word is {word}."},
            {"role": "assistant", "content": f"I understand. The secret word is {word}."},
            {"role": "user", "content": "What is the secret word?"},
        ],
        max_tokens=30,
        temperature=0,
    )

    assert word in (answer.choices[0].message.content or "")
