"""Text completions: the openai package and LangChain's, unmodified, against the server on the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_openai import OpenAI
from pydantic import SecretStr

PROMPT = "The capital of France is"
FIXED: Any = {"model": "llama", "prompt": PROMPT, "max_tokens": 5, "temperature": 0, "seed": 1}


@pytest.fixture
def client(real_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_prompt_is_continued_whole_and_streamed(client: openai.OpenAI) -> None:
    """By the same text; without a chat template it goes on in mid-sentence."""
    whole = client.completions.create(**FIXED)
    with client.completions.create(**FIXED, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)

    assert whole.choices[0].text.startswith(" Paris")
    assert whole.choices[0].text == "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert ("length", 5, 5) == (
        whole.choices[0].finish_reason,
        whole.usage and whole.usage.completion_tokens,
        chunks[-1].usage and chunks[-1].usage.completion_tokens,
    )


def test_without_a_limit_it_is_the_vendors(client: openai.OpenAI) -> None:
    """Sixteen tokens."""
    answer = client.completions.create(model="llama", prompt="Once upon a time", temperature=0)

    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 16


def test_several_prompts_and_choices(client: openai.OpenAI) -> None:
    """Those of the first prompt first; streamed, each chunk says whose it is. What is counted of a prompt counts once."""
    asked: Any = {**FIXED, "prompt": [PROMPT, "Hello"], "n": 2, "temperature": 1.0}
    whole = client.completions.create(**asked)
    with client.completions.create(**asked, stream=True) as stream:
        chunks = list(stream)
    counted = [client.completions.create(**{**FIXED, "prompt": prompt}).usage for prompt in asked["prompt"]]

    texts = dict.fromkeys(range(4), "")
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert list(texts.values()) == [choice.text for choice in whole.choices]
    assert len({*texts.values()}) > 1
    assert (whole.usage and whole.usage.prompt_tokens) == sum(usage.prompt_tokens for usage in counted if usage)


def test_log_probabilities_have_the_older_shape(client: openai.OpenAI) -> None:
    """A number for each token; the likeliest beside them; offsets in the text."""
    answer = client.completions.create(**FIXED, logprobs=2)

    told = answer.choices[0].logprobs
    assert told is not None
    assert told.tokens is not None
    assert answer.choices[0].text == "".join(told.tokens)
    assert told.token_logprobs is not None
    assert all(value <= 0 for value in told.token_logprobs)
    assert [0, len(told.tokens[0])] == (told.text_offset or [])[:2]
    assert told.top_logprobs is not None
    assert {2} == {len(likeliest) for likeliest in told.top_logprobs}


def test_an_echo_alone_makes_nothing(client: openai.OpenAI) -> None:
    """``max_tokens`` 0 is legal with it."""
    alone = client.completions.create(**{**FIXED, "max_tokens": 0}, echo=True)
    more = client.completions.create(**FIXED, echo=True)

    assert (PROMPT, "length") == (alone.choices[0].text, alone.choices[0].finish_reason)
    assert 0 == (alone.usage and alone.usage.completion_tokens)
    assert more.choices[0].text.startswith(PROMPT + " Paris")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"n": 1000}, "n"),
        ({"echo": True, "logprobs": 1}, "logprobs"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_the_engine_cannot_do_is_refused_by_name(
    client: openai.OpenAI, fields: dict[str, Any], param: str, stream: bool
) -> None:
    """With a 400, and never ignored."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**{**FIXED, **fields}, stream=stream)

    assert param == refused.value.param


def test_langchains_completion_model(real_server: str) -> None:
    """Whole, several at once, and streamed."""
    model = OpenAI(model="llama", base_url=f"{real_server}/v1", api_key=SecretStr("none"), temperature=0, max_tokens=5)

    whole = model.invoke(PROMPT)
    assert whole.startswith(" Paris")
    assert [whole, whole] == model.batch([PROMPT, PROMPT])
    assert whole == model.generate([PROMPT, "Hello"]).generations[0][0].text
    assert whole == "".join(model.stream(PROMPT))
