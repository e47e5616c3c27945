"""What the wire does not know passes unchanged: a stream or a document of the Messages API, decoded and encoded again, is the
one that came; and so is a request."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autonomousai.events import FinishReason
from autonomousai.wires.anthropic_messages.decoder import MessageStreamDecoder
from autonomousai.wires.anthropic_messages.document import decode_message
from autonomousai.wires.anthropic_messages.upstream_request import write_messages_request
from autonomousai.wires.anthropic_messages.wire import ANTHROPIC_MESSAGES
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.sse import ServerSentEvent, SSEDecoder
from tests.support.examples import examples
from tests.wires.cutting import cuts, pieces

Json = dict[str, Any]

HEAD = AnswerHead("msg_1", 1, "m")

#: Names that no member of the wire has.
NAMES = st.sampled_from(["container", "caller", "x", "context_management", "stop_details", "ä"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)
UNKNOWN = st.dictionaries(NAMES, VALUES, max_size=2)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
INPUTS = st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text(max_size=3), max_size=2)

#: Blocks whole, as a document has them.
BLOCKS = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text, **more}, TEXTS, UNKNOWN),
    st.builds(
        lambda text, signature, more: {"type": "thinking", "thinking": text, "signature": signature, **more},
        st.just("") | TEXTS,
        TEXTS,
        UNKNOWN,
    ),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, TEXTS),
    st.builds(lambda value, more: {"type": "tool_use", "id": "toolu", "name": "f", "input": value, **more}, INPUTS, UNKNOWN),
    st.builds(lambda value: {"type": "server_tool_use", "id": "s", "name": "web_search", "input": value}, INPUTS),
    st.builds(lambda value: {"type": "web_search_tool_result", "tool_use_id": "s", "content": [value]}, UNKNOWN),
)
USAGE = st.fixed_dictionaries(
    {"input_tokens": st.integers(0, 99), "output_tokens": st.integers(0, 99)},
    optional={
        "cache_creation_input_tokens": st.integers(0, 99),
        "cache_read_input_tokens": st.integers(0, 99),
        "cache_creation": st.dictionaries(st.sampled_from(["ephemeral_5m_input_tokens"]), st.integers(0, 9)),
        "service_tier": st.just("standard"),
        "output_tokens_details": st.builds(lambda count: {"thinking_tokens": count}, st.integers(0, 9)),
    },
)
REASONS = st.sampled_from(
    ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded", "new"]
)


def with_own_ids(content: list[Json]) -> list[Json]:
    """Each call has another id, as in any valid answer."""
    return [{**block, "id": f"toolu_{place}"} if block["type"] == "tool_use" else block for place, block in enumerate(content)]


@st.composite
def messages(draw: st.DrawFn) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": with_own_ids(draw(st.lists(BLOCKS, max_size=4))),
        "stop_reason": draw(REASONS),
        "stop_sequence": draw(st.none() | TEXTS),
        "usage": draw(USAGE),
        **draw(UNKNOWN),
    }


def cut(draw: st.DrawFn, text: str) -> list[str]:
    place = draw(st.integers(0, len(text)))
    return [piece for piece in (text[:place], text[place:]) if piece]


@st.composite
def streams(draw: st.DrawFn) -> list[Json]:
    """The events of a valid stream, with unknown members at any depth."""
    message = draw(messages())
    blocks, usage = message["content"], message["usage"]
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 0}}
    events: list[Json] = [{"type": "message_start", "message": start, **draw(UNKNOWN)}]
    for index, block in enumerate(blocks):
        opening, deltas = block, []
        if block["type"] == "text":
            opening = {**block, "text": ""}
            deltas = [{"type": "text_delta", "text": piece, **draw(UNKNOWN)} for piece in cut(draw, block["text"])]
            if draw(st.booleans()):
                deltas.insert(0, {"type": "citations_delta", "citation": draw(UNKNOWN)})
        elif block["type"] == "thinking":
            opening = {**block, "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(draw, block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"], **draw(UNKNOWN)})
        elif block["type"] in ("tool_use", "server_tool_use"):
            opening = {**block, "input": {}}
            deltas = [
                {"type": "input_json_delta", "partial_json": piece, **draw(UNKNOWN)}
                for piece in cut(draw, json.dumps(block["input"]))
            ]
        events.append({"type": "content_block_start", "index": index, "content_block": opening, **draw(UNKNOWN)})
        for delta in deltas:
            events.append({"type": "content_block_delta", "index": index, "delta": delta, **draw(UNKNOWN)})
        if (
            draw(st.integers(0, 4)) == 0
        ):  # behind the block's end it would come before it: the encoder ends a block with the next
            events.append({"type": "custom", **draw(UNKNOWN)})
        events.append({"type": "content_block_stop", "index": index, **draw(UNKNOWN)})
    said = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"], **draw(UNKNOWN)}
    events.append({"type": "message_delta", "delta": said, "usage": usage, **draw(UNKNOWN)})
    events.append({"type": "message_stop", **draw(UNKNOWN)})
    return events


def sse(events: list[Json]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in events)


def read(data: bytes) -> list[Json]:
    found = [event.data if isinstance(event, ServerSentEvent) else event for event in SSEDecoder().feed(data)]
    return [json.loads(event) for event in found]


def without_zeros(usage: Json) -> Json:
    """Counts that are told where nothing was counted."""
    return {name: value for name, value in usage.items() if value != 0 and value != {"thinking_tokens": 0}}


def plain(event: Json) -> Json:
    """An event, whatever zeros its usage has."""
    event = copy.deepcopy(event)
    for place in (event, event.get("message") or {}):
        if isinstance(place.get("usage"), dict):
            place["usage"] = without_zeros(place["usage"])
    return event


@examples(60)
@given(events=streams(), where=cuts)
def test_a_stream_passes_equal(events: list[Json], where: list[int]) -> None:
    """Event by event, however it was cut."""
    decoder = MessageStreamDecoder()
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)
    batches = [batch for data in pieces(sse(events), where) if (batch := decoder.feed(data))]
    finish = decoder.finish()

    again = read(b"".join([*map(encoder.write, batches), encoder.end(finish)]))

    assert [plain(event) for event in events] == [plain(event) for event in again]


@examples(60)
@given(message=messages())
def test_a_document_passes_equal(message: Json) -> None:
    """Member by member, and block by block in order."""
    again = json.loads(ANTHROPIC_MESSAGES.encode_answer(decode_message(json.dumps(message).encode()), HEAD))

    assert plain(message) == plain(again)


@examples(20)
@given(events=streams())
def test_a_stream_as_a_document_has_every_block(events: list[Json]) -> None:
    """As the stream's own reader would put it together."""
    decoder = MessageStreamDecoder()
    batch = decoder.feed(sse([event for event in events if event["type"] != "custom"]))

    message = json.loads(ANTHROPIC_MESSAGES.encode_answer([*batch, decoder.finish()], HEAD))

    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [block["type"] for block in starts] == [block["type"] for block in message["content"]]
    texts = [event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"]
    assert "".join(texts) == "".join(block.get("text", "") for block in message["content"])


MARK = {"cache_control": {"type": "ephemeral"}}
CONTENT = st.lists(
    st.builds(
        lambda text, more, mark: {"type": "text", "text": text, **more, **(MARK if mark else {})}, TEXTS, UNKNOWN, st.booleans()
    )
    | st.builds(lambda value, more: {"type": "tool_result", "tool_use_id": "t", "content": value, **more}, TEXTS, UNKNOWN)
    | st.builds(
        lambda more: {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}, **more}, UNKNOWN
    ),
    min_size=1,
    max_size=4,
)
REQUESTS = st.fixed_dictionaries(
    {
        "model": st.just("theirs"),
        "max_tokens": st.integers(1, 99),
        "messages": st.lists(
            st.builds(lambda content, more: {"role": "user", "content": content, **more}, CONTENT, UNKNOWN),
            min_size=1,
            max_size=3,
        ),
    },
    optional={
        "system": st.lists(st.builds(lambda text: {"type": "text", "text": text, **MARK}, TEXTS), min_size=1, max_size=2),
        "x": VALUES,
        "context_management": VALUES,
    },
)


