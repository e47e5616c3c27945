"""`Gemini`: the client of any server that speaks Google's own Gemini API. Knows the paths and the headers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from ..batches import BatchStream, GeneratedBatches
from ..capabilities import Capabilities, ProviderStatus, cannot_count
from ..errors import StatusError, StreamError
from ..events import Batch, Extra, FinishReason, Started, Usage
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.urls import check_base_url
from ..provider import AsyncGeneratorProvider
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest, OriginalRequest
from ..timeouts import Clocks
from ..wires.base import Wire
from ..wires.google_gemini.upstream_request import gemini_document
from ..wires.google_gemini.upstream_shapes import WIRE
from ..wires.google_gemini.upstream_wire import GEMINI_UPSTREAM
from ..wires.json import decode
from ..wires.messages import check_messages
from ..wires.model_list import ModelEntry, read_model_list
from ..wires.raw import EMBEDDINGS_WIRE, unsupported
from ..wires.request_body import encode_request
from .documents import fetch_document
from .gemini_forms import GeminiAdaptations, GeminiOwnAdaptations
from .health import is_up
from .learnt_forms import Adaptations
from .model_names import PassedModelMixin
from .options import CLIENT_CLOCKS, ClientOptions, as_headers, check_settings, clocks_of, read_timeout
from .prepared_request import PreparedRequest
from .remote import ResponseStream
from .retries import DEFAULT_RETRIES
from .vendors import GEMINI_VENDOR, is_geminis, key_for, refuse_vendor_name

if TYPE_CHECKING:
    from ssl import SSLContext

#: The vendor's own server, and the version of its API.
GEMINI: Final = GEMINI_VENDOR.base_url
API_VERSION: Final = "v1beta"

#: Statuses of a server that has no such path.
_NO_SUCH_PATH: Final = frozenset({404, 405, 501})

#: Texts of which one request may have the embeddings made.
_MOST_TEXTS: Final = 100

#: Pages of a list of models, at most.
_PAGES: Final = 20


class Gemini(AsyncGeneratorProvider, PassedModelMixin):
    """Answers from Google's Gemini API, or from whatever answers ``POST {base_url}/v1beta/models/{model}:generateContent``.

    ``base_url``: the server's root, by default that of the environment variable ``GOOGLE_GEMINI_BASE_URL``, else the vendor's.
    ``api_key``: sent as ``x-goog-api-key``; for that server by default the one in ``GEMINI_API_KEY``, else in
    ``GOOGLE_API_KEY``, an error where neither is set; ``""`` for none. ``version``: of the API, which begins its paths. The
    other options are those of `OpenAICompatible`.

    Example::

        async with Gemini(model="gemini-3-flash-preview") as provider:  # with the key in GEMINI_API_KEY
            text = await provider.create_async_generator("", [{"role": "user", "content": "Hello"}]).text()
    """

    label = "Google Gemini"

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        version: str = API_VERSION,
        model: str | None = None,
        models: Sequence[str] = (),
        timeout: float | Mapping[str, float] | Clocks | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = DEFAULT_RETRIES,
        vision: bool = True,
        context: int | None = None,
        uds: str | None = None,
        trust_env: bool = True,
        ssl_context: SSLContext | None = None,
    ) -> None:
        check_settings(ssl_context, model, models, trust_env=trust_env, vision=vision)
        refuse_vendor_name(base_url or "", 'or use OpenAICompatible(vendor="{}")')
        self.base_url = check_base_url(base_url or GEMINI_VENDOR.address()).removesuffix(f"/{version}")
        self.url = self.base_url
        self.capabilities = Capabilities(
            vision=vision, tools=True, schema=True, embeddings=True, context=context, wires=(EMBEDDINGS_WIRE, WIRE)
        )
        self.models = list(models)
        self.default_model = model or (self.models[0] if self.models else "")
        self._model = model
        self._root = f"{self.base_url}/{version}"
        self._adaptations = GeminiAdaptations()
        self._own_adaptations = GeminiOwnAdaptations()
        self._raw_adaptations = Adaptations()
        if is_geminis(self.base_url):
            api_key = key_for(GEMINI_VENDOR, api_key, as_headers(headers))
        self._options = ClientOptions(
            clocks=read_timeout(timeout, CLIENT_CLOCKS),
            headers=as_headers(headers),
            api_key=api_key or None,
            proxy=Proxy(proxy) if proxy else None,
            retries=retries,
        )
        self._pool = HttpPool(uds=uds, trust_env=trust_env, direct=True, tls=ssl_context)

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`; raises `StatusError` 400 at the call for what the API cannot be asked."""
        name = self.get_model(request.model)
        merged = self._options.merged(options)
        wire: Wire = GEMINI_UPSTREAM
        origin = request.origin
        is_own = origin is not None and origin.wire == WIRE
        adaptations: Adaptations = self._own_adaptations if is_own else self._adaptations
        method = ":streamGenerateContent?alt=sse" if request.stream else ":generateContent"
        is_raw = request.is_raw and not is_own
        if is_raw and len(_texts(request)) > _MOST_TEXTS:
            return GeneratedBatches(partial(self._in_parts, request, options))
        if is_raw:
            wire, adaptations, method = _raw_wire(name, request), self._raw_adaptations, ":batchEmbedContents"
        elif not is_own:
            check_messages(request.messages)
        body = wire.encode_request(request, name)
        exchange = PreparedRequest(
            url=self._url(name, method),
            headers=self._headers(merged),
            body=adaptations.applied(name, body) if adaptations.wanted else body,
            clocks=clocks_of(options, self._options.clocks),
            stream=request.stream and not is_raw,
            wire=wire,
            proxy=merged.proxy,
            retries=merged.retries,
            deadline=options.deadline,
            others=options.others,
            model=name,
            adaptations=adaptations,
        )
        return ResponseStream(self._pool, exchange, options.answer)

    async def _in_parts(self, request: ChatRequest, options: CallOptions) -> AsyncGenerator[Batch]:
        """Yield the embeddings of more texts than the API takes at once."""
        texts, origin = _texts(request), request.origin
        entries: list[Any] = []
        prompt = 0
        for start in range(0, len(texts), _MOST_TEXTS):
            document = {**(origin.document if origin else {}), "input": texts[start : start + _MOST_TEXTS]}
            part = msgspec.structs.replace(request, origin=OriginalRequest(EMBEDDINGS_WIRE, document))
            batches = self.stream(part, msgspec.structs.replace(options, answer=None))
            try:
                events = [event async for batch in batches for event in batch]
            finally:
                await batches.aclose()
            entries += [each for event in events if isinstance(event, Extra) for each in event.members["data"]]
            counted = [event.usage for event in events if isinstance(event, FinishReason) and event.usage is not None]
            prompt += sum(usage.prompt_tokens for usage in counted)
        usage = Usage(prompt, 0, prompt) if prompt else None
        yield [Started(None), Extra({"data": entries}, 0, EMBEDDINGS_WIRE), FinishReason(None, "body", usage)]

    def _url(self, model: str, method: str) -> str:
        """Return where *model* is asked; the name may say of which collection it is."""
        return f"{self._root}/{quote(_resource(model), safe='/')}{method}"

    def _headers(self, options: ClientOptions) -> dict[str, str]:
        auth = {"x-goog-api-key": options.api_key} if options.api_key else {}
        return options.signed({"Content-Type": "application/json", "Accept": "*/*"}, auth)

    # ---- beside answers

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """See `AsyncGeneratorProvider.count_tokens`: as the server counts them."""
        name = self.get_model(request.model)
        document = gemini_document(request, name)
        asked = {"generateContentRequest": {"model": _resource(name), **document}}
        merged = self._options.merged(options)
        try:
            counted = await self._fetch(self._url(name, ":countTokens"), merged, encode_request(asked), options.deadline)
        except StatusError as error:
            if error.status in _NO_SUCH_PATH and error.code != "model_not_found":
                raise cannot_count(name) from error
            raise
        try:
            count = decode(counted)["totalTokens"]
        except (ValueError, KeyError, TypeError, RecursionError):
            count = None
        if type(count) is not int:
            raise StreamError("the server's count of tokens cannot be read", status=200, retryable=False)
        return count

    def status(self) -> ProviderStatus:
        """See `AsyncGeneratorProvider.status`."""
        learnt = (self._adaptations, self._own_adaptations, self._raw_adaptations)
        known = tuple(dict.fromkeys(form for each in learnt for form in each.known()))
        return ProviderStatus(orphans=self._pool.orphans, adaptations=known)

    async def check_health(self) -> bool | None:
        """See `AsyncGeneratorProvider.check_health`: one model of the server's list."""
        return await is_up(self._pool, f"{self._root}/models?pageSize=1", self._headers(self._options), self._options.proxy)

    async def fetch_models(self) -> list[str]:
        """The names that the server lists at ``{base_url}/v1beta/models``. Raises `HTTPError` and its kin."""
        return [model.id for model in await self.list_models()]

    async def list_models(self) -> list[ModelEntry]:
        """What the server says of each model at ``{base_url}/v1beta/models``. Raises `HTTPError` and its kin."""
        models: list[ModelEntry] = []
        page = ""
        for _ in range(_PAGES):
            body = await self.fetch(f"/models?pageSize=1000{page}")
            models += read_model_list(body)
            following = msgspec.json.decode(body, type=_Page).nextPageToken
            if not following:
                break
            page = f"&pageToken={quote(following)}"
        return [msgspec.structs.replace(model, id=model.id.removeprefix("models/")) for model in models]

    async def fetch(self, path: str) -> bytes:
        """The body of ``GET {base_url}/v1beta{path}``, asked for again as an answer is. Raises `HTTPError` and its kin."""
        return await self._fetch(f"{self._root}{path}", self._options)

    async def _fetch(self, url: str, options: ClientOptions, body: bytes | None = None, deadline: float | None = None) -> bytes:
        return await fetch_document(
            self._pool,
            url,
            headers=self._headers(options),
            clocks=options.clocks,
            read_error=GEMINI_UPSTREAM.decode_error,
            retries=options.retries,
            body=body,
            deadline=deadline,
            proxy=options.proxy,
        )

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._pool.aclose()


def _texts(request: ChatRequest) -> list[Any]:
    """Return the texts of a request for embeddings."""
    said = request.origin.document.get("input") if request.origin is not None else None
    return said if isinstance(said, list) else []


class _Page(msgspec.Struct):
    nextPageToken: str = ""  # noqa: N815  the API's own name


def _resource(model: str) -> str:
    """Return the name of *model* as paths have it: of the vendor's own models, or of another collection."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def _raw_wire(model: str, request: ChatRequest) -> Wire:
    """Return the wire of what is no conversation: embeddings alone. Raises `StatusError` for any other."""
    assert request.origin is not None
    if request.origin.wire != EMBEDDINGS_WIRE:
        raise unsupported(model, request.origin.wire)
    # Most clients ask for conversations alone.
    from ..wires.google_gemini.upstream_embeddings import GEMINI_EMBEDDINGS  # noqa: PLC0415

    return GEMINI_EMBEDDINGS
