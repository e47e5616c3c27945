"""What comes as one piece of text, or complete with its head, is read in fewer turns: as what is read in all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai import FinishReason, HTTPError, IncompleteStreamError, Usage
from autonomousai.answer import Answer
from autonomousai.clients.prepared_request import PreparedRequest
from autonomousai.clients.remote import ResponseStream
from autonomousai.events import Started, ToolCallDelta
from autonomousai.timeouts import Clocks
from autonomousai.wires.base import AnswerHead, Wire
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, AUTONOMOUSAI, OPENAI_CHAT
from tests.wires.answers import ROLE, chunk, sse, text
from tests.wires.test_single_events import CHUNKS, MESSAGE, MESSAGES, delta


class PiecesResponse:
    """A response of *pieces*, one a read, and then its end, or an error where it is *cut*; and the pool that it comes from.
    ``is_whole``: all of it has come with its head."""

    status = 200

    def __init__(self, pieces: list[bytes], *, cut: bool = False, is_whole: bool = False, media_type: str = "") -> None:
        self.headers: Mapping[str, str] = {"Content-Type": media_type, "Content-Length": "0"}
        self.noted: list[str] = []
        self._pieces = list(pieces)
        self._cut = cut
        self._is_whole = is_whole

    async def post(self, *args: Any, **options: Any) -> PiecesResponse:
        return self

    def peek(self) -> bytes:
        return self.whole() or b""

    def whole(self) -> bytes | None:
        return b"".join(self._pieces) if self._is_whole else None

    async def read_some(self) -> bytes:
        self.noted.append("read")
        if self._pieces:
            return self._pieces.pop(0)
        if self._cut:
            raise IncompleteStreamError("cut")
        return b""

    def progress(self) -> None:
        self.noted.append("progress")

    def alive(self) -> None:
        self.noted.append("alive")

    def wait_no_longer_than(self, seconds: float) -> None:
        self.noted.append("ends soon")

    def release(self) -> bool:
        return not self._pieces or self._is_whole

    async def drain(self) -> None:
        pass

    async def aclose(self) -> None:
        self.noted.append("closed")


async def outcome(response: PiecesResponse, wire: Wire, *, stream: bool = True) -> tuple[list[Any], str]:
    """Return all events of the answer, and the error where there is one."""
    asked = PreparedRequest(url="http://a/v1", headers={}, body=b"{}", clocks=Clocks(), stream=stream, wire=wire, retries=0)
    batches = ResponseStream(response, asked)  # type: ignore[arg-type]
    events: list[Any] = []
    try:
        async for batch in batches:
            events += batch
    except HTTPError as error:
        return events, f"{type(error).__name__}: {error}"
    finally:
        await batches.aclose()
    return events, ""


class LongWire:
    """A wire whose decoder reads no text in a quick way."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def decoder(self) -> Any:
        decoder = self._wire.decoder()

        class Long(type(decoder)):  # type: ignore[misc]
            __slots__ = ()

            next_text = property(lambda self: lambda data: None, lambda self, read: None)

        return Long()


WIRES = [
    pytest.param(ANTHROPIC_MESSAGES, MESSAGE, delta, MESSAGES, id="messages"),
    pytest.param(OPENAI_CHAT, sse(ROLE), lambda said: sse(text(said)), CHUNKS, id="chat"),
    pytest.param(AUTONOMOUSAI, sse(ROLE), lambda said: sse(text(said)), CHUNKS, id="autonomousai"),
]
TEXTS = st.sampled_from(["a", "", " word", '"', "\\", "\n", "ä", "x" * 300])


@pytest.mark.parametrize(("wire", "start", "usual", "odd"), WIRES)
@settings(deadline=None)
@given(data=st.data())
async def test_an_answer_is_the_same_however_it_is_read(
    wire: Wire, start: bytes, usual: Any, odd: list[bytes], data: st.DataObject
) -> None:
    """Events, errors, and what restarts the timeouts, for texts among anything else, however they are cut."""
    texts = TEXTS.map(usual)
    pieces = [start, *data.draw(st.lists(st.one_of(texts, texts, texts, st.sampled_from(odd)), max_size=12))]
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(pieces) - 1))
        cut = data.draw(st.integers(1, max(1, len(pieces[place]) - 1)))
        pieces[place : place + 1] = [piece for piece in (pieces[place][:cut], pieces[place][cut:]) if piece]
    is_cut = data.draw(st.booleans())
    short, long = PiecesResponse(pieces, cut=is_cut), PiecesResponse(pieces, cut=is_cut)

    assert await outcome(short, wire) == await outcome(long, LongWire(wire))  # type: ignore[arg-type]
    assert short.noted == long.noted


