"""The one contract: a provider makes an `AsyncResult`. Knows events and errors, no wire, no network, no concrete provider."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from types import MethodType, TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeAlias, TypeVar

import msgspec

from .blocking import BackgroundLoop, ClosedError
from .errors import HTTPError, IncompleteStreamError, ModelNotFoundError
from .events import Batch, Chunk, FinishReason, Messages, Reasoning, Report, Started, ToolCallDelta, join_tool_calls
from .pieces import MANY, fold

P = ParamSpec("P")
R = TypeVar("R")


class class_or_instance(Generic[P, R]):
    """A method that can be called on the class as well as on an instance; its first argument is what it was called on."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type[Any]) -> Callable[P, R]:
        return MethodType(self.__wrapped__, owner if instance is None else instance)


CLOSED = "the answer was closed before it was complete"
_READ_ALREADY = "this answer is being read already, or is closed; make a new one with create_async_generator()"


class _AnswerState(msgspec.Struct):
    """What is known of an answer so far; shared by an `AsyncResult` and its iterator, which must not hold each other: only so
    does a forgotten iterator close its response as soon as the last reference goes."""

    finish: FinishReason | None = None
    model: str | None = None
    upstream: str | None = None
    parts: list[str] = []


#: Takes a batch, at once. False: the reader wants its turn before the next one comes.
Sink: TypeAlias = Callable[[Batch], bool]


class BatchStream(Protocol):
    """Batches as they come, and a way to stop them: an async generator is one. Whoever holds it closes it."""

    def __aiter__(self) -> AsyncIterator[Batch]: ...
    def __anext__(self) -> Awaitable[Batch]: ...
    async def aclose(self) -> None: ...


def pipe_to(stream: BatchStream | None, sink: Sink) -> Awaitable[bool]:
    """Have the usual batches in the midst of *stream* handed to *sink* as they come, without a turn of the reader's task, until
    something is for the reader: the end, an error, an odd batch, or because *sink* wants it so. None of that is raised here;
    the next `__anext__` brings it. A stream that can do so has a method ``pipe_to(sink)``. False: do not ask again."""
    method: Callable[[Sink], Awaitable[bool]] | None = getattr(stream, "pour", None)
    return cannot_pipe() if method is None else method(sink)


async def cannot_pipe() -> bool:
    """What a stream answers that has nothing to pipe_to, now or ever."""
    return False


class _NotedBatches:
    """The source's batches, with a note of who answers, of the text, and of the end. Raises where a source just stops.

    It can be closed while another task reads; whatever that one gets after it is an error, and closed with it.
    No generator: an event loop keeps a list of those, and each batch passes here more than once.
    """

    __slots__ = ("_answer", "_closed", "_source", "_stream")

    def __init__(self, source: Callable[[], BatchStream], answer: _AnswerState) -> None:
        self._source = source
        self._answer = answer
        self._stream: BatchStream | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        if self._closed:
            raise StopAsyncIteration
        answer = self._answer
        try:
            if self._stream is None:
                self._stream = self._source()
            batch = await self._stream.__anext__()
            if self._closed:
                raise IncompleteStreamError(CLOSED)
        except BaseException as error:
            await self.aclose()
            if isinstance(error, StopAsyncIteration) and answer.finish is None:
                raise IncompleteStreamError(partial="".join(answer.parts)) from None
            if isinstance(error, HTTPError):
                error.partial = "".join(answer.parts) or error.partial
            raise
        first, last = batch[0], batch[-1]
        if type(first) is Started:
            answer.model, answer.upstream = first.model, first.upstream
        if type(last) is FinishReason:
            answer.finish = last
        if type(first) is str and len(batch) == 1:  # as usual
            answer.parts.append(first)
        else:
            answer.parts += [event for event in batch if type(event) is str]
        if len(answer.parts) > MANY:
            fold(answer.parts)
        return batch

    async def pipe_to(self, sink: Sink) -> bool:
        """See `provider.pour`."""
        parts = self._answer.parts

        def note(batch: Batch) -> bool:
            if type(text := batch[0]) is str and len(batch) == 1:  # as usual
                parts.append(text)
            else:
                parts.extend([event for event in batch if type(event) is str])
            if len(parts) > MANY:
                fold(parts)
            return sink(batch)

        try:
            again = await pipe_to(self._stream, note)
            if self._closed:
                raise IncompleteStreamError(CLOSED)
        except BaseException:
            await self.aclose()
            raise
        return again

    async def aclose(self) -> None:
        self._closed = True
        if self._stream is not None and not getattr(self._stream, "ag_running", False):  # one that runs cannot be closed
            await self._stream.aclose()


