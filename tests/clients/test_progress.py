"""A server of ours that brings a broken answer on says so, and the idle clock is wound up: as often as it gets on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from autonomousai.clients.prepared_request import PreparedRequest
from autonomousai.clients.remote import ResponseStream
from autonomousai.testing import chunks
from autonomousai.timeouts import Clocks
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.registry import OPENAI_CHAT

TEXT = chunks("Hello", finish=None, done=False)
END = chunks(" world", finish="stop")


class Wound:
    """A response that brings these bytes, and counts how often its clock is wound up; and the pool that it comes from."""

    status = 200
    headers: ClassVar[dict[str, str]] = {"X-Stream-Id": "one"}

    def __init__(self, *reads: bytes) -> None:
        self._reads: Iterator[bytes] = iter(reads)
        self.count = 0

    async def post(self, *args: Any, **options: Any) -> Wound:
        return self

    async def get(self, *args: Any, **options: Any) -> Wound:
        return self

    def peek(self) -> bytes:
        return b""

    async def read_some(self) -> bytes:
        return next(self._reads)

    def progress(self) -> None:
        self.count += 1

    def alive(self) -> None:
        pass

    def wait_no_longer_than(self, seconds: float) -> None:
        pass

    def release(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass


def reading(response: Wound) -> ResponseStream:
    request = PreparedRequest(
        url="", headers={}, body=b"", clocks=Clocks(), stream=True, wire=OPENAI_CHAT, streams_url="http://127.0.0.1/streams"
    )
    return ResponseStream(response, request)  # type: ignore[arg-type]


def sign(progress: int) -> bytes:
    return ChatStreamEncoder(id="c", created=0, model="m").sign(progress)


def said(extension: object) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": {}}], "x_autonomousai": extension}).encode()


@pytest.mark.parametrize(
    ("between", "winds"),
    [
        ([], 0),
        ([sign(1), sign(2), sign(5)], 3),
        ([sign(2), sign(2), sign(1)], 1),
        ([b": keep-alive\n\n", b'data: {"choices":[{"index":0,"delta":{}}]}\n\n'], 0),
        ([said({"progress": "7"}), said({"progress": True}), said({"progress": None}), said({})], 0),
        ([sign(3)[:20], sign(3)[20:]], 1),
    ],
    ids=["nothing", "grows", "does not grow", "no sign", "no number", "in pieces"],
)
async def test_progress_winds_the_clock(between: list[bytes], winds: int) -> None:
    """Only a number that grows is progress; whatever comes in between, the text is the same."""
    line = Wound(TEXT, *between, END)
    reader = reading(line)

    texts: list[str] = []
    async for batch in reader:
        texts += [event for event in batch if type(event) is str]

    assert ("Hello world", 1 + winds) == ("".join(texts), line.count)


async def test_progress_is_counted_from_anew_after_a_resumption() -> None:
    """The server that takes an answer over knows nothing of how far another one had counted."""
    line = Wound(TEXT, sign(7), b"", b": keep-alive\n\n", sign(1), sign(2), END)
    reader = reading(line)

    async for _ in reader:
        pass

    assert line.count == 1 + 3 + 1  # and the new connection's own


async def test_there_is_no_progress_before_the_first_word() -> None:
    """An upstream that only says that it gets on does not escape the first token's clock."""
    line = Wound(sign(1), sign(2), TEXT, END)
    reader = reading(line)

    async for _ in reader:
        pass

    assert line.count == 1
