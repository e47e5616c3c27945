"""It is the model that reads: what the server counts is what the model's own tokenizer makes of a text, for any text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from autonomousai.engine.weights import weights_path
from autonomousai.models import DEFAULT_WEIGHTS
from tests.support.tokenizer import Tokenizer

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ",
    "ABCdef 0123456789.,;:!?'\"()\n\t",
    "äöüßéèñçøåşžłαβγδежзийкשלוםسلام नमस्ते",
    "你好世界日本語한국어 ไทย",
    "😀🌍👩‍💻🏳️‍🌈 «»„“—…\u00a0\u200b",
)
WORDS = ("the", "of", "and", "don't", "it's", "we'll", "running", "2026", "e.g.", "x.y/z", "snake_case", "CamelCase", "Straße")


def texts() -> list[str]:
    """Random, and the same in every run."""
    chance = random.Random(20261123)
    made = ["".join(chance.choices(alphabet, k=chance.randint(1, 60))) for alphabet in ALPHABETS for _ in range(2)]
    made += [" ".join(chance.choices(WORDS, k=chance.randint(1, 60))) for _ in range(4)]
    made.append("".join(chance.choices("".join(ALPHABETS), k=200)))
    return [f"x{text}x" for text in made]  # the template strips what is at the ends


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(weights_path(DEFAULT_WEIGHTS))


@pytest.fixture(scope="module")
def client(real_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none") as client:
        yield client


@pytest.mark.parametrize("text", texts(), ids=lambda text: text[1:9].encode("unicode_escape").decode())
def test_the_prompt_is_counted_as_the_tokenizer_counts_it(client: openai.OpenAI, tokenizer: Tokenizer, text: str) -> None:
    """`usage.prompt_tokens` of a random text is our own count, template and all."""
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]

    answer = client.chat.completions.create(model="llama", messages=messages, max_tokens=1)

    assert answer.usage is not None
    assert tokenizer.count_messages(messages) == answer.usage.prompt_tokens
