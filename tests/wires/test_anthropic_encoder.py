"""Events become a stream and a document of the Messages API: both say the same, block by block."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import ProviderError, StatusError, StreamError
from autonomousai.events import (
    REPEATED,
    Batch,
    Event,
    Extra,
    FinishReason,
    ForeignEvent,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    Usage,
)
from autonomousai.sealed_thoughts import pack
from autonomousai.wires.anthropic_messages.message import WIRE
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT

Json = dict[str, Any]

HEAD = AnswerHead("msg_1", 1700000000, "llama")
ZEROS = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
STOP = FinishReason("stop", "finish_reason")


def named(data: bytes) -> list[tuple[str, Json]]:
    """The events of a stream: each one's name, and its data."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith("id:"))
        found.append((lines["event"], json.loads(lines["data"])))
    return found


def streamed(*batches: Batch, ids: Iterator[str] | None = None) -> bytes:
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD, ids=ids)
    data = b"".join(map(encoder.write, batches))
    finish = batches[-1][-1]
    assert isinstance(finish, FinishReason)
    return data + encoder.end(finish)


def whole(*events: Event) -> Json:
    message: Json = json.loads(ANTHROPIC_MESSAGES.encode_answer(list(events), HEAD))
    return message


def accumulated(events: list[tuple[str, Json]]) -> Json:
    """The message that a stream's events make, as a client folds them; an event out of place is an error."""
    message: Json = {}
    open_index: int | None = None
    pieces: dict[int, str] = {}
    for name, data in events:
        assert name == data["type"]
        if name == "message_start":
            assert not message
            message = data["message"]
        elif name == "content_block_start":
            assert open_index is None
            assert data["index"] == len(message["content"])
            open_index = data["index"]
            message["content"].append(data["content_block"])
        elif name == "content_block_delta":
            assert data["index"] == open_index
            block, delta = message["content"][-1], data["delta"]
            kinds = {"text_delta": "text", "thinking_delta": "thinking"}
            if delta["type"] in kinds:
                assert block["type"] == kinds[delta["type"]]
                block[block["type"]] += delta[block["type"]]
            elif delta["type"] == "input_json_delta":
                pieces[open_index] = pieces.get(open_index, "") + delta["partial_json"]
            elif delta["type"] == "signature_delta":
                block["signature"] = delta["signature"]
        elif name == "content_block_stop":
            assert data["index"] == open_index
            if open_index in pieces:
                with contextlib.suppress(ValueError):  # the answer was too short for all of them
                    message["content"][-1]["input"] = json.loads(pieces[open_index])
            open_index = None
        elif name == "message_delta":
            assert open_index is None
            message |= data["delta"]
            message["usage"] = {**message["usage"], **data["usage"]}
    assert [name for name, _ in events[-2:]] == ["message_delta", "message_stop"]
    return message


def call(index: int, arguments: str = "", *, first: bool = False) -> ToolCallDelta:
    return ToolCallDelta(index, f"call_{index}", f"f{index}", arguments) if first else ToolCallDelta(index, arguments=arguments)


def use(index: int, given: Any) -> Json:
    return {"type": "tool_use", "id": f"call_{index}", "name": f"f{index}", "input": given}


def said(text: str) -> Json:
    return {"type": "text", "text": text}


def thought(text: str, signature: str = "") -> Json:
    return {"type": "thinking", "thinking": text, "signature": signature}


def extra(**members: Any) -> Extra:
    return Extra(members, 0, WIRE)


