"""`AutonomousAI`: the client of the AutonomousAI wire. It knows the endpoints and the headers; the wire is in `wires`."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import AsyncGenerator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from ..batches import BatchStream, GeneratedBatches
from ..capabilities import Capabilities, ProviderStatus
from ..completion import Completion
from ..errors import ConnectError, TimeoutError  # noqa: A004  the contract's own name
from ..events import Batch
from ..http.pool import HttpPool
from ..http.proxies import Proxy
from ..http.urls import check_base_url
from ..models import DEFAULT_MODEL, HOSTED, MODEL_ALIASES, MODELS
from ..provider import AsyncGeneratorProvider, ProviderModelMixin, ask, blocking, class_or_instance
from ..request import DEFAULT_OPTIONS, AnyMessages, CallOptions, ChatRequest
from ..result import AsyncResult
from ..sealed_thoughts import without_sealed
from ..timeouts import Clocks
from ..wires.autonomousai import AUTONOMOUSAI, wire_for, write_request
from ..wires.messages import check_messages
from .health import is_up
from .options import CLIENT_CLOCKS, ClientOptions, as_headers, check_settings, clocks_of, read_timeout
from .prepared_request import PreparedRequest
from .reconnecting import resumable
from .remote import ResponseStream
from .retries import DEFAULT_RETRIES

if TYPE_CHECKING:
    from ssl import SSLContext

    from ..chat_fields import ChatFields

_PACKAGE = __name__.partition(".")[0]

#: What the service's own site sends; a server may look at them. A caller's ``headers`` go over these.
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "*/*",
    "Origin": "https://www.autonomous.ai",
    "Referer": "https://www.autonomous.ai/",
    "Country-Code": "US",
    "Time-Zone": "America/New_York",
}


@cache
def _warn_of_the_hosted_service() -> None:
    """Warn once of a request that most likely fails, at the line outside of this package that makes it."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"no server is named, so AutonomousAI calls the hosted service at {HOSTED}, which is taken as not operational; "
        "set AUTONOMOUSAI_BASE_URL or base_url to a server (`autonomousai serve` is one)",
        UserWarning,
        stacklevel=level,
    )


_HOSTED_ADVICE = (
    "the hosted service is taken as not operational: name a server with base_url or AUTONOMOUSAI_BASE_URL "
    "(`autonomousai serve` is one)"
)


async def _with_hint(answer: ResponseStream) -> AsyncGenerator[Batch]:
    """The hosted service's answer. Where it cannot be reached, that is no news, and there is another way."""
    try:
        async for batch in answer:
            yield batch
    except (ConnectError, TimeoutError) as error:
        if not isinstance(error, TimeoutError) or error.clock == "connect":
            error.advise(_HOSTED_ADVICE)
        raise
    finally:
        await answer.aclose()


