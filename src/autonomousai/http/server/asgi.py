"""ASGI (specification version 3.0, HTTP & WebSocket 2.3), both ways round: an `Exchange` on an ASGI server, so that the
application may be mounted anywhere; and an ASGI application run on an exchange, for the routes that a framework serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from math import inf
from time import monotonic
from typing import Any, Final, TypeAlias

from .cycle import RequestResponseCycle
from .exchange import (
    JSON,
    ClientLeftError,
    DisconnectListener,
    Exchange,
    Handle,
    Headers,
    by_name,
    new_request_id,
)

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: In the scope of an application that is run on an exchange: that exchange.
OUTER: Final = "autonomousai.exchange"

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class ASGIExchange:
    """One request of an ASGI server. What is written is sent by `drain`, as ASGI's ``send`` is to be awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path = _path_of(scope)
        self.query: bytes = scope.get("query_string", b"")
        self.http_version: str = scope.get("http_version", "1.1")
        self.headers: Headers = scope["headers"]
        self.request_id = new_request_id()
        self.began = monotonic()
        self.status = 0
        self.route = ""
        self.meter: Any = None
        self.key = ""
        self.caller: Any = None
        self.read_by = inf
        self.listener: DisconnectListener | None = None
        self.scope = scope
        self.filler = b""
        self.known: Any = None
        self.extra: Headers = []
        self.lines = b""
        self._receive = receive
        self._send = send
        self._head: dict[bytes, bytes] | None = None
        self._waiting: list[Message] = []
        self._watching: asyncio.Task[None] | None = None

    @property
    def head(self) -> Mapping[bytes, bytes]:
        """See `Exchange.head`."""
        if self._head is None:
            self._head = by_name(list(self.headers))
        return self._head

    @property
    def server(self) -> tuple[str, int | None] | None:
        """See `Exchange.server`."""
        return self.scope.get("server")

    def take_body(self) -> bytes | None:
        """See `Exchange.take_body`; what comes is to be asked for here."""
        return None

    def peek_body(self) -> bytes | None:
        """See `Exchange.peek_body`: an ASGI server is asked for it."""
        return None

    def hand_over(self, handle: Handle) -> None:
        """See `Exchange.hand_over`: nothing is launched here."""
        raise NotImplementedError

    async def next_body(self) -> tuple[bytes, bool]:
        """See `Exchange.next_body`."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        return message.get("body", b""), message.get("more_body", False)

    def respond(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (), kind: bytes = JSON) -> bool:
        """See `Exchange.respond`."""
        lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"x-request-id", self.request_id.encode())]
        self.start(status, [*lines, *headers])
        return self.end(body)

    def start(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """See `Exchange.start`."""
        self.status = status
        headers = [*headers, *self.extra]
        for line in (lines + self.lines).splitlines():
            name, _, value = line.partition(b": ")
            headers.append((name, value))
        self._waiting.append({"type": "http.response.start", "status": status, "headers": headers})

    def write(self, data: bytes) -> bool:
        """See `Exchange.write`."""
        self._waiting.append({"type": "http.response.body", "body": data, "more_body": True})
        return False

    def end(self, data: bytes = b"") -> bool:
        """See `Exchange.end`."""
        self._waiting.append({"type": "http.response.body", "body": data, "more_body": False})
        return False

    async def drain(self) -> None:
        """See `Exchange.drain`."""
        waiting, self._waiting = self._waiting, []
        try:
            async with asyncio.timeout(None if self.read_by == inf else self.read_by - monotonic()):
                for message in waiting:
                    await self._send(message)
        except TimeoutError:
            raise ClientLeftError from None

    def watch(self, listener: DisconnectListener) -> None:
        """See `Exchange.watch`. Only for a request whose body was read: what is received from then on is the disconnect
        alone."""
        self.listener = listener
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.listener is not None:
            self.listener.on_left()

    def unwatch(self) -> None:
        """See `Exchange.unwatch`."""
        self.listener = None
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None


def _path_of(scope: Scope) -> str:
    """Return the path under the application's own root: inside another application, without the path that it is mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path


async def run_asgi(app: ASGIApp, exchange: Exchange, more: Headers) -> None:
    """Let an ASGI application answer *exchange*. *more*: headers that are added to its response."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.start(message["status"], [*message.get("headers", ()), *more])
        elif message["type"] == "http.response.body":
            body, more_body = message.get("body", b""), message.get("more_body", False)
            await exchange.drain()
            if not (exchange.write(body) if more_body else exchange.end(body)):
                await exchange.drain()

    if isinstance(exchange, ASGIExchange):
        await app({**exchange.scope, OUTER: exchange}, exchange._receive, send)
    elif isinstance(exchange, RequestResponseCycle):
        await app({**_scope_of(exchange), OUTER: exchange}, _CycleReceiver(exchange).receive, send)
    else:
        raise TypeError(f"{type(exchange).__name__} cannot run an ASGI application")


class _CycleReceiver:
    """ASGI's ``receive`` on the server's own protocol: the body as it comes; after its end, or the response's, the
    disconnect."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._received = False  # the body, to its end

    async def receive(self) -> Message:
        cycle = self._cycle
        if self._received:
            await cycle.left()
        if cycle.is_gone or cycle.is_complete:
            return {"type": "http.disconnect"}
        try:
            body, more = await cycle.next_body()
        except ClientLeftError:
            return {"type": "http.disconnect"}
        self._received = not more
        return {"type": "http.request", "body": body, "more_body": more}


def _scope_of(cycle: RequestResponseCycle) -> Scope:
    connection = cycle.connection
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": cycle.http_version,
        "method": cycle.method,
        "scheme": "http",
        "path": cycle.path,
        "raw_path": cycle.raw_path,
        "query_string": cycle.query,
        "root_path": "",
        "headers": cycle.headers,
        "server": connection.server,
        "client": connection.client,
    }