@examples(40)
@given(document=REQUESTS)
def test_a_request_passes_equal(document: Json) -> None:
    """With its cache marks, in the order of its members, but for the model and whether it is streamed."""
    request = ANTHROPIC_MESSAGES.decode_request(json.dumps(document).encode(), "/v1/messages")

    asked = json.loads(write_messages_request(request, "m"))

    assert json.dumps({**document, "model": "m", "stream": False}) == json.dumps(asked)


def test_the_tests_can_fail() -> None:
    """An unknown member that is lost is noticed."""
    message = {"type": "message", "content": [], "stop_reason": "end_turn", "x": 1}
    batch = decode_message(json.dumps(message).encode())

    assert isinstance(batch[-1], FinishReason)
    assert "x" not in json.loads(ANTHROPIC_MESSAGES.encode_answer([batch[0], batch[-1]], HEAD))


def test_the_text_of_an_answer_stays_where_its_end_has_members_of_the_same_names() -> None:
    """Some servers repeat there what belongs to the message."""
    usage = {"input_tokens": 7, "output_tokens": 5}
    events = [
        {"type": "message_start", "message": {"id": "x", "role": "assistant", "model": "m", "content": [], "usage": usage}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "content": [], "usage": {"output_tokens": 5}}},
        {"type": "message_stop"},
    ]
    decoder = MessageStreamDecoder()
    batch = decoder.feed(sse(events))
    message = json.loads(ANTHROPIC_MESSAGES.encode_answer([*batch, *decoder.end(), decoder.finish()], HEAD))

    assert [{"type": "text", "text": "hi"}] == message["content"]
    assert usage.items() <= message["usage"].items()