class AutonomousAI(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers over the AutonomousAI API, from the hosted service or from any server that speaks it.

    ``base_url``: the root of the server (``http://127.0.0.1:8000``); by default ``AUTONOMOUSAI_BASE_URL``, else the hosted
    service, of which a `UserWarning` says once that it is taken as not operational. ``api_key``: its bearer key; by default
    ``AUTONOMOUSAI_API_KEY``, and ``""`` for none. ``timeout``: seconds for the whole answer, or a mapping with any of the
    clocks ``connect``, ``first_token``, ``idle``, ``total``. ``retries``: tries after the first, as long as nothing came:
    after a connection that failed or broke, and after the statuses 408, 409, 429 and 5xx, with growing pauses, or those that
    the server asks for (up to a minute); by default 2, and none at the hosted service where no server is named.
    ``trust_env``: whether the proxies of the environment are used. ``ssl_context``: see `OpenAICompatible`.

    An instance owns its connections and is an async context manager. The class itself can be used as well: it stands for an
    instance made from the environment, whose connections end with the event loop.
    """

    label = "AutonomousAI"
    url = "https://www.autonomous.ai/anon/"
    api_endpoints: ClassVar[dict[str, str]] = {name: HOSTED + row.path for name, row in MODELS.items()}
    working = False
    supports_stream = True
    supports_system_message = True
    supports_message_history = True

    default_model = DEFAULT_MODEL
    models = list(MODELS)
    model_aliases = dict(MODEL_ALIASES)

    #: Images may be sent: which of the models can see is the server's to say.
    capabilities = Capabilities(vision=True)

    _defaults: ClassVar[dict[tuple[str | None, str | None], AutonomousAI]] = {}

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float | Mapping[str, float] | Clocks | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
        trust_env: bool = True,
        ssl_context: SSLContext | None = None,
    ) -> None:
        check_settings(ssl_context, trust_env=trust_env)
        said_by = "base_url" if base_url else "AUTONOMOUSAI_BASE_URL"
        base_url = base_url or os.environ.get("AUTONOMOUSAI_BASE_URL")
        self.base_url = check_base_url(base_url or HOSTED, said_by)
        if base_url:
            self.api_endpoints = {name: self.base_url + row.path for name, row in MODELS.items()}  # type: ignore[misc]
            self.working = self.base_url != HOSTED
        self._options = ClientOptions(
            clocks=read_timeout(timeout, CLIENT_CLOCKS),
            headers=as_headers(headers),
            api_key=(os.environ.get("AUTONOMOUSAI_API_KEY", "").strip() if api_key is None else api_key) or None,
            proxy=Proxy(proxy) if proxy else None,
            retries=(DEFAULT_RETRIES if base_url else 0) if retries is None else retries,
        )
        self._usual_headers = self._headers(self._options)
        self._streams_url = f"{self.base_url}/v1/streams"
        self._stream_headers = resumable(self._usual_headers, self._streams_url)
        self._is_named = bool(base_url)
        self._pool = HttpPool(trust_env=trust_env, tls=ssl_context)

    @classmethod
    def default(cls) -> AutonomousAI:
        """The instance that the class stands for: made from the environment, once for each value of it."""
        key = (os.environ.get("AUTONOMOUSAI_BASE_URL"), os.environ.get("AUTONOMOUSAI_API_KEY"))
        if key not in cls._defaults:
            cls._defaults[key] = cls()
        return cls._defaults[key]

    @class_or_instance
    def create_async_generator(
        self_or_cls: Any,  # noqa: N805
        /,
        model: str,
        messages: AnyMessages,
        proxy: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> AsyncResult:
        """Ask *model* and return the answer: text as it comes (or whole, without ``stream``) and last one `FinishReason`.

        ``proxy``: ``http://[user:password@]host:port`` for this request. ``kwargs``: the client's options (``timeout``,
        ``headers``, ``api_key``, ``retries``) stay here; all others are request fields and travel in the body. ``retries``: how
        many tries may follow the first, while nothing of an answer has come: by default the provider's, 0 for none.
        Raises `ModelNotFoundError` (a `ValueError`), `InvalidMessagesError` (a `ValueError`) and `ConfigError` at the call,
        `HTTPError` and its kin while the answer is read.
        """
        self: AutonomousAI = self_or_cls if isinstance(self_or_cls, AutonomousAI) else self_or_cls.default()
        return ask(self, model, messages, proxy, stream, kwargs)

    @class_or_instance
    def create_completion(
        self_or_cls: Any,  # noqa: N805
        /,
        model: str,
        messages: AnyMessages,
        proxy: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Completion:
        """The same for a blocking caller: an iterator of the same chunks, inside a running event loop or without one."""
        self: AutonomousAI = self_or_cls if isinstance(self_or_cls, AutonomousAI) else self_or_cls.default()
        return blocking(self, self.create_async_generator(model, messages, proxy=proxy, stream=stream, **kwargs))

    @class_or_instance
    def chat(
        self_or_cls: Any,  # noqa: N805
        /,
        model: str,
        messages: AnyMessages,
        *,
        stream: bool = True,
        proxy: str | None = None,
        **fields: Unpack[ChatFields],
    ) -> AsyncResult:
        """See `AsyncGeneratorProvider.chat`; on the class or on an instance."""
        result: AsyncResult = self_or_cls.create_async_generator(model, messages, proxy=proxy, stream=stream, **fields)
        return result

    @class_or_instance
    def complete(
        self_or_cls: Any,  # noqa: N805
        /,
        model: str,
        messages: AnyMessages,
        *,
        stream: bool = True,
        proxy: str | None = None,
        **fields: Unpack[ChatFields],
    ) -> Completion:
        """See `AsyncGeneratorProvider.complete`; on the class or on an instance."""
        completion: Completion = self_or_cls.create_completion(model, messages, proxy=proxy, stream=stream, **fields)
        return completion

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """See `AsyncGeneratorProvider.stream`; raises `ConfigError` at the call for options that cannot be sent."""
        name = self.get_model(request.model)
        merged = self._options.merged(options)
        messages = check_messages(request.messages)
        if request.origin is not None:
            messages = without_sealed(messages)
        if merged is self._options or merged.is_sent_as(self._options):
            headers = self._stream_headers if request.stream else self._usual_headers
        else:
            headers = self._headers(merged)
            headers = resumable(headers, self._streams_url) if request.stream else headers
        exchange = PreparedRequest(
            url=self.api_endpoints[name],
            headers=headers,
            body=write_request(name, messages, stream=request.stream, fields=request.fields),
            clocks=clocks_of(options, self._options.clocks),
            stream=request.stream,
            wire=wire_for(request.fields) if request.fields else AUTONOMOUSAI,
            proxy=merged.proxy,
            retries=merged.retries,
            streams_url=self._streams_url,
            deadline=options.deadline,
            others=options.others,
        )
        answer = ResponseStream(self._pool, exchange, options.answer)
        if not self._is_named:
            _warn_of_the_hosted_service()
        return GeneratedBatches(partial(_with_hint, answer)) if self.base_url == HOSTED else answer

    @staticmethod
    def _headers(options: ClientOptions) -> dict[str, str]:
        return options.signed(_HEADERS, {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {})

    async def check_health(self) -> bool | None:
        """See `AsyncGeneratorProvider.check_health`: servers of this package say whether they take requests; the hosted service
        has nothing of the kind."""
        if self.base_url == HOSTED:
            return None
        return await is_up(self._pool, f"{self.base_url}/readyz", dict(self._options.headers), self._options.proxy)

    def status(self) -> ProviderStatus:
        """See `AsyncGeneratorProvider.status`."""
        return ProviderStatus(orphans=self._pool.orphans)

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._pool.aclose()
