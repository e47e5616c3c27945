"""One request that asks for the count of its tokens: nothing is generated for it."""

from __future__ import annotations

import time

from ..errors import ProviderError
from ..http.server.exchange import CLIENT_LEFT, ClientLeftError, Exchange, internal_error, log_bug
from ..wires.base import Wire
from .disconnect import DisconnectScope
from .endpoint import EndpointContext, check_model, refuse, with_headers


class CountEndpoint:
    """``POST`` of a request of *wire*, to be counted."""

    def __init__(self, context: EndpointContext, wire: Wire) -> None:
        self._context = context
        self.wire = wire
        self.id_header = None if wire.id_header is None else wire.id_header.encode()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request. Raises `StatusError` where there is no room for it; every other error is reported here."""
        try:
            await self._serve(exchange, await self._context.bodies.read(exchange))
        except ClientLeftError:
            exchange.status = CLIENT_LEFT

    async def _serve(self, exchange: Exchange, body: bytes) -> None:
        context = self._context
        place = context.places.enter()
        exchange.read_by = time.monotonic() + context.total_s
        try:
            with DisconnectScope(exchange, context.places.callers, context.orphans) as scope:
                await place.acquire()
                answer = self.wire.encode_count(await self._count(exchange, body))
                scope.release()
            exchange.respond(200, answer)
            await exchange.drain()
        except ClientLeftError:
            raise
        except ProviderError as error:
            await refuse(exchange, error, self.wire)
        except Exception as error:  # a bug must cost its own request alone
            log_bug(exchange.request_id, error)
            await refuse(exchange, internal_error(), self.wire)
        finally:
            place.leave()

    async def _count(self, exchange: Exchange, body: bytes) -> int:
        context = self._context
        request = self.wire.decode_request(body, exchange.path)
        check_model(request)
        if request.origin is not None:
            request = with_headers(request, request.origin, self.wire, exchange)
        context.resolve(request.model)
        await context.ready()
        return await context.provider.count_tokens(request)
