"""`ScriptedServer`: an HTTP/1.1 server on a real socket that answers as its scripts say, and logs what it saw.

Standard library alone. It reads just enough HTTP to know a request's end; it judges nothing and routes nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from .documents import usual_answer
from .recordings.scrubbing import Scrubber
from .scripts import FAULTS, Script, named
from .texts import text_of

End = Literal["finished", "left", "closed", "reset", "stopped"]
Play = Script | Callable[["Request"], "Script | str"] | str

_LINGER_0 = struct.pack("ii", 1, 0)
_MAX_HEAD = 1 << 20
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LENGTH = re.compile(rb"^content-length: *(\d+)\r\n", re.IGNORECASE | re.MULTILINE)


@dataclass(repr=False)
class Request:
    """One request as it came in, and how its answer ended. Its ``repr``, which pytest shows, holds no header and no body.

    ``headers``: names in lower case, repeated ones joined by a comma; ``head``: the bytes of the request line and headers.
    ``connection``: which connection it came on, counted from 0. ``sent``: bytes of the answer's body written so far;
    ``answer``: those bytes; ``status``: the answer's, None before its head.
    ``end``: None while it is being answered, then ``"finished"`` (answered whole), ``"left"`` (the client closed before the
    end), ``"closed"`` or ``"reset"`` (the script did), ``"stopped"`` (the server was stopped first).
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    head: bytes
    connection: int
    sent: int = 0
    end: End | None = None
    status: int | None = None
    answer: bytearray = field(default_factory=bytearray, repr=False)
    _over: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def is_of_http_1_0(self) -> bool:
        """Whether the client does not know chunks."""
        return self.head.partition(b"\r\n")[0].endswith(b" HTTP/1.0")

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with the answer (RFC 9112, section 9.3)."""
        wishes = self.headers.get("connection", "").lower()
        return "close" in wishes or (self.is_of_http_1_0 and "keep-alive" not in wishes)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.shown_path} -> {self.status or 'no answer'}, {self.end or 'still open'}>"

    @property
    def shown_path(self) -> str:
        """The path as it may be shown: without the keys of its query."""
        return Scrubber().path(self.path) if "?" in self.path else self.path

    @property
    def left(self) -> bool:
        """Whether the client closed before the answer's end."""
        return self.end == "left"

    @property
    def text(self) -> str:
        """The text of the answer, as far as its complete events were sent; of chat completions, Messages or Responses."""
        return text_of(bytes(self.answer))

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    async def over(self) -> End | None:
        """Wait until the answer has ended, in whatever way, and return how."""
        await self._over.wait()
        return self.end

    def settle(self, end: End) -> None:
        """The first end counts."""
        if self.end is None:
            self.end = end
            self._over.set()


