"""OpenTelemetry: a server span a request, and in it a client span for each attempt at an upstream, by the conventions for HTTP
and for generative AI. The only file that knows OpenTelemetry.

A caller's trace continues here, and at the upstream. What was asked and answered stands in no span, unless an operator says
``content = true``; errors are recorded by their kind, as their texts may quote a prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .._version import __version__
from ..errors import ConfigError
from ..events import Batch, FinishReason, Started
from ..gateway.upstream import Upstream
from ..http.server.exchange import CLIENT_LEFT, Exchange, Handle
from ..provider import AsyncGeneratorProvider
from ..report import HEDGED
from ..request import ChatRequest
from ..wires.raw import COMPLETIONS_WIRE, EMBEDDINGS_WIRE, RERANK_WIRE
from .metrics import AnswerMeter

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_CARRIED: Final = frozenset({b"traceparent", b"tracestate"})

#: Seconds that the last spans may take at the end.
_FAREWELL_S: Final = 2.0

#: Request fields that are numbers and not a caller's words, by what they are called in a span.
_FIELDS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}


#: A whole number of more bits fits no attribute: the exporter would lose the spans that are sent with it.
_BITS: Final = 64


#: What is asked where it is no chat: by the wire, and by the path that the server has for it.
_OPERATIONS: Final = {
    COMPLETIONS_WIRE: "text_completion",
    EMBEDDINGS_WIRE: "embeddings",
    RERANK_WIRE: "rerank",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
}


def _operation_of(request: ChatRequest) -> str:
    """Return the name of what is asked, in the words of the conventions where they have one."""
    return "chat" if request.origin is None else _OPERATIONS.get(request.origin.wire, "chat")


class OpenTelemetry:
    """Spans by *provider*. ``content``: with prompts and answers. ``owned``: the provider is ours to shut down."""

    def __init__(self, provider: trace.TracerProvider, *, content: bool = False, owned: bool = False) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("autonomousai", __version__)
        self._content = content
        self._owned = owned

    @classmethod
    def from_environment(cls, *, content: bool) -> OpenTelemetry:
        """Inside an application that has set OpenTelemetry up: its provider; else one by the ``OTEL_*`` variables."""
        given = trace.get_tracer_provider()
        if isinstance(given, TracerProvider):
            return cls(given, content=content)
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        if (exporter := _exporter(os.environ.get("OTEL_TRACES_EXPORTER", "otlp"))) is not None:
            provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, content=content, owned=True)

    def around(self, handle: Handle, untraced: frozenset[str], /) -> Handle:
        """Return *handle* with a span around each request, except of the paths in *untraced*."""

        async def traced(exchange: Exchange) -> None:
            if exchange.path in untraced:
                await handle(exchange)
                return
            carrier = {name.decode(): value.decode("latin-1") for name, value in exchange.headers if name in _CARRIED}
            span = self._tracer.start_span(exchange.method, _PROPAGATOR.extract(carrier), kind=SpanKind.SERVER)
            token = context.attach(trace.set_span_in_context(span))
            try:
                await handle(exchange)
            finally:
                context.detach(token)
                _describe_request(span, exchange)
                span.end()

        return traced

    def attempt(self, upstream: Upstream, request: ChatRequest, /) -> _AttemptSpan:
        """A span around an attempt; see `gateway.observer`."""
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": (operation := _operation_of(request)),
            "gen_ai.provider.name": _provider_name(upstream.provider),
            "gen_ai.request.model": request.model,
            "autonomousai.upstream": upstream.name,
            **_address(upstream.provider),
        }
        for field, name in _FIELDS.items():
            value = request.fields.get(field)
            if type(value) is float or (type(value) is int and value.bit_length() < _BITS):
                attributes[name] = value
        if self._content:
            attributes["gen_ai.input.messages"] = _json([_message(message) for message in request.messages])
        span = self._tracer.start_span(f"{operation} {request.model}", kind=SpanKind.CLIENT, attributes=attributes)
        return _AttemptSpan(span, [] if self._content else None)

    async def aclose(self) -> None:
        """Send what is left; a collector that does not take it is not waited for."""
        if not (self._owned and isinstance(self._provider, TracerProvider)):
            return
        shutdown, loop, sent = self._provider.shutdown, asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, name="autonomousai-spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await sent.wait()


class _AttemptSpan:
    """One attempt's span. ``texts``: where its answer is gathered, if it is to be recorded."""

    def __init__(self, span: Span, texts: list[str] | None) -> None:
        self.headers: dict[str, str] = {}
        _PROPAGATOR.inject(self.headers, trace.set_span_in_context(span))
        self._span = span
        self._texts = texts
        self._heard = False

    def heard(self, batch: Batch) -> None:
        """The upstream said this."""
        first, last = batch[0], batch[-1]
        if type(first) is Started and first.model is not None:
            self._span.set_attribute("gen_ai.response.model", first.model)
        if not self._heard and type(last) is not Started:
            self._heard = True
            self._span.add_event("first token")
        if self._texts is not None:
            self._texts += [event for event in batch if type(event) is str]
        if type(last) is FinishReason:
            self._finish(last)

    def _finish(self, finish: FinishReason) -> None:
        _set_finish(self._span, finish)
        if self._texts is not None:
            parts = [{"type": "text", "content": "".join(self._texts)}]
            said = [{"role": "assistant", "parts": parts, "finish_reason": finish.reason}]
            self._span.set_attribute("gen_ai.output.messages", _json(said))

    def ended(self, outcome: str, status: int | None) -> None:
        """How it ended."""
        self._span.set_attribute("autonomousai.outcome", outcome)
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if outcome not in ("ok", "left", "diverged", HEDGED):
            self._span.set_attribute("error.type", str(status) if outcome == "status" else outcome)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _describe_request(span: Span, exchange: Exchange) -> None:
    """Describe what became of a request, by what was noted in its exchange."""
    route, status = exchange.route or "other", exchange.status
    span.update_name(f"{exchange.method} {route}")
    span.set_attribute("http.request.method", exchange.method)
    span.set_attribute("http.route", route)
    span.set_attribute("url.scheme", "http")
    span.set_attribute("autonomousai.request_id", exchange.request_id)
    if server := exchange.server:
        span.set_attribute("server.address", server[0])
        if server[1] is not None:
            span.set_attribute("server.port", server[1])
    if status:
        span.set_attribute("http.response.status_code", status)
    meter: AnswerMeter | None = exchange.meter
    broken = ""
    if meter is not None:
        span.set_attribute("gen_ai.operation.name", _OPERATIONS.get(route, "chat"))
        span.set_attribute("gen_ai.request.model", meter.model)
        if meter.upstream is not None:
            span.set_attribute("autonomousai.upstream", meter.upstream)
        if meter.answer.finish is not None:
            _set_finish(span, meter.answer.finish)
        broken = "" if meter.outcome in ("", "ok", "left") else meter.outcome
    if status >= 500 or (broken and status == 200):
        span.set_attribute("error.type", broken or str(status))
        span.set_status(StatusCode.ERROR)
    elif status == CLIENT_LEFT:
        span.set_attribute("error.type", "client_left")