def test_a_stream_event_by_event() -> None:
    """Both lines name the type; blocks are numbered from 0; the last counts are cumulative."""
    usage = Usage(10, 4, 14, cached_tokens=3, reasoning_tokens=1, extra={"cache_creation_input_tokens": 2})
    got = named(
        streamed([Started("llama")], [Reasoning("Hm")], ["Hel"], ["lo"], [FinishReason("stop", "finish_reason", usage)])
    )

    assert [
        ("message_start", {"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "llama", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": ZEROS,
        }}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": thought("")}),
        ("content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}}),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("content_block_start", {"type": "content_block_start", "index": 1, "content_block": said("")}),
        ("content_block_delta", {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hel"}}),
        ("content_block_delta", {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "lo"}}),
        ("content_block_stop", {"type": "content_block_stop", "index": 1}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {
            "input_tokens": 5, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 4,
            "output_tokens_details": {"thinking_tokens": 1},
        }}),
        ("message_stop", {"type": "message_stop"}),
    ] == got  # fmt: skip


CONTENT: list[tuple[str, Batch, list[Json]]] = [
    ("nothing", [], []),
    ("nothing but empty pieces", ["", Reasoning("")], []),
    ("text", ["Hel", "lo"], [said("Hello")]),
    ("thinking again after text", [Reasoning("a"), "b", Reasoning("c")], [thought("a"), said("b"), thought("c")]),
    ("a refusal", [Refusal("I will "), Refusal("not")], [said("I will not")]),
    ("a call", ["Let me see.", call(0, '{"a"', first=True), call(0, ": 1}")], [said("Let me see."), use(0, {"a": 1})]),
    ("a call without arguments", [call(0, first=True)], [use(0, {})]),
    (
        "calls one after the other",
        [call(0, "{}", first=True), call(1, '{"b":2}', first=True)],
        [use(0, {}), use(1, {"b": 2})],
    ),
    (
        "calls that interleave",
        [call(0, '{"a":', first=True), call(1, '{"b":', first=True), call(0, "1}"), call(1, "2}")],
        [use(0, {"a": 1}), use(1, {"b": 2})],
    ),
    (
        "the heads of calls first",
        [call(0, first=True), call(1, first=True), call(1, '{"b":2}'), call(0, '{"a":1}')],
        [use(0, {"a": 1}), use(1, {"b": 2})],
    ),
    (
        "text inside a call",
        [call(0, '{"a":', first=True), "meanwhile", call(0, "1}"), " more"],
        [use(0, {"a": 1}), said("meanwhile more")],
    ),
    (
        "a name that comes late",
        [ToolCallDelta(0, "call_0", None, ""), "x", ToolCallDelta(0, None, "f0", "{}")],
        [use(0, {}), said("x")],
    ),
    (
        "a name in pieces",
        ["x", ToolCallDelta(0, "call_0", "get_", ""), ToolCallDelta(0, None, "f0", ""), call(0, '{"a":'), call(0, "1}"), "y"],
        [said("x"), {**use(0, {"a": 1}), "name": "get_f0"}, said("y")],
    ),
    (
        "names in pieces, of calls without arguments",
        [
            *(ToolCallDelta(0, "call_0", "f", ""), ToolCallDelta(0, None, "0", "")),
            *(ToolCallDelta(1, "call_1", "f", ""), ToolCallDelta(1, None, "1", "{}")),
        ],
        [use(0, {}), use(1, {})],
    ),
    (
        "an upstream's own blocks",
        [
            extra(content_block={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
            extra(delta={"type": "input_json_delta", "partial_json": '{"q": 1}'}),
            extra(content_block={"type": "web_search_tool_result", "tool_use_id": "s", "content": [1]}),
            "a",
            extra(content_block={"type": "text", "text": "", "citations": []}),
            "b",
        ],
        [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [1]},
            said("a"),
            {"type": "text", "text": "b", "citations": []},
        ],
    ),
    (
        "a signature",
        [Reasoning("a"), extra(delta={"type": "signature_delta", "signature": "s"}), "b"],
        [thought("a", "s"), said("b")],
    ),
    (
        "an upstream's own call",
        [
            extra(content_block={"type": "tool_use", "id": "x", "name": "g", "input": {}, "caller": 1}),
            call(0, '{"a":1}', first=True),
        ],
        [{"type": "tool_use", "id": "x", "name": "g", "input": {"a": 1}, "caller": 1}],
    ),
    (
        "what another wire said",
        [Extra({"choices": []}, 0, "openai_chat"), ForeignEvent("x", b"1", "openai_chat"), "a"],
        [said("a")],
    ),
    (
        "a call that a server wants back as it was",
        [ToolCallDelta(0, "call_0", "f0", "{}", {"extra_content": {"google": 1}})],
        [
            {
                "type": "redacted_thinking",
                "data": pack({"type": "extra_content", "id": "call_0", "content": {"google": 1}}),
            },
            {"extra_content": {"google": 1}, **use(0, {})},
        ],
    ),
]
IDS = [name for name, _, _ in CONTENT]


@pytest.mark.parametrize(("events", "content"), [row[1:] for row in CONTENT], ids=IDS)
def test_what_is_said_becomes_blocks(events: Batch, content: list[Json]) -> None:
    """In the document, and in the stream however its events are cut into batches."""
    assert content == whole(Started("llama"), *events, STOP)["content"]
    assert content == accumulated(named(streamed([Started("llama")], *([event] for event in events), [STOP])))["content"]
    assert content == accumulated(named(streamed([Started("llama"), *events, STOP])))["content"]


@given(st.data())
def test_calls_may_interleave_anyhow(data: st.DataObject) -> None:
    """Each call's pieces in their order, and text between: every block is whole, and nothing is lost."""
    texts = data.draw(st.lists(st.sampled_from(["{}", '{"a": "}"}', '{"b": {"c": [1]}} ']), min_size=1, max_size=3))
    queues: list[list[Event]] = []
    for index, text in enumerate(texts):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        queues.append([call(index, pieces[0], first=True), *(call(index, piece) for piece in pieces[1:])])
    queues.append(list(data.draw(st.lists(st.sampled_from(["x", "y"]), max_size=2))))
    events: Batch = []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        events.append(queue.pop(0))

    got = accumulated(named(streamed([Started("llama")], *([event] for event in events), [STOP])))

    blocks = {block["name"]: block["input"] for block in got["content"] if block["type"] == "tool_use"}
    assert {f"f{index}": json.loads(text) for index, text in enumerate(texts)} == blocks
    assert "".join(block["text"] for block in got["content"] if block["type"] == "text") == "".join(
        event for event in events if isinstance(event, str)
    )
    assert got["content"] == whole(Started("llama"), *events, STOP)["content"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1', {"INVALID_JSON": '{"a": 1'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("Paris", {"INVALID_JSON": "Paris"}),
    ],
)
def test_an_input_is_an_object(arguments: str, expected: Json) -> None:
    """Where the model wrote none, one that holds what it wrote, so that the tool refuses it and the model is told."""
    assert [use(0, expected)] == whole(Started("llama"), call(0, arguments, first=True), STOP)["content"]


@pytest.mark.parametrize("by_their_ends", [True, False])
def test_calls_that_wait_are_whole(by_their_ends: bool) -> None:
    """Behind one that is open: those of which no more than a name comes, and those whose names come in pieces."""
    waiting: Batch = [
        ToolCallDelta(0, "a", "f", "{"),
        ToolCallDelta(1, "b", "g"),
        ToolCallDelta(2, "c", "h"),
        ToolCallDelta(2, None, "i"),
        ToolCallDelta(2, None, None, "{}"),
    ]
    ends: Batch = [ToolCallDelta(1, None, None, "{}")] if by_their_ends else []
    events: Batch = [Started("m"), *waiting, *ends, ToolCallDelta(0, None, None, "}"), STOP]

    uses = [(each["id"], each["name"], each["input"]) for each in whole(*events)["content"]]

    assert [("a", "f", {}), ("b", "g", {}), ("c", "hi", {})] == uses
    assert whole(*events)["content"] == accumulated(named(streamed(events)))["content"]


@pytest.mark.parametrize(
    ("events", "finish", "reason", "sequence"),
    [
        ([], FinishReason("stop", "finish_reason"), "end_turn", None),
        ([], FinishReason(None, "done"), "end_turn", None),
        ([], FinishReason("length", "finish_reason"), "max_tokens", None),
        ([], FinishReason("repetition", "finish_reason", notes=(REPEATED,)), "max_tokens", None),
        ([], FinishReason("repetition", "finish_reason"), "end_turn", None),
        ([], FinishReason("content_filter", "finish_reason"), "refusal", None),
        ([Refusal("no")], FinishReason("stop", "finish_reason"), "refusal", None),
        ([call(0, "{}", first=True)], FinishReason("tool_calls", "finish_reason"), "tool_use", None),
        ([call(0, "{}", first=True)], FinishReason("stop", "finish_reason"), "tool_use", None),
        ([call(0, "{", first=True)], FinishReason("length", "finish_reason"), "max_tokens", None),
        (["x"], FinishReason("tool_calls", "finish_reason"), "end_turn", None),
        ([], FinishReason("pause_turn", "finish_reason"), "pause_turn", None),
        ([], FinishReason("eos_token", "finish_reason"), "end_turn", None),
        ([call(0, "{}", first=True)], FinishReason("COMPLETE", "finish_reason"), "tool_use", None),
        ([call(0, "{}", first=True)], FinishReason("tool_use", "finish_reason"), "tool_use", None),
        ([], FinishReason("MAX_TOKENS", "finish_reason"), "max_tokens", None),
        ([], FinishReason("FinishReason.SAFETY", "finish_reason"), "refusal", None),
        (
            [],
            FinishReason("stop", "finish_reason", extra={"choices": [{"index": 0, "stop_reason": "END"}]}),
            "stop_sequence",
            "END",
        ),
        ([], FinishReason("stop", "finish_reason", extra={"choices": [{"index": 0, "stop_reason": 7}]}), "end_turn", None),
        (
            [],
            FinishReason("stop", "finish_reason", extra={"choices": [{"index": 0, "matched_stop": "E"}]}),
            "stop_sequence",
            "E",
        ),
        (
            [extra(message_delta={"stop_reason": "stop_sequence", "stop_sequence": "END"})],
            FinishReason("stop", "finish_reason"),
            "stop_sequence",
            "END",
        ),
    ],
)
def test_how_an_answer_ended(events: Batch, finish: FinishReason, reason: str, sequence: str | None) -> None:
    """`tool_use` exactly where there are calls to run; a stop text where the upstream names it."""
    streamed_end = accumulated(named(streamed([Started("llama"), *events, finish])))
    document = whole(Started("llama"), *events, finish)

    assert (reason, sequence) == (document["stop_reason"], document["stop_sequence"])
    assert (reason, sequence) == (streamed_end["stop_reason"], streamed_end["stop_sequence"])


def chat_chunk(content: str, reason: str | None, **named: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason, **named}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(chunk).encode()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([chat_chunk("a", None), chat_chunk("b", "stop", stop_reason="END")], "END"),
        ([chat_chunk("a", None, stop_reason=None), chat_chunk("b", "stop", stop_reason="END")], "END"),
        ([chat_chunk("ab", "stop", stop_reason="END")], "END"),
        ([chat_chunk("ab", "stop", matched_stop="E")], "E"),
        ([chat_chunk("a", None), chat_chunk("b", "stop", matched_stop=7)], None),
        ([chat_chunk("a", None), chat_chunk("b", "length", stop_reason="END")], None),
        ([chat_chunk("ab", "stop")], None),
    ],
)
def test_a_stop_text_beside_the_last_words(chunks: list[bytes], expected: str | None) -> None:
    """vLLM and SGLang name it in the chunk that has them, which may be the only one."""
    decoder = OPENAI_CHAT.decoder()
    events = [*decoder.feed(b"".join(chunks) + b"data: [DONE]\n\n"), decoder.finish()]
    end, document = accumulated(named(streamed(events))), whole(*events)

    ended = ("stop_sequence" if expected else "max_tokens" if b"length" in chunks[-1] else "end_turn", expected)
    assert ended == (end["stop_reason"], end["stop_sequence"])
    assert ended == (document["stop_reason"], document["stop_sequence"])


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, ZEROS),
        (Usage(5, 2, 7), ZEROS | {"input_tokens": 5, "output_tokens": 2}),
        (Usage(5, 2, 7, cached_tokens=5), ZEROS | {"cache_read_input_tokens": 5, "output_tokens": 2}),
        (Usage(5, 2, 7, cached_tokens=9), ZEROS | {"cache_read_input_tokens": 9, "output_tokens": 2}),
        (
            Usage(9, 2, 11, cached_tokens=3, extra={"cache_creation_input_tokens": 4, "cache_creation": {"x": 4}}),
            ZEROS
            | {"input_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4, "output_tokens": 2}
            | {"cache_creation": {"x": 4}},
        ),
        (
            Usage(9, 2, 11, cached_tokens=3, extra={"prompt_tokens_details": {"cache_write_tokens": 4}}),
            ZEROS | {"input_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4, "output_tokens": 2},
        ),
        (
            Usage(9, 2, 11, extra={"prompt_cache_hit_tokens": 3}),
            ZEROS | {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": 2, "prompt_cache_hit_tokens": 3},
        ),
        (
            Usage(9, 2, 11, extra={"cached_tokens": 3}),
            ZEROS | {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": 2, "cached_tokens": 3},
        ),
        (
            Usage(9, 2, 11, extra={"cache_read_input_tokens": 3}),
            ZEROS | {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": 2},
        ),
        (
            Usage(5, 2, 7, extra={"prompt_tokens_details": {"audio_tokens": 0}, "cost": 1}),
            ZEROS | {"input_tokens": 5, "output_tokens": 2, "cost": 1},
        ),
    ],
)
def test_tokens_are_counted_in_its_words(usage: Usage | None, expected: Json) -> None:
    """The prompt's without those of caches, which stand beside them."""
    finish = FinishReason("stop", "finish_reason", usage)

    assert expected == whole(Started("llama"), finish)["usage"]
    assert expected == named(streamed([Started("llama"), finish]))[-2][1]["usage"]


def test_what_an_upstream_of_the_wire_said_stands_where_it_stood() -> None:
    """Members of the message, of its end, of blocks, of deltas, and of the events themselves; events that are not known."""
    batches: list[Batch] = [
        [Started("llama"), extra(message_start={"container": {"id": "c"}, "usage": {"input_tokens": 7}}, event={"a": 1})],
        [Extra({"delta": {"x": 1}, "event": {"b": 2}}, 1, WIRE), "Hi"],
        [ForeignEvent("odd", b'{"type":"odd"}', WIRE), extra(content_block_stop={"c": 3})],
        [
            extra(message_delta={"stop_reason": "end_turn", "stop_details": None}, event={"d": 4}),
            extra(message_stop={"e": 5}),
            STOP,
        ],
    ]

    got = dict(named(streamed(*batches)))

    assert {"id": "c"} == got["message_start"]["message"]["container"]
    assert (7, 1) == (got["message_start"]["message"]["usage"]["input_tokens"], got["message_start"]["a"])
    assert ({"type": "text_delta", "text": "Hi", "x": 1}, 2) == (
        got["content_block_delta"]["delta"],
        got["content_block_delta"]["b"],
    )
    assert {"type": "odd"} == got["odd"]
    assert 3 == got["content_block_stop"]["c"]
    assert (None, 4) == (got["message_delta"]["delta"]["stop_details"], got["message_delta"]["d"])
    assert 5 == got["message_stop"]["e"]


def test_the_extension_stands_in_the_last_delta_and_in_the_document() -> None:
    """Where a client looks for it."""
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)
    stream = named(encoder.write([Started("llama"), "Hi"]) + encoder.end(STOP, extension={"length": 2}))
    document = json.loads(ANTHROPIC_MESSAGES.encode_answer([Started("llama"), "Hi", STOP], HEAD, extension={"length": 2}))

    assert {"length": 2} == stream[-2][1]["x_autonomousai"] == document["x_autonomousai"]


@pytest.mark.parametrize(
    ("reason", "expected"), [("stop", None), ("length", None), ("pause_turn", None), ("eos_token", "eos_token")]
)
def test_a_word_that_clients_do_not_know_stands_beside_the_message(reason: str, expected: str | None) -> None:
    """They read `stop_reason` as one of a list; what the upstream said is not lost."""
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)
    finish = FinishReason(reason, "finish_reason")
    stream = named(encoder.write([Started("llama"), "Hi"]) + encoder.end(finish, extension={"length": 2}))
    document = json.loads(ANTHROPIC_MESSAGES.encode_answer([Started("llama"), "Hi", finish], HEAD, extension={"length": 2}))

    assert stream[-2][1]["x_autonomousai"] == document["x_autonomousai"]
    assert expected == document["x_autonomousai"].get("finish_reason")


def test_signs_of_life_are_pings_without_an_id() -> None:
    """Also that which says how a repair gets on."""
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD, ids=iter("123"))

    assert [("ping", {"type": "ping"})] == named(ANTHROPIC_MESSAGES.ping)
    assert [("ping", {"type": "ping", "x_autonomousai": {"progress": 3}})] == named(encoder.sign(3))
    assert b"id:" not in encoder.sign(3) + ANTHROPIC_MESSAGES.ping