def completion(**choice: Any) -> bytes:
    document = {"id": "x", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", **choice}]}
    return json.dumps(document, ensure_ascii=False).encode()


CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
DOCUMENTS = {
    "usual": completion(message={"content": "Hello"}),
    "calls beside thoughts": completion(message={"content": "Hi", "reasoning_content": "Hm", "tool_calls": [CALL, CALL]}),
    "cut": completion(message={"content": "Hello"})[:-3],
    "an error": b'{"error": {"message": "no", "type": "server_error"}}',
    "a list": b'[{"error": {"message": "no"}}]',
    "a mark before it": b"\xef\xbb\xbf" + completion(message={"content": "Hello"}),
    "white space around it": b" \n" + completion(message={"content": "Hello"}) + b"\n",
    "Latin-1": completion(message={"content": "Été"}).decode().encode("latin-1"),
    "a stream": sse(ROLE) + sse(text("Hello")) + sse(chunk(reason="stop"), "[DONE]"),
    "a page": b"<html></html>",
    "nothing": b"",
    "white space": b" \n",
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("wire", [OPENAI_CHAT, AUTONOMOUSAI])
async def test_a_document_that_came_with_its_head_is_read_as_any(document: bytes, size: int, wire: Wire) -> None:
    """The same events, or the same error, as where it comes in pieces."""
    pieces = [document[start : start + size] for start in range(0, len(document), size)]
    media_type = "application/json; charset=latin-1"

    short = await outcome(PiecesResponse([document], is_whole=True, media_type=media_type), wire, stream=False)
    long = await outcome(PiecesResponse(pieces, media_type=media_type), wire, stream=False)

    assert long == short
    assert (short[0] != []) is (short[1] == "")


def written(*events: Any, **more: Any) -> bytes:
    """Return a stream as a server of this package writes it."""
    head = AnswerHead(id="c", created=1, model="m")
    return AUTONOMOUSAI.encode_stream([Started("m"), *events], head, **more)


STREAMS = {
    "usual": sse(ROLE, text("Hel"), text("lo"), chunk(reason="stop"), "[DONE]"),
    "with the reason at the top": written("Hel", "lo", FinishReason("stop", "finish_reason")),
    "with usage": written("Hello", FinishReason("stop", "finish_reason", Usage(1, 2, 3))),
    "with a call": written(ToolCallDelta(0, "call_1", "f", "{}"), FinishReason("tool_calls", "finish_reason")),
    "with another text than it says": written(
        "Hello", FinishReason("stop", "finish_reason"), extension={"text_sha256": "0" * 64, "sha256": "0" * 64}
    ),
    "with ids": b"id: 1\n" + sse(ROLE, text("Hello"), chunk(reason="stop"), "[DONE]"),
    "without a reason": sse(ROLE, text("Hello"), "[DONE]"),
    "with an error": sse(ROLE, text("Hello")) + b'data: {"error":{"message":"no"}}\n\ndata: [DONE]\n\n',
    "with lines of two kinds": sse(ROLE, text("Hello"), chunk(reason="stop"), "[DONE]").replace(b"\n", b"\r\n", 1),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("wire", [OPENAI_CHAT, AUTONOMOUSAI])
async def test_a_stream_that_came_with_its_head_is_read_as_any(stream: bytes, wire: Wire) -> None:
    """The same answer as where it comes byte by byte, or the same error, before which nothing of it was read then."""
    short, short_error = await outcome(PiecesResponse([stream], is_whole=True), wire)
    long, long_error = await outcome(PiecesResponse([stream[at : at + 1] for at in range(len(stream))]), wire)

    assert (folded(long) if short else [], long_error) == (folded(short), short_error)
    assert short or short_error


def folded(events: list[Any]) -> list[Any]:
    answer = Answer()
    answer.add(events)
    return answer.joined()
