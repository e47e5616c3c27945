"""The provider contract as a suite that any provider can be run against, with plain pytest (and pytest-asyncio).

Subclass `ProviderContract` in a test module and say how a provider is made that answers with a text; each ``test_`` method is
one promise of `autonomousai.provider.AsyncGeneratorProvider`::

    class TestMine(ProviderContract):
        text = "Hello world"

        @asynccontextmanager
        async def provider(self):
            async with MyProvider() as provider:
                yield provider
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from ..answer import Answer
from ..capabilities import Capabilities, ProviderStatus
from ..errors import HTTPError, IncompleteStreamError, InvalidMessagesError, ModelNotFoundError
from ..events import Batch, FinishReason, Messages, Started
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..request import CallOptions, ChatRequest

#: What is asked, unless a subclass asks something else.
HELLO: Messages = [{"role": "user", "content": "Hello"}]


class ProviderContract(ABC):
    """What every provider promises. ``model``: the model that is asked; ``text``: the whole text of its answer to ``messages``,
    or None where it varies; ``unknown_model``: a name that must be refused at the call, None where any name is taken;
    ``checks_messages``: whether messages that cannot be sent are refused at the call."""

    model: ClassVar[str] = "llama"
    text: ClassVar[str | None] = None
    messages: ClassVar[Messages] = HELLO
    unknown_model: ClassVar[str | None] = "no-such-model"
    checks_messages: ClassVar[bool] = True

    @abstractmethod
    def provider(self) -> AbstractAsyncContextManager[AsyncGeneratorProvider]:
        """Return a context in which there is a provider that answers."""

    def request(self, *, stream: bool = True) -> ChatRequest:
        """Return what is asked."""
        return ChatRequest(self.model, self.messages, stream)

    def check_text(self, text: str) -> None:
        """Check the text of an answer."""
        if self.text is None:
            assert text, "the answer is empty"
        else:
            assert text == self.text

    async def test_an_answer_begins_with_started_and_ends_with_one_finish_reason(self) -> None:
        """`Started` is the first event, `FinishReason` the last, and there is one of each."""
        async with self.provider() as provider:
            events = [event async for batch in provider.stream(self.request()) for event in batch]

        assert type(events[0]) is Started
        assert type(events[-1]) is FinishReason
        assert [sum(type(event) is kind for event in events) for kind in (Started, FinishReason)] == [1, 1]
        self.check_text("".join(map(str, events)))

    async def test_no_batch_is_empty(self) -> None:
        """Each batch brings something."""
        async with self.provider() as provider:
            batches = [batch async for batch in provider.stream(self.request())]

        assert all(batches)

    async def test_after_the_end_there_is_nothing(self) -> None:
        """Asking on raises `StopAsyncIteration`, as often as it is asked."""
        async with self.provider() as provider:
            stream = provider.stream(self.request())
            async for _ in stream:
                pass
            assert [await anext(stream, None) for _ in range(2)] == [None, None]

    async def test_without_stream_the_answer_is_one_batch(self) -> None:
        """A caller who does not want a stream gets the whole answer at once."""
        async with self.provider() as provider:
            batches = [batch async for batch in provider.stream(self.request(stream=False))]

        assert len(batches) == 1
        self.check_text("".join(map(str, batches[0])))

    async def test_piping_brings_the_same_events(self) -> None:
        """`pipe_to` and ``anext`` bring the same answer, however they take turns."""
        piped: list[Batch] = []

        def sink(batch: Batch) -> bool:
            piped.append(batch)
            return True

        async with self.provider() as provider:
            stream = provider.stream(self.request())
            async for batch in stream:
                piped.append(batch)
                await stream.pipe_to(sink)

        events = [event for batch in piped for event in batch]
        assert type(events[-1]) is FinishReason
        self.check_text("".join(map(str, events)))

    async def test_an_answer_that_is_handed_down_is_left_to_its_reader(self) -> None:
        """``options.answer`` is filled by the reader of the batches, and by nothing else."""
        answer = Answer()
        async with self.provider() as provider:
            async for batch in provider.stream(self.request(), CallOptions(answer=answer)):
                answer.add(batch)

        assert answer.finish is not None
        self.check_text(answer.text)

    async def test_the_public_front_yields_text_and_last_one_finish_reason(self) -> None:
        """`create_async_generator` gives chunks that join to the text."""
        async with (
            self.provider() as provider,
            provider.create_async_generator(self.model, self.messages, stream=True) as result,
        ):
            chunks = [chunk async for chunk in result]

        assert type(chunks[-1]) is FinishReason
        assert chunks[-1] == result.finish
        self.check_text("".join(map(str, chunks)))

    async def test_an_unread_answer_costs_nothing(self) -> None:
        """Making an answer does nothing, and closing it unread is no error; again neither."""
        async with self.provider() as provider:
            stream = provider.stream(self.request())
            await stream.aclose()
            await stream.aclose()
            assert await anext(stream, None) is None

    async def test_closing_in_the_midst_stops(self) -> None:
        """After `aclose` no batch comes; the provider still answers others."""
        async with self.provider() as provider:
            stream = provider.stream(self.request())
            await anext(stream)
            await stream.aclose()
            left = await anext(stream, None)
            again = await provider.create_async_generator(self.model, self.messages, stream=True).text()

        assert left is None
        self.check_text(again)

    async def test_a_cancelled_reader_leaves_the_provider_usable(self) -> None:
        """Cancelling the task that reads raises in it, and harms no other answer."""
        async with self.provider() as provider:
            reading = asyncio.create_task(provider.create_async_generator(self.model, self.messages, stream=True).text())
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            again = await provider.create_async_generator(self.model, self.messages, stream=True).text()

        assert reading.cancelled() or reading.done()
        self.check_text(again)

    async def test_closing_while_another_task_waits_ends_its_wait(self) -> None:
        """The waiting task gets the answer's end, a batch or an `IncompleteStreamError`; it does not wait for ever."""
        async with self.provider() as provider:
            result = provider.create_async_generator(self.model, self.messages, stream=True)
            reading = asyncio.create_task(result.text())
            await asyncio.sleep(0)
            await result.aclose()
            done, _ = await asyncio.wait([reading], timeout=60)

        assert done
        error = None if reading.cancelled() else reading.exception()
        assert error is None or isinstance(error, IncompleteStreamError | HTTPError)

    async def test_two_answers_at_once_do_not_mix(self) -> None:
        """Each has its own text."""
        async with self.provider() as provider:
            results = [provider.create_async_generator(self.model, self.messages, stream=True) for _ in range(2)]
            texts = await asyncio.gather(*(result.text() for result in results))

        for text in texts:
            self.check_text(text)

    async def test_an_unknown_model_is_refused_at_the_call(self) -> None:
        """`ModelNotFoundError` is raised before anything is awaited."""
        if self.unknown_model is None:
            return
        async with self.provider() as provider:
            try:
                provider.stream(ChatRequest(self.unknown_model, self.messages, stream=True))
            except ModelNotFoundError:
                return
        raise AssertionError(f"the model {self.unknown_model!r} was taken")

    async def test_messages_that_cannot_be_sent_are_refused_at_the_call(self) -> None:
        """`InvalidMessagesError` is raised before anything is awaited."""
        if not self.checks_messages:
            return
        async with self.provider() as provider:
            try:
                provider.stream(ChatRequest(self.model, [], stream=True))
            except InvalidMessagesError:
                return
        raise AssertionError("an empty list of messages was taken")

    async def test_what_it_can_do_is_data(self) -> None:
        """`capabilities`, `capabilities_of` and `status` need no I/O, and have the contract's types."""
        async with self.provider() as provider:
            found = (provider.capabilities, provider.capabilities_of(self.model), provider.status())
            continues = await provider.continues()

        assert (Capabilities, Capabilities, ProviderStatus) == tuple(map(type, found))
        assert type(continues) is bool

    async def test_it_lists_its_models(self) -> None:
        """Where it has models, the one that is asked resolves."""
        async with self.provider() as provider:
            if isinstance(provider, ProviderModelMixin):
                assert isinstance(provider.get_model(self.model), str)

    async def test_it_can_be_closed_twice(self) -> None:
        """And a closed provider that is closed again raises nothing."""
        async with self.provider() as provider:
            await provider.aclose()
            await provider.aclose()
