"""``/v1/streams/{id}``: a stream that was begun is read on, or stopped. Plain ASGI.

The ``Last-Event-ID`` header is that of server-sent events (WHATWG HTML, 9.2.4). Knows the requests alone; what a stream is, who
may read it and how long it is kept is in `streams`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from ..errors import ProviderError, StatusError
from ..http.server.asgi import (
    CLIENT_LEFT,
    LEAVING,
    ClientLeftError,
    Receive,
    Scope,
    Send,
    head_of,
    internal_error,
    log_bug,
    path_of,
)
from ..streams.wires import STREAM_WIRES, StreamWire
from .auth import STREAMS_PATH
from .disconnect import DisconnectScope
from .endpoint import EndpointContext, SSEResponse, fail

#: Digits of an event's number.
_MAX_DIGITS: Final = 15


class StreamRoute:
    """``GET`` reads on after ``Last-Event-ID``, from the beginning where there is none; ``HEAD`` tells whether it would;
    ``DELETE`` stops the stream and drops it. ``?wire=NAME``: the wire to read it over, by default the one that it was begun
    over; each numbers the events in its own way."""

    def __init__(self, service: EndpointContext) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises `StatusError` where the server takes no more; all other errors are answered here."""
        service = self._service
        stream = None if scope["method"] == "DELETE" else SSEResponse(scope, send, service.keepalive_s)
        service.places.enter()
        try:
            if stream is None:
                await self._drop(scope, send)
            else:
                await self._read(scope, receive, send, stream)
        except ClientLeftError:
            scope["status"] = CLIENT_LEFT
        except ProviderError as error:
            await fail(error, stream, scope, send)
        except Exception as error:  # a bug must cost its own request alone
            log_bug(scope, error)
            await fail(internal_error(), stream, scope, send)
        finally:
            if stream is not None:
                stream.close()
            service.places.leave()

    async def _read(self, scope: Scope, receive: Receive, send: Send, stream: SSEResponse) -> None:
        service = self._service
        streams = service.streams
        stream_id = _id_of(scope)
        last = _last_event_id(scope)
        wire = _wire_of(scope)
        await service.ready()
        found = await streams.find(stream_id, service.key_of(scope))
        stream.name(stream_id, goes_on=streams.outlive_us)
        if scope["method"] == "HEAD" and found.state != "ended":
            await stream.write(b"", last=True)
            return
        with (
            DisconnectScope(scope.get(LEAVING), receive, service.places.callers, service.orphans) as caller,
            streams.reader(streams.attach(stream_id, found, scope["request_id"]), last, wire) as reader,
        ):
            if not await reader.seek():
                await _no_content(scope, send)  # which tells a browser to stop asking
            elif scope["method"] == "HEAD":
                await stream.write(b"", last=True)
            else:
                await stream.open()
                await stream.relay(reader, caller)

    async def _drop(self, scope: Scope, send: Send) -> None:
        service = self._service
        stream_id = _id_of(scope)
        await service.ready()
        await service.streams.find(stream_id, service.key_of(scope))
        await service.streams.drop(stream_id)
        await _no_content(scope, send)


async def _no_content(scope: Scope, send: Send) -> None:
    scope["status"] = 204
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-request-id", scope["request_id"].encode())]})
    await send({"type": "http.response.body"})


def _id_of(scope: Scope) -> str:
    return path_of(scope).removeprefix(STREAMS_PATH)


def _last_event_id(scope: Scope) -> int:
    value = head_of(scope).get(b"last-event-id", b"")
    if not value:
        return 0
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise _invalid("Last-Event-ID", "the header Last-Event-ID must be the id of an event of this stream, a number")
    return int(value)


def _wire_of(scope: Scope) -> StreamWire | None:
    names = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("wire")
    if names is None:
        return None
    wire = STREAM_WIRES.get(names[-1])
    if wire is None:
        raise _invalid("wire", f"there is no wire of that name; there are: {', '.join(STREAM_WIRES)}")
    return wire


def _invalid(param: str, problem: str) -> StatusError:
    return StatusError(problem, status=400, type="invalid_request_error", param=param, code="invalid_value")
