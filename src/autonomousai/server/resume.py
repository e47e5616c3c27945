"""``/v1/streams/{id}``: a stream that was begun is read on, or stopped. Plain ASGI.

Knows the requests alone; what a stream is, who may read it and what becomes of it is for `streams` to know.
"""

from __future__ import annotations

from typing import Final

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
from .auth import STREAMS_PATH
from .disconnect import DisconnectScope
from .endpoint import EndpointContext, SSEResponse, fail

#: Digits of an event's number.
_LONGEST_NUMBER: Final = 15


class StreamRoute:
    """``GET`` reads on after ``Last-Event-ID``, from the beginning where there is none; ``HEAD`` tells whether it would;
    ``DELETE`` stops the stream and lets it go."""

    def __init__(self, service: EndpointContext) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `StatusError` where nobody more may come inside; every other error is told to the caller here."""
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
        await service.ready()
        found = await streams.find(stream_id, service.key_of(scope))
        if found.state == "ended" and last == found.last:
            await _no_content(scope, send)  # which tells a browser to stop asking
            return
        stream.name(stream_id, goes_on=streams.outlive_us)
        if scope["method"] == "HEAD":
            await stream.write(b"", last=True)
            return
        with (
            DisconnectScope(scope.get(LEAVING), receive, service.places.callers, service.orphans) as caller,
            streams.reader(streams.attach(stream_id, found, last, scope["request_id"]), last) as reader,
        ):
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
    if not value.isdigit() or len(value) > _LONGEST_NUMBER:
        raise StatusError(
            "the header Last-Event-ID must be the id of an event of this stream, a number",
            status=400,
            type="invalid_request_error",
            param="Last-Event-ID",
            code="invalid_value",
        )
    return int(value)
