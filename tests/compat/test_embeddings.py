"""Embeddings: the openai package and LangChain's, unmodified, against the server before an upstream that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

VECTOR = [0.25, -0.5, 1.0]
MODEL = "vectors"


@pytest.fixture
def client(scripted_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{scripted_server}/v1", api_key="none", max_retries=0) as client:
        yield client


FORMATS: list[dict[str, Any]] = [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}, {"dimensions": 3}]


@pytest.mark.parametrize("fields", FORMATS, ids=str)
def test_vectors(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    """The package asks for base64 by itself, and decodes it; it gets what it asks for."""
    got = client.embeddings.create(model=MODEL, input=["a", "b"], **fields)

    assert [0, 1] == [each.index for each in got.data]
    assert 1 == got.usage.total_tokens
    if fields.get("encoding_format") == "base64":
        assert {"AACAPgAAAL8AAIA/"} == {str(each.embedding) for each in got.data}
    else:
        assert [VECTOR, VECTOR] == [each.embedding for each in got.data]


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]], ids=str)
def test_tokens_are_passed_on(client: openai.OpenAI, tokens: Any) -> None:
    """One vector for each list."""
    got = client.embeddings.create(model=MODEL, input=tokens)

    assert (2 if isinstance(tokens[0], list) else 1) == len(got.data)


@pytest.mark.parametrize("text", ["", [], ["a", ""], [[]]], ids=str)
def test_an_empty_input_is_refused(client: openai.OpenAI, text: Any) -> None:
    """With a 400 that names it."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=MODEL, input=text)

    assert str(refused.value.param).startswith("input")


def test_the_engine_makes_none(real_server: str) -> None:
    """The error says what does."""
    with openai.OpenAI(base_url=f"{real_server}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="makes embeddings"):
            client.embeddings.create(model="llama", input="a")


@pytest.mark.parametrize("as_tokens", [True, False], ids=["tokens", "texts"])
def test_langchain(scripted_server: str, as_tokens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends tokens, as it is, and texts where it is told to."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    bytes_alone = tiktoken.Encoding("bytes", pat_str=".", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda name: bytes_alone)
    model = OpenAIEmbeddings(
        model=MODEL, base_url=f"{scripted_server}/v1", api_key=SecretStr("none"), check_embedding_ctx_length=as_tokens
    )

    vectors = model.embed_documents(["one", "two"])

    # LangChain takes the mean of an input's parts, and makes it a unit vector, where it sends tokens.
    length = sum(number**2 for number in VECTOR) ** 0.5
    expected = [number / length for number in VECTOR] if as_tokens else VECTOR
    for vector in (*vectors, model.embed_query("one")):
        assert vector == pytest.approx(expected) or vector == pytest.approx(VECTOR)