class _Connection(asyncio.Protocol):
    """One connection: requests are read from the buffer one after another, and each is answered by a script."""

    def __init__(self, server: ScriptedServer, number: int) -> None:
        self.server = server
        self.number = number
        self.framing = "close"
        #: Bytes of the body that the head announced, and whether it has had its end.
        self.length = 0
        self.ended = False
        self.request: Request | None = None
        self.buffer = bytearray()
        self.arrived = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost = asyncio.Event()
        self.transport: asyncio.Transport
        self.task: asyncio.Task[None]

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.server.open.add(self)
        self.task = asyncio.get_running_loop().create_task(self.serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.arrived.set()

    def eof_received(self) -> bool:
        self.leave("left")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.leave("left")
        self.lost.set()
        self.server.open.discard(self)
        self.server.changed()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def leave(self, end: End) -> None:
        """This connection is over: note why, and stop playing. A client that leaves with the last byte has not left early."""
        request = self.request
        if request is not None:
            complete = self.ended or (self.framing == "length" and request.sent >= self.length)
            self.settle("finished" if end == "left" and request.status and complete else end)
        self.task.cancel()

    def settle(self, end: End) -> None:
        """The answer that is being given has ended: those who wait for a change are woken, also where the connection stays."""
        if self.request is not None:
            self.request.settle(end)
            self.server.changed()

    # A script's side: `scripts.Line`

    async def write(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        request = self.request
        if request is not None and request.status is None and (head := _STATUS.match(data)):
            request.status, self.ended = int(head[1]), False
            self.length = int(length[1]) if (length := _LENGTH.search(data)) else 0
            if self.framing == "chunked" and request.is_of_http_1_0:
                self.framing = "close"
                data = data.replace(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n")
        self.transport.write(data)
        await self.writable.wait()
        # A client in the same event loop reads each write by itself only if the loop turns in between: once to see that the
        # socket is readable, once for the reader.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def write_body(self, data: bytes) -> None:
        if not data:
            return
        if self.transport.is_closing():
            return
        if self.request is not None:
            self.request.sent += len(data)
            self.request.answer += data
        await self.write(b"%x\r\n%b\r\n" % (len(data), data) if self.framing == "chunked" else data)

    async def end(self) -> None:
        self.ended = True
        if self.framing == "chunked":
            await self.write(b"0\r\n\r\n")
        self.settle("finished")
        if self.framing == "close" or (self.request is not None and self.request.is_last):
            self.close()

    def close(self) -> None:
        self.settle("closed")
        self.transport.close()

    def reset(self) -> None:
        self.settle("reset")
        handle = self.transport.get_extra_info("socket")
        if handle is not None and handle.family != socket.AF_UNIX:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.transport.abort()

    # The story of a connection

    async def serve(self) -> None:
        try:
            while not self.transport.is_closing():
                self.request = request = await self.read_request()
                script = self.server.take(request)
                for step in script.steps:
                    await step.play(self)
                    if self.transport.is_closing():
                        return
                if request.end is None:
                    await self.end()
        except asyncio.CancelledError:
            pass  # the client left, or the server stops: both have been noted
        except Exception as error:  # a test must hear of it: raised where the server is left
            self.server.failures.append(error)
        finally:
            if not self.transport.is_closing():
                self.transport.close()

    async def read_request(self) -> Request:
        head = await self.read_until(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = start.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", ""):
            body = await self.read_chunks()
        else:
            body = await self.read_exactly(int(headers.get("content-length", "0")))
        return Request(method, path, headers, body, head, self.number)

    async def read_chunks(self) -> bytes:
        parts = []
        while size := int((await self.read_until(b"\r\n")).split(b";")[0], 16):
            parts.append(await self.read_exactly(size))
            await self.read_until(b"\r\n")
        await self.read_until(b"\r\n")
        return b"".join(parts)

    async def read_until(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            if len(self.buffer) > _MAX_HEAD:
                self.reset()
            await self.more()
        found = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return found

    async def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.more()
        found = bytes(self.buffer[:size])
        del self.buffer[:size]
        return found

    async def more(self) -> None:
        self.arrived.clear()
        await self.arrived.wait()


class ScriptedServer:
    """A server whose answers are scripted: ``async with ScriptedServer(Script.cut("Hel")) as server: server.url``.

    Each request takes the next script of the queue; the last one is repeated for ever. With none it answers "Hello world",
    streamed or as a document, as the request asked, over the API of its path: see `usual_answer`.
    ``tls``: serve https with this context; ``uds``: on a Unix socket at this path instead of a port.
    """

    def __init__(
        self, *scripts: Play, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, uds: str | Path | None = None
    ) -> None:
        self.requests: list[Request] = []
        #: How many connections were accepted.
        self.connections = 0
        #: The connections that are open now; ``len(server.open)`` counts them.
        self.open: set[Any] = set()
        #: What went wrong in a script, or in reading a request; the first is raised when the server is left.
        self.failures: list[Exception] = []
        self._host = host
        self._tls = tls
        self._uds = uds
        self._port = 0
        self._queues: dict[str | None, deque[Play]] = {}
        self._last: dict[str | None, Play] = {}
        self._server: asyncio.Server | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self.play(*scripts)

    def play(self, *scripts: Play, path: str | None = None) -> None:
        """Queue scripts: a `Script`, the name of a fault in `FAULTS`, or a function of the request that returns one of these.

        ``path``: for requests of this path alone; they do not touch the common queue then.
        """
        queue = self._queues.setdefault(path, deque())
        for script in scripts:
            queue.append(script if callable(script) else _checked(script))

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """The root, without a slash at its end. Raises `RuntimeError` before the server was entered."""
        if not self._port and self._uds is None:
            raise RuntimeError("the server has no address yet: enter it first, as in `with scripted(…) as llm:`")
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def unplayed(self) -> int:
        """How many scripts no request has come for."""
        return sum(map(len, self._queues.values()))

    async def request(self, number: int) -> Request:
        """The request of this number, counted from 0, as soon as it has come."""
        while len(self.requests) <= number:
            await self.change()
        return self.requests[number]

    async def all_closed(self) -> None:
        """Wait until no connection is open."""
        while self.open:
            await self.change()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._uds is not None:
            self._server = await loop.create_unix_server(self._connect, str(self._uds), ssl=self._tls)
        else:
            self._server = await loop.create_server(self._connect, self._host, 0, ssl=self._tls, backlog=1024)
            self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        connections = list(self.open)
        for connection in connections:
            connection.leave("stopped")
            connection.transport.abort()
        for connection in connections:
            await asyncio.wait([connection.task])
            await connection.lost.wait()
        await self._server.wait_closed()
        if self.failures and exc is None:
            raise self.failures[0]

    # For the connections

    def take(self, request: Request) -> Script:
        """Log the request and return its script."""
        self.requests.append(request)
        self.changed()
        key = request.path if request.path in self._queues else None
        if queue := self._queues.get(key):
            self._last[key] = queue.popleft()
        play = self._last.get(key, _hello)
        chosen = _checked(play(request) if callable(play) else play)
        return named(chosen, request.path) if isinstance(chosen, str) else chosen

    def changed(self) -> None:
        """Wake those who wait for a request, or for a connection's end."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def change(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        await future

    def _connect(self) -> _Connection:
        connection = _Connection(self, self.connections)
        self.connections += 1
        return connection


def _checked(given: object) -> Script | str:
    """Return *given*, a script or the name of one. Raises `ValueError` for an unknown name, `TypeError` for anything else."""
    if isinstance(given, Script):
        return given
    if isinstance(given, str):
        if given not in FAULTS:
            raise ValueError(f"no fault is called {given!r}; Script.stream({given!r}) says it; there are: {', '.join(FAULTS)}")
        return given
    if isinstance(given, Coroutine):
        given.close()
        raise TypeError("a function that chooses the script is called where nothing can be awaited: write it without async")
    raise TypeError(f"a script is a Script, the name of a fault or a function of the request, not {type(given).__name__}")


def _hello(request: Request) -> Script:
    """The answer of a server without scripts. What is compressed is not read."""
    return usual_answer(request.method, request.path, b"" if "content-encoding" in request.headers else request.body)
