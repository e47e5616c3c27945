"""`OpenAICompatible`: the client of any server that speaks OpenAI's chat completions. Knows the path and the headers only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ..errors import HTTPError, StatusError, StreamError
from ..events import Messages
from ..http.pool import HttpPool
from ..http.transport import read_body
from ..http.urls import Proxy, check_base_url
from ..provider import AsyncGeneratorProvider, Capabilities, ProviderModelMixin, ProviderStatus, class_or_instance
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from ..result import AsyncResult, BatchStream
from ..timeouts import Clocks
from ..wires.foreign_errors import read_error
from ..wires.messages import check_messages
from ..wires.openai_chat.wire import OPENAI_CHAT
from ..wires.redaction import secrets_of
from ..wires.request_body import write_chat_request
from .adaptations import Adaptations, is_streamed
from .options import CLIENT_CLOCKS, ClientOptions, read_timeout
from .remote import PreparedRequest, ResponseStream

_LISTING = 16 * 1024 * 1024

Prefill: TypeAlias = Literal["yes", "no", "auto"]

#: Servers that say who they are in their list of models, and what they want in a request that continues an answer.
_SELF_DESCRIBED: dict[str, dict[str, Any]] = {
    "vllm": {"continue_final_message": True, "add_generation_prompt": False},
    "llamacpp": {},
}

#: The probe: who continues says six next; who begins anew, or repeats the beginning, says something else.
_PROBE: Messages = [{"role": "user", "content": "Count from one to ten in words, with spaces between them and nothing else."}]
_PROBE_BEGUN = "one two three four five"
_PROBE_NEXT = "six"
_PROBE_SECONDS = 20


class OpenAICompatible(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers from vLLM, llama-server, Ollama, Ray Serve, a hosted API: whatever answers ``POST {base_url}/chat/completions``.

    ``base_url``: usually ends in ``/v1``. ``api_key``: sent as bearer key. ``model``: the name to send upstream instead of the
    caller's. ``models``: the names that callers may use; without any, every name is passed on. ``uds``: the Unix socket that
    the server listens on, where it does. ``prefill``: whether the server continues a final message of the assistant, "yes" or
    "no"; "auto" finds out when it matters. ``context``: tokens of prompt and answer together, if known. The other options are
    those of `AutonomousAI`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        models: Sequence[str] = (),
        timeout: float | Mapping[str, float] | Clocks | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
        vision: bool = False,
        context: int | None = None,
        prefill: Prefill = "auto",
        uds: str | None = None,
        trust_env: bool = True,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.url = self.base_url
        self.capabilities = Capabilities(vision=vision, continues={"yes": True, "no": False}.get(prefill), context=context)
        self.models = list(models)
        self.default_model = model or (self.models[0] if self.models else "")
        self._model = model
        self._prefill = prefill
        self._continuing: dict[str, Any] | None = {} if prefill == "yes" else None
        self._adaptations = Adaptations()
        self._asking = asyncio.Lock()
        self._options = ClientOptions(
            clocks=read_timeout(timeout, CLIENT_CLOCKS),
            headers=dict(headers or {}),
            api_key=api_key,
            proxy=Proxy(proxy) if proxy else None,
            retries=retries,
        )
        self._usual_headers = self._headers(self._options)
        self._pool = HttpPool(uds=uds, trust_env=trust_env, direct=True)

    @class_or_instance
    def get_model(self, model: str | None) -> str:
        """The name to send upstream: the configured one, else the caller's, which must be among ``models`` if there are any."""
        if self._model:
            return self._model
        if self.models or not model:
            return super().get_model(model)
        return model

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`; raises `ConfigError` at the call for options that cannot be sent."""
        name = self._model or self.get_model(request.model)
        merged = self._options.merged(options)
        body = write_chat_request(name, check_messages(request.messages), stream=request.stream, fields=request.fields)
        adapted = self._adaptations.applied(name, body)
        exchange = PreparedRequest(
            url=f"{self.base_url}/chat/completions",
            headers=self._usual_headers if merged is self._options else self._headers(merged),
            body=adapted,
            clocks=read_timeout(options.timeout, self._options.clocks),
            stream=request.stream and (adapted is body or is_streamed(adapted)),
            wire=OPENAI_CHAT,
            proxy=merged.proxy,
            retries=merged.retries,
            streams_url=f"{self.base_url}/streams",
            deadline=options.deadline,
            model=name,
            adaptations=self._adaptations,
        )
        return ResponseStream(self._pool, exchange, options.answer)

    async def continues(self) -> bool:
        """Whether the server continues an answer from its beginning: as configured, as it says of itself, or as it does when it
        is tried with a text whose next word is beyond doubt. What was found out is kept; a server that is away is asked again.
        """
        if self._prefill == "auto" and self._continuing is None:
            try:
                async with asyncio.timeout(_PROBE_SECONDS), self._asking:
                    await self._find_out()
            except (HTTPError, TimeoutError):
                return False
        return self._continuing is not None

    async def _find_out(self) -> None:
        owners = {str(entry.owned_by) for entry in await self._list()}
        for owner, fields in _SELF_DESCRIBED.items():
            if owner in owners:
                self._continuing = fields
                return
        self._continuing = {}
        try:
            request = ChatRequest(self.default_model, _PROBE, stream=True, fields={"temperature": 0, "max_tokens": 8})
            options = CallOptions(timeout={"total": _PROBE_SECONDS})
            text = await AsyncResult(self.stream_continuation(request, _PROBE_BEGUN, options)).text()
        except HTTPError as error:
            self._continuing = None
            if isinstance(error, StatusError) and not error.retryable:
                self._prefill = "no"  # it does not accept such a request
            raise
        if not text.strip().lower().startswith(_PROBE_NEXT):
            self._continuing, self._prefill = None, "no"

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream_continuation`; only where `continues`."""
        return self.stream(request.continued(text).with_fields(**(self._continuing or {})), options)

    def _headers(self, options: ClientOptions) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "*/*", **options.headers}
        if options.api_key:
            headers["Authorization"] = f"Bearer {options.api_key}"
        return headers

    def status(self) -> ProviderStatus:
        """See `AsyncGeneratorProvider.status`."""
        return ProviderStatus(orphans=self._pool.orphans, adaptations=tuple(self._adaptations.known()))

    async def fetch_models(self) -> list[str]:
        """The names that the server lists at ``{base_url}/models``. Raises `HTTPError` and its kin."""
        return [entry.id for entry in await self._list()]

    async def _list(self) -> list[_ListedModel]:
        try:
            return msgspec.json.decode(await self.fetch("/models"), type=_ModelListing).data
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StreamError(f"the server's list of models cannot be read: {error}", status=200) from None

    async def fetch(self, path: str) -> bytes:
        """The body of ``GET {base_url}{path}``. Raises `HTTPError` and its kin."""
        headers = self._headers(self._options)
        response = await self._pool.get(self.base_url + path, headers=headers, clocks=self._options.clocks)
        try:
            body = await read_body(response, _LISTING)
            if response.status != 200:
                raise read_error(response.status, body, response.headers, secrets=secrets_of(headers))
            return body
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._pool.aclose()


class _ListedModel(msgspec.Struct):
    id: str
    owned_by: Any = None


class _ModelListing(msgspec.Struct):
    data: list[_ListedModel]
