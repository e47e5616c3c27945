"""A citation of a web page comes through between any two wires, streamed and whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from autonomousai.events import Annotations, Batch, FinishReason, Started
from autonomousai.wires.base import AnswerHead, Wire
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES

Json = dict[str, Any]

HEAD = AnswerHead("x_1", 0, "m")
STOP = FinishReason("stop", "finish_reason")

PAGE: Json = {"url": "http://a", "title": "A"}
PLACE: Json = {"start_index": 0, "end_index": 0}
OF_CHAT: Json = {"type": "url_citation", "url_citation": {**PAGE, **PLACE, "content": "q"}}
OF_RESPONSES: Json = {"type": "url_citation", **PAGE, **PLACE, "content": "q"}
OF_MESSAGES: Json = {"type": "web_search_result_location", **PAGE, "encrypted_index": "", "cited_text": "q"}
SIGNED: Json = {**OF_MESSAGES, "encrypted_index": "e"}
FOUND: Json = {
    "type": "search_result_location",
    "source": "http://a",
    "title": "A",
    "cited_text": "q",
    "search_result_index": 0,
}
OTHER: Json = {"type": "char_location", "document_index": 0}
FILE: Json = {"type": "file_citation", "file_id": "f"}


def of_chat(document: Json) -> list[Json]:
    return list(document["choices"][0]["message"].get("annotations", ()))


def of_responses(document: Json) -> list[Json]:
    return list(document["output"][0]["content"][0]["annotations"])


def of_messages(document: Json) -> list[Json]:
    return list(document["content"][0].get("citations", ()))


@pytest.mark.parametrize(
    ("cited", "chat", "responses", "messages"),
    [
        (OF_CHAT, OF_CHAT, OF_RESPONSES, OF_MESSAGES),
        (OF_RESPONSES, OF_CHAT, OF_RESPONSES, OF_MESSAGES),
        (SIGNED, OF_CHAT, OF_RESPONSES, SIGNED),
        (FOUND, OF_CHAT, OF_RESPONSES, FOUND),
        (OTHER, OTHER, OTHER, OTHER),
        (FILE, FILE, FILE, None),
        ("odd", "odd", "odd", None),
    ],
)
def test_each_wire_writes_it_as_its_own(cited: Any, chat: Any, responses: Any, messages: Any) -> None:
    """What is no page stays as it is; Messages have no place for what they do not know."""
    rows: list[tuple[Wire, Callable[[Json], list[Json]], Any]] = [
        (OPENAI_CHAT, of_chat, chat),
        (OPENAI_RESPONSES, of_responses, responses),
        (ANTHROPIC_MESSAGES, of_messages, messages),
    ]
    events: Batch = [Started("m"), "a", Annotations([cited])]
    for wire, read, expected in rows:
        encoder = wire.encoder(HEAD)
        streamed = encoder.write(events) + encoder.end(STOP)
        wanted = [] if expected is None else [expected]
        written = json.dumps(expected, separators=(",", ":")).encode()

        assert wanted == read(json.loads(wire.encode_answer([*events, STOP], HEAD)))
        assert written in streamed if wanted else b"citations_delta" not in streamed


@pytest.mark.parametrize(
    "block", [{"citations": [SIGNED]}, {"citations": [SIGNED, OTHER]}, {"citations": []}, {"citations": None}]
)
def test_a_message_keeps_what_it_cites(block: Json) -> None:
    """From its upstream to its caller unchanged; another wire's caller gets what it has a form for."""
    text = {"type": "text", "text": "a", **block}
    body = {"type": "message", "model": "m", "content": [text], "stop_reason": "end_turn", "usage": {}}
    events = ANTHROPIC_MESSAGES.decode_answer(json.dumps(body).encode())

    assert [text] == json.loads(ANTHROPIC_MESSAGES.encode_answer(events, HEAD))["content"]
    cited = of_chat(json.loads(OPENAI_CHAT.encode_answer(events, HEAD)))
    assert len(block["citations"] or ()) == len(cited)
    assert cited[:1] in ([], [OF_CHAT])


@pytest.mark.parametrize("first", ["citation", "text"])
def test_a_stream_keeps_what_it_cites(first: str) -> None:
    """Before its text, or behind it."""
    citation = {"type": "citations_delta", "citation": SIGNED}
    text = {"type": "text_delta", "text": "a"}
    deltas = [citation, text] if first == "citation" else [text, citation]
    payloads = [
        {"type": "message_start", "message": {"model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    decoder = ANTHROPIC_MESSAGES.decoder()
    events = decoder.feed(b"".join(b"data: %b\n\n" % json.dumps(payload).encode() for payload in payloads))
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)
    written = encoder.write(events) + encoder.end(decoder.finish())

    said = [json.loads(line[6:]) for line in written.decode().split("\n") if line.startswith("data: ")]
    assert deltas == [payload["delta"] for payload in said if payload["type"] == "content_block_delta"]
    assert [OF_CHAT] == of_chat(json.loads(OPENAI_CHAT.encode_answer([*events, STOP], HEAD)))