class _Flattener:
    """Batches become what a caller iterates: text and reasoning as they come, tool calls whole, the finish reason last."""

    __slots__ = ("deltas",)

    def __init__(self) -> None:
        self.deltas: list[ToolCallDelta] = []

    def chunks(self, batch: Batch) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in batch:
            if type(event) is str or type(event) is Reasoning:
                chunks.append(event)
            elif type(event) is ToolCallDelta:
                self.deltas.append(event)
            elif type(event) is FinishReason:
                if self.deltas:
                    chunks.append(join_tool_calls(self.deltas))
                chunks.append(event)
        return chunks


async def _chunks(batches: BatchStream) -> AsyncGenerator[Chunk]:
    flattener = _Flattener()
    try:
        async for batch in batches:
            for chunk in flattener.chunks(batch):
                yield chunk
    finally:
        await batches.aclose()


class AsyncResult:
    """One answer: an async iterator, an async context manager, and something to close.

    Making it does no I/O, and dropping it unread warns nobody. Iterating yields `str` (text), `Reasoning`, `ToolCalls`, and
    last exactly one `FinishReason`; or an exception is raised: it never just stops. Leaving the ``async with``, ``aclose()``
    and cancelling the task close the HTTP response at once. It can be read once, in one way: by chunks, or by ``batches()``.
    """

    def __init__(self, source: Callable[[], BatchStream], *, report: Report | None = None) -> None:
        #: How the answer came about, where a gateway made it: filled while it answers.
        self.report = report
        self._source = source
        self._answer = _AnswerState()
        self._stream: BatchStream | None = None
        self._chunks: AsyncGenerator[Chunk] | None = None
        self._closed = False

    @property
    def finish(self) -> FinishReason | None:
        """The `FinishReason`, once it has come."""
        return self._answer.finish

    @property
    def model(self) -> str | None:
        """Who answers, as the upstream names it; None before the first event, or where it did not say."""
        return self._answer.model

    @property
    def upstream(self) -> str | None:
        """Which upstream of a gateway answers; None elsewhere."""
        return self._answer.upstream

    def batches(self) -> BatchStream:
        """The inner road: lists of all events that one network read brought, `Started` first, `FinishReason` last."""
        if self._stream is not None or self._closed:
            raise RuntimeError(_READ_ALREADY)
        self._stream = batches = _NotedBatches(self._source, self._answer)
        return batches

    def source(self) -> BatchStream:
        """The same road without the notes, for a provider made of others, which keeps its own: ``finish`` and ``model`` stay
        None, errors have no ``.partial``, and a source that just stops is for the reader to notice."""
        if self._stream is not None or self._closed:
            raise RuntimeError(_READ_ALREADY)
        self._stream = stream = self._source()
        return stream

    def _iterator(self) -> AsyncGenerator[Chunk]:
        if self._chunks is None:
            self._chunks = _chunks(self.batches())
        return self._chunks

    def __aiter__(self) -> AsyncGenerator[Chunk]:
        return self._iterator()

    def __anext__(self) -> Any:
        return self._iterator().__anext__()

    async def text(self) -> str:
        """Read to the end and return the whole text. Errors are those of iterating, with the text so far in ``.partial``."""
        return "".join([str(chunk) async for chunk in self])

    @property
    def text_so_far(self) -> str:
        """The text that has come until now; it asks for nothing."""
        return "".join(self._answer.parts)

    async def aclose(self) -> None:
        """Close the response now. Safe to call again, before anything was read, and while another task reads: that one gets an
        `IncompleteStreamError`, at once from a client, with the next batch from a provider that cannot be woken."""
        self._closed = True
        if self._stream is not None:
            await self._stream.aclose()
        if self._chunks is not None and not getattr(self._chunks, "ag_running", False):
            await self._chunks.aclose()

    async def __aenter__(self) -> AsyncResult:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncGeneratorProvider(ABC):
    """Anything that answers: a client, the embedded engine, a gateway, a test double. A server can serve any of them."""

    #: Where the service lives, for people; and its name for them, where the class's own is not it.
    url: str = ""
    label: str | None = None
    #: Whether the service behind it is operational.
    working: bool = True
    supports_stream: bool = True
    supports_system_message: bool = True
    supports_message_history: bool = True

    #: Whether the same request with the same ``seed`` is answered with the same bytes: then a broken answer can be had again.
    repeats: bool = False

    #: gpt4free's callers read these four of a provider, and `get_dict`: with them ours can be handed to its client.
    needs_auth: bool = False
    use_stream_timeout: bool = True
    live: int = 0

    #: The event loop of the blocking callers.
    _background: BackgroundLoop | None = None

    @property
    def __name__(self) -> str:
        return type(self).__name__  # type: ignore[return-value]  # it is the class's name, not this property

    @class_or_instance
    def get_dict(self) -> dict[str, str | None]:
        """What a listing says of this provider: its ``name``, ``url`` and ``label``. On the class or on an instance."""
        return {"name": self.__name__, "url": self.url, "label": self.label}

    @abstractmethod
    def create_async_generator(
        self, model: str, messages: Messages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        """Make an answer. Raises `ModelNotFoundError` and `InvalidMessagesError` at the call, the rest while it is read.

        ``kwargs``: request fields of chat completions (``temperature``, ``max_tokens``, …).
        """

    def create_completion(
        self, model: str, messages: Messages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> Iterator[Chunk]:
        """The same for a blocking caller: an iterator of the same chunks, inside a running event loop or without one."""
        return blocking(self, self.create_async_generator(model, messages, proxy=proxy, stream=stream, **kwargs))

    def close(self) -> None:
        """For blocking callers: end what `create_completion` keeps from call to call, its connections and its engine, and wait
        until it is gone. Dropping the provider, and the interpreter's end, do the same. The next call would begin anew."""
        background, self._background = self._background, None
        if background is not None:
            background.close()

    async def continues(self) -> bool:
        """Whether `create_continuation` can be used."""
        return False

    def create_continuation(
        self, model: str, messages: Messages, text: str, proxy: str | None = None, **kwargs: Any
    ) -> AsyncResult:
        """The rest of an answer that begins with *text*: streamed, and without *text* itself."""
        raise NotImplementedError(f"{type(self).__name__} cannot continue an answer")

    async def start(self) -> None:  # noqa: B027  nothing to do is the usual case
        """Make ready what can be made ready before the first request. A provider that needs nothing does nothing."""

    async def aclose(self) -> None:  # noqa: B027  nothing to do is a case
        """Close connections and children. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


#: Seconds within which a response that a blocking caller leaves is closed.
_FAREWELL = 5.0

#: Held while a provider gets its background.
_beginning = threading.Lock()


def _background_of(provider: AsyncGeneratorProvider) -> BackgroundLoop:
    with _beginning:
        background = provider._background
        if background is None or not background.is_here:
            background = provider._background = BackgroundLoop()
        return background


def blocking(provider: AsyncGeneratorProvider, result: AsyncResult) -> Iterator[Chunk]:
    """Iterate an `AsyncResult` of *provider* from blocking code, in the provider's background. Nothing is read ahead; closing
    the iterator, or dropping it, closes the response."""
    background = _background_of(provider)
    batches = result.batches()
    flattener = _Flattener()
    left = asyncio.Event()
    reading: asyncio.Task[Any] | None = None

    async def hold() -> None:
        """Until the caller leaves, or the loop ends. It may be that a batch is still waited for then."""
        nonlocal reading
        try:
            await left.wait()
        finally:
            if reading is not None and not reading.done():
                reading.cancel()
                await asyncio.wait([reading])
            reading = None  # it would hold the error that holds our frame
            await result.aclose()

    async def next_batch() -> Batch | None:
        nonlocal reading
        reading = asyncio.current_task()
        return await anext(batches, None)

    async def leave() -> None:
        left.set()

    holding = background.submit(hold())
    try:
        while (batch := background.submit(next_batch()).result()) is not None:
            yield from flattener.chunks(batch)
    except (CancelledError, ClosedError):
        problem = "the provider was closed before the answer was complete"
        raise IncompleteStreamError(problem, partial=result.text_so_far) from None
    finally:
        with contextlib.suppress(CancelledError, ClosedError, TimeoutError):
            background.submit(leave())
            if not background.is_asking:
                holding.result(_FAREWELL)


class ProviderModelMixin:
    """Which models a provider has, and how a name becomes one of them."""

    default_model: str = ""
    models: list[str] = []
    model_aliases: dict[str, str] = {}

    @class_or_instance
    def get_models(self) -> list[str]:
        """The names of the models, without their aliases. On the class or on an instance."""
        return list(self.models)

    @class_or_instance
    def get_model(self, model: str | None) -> str:
        """The model that *model* names: itself, an alias, or ``""`` or None for the default model.

        Raises `ModelNotFoundError` (a `ValueError`) that names the models there are.
        """
        if not model:
            return self.default_model
        name = self.model_aliases.get(model, model)
        if name not in self.models:
            raise ModelNotFoundError(model, self.models)
        return name
