"""``/v1/streams/{id}``: a stream that was begun is read on, or stopped.

The ``Last-Event-ID`` header is that of server-sent events (WHATWG HTML, 9.2.4). Knows the requests alone; what a stream is, who
may read it and how long it is kept is in `streams`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from ..errors import StatusError
from ..http.server.exchange import Exchange
from ..wires.base import Wire
from ..wires.registry import OPENAI_CHAT, resumed_wires
from .admission import check_wire
from .auth import STREAMS_PATH
from .context import EndpointContext
from .disconnect import DisconnectScope
from .endpoint import PlacedRequest, in_place
from .sse_response import SSEResponse

#: Digits of an event's number.
_MAX_DIGITS: Final = 15


class StreamRoute:
    """``GET`` reads on after ``Last-Event-ID``, from the beginning where there is none; ``HEAD`` answers whether it would;
    ``DELETE`` stops the stream and drops it. ``?wire=NAME``: the wire to read it over, by default the one that it was begun
    over; each numbers the events in its own way."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request. Raises as `Endpoint` does."""
        await in_place(self._context, exchange, OPENAI_CHAT, self._serve)

    async def _serve(self, asked: PlacedRequest) -> None:
        context, exchange = self._context, asked.exchange
        if exchange.method == "DELETE":
            await self._drop(exchange)
            return
        wire = _wire_of(exchange)
        if exchange.caller is not None and wire is not None:
            check_wire(exchange.caller, wire)
        asked.wire = wire or OPENAI_CHAT
        asked.response = SSEResponse(exchange, asked.wire, context.sweep(), context.keepalive_s)
        await self._read(exchange, asked.response, wire)

    async def _read(self, exchange: Exchange, response: SSEResponse, wire: Wire | None) -> None:
        context = self._context
        streams = context.streams
        stream_id = _id_of(exchange)
        last = _last_event_id(exchange)
        await context.ready()
        found = await streams.find(stream_id, context.key_of(exchange))
        response.name(stream_id, goes_on=streams.outlive_us)
        if exchange.method == "HEAD" and found.state != "ended":
            await response.write(b"", last=True)
            return
        with (
            DisconnectScope(exchange, context.places.callers, context.orphans),
            streams.reader(streams.attach(stream_id, found, exchange.request_id), last, wire) as reader,
        ):
            if not await streams.seek(reader):
                await no_content(exchange)  # which makes a browser stop asking
            elif exchange.method == "HEAD":
                await response.write(b"", last=True)
            else:
                await response.write(b"")
                await response.relay(reader)

    async def _drop(self, exchange: Exchange) -> None:
        context = self._context
        stream_id = _id_of(exchange)
        await context.ready()
        await context.streams.find(stream_id, context.key_of(exchange))
        await context.streams.drop(stream_id)
        await no_content(exchange)


async def no_content(exchange: Exchange) -> None:
    """Answer with 204."""
    exchange.start(204, [(b"x-request-id", exchange.request_id.encode())])
    exchange.end()
    await exchange.drain()


def _id_of(exchange: Exchange) -> str:
    return exchange.path.removeprefix(STREAMS_PATH)


def _last_event_id(exchange: Exchange) -> int:
    value = exchange.head.get(b"last-event-id", b"")
    if not value:
        return 0
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise _invalid("Last-Event-ID", "the header Last-Event-ID must be the id of an event of this stream, a number")
    return int(value)


def _wire_of(exchange: Exchange) -> Wire | None:
    names = parse_qs(exchange.query.decode("latin-1")).get("wire")
    if names is None:
        return None
    if (wire := resumed_wires().get(names[-1])) is None:
        raise _invalid("wire", f"there is no API of that name; there are: {', '.join(resumed_wires())}")
    return wire


def _invalid(param: str, problem: str) -> StatusError:
    return StatusError(problem, status=400, type="invalid_request_error", param=param, code="invalid_value")
