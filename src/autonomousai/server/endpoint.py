"""One request of any wire, from its body to the last byte of its answer: the one endpoint of all wires.

However a request ends, its answer is closed before its place is given back. One that can be resumed is generated elsewhere (see
`streams`), and only read here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from ..answer import Answer
from ..batches import BatchStream, SentRequest
from ..errors import IncompleteStreamError, ProviderError, StatusError
from ..events import Batch, FinishReason, begins_answer
from ..http.server.exchange import ClientLeftError, Exchange, internal_error, log_bug
from ..limiter import Place, QuotaHold
from ..report import Report
from ..request import CallOptions, ChatRequest, OriginalRequest
from ..telemetry.metrics import AnswerMeter, Asked
from ..wires.base import AnswerHead, Wire
from ..wires.messages import has_images
from ..wires.provenance import make_provenance
from ..wires.raw import unsupported
from .bodies import SMALL
from .cache_status import tell_cache
from .caller_context import CONTEXT_HEADERS, context_of
from .context import EndpointContext
from .disconnect import DisconnectScope
from .refusals import fail, refuse_image
from .sse_response import SSEResponse

#: Characters of a model's name.
MAX_MODEL: Final = 256

#: Noted of a head that is admitted, and whose requests are not to be launched: their streams may be resumed.
LONGER: Final = object()

#: The header of a request whose stream may be resumed.
_RESUMABLE: Final = (b"x-stream-resumable", b"1")


class PlacedRequest(msgspec.Struct):
    """A request that has its place. ``place``: None where another holder gives it back. ``wire``: the one that errors are
    written in. ``body``: as it came, while it is needed. ``response``: the streamed answer, where it has one."""

    exchange: Exchange
    place: Place | None
    wire: Wire
    body: bytes = b""
    response: SSEResponse | None = None


async def in_place(
    context: EndpointContext,
    exchange: Exchange,
    wire: Wire,
    serve: Callable[[PlacedRequest], Awaitable[None]],
    body: bytes = b"",
    leave: Callable[[], None] | None = None,
) -> None:
    """Take a place for a request, unless it has one, which *leave* gives back; let *serve* answer it, and report what that
    raises: in the stream, where one has begun.

    Raises `StatusError` where there is no room for it, and `ClientLeftError`.
    """
    place = context.places.enter() if leave is None else None
    asked = PlacedRequest(exchange, place, wire, body)
    del body  # *serve* lets go of it
    exchange.read_by = time.monotonic() + context.total_s
    try:
        await serve(asked)
    except ClientLeftError:
        raise
    except ProviderError as error:
        await fail(error, asked.response, exchange, asked.wire)
    except Exception as error:  # a bug must cost its own request alone
        log_bug(exchange.request_id, error)
        await fail(internal_error(), asked.response, exchange, asked.wire)
    finally:
        if asked.response is not None:
            asked.response.close()
        if place is not None:
            place.leave()
        elif leave is not None:
            leave()


class Endpoint:
    """``POST`` of a chat request, spoken in *wire*. *model*: the one that is asked where a request names none."""

    def __init__(self, context: EndpointContext, wire: Wire, model: str = "") -> None:
        self._context = context
        self._model = model
        self.wire = wire
        #: Returns the request in a body, where it is a usual one whose answer is for this connection alone.
        self.usual: Callable[[bytes], ChatRequest | None] = wire.decode_usual
        self.id_header = None if wire.id_header is None else wire.id_header.encode()

    def __call__(self, exchange: Exchange) -> Awaitable[None]:
        """Answer one request. Raises `StatusError` where there is no room for it, and `ClientLeftError`; every other error is
        reported here."""
        known = exchange.known
        body = self._context.bodies.taken(exchange, is_known=known is not None and known.note is not None)
        if body is None:
            return self._read(exchange)
        return in_place(self._context, exchange, self.wire, self._serve, body)

    async def _read(self, exchange: Exchange) -> None:
        """Answer one request whose body has not come yet."""
        await in_place(self._context, exchange, self.wire, self._serve, await self._context.bodies.read(exchange))

    async def _serve(self, asked: PlacedRequest) -> None:
        context, exchange, place = self._context, asked.exchange, asked.place
        assert place is not None
        with DisconnectScope(exchange, context.places.callers, context.orphans) as scope:
            if len(asked.body) > SMALL:
                await place.acquire()
            request = self.wire.decode_request(asked.body, exchange.path)
            asked.body = b""
            if self._model and not request.model:
                request = msgspec.structs.replace(request, model=self._model)
            if request.origin is not None:
                request = with_headers(request, request.origin, self.wire, exchange)
            known = exchange.known
            if (known is None or known.note is None) and not CONTEXT_HEADERS.isdisjoint(exchange.head):
                request = msgspec.structs.replace(request, context=context_of(exchange.head, traces=context.traces) or None)
            check_model(request)
            if request.stream:
                asked.response = SSEResponse(exchange, self.wire, context.sweep(), context.keepalive_s)
            await self._answer(request, exchange, asked.response, scope, place)

    async def _answer(
        self, request: ChatRequest, exchange: Exchange, response: SSEResponse | None, scope: DisconnectScope, place: Place
    ) -> None:
        context = self._context
        if context.look_again is not None and request.model not in context.settled:
            await context.look_again(wanted_of(request, exchange))
        if not request.messages and (end := self.wire.end_at_once(request)) is not None:
            await self._send_end(end, request, exchange, response)
            return
        request, model = self._admit(request, exchange)
        hold = None
        if exchange.caller is not None:
            admission = context.admission
            if admission.at_once:
                hold = admission.reserve_now(exchange, self.wire, model, request)
            else:
                hold = await admission.reserve(exchange, self.wire, model, request)
        if hold is not None and hold.over_budget:
            request = request.beyond_budget()
        try:
            if response is not None and self.wire.has_events and may_be_resumed(exchange):
                await context.ready()
                if await self._send_resumable(request, exchange, response, place, hold):
                    return
            if not place.try_acquire():
                await place.acquire()
            await context.ready()
            await self.generate(model, request, exchange, response, scope)
        finally:
            place.release()
            if hold is not None:
                hold.settle()

    async def generate(
        self,
        model: str,
        request: ChatRequest,
        exchange: Exchange,
        response: SSEResponse | None,
        scope: DisconnectScope,
        sent: SentRequest | None = None,
    ) -> None:
        """Let the provider answer, for this connection alone; *sent*: what was sent to it before."""
        context = self._context
        exchange.read_by = time.monotonic() + context.total_s
        if response is None and (self.wire.keeps_order or (self.wire.tells_durations and self.wire.streams)):
            request = msgspec.structs.replace(request, stream=True)
        answer = Answer()
        batches = (
            context.source.stream(request, CallOptions(answer=answer, whole=response is None))
            if sent is None
            else sent.batches(answer, whole=response is None)
        )
        exchange.meter = meter = context.metrics.answer(model, answer, exchange.began)
        meter.key = exchange.key
        if context.metrics.on_end is not None:
            meter.asked = self.asked(exchange, request, whole=response is None)
        try:
            with meter:
                if response is None:
                    await self._send_document(batches, answer, meter, exchange, scope, request)
                else:
                    await self._send_stream(batches, answer, meter, exchange, response, scope, request)
        except StopAsyncIteration:
            raise IncompleteStreamError from None
        finally:
            try:
                await batches.aclose()
            finally:
                if meter.asked is not None and context.metrics.on_end is not None:
                    context.metrics.on_end(meter)

    def asked(self, exchange: Exchange, request: ChatRequest, *, whole: bool) -> Asked:
        """Return what an answer is accounted to."""
        came = time.time() - (time.monotonic() - exchange.began)
        return Asked(exchange.request_id, self.wire.name, exchange.key, came, request, whole)

    async def _send_end(
        self, end: FinishReason, request: ChatRequest, exchange: Exchange, response: SSEResponse | None
    ) -> None:
        """Answer a request that asks nothing of an upstream. Raises `ProviderError` where its model is not there."""
        context, caller = self._context, exchange.caller
        model = (
            context.resolve(request.model) if caller is None else context.admission.resolve(caller, self.wire, request.model)
        )
        head = AnswerHead(self.wire.answer_id(exchange.request_id), int(time.time()), model, False, request.echo)
        if response is not None:
            await response.write(self.wire.encode_stream([end], head), last=True)
        elif not exchange.respond(200, self.wire.encode_answer([end], head)):
            await exchange.drain()

    def _admit(self, request: ChatRequest, exchange: Exchange) -> tuple[ChatRequest, str]:
        """Return the request with the name under which its answer may be cached, and the model that is asked. Raises
        `ProviderError` for one that is not there, that the caller's key may not use, or that cannot see what is sent."""
        context = self._context
        if exchange.caller is None:
            model = context.resolve(request.model)
        else:
            model = context.admission.resolve(exchange.caller, self.wire, request.model)
        if (index := has_images(request.messages)) is not None and not context.provider.capabilities_of(model).vision:
            refuse_image(request, index)
        if (
            request.origin is not None
            and request.is_raw
            and request.origin.wire not in context.provider.capabilities_of(model).wires
        ):
            raise unsupported(request.model or model, request.origin.wire)
        if context.cache is not None:
            request = context.cache.named(request, model, exchange, self.wire.name, context.key_of(exchange))
        return request, model

    async def _send_stream(
        self,
        batches: BatchStream,
        answer: Answer,
        meter: AnswerMeter,
        exchange: Exchange,
        response: SSEResponse,
        scope: DisconnectScope,
        request: ChatRequest,
    ) -> None:
        response.answer = answer
        batch = await batches.__anext__()
        answer.add(batch)
        if self._context.cache is not None:
            tell_cache(exchange, answer.report)
        model = (answer.model or meter.model)[:MAX_MODEL]
        answer_id = self.wire.answer_id(exchange.request_id)
        durations = _durations(meter) if self.wire.tells_durations else None
        head = AnswerHead(answer_id, int(time.time()), model, request.include_usage, request.echo, durations)
        response.begin(encoder := self.wire.encoder(head), answer, meter)
        pipes = True
        while True:
            meter.batch()
            data = encoder.write(batch)
            if type(finish := batch[-1]) is FinishReason:
                data += encoder.end(finish, extension=provenance_of(answer))
                scope.release()
                await response.write(data, last=True)
                return  # closing the answer does the rest
            if data:
                await response.write(data)
            data = b""  # held as long as nothing comes, it would be the largest part of a stream that waits
            if pipes and response.started:
                pipes = await batches.pipe_to(response.take)
                await response.drain()
            batch = await batches.__anext__()
            answer.add(batch)

    async def _send_resumable(
        self, request: ChatRequest, exchange: Exchange, response: SSEResponse, place: Place, hold: QuotaHold | None
    ) -> bool:
        """Be the first reader of a stream that outlives this connection. False where there is no place for one."""
        streams = self._context.streams
        key = self._context.key_of(exchange)
        kept = await streams.begin(request, key, exchange.request_id, self.wire, place, key_name=exchange.key, hold=hold)
        if kept is None:
            return False
        response.name(kept.id, goes_on=streams.outlive_us)
        try:
            with streams.reader(kept, 0, self.wire) as reader:
                await response.relay(reader)
        finally:
            exchange.meter = kept.meter
            if not response.started:
                streams.forget(kept)
        return True

    async def _send_document(
        self,
        batches: BatchStream,
        answer: Answer,
        meter: AnswerMeter,
        exchange: Exchange,
        scope: DisconnectScope,
        request: ChatRequest,
    ) -> None:
        events: Batch = []
        while answer.finish is None:
            batch = await batches.__anext__()
            meter.batch()
            answer.add(batch)
            if begins_answer(batch):
                events.clear()
            events += batch
        model = (answer.model or meter.model)[:MAX_MODEL]
        answer_id = self.wire.answer_id(exchange.request_id)
        durations = _durations(meter) if self.wire.tells_durations else None
        head = AnswerHead(answer_id, int(time.time()), model, request.include_usage, request.echo, durations)
        meter.broken = True  # until it is written
        body = self.wire.encode_answer(events, head, extension=provenance_of(answer))
        meter.broken = False
        scope.release()
        if self._context.cache is not None:
            tell_cache(exchange, answer.report)
        if not exchange.respond(200, body):
            await exchange.drain()


