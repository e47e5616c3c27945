"""langchain-openai, unmodified, against the server on the real engine."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr


@pytest.fixture
def model(real_server: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="llama",
        base_url=f"{real_server}/v1",
        api_key=SecretStr("none"),
        temperature=0,
        max_completion_tokens=40,
        max_retries=0,
    )


MESSAGES = [SystemMessage("You are brief."), HumanMessage("Name three colours.")]


def test_invoke(model: ChatOpenAI) -> None:
    """Text, usage and the finish reason arrive where LangChain's users look for them."""
    answer = model.invoke(MESSAGES)

    assert answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] in {"stop", "length"}
    assert "smollm2-135m" == answer.response_metadata["model_name"]


def test_stream(model: ChatOpenAI) -> None:
    """The pieces are the whole."""
    whole = model.invoke(MESSAGES)

    pieces = list(model.stream(MESSAGES))

    text = "".join(str(piece.content) for piece in pieces)
    assert whole.content == text
    assert len(pieces) > 5
    assert all(isinstance(piece, AIMessageChunk) for piece in pieces)


async def test_async_stream(model: ChatOpenAI) -> None:
    """The same asynchronously."""
    whole = await model.ainvoke(MESSAGES)

    text = "".join([str(piece.content) async for piece in model.astream(MESSAGES)])

    assert whole.content == text
