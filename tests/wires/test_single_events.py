"""Single events and runs of texts take short roads: what they read and write is what the longer ones do."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.events import (
    Batch,
    ChoiceEvent,
    Event,
    Extra,
    FinishReason,
    ForeignEvent,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
)
from autonomousai.wires.anthropic_messages.decoder import MessageStreamDecoder
from autonomousai.wires.anthropic_messages.encoder import MessagesStreamEncoder
from autonomousai.wires.base import AnswerHead, StreamDecoder, StreamEncoder
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.openai_responses.encoder import ResponsesStreamEncoder
from tests.wires.answers import ROLE, Json, chunk, sse, text

TEXTS = st.sampled_from(["a", "", " word", '"', "\\", "\n", "ä", "x" * 300])


def event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


def delta(said: str, **more: Json) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": said}, **more)


MESSAGE = event("message_start", message={"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []})
MESSAGE += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
MESSAGES = [
    event("ping"),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}),
    event("message_stop"),
    event("error", error={"type": "api_error", "message": "x"}),
    delta("b", more={"a": 1}),
    delta("c").replace(b"\n", b"\r\n"),
    delta("d").replace(b", ", b",\r"),
    delta("e") + delta("f"),
    delta("g")[:-1],
    b"\n",
    b"id: 7\n",
    b": a comment\n\n",
    b"event: other\n",
]
CHUNKS = [
    sse(chunk(reason="stop")),
    sse(text("b", system_fingerprint="f")),
    sse(text("c")).replace(b"\n", b"\r\n"),
    sse(text("d"), text("e")),
    sse(text("g"))[:-1],
    sse("[DONE]"),
    b"\n",
    b"id: 7\n",
]


def outcome(decoder: StreamDecoder, reads: list[bytes], *, singly: bool) -> Any:
    """All that was read, and the state at the end; *singly*: by `next_text`, where that reads it."""
    events: Batch = []
    for data in reads:
        said = decoder.next_text(data) if singly else None
        events += decoder.feed(data) if said is None else [said]
    return events, decoder.complete, decoder.ending, decoder.is_proven, decoder.failure and str(decoder.failure)


@pytest.mark.parametrize(
    ("decoder", "start", "usual", "odd"),
    [(MessageStreamDecoder, MESSAGE, delta, MESSAGES), (ChatStreamDecoder, sse(ROLE), lambda said: sse(text(said)), CHUNKS)],
    ids=["messages", "chat"],
)
@settings(deadline=None)
@given(data=st.data())
def test_a_single_text_is_read_like_any(
    decoder: Callable[[], StreamDecoder], start: bytes, usual: Callable[[str], bytes], odd: list[bytes], data: st.DataObject
) -> None:
    """Whatever comes before and after it, and however it is cut."""
    reads = [start, *data.draw(st.lists(st.one_of(TEXTS.map(usual), TEXTS.map(usual), st.sampled_from(odd)), max_size=12))]
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(reads) - 1))
        cut = data.draw(st.integers(0, len(reads[place])))
        reads[place : place + 1] = [reads[place][:cut], reads[place][cut:]]

    assert outcome(decoder(), reads, singly=True) == outcome(decoder(), reads, singly=False)


def test_a_single_text_is_no_longer_than_an_event_may_be() -> None:
    """However alike it is to those before: the bound is the same for events that are read singly."""
    decoder, reads = ChatStreamDecoder(max_event=1000), [sse(ROLE), *(sse(text("a")) for _ in range(4))]
    before = outcome(decoder, reads, singly=True)
    room = 1000 - len(sse(text("")))
    longest = sse(text("x" * room))
    fitting = decoder.next_text(longest)
    longer = sse(text("x" * (room + 2)))
    refused = decoder.next_text(longer)
    decoder.feed(longer)

    assert ["a"] * 4 == before[0][1:]
    assert ("x" * room, None) == (fitting, refused)
    assert decoder.failure is not None
    assert decoder.failure.code == "event_too_large"


EVENTS: list[Event] = [
    Started("m"),
    Reasoning("b"),
    Refusal("c"),
    ToolCallDelta(0, "call_1", "f", "{}"),
    ChoiceEvent(1, "d"),
    Extra({"x": 1}, 1, "openai_chat"),
    Extra({"x": 1}, 2, "openai_chat"),
    Extra({"delta": {"citation": 1}}, 1, "anthropic_messages"),
    ForeignEvent("ping", b"{}", "openai_chat"),
    Extra({"item": {"id": "ws_1", "type": "web_search_call"}}, 0, "openai_responses"),
    Extra({"message": {"id": "msg_%d"}}, 0, "openai_responses"),
    Extra({"part": {"type": "output_text", "text": ""}}, 0, "openai_responses"),
]
ENCODERS: dict[str, Callable[[], StreamEncoder]] = {
    "chat": lambda: ChatStreamEncoder(id="c", created=1, model="m"),
    "messages": lambda: MessagesStreamEncoder(AnswerHead("msg_1", 1, "m")),
    "responses": lambda: ResponsesStreamEncoder(AnswerHead("resp_1", 1, "m")),
    "messages with ids": lambda: MessagesStreamEncoder(AnswerHead("msg_1", 1, "m"), ids=map(str, count())),
    "responses with ids": lambda: ResponsesStreamEncoder(AnswerHead("resp_1", 1, "m"), ids=map(str, count())),
}
END = FinishReason("stop", "finish_reason")


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
@settings(deadline=None)
@given(data=st.data())
def test_a_run_of_texts_is_written_like_its_texts(encoder: Callable[[], StreamEncoder], data: st.DataObject) -> None:
    """The same bytes as in small batches, with any other events around it. An `Extra` stays with what it covers."""
    said: Batch = [*data.draw(st.lists(st.sampled_from(EVENTS), max_size=3)), *data.draw(st.lists(TEXTS, max_size=20))]
    said += data.draw(st.lists(st.one_of(TEXTS, st.sampled_from(EVENTS)), max_size=4))
    if not said:
        said = [Started("m")]
    small, pieces, place = encoder(), [], 0
    while place < len(said):
        first = said[place]
        size = 1 + (first.covers if isinstance(first, Extra) else 0)
        while place + size < len(said) and any(isinstance(event, Extra) for event in said[place + 1 : place + size]):
            size += 1  # what is covered covers others: all stay together
        pieces.append(small.write(said[place : place + size]))
        place += size

    at_once = encoder()
    assert at_once.write(said) == b"".join(pieces)
    assert at_once.end(END) == small.end(END)


def test_log_probabilities_before_a_run_belong_to_its_first_text() -> None:
    """As they do where the texts come one by one."""
    tokens = LogProbs([{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}])
    texts = ["a"] * 20
    at_once, singly = (ResponsesStreamEncoder(AnswerHead("resp_1", 1, "m")) for _ in range(2))

    written = at_once.write([Started("m"), tokens, *texts])

    assert written == singly.write([Started("m"), tokens, "a"]) + b"".join(singly.write([each]) for each in texts[1:])