def test_a_copy_goes_on_alone() -> None:
    """Also in the midst of calls that interleave."""
    encoder = ANTHROPIC_MESSAGES.encoder(HEAD)
    encoder.write([Started("llama"), call(0, '{"a":', first=True), call(1, "{", first=True)])
    other = copy.deepcopy(encoder)
    rest: Batch = [call(0, "1}"), call(1, "}")]

    expected = encoder.write(rest) + encoder.end(STOP)

    assert expected == other.write(rest) + other.end(STOP)


def test_calls_of_one_id_are_told_apart() -> None:
    """Streamed and whole: their results come back by that id."""
    calls: Batch = [ToolCallDelta(0, "call_1", "f", "{}"), ToolCallDelta(1, "call_1", "g", "{}"), STOP]

    for message in (accumulated(named(streamed(calls))), whole(*calls)):
        assert ["call_1", "call_1_1"] == [block["id"] for block in message["content"]]


def overloaded(**more: Any) -> StreamError:
    error = StreamError("too busy", status=200, retryable=True, **more)
    error.type = "overloaded_error"
    return error


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (StatusError("x", status=400, type="invalid_request_error"), 400, "invalid_request_error"),
        (StatusError("x", status=401, type="invalid_request_error"), 401, "authentication_error"),
        (StatusError("x", status=402), 402, "billing_error"),
        (StatusError("x", status=403), 403, "permission_error"),
        (StatusError("x", status=404), 404, "not_found_error"),
        (StatusError("x", status=408), 408, "timeout_error"),
        (StatusError("x", status=413), 413, "request_too_large"),
        (StatusError("x", status=415), 415, "invalid_request_error"),
        (StatusError("x", status=422), 422, "invalid_request_error"),
        (StatusError("x", status=429, type="insufficient_quota"), 402, "billing_error"),
        (StatusError("x", status=500), 500, "api_error"),
        (StatusError("x", status=502, type="server_error"), 502, "api_error"),
        (StatusError("x", status=503), 503, "overloaded_error"),
        (StatusError("x", status=504), 504, "timeout_error"),
        (StatusError("x", status=529), 529, "overloaded_error"),
        (overloaded(), 503, "overloaded_error"),
        (StreamError("x", status=200, type="rate_limit_error"), 429, "rate_limit_error"),
        (StreamError("x", status=200, code="context_length_exceeded"), 400, "invalid_request_error"),
        (ProviderError("x"), 500, "api_error"),
        (RuntimeError("a bug"), 500, "api_error"),
    ],
)
def test_an_error_has_the_type_of_its_status(error: BaseException, status: int, kind: str) -> None:
    """As a document, which names the request, and as an event of a stream."""
    got_status, _, body = ANTHROPIC_MESSAGES.encode_error(error, "req_1")
    document = json.loads(body)
    [(name, event)] = named(ANTHROPIC_MESSAGES.encode_error_event(error))

    assert (status, kind, "req_1") == (got_status, document["error"]["type"], document["request_id"])
    assert {"type", "message"} == document["error"].keys()
    assert ("error", "error", document["error"]) == (name, event["type"], event["error"])


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_agents_know() -> None:
    """By which they shorten the conversation."""
    assert "prompt is too long: 9 tokens, and 4 fit" == told_of("9 tokens, and 4 fit")


