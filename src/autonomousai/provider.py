"""The provider contract: what every client, engine, gateway and test double does.

Knows no wire, no network and no concrete provider.

`autonomousai.testing.contract` is the suite that any provider can be run against.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack

from .answer import Answer
from .batches import BatchStream, SentRequest
from .blocking import BackgroundLoop
from .blocking_answers import completion_of
from .capabilities import Capabilities, ProviderStatus, cannot_count
from .completion import Completion
from .embeddings import EmbeddingInput, Embeddings, read_embeddings
from .errors import IncompleteStreamError, ModelNotFoundError
from .models import other_spellings
from .request import (
    CALL_OPTIONS,
    DEFAULT_OPTIONS,
    AnyMessages,
    CallOptions,
    ChatRequest,
    as_flag,
    as_model_name,
    take_options,
)
from .result import AsyncResult, as_result, chunks_of
from .wires.raw import EMBEDDINGS_WIRE, embedding_request, unsupported

if TYPE_CHECKING:
    from .chat_fields import ChatFields

P = ParamSpec("P")
R = TypeVar("R")


class class_or_instance(Generic[P, R]):
    """A method that can be called on the class as well as on an instance; its first argument is what it was called on."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type[Any]) -> Callable[P, R]:
        return MethodType(self.__wrapped__, owner if instance is None else instance)


