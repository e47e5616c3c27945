"""The steps of a script: what a server does to one connection. Knows no socket: a step acts on a `Line` of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

SSE = "text/event-stream"
JSON = "application/json"


class Pause:
    """A place where a script waits until the test releases it: by an event, not by time, unless ``seconds`` are given.

    ``await pause.reached.wait()`` tells the test that the script has come here; ``pause.release()`` lets it, and every later
    visitor, pass. It may be called from another thread.
    """

    def __init__(self, *, seconds: float | None = None) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    def release(self) -> None:
        loop = self._loop
        if loop is None or loop.is_closed() or loop is _running_loop():
            self.released.set()
        else:
            loop.call_soon_threadsafe(self.released.set)

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached.set()
        if self.seconds is None:
            await self.released.wait()
        else:
            await asyncio.sleep(self.seconds)

    async def play(self, line: Line) -> None:
        await self.wait()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Line(Protocol):
    """What a step can do to a connection. After `close` and `reset` the rest of a script is not played."""

    #: How the body is framed, as the `Head` said: "chunked", "length" or "close".
    framing: str

    async def write(self, data: bytes) -> None:
        """Bytes as they are, and wait until the client's side has taken what was written before."""

    async def write_body(self, data: bytes) -> None:
        """Bytes of the body, framed."""

    async def end(self) -> None:
        """The answer is whole."""

    def close(self) -> None:
        """An orderly end of the connection (FIN), wherever the answer is."""

    def reset(self) -> None:
        """A TCP reset (RST)."""


class Step(Protocol):
    """One thing that a script does. Users can write their own."""

    async def play(self, line: Line) -> None:
        """Do it."""


@dataclass(frozen=True)
class Head:
    """The status line and the headers. ``length``: the Content-Length; without it the body is chunked, or, with
    ``chunked=False``, ends with the connection."""

    status: int = 200
    content_type: str | None = SSE
    headers: Mapping[str, str] | None = None
    length: int | None = None
    chunked: bool = True

    async def play(self, line: Line) -> None:
        lines = [f"HTTP/1.1 {self.status} Scripted"]
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        lines += [f"{name}: {value}" for name, value in (self.headers or {}).items()]
        if self.length is not None:
            line.framing = "length"
            lines.append(f"Content-Length: {self.length}")
        elif self.chunked:
            line.framing = "chunked"
            lines.append("Transfer-Encoding: chunked")
        else:
            line.framing = "close"
            lines.append("Connection: close")
        await line.write("\r\n".join([*lines, "", ""]).encode("latin-1"))


@dataclass(frozen=True)
class Send:
    """Bytes of the body. ``at``: offsets at which it is cut into writes of their own; ``every``: a write for so many bytes."""

    data: bytes
    at: Iterable[int] = ()
    every: int | None = None

    async def play(self, line: Line) -> None:
        cuts = range(self.every, len(self.data), self.every) if self.every else sorted(self.at)
        start = 0
        for cut in [*cuts, len(self.data)]:
            if cut > start:
                await line.write_body(self.data[start:cut])
            start = max(start, cut)


@dataclass(frozen=True)
class Raw:
    """Bytes on the wire as they are: for heads and frames that are no HTTP."""

    data: bytes

    async def play(self, line: Line) -> None:
        await line.write(self.data)


class Hang:
    """Silence until the client leaves or the server stops; the connection stays open."""

    async def play(self, line: Line) -> None:
        await asyncio.get_running_loop().create_future()


class Close:
    """An orderly end of the connection (FIN), wherever the answer is."""

    async def play(self, line: Line) -> None:
        line.close()


class Reset:
    """A TCP reset (RST). What was written before may be lost to the client, as in life."""

    async def play(self, line: Line) -> None:
        line.reset()


class End:
    """The answer is whole, and the connection can take the next request. Implied where a script's steps run out."""

    async def play(self, line: Line) -> None:
        await line.end()