def told_of(message: str) -> str:
    error = StatusError(message, status=400, code="context_length_exceeded")
    return str(json.loads(ANTHROPIC_MESSAGES.encode_error(error)[2])["error"]["message"])


#: What servers say, and the tokens that do not fit: by these numbers Claude Code asks again for a shorter answer, or shortens
#: the conversation by as much.
LIMIT = "This model's maximum context length is 65536 tokens. However, "
TOO_LONG = {
    "the embedded engine": (
        "This model's maximum context length is 4096 tokens, one of them for the answer, and the text resulted in 9027 tokens",
        "9027 tokens > 4096 maximum",
    ),
    "OpenAI": (f"{LIMIT}you requested 66434 tokens (58242 in the messages, 8192 in the completion).", "58242 + 8192 > 65536"),
    "vLLM": (
        "'max_tokens' is too large: 64000. The maximum context length is 20000 tokens and your request has 16614 input tokens.",
        "16614 + 64000 > 20000",
    ),
    "vLLM of 2026": (
        f"{LIMIT}you requested 32000 output tokens and your prompt contains at least 49073 input tokens.",
        "49073 + 32000 > 65536",
    ),
    "SGLang": (
        "Exceeds the maximum context length of 65536: 60462 tokens from the messages and 32000 tokens for the completion.",
        "60462 + 32000 > 65536",
    ),
    "TGI": (
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 `inputs` tokens and 2000 `max_new_tokens`",
        "3000 + 2000 > 4096",
    ),
    "a prompt that fits in no case": (
        f"{LIMIT}you requested 90000 tokens (81808 in the messages, 8192 in the completion).",
        "81808 tokens > 65536 maximum",
    ),
    "llama.cpp": (
        "request (24071 tokens) exceeds the available context size (8192 tokens), try increasing it",
        "24071 tokens > 8192 maximum",
    ),
    "SGLang, a prompt": (
        "The input (233864 tokens) is longer than the model's context length (202752 tokens).",
        "233864 tokens > 202752 maximum",
    ),
    "MLX": ("Prompt too long: 32799 tokens exceeds max context window of 32768 tokens", "32799 tokens > 32768 maximum"),
    "DashScope": ("Input length (121079) exceeds model's maximum context length (120000).", "121079 tokens > 120000 maximum"),
    "vLLM's engine": (
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        "5000 tokens > 4096 maximum",
    ),
    "Gemini": (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "1200000 tokens > 1048576 maximum",
    ),
    "xAI": (
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "537812 tokens > 131072 maximum",
    ),
}


@pytest.mark.parametrize(("message", "numbers"), TOO_LONG.values(), ids=TOO_LONG)
def test_how_much_too_long_is_told_in_the_vendors_words(message: str, numbers: str) -> None:
    """With the server's own behind them."""
    told = told_of(message)

    if "+" in numbers:
        assert told.startswith(f"input length and `max_tokens` exceed context limit: {numbers}, decrease input length or")
    else:
        assert told.startswith(f"prompt is too long: {numbers} (")
    assert told.endswith(f"({message})")


@pytest.mark.parametrize(
    "message",
    ["prompt is too long: 208310 tokens > 200000 maximum", "input length and `max_tokens` exceed context limit: 9 + 9 > 10"],
)
def test_the_vendors_own_words_stay(message: str) -> None:
    """A server of the same API said them."""
    assert message == told_of(message)


def test_numbers_that_would_fit_are_not_told() -> None:
    """Then they are others than were meant."""
    message = "maximum context length is 4096 tokens; 9 input tokens"

    assert f"prompt is too long: {message}" == told_of(message)