def _set_finish(span: Span, finish: FinishReason) -> None:
    if finish.reason is not None:
        span.set_attribute("gen_ai.response.finish_reasons", [finish.reason])
    if finish.model is not None:
        span.set_attribute("gen_ai.response.model", finish.model)
    if finish.usage is not None:
        span.set_attribute("gen_ai.usage.input_tokens", finish.usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", finish.usage.completion_tokens)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as the conventions have it; of what is no text, its kind alone."""
    content = message.get("content")
    pieces = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
    parts = [
        {"type": "text", "content": piece.get("text")} if piece.get("type") == "text" else {"type": str(piece.get("type"))}
        for piece in pieces
        if isinstance(piece, Mapping)
    ]
    return {"role": message.get("role"), "parts": parts}


def _json(document: Any) -> str:
    return msgspec.json.encode(document).decode()


def _provider_name(provider: AsyncGeneratorProvider) -> str:
    """The wire that an upstream speaks, or what it is."""
    kind = type(provider).__qualname__
    return "openai" if kind == "OpenAICompatible" else (provider.label or kind).lower()


def _address(provider: AsyncGeneratorProvider) -> dict[str, Any]:
    parts = urlsplit(getattr(provider, "base_url", ""))
    if not parts.hostname:
        return {}
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return {"server.address": parts.hostname, "server.port": port}


def _resource() -> Resource:
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "autonomousai"}))
    return resource


def _exporter(name: str) -> SpanExporter | None:
    match name.strip().lower():
        case "otlp" | "":
            return OTLPSpanExporter()
        case "console":
            return ConsoleSpanExporter(out=sys.stderr)  # on stdout stands one line, which is another
        case "none":
            return None
    raise ConfigError(f"OTEL_TRACES_EXPORTER: {name!r} is not available here; the exporters are otlp, console and none")
