"""A usual request on its way without a task: it is sent at once, and what comes first answers it, if it is the complete answer.

Whatever is not so takes the longer road of `endpoint`, which begins with what was sent: nothing is done twice.
The complete answer of a stream is written at once too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import Final, NoReturn

import msgspec

from ..answer import Answer
from ..batches import SentRequest
from ..errors import ProviderError
from ..events import Batch
from ..http.server.exchange import CLIENT_LEFT, ClientLeftError, Exchange, log_bug
from ..keys.reservations import Reservation
from ..request import ChatRequest
from ..telemetry.metrics import AnswerMeter
from ..wires.base import AnswerHead
from .auth import AccessControl
from .caller_context import CONTEXT_HEADERS
from .context import EndpointContext
from .disconnect import DisconnectScope
from .endpoint import (
    LONGER,
    MAX_MODEL,
    Endpoint,
    PlacedRequest,
    in_place,
    may_be_resumed,
    passes_headers,
    provenance_of,
)
from .sse_response import STREAM_LINES, SSEResponse

_NO_LABELS: Final[Mapping[str, str]] = {}


class Flight(msgspec.Struct, eq=False):
    """One request that is sent at once. ``note``: called with the exchange when it has ended. ``sent``: None after it
    was answered, and where it could not be sent. ``streams``: whether its answer is a stream. ``fault``: why it is not to
    continue. ``hold``: what the caller's key has reserved for it. ``answer``: the complete answer, once it has come.
    ``is_silent``: whether a sweep has found nothing of it."""

    context: EndpointContext
    endpoint: Endpoint
    exchange: Exchange
    note: Callable[[Exchange], None]
    request: ChatRequest
    model: str
    streams: bool
    sent: SentRequest | None = None
    fault: Exception | None = None
    hold: Reservation | None = None
    answer: Answer | None = None
    is_silent: bool = False

    def reserve(self) -> None:
        """Reserve what a caller's key has to. Raises `StatusError` where that is refused, which is noted then."""
        hold = self.context.admission.reserve_now(self.exchange, self.endpoint.wire, self.model, self.request)
        if hold is not None:
            self.hold = hold
            if hold.over_budget:
                self.request = self.request.beyond_budget()

    def begin(self) -> None:
        """Wait for what comes, or where nothing was sent let a task continue."""
        exchange = self.exchange
        exchange.take_body()
        if (id_header := self.endpoint.id_header) is not None:
            exchange.extra = [(id_header, exchange.request_id.encode()), *exchange.extra]
        if self.sent is None:
            self._divert()
            return
        self.context.places.callers.add(self)
        exchange.listener = self
        if self.streams:
            self.context.sweep().add(self)

    # ---- what may come

    def on_news(self) -> None:
        """Something of the answer has come, or will not."""
        if self.exchange.listener is not self:
            return  # a task continues
        answer: Answer | None = None
        try:
            if self.sent is not None and (read := self.sent.whole()) is not None:
                batch, report = read
                answer = Answer(report)
                answer.add(batch)
                self._land(batch, answer)
                return
        except Exception as error:  # a bug must cost its own request alone
            self.fault = error
            if answer is not None:
                self.sent, self.answer = None, answer
        self._divert()

    def on_left(self) -> None:
        """The caller has left."""
        self._divert()

    def look(self, now: float) -> None:
        """Called by the sweep where nothing of a stream has come so far: a task bridges its silence, from the second time on:
        the first may be as soon as it was sent."""
        if not self.is_silent:
            self.is_silent = True
        elif self.exchange.listener is self:
            self._divert()

    def interrupt(self, reason: Exception) -> None:
        """Stop now, and report *reason*."""
        if self.fault is None and self.exchange.listener is self:
            self.fault = reason
            self._divert()

    # ---- its ends

    def _land(self, batch: Batch, answer: Answer) -> None:
        """Respond with the complete *answer*, whose events *batch* has, then count it."""
        context, exchange, wire = self.context, self.exchange, self.endpoint.wire
        started = answer.started
        model = (None if started is None else started.model) or self.model
        if len(model) > MAX_MODEL:
            model = model[:MAX_MODEL]
        request = self.request
        head = AnswerHead(wire.answer_id(exchange.request_id), int(time()), model, request.include_usage, request.echo)
        if self.streams:
            body = wire.encode_stream(batch, head, extension=provenance_of(answer))
            exchange.listener = None
            exchange.start(200, [(b"x-request-id", exchange.request_id.encode())], STREAM_LINES)
            is_read = exchange.end(body)
        else:
            body = wire.encode_answer(batch, head, extension=provenance_of(answer))
            exchange.listener = None
            is_read = exchange.respond(200, body)
        exchange.meter = context.metrics.whole(self.model, answer, exchange.began, exchange.key)
        if is_read:
            self._end()
        else:
            exchange.hand_over(self._drain)

    def _end(self) -> None:
        """Account what was answered, and give back what is held for it, whatever that brings."""
        context, exchange = self.context, self.exchange
        try:
            if self.hold is not None or context.metrics.on_end is not None:
                self._account(exchange.meter)
            self.note(exchange)
        except Exception as error:  # the caller has its answer: no task is to continue
            log_bug(exchange.request_id, error)
        finally:
            if self.streams:
                context.sweep().discard(self)
            context.places.callers.discard(self)
            context.places.leave()

    def _account(self, meter: AnswerMeter) -> None:
        """Note what the answer took, and let that be what the caller's key has used."""
        exchange, metrics = self.exchange, self.context.metrics
        try:
            if metrics.on_end is None:
                return
            caller, wire = exchange.caller, self.endpoint.wire.name
            paid_by = (exchange.key, _NO_LABELS if caller is None else caller.policy.labels)
            on_whole = metrics.on_whole
            if meter.broken or on_whole is None or not on_whole(meter, exchange.request_id, wire, paid_by, self.request):
                meter.asked = self.endpoint.asked(exchange, self.request, whole=not self.streams)
                metrics.on_end(meter)
        finally:
            if self.hold is not None:
                self.hold.settle()

    async def _drain(self, exchange: Exchange) -> None:
        """Keep the place until a slow caller has read enough."""
        exchange.read_by = monotonic() + self.context.total_s
        try:
            await exchange.drain()
        except ClientLeftError:
            exchange.status = CLIENT_LEFT
        finally:
            self._end()

    def _divert(self) -> None:
        """Let a task continue."""
        self.exchange.listener = None
        if self.streams:
            self.context.sweep().discard(self)
        self.exchange.hand_over(self._continue)

    async def _continue(self, exchange: Exchange) -> None:
        try:
            await in_place(self.context, exchange, self.endpoint.wire, self._serve, leave=self.context.places.leave)
        except ClientLeftError:
            exchange.status = CLIENT_LEFT
        finally:
            self.context.places.callers.discard(self)
            self.note(exchange)

    async def _serve(self, asked: PlacedRequest) -> None:
        context, exchange = self.context, self.exchange
        if self.streams:
            asked.response = SSEResponse(exchange, self.endpoint.wire, context.sweep(), context.keepalive_s)
        with DisconnectScope(exchange, context.places.callers, context.orphans) as scope:
            try:
                if self.fault is not None:
                    if self.sent is None:
                        self._fail(self.fault)
                    scope.interrupt(self.fault)
                await self.endpoint.generate(self.model, self.request, exchange, asked.response, scope, self.sent)
            finally:
                if self.hold is not None:
                    self.hold.settle()

    def _fail(self, fault: Exception) -> NoReturn:
        """Raise *fault*. An answer that had come complete is accounted: it was generated, and is to be paid."""
        if self.answer is None:
            raise fault
        exchange = self.exchange
        exchange.meter = meter = self.context.metrics.answer(self.model, self.answer, exchange.began)
        meter.key, meter.broken = exchange.key, True
        try:
            with meter:
                raise fault
        finally:
            self._account(meter)


