"""Whole answers: read in every shape that servers send, written in one, and an answer that says nothing is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import IncompleteStreamError, StreamError
from autonomousai.events import Batch, ChoiceEvent, FinishReason, Reasoning, Refusal, Started, ToolCallDelta, Usage
from autonomousai.wires.openai_chat.completion import decode_completion, encode_completion
from tests.wires.answers import USAGE, Json, plain
from tests.wires.conftest import NEW_ID

COUNTED = Usage(3, 2, 5)
STOP = FinishReason("stop", "finish_reason", COUNTED, "m")
CALLS = FinishReason("tool_calls", "finish_reason", COUNTED, "m")
CALLED = FinishReason("tool_calls", "finish_reason", COUNTED, "m")


def completion(message: Any = None, reason: Any = "stop", **more: Any) -> Json:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE} | more


def says(content: Any, reason: Any = "stop", **more: Any) -> Json:
    return completion({"role": "assistant", "content": content}, reason, **more)


CALL = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}

#: what it shows, document, events after `Started`
CASES: list[tuple[str, Json, Batch]] = [
    ("a text", says("hello"), ["hello", STOP]),
    ("no text", says(""), [STOP]),
    ("null and a tool call", completion({"content": None, "tool_calls": [CALL]}), [ToolCallDelta(0, "x", "f", "{}"), CALLS]),
    (
        "several tool calls",
        completion({"content": "a", "tool_calls": [CALL, CALL | {"id": "y"}, {"function": {"name": "g"}}]}),
        ["a", ToolCallDelta(0, "x", "f", "{}"), ToolCallDelta(1, "y", "f", "{}"), ToolCallDelta(2, NEW_ID, "g", ""), CALLS],
    ),
    (
        "one message in several choices of no index",
        completion(
            choices=[
                {"message": {"content": "a"}, "finish_reason": "stop"},
                {"message": {"content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"},
                {"message": {"tool_calls": [CALL, CALL | {"id": "y"}]}, "finish_reason": "tool_calls"},
            ]
        ),
        ["a", ToolCallDelta(0, "x", "f", "{}"), ToolCallDelta(1, "y", "f", "{}"), CALLED],
    ),
    (
        "one message in several choices of one index",
        completion(
            choices=[
                {"index": 0, "message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"},
                {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
            ]
        ),
        ["a", ToolCallDelta(0, "x", "f", "{}"), CALLED],
    ),
    (
        "a choice that is alone",
        completion(choices=[{"index": 1, "message": {"content": "a"}, "finish_reason": "stop"}]),
        ["a", STOP],
    ),
    (
        "calls run into one another",
        completion({"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": '{"a":1}{"a":2}'}}, CALL | {"id": "y"}]}),
        [
            ToolCallDelta(0, "x", "f", '{"a":1}'),
            ToolCallDelta(1, NEW_ID, "f", '{"a":2}'),
            ToolCallDelta(2, "y", "f", "{}"),
            CALLS,
        ],
    ),
    (
        "a function call of old",
        completion({"function_call": {"name": "f", "arguments": "{}"}}),
        [ToolCallDelta(0, NEW_ID, "f", "{}"), CALLS],
    ),
    ("reasoning", completion({"reasoning_content": "hm", "content": "a"}), [Reasoning("hm"), "a", STOP]),
    (
        "reasoning in details",
        completion({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "content": "a"}),
        [Reasoning("hm"), "a", STOP],
    ),
    (
        "arguments that are JSON twice",
        completion(
            {"content": None, "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": '"{}"'}}]}
        ),
        [ToolCallDelta(0, "x", "f", "{}"), CALLS],
    ),
    ("a refusal", completion({"content": None, "refusal": "no"}), [Refusal("no"), STOP]),
    ("content in parts", says([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), ["ab", STOP]),
    ("an older completion", completion(choices=[{"text": "a", "finish_reason": "stop"}]), ["a", STOP]),
    ("reason at the top level", says("a", None, finish_reason="stop"), ["a", STOP]),
    ("no reason", says("a", None), ["a", FinishReason(None, "body", COUNTED, "m")]),
    (
        "a reason alone",
        completion(choices=[{"finish_reason": "content_filter"}]),
        [FinishReason("content_filter", "finish_reason", COUNTED, "m")],
    ),
    ("no usage", says("a", usage=None), ["a", FinishReason("stop", "finish_reason", None, "m")]),
    ("no model", says("a", model=None), ["a", FinishReason("stop", "finish_reason", COUNTED, None)]),
    (
        "the first choice",
        completion(
            choices=[
                {"index": 1, "message": {"content": "b"}},
                {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
            ]
        ),
        ["a", STOP],
    ),
    ("two firsts", completion(choices=[{"message": {"content": c}, "finish_reason": "stop"} for c in "ab"]), ["a", STOP]),
    ("halves of characters", says("a\ud83d\ude00\ud83d"), ["a😀", "\ufffd", STOP]),
]


@pytest.mark.parametrize(("document", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize(
    "around", [b"%b", b"\n\n \r\n%b\n", b"\xef\xbb\xbf%b"], ids=["bare", "with keep-alive lines", "with a BOM"]
)
def test_read(document: Json, expected: Batch, around: bytes) -> None:
    """A document brings `Started`, what its first choice says, and the end that the document proves."""
    events = decode_completion(around % json.dumps(document).encode())

    assert (Started(document["model"]), expected) == (events[0], plain(events))


def test_answers_without_an_index_are_several() -> None:
    """Each with another text, by their place: nothing that came is lost."""
    document = completion(choices=[{"message": {"content": each}, "finish_reason": "stop"} for each in "ab"])
    events = decode_completion(json.dumps(document).encode())

    assert ["a", ChoiceEvent(1, "b"), ChoiceEvent(1, FinishReason("stop", "finish_reason")), STOP] == events[1:]


def test_the_input_of_a_custom_tool_comes_in_pieces() -> None:
    """They are joined, and such a call has no function; other members are said again and again."""
    begun = {"index": 0, "id": "x", "type": "custom", "custom": {"name": "run", "input": ""}, "extra_content": {"s": "t"}}
    said = [begun, *[{"index": 0, "custom": {"input": piece}, "extra_content": {"s": "t"}} for piece in ("l", "s")]]
    deltas = [{"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in said]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}

    events = decode_completion("\n".join(json.dumps(each) for each in (*deltas, end)).encode())

    (call,) = json.loads(encode_completion(events, id="c", created=0, model="m"))["choices"][0]["message"]["tool_calls"]
    assert {"id": "x", "type": "custom", "custom": {"name": "run", "input": "ls"}, "extra_content": {"s": "t"}} == call


def stream_chunks() -> list[Json]:
    """The chunks of a stream, which some servers send as lines, or as one list."""
    deltas = [({"content": "a"}, None), ({"content": "b"}, None), ({}, "stop")]
    head = {"object": "chat.completion.chunk", "model": "m"}
    return [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas]


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(json.dumps(each) for each in stream_chunks()),
        json.dumps(stream_chunks()),
        json.dumps([says("ab", usage=None)]),
        json.dumps(says("ab", usage=None)) + "\n\ndata: [DONE]\n\n",
        json.dumps({"code": 0, "msg": "ok", "data": says("ab", usage=None)}),
        json.dumps({"success": True, "errors": [], "result": says("ab", usage=None)}),
        json.dumps({"id": None, "choices": None, "model": None, "provider": says("ab", usage=None)}),
    ],
    ids=[
        *(
            "lines of chunks",
            "a list of chunks",
            "a list of one answer",
            "an answer and [DONE]",
            "a gateway's",
            "another one's",
        ),
        "OpenRouter's",
    ],
)
def test_chunks_without_their_framing(body: str) -> None:
    """They are an answer, where they hold its end."""
    events = decode_completion(body.encode())

    assert ("ab", FinishReason("stop", "finish_reason", None, "m")) == (
        "".join(e for e in events if type(e) is str),
        events[-1],
    )


def test_half_of_the_chunks_without_their_framing() -> None:
    """They are none without it, and what came is kept."""
    with pytest.raises(IncompleteStreamError) as caught:
        decode_completion("\n".join(json.dumps(each) for each in stream_chunks()[:2]).encode())

    assert "ab" == caught.value.partial


@pytest.mark.parametrize("reason", ["stop", None])
def test_an_empty_name_is_none(reason: str | None) -> None:
    """Who answers without a name is not called by the empty one, whichever road the document takes."""
    events = decode_completion(json.dumps(says("a", reason, model="")).encode())

    assert (Started(None), "a", None) == (*events[:2], events[-1].model)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b"", "could not be read", "unreadable_event"),
        (b"<html>", "could not be read", "unreadable_event"),
        (b"[]", "could not be read", "unreadable_event"),
        (b"[" * 100_000, "could not be read", "unreadable_event"),
        (json.dumps(says("a")).encode()[:-1], "could not be read", "unreadable_event"),
        (b"{}", "holds no message", "unreadable_event"),
        (b'{"choices": []}', "holds no message", "unreadable_event"),
        (b'{"choices": [{"index": 0}]}', "holds no message", "unreadable_event"),
        (b'{"choices": [{"message": null, "finish_reason": "stop"}]}', "holds no message", "unreadable_event"),
        (b'{"choices": [{"messages": [{"content": "a"}], "finish_reason": "stop"}]}', "holds no message", "unreadable_event"),
        (b'{"code": 500, "msg": "boom", "data": null}', "boom", "500"),
        (b'{"choices": [{"index": 1, "message": {}}, {"index": 2, "message": {}}]}', "holds no message", "unreadable_event"),
        (b'{"error": {"message": "boom", "code": "c"}}', "boom", "c"),
        (b'[{"error": {"message": "boom", "code": "c"}}]', "boom", "c"),
        (b'{"object": "error", "message": "boom", "code": 500}', "boom", "500"),
        (json.dumps(says("a", error={"message": "boom", "code": "c"})).encode(), "boom", "c"),
        (b'{"choices": [{"message": {"content": "a"}, "error": {"message": "boom", "code": "c"}}]}', "boom", "c"),
    ],
)
def test_what_is_no_answer(body: bytes, message: str, code: str) -> None:
    """What cannot be read, says nothing, or is an error in spite of its status, is an error."""
    with pytest.raises(StreamError, match=message) as caught:
        decode_completion(body)

    assert code == caught.value.code
    assert len(str(caught.value)) < 300


def write(events: Batch, **more: Any) -> Json:
    document: Json = json.loads(encode_completion(events, id="c-1", created=1, model="m", **more))
    return document


class TestWritten:
    def test_a_text(self) -> None:
        """Text is joined, and everything stands where OpenAI's clients look for it."""
        document = write([Started("n"), "hel", "lo", STOP])

        assert {
            "id": "c-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "hello", "refusal": None},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": USAGE,
        } == document

    def test_tool_calls(self) -> None:
        """Tool calls are put together; without a text beside them the content is null."""
        deltas = [ToolCallDelta(0, "x", "f", "{"), ToolCallDelta(1, None, "g"), ToolCallDelta(0, None, None, "}")]

        message = write([*deltas, STOP])["choices"][0]["message"]

        assert {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [
                {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": ""}},
            ],
        } == message

    def test_reasoning(self) -> None:
        """Reasoning is there only if there was some; an empty answer is an empty text."""
        message = write([Reasoning("h"), Reasoning("m"), STOP])["choices"][0]["message"]

        assert {"role": "assistant", "content": "", "refusal": None, "reasoning_content": "hm"} == message

    @pytest.mark.parametrize("reason", ["pause_turn", "compaction"])
    def test_a_word_of_the_messages_api(self, reason: str) -> None:
        """Strict clients take none but OpenAI's; the AutonomousAI wire has it as it came."""
        finish = FinishReason(reason, "finish_reason")
        written = write([Started("n"), "a", finish], extension={"length": 1})
        raw = write([Started("n"), "a", finish], finish_reason_at_top=True)

        assert "stop" == written["choices"][0]["finish_reason"]
        assert {"length": 1, "finish_reason": reason} == written["x_autonomousai"]
        assert (reason, reason) == (raw["choices"][0]["finish_reason"], raw["finish_reason"])

    def test_both_places(self) -> None:
        """On the AutonomousAI wire the finish reason stands beside the choices too."""
        document = write([STOP], finish_reason_at_top=True)

        assert ("stop", "stop") == (document["choices"][0]["finish_reason"], document["finish_reason"])

    def test_a_reason_that_nobody_named(self) -> None:
        """It is null, at both places: none is made up."""
        document = write([FinishReason(None, "done")], finish_reason_at_top=True)

        assert (None, None) == (document["choices"][0]["finish_reason"], document["finish_reason"])

    def test_usage(self) -> None:
        """Details are written where they are known; a usage that is not known is left out, for zeros would be a lie."""
        known = write([FinishReason("stop", "finish_reason", Usage(3, 2, 5, 1, 0))])["usage"]
        unknown = write([FinishReason("stop", "finish_reason")])

        details = {"prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 0}}
        assert USAGE | details == known
        assert "usage" not in unknown

    def test_extension(self) -> None:
        """The extension is a field of the document."""
        assert {"length": 1} == write([STOP], extension={"length": 1})["x_autonomousai"]

    def test_no_end(self) -> None:
        """Without a finish reason there is no whole answer to write."""
        with pytest.raises(ValueError, match="FinishReason"):
            write(["a"])


texts = st.text(max_size=5)
calls = st.builds(
    lambda index, name, arguments: ToolCallDelta(index, f"id{index}", name, arguments),
    st.integers(0, 2),
    texts,
    texts,
)
usages = st.none() | st.builds(Usage, *[st.integers(0, 2**31)] * 3, *[st.none() | st.integers(0, 9)] * 2)


@given(
    texts,
    texts,
    st.lists(calls, max_size=3, unique_by=lambda call: call.index),
    st.none() | st.just("stop"),
    usages,
    st.booleans(),
)
def test_round_trip(
    thoughts: str,
    content: str,
    deltas: list[ToolCallDelta],
    reason: str | None,
    usage: Usage | None,
    finish_reason_at_top: bool,
) -> None:
    """What was written is read again: the same text, reasoning, tool calls in order, and end."""
    reason = "tool_calls" if deltas else reason  # whatever the server calls it
    finish = FinishReason(reason, "finish_reason" if reason else "body", usage, "m")
    body = encode_completion(
        [Reasoning(thoughts), content, *deltas, finish],
        id="c-1",
        created=1,
        model="m",
        finish_reason_at_top=finish_reason_at_top,
    )

    events = decode_completion(body)

    ordered = [
        ToolCallDelta(place, delta.id, delta.name, delta.arguments)
        for place, delta in enumerate(sorted(deltas, key=lambda delta: delta.index))
    ]
    said: Batch = [*[Reasoning(thoughts)] * bool(thoughts), *[content] * bool(content), *ordered]
    assert [Started("m"), *said, finish] == events
