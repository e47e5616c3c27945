"""What the Messages wire does not know passes unchanged: decoded and encoded again, an answer is the one that came."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autonomousai.wires.base import AnswerHead
from autonomousai.wires.registry import ANTHROPIC_MESSAGES
from tests.support.examples import examples
from tests.wires.cutting import cuts, pieces
from tests.wires.test_anthropic_encoder import named
from tests.wires.test_lossless import UNKNOWN

Json = dict[str, Any]

HEAD = AnswerHead("msg_1", 1700000000, "m")
USAGE = {"input_tokens": 5, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 1, "output_tokens": 9}

#: Blocks as they begin, and what their deltas may be. A call has arguments: none are written as {}.
BLOCKS: list[tuple[Json, list[Json], int]] = [
    (
        {"type": "text", "text": ""},
        [{"type": "text_delta", "text": "Hi"}, {"type": "citations_delta", "citation": {"a": 1}}],
        0,
    ),
    (
        {"type": "thinking", "thinking": "", "signature": ""},
        [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"}],
        0,
    ),
    ({"type": "redacted_thinking", "data": "zz"}, [], 0),
    ({"type": "server_tool_use", "id": "s", "name": "w", "input": {}}, [{"type": "input_json_delta", "partial_json": "{}"}], 0),
    ({"type": "new_block", "some": [1]}, [{"type": "new_delta", "more": 1}], 0),
    ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, [{"type": "input_json_delta", "partial_json": '{"a":1}'}], 1),
]


def with_own_id(block: Json, place: int) -> Json:
    """Each call has another id, as in any valid answer."""
    return {**block, "id": f"toolu_{place}"} if block["type"] == "tool_use" else block


@st.composite
def streams(draw: st.DrawFn) -> list[Json]:
    """The events of a valid stream, with unknown members at any depth."""
    message = {"type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None}
    start = {**draw(UNKNOWN), **message, "id": "msg_1", "model": "m", "usage": USAGE}
    events: list[Json] = [{**draw(UNKNOWN), "type": "message_start", "message": start}]
    for index, (block, deltas, least) in enumerate(draw(st.lists(st.sampled_from(BLOCKS), max_size=4))):
        begun = {**draw(UNKNOWN), **with_own_id(block, index)}
        events.append({**draw(UNKNOWN), "type": "content_block_start", "index": index, "content_block": begun})
        said = draw(st.lists(st.sampled_from(deltas), min_size=least, max_size=max(least, 1 + (least == 0)))) if deltas else []
        for delta in said:
            events.append({**draw(UNKNOWN), "type": "content_block_delta", "index": index, "delta": {**draw(UNKNOWN), **delta}})
        events.append({**draw(UNKNOWN), "type": "content_block_stop", "index": index})
    reason = draw(st.sampled_from(["end_turn", "stop_sequence", "tool_use", "pause_turn", "a_new_reason"]))
    end = {**draw(UNKNOWN), "stop_reason": reason, "stop_sequence": "END" if reason == "stop_sequence" else None}
    events.append({**draw(UNKNOWN), "type": "message_delta", "delta": end, "usage": USAGE})
    return [*events, {**draw(UNKNOWN), "type": "message_stop"}]


def written(events: list[Json]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


@examples(50)
@given(streams(), cuts)
def test_a_stream_is_the_one_that_came(events: list[Json], places: list[int]) -> None:
    """However its bytes are cut: events, blocks, deltas, members, reasons and counts."""
    decoder = ANTHROPIC_MESSAGES.decoder()
    batches = [batch for piece in pieces(written(events), places) if (batch := decoder.feed(piece))]
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)

    got = b"".join(map(encoder.write, batches)) + encoder.end(decoder.finish())

    assert events == [event for _, event in named(got)]


@examples(50)
@given(
    st.lists(
        st.sampled_from(
            [
                {"type": "text", "text": "Hi"},
                {"type": "text", "text": "", "citations": [{"a": 1}]},
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "server_tool_use", "id": "s", "name": "w", "input": {"q": 1}},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}},
                {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}},
            ]
        ),
        max_size=5,
    ),
    UNKNOWN,
)
def test_a_document_is_the_one_that_came(content: list[Json], unknown: Json) -> None:
    """Blocks in their order, and unknown members."""
    content = [with_own_id(block, place) for place, block in enumerate(content)]
    document = {
        **unknown,
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "pause_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }

    events = ANTHROPIC_MESSAGES.decode_answer(json.dumps(document).encode())

    assert document == json.loads(ANTHROPIC_MESSAGES.encode_answer(events, HEAD))


def test_a_thought_that_is_not_signed_stays_so() -> None:
    """An upstream of the same API that signs nothing: nothing is said in its place."""
    thought = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_stop", "index": 0},
    ]
    end: list[Json] = [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
        {"type": "message_stop"},
    ]
    start = {
        "type": "message_start",
        "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []},
    }
    decoder, encoder = ANTHROPIC_MESSAGES.decoder(), ANTHROPIC_MESSAGES.encoder(HEAD)

    batch = decoder.feed(written([start, *thought, *end]))
    got = encoder.write(batch) + encoder.end(decoder.finish())

    assert thought == [event for _, event in named(got) if event["type"].startswith("content_block")]
