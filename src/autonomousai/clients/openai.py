"""`OpenAICompatible`: the client of any server that speaks OpenAI's chat completions, or its Responses. Knows the paths and the
headers only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from ..batches import BatchStream, GeneratedBatches
from ..capabilities import Capabilities, ProviderStatus, cannot_count
from ..errors import ConfigError, HTTPError, StatusError
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.urls import below, beside_root, check_base_url, has_path
from ..provider import AsyncGeneratorProvider
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from ..sealed_thoughts import without_sealed
from ..timeouts import Clocks
from ..wires.base import Wire
from ..wires.foreign_errors import read_error
from ..wires.messages import CheckedMessages, check_messages
from ..wires.model_list import ModelEntry, read_model_list
from ..wires.openai_chat.wire import OPENAI_CHAT, wire_for
from ..wires.raw import COMPLETIONS_WIRE, OPERATIONS, RESPONSES_WIRE, unsupported
from ..wires.request_body import write_chat_request
from .adaptations import is_streamed
from .conversation_forms import continued_message, with_call_ids
from .documents import fetch_document
from .launched_request import LaunchTemplate, RemoteRequest, send_now
from .learnt_forms import Adaptations
from .model_names import PassedModelMixin
from .options import CLIENT_CLOCKS, ClientOptions, as_headers, check_settings, clocks_of, read_timeout
from .prefill import PROBE_S, continues_when_tried
from .prepared_request import PreparedRequest
from .reconnecting import resumable
from .remote import ResponseStream
from .retries import DEFAULT_RETRIES
from .translated_forms import TranslatedAdaptations
from .vendors import (
    VENDORS,
    Continuation,
    VendorName,
    key_for,
    refuse_vendor_name,
    vendor_by_owner,
    vendor_of,
)

if TYPE_CHECKING:
    from ssl import SSLContext

Prefill: TypeAlias = Literal["yes", "no", "auto"]
Api: TypeAlias = Literal["chat", "responses"]

#: What is asked at which path, by the name of the API.
_PATHS: dict[str, str] = {"chat": "/chat/completions", "responses": "/responses"}

#: Statuses of a server that has no path where tokens are counted.
_NOT_THERE: Final = frozenset({404, 405, 501})


class _TokenCount(msgspec.Struct):
    input_tokens: int


def _wire_of(api: Api) -> Wire:
    if api == "chat":
        return OPENAI_CHAT
    from ..wires.openai_responses.wire import OPENAI_RESPONSES  # noqa: PLC0415  most servers have the other API alone

    return OPENAI_RESPONSES


@cache
def _raw_wires() -> dict[str, Wire]:
    """Return the wires of what is no conversation, by name; each is asked at its own path."""
    # Most clients ask for conversations alone.
    from ..wires.openai_completions.wire import OPENAI_COMPLETIONS  # noqa: PLC0415
    from ..wires.openai_documents.embeddings import OPENAI_EMBEDDINGS  # noqa: PLC0415
    from ..wires.openai_documents.rerank import OPENAI_RERANK  # noqa: PLC0415

    return {wire.name: wire for wire in (OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS, OPENAI_RERANK)}


def _raw_wire(model: str, request: ChatRequest) -> Wire:
    """Return the wire of what is no conversation. Raises `StatusError` where it is none of OpenAI's."""
    assert request.origin is not None
    if (wire := _raw_wires().get(request.origin.wire)) is None:
        raise unsupported(model, request.origin.wire)
    if wire.name == COMPLETIONS_WIRE:
        from ..wires.openai_completions.wire import wire_for as text_wire_for  # noqa: PLC0415  it is there by now

        return text_wire_for(request.fields)
    return wire


