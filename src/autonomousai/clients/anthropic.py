"""`Anthropic`: the client of any server that speaks Anthropic's Messages API. Knows the paths, the headers, and how an answer
is continued there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from ..batches import BatchStream, GeneratedBatches
from ..capabilities import Capabilities, ProviderStatus, cannot_count
from ..errors import HTTPError, StatusError, StreamError
from ..events import Batch, Event, Extra, Reasoning
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.urls import check_base_url
from ..provider import AsyncGeneratorProvider
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest, OriginalRequest
from ..timeouts import Clocks
from ..wires.anthropic_messages.message import DEFAULT_MAX_TOKENS, VERSION, KeyHeader
from ..wires.anthropic_messages.upstream_request import write_messages_request
from ..wires.anthropic_messages.wire import ANTHROPIC_MESSAGES
from ..wires.json import decode
from ..wires.messages import CheckedMessages, check_messages
from ..wires.model_list import ModelEntry, read_model_list
from .adaptations import is_streamed
from .documents import fetch_document
from .health import is_up
from .launched_request import LaunchTemplate, RemoteRequest, send_now
from .messages_forms import MessagesAdaptations, OwnAdaptations
from .model_names import PassedModelMixin
from .options import CLIENT_CLOCKS, ClientOptions, as_headers, check_settings, clocks_of, read_timeout
from .prefill import PROBE_S, continues_when_tried
from .prepared_request import PreparedRequest
from .reconnecting import resumable
from .remote import ResponseStream
from .retries import DEFAULT_RETRIES
from .vendors import ANTHROPIC_VENDOR, key_for, refuse_vendor_name, takes_anthropics_key

if TYPE_CHECKING:
    from ssl import SSLContext

#: The vendor's own server.
ANTHROPIC: Final = ANTHROPIC_VENDOR.base_url

#: What the request of a count has of that of an answer (API reference, "Count tokens in a Message").
_NOT_COUNTED: Final = frozenset(
    {"max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier", "container"}
)

#: Headers of a caller, where there are none.
_NONE: Final[Mapping[str, str]] = {}

#: Statuses of a server that has no such path.
_NO_SUCH_PATH: Final = frozenset({404, 405, 501})

#: How the API says that a model continues no answer.
_NO_PREFILL: Final = ("prefill", "must end with a user message")


class Anthropic(AsyncGeneratorProvider, PassedModelMixin):
    """Answers from Anthropic, or from whatever answers ``POST {base_url}/v1/messages``.

    ``base_url``: the server's root, by default that of the environment variable ``ANTHROPIC_BASE_URL``, else the vendor's.
    ``api_key``: sent as ``x-api-key``, or with ``key_header="authorization"`` as a bearer token; for that server by default the
    one in ``ANTHROPIC_API_KEY``, an error where it is not set; ``""`` for none. ``version``
    and ``beta``: the headers ``anthropic-version`` and ``anthropic-beta``. ``max_tokens``: the longest answer where a request
    names none, which the API wants. ``prefill``: whether the server continues a final message of the assistant, "yes" or "no";
    "auto" finds out when it matters. The other options are those of `OpenAICompatible`.

    Example::

        async with Anthropic(model="claude-sonnet-5") as provider:  # with the key in ANTHROPIC_API_KEY
            text = await provider.create_async_generator("", [{"role": "user", "content": "Hello"}]).text()
    """

    label = "Anthropic"

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        key_header: KeyHeader = "x-api-key",
        version: str = VERSION,
        beta: Sequence[str] = (),
        model: str | None = None,
        models: Sequence[str] = (),
        max_tokens: int = DEFAULT_MAX_TOKENS,
        timeout: float | Mapping[str, float] | Clocks | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = DEFAULT_RETRIES,
        vision: bool = True,
        context: int | None = None,
        prefill: Literal["yes", "no", "auto"] = "auto",
        uds: str | None = None,
        trust_env: bool = True,
        ssl_context: SSLContext | None = None,
    ) -> None:
        check_settings(ssl_context, model, models, trust_env=trust_env, vision=vision)
        refuse_vendor_name(base_url or "", 'or use OpenAICompatible(vendor="{}")')
        self.base_url = check_base_url(base_url or ANTHROPIC_VENDOR.address()).removesuffix("/v1")
        self.url = self.base_url
        continues = {"yes": True, "no": False}.get(prefill)
        self.capabilities = Capabilities(vision=vision, continues=continues, prefill=continues, context=context)
        self.models = list(models)
        self.default_model = model or (self.models[0] if self.models else "")
        self._model = model
        self._max_tokens = max_tokens
        self._key_header = key_header
        self._version = version
        self._beta = tuple(beta)
        self._prefill = prefill
        self._continues: bool | None = True if self.base_url == ANTHROPIC else None
        self._never_continue: set[str] = set()  # models that said so
        self._adaptations = MessagesAdaptations()
        self._own_adaptations = OwnAdaptations()
        self._asking = asyncio.Lock()
        if takes_anthropics_key(self.base_url):
            api_key = key_for(ANTHROPIC_VENDOR, api_key, as_headers(headers))
        self._options = ClientOptions(
            clocks=read_timeout(timeout, CLIENT_CLOCKS),
            headers=as_headers(headers),
            api_key=api_key or None,
            proxy=Proxy(proxy) if proxy else None,
            retries=retries,
        )
        self._usual_headers = self._headers(self._options)
        self._answer_url = f"{self.base_url}/v1/messages"
        self._streams_url = f"{self.base_url}/v1/streams"
        self._stream_headers = resumable(self._usual_headers, self._streams_url)
        self._patient = self._options.clocks.patient()
        self._launching = self._launch_template() if not proxy else None
        self._pool = HttpPool(uds=uds, trust_env=trust_env, direct=True, tls=ssl_context)

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`; raises `StatusError` 400 at the call for what the API cannot be asked."""
        name = self.get_model(request.model)
        check_messages(request.messages)
        merged = self._options.merged(options)
        body = write_messages_request(request, name, max_tokens=self._max_tokens)
        # What a caller of the same wire wrote is not changed, but for thoughts of others: a refusal is the answer to it.
        original = _original(request)
        adaptations, passed = (self._adaptations, _NONE) if original is None else (self._own_adaptations, original.headers)
        adapted = adaptations.applied(name, body) if adaptations.wanted else body
        if not passed and (merged is self._options or merged.is_sent_as(self._options)):
            headers = self._stream_headers if request.stream else self._usual_headers
        else:
            headers = self._headers(merged, self._taken(name, passed))
            headers = resumable(headers, self._streams_url) if request.stream else headers
        exchange = PreparedRequest(
            url=self._answer_url,
            headers=headers,
            body=adapted,
            clocks=self._patient if options.last and options.timeout is None else clocks_of(options, self._options.clocks),
            stream=request.stream and (adapted is body or is_streamed(adapted)),
            wire=ANTHROPIC_MESSAGES,
            proxy=merged.proxy,
            retries=merged.retries,
            streams_url=self._streams_url,
            deadline=options.deadline,
            others=options.others,
            model=name,
            adaptations=adaptations,
        )
        return ResponseStream(self._pool, exchange, options.answer)

    def launch(
        self, request: ChatRequest, on_news: Callable[[], None], deadline: float = inf, others: bool = False
    ) -> RemoteRequest | None:
        """See `AsyncGeneratorProvider.launch`: a stream, asked for in the usual form."""
        messages, original = request.messages, _original(request)
        if self._launching is None or type(messages) is not CheckedMessages or not messages.plain:
            return None
        if self._adaptations.wanted if original is None else original.headers or self._own_adaptations.wanted:
            return None
        name = self._model or (request.model if not self.models else "") or self.get_model(request.model)
        body = write_messages_request(request, name, max_tokens=self._max_tokens, stream=True)
        adaptations = self._adaptations if original is None else self._own_adaptations
        return send_now(self._launching, self._pool, body, name, adaptations, on_news, deadline, others)

    def _launch_template(self) -> LaunchTemplate:
        clocks = self._options.clocks
        return LaunchTemplate.of(
            ResponseStream, self._answer_url, self._stream_headers, clocks, ANTHROPIC_MESSAGES, self._streams_url
        )

    def _headers(self, options: ClientOptions, passed: Mapping[str, str] = _NONE) -> dict[str, str]:
        """Return the headers of a request; of those *passed* on, the marks of beta features go with those of the config."""
        headers = {"Content-Type": "application/json", "Accept": "*/*", "anthropic-version": self._version}
        asked = [mark.strip() for mark in passed.get("anthropic-beta", "").split(",") if mark.strip()]
        if beta := dict.fromkeys((*self._beta, *asked)):
            headers["anthropic-beta"] = ",".join(beta)
        if not (key := options.api_key):
            return options.signed(headers, {})
        return options.signed(headers, {self._key_header: key if self._key_header == "x-api-key" else f"Bearer {key}"})

    def _taken(self, model: str, passed: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers that are *passed* on, without the marks of beta features that the server refused for *model*."""
        if not passed or not self._own_adaptations.wanted:
            return passed
        from .unknown_extras import BETA, BETAS, without_betas  # noqa: PLC0415  few servers refuse a mark

        known = self._own_adaptations.known() if BETAS in passed else ()
        refused = [name.removeprefix(f"{BETA} ") for of, name in known if of == model and name.startswith(BETA)]
        return {**passed, BETAS: without_betas(passed[BETAS], refused)} if refused else passed

    # ---- continuing an answer

    async def continues(self) -> bool:
        """Whether the server continues an answer from its beginning: as configured, as the vendor's does but for models that
        refuse it, or as another one does when it is tried with a text whose next word is beyond doubt. What was found out is
        kept; a server that is away is asked again."""
        if self._prefill != "auto":
            return self._prefill == "yes"
        if self._model in self._never_continue:
            return False
        if self._continues is None:
            try:
                async with asyncio.timeout(PROBE_S), self._asking:
                    if self._continues is None:
                        await self._find_out()
            except (HTTPError, TimeoutError):
                return False
        return bool(self._continues)

    async def _find_out(self) -> None:
        try:
            self._continues = await continues_when_tried(self, self.default_model)
        except StatusError as error:
            if not error.retryable:
                self._continues = False  # it does not accept such a request
            raise

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream_continuation`. Raises `StatusError` 400 for a model that has refused to continue.

        The API takes no white space at the end of a beginning: it is held back, and dropped from what comes.
        """
        name = self.get_model(request.model)
        if name in self._never_continue:
            raise StatusError(f"{name} continues no answer", status=400, type="invalid_request_error", code=_CANNOT_CONTINUE)
        begun = text.rstrip()
        answer = self.stream(request.continued(begun), options)
        return GeneratedBatches(partial(self._continued, answer, text[len(begun) :], name))

    async def _continued(self, answer: BatchStream, held: str, name: str) -> AsyncGenerator[Batch]:
        """Yield the rest of a text. No thinking is part of it: one answer never has that of two."""
        try:
            async for batch in answer:
                rest: Batch = []
                for event in batch:
                    if type(event) is str and held:
                        said, held = _without(held, event)
                        rest += [said] if said else []
                    elif not _is_thinking(event):
                        rest.append(event)
                if rest:
                    yield rest
        except StatusError as error:
            if error.status == 400 and any(words in f"{error.problem} {error.body}" for words in _NO_PREFILL):
                self._never_continue.add(name)
            raise
        finally:
            await answer.aclose()

    # ---- beside answers

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """See `AsyncGeneratorProvider.count_tokens`: as the server counts them."""
        name = self.get_model(request.model)
        check_messages(request.messages)
        body = decode(write_messages_request(request, name, max_tokens=self._max_tokens))
        counted = msgspec.json.encode({member: value for member, value in body.items() if member not in _NOT_COUNTED})
        merged = self._options.merged(options)
        original = _original(request)
        headers = self._headers(merged, _NONE if original is None else self._taken(name, original.headers))
        try:
            document = await self._ask("/v1/messages/count_tokens", headers, merged, counted, deadline=options.deadline)
        except StatusError as error:
            # Where the path is there, and the model is not, the API says so by a type of its own.
            is_model = error.type == "not_found_error" and "count" not in error.problem
            if error.status in _NO_SUCH_PATH and not is_model:
                raise cannot_count(name) from error
            raise
        try:
            count = decode(document)["input_tokens"]
        except (ValueError, KeyError, TypeError, RecursionError):
            count = None
        if type(count) is not int:
            raise StreamError("the server's count of tokens cannot be read", status=200, retryable=False)
        return count

    def status(self) -> ProviderStatus:
        """See `AsyncGeneratorProvider.status`."""
        known = (*self._adaptations.known(), *self._own_adaptations.known())
        return ProviderStatus(orphans=self._pool.orphans, adaptations=known)

    async def check_health(self) -> bool | None:
        """See `AsyncGeneratorProvider.check_health`: one model of the server's list."""
        url = f"{self.base_url}/v1/models?limit=1"
        return await is_up(self._pool, url, self._headers(self._options), self._options.proxy)

    async def fetch_models(self) -> list[str]:
        """The names that the server lists at ``{base_url}/v1/models``. Raises `HTTPError` and its kin."""
        return [model.id for model in await self.list_models()]

    async def list_models(self) -> list[ModelEntry]:
        """What the server says of each model at ``{base_url}/v1/models``. Raises `HTTPError` and its kin."""
        return read_model_list(await self.fetch("/models?limit=1000"))

    async def fetch(self, path: str) -> bytes:
        """The body of ``GET {base_url}/v1{path}``, asked for again as an answer is. Raises `HTTPError` and its kin."""
        return await self._ask(f"/v1{path}", self._headers(self._options), self._options)

    async def _ask(
        self,
        path: str,
        headers: dict[str, str],
        options: ClientOptions,
        body: bytes | None = None,
        deadline: float | None = None,
    ) -> bytes:
        return await fetch_document(
            self._pool,
            self.base_url + path,
            headers=headers,
            clocks=options.clocks,
            read_error=ANTHROPIC_MESSAGES.decode_error,
            retries=options.retries,
            body=body,
            deadline=deadline,
            proxy=options.proxy,
        )

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._pool.aclose()


#: The code of a request to continue an answer that the model would refuse.
_CANNOT_CONTINUE: Final = "prefill_not_supported"


def _original(request: ChatRequest) -> OriginalRequest | None:
    """Return the request as its caller wrote it, where that was over this API."""
    origin = request.origin
    return origin if origin is not None and origin.wire == ANTHROPIC_MESSAGES.name else None


def _without(held: str, said: str) -> tuple[str, str]:
    """Return *said* without the text that was *held* back, as far as it repeats it, and what of that may still come."""
    if said.startswith(held):
        return said[len(held) :], ""
    return ("", held[len(said) :]) if held.startswith(said) else (said, "")


def _is_thinking(event: Event) -> bool:
    """Return whether *event* is thinking, or what the beginning of another message holds."""
    if isinstance(event, Reasoning):
        return True
    if not isinstance(event, Extra):
        return False
    members: dict[str, Any] = event.members
    block, delta = members.get("content_block") or {}, members.get("delta") or {}
    return "message_start" in members or "thinking" in str(block.get("type")) or delta.get("type") == "signature_delta"