class AsyncGeneratorProvider(ABC):  # noqa: B024  one of two methods is to be overridden
    """Anything that answers: a client, the embedded engine, a gateway, a test double. A server can serve any of them.

    A provider implements `stream`; `create_async_generator` is the public front of it. One written for the front alone, by
    overriding `create_async_generator`, works as well: it returns an `AsyncResult`, or is an async generator of chunks, of
    which the last one is a `FinishReason`.

    Example::

        class Echo(AsyncGeneratorProvider):
            def stream(self, request, options=DEFAULT_OPTIONS):
                async def batches():
                    yield [request.messages[-1]["content"], FinishReason("stop", "finish_reason")]

                return GeneratedBatches(batches)
    """

    #: Where the service lives, for people; and its name for them, where the class's own is not it.
    url: str = ""
    label: str | None = None
    #: Whether the service behind it is operational.
    working: bool = True
    supports_stream: bool = True
    supports_system_message: bool = True
    supports_message_history: bool = True

    #: What the provider can do, whichever model is asked; see `capabilities_of`.
    capabilities: Capabilities = Capabilities()

    #: gpt4free's callers read these four of a provider, and `get_dict`: with them this one can be handed to its client.
    needs_auth: bool = False
    use_stream_timeout: bool = True
    live: int = 0

    #: The event loop of the blocking callers, and whether `close` has ended it for good.
    _background: BackgroundLoop | None = None
    _is_closed: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if (front := vars(cls).get("create_async_generator")) is not None:
            cls.create_async_generator = as_result(front)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        """A copy, by `copy` or by `pickle` for another process, has the settings, and nothing that belongs to an event loop."""
        state = {name: value for name, value in vars(self).items() if name != "_background"}
        return {name: asyncio.Lock() if isinstance(value, asyncio.Lock) else value for name, value in state.items()}

    @property
    def __name__(self) -> str:
        return type(self).__name__  # type: ignore[return-value]  # it is the class's name, not this property

    @class_or_instance
    def get_dict(self) -> dict[str, str | None]:
        """Return what a listing shows of this provider: its ``name``, ``url`` and ``label``. On the class or on an instance."""
        return {"name": self.__name__, "url": self.url, "label": self.label}

    # ---- answering

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """Return the batches of the answer to *request*. Does no I/O before the first of them is asked for.

        Raises `ModelNotFoundError` and `InvalidMessagesError` at the call; the rest while it is read. Without
        ``request.stream`` the answer comes as one batch.
        """
        if type(self).create_async_generator is AsyncGeneratorProvider.create_async_generator:
            raise NotImplementedError(f"{type(self).__name__} implements neither stream nor create_async_generator")
        given = {name: value for name in CALL_OPTIONS - {"proxy"} if (value := getattr(options, name)) is not None}
        if options.deadline is not None:
            given["timeout"] = {"total": max(options.deadline - asyncio.get_running_loop().time(), 0.001)}
        return self.create_async_generator(
            request.model, request.messages, proxy=options.proxy, stream=request.stream, **{**request.fields, **given}
        ).batches()

    def launch(
        self, request: ChatRequest, on_news: Callable[[], None], deadline: float = inf, others: bool = False
    ) -> SentRequest | None:
        """Send *request* now, and return what its answer is read from, where that needs no waiting. *on_news* is called once,
        when something of the answer is there. None elsewhere, which is the default: nothing was sent, and `stream` does what is
        to be done. *deadline* and *others*: as in `CallOptions`."""
        return None

    def create_async_generator(
        self, /, model: str, messages: AnyMessages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        """Return the answer of *model* to *messages*. Raises `ModelNotFoundError` and `InvalidMessagesError` at the call,
        the rest while it is read.

        ``kwargs``: the options ``timeout``, ``headers``, ``api_key`` and ``retries``, and request fields of chat completions
        (``temperature``, ``max_tokens``, …). ``retries``: how many tries may follow the first, while nothing of an answer has
        come: by default the provider's, 0 for none.

        Example::

            async for chunk in provider.create_async_generator("llama", messages, stream=True):
                print(chunk, end="")
        """
        return ask(self, model, messages, proxy, stream, kwargs)

    def chat(
        self,
        /,
        model: str,
        messages: AnyMessages,
        *,
        stream: bool = True,
        proxy: str | None = None,
        **fields: Unpack[ChatFields],
    ) -> AsyncResult:
        """Return the answer of *model* to *messages*: `create_async_generator` under a plain name, with typed request fields.

        Iterate it for a stream; await it for the whole text. ``stream``: whether it comes in pieces. ``fields``: see
        `ChatFields`; what has no name there goes into ``extra_body``.

        Example::

            text = await provider.chat("llama", [{"role": "user", "content": "Name three colours."}], max_tokens=40)
        """
        return self.create_async_generator(model, messages, proxy=proxy, stream=stream, **fields)

    def complete(
        self,
        /,
        model: str,
        messages: AnyMessages,
        *,
        stream: bool = True,
        proxy: str | None = None,
        **fields: Unpack[ChatFields],
    ) -> Completion:
        """Return the same for a blocking caller: `create_completion` under a plain name, with typed request fields.

        Example::

            text = provider.complete("llama", [{"role": "user", "content": "Name three colours."}], max_tokens=40).text()
        """
        return self.create_completion(model, messages, proxy=proxy, stream=stream, **fields)

    def create_completion(
        self, /, model: str, messages: AnyMessages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> Completion:
        """Return the same for a blocking caller: an iterator of the same chunks, inside a running event loop or without one.

        Example::

            text = provider.create_completion("llama", messages, max_tokens=40).text()
        """
        return blocking(self, self.create_async_generator(model, messages, proxy=proxy, stream=stream, **kwargs))

    async def count_prompt(self, /, model: str, messages: AnyMessages, proxy: str | None = None, **kwargs: Any) -> int:
        """Return how many tokens the prompt has that *messages* make for *model*; nothing is generated. ``kwargs``: the options
        ``timeout``, ``headers`` and ``api_key``, and request fields that are part of the prompt (``tools``, …).

        Raises `ModelNotFoundError` and `InvalidMessagesError`, and a `StatusError` 404 where nothing here can count.

        Example::

            tokens = await provider.count_prompt("llama", [{"role": "user", "content": "Hello"}])
        """
        if self._is_closed:
            raise _closed(self)
        given = take_options(kwargs)
        request = ChatRequest(model, messages, fields=kwargs)  # type: ignore[arg-type]  # what counts checks them
        return await self.count_tokens(request, CallOptions(proxy=proxy, **given))

    async def embed(
        self, /, model: str = "", input: EmbeddingInput = (), proxy: str | None = None, **kwargs: Any
    ) -> Embeddings:
        """Return the embeddings that *model* makes of *input*: a text, a list of texts, or tokens. ``kwargs``: the options
        ``timeout``, ``headers``, ``api_key`` and ``retries``, and request fields (``dimensions``, ``encoding_format``, …).

        Raises `ValueError` for an empty input, and `StatusError` where nothing here makes embeddings.

        Example::

            async with OpenAICompatible(url) as provider:
                vectors = (await provider.embed("an-embedding-model", ["Hello", "world"])).vectors
        """
        return await embed(self, model, input, proxy, kwargs)

    def create_embeddings(
        self, /, model: str = "", input: EmbeddingInput = (), proxy: str | None = None, **kwargs: Any
    ) -> Embeddings:
        """Return the same for a blocking caller, inside a running event loop or without one.

        Example::

            with OpenAICompatible(url) as provider:
                vectors = provider.create_embeddings("an-embedding-model", "Hello").vectors
        """
        background = _background_of(self)
        return background.submit(self.embed(model, input, proxy, **kwargs)).result()

    def close(self) -> None:
        """End what `create_completion` keeps from call to call, its connections and its engine, and wait until it is gone. Safe
        to call twice; other calls raise `RuntimeError` from then on.

        Dropping the provider, and the interpreter's end, do the same.

        Example::

            with provider:  # which calls it at its end
                text = provider.complete("llama", messages).text()
        """
        self._is_closed = True
        background, self._background = self._background, None
        if background is not None:
            background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- what a gateway needs beyond an answer

    def capabilities_of(self, model: str) -> Capabilities:
        """Return what *model* can do here."""
        return self.capabilities

    def details_of(self, model: str) -> Mapping[str, Any]:
        """Return what is known of the weights that answer as *model*, for a list of models; mostly nothing."""
        return {}

    def status(self) -> ProviderStatus:
        """Return how the provider is, without I/O."""
        return ProviderStatus()

    async def check_health(self) -> bool | None:
        """Return whether the server behind the provider is up, by a request that costs no tokens; None where there is no such
        request, which is the default, or its answer says nothing of that. Raises `ProviderError` where it cannot be reached."""
        return None

    def repeats(self, request: ChatRequest) -> bool:
        """Return whether *request*, with a seed, is answered with the same bytes again. ``capabilities.deterministic``: whether
        any is."""
        return self.capabilities.deterministic

    async def continues(self) -> bool:
        """Return whether `stream_continuation` can be used; finds out where ``capabilities.continues`` is None."""
        return bool(self.capabilities.continues)

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """Return the rest of an answer that begins with *text*: streamed, and without *text* itself. By default a raw prompt is
        continued, as its answer is a longer prompt, and nothing else."""
        if request.is_raw:
            return self.stream(request.continued(text), options)
        raise NotImplementedError(f"{type(self).__name__} cannot continue an answer")

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """Return how many tokens the prompt of *request* has, tools included; nothing is generated.

        Raises `ModelNotFoundError` and `InvalidMessagesError`, and a `StatusError` 404 of the code `CANNOT_COUNT` where the
        provider cannot, which is the default.
        """
        raise cannot_count(request.model)

    def resume(self, request: ChatRequest, options: CallOptions) -> BatchStream:
        """Return the rest of an answer that broke at another server. ``options.answer``: what was delivered of it, and the
        report of how it came about. Raises `IncompleteStreamError` where the provider cannot, which is the default."""
        raise IncompleteStreamError("the server that was answering is gone, and this one cannot continue its answer")

    # ---- its life

    async def start(self) -> None:  # noqa: B027  nothing to do is the usual case
        """Make ready what can be made ready before the first request."""

    async def aclose(self) -> None:  # noqa: B027  nothing to do is a case
        """Close connections and children. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _closed(provider: AsyncGeneratorProvider) -> RuntimeError:
    return RuntimeError(f"this {provider.__name__} was closed with close(); make another one")


def ask(
    provider: AsyncGeneratorProvider, model: str, messages: AnyMessages, proxy: str | None, stream: bool, kwargs: dict[str, Any]
) -> AsyncResult:
    """Return *provider*'s answer to what the arguments of `AsyncGeneratorProvider.create_async_generator` ask.

    This is the one place where options and request fields share a namespace, and are separated.
    """
    if provider._is_closed:
        raise _closed(provider)
    given = take_options(kwargs) if kwargs else {}
    answer = Answer()
    streams: object = stream  # callers without a type checker give 1, or numpy's own
    is_streamed = streams if isinstance(streams, bool) else as_flag("stream", streams)
    if type(model) is not str:
        model = as_model_name(model)
    request = ChatRequest(model, messages, is_streamed, fields=kwargs)  # type: ignore[arg-type]  # what answers it checks them
    return AsyncResult(provider.stream(request, CallOptions(proxy=proxy, answer=answer, **given)), answer=answer)


async def embed(
    provider: AsyncGeneratorProvider, model: str, input: EmbeddingInput, proxy: str | None, kwargs: dict[str, Any]
) -> Embeddings:
    """Return *provider*'s answer to what the arguments of `AsyncGeneratorProvider.embed` ask."""
    if provider._is_closed:
        raise _closed(provider)
    given = take_options(kwargs)
    request = embedding_request(model, input, kwargs)
    if EMBEDDINGS_WIRE not in provider.capabilities_of(model).wires:
        raise unsupported(model or provider.__name__, EMBEDDINGS_WIRE)
    answer = Answer()
    batches = provider.stream(request, CallOptions(proxy=proxy, answer=answer, **given))
    try:
        async for batch in batches:
            answer.add(batch)
    finally:
        await batches.aclose()
    return read_embeddings(answer.joined())


#: Held while a provider gets its background.
_beginning = threading.Lock()


def _background_of(provider: AsyncGeneratorProvider) -> BackgroundLoop:
    """Return the provider's background; a closed one gets no other, which no call would end."""
    with _beginning:
        if provider._is_closed:
            raise _closed(provider)
        background = provider._background
        if background is None or not background.is_here:
            background = provider._background = BackgroundLoop()
        return background


def blocking(provider: AsyncGeneratorProvider, result: AsyncResult) -> Completion:
    """Return *result*, an answer of *provider*, for blocking code: it is read in the provider's background."""
    return completion_of(result, partial(chunks_of, answer=result.answer), lambda: _background_of(provider))


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

        Example::

            assert AutonomousAI.get_model("llama-3.3-70b") == "llama"
        """
        if not model:
            return self.default_model
        name = self.model_aliases.get(model, model)
        if name in self.models:
            return name
        for other in other_spellings(model):
            name = self.model_aliases.get(other, other)
            if name in self.models:
                return name
        raise ModelNotFoundError(model, self.models)
