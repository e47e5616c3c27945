"""One request over HTTP/1.1 and the answer to it, as ASGI has them: what an application receives, and the bytes that it sends.

Knows no parser and no route: `http` brings what came over the connection. The head of an answer waits for the first of its
body, as ASGI wants it, and goes out with that in one segment.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final, Protocol

from ...errors import StatusError
from ...wires.errors import write_error
from .asgi import WRITE, ASGIApp, Message, Scope, internal_error, log_bug, new_request_id, refuse

#: Bytes of a body that may wait for the application to receive them.
HIGH_WATER: Final = 64 * 1024

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

#: Statuses that never have a body.
_BODILESS: Final = frozenset({204, 304})

#: The length of a body that nobody knows.
_UNKNOWN: Final = -1


class CycleConnection(Protocol):
    """What an exchange needs of its connection. ``clear``: there while the other end does not read; done when it does again."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def clear(self) -> asyncio.Future[None] | None: ...

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def on_answered(self, *, keeps: bool) -> None: ...


class RequestResponseCycle:
    """``scope``: the request's. ``is_written``: something of the answer is on its way, so that no other can take its place.
    ``is_complete``: all of it is. ``keeps``: whether the connection goes on after it. ``task``: who answers, once they do."""

    __slots__ = (
        "_body",
        "_carrier",
        "_expects",
        "_gone",
        "_has_body",
        "_head",
        "_held",
        "_is_chunked",
        "_left",
        "_more",
        "_received",
        "_waiter",
        "is_complete",
        "is_written",
        "keeps",
        "scope",
        "task",
    )

    def __init__(self, carrier: CycleConnection, scope: Scope, *, keeps: bool, expects: bool) -> None:
        self.scope = scope
        self.keeps = keeps
        self.is_written = False
        self.is_complete = False
        self.task: asyncio.Task[None] | None = None
        self._carrier = carrier
        self._expects = expects  # to be told to go on
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._body: list[bytes] = []  # what has come of the request's body
        self._held = 0
        self._more = True
        self._received = False  # by the application, to the end
        self._head = b""  # of the answer, while it waits for the first of its body
        self._has_body = self._is_chunked = False
        self._left = _UNKNOWN  # bytes of its body

    async def run(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Let *app* answer. A mistake of ours, or an answer without an end, costs this connection alone."""
        self.scope[WRITE] = self.write
        try:
            await app(self.scope, self.receive, self.send)
        except Exception as error:
            await self._give_up(error)
        else:
            if not (self.is_complete or self._gone):
                await self._give_up(RuntimeError("an answer without an end"))
        finally:
            if not (self.is_complete or self._gone):
                self._carrier.transport.close()
            tasks.discard(self.task)
            del self.scope[WRITE]  # which holds us

    async def _give_up(self, error: Exception) -> None:
        """Tell the log, and the caller, where something can be told yet; what was said without being sent is forgotten."""
        self.scope.setdefault("request_id", new_request_id())
        log_bug(self.scope, error)
        if not (self.is_written or self._gone):
            self.keeps = self._is_chunked = False
            self._head = b""
            self._left = _UNKNOWN
            await refuse(self.scope, self.send, internal_error())

    # ---- what comes over the connection

    def feed(self, body: bytes) -> None:
        """More of the request's body."""
        if self.is_complete:
            return  # nobody wants it any more
        self._body.append(body)
        self._held += len(body)
        if self._held > HIGH_WATER:
            self._carrier.pause_reading()
        self._wake()

    def end(self) -> None:
        """That was all of it."""
        self._more = False
        self._wake()

    def lose(self) -> None:
        """The other end has gone."""
        self._gone = not self.is_complete
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- what the application does

    async def receive(self) -> Message:
        """The body as it comes; after its end, or the answer's, the leaving of the other end."""
        if self._expects and not (self.is_written or self._gone):
            self._expects = False
            self._carrier.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._gone or self.is_complete) and (self._received or (self._more and not self._body)):
            if self._more:
                self._carrier.resume_reading()
            self._waiter = waiter = self._carrier.loop.create_future()
            await waiter
        if self._gone or self.is_complete:
            return {"type": "http.disconnect"}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._held = 0
        self._received = not self._more
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """The head, or more of the body. It waits while the other end does not read; when that has gone, nothing is sent."""
        carrier = self._carrier
        if (clear := carrier.clear) is not None and not self._gone:
            await asyncio.shield(clear)
        if self._gone:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self.is_complete or not (self._head or self.is_written):
            raise RuntimeError("a body without a head before it, or after its end")
        data = self._head
        if self._is_chunked:
            data += (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        elif self._has_body:
            self._account(len(body), more=more)
            data += body
        if data:
            self._head = b""
            self.is_written = True
            carrier.transport.write(data)
        if not more:
            self.is_complete = True
            self._wake()
            carrier.on_answered(keeps=self.keeps)

    def write(self, body: bytes) -> bool:
        """More of a body whose beginning is sent, at once, as `send` would. False: before the next, wait for `send`."""
        carrier = self._carrier
        if not body or self._gone or self.is_complete or not self.is_written:
            return False
        carrier.transport.write(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)
        return carrier.clear is None

    def _account(self, size: int, *, more: bool) -> None:
        if self._left != _UNKNOWN:
            self._left -= size
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("a body of another length than its head says")

    def _begin(self, message: Message) -> None:
        if self._head or self.is_written:
            raise RuntimeError("a second head")
        status: int = message["status"]
        lines = [_STATUS_LINES[status]]
        closes = False
        for name, value in message.get("headers", ()):
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection" and value.lower() == b"close":
                closes = True
        self._has_body = self.scope["method"] != "HEAD" and status not in _BODILESS
        if self._has_body and self._left == _UNKNOWN:
            if self.scope["http_version"] == "1.1":
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keeps = False  # its end is the body's
        if closes:
            self.keeps = False
        elif not self.keeps:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header of more than one line")
        self._head = head + b"\r\n"


def raw_answer(error: StatusError) -> bytes:
    """All of an answer, in OpenAI's shape, to what never became a request."""
    status, _, body = write_error(error)
    head = (
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-request-id: {new_request_id()}\r\n"
        "connection: close\r\n\r\n"
    )
    return _STATUS_LINES[status] + head.encode() + body
