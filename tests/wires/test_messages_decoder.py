"""Streams of the Messages API: tables of bytes and events, each cut at every byte and at random."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import IncompleteStreamError, StreamError
from autonomousai.events import Extra, FinishReason, ForeignEvent, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.wires.anthropic_messages.block_reader import BEGUN_TWICE
from autonomousai.wires.registry import ANTHROPIC_MESSAGES
from tests.wires.conftest import NEW_ID
from tests.wires.cutting import cuts, every_byte, pieces
from tests.wires.messages_streams import (
    PING,
    STOP,
    WIRE,
    MessageOutcome,
    arguments,
    block,
    delta,
    end,
    reason_of,
    signature,
    sse,
    start,
    stop,
    stopped,
    text,
    thought,
)

M = Started("m")
END = stopped()


def opens(**content_block: Any) -> Extra:
    return Extra({"content_block": content_block}, 0, WIRE)


def says(**said: Any) -> Extra:
    return Extra({"delta": said}, 0, WIRE)


def signed(thought: str) -> Extra:
    """A signature, with what it is for."""
    return Extra({"delta": {"type": "signature_delta", "signature": "s"}, "thought": thought}, 0, WIRE)


#: What comes, and the events that it is.
#: Blocks as servers write them that leave out the type.
UNTYPED: list[Any] = [{"thinking": "h"}, {"text": "a"}, {"id": "x", "name": "f", "input": {"a": 1}}]

STREAMS: dict[str, tuple[bytes, list[Any]]] = {
    "text": (sse(start(), block(), text("Hel"), text("lo"), stop(), end(), STOP), [M, "Hel", "lo", END]),
    "pings and comments": (
        sse(PING, start(), PING, block(), b": hm\n\n", text("a"), PING, stop(), end(), STOP),
        [M, "a", END],
    ),
    "with carriage returns": (
        sse(start(), block(), text("a"), stop(), end(), STOP).replace(b"\n", b"\r\n"),
        [M, "a", END],
    ),
    "without event lines": (
        sse(start(), block(), text("a"), text("b"), stop(), end(), STOP).replace(b"event: ", b"id: "),
        [M, "a", "b", END],
    ),
    "the type of the data alone counts": (
        sse(start(), block(), text("a"), stop(), end(), STOP).replace(b"event: content_block_delta", b"event: whatever"),
        [M, "a", END],
    ),
    "thinking": (
        sse(
            start(), block(kind="thinking"), thought("hm"), signature("s"), stop(), block(1), text("a", 1), stop(1), end(), STOP
        ),
        [M, Reasoning("hm"), signed("hm"), "a", END],
    ),
    "thinking that is not shown": (
        sse(start(), block(kind="thinking"), signature("s"), stop(), block(1), text("a", 1), stop(1), end(), STOP),
        [
            M,
            opens(type="thinking", thinking="", signature=""),
            signed(""),
            "a",
            END,
        ],
    ),
    "redacted thinking": (
        sse(start(), block(kind="redacted_thinking", data="x"), stop(), block(1), text("a", 1), stop(1), end(), STOP),
        [M, opens(type="redacted_thinking", data="x"), "a", END],
    ),
    "two texts in a row": (
        sse(start(), block(), text("a"), stop(), block(1), text("b", 1), stop(1), end(), STOP),
        [M, "a", opens(type="text", text=""), "b", END],
    ),
    "an empty text": (
        sse(start(), block(), text(""), stop(), block(1, "tool_use"), arguments("{}", 1), stop(1), end("tool_use"), STOP),
        [
            M,
            opens(type="text", text=""),
            ToolCallDelta(0, "toolu_1", "f"),
            ToolCallDelta(0, arguments="{}"),
            stopped("tool_use"),
        ],
    ),
    "two calls": (
        sse(
            start(),
            block(0, "tool_use"),
            arguments(""),
            arguments('{"a"'),
            arguments(":1}"),
            stop(),
            block(1, "tool_use"),
            stop(1),
            end("tool_use"),
            STOP,
        ),
        [
            M,
            ToolCallDelta(0, "toolu_0", "f"),
            ToolCallDelta(0, arguments='{"a"'),
            ToolCallDelta(0, arguments=":1}"),
            ToolCallDelta(1, "toolu_1", "f"),
            ToolCallDelta(1, arguments="{}"),
            stopped("tool_use"),
        ],
    ),
    "a call whose input comes at once": (
        sse(start(), block(0, "tool_use", input={"a": "ä"}), stop(), end("tool_use"), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), ToolCallDelta(0, arguments='{"a":"ä"}'), stopped("tool_use")],
    ),
    **{
        f"arguments that {how}": (
            sse(start(), block(0, "tool_use"), *[arguments(said) for said in pieces], stop(), end("tool_use"), STOP),
            [M, ToolCallDelta(0, "toolu_0", "f"), *[ToolCallDelta(0, arguments=said) for said in new], stopped("tool_use")],
        )
        for how, pieces, new in (
            ("grow from piece to piece", ('{"a"', '{"a":1', '{"a":1}'), ('{"a"', ":1", "}")),
            ("come once more at the end", ('{"a":', "1}", '{"a":1}'), ('{"a":', "1}")),
            ("are {} alone", ("{}",), ("{}",)),
            ("hold an object of the same name", ('{"a":', '{"a":', "1}}"), ('{"a":', '{"a":', "1}}")),
        )
    },
    "a text that ends when a call has begun": (
        sse(start(), block(0), text("a"), block(1, "tool_use"), stop(0), arguments("{}", 1), stop(1), end("tool_use"), STOP),
        [M, "a", ToolCallDelta(0, "toolu_1", "f"), ToolCallDelta(0, arguments="{}"), stopped("tool_use")],
    ),
    "the same, of a call with arguments": (
        sse(start(), block(0), text("a"), block(1, "tool_use"), stop(0), arguments('{"a":1}', 1), stop(1), end(), STOP),
        [M, "a", ToolCallDelta(0, "toolu_1", "f"), ToolCallDelta(0, arguments='{"a":1}'), END],
    ),
    "blocks without a type": (
        sse(start(), *[{"type": "content_block_start", "content_block": held} for held in UNTYPED], end(), STOP),
        [M, Reasoning("h"), "a", ToolCallDelta(0, "x", "f"), ToolCallDelta(0, arguments='{"a":1}'), END],
    ),
    "a call whose end is left out": (
        sse(start(), block(0, "tool_use"), block(1), text("a", 1), end(), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), "a", ToolCallDelta(0, arguments="{}"), END],
    ),
    "a text in the midst of a call": (
        sse(start(), block(0, "tool_use"), text("a"), arguments('{"b"'), text("c"), arguments(":1}"), stop(), end(), STOP),
        [
            M,
            ToolCallDelta(0, "toolu_0", "f"),
            "a",
            ToolCallDelta(0, arguments='{"b"'),
            "c",
            ToolCallDelta(0, arguments=":1}"),
            END,
        ],
    ),
    "a call that a text block interrupts": (
        sse(start(), block(0, "tool_use"), block(1), text("a", 1), arguments("[]", 0), stop(1), stop(0), end(), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), "a", ToolCallDelta(0, arguments="[]"), END],
    ),
    "a call without an id": (
        sse(start(), block(0, "tool_use", id=None), stop(), end("tool_use"), STOP),
        [M, ToolCallDelta(0, NEW_ID, "f"), ToolCallDelta(0, arguments="{}"), stopped("tool_use")],
    ),
    "arguments as an object": (
        sse(start(), block(0, "tool_use"), arguments({"a": 1}), stop(), end("tool_use"), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), ToolCallDelta(0, arguments='{"a":1}'), stopped("tool_use")],
    ),
    "calls that interleave": (
        sse(start(), block(0, "tool_use"), block(1, "tool_use"), arguments("{", 0), arguments("[", 1), end("tool_use"), STOP),
        [
            M,
            ToolCallDelta(0, "toolu_0", "f"),
            ToolCallDelta(1, "toolu_1", "f"),
            ToolCallDelta(0, arguments="{"),
            ToolCallDelta(1, arguments="["),
            stopped("tool_use"),
        ],
    ),
    "calls that interleave, the first without arguments": (
        sse(start(), block(0, "tool_use"), block(1, "tool_use"), stop(0), arguments("{", 1), stop(1), end("tool_use"), STOP),
        [
            M,
            ToolCallDelta(0, "toolu_0", "f"),
            ToolCallDelta(1, "toolu_1", "f"),
            ToolCallDelta(0, arguments="{}"),
            ToolCallDelta(1, arguments="{"),
            stopped("tool_use"),
        ],
    ),
    "a member of a call that is not known": (
        sse(start(), block(0, "tool_use", caller={"type": "direct"}), stop(), end("tool_use"), STOP),
        [
            M,
            opens(type="tool_use", id="toolu_0", name="f", input={}, caller={"type": "direct"}),
            ToolCallDelta(0, "toolu_0", "f"),
            ToolCallDelta(0, arguments="{}"),
            stopped("tool_use"),
        ],
    ),
    "a block of the server's own": (
        sse(
            start(),
            block(0, "server_tool_use", id="s", name="web_search", input={}),
            arguments('{"query":1}'),
            stop(),
            block(1, "web_search_tool_result", tool_use_id="s", content=[{"url": 1}]),
            stop(1),
            block(2, citations=[]),
            delta(2, "citations_delta", citation={"url": 1}),
            text("a", 2),
            stop(2),
            end(),
            STOP,
        ),
        [
            M,
            opens(type="server_tool_use", id="s", name="web_search", input={}),
            says(type="input_json_delta", partial_json='{"query":1}'),
            opens(type="web_search_tool_result", tool_use_id="s", content=[{"url": 1}]),
            opens(type="text", text="", citations=[]),
            says(type="citations_delta", citation={"url": 1}),
            "a",
            END,
        ],
    ),
    "unknown members of the message wait for its first block": (
        sse(start(container={"id": 1}), PING, block(), text("a"), stop(), end(), STOP),
        [M, Extra({"message_start": {"container": {"id": 1}}}, 0, WIRE), "a", END],
    ),
    "the counts of the beginning": (
        sse(start(usage={"input_tokens": 3}), PING, block(), text("a"), stop(), end(), STOP),
        [M, Extra({"message_start": {"usage": {"input_tokens": 3}}}, 0, WIRE), "a", END],
    ),
    "unknown members beside the parts": (
        sse(
            {**start(), "x": 1},
            {**block(), "x": 2},
            {**text("a"), "x": 3},
            {**text("b", y=4), "x": 3},
            stop(x=5),
            end(context_management={"x": 6}),
            {**STOP, "metrics": 7},
        ),
        [
            M,
            Extra({"message_start": {}, "event": {"x": 1}}, 0, WIRE),
            Extra({"content_block": {"type": "text", "text": ""}, "event": {"x": 2}}, 0, WIRE),
            Extra({"delta": {}, "event": {"x": 3}}, 1, WIRE),
            "a",
            Extra({"delta": {"y": 4}, "event": {"x": 3}}, 1, WIRE),
            "b",
            Extra({"content_block_stop": {"x": 5}}, 0, WIRE),
            Extra(
                {
                    "message_delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "event": {"context_management": {"x": 6}},
                },
                0,
                WIRE,
            ),
            Extra({"message_stop": {"metrics": 7}}, 0, WIRE),
        ],
    ),
    "an event of an unknown type": (
        sse(
            b'event: custom\ndata: {"type": "custom"}\n\n',
            start(),
            block(),
            text("a"),
            b"event: odd\ndata: hm\n\n",
            end(),
            STOP,
        ),
        [M, ForeignEvent("custom", b'{"type": "custom"}', WIRE), "a", ForeignEvent("odd", b"hm", WIRE), END],
    ),
    "no message_start": (sse(block(), text("a"), stop(), end(), STOP), [Started(), "a", END]),
    "no blocks begin": (
        sse(start(), thought("hm"), text("a"), arguments("{}"), end("tool_use"), STOP),
        [
            M,
            Reasoning("hm"),
            "a",
            ToolCallDelta(0, NEW_ID, ""),
            ToolCallDelta(0, arguments="{}"),
            stopped("tool_use"),
        ],
    ),
    "text in the beginning of a block": (
        sse(start(), block(text="Hel"), text("lo"), stop(), end(), STOP),
        [M, "Hel", "lo", END],
    ),
    "text in the beginning of the message": (
        sse(start(content=[{"type": "text", "text": "Hello"}]), end(), STOP),
        [M, "Hello", END],
    ),
    "a gap in the indices, and none": (
        sse(start(), block(3), text("a", 3), stop(3), block(None), text("b", None), stop(None), end(), STOP),
        [M, "a", opens(type="text", text=""), "b", END],
    ),
    "halves of a character": (
        sse(start(), block(), text("a\ud83d"), text("\ude00"), text("\ud83d"), stop(), end(), STOP),
        [M, "a", "😀", "\ufffd", END],
    ),
    "halves of a character in thoughts, and in arguments": (
        sse(
            *[start(), block(kind="thinking", thinking=""), thought("\ud83d"), thought("\ude00"), stop()],
            *[block(1, "tool_use"), arguments("\ud83d", 1), arguments("\ude00", 1), arguments("\ud83d", 1), stop(1)],
            *[end("tool_use"), STOP],
        ),
        [
            *[M, Reasoning("😀"), ToolCallDelta(0, "toolu_1", "f")],
            *[ToolCallDelta(0, arguments="😀"), ToolCallDelta(0, arguments="\ufffd"), stopped("tool_use")],
        ],
    ),
    "deltas without a type": (
        sse(start(), *[delta(None, None, **said) for said in ({"thinking": "hm"}, {"text": "a"})], end(), STOP),
        [M, Reasoning("hm"), "a", END],
    ),
    "an input that is text": (
        sse(start(), block(0, "tool_use", input='{"a":1}'), stop(), end("tool_use"), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), ToolCallDelta(0, arguments='{"a":1}'), stopped("tool_use")],
    ),
    "a reason beside the delta": (
        sse(start(), block(), text("a"), stop(), {"type": "message_delta", "stop_reason": "end_turn"}, STOP),
        [M, "a", END],
    ),
    "thinking in a block of text": (
        sse(start(), block(), thought("hm"), text("a"), stop(), end(), STOP),
        [M, opens(type="text", text=""), Reasoning("hm"), "a", END],
    ),
    "a first piece that begins the block, and comes once more": (
        sse(
            start(),
            block(text="Hel"),
            text("Hel"),
            text("Hel"),
            stop(),
            block(1, "thinking", thinking="h"),
            thought("hm", 1),
            STOP,
        ),
        [M, "Hel", "Hel", Reasoning("h"), Reasoning("m")],
    ),
    "a first piece that is no word, and follows itself": (
        sse(start(), block(text="1"), text("1"), stop(), block(1, text="\n"), text("\n2", 1), stop(1), end(), STOP),
        [M, "1", "1", opens(type="text", text=""), "\n", "\n2", END],
    ),
    "two calls of one id": (
        sse(start(), block(0, "tool_use"), stop(), block(1, "tool_use", id="toolu_0"), stop(1), end("tool_use"), STOP),
        [
            M,
            ToolCallDelta(0, "toolu_0", "f"),
            ToolCallDelta(0, arguments="{}"),
            ToolCallDelta(1, NEW_ID, "f"),
            ToolCallDelta(1, arguments="{}"),
            stopped("tool_use"),
        ],
    ),
    "arguments that are JSON twice": (
        sse(start(), block(0, "tool_use"), arguments('"{\\"a\\"'), arguments(':1}"'), stop(), end("tool_use"), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), ToolCallDelta(0, arguments='{"a":1}'), stopped("tool_use")],
    ),
    "arguments that are half a text": (
        sse(start(), block(0, "tool_use"), arguments('"{'), stop(), end("max_tokens"), STOP),
        [M, ToolCallDelta(0, "toolu_0", "f"), ToolCallDelta(0, arguments='"{'), stopped("max_tokens")],
    ),
    "nothing but an end": (sse(start(), end(), STOP), [M, END]),
    "a sentinel of another wire": (sse(start(), block(), text("a"), stop(), end(), b"data: [DONE]\n\n"), [M, "a", END]),
    "no message_stop": (sse(start(), block(), text("a"), stop(), end()), [M, "a", END]),
    "no blank line at the end": (sse(start(), block(), text("a"), end())[:-2], [M, "a", END]),
    "a reason that is none": (sse(start(), block(), text("a"), stop(), end(None), end("end_turn"), STOP), [M, "a", END]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_these_events(name: str) -> None:
    """Cut at every byte or nowhere."""
    data, expected = STREAMS[name]

    outcome = MessageOutcome(data)

    assert expected == outcome.events
    assert isinstance(outcome.finish, FinishReason)
    assert outcome == MessageOutcome(*every_byte(data))


@given(name=st.sampled_from(sorted(STREAMS)), where=cuts)
def test_however_it_is_cut_the_events_are_the_same(name: str, where: list[int]) -> None:
    """Any two splits give one answer."""
    data, _ = STREAMS[name]

    assert MessageOutcome(data) == MessageOutcome(*pieces(data, where))


def test_a_cut_answer_is_never_taken_for_a_whole_one() -> None:
    """Only what holds a stop reason has a finish; what has come is a beginning of the text."""
    data = sse(start(), PING, block(), *(text(f" wörd{number}") for number in range(4)), stop(), end(), STOP)
    proven = data.index(b"\n\n", data.index(b"message_delta", data.index(b"event: message_delta") + 8))

    for cut in range(len(data)):
        outcome = MessageOutcome(data[:cut])

        assert (cut >= proven) == (outcome.finish is not None)
        assert " wörd0 wörd1 wörd2 wörd3".startswith("".join(map(str, outcome.events)))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_reasons_are_in_the_words_of_chat_completions(said: str, reason: str) -> None:
    """One that they have no word for stays what it is."""
    outcome = MessageOutcome(sse(start(), block(), text("a"), stop(), end(said, "END"), STOP))

    assert (reason, stopped(said, "END")) == (reason_of(outcome), outcome.events[-1])


def test_that_first_words_came_twice_is_noted() -> None:
    """The report has it: a server may have meant both."""
    twice = MessageOutcome(sse(start(), block(text="Ha"), text("Ha!"), stop(), end(), STOP))
    once = MessageOutcome(sse(start(), block(text="2"), text("2"), stop(), end(), STOP))

    assert twice.finish is not None
    assert once.finish is not None
    assert ("Ha!", (BEGUN_TWICE,)) == ("".join(map(str, twice.events)), twice.finish.notes)
    assert ("22", ()) == ("".join(map(str, once.events)), once.finish.notes)


def test_a_reason_ends_the_answer_and_message_stop_completes_it() -> None:
    """Before either nothing is proven; a server that ends without a reason names none."""
    stream = MessageOutcome.decoder()
    seen = []
    for data in (sse(start(), block(), text("a")), sse(stop(), end()), sse(STOP)):
        stream.feed(data)
        seen.append((stream.ending, stream.is_proven, stream.complete))
    without = MessageOutcome(sse(start(), block(), text("a"), stop(), STOP))

    assert [(False, False, False), (True, True, False), (True, True, True)] == seen
    assert without.finish is not None
    assert (None, "done") == (without.finish.reason, without.finish.evidence)


#: What does not end well: bytes, the class of the error, its code or type, and whether asking again can help.
FAILURES: dict[str, tuple[bytes, type[Exception], str | None, bool | None]] = {
    "nothing": (b"", IncompleteStreamError, None, None),
    "cut": (sse(start(), block(), text("a")), IncompleteStreamError, None, None),
    "a stop behind nothing": (sse(STOP), IncompleteStreamError, None, None),
    "an error first": (
        sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        StreamError,
        "overloaded_error",
        True,
    ),
    "an error in the midst": (
        sse(start(), block(), text("a"), {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}),
        StreamError,
        "rate_limit_error",
        True,
    ),
    "an error after the reason": (
        sse(start(), block(), text("a"), end(), {"type": "error", "error": {"type": "api_error", "message": "late"}}),
        StreamError,
        "api_error",
        True,
    ),
    "an error that lasts": (
        sse(start(), {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}),
        StreamError,
        "invalid_request_error",
        False,
    ),
    "a request that is too large": (
        sse(start(), {"type": "error", "error": {"type": "request_too_large", "message": "no"}}),
        StreamError,
        "request_too_large",
        False,
    ),
    "an error by its event's type": (b'event: error\ndata: {"message": "no"}\n\n', StreamError, None, True),
    "an error that is no JSON": (b"event: error\ndata: no\n\n", StreamError, None, True),
    "an error of OpenAI's": (
        sse(start(), b'data: {"error": {"message": "no", "type": "server_error"}}\n\n'),
        StreamError,
        "server_error",
        True,
    ),
    "an event that cannot be read": (sse(start(), block(), b"data: {]\n\n", end(), STOP), StreamError, None, True),
    "another message in the midst": (
        sse(start(), block(), text("a"), start(id="msg_2"), block(), text("b"), stop(), end(), STOP),
        StreamError,
        None,
        True,
    ),
    "a reason that reports a failure": (sse(start(), block(), text("a"), end("error"), STOP), StreamError, None, True),
}


def test_a_beginning_that_is_repeated_begins_nothing() -> None:
    """Some gateways send it twice, with one id; before the first word even another one is none."""
    outcome = MessageOutcome(
        sse(start(id="msg_0"), start(), start(), block(), text("a"), start(), text("b"), stop(), end(), STOP)
    )

    assert ["a", "b"] == [event for event in outcome.events if isinstance(event, str)]
    assert outcome.error is None


@pytest.mark.parametrize("name", FAILURES)
def test_what_does_not_end_well_is_an_error(name: str) -> None:
    """With the vendor's type; cut at every byte or nowhere."""
    data, kind, named, retryable = FAILURES[name]

    outcome = MessageOutcome(data)

    assert outcome.finish is None
    assert type(outcome.error) is kind
    assert named in (None, outcome.error.type)
    if retryable is not None:
        assert retryable == outcome.error.retryable
    assert outcome == MessageOutcome(*every_byte(data))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 2}, Usage(3, 2, 5)),
        ({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 3, "output_tokens": 2}, Usage(3, 2, 5)),
        ({"input_tokens": 3}, {"input_tokens": 0, "output_tokens": 2}, Usage(3, 2, 5)),
        (None, {"output_tokens": 2}, Usage(0, 2, 2)),
        ({"input_tokens": 3, "output_tokens": 1}, {}, Usage(3, 1, 4)),
        (None, {}, None),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "service_tier": "standard"},
            {
                "output_tokens": 2,
                "output_tokens_details": {"thinking_tokens": 1},
                "server_tool_use": {"web_search_requests": 1},
            },
            Usage(
                111,
                2,
                113,
                100,
                1,
                {
                    "cache_creation_input_tokens": 10,
                    "service_tier": "standard",
                    "output_tokens_details": {"thinking_tokens": 1},
                    "server_tool_use": {"web_search_requests": 1},
                },
            ),
        ),
        (
            {"input_tokens": 1, "cache_read_input_tokens": 5},
            {"output_tokens": 2, "cache_read_input_tokens": None},
            Usage(6, 2, 8, 5),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 0},
            {"completion_tokens": 2},
            Usage(3, 2, 5, extra={"prompt_tokens": 3, "completion_tokens": 2}),
        ),
        ({"input_tokens": "3", "output_tokens": True}, {"output_tokens": 2.0}, Usage(0, 2, 2)),
    ],
)
def test_usage_is_cumulative(first: Any, last: Any, expected: Usage | None) -> None:
    """That of the beginning and that of the end are one; the prompt includes what caches held."""
    outcome = MessageOutcome(sse(start(usage=first), block(), text("a"), stop(), end(usage=last), STOP))

    assert outcome.finish is not None
    assert expected == outcome.finish.usage