def _durations(meter: AnswerMeter) -> Callable[[], tuple[int, int]]:
    """Return what measures an answer; see `AnswerHead`."""
    return lambda: (int((time.monotonic() - meter.began) * 1e9), int((meter.first - meter.began) * 1e9))


def passes_headers(wire: Wire, exchange: Exchange) -> bool:
    """Return whether there is a header that the request's *wire* hands on."""
    return any(name.encode() in exchange.head for name in wire.passed_headers)


def with_headers(request: ChatRequest, origin: OriginalRequest, wire: Wire, exchange: Exchange) -> ChatRequest:
    """Return *request* with the headers that its *wire* hands on."""
    if not wire.passed_headers:
        return request
    head = exchange.head
    passed = {
        name: value.decode("latin-1").replace("\n", ",")
        for name in wire.passed_headers
        if (value := head.get(name.encode())) is not None
    }
    if not passed:
        return request
    return msgspec.structs.replace(request, origin=msgspec.structs.replace(origin, headers=passed))


def wanted_of(request: ChatRequest, exchange: Exchange) -> str:
    """Return the model that is requested, as far as its caller may learn that there is one: "" where a key has a list."""
    caller = exchange.caller
    return request.model if caller is None or not caller.policy.models else ""


def may_be_resumed(exchange: Exchange) -> bool:
    """Return whether the caller of a stream may come back for it."""
    if exchange.known is not None and _RESUMABLE not in exchange.headers:  # sooner than all of them by name
        return False
    return exchange.head.get(_RESUMABLE[0]) == _RESUMABLE[1]


def check_model(request: ChatRequest) -> None:
    """Raise `StatusError` 400 for a name that is too long to be one: each event of the answer repeats it."""
    if len(request.model) > MAX_MODEL:
        raise StatusError(
            f"model: {request.model[:50]!r}… has {len(request.model)} characters; at most {MAX_MODEL} are accepted",
            status=400,
            type="invalid_request_error",
            param="model",
            code="invalid_value",
        )


def provenance_of(answer: Answer) -> dict[str, Any]:
    """Return how the answer came about, and what a client can check it against."""
    report = Report() if answer.report is None else answer.report
    if report.upstream is None:
        report.upstream = answer.upstream
    others = {index: choice.text for index, choice in answer.choices.items()} if answer.choices else None
    return make_provenance(report, answer.text, others, () if answer.finish is None else answer.finish.notes)
