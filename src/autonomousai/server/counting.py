"""One request that asks for the count of its tokens: nothing is generated for it."""

from __future__ import annotations

import msgspec

from ..http.server.exchange import Exchange
from ..request import ChatRequest
from ..wires.base import Wire
from .context import EndpointContext
from .disconnect import DisconnectScope
from .endpoint import PlacedRequest, check_model, in_place, wanted_of, with_headers


class CountEndpoint:
    """``POST`` of a request of *wire*, to be counted. *model*: the one that the path names, where it names one."""

    def __init__(self, context: EndpointContext, wire: Wire, model: str = "") -> None:
        self._context = context
        self._model = model
        self.wire = wire
        self.id_header = None if wire.id_header is None else wire.id_header.encode()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request. Raises as `Endpoint` does."""
        await in_place(self._context, exchange, self.wire, self._serve, await self._context.bodies.read(exchange))

    async def _serve(self, asked: PlacedRequest) -> None:
        context, exchange = self._context, asked.exchange
        with DisconnectScope(exchange, context.places.callers, context.orphans) as scope:
            assert asked.place is not None
            await asked.place.acquire()
            answer = self.wire.encode_count(await self._count(exchange, asked.body))
            scope.release()
        exchange.respond(200, answer)
        await exchange.drain()

    async def _count(self, exchange: Exchange, body: bytes) -> int:
        context = self._context
        request = self.wire.decode_request(body, exchange.path)
        if self._model and not request.model:
            request = msgspec.structs.replace(request, model=self._model)
        check_model(request)
        if request.origin is not None:
            request = with_headers(request, request.origin, self.wire, exchange)
        if context.look_again is not None and request.model not in context.settled:
            await context.look_again(wanted_of(request, exchange))
        if exchange.caller is None:
            context.resolve(request.model)
            return await self._counted(request)
        context.admission.resolve(exchange.caller, self.wire, request.model)
        hold = await context.admission.reserve(exchange, self.wire)
        try:
            return await self._counted(request)
        finally:
            if hold is not None:
                hold.settle()

    async def _counted(self, request: ChatRequest) -> int:
        await self._context.ready()
        return await self._context.provider.count_tokens(request)
