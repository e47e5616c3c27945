"""How users write against the public names. Type checkers read this (`mypy` in `make check`); nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal, TypedDict, assert_type

from autonomousai import (
    AsyncGeneratorProvider,
    AsyncResult,
    AutonomousAI,
    Clocks,
    Completion,
    FinishReason,
    HTTPError,
    LlamaCpp,
    Messages,
    OpenAICompatible,
    ProviderModelMixin,
    StatusError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.events import Chunk
from autonomousai.testing import (
    Chaos,
    Double,
    Fault,
    LiveLLM,
    RecordedLLM,
    Script,
    ScriptedLLM,
    ScriptedProvider,
    ScriptedServer,
    answer,
    replay,
    scripted,
)

messages: Messages = [{"role": "user", "content": "Hello"}]


async def on_the_class() -> None:
    assert_type(AutonomousAI.models, list[str])
    assert_type(AutonomousAI.model_aliases, dict[str, str])
    assert_type(AutonomousAI.get_models(), list[str])
    assert_type(AutonomousAI.get_model("llama-3.3-70b"), str)
    async with AutonomousAI.create_async_generator(model="llama", messages=messages) as result:
        async for chunk in result:
            assert_type(chunk, Chunk)


async def on_an_instance() -> None:
    async with AutonomousAI("http://127.0.0.1:8000", api_key="key", timeout={"idle": 5}) as provider:
        assert_type(provider, AutonomousAI)
        result = provider.create_async_generator("llama", messages, proxy=None, stream=True, temperature=0.5)
        assert_type(result, AsyncResult)
        assert_type(await result.text(), str)
        assert_type(result.finish, FinishReason | None)
    for _ in AutonomousAI.create_completion("llama", messages):
        break


async def on_failure(provider: AsyncGeneratorProvider) -> None:
    try:
        await provider.create_async_generator("llama", messages).text()
    except TimeoutError as error:
        print(error.clock, error.seconds)
    except StatusError as error:
        assert_type(error.status, int)
    except HTTPError as error:
        assert_type(error.status, int | None)
        assert_type(error.partial, str)


async def any_provider(which: int) -> AsyncGeneratorProvider:
    return [
        OpenAICompatible("http://127.0.0.1:8000/v1", model="m", timeout=Clocks(idle=5)),
        LlamaCpp(slots=2),
        ScriptedProvider(answer("Hello")),
    ][which]


class Own(AsyncGeneratorProvider, ProviderModelMixin):
    """A provider of one's own."""

    def create_async_generator(
        self, model: str, messages: Messages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        async def batches() -> AsyncGenerator[list[Any]]:
            yield ["Hello", FinishReason("stop", "finish_reason")]

        return AsyncResult(batches)


class Said(TypedDict):
    """A message as the types of other SDKs have it."""

    role: Literal["user"]
    content: str


async def plain_names(provider: AsyncGeneratorProvider) -> None:
    said: list[Said] = [{"role": "user", "content": "Hello"}]
    assert_type(await provider.chat("llama", said, temperature=0.5, extra_body={"top_a": 1}), str)
    assert_type(AutonomousAI.chat("llama", said), AsyncResult)
    provider.chat("llama", said, temprature=0.5)  # type: ignore[call-arg]  # found before it is sent


def blocking(provider: AsyncGeneratorProvider) -> None:
    with provider.create_completion("llama", messages) as completion:
        assert_type(completion, Completion)
        "".join(completion.texts())
    assert_type(completion.finish, FinishReason | None)
    assert_type(provider.complete("llama", messages, temperature=0.5).text(), str)
    assert_type(AutonomousAI.complete("llama", messages, retries=0), Completion)
    provider.complete("llama", messages, temprature=0.5)  # type: ignore[call-arg]
    provider.stream("llama", messages)  # type: ignore[arg-type]  # what a provider implements; `chat` streams


def in_pytest(scripted_llm: ScriptedLLM, recorded_llm: RecordedLLM, live_llm: LiveLLM) -> None:
    assert_type(scripted_llm("cut", Script.stream("Hello"), chaos=["529", Fault.cut(at=9)]), Double)
    assert_type(live_llm("http://127.0.0.1:8000/v1", chaos=Chaos(seed=1)).requests[0].text, str)
    llm = recorded_llm("https://api.openai.com/v1", speed=1, ignore=["metadata.run_id"], normalise=lambda body: body)
    llm.assert_sent(path="/v1/chat/completions", headers={"x-a": "b"}, model="m").json()
    with replay("hello.toml") as double:
        assert_type(double.url, str)


async def in_tests() -> None:
    async with scripted(chaos="cut") as double:
        await double.aassert_nothing_open(idle_ok=True)
    async with ScriptedServer(Script.cut("Hel"), "stall") as server:
        assert_type(server.url, str)
        assert_type((await server.request(0)).left, bool)
