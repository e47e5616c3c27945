"""Streams of the Messages API for tests, as its servers send them, and what is made of them."""

from __future__ import annotations

import json
from typing import Any

from autonomousai.events import Batch, Extra, FinishReason
from autonomousai.wires.anthropic_messages.decoder import MessageStreamDecoder
from tests.wires.answers import Outcome

Json = dict[str, Any]

WIRE = "anthropic_messages"
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def start(**more: Any) -> Json:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, **more}}


def block(index: Any = 0, kind: str = "text", **more: Any) -> Json:
    holds: dict[str, Json] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"id": f"toolu_{index}", "name": "f", "input": {}},
    }
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **holds.get(kind, {}), **more}}


def delta(index: Any = 0, kind: str = "text_delta", **more: Any) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def text(said: Any, index: Any = 0, **more: Any) -> Json:
    return delta(index, text=said, **more)


def thought(said: Any, index: Any = 0) -> Json:
    return delta(index, "thinking_delta", thinking=said)


def arguments(said: Any, index: Any = 0) -> Json:
    return delta(index, "input_json_delta", partial_json=said)


def signature(said: str, index: Any = 0) -> Json:
    return delta(index, "signature_delta", signature=said)


def stop(index: Any = 0, **more: Any) -> Json:
    return {"type": "content_block_stop", "index": index, **more}


def end(reason: Any = "end_turn", sequence: Any = None, usage: Any = None, **more: Any) -> Json:
    said = {"output_tokens": 2} if usage is None else usage
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": said, **more}


def sse(*events: Json | bytes) -> bytes:
    """Events as the vendor sends them; bytes as they are."""
    return b"".join(
        event if isinstance(event, bytes) else f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    )


def stopped(reason: str = "end_turn", sequence: str | None = None) -> Extra:
    """What tells the encoder of the same wire how the answer stopped."""
    return Extra({"message_delta": {"stop_reason": reason, "stop_sequence": sequence}}, 0, WIRE)


class MessageOutcome(Outcome):
    """All that a `MessageStreamDecoder` made of the reads that it was fed."""

    decoder = MessageStreamDecoder


def joined(events: Batch) -> Batch:
    """The events, with runs of text as one."""
    merged: Batch = []
    for event in events:
        if type(event) is str and merged and type(merged[-1]) is str:
            merged[-1] += event
        else:
            merged.append(event)
    return merged


def reason_of(outcome: Outcome) -> str | None:
    assert isinstance(outcome.finish, FinishReason)
    return outcome.finish.reason
