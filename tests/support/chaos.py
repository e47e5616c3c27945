"""A network that breaks: a TCP proxy that resets connections in mid-answer, after as many bytes as it is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self


class ChaosProxy:
    """``async with ChaosProxy(port, cuts) as proxy: proxy.url``: the first connections are reset after that many bytes of
    answers, one for each of *cuts*; the later ones are whole. ``target``: the port behind it, which may be changed."""

    def __init__(self, target: int, cuts: Iterable[int] = ()) -> None:
        self.target = target
        self.cut = 0
        self._cuts: Iterator[int] = iter(cuts)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = next(self._cuts, None)
        try:
            try:
                answers, questions = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:
                return
            asking = asyncio.create_task(_pass_on(reader, questions))
            try:
                while data := await answers.read(65536):
                    writer.write(data if left is None else data[:left])
                    if left is not None and (left := left - len(data)) <= 0:
                        self.cut += 1
                        return
                    await writer.drain()
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                questions.transport.abort()
        except ConnectionError:
            pass
        finally:
            if left is not None and left <= 0:
                await writer.drain()
                _reset(writer)
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