def launch(
    context: EndpointContext, guard: AccessControl, endpoint: Endpoint, exchange: Exchange, note: Callable[[Exchange], None]
) -> bool:
    """Send the request of *exchange*, where it is a usual one and that needs no waiting. False elsewhere: nothing was done.
    What a caller's key has reserved, or refused, is not undone: a task continues then."""
    flight: Flight | None = None
    try:
        flight = _entered(context, guard, endpoint, exchange, note)
        if flight is None:
            return False
        if exchange.caller is not None:
            flight.reserve()
        flight.sent = context.source.launch(flight.request, flight.on_news)
    except Exception as error:
        if flight is not None and exchange.caller is not None:
            flight.fault = error
        elif not isinstance(error, ProviderError):  # those are raised again where they are reported
            log_bug(exchange.request_id, error)
        if flight is None:
            return False
    if flight.sent is None and exchange.caller is None:
        context.places.leave()
        return False
    flight.begin()
    return True


def _entered(
    context: EndpointContext, guard: AccessControl, endpoint: Endpoint, exchange: Exchange, note: Callable[[Exchange], None]
) -> Flight | None:
    """Return what may be sent of the request of *exchange*, inside and in its place. None where it is no usual one, or has to
    wait. Raises `ProviderError` where it is refused."""
    body = exchange.peek_body()
    if body is None or len(body) > context.bodies.usual or guard.draining:
        return None
    if (known := exchange.known) is not None and known.note is endpoint and guard.recall(exchange):
        if exchange.caller is not None and not context.admission.at_once:
            return None
    elif not _is_admitted(context, guard, endpoint, exchange):
        return None
    request = endpoint.usual(body)
    if request is None or len(request.model) > MAX_MODEL:
        return None
    if (caller := exchange.caller) is None:
        model = context.resolve(request.model)
    elif context.look_again is None or request.model in context.settled:
        model = context.admission.resolve(caller, endpoint.wire, request.model)
    else:
        return None
    if not context.places.try_enter():
        return None
    streams = request.stream
    if endpoint.wire.keeps_order and not streams:
        request = msgspec.structs.replace(request, stream=True)
    return Flight(context, endpoint, exchange, note, request, model, streams)


def _is_admitted(context: EndpointContext, guard: AccessControl, endpoint: Endpoint, exchange: Exchange) -> bool:
    """Return whether the head of a request is admitted, and its caller's key waits for nothing. What is found of a head stands,
    but for its key."""
    guard.check(exchange)
    if exchange.caller is not None:
        if not context.admission.at_once:
            return False
        guard.remember(exchange)
    known = exchange.known
    if known is None or known.note is not endpoint:
        if not context.bodies.takes(exchange) or passes_headers(endpoint.wire, exchange):
            return False
        if not CONTEXT_HEADERS.isdisjoint(exchange.head):
            return False
        is_longer = may_be_resumed(exchange)
        if known is not None:
            known.note = LONGER if is_longer else endpoint
        return not is_longer
    return True
