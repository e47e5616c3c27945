"""The provider contract, kept by every provider of the package and by a third party's; the suite fails where it is broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from autonomousai import (
    Anthropic,
    AutonomousAI,
    Gemini,
    IncompleteStreamError,
    LlamaCpp,
    OpenAICompatible,
    ToolCall,
    ToolCalls,
)
from autonomousai.batches import BatchStream, GeneratedBatches
from autonomousai.events import FinishReason, Started
from autonomousai.gateway import Gateway, Upstream
from autonomousai.provider import AsyncGeneratorProvider, ProviderModelMixin
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.result import AsyncResult
from autonomousai.testing import Script, ScriptedProvider, ScriptedServer, answer
from autonomousai.testing.contract import ProviderContract
from autonomousai.wires.messages import check_messages

STOP = FinishReason("stop", "finish_reason")


class TestScriptedProvider(ProviderContract):
    text = "Hello world"
    checks_messages = False

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with ScriptedProvider(answer("Hello", " world")) as provider:
            yield provider


class TestGateway(ProviderContract):
    text = "Hello world"
    checks_messages = False

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with Gateway([Upstream("u", ScriptedProvider(answer("Hello", " world")))], {"llama": ["u"]}) as provider:
            yield provider


class TestOpenAICompatible(ProviderContract):
    text = "Hello world"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with (
            ScriptedServer(Script.stream("Hello", " world")) as server,
            OpenAICompatible(f"{server.url}/v1", models=["llama"]) as provider,
        ):
            yield provider


class TestAnthropic(ProviderContract):
    text = "Hello world"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with (
            ScriptedServer(Script.messages("Hello", " world")) as server,
            Anthropic(server.url, models=["llama"]) as provider,
        ):
            yield provider


class TestGemini(ProviderContract):
    text = "Hello world"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with (
            ScriptedServer(Script.gemini("Hello", " world")) as server,
            Gemini(server.url, models=["llama"]) as provider,
        ):
            yield provider


class TestAutonomousAI(ProviderContract):
    text = "Hello world"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with ScriptedServer(Script.stream("Hello", " world")) as server, AutonomousAI(server.url) as provider:
            yield provider


@pytest.mark.timeout(300)
class TestLlamaCpp(ProviderContract):
    unknown_model = None

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with LlamaCpp(slots=2, context=1024, max_tokens=8) as provider:
            yield provider


class Minimal(AsyncGeneratorProvider):
    """A third party's: the one method that the contract needs."""

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        check_messages(request.messages)

        async def batches() -> Any:
            if request.stream:
                yield [Started("mine"), "Hello"]
                yield [" world", STOP]
            else:
                yield [Started("mine"), "Hello world", STOP]

        return GeneratedBatches(batches)


class TestMinimal(ProviderContract):
    text = "Hello world"
    unknown_model = None

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with Minimal() as provider:
            yield provider


class OfOld(AsyncGeneratorProvider, ProviderModelMixin):
    """One that was written for the public front alone."""

    models = ["llama"]

    def create_async_generator(
        self, model: str, messages: Any, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        self.get_model(model)
        check_messages(messages)

        async def batches() -> Any:
            if not stream:
                yield [Started("old"), "Hello world", STOP]
                return
            yield [Started("old"), "Hello"]
            yield [" world", STOP]

        return AsyncResult(batches)


class TestOfOld(ProviderContract):
    text = "Hello world"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with OfOld() as provider:
            yield provider


class OfChunks(AsyncGeneratorProvider, ProviderModelMixin):
    """One that is written as gpt4free's are: an async generator of chunks."""

    models = ["llama"]

    async def create_async_generator(  # type: ignore[override]
        self, model: str, messages: Any, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncIterator[Any]:
        self.get_model(model)
        check_messages(messages)
        yield "Hello"
        yield " world"
        yield STOP


class TestOfChunks(ProviderContract):
    text = "Hello world"
    unknown_model = None  # a generator refuses nothing before it is read
    checks_messages = False

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
        async with OfChunks() as provider:
            yield provider


def test_an_async_generator_of_chunks_is_a_provider() -> None:
    """Also on the class, with tool calls, and for blocking code; its end has to be proven like any other."""

    class OnTheClass(AsyncGeneratorProvider):
        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **kwargs: Any) -> AsyncIterator[Any]:  # type: ignore[override]
            yield kwargs["end"] and "Hel"
            yield ToolCalls((ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}")))
            if kwargs["end"]:
                yield STOP

    completion = OnTheClass().create_completion("", [], stream=True, end=STOP)

    assert "Hel" == completion.text()
    assert ["f", "g"] == [call.name for call in completion.tool_calls]
    assert "Hel" == asyncio.run(OnTheClass.create_async_generator("", [], end=STOP).text())
    with pytest.raises(IncompleteStreamError):
        OnTheClass().create_completion("", [], end="").text()


# ---- the suite can fail


def broken(*batches: list[Any], whole: list[Any] | None = None) -> type[AsyncGeneratorProvider]:
    """A provider that brings these batches, whatever the contract says."""

    class Broken(Minimal):
        def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
            async def brought() -> Any:
                for batch in batches if request.stream or whole is None else [whole]:
                    if options.answer is not None and len(batches) == 1:
                        options.answer.add(batch)
                    yield batch

            return GeneratedBatches(brought)

    return Broken


BEGIN = Started("b")

#: What is broken, and the promise whose test must notice.
MUTATIONS: dict[str, tuple[type[AsyncGeneratorProvider], str]] = {
    "nothing begins": (broken(["Hello world", STOP]), "test_an_answer_begins_with_started_and_ends_with_one_finish_reason"),
    "nothing ends": (
        broken([BEGIN, "Hello"], [" world"]),
        "test_an_answer_begins_with_started_and_ends_with_one_finish_reason",
    ),
    "it ends twice": (
        broken([BEGIN, "Hello", STOP], [" world", STOP]),
        "test_an_answer_begins_with_started_and_ends_with_one_finish_reason",
    ),
    "an empty batch": (broken([BEGIN, "Hello"], [], [" world", STOP]), "test_no_batch_is_empty"),
    "pieces instead of one": (broken([BEGIN, "Hello"], [" world", STOP]), "test_without_stream_the_answer_is_one_batch"),
    "another text": (broken([BEGIN, "Hello"], [STOP]), "test_the_public_front_yields_text_and_last_one_finish_reason"),
    "text that is lost when piped": (broken([BEGIN, "Hello"], [STOP]), "test_piping_brings_the_same_events"),
    "it fills its reader's answer": (
        broken([BEGIN, "Hello world", STOP]),
        "test_an_answer_that_is_handed_down_is_left_to_its_reader",
    ),
    "any messages are taken": (broken([BEGIN, STOP]), "test_messages_that_cannot_be_sent_are_refused_at_the_call"),
    "any model is taken": (broken([BEGIN, STOP]), "test_an_unknown_model_is_refused_at_the_call"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_broken_provider_is_noticed(mutation: str) -> None:
    """Each promise has a test that fails where it is not kept."""
    made, promise = MUTATIONS[mutation]

    class Suite(ProviderContract):
        text = "Hello world"

        @asynccontextmanager
        async def provider(self) -> AsyncIterator[AsyncGeneratorProvider]:
            yield made()

    with pytest.raises((AssertionError, IndexError)):
        await getattr(Suite(), promise)()
