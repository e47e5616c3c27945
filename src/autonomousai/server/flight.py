"""A usual request on its way without a task: it is sent at once, and what comes first answers it, if it is the complete answer.

Whatever is not so takes the longer road of `endpoint`, which begins with what was sent: nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time

import msgspec

from ..answer import Answer
from ..errors import ProviderError
from ..events import Batch
from ..http.server.exchange import CLIENT_LEFT, ClientLeftError, Exchange, log_bug
from ..report import Report
from ..request import ChatRequest
from ..result import SentRequest
from ..wires.base import AnswerHead
from .auth import AccessControl
from .disconnect import DisconnectScope
from .endpoint import MAX_MODEL, STREAMED, Endpoint, EndpointContext, PlacedRequest, in_place, provenance_of


class Flight(msgspec.Struct, eq=False):
    """One request that is sent at once. ``note``: called with the exchange when it has ended. ``sent``: None after it
    was answered. ``fault``: why it is not to continue."""

    context: EndpointContext
    endpoint: Endpoint
    exchange: Exchange
    note: Callable[[Exchange], None]
    request: ChatRequest
    model: str
    sent: SentRequest | None = None
    fault: Exception | None = None

    # ---- what may come

    def on_news(self) -> None:
        """Something of the answer has come, or will not."""
        if self.exchange.listener is not self:
            return  # a task continues
        try:
            if self.sent is not None and (read := self.sent.whole()) is not None:
                self.sent = None
                self._land(*read)
                return
        except Exception as error:  # a bug must cost its own request alone
            self.fault = error
        self._divert()

    def on_left(self) -> None:
        """The caller has left."""
        self._divert()

    def interrupt(self, reason: Exception) -> None:
        """Stop now, and report *reason*."""
        if self.fault is None and self.exchange.listener is self:
            self.fault = reason
            self._divert()

    # ---- its ends

    def _land(self, batch: Batch, report: Report) -> None:
        """Answer with the complete answer, then count it."""
        context, exchange, wire = self.context, self.exchange, self.endpoint.wire
        answer = Answer(report)
        answer.add(batch)
        model = answer.model or self.model
        head = AnswerHead(wire.answer_id(exchange.request_id), int(time()), model[:MAX_MODEL], False, None)
        body = wire.encode_answer(batch, head, extension=provenance_of(answer))
        exchange.listener = None
        is_read = exchange.respond(200, body)
        exchange.meter = context.metrics.whole(self.model, answer, exchange.began)
        if not is_read:
            exchange.hand_over(self._drain)
            return
        self.note(exchange)
        context.places.callers.discard(self)
        context.places.leave()

    async def _drain(self, exchange: Exchange) -> None:
        """Keep the place until a slow caller has read enough."""
        exchange.read_by = monotonic() + self.context.total_s
        try:
            await exchange.drain()
        except ClientLeftError:
            exchange.status = CLIENT_LEFT
        finally:
            self.note(exchange)
            self.context.places.callers.discard(self)
            self.context.places.leave()

    def _divert(self) -> None:
        """Let a task continue."""
        self.exchange.listener = None
        self.exchange.hand_over(self._continue)

    async def _continue(self, exchange: Exchange) -> None:
        try:
            await in_place(self.context, exchange, self.endpoint.wire, self._serve, place=self.context.places.entered())
        except ClientLeftError:
            exchange.status = CLIENT_LEFT
        finally:
            self.context.places.callers.discard(self)
            self.note(exchange)

    async def _serve(self, asked: PlacedRequest) -> None:
        context, exchange = self.context, self.exchange
        with DisconnectScope(exchange, context.places.callers, context.orphans) as scope:
            if self.fault is not None:
                if self.sent is None:
                    raise self.fault
                scope.interrupt(self.fault)
            await self.endpoint.generate(self.model, self.request, exchange, None, scope, self.sent)


def launch(
    context: EndpointContext, guard: AccessControl, endpoint: Endpoint, exchange: Exchange, note: Callable[[Exchange], None]
) -> bool:
    """Send the request of *exchange*, where it is a usual one and that needs no waiting. False elsewhere: nothing was done."""
    has_entered = False
    try:
        body = exchange.peek_body()
        if body is None or not _is_admitted(context, guard, endpoint, exchange, len(body)):
            return False
        request = endpoint.wire.decode_usual(body)
        if request is None or request.stream or len(request.model) > MAX_MODEL:
            if request is not None and request.stream and exchange.known is not None:
                exchange.known.note = STREAMED
            return False
        model = context.resolve(request.model)
        has_entered = context.places.try_enter()
        if has_entered:
            flight = Flight(context, endpoint, exchange, note, request, model)
            flight.sent = context.source.launch(request, flight.on_news)
            if flight.sent is not None:
                exchange.take_body()
                context.places.callers.add(flight)
                exchange.listener = flight
                return True
    except ProviderError:
        pass  # it is raised again where it is reported
    except Exception as error:
        log_bug(exchange.request_id, error)
    if has_entered:
        context.places.leave()
    return False


def _is_admitted(context: EndpointContext, guard: AccessControl, endpoint: Endpoint, exchange: Exchange, size: int) -> bool:
    """Return whether the head of a request whose caller has no key of its own is admitted, with a body of *size* bytes. What is
    found of a head stands as long as no key is asked for."""
    if size > context.bodies.usual or guard.draining:
        return False
    known = exchange.known
    if known is not None and known.note is endpoint and not guard.asks:
        return True
    guard.check(exchange)
    if exchange.caller is not None or not context.bodies.takes(exchange):
        return False
    if known is not None and not guard.asks:
        known.note = endpoint
    return True
