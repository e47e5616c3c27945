"""``/v1/streams/{id}``: a stream that was begun is read on, or stopped.

The ``Last-Event-ID`` header is that of server-sent events (WHATWG HTML, 9.2.4). Knows the requests alone; what a stream is, who
may read it and how long it is kept is in `streams`.
"""

from __future__ import annotations

from time import monotonic
from typing import Final
from urllib.parse import parse_qs

from ..errors import ProviderError, StatusError
from ..http.server.exchange import CLIENT_LEFT, ClientLeftError, Exchange, internal_error, log_bug
from ..wires.base import Wire
from ..wires.registry import OPENAI_CHAT, streamed_wires
from .auth import STREAMS_PATH
from .disconnect import DisconnectScope
from .endpoint import EndpointContext, fail
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
        """Answer one request. Raises `StatusError` where there is no room for it; every other error is reported here."""
        context = self._context
        response: SSEResponse | None = None
        shape: Wire = OPENAI_CHAT
        place = context.places.enter()
        exchange.read_by = monotonic() + context.total_s
        try:
            if exchange.method == "DELETE":
                await self._drop(exchange)
            else:
                wire = _wire_of(exchange)
                shape = wire or OPENAI_CHAT
                response = SSEResponse(exchange, shape, context.sweep(), context.keepalive_s)
                await self._read(exchange, response, wire)
        except ClientLeftError:
            exchange.status = CLIENT_LEFT
        except ProviderError as error:
            await fail(error, response, exchange, shape)
        except Exception as error:  # a bug must cost its own request alone
            log_bug(exchange.request_id, error)
            await fail(internal_error(), response, exchange, shape)
        finally:
            if response is not None:
                response.close()
            place.leave()

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
    if (wire := streamed_wires().get(names[-1])) is None:
        raise _invalid("wire", f"there is no wire of that name; there are: {', '.join(streamed_wires())}")
    return wire


def _invalid(param: str, problem: str) -> StatusError:
    return StatusError(problem, status=400, type="invalid_request_error", param=param, code="invalid_value")