def test_a_beginning_says_nothing() -> None:
    """It is told with what comes first, so that no clock of an answer that goes on is wound by it."""
    stream = MessageOutcome.decoder()

    said = [stream.feed(sse(event)) for event in (start(x=1), PING, block(), text("a"))]

    assert [[], [], [M, Extra({"message_start": {"x": 1}}, 0, WIRE)], ["a"]] == said


def test_what_our_own_servers_add_is_read() -> None:
    """The object at the end; and while an answer is repaired, a number that grows."""
    stream = MessageOutcome.decoder()
    stream.feed(sse(start(), block(), text("a"), {**PING, "x_autonomousai": {"progress": 2}}))
    progress = stream.progress
    stream.reopen()
    stream.feed(sse(stop(), end(x_autonomousai={"length": 1}), STOP))

    assert (2, {"length": 1}) == (progress, stream.extension)
    assert stream.progress == 0


def test_bytes_that_are_no_utf8_are_replaced_and_noted() -> None:
    """The text keeps its place for them."""
    outcome = MessageOutcome(sse(start(), block(), text("axb"), stop(), end(), STOP).replace(b"axb", b"a\xffb"))

    assert [M, "a\ufffdb", END] == outcome.events
    assert outcome.finish is not None
    assert ("bytes that are no UTF-8 were replaced by U+FFFD",) == outcome.finish.notes


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.text(max_size=3) | st.sampled_from([1.5, 10**20, "\ud83d"]),
    lambda value: st.lists(value, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id"]), value, max_size=2),
    max_leaves=4,
)
TYPES = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"),
        *("ping", "error", "custom", "text", "thinking", "tool_use", "text_delta", "thinking_delta", "input_json_delta"),
    ]
)
OBJECTS = st.fixed_dictionaries(
    {"type": TYPES}, optional={"text": VALUES, "thinking": VALUES, "partial_json": VALUES, "id": VALUES}
)
EVENTS = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        "message": VALUES | st.fixed_dictionaries({}, optional={"content": VALUES, "usage": VALUES, "model": VALUES}),
        "index": VALUES,
        "content_block": VALUES | OBJECTS,
        "delta": VALUES | OBJECTS,
        "usage": VALUES,
        "error": VALUES,
    },
)