class OpenAICompatible(AsyncGeneratorProvider, PassedModelMixin):
    """Answers from vLLM, llama-server, Ollama, Ray Serve, a hosted API: whatever answers ``POST {base_url}/chat/completions``
    or ``POST {base_url}/responses``. What is no conversation is asked for at the path of its own API: a raw prompt at
    ``/completions``, texts to embed at ``/embeddings``, documents to rank at ``/rerank``.

    ``base_url``: usually ends in ``/v1``; its query, where it has one, goes with each request. ``vendor``: the name of a
    vendor, which says what this server does otherwise, and in place of what is not given its base URL and the environment
    variable that holds its key; for "openai" the base URL in ``OPENAI_BASE_URL`` comes first.
    ``api_key``: sent as bearer key, or as the vendor wants it; ``""``: none. ``model``: the name
    to send upstream instead of the caller's. ``models``: the names that callers may use; without any, every name is passed on.
    ``uds``: the Unix socket that the server listens on, where it does. ``ssl_context``: what TLS is spoken with, for an
    authority or a certificate of this client's own; otherwise the system's authorities are trusted, or ``SSL_CERT_FILE``'s.
    ``prefill``: whether the server continues a final
    message of the assistant, "yes" or "no"; "auto" finds out when it matters. ``api``: which of OpenAI's APIs is asked, "chat"
    or "responses". ``context``: tokens of prompt and answer together, if known. ``retries``: tries after the first, 2 by
    default. The other options are those of `AutonomousAI`, where the rules of further tries stand too.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        vendor: VendorName | None = None,
        api_key: str | None = None,
        model: str | None = None,
        models: Sequence[str] = (),
        timeout: float | Mapping[str, float] | Clocks | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = DEFAULT_RETRIES,
        vision: bool = False,
        context: int | None = None,
        prefill: Prefill = "auto",
        api: Api = "chat",
        uds: str | None = None,
        trust_env: bool = True,
        ssl_context: SSLContext | None = None,
    ) -> None:
        check_settings(ssl_context, model, models, trust_env=trust_env, vision=vision)
        if api not in _PATHS:
            raise ValueError(f"api must be one of {', '.join(_PATHS)}, not {api!r}")
        if api == "responses" and prefill == "auto":
            prefill = "no"  # this API has no word for an answer that is to be continued
        self._wire, path = _wire_of(api), _PATHS[api]
        self._vendor = vendor_of(vendor)
        refuse_vendor_name(base_url or "", 'or write vendor="{}"')
        self.base_url = self.url = check_base_url(base_url or _base_url_of(vendor), query=True)
        api_key = key_for(self._vendor, api_key, as_headers(headers))
        self._continuing = self._told_continuation(prefill)
        self.capabilities = self._told_capabilities(prefill, api, vision=vision, context=context)
        self.models = list(models)
        self.default_model = model or (self.models[0] if self.models else "")
        self._model = model
        self._prefill = prefill
        self._adaptations = Adaptations(self._vendor.forms)
        self._translated = TranslatedAdaptations(self._vendor.forms)
        self._raw_adaptations = Adaptations()  # what is refused at one path may be taken at another
        self._counts = True  # as far as is known
        self._asking = asyncio.Lock()
        self._options = ClientOptions(
            clocks=read_timeout(timeout, CLIENT_CLOCKS),
            headers=as_headers(headers),
            api_key=api_key,
            proxy=Proxy(proxy) if proxy else None,
            retries=retries,
        )
        self._usual_headers = self._headers(self._options)
        self._answer_url = below(self.base_url, path)
        self._streams_url = None if "?" in self.base_url else f"{self.base_url}/streams"
        self._stream_headers = resumable(self._usual_headers, self._streams_url)
        self._patient = self._options.clocks.patient()
        self._launching = self._launch_template() if api == "chat" and not proxy else None
        self._pool = HttpPool(uds=uds, trust_env=trust_env, direct=True, tls=ssl_context)

    def _told_capabilities(self, prefill: Prefill, api: Api, *, vision: bool, context: int | None) -> Capabilities:
        """Return what the server can do, as far as that is known before it is asked."""
        continues = True if self._continuing is not None else {"no": False}.get(prefill)
        return Capabilities(
            vision=vision,
            continues=continues,
            prefill=self._continuing == Continuation() if continues else continues,
            embeddings=self._vendor.embeds,
            context=context,
            wires=(*OPERATIONS, *((RESPONSES_WIRE,) if api == "responses" else ())),
        )

    def _told_continuation(self, prefill: Prefill) -> Continuation | None:
        """Return how the server continues an answer, where that need not be found out."""
        row = self._vendor.continuation
        if row is not None and not self.base_url.partition("?")[0].endswith(row.below):
            row = None
        return None if prefill == "no" else Continuation() if prefill == "yes" and row is None else row

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`; raises `ConfigError` at the call for options that cannot be sent."""
        name = self._model or (request.model if not self.models else "") or self.get_model(request.model)
        merged = self._options.merged(options)
        wire, url, origin = self._wire, self._answer_url, request.origin
        is_own = wire is OPENAI_CHAT if origin is None else origin.wire == wire.name
        adaptations = self._adaptations if is_own else self._translated
        is_raw = origin is not None and request.is_raw and not is_own
        if not is_own and not is_raw and wire is not OPENAI_CHAT and (texts := _stop_texts(request.fields)):
            return self._stopped(request, options, texts)
        if is_raw:
            wire, adaptations = _raw_wire(name, request), self._raw_adaptations
            url, body = self._raw_url(wire), wire.encode_request(request, name)
        elif wire is OPENAI_CHAT:
            messages = check_messages(request.messages)
            if origin is not None:
                messages = without_sealed(messages)
            if self._vendor.call_id_length:
                messages = with_call_ids(messages, self._vendor.call_id_length)
            if request.fields:
                wire = wire_for(request.fields)
            body = write_chat_request(name, messages, stream=request.stream, fields=request.fields)
        else:
            body = wire.encode_request(request, name)
        adapted = adaptations.applied(name, body) if adaptations.wanted else body
        if merged is self._options or merged.is_sent_as(self._options):
            headers = self._stream_headers if request.stream else self._usual_headers
        else:
            headers = self._headers(merged)
            headers = resumable(headers, self._streams_url) if request.stream else headers
        exchange = PreparedRequest(
            url=url,
            headers=headers,
            body=adapted,
            clocks=self._patient if options.last and options.timeout is None else clocks_of(options, self._options.clocks),
            stream=request.stream and ((adapted is body and not is_raw) or is_streamed(adapted)),
            wire=wire,
            proxy=merged.proxy,
            retries=merged.retries,
            streams_url=self._streams_url,
            deadline=options.deadline,
            others=options.others,
            model=name,
            adaptations=adaptations,
        )
        return ResponseStream(self._pool, exchange, options.answer)

    def _stopped(self, request: ChatRequest, options: CallOptions, texts: Sequence[str]) -> BatchStream:
        """Return the answer up to the first of the *texts*, for which the Responses API has no word."""
        from ..stop_texts import ended_at  # noqa: PLC0415  few requests name texts

        fields = {name: value for name, value in request.fields.items() if name != "stop"}
        # The stream folds its answer itself: what is cut of it here would be missing in its checks.
        answer = self.stream(msgspec.structs.replace(request, fields=fields), msgspec.structs.replace(options, answer=None))
        return GeneratedBatches(lambda: ended_at(texts, answer))

    def launch(
        self, request: ChatRequest, on_news: Callable[[], None], deadline: float = inf, others: bool = False
    ) -> RemoteRequest | None:
        """See `AsyncGeneratorProvider.launch`: a stream of chat completions, asked for in the usual form."""
        messages, fields = request.messages, request.fields
        adaptations = self._adaptations if request.origin is None else self._translated
        if (
            self._launching is None
            or adaptations.wanted
            or type(messages) is not CheckedMessages
            or not messages.plain
            or "stream_options" in fields
            or "n" in fields
        ):
            return None
        name = self._model or (request.model if not self.models else "") or self.get_model(request.model)
        body = write_chat_request(name, messages, True, fields)
        return send_now(self._launching, self._pool, body, name, adaptations, on_news, deadline, others)

    def _launch_template(self) -> LaunchTemplate:
        clocks = self._options.clocks
        return LaunchTemplate.of(ResponseStream, self._answer_url, self._stream_headers, clocks, OPENAI_CHAT, self._streams_url)

    def _raw_url(self, wire: Wire) -> str:
        """Return where *wire* is spoken: at a bare root under /v1, as llama.cpp has other paths of the same names there."""
        path = wire.paths[0]
        return below(self.base_url, path.removeprefix(wire.root) if has_path(self.base_url) else path)

    async def continues(self) -> bool:
        """Whether the server continues an answer from its beginning: as configured, as it says of itself, or as it does when it
        is tried with a text whose next word is beyond doubt. What was found out is kept; a server that is away is asked again.
        """
        if self._prefill == "auto" and self._continuing is None:
            try:
                async with asyncio.timeout(PROBE_S), self._asking:
                    await self._find_out()
            except (HTTPError, TimeoutError):
                return False
        return self._continuing is not None

    async def _find_out(self) -> None:
        told = vendor_by_owner({model.owned_by for model in await self.list_models()})
        if told is not None and (row := VENDORS[told].continuation) is not None:
            self._continuing = row
            return
        self._continuing = Continuation()
        try:
            continues = await continues_when_tried(self, self.default_model)
        except HTTPError as error:
            self._continuing = None
            if isinstance(error, StatusError) and not error.retryable:
                self._prefill = "no"  # it does not accept such a request
            raise
        if not continues:
            self._continuing, self._prefill = None, "no"

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream_continuation`; only where `continues`, but for a raw prompt."""
        if request.is_raw:
            return super().stream_continuation(request, text, options)
        how = self._continuing or Continuation()
        continued = request.continued(text).with_fields(**how.fields)
        messages = continued_message(continued.messages, how.message)
        return self.stream(msgspec.structs.replace(continued, messages=messages), options)

    async def count_tokens(
        self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS, *, path: str | None = None
    ) -> int:
        """See `AsyncGeneratorProvider.count_tokens`. llama.cpp's servers count beside chat completions, or at *path*, OpenAI's
        beside Responses; that a server has no such path, or answers there without a count, is remembered."""
        if not self._counts:
            raise cannot_count(request.model)
        merged = self._options.merged(options)
        headers = self._headers(merged)
        name = self._model or self.get_model(request.model)
        if self._wire is OPENAI_CHAT:
            path = path or f"{_PATHS['chat']}/input_tokens"
            body = write_chat_request(name, check_messages(request.messages), stream=False, fields=request.fields)
        else:
            path, body = f"{_PATHS['responses']}/input_tokens", _counted(self._wire, request, name)
        try:
            answer = await fetch_document(
                self._pool,
                below(self.base_url, path),
                headers=headers,
                body=body,
                clocks=clocks_of(options, self._options.clocks),
                read_error=read_error,
                deadline=options.deadline,
                proxy=merged.proxy,
            )
        except StatusError as error:
            if error.status not in _NOT_THERE:
                raise
            self._counts = False
            raise cannot_count(request.model) from error
        try:
            return msgspec.json.decode(answer, type=_TokenCount).input_tokens
        except msgspec.DecodeError:
            self._counts = False  # LM Studio answers 200 at paths that it does not have
            raise cannot_count(request.model) from None

    def _headers(self, options: ClientOptions) -> dict[str, str]:
        auth = self._vendor.auth_headers(options.api_key) if options.api_key else {}
        return options.signed({"Content-Type": "application/json", "Accept": "*/*"}, auth)

    def status(self) -> ProviderStatus:
        """See `AsyncGeneratorProvider.status`."""
        known = (self._adaptations, self._translated, self._raw_adaptations)
        adaptations = dict.fromkeys(form for learnt in known for form in learnt.known())
        return ProviderStatus(orphans=self._pool.orphans, adaptations=tuple(adaptations))

    async def check_health(self) -> bool | None:
        """See `AsyncGeneratorProvider.check_health`: the server's list of models, or what its vendor has for that."""
        from .health import is_up  # noqa: PLC0415  a gateway alone looks

        if not (path := self._vendor.health):
            return None
        base, path = (beside_root(self.base_url), path[2:]) if path.startswith("..") else (self.base_url, path)
        return await is_up(self._pool, below(base, path), self._usual_headers, self._options.proxy)

    async def fetch_models(self) -> list[str]:
        """The names that the server lists at ``{base_url}/models``. Raises `HTTPError` and its kin."""
        return [model.id for model in await self.list_models()]

    async def list_models(self) -> list[ModelEntry]:
        """What the server says of each model at ``{base_url}/models``. Raises `HTTPError` and its kin."""
        return read_model_list(await self.fetch("/models"))

    async def fetch(self, path: str, *, body: bytes | None = None, deadline: float | None = None) -> bytes:
        """The body of ``GET {base_url}{path}``, or of a POST of *body*, asked for again as an answer is. Raises `HTTPError` and
        its kin."""
        return await fetch_document(
            self._pool,
            below(self.base_url, path),
            headers=self._usual_headers,
            clocks=self._options.clocks,
            read_error=read_error,
            retries=self._options.retries,
            body=body,
            deadline=deadline,
        )

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._pool.aclose()


#: What the request of a count has of that of a response (API reference, "Get input token counts").
_COUNTED: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation"}
)


def _counted(wire: Wire, request: ChatRequest, model: str) -> bytes:
    """Return the body that has a server of the Responses API count what *request* asks."""
    fields = {name: value for name, value in request.fields.items() if name != "stop"}
    body = msgspec.json.decode(wire.encode_request(msgspec.structs.replace(request, fields=fields), model))
    return msgspec.json.encode({name: value for name, value in body.items() if name in _COUNTED})


def _stop_texts(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts at which an answer is to end. None where they are no texts, and beside log
    probabilities, of which none may stand behind them."""
    stop = fields.get("stop") or ()
    texts = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else ()
    return texts if all(isinstance(text, str) and text for text in texts) and "logprobs" not in fields else ()


def _base_url_of(vendor: VendorName | None) -> str:
    """Return the base URL of a vendor. Raises `ConfigError` where it has no common one."""
    row = vendor_of(vendor)
    address = row.address()
    if not address:
        whose = f", which {row.title} has for each customer" if vendor else ", or a vendor"
        raise ConfigError("base_url is missing", advice=f"name the server's address{whose}")
    return address
