"""A network that breaks: a TCP proxy that resets connections in mid-answer, after as many bytes as it is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator

from tests.support.relay import Relay, carry


class ChaosProxy(Relay):
    """``async with ChaosProxy(port, cuts) as proxy: proxy.url``: the first connections are reset after that many bytes of
    answers, one for each of *cuts*; the later ones are whole. ``target``: the port behind it, which may be changed."""

    def __init__(self, target: int, cuts: Iterable[int] = ()) -> None:
        super().__init__()
        self.target = target
        self.cut = 0
        self._cuts: Iterator[int] = iter(cuts)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        finally:
            if left is not None and left <= 0:
                await writer.drain()
                _reset(writer)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await carry(reader, writer)
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
