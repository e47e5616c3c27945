"""One HTTP exchange over plain ASGI: read a bounded body, write a whole answer or an error. Knows no route, model or framework.

What is noted of an exchange for others to see stands in its scope: ``request_id``, and ``status`` once it is answered.
"""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from ...errors import ProviderError, StatusError
from ...wires.errors import write_error

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

#: What a caller's leaving is counted as; nothing is sent with it.
CLIENT_LEFT: Final = 499

_JSON: Final = b"application/json"

_log = logging.getLogger("autonomousai.server")


class ClientLeftError(Exception):
    """The caller closed the connection before the request was whole."""


#: In a scope, where our own protocol serves: who is to be told when the other end of the connection goes.
LEAVING: Final = "autonomousai.leaving"

#: In a scope, once somebody asked: the headers by their names.
_HEAD: Final = "autonomousai.head"


class DisconnectListener(Protocol):
    """Somebody who is to be told."""

    def on_left(self) -> None: ...


#: In a scope, where our own protocol serves: writes more of a streamed body at once, without a turn of the application's task.
WRITE: Final = "autonomousai.write"


class DisconnectNotifier:
    """Who is to be told that the other end of a connection has gone. ASGI itself has but ``receive`` for that, which takes a
    task for each request that only waits."""

    __slots__ = ("_gone", "_listeners")

    def __init__(self) -> None:
        self._gone = False
        self._listeners: list[DisconnectListener] = []  # one at most, but for pipelined requests

    def add(self, listener: DisconnectListener) -> None:
        """Tell *listener* when it goes; now, if it has."""
        if self._gone:
            listener.on_left()
        else:
            self._listeners.append(listener)

    def discard(self, listener: DisconnectListener) -> None:
        """*listener* wants to know no more, if it did."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def happen(self) -> None:
        """It has gone."""
        self._gone = True
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.on_left()


def new_request_id() -> str:
    """A name for one request, for the caller's log and for ours."""
    return "req_" + random.getrandbits(96).to_bytes(12).hex()


def head_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by their names, in lower case as ASGI has them. One that comes several times has all its values, each on a
    line of its own: no value holds a line's end."""
    head: dict[bytes, bytes] | None = scope.get(_HEAD)
    if head is None:
        headers = scope["headers"]
        head = dict(headers)
        if len(head) < len(headers):
            head = {}
            for name, value in headers:
                head[name] = head[name] + b"\n" + value if name in head else value
        scope[_HEAD] = head
    return head


def path_of(scope: Scope) -> str:
    """The path under our own root: inside another application, without the path that we are mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path


async def read_json_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request, which must say that it is JSON: a foreign page may post anything else here without asking.

    Raises `StatusError` 415, or 413 (before anything is read, where the length is announced), and `ClientLeftError`.
    How long a body may take is the HTTP protocol's business (see `http`), not an application's.
    """
    _check_head(head_of(scope), limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts = [body]
        size = len(body)
        while message.get("more_body", False):
            _check_size(size, limit)
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if message["type"] == "http.disconnect":  # which has no body, and is the last
        raise ClientLeftError
    _check_size(len(body), limit)
    return body


def _check_head(head: dict[bytes, bytes], limit: int) -> None:
    for length in head.get(b"content-length", b"").split(b"\n"):
        if length.isdigit():
            _check_size(int(length[:20]), limit)
    for encoding in head.get(b"content-encoding", b"identity").split(b"\n"):
        if encoding.lower() != b"identity":
            raise StatusError(
                "the body is compressed; send it as it is, without content-encoding",
                status=415,
                type="invalid_request_error",
                code="unsupported_content_encoding",
            )
    kind = head.get(b"content-type", b"")
    if kind != _JSON and kind.rpartition(b"\n")[2].split(b";", 1)[0].strip().lower() != _JSON:
        raise StatusError(
            "the body must be JSON, and say so with the header content-type: application/json",
            status=415,
            type="invalid_request_error",
            code="unsupported_media_type",
        )


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise StatusError(
            f"the body is larger than {limit} bytes; send less, or raise server.max_body",
            status=413,
            type="invalid_request_error",
            code="body_too_large",
        )


async def respond(
    scope: Scope,
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = _JSON,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Answer with a whole document."""
    scope["status"] = status
    head = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", scope["request_id"].encode()),
    ]
    if headers:
        head += headers
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: Scope, send: Send, error: ProviderError, *, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answer with an error, in OpenAI's shape."""
    status, extra, body = write_error(error)
    more = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    if _unread(scope):
        # The caller waits to be told to go on, and may send the body or not: nobody knows where the next request begins.
        more.append((b"connection", b"close"))
    await respond(scope, send, status, body, headers=[*more, *headers])


def _unread(scope: Scope) -> bool:
    return scope["http_version"] == "1.1" and b"expect" in head_of(scope)


def internal_error() -> StatusError:
    """What a caller is told of a mistake of ours."""
    return StatusError(
        "an error inside the server; its log says more, under this request's x-request-id",
        status=500,
        type="server_error",
        code="internal_error",
    )


def log_bug(scope: Scope, error: BaseException) -> None:
    """Say where a mistake of ours happened: the places and the kinds of error, not their texts, which may quote a prompt."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines.append(
            f"{type(cause).__module__}.{type(cause).__qualname__} at\n{''.join(traceback.format_tb(cause.__traceback__))}"
        )
        cause = cause.__cause__ or cause.__context__
    _log.error("%s: a bug, please report it:\n%s", scope.get("request_id"), "caused by ".join(lines))
