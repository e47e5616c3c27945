"""``POST /v1/responses``: a request whose response can be asked for again. What is kept, and how, is in `kept`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from ..errors import IncompleteStreamError, ProviderError, StatusError
from ..http.server.exchange import Exchange
from ..limiter import Place, QuotaHold, busy, shutting_down
from ..request import ChatRequest
from ..streams.contexts import Continued
from ..streams.errors import stream_gone
from ..streams.log import StreamLog
from ..streams.records import Kept, Record
from ..streams.stores import GoneError, StoreError
from ..wires.base import Wire
from ..wires.openai_responses.kept import (
    answered_turn,
    input_list,
    items_by_id,
    previous_response_not_found,
    references,
    with_items,
)
from ..wires.request_body import encode_request
from .cache_status import tell_cache
from .context import EndpointContext
from .disconnect import DisconnectScope
from .endpoint import Endpoint
from .kept import find_kept, response_of_records
from .sse_response import SSEResponse

if TYPE_CHECKING:
    from ..streams.broker import StreamBroker


class KeepingEndpoint(Endpoint):
    """``POST`` of a request whose response is kept, unless it says ``store: false``."""

    def __init__(self, context: EndpointContext, wire: Wire, model: str = "") -> None:
        super().__init__(context, wire, model)
        self.usual = self._unkept

    def _unkept(self, body: bytes) -> ChatRequest | None:
        """Return a usual request that says that its response is not kept."""
        if b'"store"' not in body:
            return None  # it is kept
        request = self.wire.decode_usual(body)
        if request is None or request.origin is None or request.origin.document.get("store") is not False:
            return None
        return request

    async def _answer(
        self, request: ChatRequest, exchange: Exchange, response: SSEResponse | None, scope: DisconnectScope, place: Place
    ) -> None:
        context = self._context
        document = request.origin.document if request.origin is not None else {}
        background, stored = document.get("background") is True, document.get("store") is not False
        await context.ready()
        if ids := references(document.get("input")):
            request = await self._resolved(request, exchange, ids)
        continued: Continued | None = None
        if (previous := document.get("previous_response_id")) is not None:
            request, continued = await self._continued(request, exchange, previous)
        if not stored:
            await super()._answer(request, exchange, response, scope, place)
            return
        request, model = self._admit(request, exchange)  # what was said before may have held images, and be all that was said
        hold = None if exchange.caller is None else await context.admission.reserve(exchange, self.wire, model, request)
        if hold is not None and hold.over_budget:
            request = request.beyond_budget()
        try:
            stream = await self._begin(request, exchange, response, place, hold, continued, background=background)
        finally:
            if hold is not None:  # unless the stream has taken it over
                hold.settle()
        if stream is None:
            await super()._answer(request, exchange, response, scope, place)
        elif response is not None:
            await self._relay(stream, exchange, response)
        elif background:
            await _respond(exchange, stream, [])
        else:
            await self._send_kept(stream, exchange, scope)

    async def _begin(
        self,
        request: ChatRequest,
        exchange: Exchange,
        response: SSEResponse | None,
        place: Place,
        hold: QuotaHold | None,
        continued: Continued | None,
        *,
        background: bool,
    ) -> StreamLog | None:
        """Return the stream that answers *request*; None where the store fails and the caller waits for the answer."""
        context = self._context
        resumable = response is not None and exchange.head.get(b"x-stream-resumable") == b"1"
        kept: Kept = "background" if background else "resumable" if resumable else "attended"
        if background:
            self._check_room(context.streams, context.places.places)
        elif not place.is_taken:
            await place.acquire()
        exchange.read_by = monotonic() + context.total_s
        asked = _asked(request, background=background)
        key = context.key_of(exchange)
        stream = await context.streams.begin(
            asked,
            key,
            exchange.request_id,
            self.wire,
            place,
            kept=kept,
            key_name=exchange.key,
            hold=hold,
            continued=continued,
        )
        if stream is None and background:
            raise StatusError("the response cannot be kept: the store cannot be reached", status=503, type="server_error")
        return stream

    async def _resolved(self, request: ChatRequest, exchange: Exchange, ids: dict[str, str]) -> ChatRequest:
        """Return *request* with the items that it refers to by these *ids*, each with what names its response."""
        assert request.origin is not None
        context = self._context
        known = {}
        for stem in dict.fromkeys(ids.values()):
            try:
                name = self.wire.answer_id(stem)
                kept = await find_kept(context.streams, context.key_of(exchange), name, exchange.request_id)
                known.update(items_by_id(await kept.input(), await kept.response(), stem))
            except StatusError as error:
                if error.status != 404:
                    raise
        document = request.origin.document
        whole = {**document, "input": with_items(document["input"], ids, known)}
        return self.wire.decode_request(encode_request(whole), exchange.path)

    async def _continued(self, request: ChatRequest, exchange: Exchange, previous: str) -> tuple[ChatRequest, Continued]:
        """Return *request* with the conversation before it: that of the *previous* response, and what that answered; and how it
        is stored."""
        assert request.origin is not None
        try:
            context = self._context
            kept = await find_kept(context.streams, context.key_of(exchange), previous, exchange.request_id)
            response, turns = await kept.response(), await kept.turns()
        except StatusError as error:
            raise (previous_response_not_found(previous) if error.status == 404 else error) from None
        document = request.origin.document
        own, turn = document.get("input"), answered_turn(kept.own_input, response)
        whole = {**document, "input": [*turns.items, *turn, *input_list(own)]}
        continued = Continued(context.streams.kept.next_context(kept.recorded, turns, turn), own)
        return self.wire.decode_request(encode_request(whole), exchange.path), continued

    @staticmethod
    def _check_room(streams: StreamBroker, places: int) -> None:
        """Raise `StatusError` 503 where as many wait in the background as can be answered at once."""
        if sum(streams.count()) >= 2 * places:
            raise busy("too many responses are generated in the background", None)

    async def _relay(self, stream: StreamLog, exchange: Exchange, response: SSEResponse) -> None:
        """Be the first reader of a kept answer."""
        streams = self._context.streams
        response.name(stream.id, goes_on=streams.outlive_us and stream.kept != "attended")
        try:
            with streams.reader(stream, 0, self.wire) as reader:
                await response.relay(reader)
        finally:
            exchange.meter = stream.meter
            if not response.started and stream.kept != "background":
                streams.forget(stream)

    async def _send_kept(self, stream: StreamLog, exchange: Exchange, scope: DisconnectScope) -> None:
        """Send a kept answer as one document, when it has come."""
        streams = self._context.streams
        try:
            with streams.reader(stream, 0, self.wire) as reader:
                records = await reader.gather()
        except (GoneError, StoreError):
            raise stream_gone() from None
        finally:
            exchange.meter = stream.meter
        try:
            if stream.error is not None:
                raise stream.error
            if not stream.ended:
                raise shutting_down() if streams.draining else IncompleteStreamError
        except ProviderError:
            streams.forget(stream)  # its caller never learns its id
            raise
        scope.release()
        tell_cache(exchange, stream.report)
        await _respond(exchange, stream, records)


def _asked(request: ChatRequest, *, background: bool) -> ChatRequest:
    """Return the request as it is generated and kept: the response says that it is; its items have the order in which they
    were said, and what is generated in the background can be seen as it comes."""
    echo = {**(request.echo or {}), "store": True, "background": background}
    return msgspec.structs.replace(request, echo=echo, stream=True)


async def _respond(exchange: Exchange, stream: StreamLog, records: list[Record]) -> None:
    assert stream.recorded is not None
    exchange.respond(200, msgspec.json.encode(response_of_records(stream.recorded, records)))
    await exchange.drain()