@given(events=st.lists(EVENTS | VALUES, max_size=6), where=cuts)
def test_no_stream_raises_and_every_split_of_it_is_the_same(events: list[Any], where: list[int]) -> None:
    """Whatever JSON it is made of."""
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)

    assert MessageOutcome(data) == MessageOutcome(*pieces(data, where))


@pytest.mark.parametrize(
    ("content", "reason", "expected"),
    [
        ({"type": "tool_use", "id": "a", "name": "f", "input": {}}, "end_turn", "tool_calls"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": {}}, "tool_use", "tool_calls"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": {}}, "max_tokens", "length"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": {}}, None, "tool_calls"),
        ({"type": "text", "text": "a"}, "end_turn", "stop"),
    ],
)
def test_an_answer_with_calls_asks_for_them(content: Any, reason: str, expected: str) -> None:
    """Also where its server says that the turn has ended: readers of chat completions run tools only where they are told."""
    document = {"type": "message", "model": "m", "content": [content], "stop_reason": reason, "usage": {}}
    last = ANTHROPIC_MESSAGES.decode_answer(json.dumps(document).encode())[-1]
    decoder = ANTHROPIC_MESSAGES.decoder()
    opening = {"type": "content_block_start", "index": 0, "content_block": content}
    decoder.feed(sse(start(), opening, stop(), {"type": "message_delta", "delta": {"stop_reason": reason}}, STOP))

    assert isinstance(last, FinishReason)
    assert expected == last.reason == decoder.finish().reason


@pytest.mark.parametrize("content", ["a", ["a"], [{"text": "a"}], [{"type": "text", "text": "a"}]])
@pytest.mark.parametrize("wrapped", [None, "data", "result"])
def test_a_document_is_read_in_any_form(content: Any, wrapped: str | None) -> None:
    """Texts in place of blocks, blocks without a type, and all of it in an object of a gateway's own."""
    message: Any = {"type": "message", "model": "m", "content": content, "stop_reason": "end_turn"}
    document = {"code": 0, wrapped: message} if wrapped else message

    assert "a" in ANTHROPIC_MESSAGES.decode_answer(json.dumps(document).encode())
