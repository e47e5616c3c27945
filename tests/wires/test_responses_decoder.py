"""Answers of upstreams over the Responses wire: what servers send becomes the same events however it is cut, and no end is
believed without proof."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import IncompleteStreamError, StreamError
from autonomousai.events import (
    Annotations,
    Batch,
    Extra,
    FinishReason,
    ForeignEvent,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    Usage,
)
from autonomousai.wires.openai_responses.decoder import EVENTS, ResponsesStreamDecoder
from autonomousai.wires.openai_responses.document import decode_response
from tests.wires.conftest import NEW_ID
from tests.wires.cutting import cuts, every_byte, pieces
from tests.wires.responses import (
    USAGE,
    Json,
    Reading,
    added,
    arguments,
    call,
    completed,
    created,
    delta,
    done,
    event,
    message,
    part,
    response,
    stream,
    summary,
    thought,
)

WIRE = "openai_responses"
Delta = ToolCallDelta
NOTE = {"type": "url_citation", "url": "https://example.com"}
SEARCH: Json = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "q"}}
IMAGE: Json = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "/9j/4AAQ"}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}}
SEALED = thought("a", "b", encrypted_content="sealed")
PROBS = [{"token": "a", "logprob": -0.5}]


def extra(**members: Any) -> Extra:
    return Extra(members, 0, WIRE)


def starts(**members: Any) -> Extra:
    return extra(part={"type": "output_text", **members})


SUMMARY = extra(part={"type": "summary_text", "break": True})
THOUGHT = extra(part={"type": "reasoning_text"})
TEXT_DONE = event("output_text.done", output_index=0, item_id="msg_1", content_index=0, text="Hello")
PART_DONE = event("content_part.done", output_index=0, item_id="msg_1", content_index=0, part=part("Hello", annotations=[NOTE]))


def part_added(text: str) -> Json:
    return event("content_part.added", output_index=0, item_id="msg_1", content_index=0, part=part(text))


#: what it shows; the events before the end; what they become; the reason
ANSWERS: list[tuple[str, list[Json], Batch, str]] = [
    ("a plain answer", [added(message()), delta("Hel"), delta("lo"), TEXT_DONE], ["Hel", "lo"], "stop"),
    (
        "what is done says nothing again",
        [delta("Hel"), delta("lo"), TEXT_DONE, PART_DONE, done(message(part("Hello")))],
        ["Hel", "lo", Annotations([NOTE])],
        "stop",
    ),
    ("deltas alone", [delta("Hel"), delta("lo")], ["Hel", "lo"], "stop"),
    ("a text that is only done", [added(message()), TEXT_DONE], ["Hello"], "stop"),
    ("the end of a text that is only done", [delta("He"), done(message(part("Hello")))], ["He", "llo"], "stop"),
    ("an item that is only done", [done(message(part("Hello")))], ["Hello"], "stop"),
    ("another text when it is done: what was said stands", [delta("Hi"), done(message(part("Hello")))], ["Hi"], "stop"),
    ("texts that say nothing", [delta(""), delta(None), delta(3), delta("a")], ["a"], "stop"),
    (
        "no indices and no ids",
        [event("output_text.delta", delta="a"), event("output_text.delta", delta="b")],
        ["a", "b"],
        "stop",
    ),
    (
        "an id of its own for each event",
        [added(message(id="x1")), delta("a", id="x2"), delta("b", id="x3"), done(message(part("ab"), id="x4"))],
        ["a", "b"],
        "stop",
    ),
    ("a text with which a part is added", [part_added("Hel"), delta("lo"), PART_DONE], ["Hello", Annotations([NOTE])], "stop"),
    ("the same, before pieces that repeat it", [part_added("Hel"), delta("Hel"), delta("lo")], ["Hel", "lo"], "stop"),
    ("the same, of an item that was added", [added(message()), part_added("Hello"), TEXT_DONE], ["Hello"], "stop"),
    ("a text that only the part that is added has", [part_added("Hello")], ["Hello"], "stop"),
    ("pieces behind the item that is done", [done(message(part("Hello"))), delta("Hel"), delta("lo")], ["Hello"], "stop"),
    (
        "arguments behind the item that is done",
        [added(call(arguments="")), done(call(arguments='{"a":1}')), arguments('{"a":1}')],
        [Delta(0, "call_1", "f"), Delta(0, arguments='{"a":1}')],
        "tool_calls",
    ),
    (
        "arguments that grow from piece to piece",
        [added(call(arguments="")), *map(arguments, ('{"a"', '{"a":1', '{"a":1}')), done(call(arguments='{"a":1}'))],
        [Delta(0, "call_1", "f"), *[Delta(0, arguments=said) for said in ('{"a"', ":1", "}")]],
        "tool_calls",
    ),
    (
        "arguments that hold an object of the same name",
        [added(call(arguments="")), *map(arguments, ('{"a":', '{"a":', "1}}")), done(call(arguments='{"a":{"a":1}}'))],
        [Delta(0, "call_1", "f"), *[Delta(0, arguments=said) for said in ('{"a":', '{"a":', "1}}")]],
        "tool_calls",
    ),
    ("a text in a part that is only done", [PART_DONE], ["Hello", Annotations([NOTE])], "stop"),
    (
        "arguments that are JSON twice",
        [added(call(arguments="")), arguments('"{'), arguments('}"'), done(call(arguments='"{}"'))],
        [Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "two calls of one id",
        [done(call()), done(call("g", id="fc_2"), 1)],
        [Delta(0, "call_1", "f"), Delta(0, arguments="{}"), Delta(1, NEW_ID, "g"), Delta(1, arguments="{}")],
        "tool_calls",
    ),
    ("halves of a character", [delta("a\ud83d"), delta("\ude00")], ["a", "😀"], "stop"),
    (
        "arguments under the call's own id",
        [added(call(arguments="")), event("function_call_arguments.delta", item_id="call_1", delta="{}"), done(call())],
        [Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "arguments under no index and another id, of the only call",
        [added(call(arguments="")), event("function_call_arguments.delta", item_id="x", delta="{}"), done(call())],
        [Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "arguments before the item that names the call",
        [arguments('{"a"'), arguments(":1}"), done(call(arguments='{"a":1}'))],
        [Delta(0, "call_1", "f"), Delta(0, arguments='{"a":1}')],
        "tool_calls",
    ),
    (
        "the same, of a call that is begun behind them",
        [arguments('{"a"'), added(call(arguments="")), arguments(":1}"), done(call(arguments='{"a":1}'))],
        [Delta(0, "call_1", "f"), Delta(0, arguments='{"a"'), Delta(0, arguments=":1}")],
        "tool_calls",
    ),
    ("half a character at the end", [delta("a\ud83d")], ["a", "\ufffd"], "stop"),
    (
        "arguments of a call that is never named",
        [arguments("{"), arguments("}")],
        [Delta(0, "fc_1"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "arguments that begin as {}",
        [added(call()), arguments('{"a":1}'), done(call(arguments='{"a":1}'))],
        [Delta(0, "call_1", "f"), Delta(0, arguments='{"a":1}')],
        "tool_calls",
    ),
    ("arguments of {} alone", [added(call())], [Delta(0, "call_1", "f"), Delta(0, arguments="{}")], "tool_calls"),
    (
        "all items have the index 0",
        [done(thought("a")), done(message(part("b"), id="m2")), done(call())],
        [Reasoning("a"), "b", Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    ("two texts in a message", [done(message(part("a"), part("b")))], ["a", starts(), "b"], "stop"),
    (
        "two messages",
        [done(message(part("a"))), done(message(part("b"), id="msg_2"), 1)],
        ["a", extra(message={}), "b"],
        "stop",
    ),
    (
        "a message with a phase",
        [added(message(phase="commentary")), delta("a")],
        [extra(message={"phase": "commentary"}), "a"],
        "stop",
    ),
    (
        "a part of another type",
        [done(message(part("a"), {"type": "output_image", "image": "i"}, part("b")))],
        ["a", extra(part={"type": "output_image", "image": "i"}), "b"],
        "stop",
    ),
    ("content that is text", [done({**message(), "content": "a"})], ["a"], "stop"),
    (
        "a refusal",
        [delta("No", name="refusal"), done(message({"type": "refusal", "refusal": "No."}))],
        [Refusal("No"), Refusal(".")],
        "stop",
    ),
    (
        "log probabilities",
        [delta("a", logprobs=PROBS), done(message(part("a", logprobs=PROBS)))],
        [LogProbs(PROBS), "a"],
        "stop",
    ),
    ("log probabilities that are only done", [done(message(part("a", logprobs=PROBS)))], ["a", LogProbs(PROBS)], "stop"),
    (
        "an annotation as it comes, and when it is done",
        [
            delta("a"),
            event("output_text.annotation.added", output_index=0, item_id="msg_1", content_index=0, annotation=NOTE),
            done(message(part("a", annotations=[NOTE, 2]))),
        ],
        ["a", Annotations([NOTE]), Annotations([2])],
        "stop",
    ),
    # -- calls
    (
        "a call",
        [added(call(arguments="")), arguments('{"a"'), arguments(":1}"), done(call(arguments='{"a":1}'))],
        [Delta(0, "call_1", "f"), Delta(0, arguments='{"a"'), Delta(0, arguments=":1}")],
        "tool_calls",
    ),
    ("a call that is only done", [done(call())], [Delta(0, "call_1", "f"), Delta(0, arguments="{}")], "tool_calls"),
    (
        "arguments that are only done",
        [added(call(arguments="")), event("function_call_arguments.done", output_index=0, item_id="fc_1", arguments="{}")],
        [Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "arguments that are an object",
        [done(call(arguments={"a": 1}))],
        [Delta(0, "call_1", "f"), Delta(0, arguments='{"a":1}')],
        "tool_calls",
    ),  # type: ignore[arg-type]
    (
        "a call that was not begun",
        [arguments("{}", id="fc_9"), done(call(id="fc_9"))],
        [Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "a call without any id",
        [done({"type": "function_call", "name": "f", "arguments": "{}"})],
        [Delta(0, NEW_ID, "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "two calls at once",
        [
            added(call("f", "", "a", "c1"), 0),
            added(call("g", "", "b", "c2"), 1),
            arguments("1", 0, "a"),
            arguments("2", 1, "b"),
            arguments("1", 0, "a"),
        ],
        [Delta(0, "c1", "f"), Delta(1, "c2", "g"), Delta(0, arguments="1"), Delta(1, arguments="2"), Delta(0, arguments="1")],
        "tool_calls",
    ),
    (
        "a call with unknown members",
        [done(call(namespace="n"))],
        [Delta(0, "call_1", "f", "", {"namespace": "n"}), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    (
        "a call of a custom tool",
        [done({"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "run", "input": "ls"})],
        [Delta(0, "c", "run"), Delta(0, arguments='{"input":"ls"}')],
        "tool_calls",
    ),
    (
        "a text before a call",
        [done(message(part("a"))), done(call(), 1)],
        ["a", Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
        "tool_calls",
    ),
    # -- reasoning, and items without events
    (
        "a summary",
        [added(thought()), summary("a"), summary("b"), done(thought("ab"))],
        [Reasoning("a"), Reasoning("b")],
        "stop",
    ),
    (
        "parts of a summary",
        [summary("a"), summary("b", 1), done(thought("a", "b"))],
        [Reasoning("a"), SUMMARY, Reasoning("\n\nb"), extra(item=thought("a", "b"))],
        "stop",
    ),
    (
        "reasoning in full",
        [delta("a", id="rs_1", name="reasoning_text"), done(thought(content=[{"type": "reasoning_text", "text": "ab"}]))],
        [THOUGHT, Reasoning("a"), Reasoning("b")],
        "stop",
    ),
    (
        "encrypted reasoning",
        [done(SEALED)],
        [extra(reasoning={"id": "rs_1"}), Reasoning("a"), SUMMARY, Reasoning("\n\nb"), extra(item=SEALED)],
        "stop",
    ),
    (
        "encrypted reasoning alone",
        [done(thought(encrypted_content="x"))],
        [extra(reasoning={"id": "rs_1"}), extra(item=thought(encrypted_content="x"))],
        "stop",
    ),
    (
        "older names of reasoning",
        [delta("a", id="rs_1", name="reasoning"), delta("b", index=1, id="rs_2", name="reasoning_summary")],
        [THOUGHT, Reasoning("a"), extra(reasoning={}), SUMMARY, Reasoning("\n\nb")],
        "stop",
    ),
    (
        "thoughts on both sides of a text",
        [summary("a"), done(message(part("b")), 1), done(thought("c", id="rs_2"), 2)],
        [Reasoning("a"), "b", SUMMARY, Reasoning("\n\nc")],
        "stop",
    ),
    (
        "an image that the model made",
        [added(IMAGE), done(IMAGE), done(message(part("a")), 1)],
        [extra(begun=IMAGE), extra(item=IMAGE), Images([SHOWN]), "a"],
        "stop",
    ),
    ("an image that was not made", [done({**IMAGE, "result": None})], [extra(item={**IMAGE, "result": None})], "stop"),
    ("an item without events", [done(SEARCH), done(message(part("a")), 1)], [extra(item=SEARCH), "a"], "stop"),
    (
        "a call of another kind",
        [done({"type": "local_shell_call", "id": "x"})],
        [extra(item={"type": "local_shell_call", "id": "x"})],
        "tool_calls",
    ),
    # -- events that are not known
    ("an unknown event", [event("web_search_call.searching", item_id="ws_1")], [], "stop"),
    (
        "odd events",
        [
            event("output_item.added"),
            event("output_item.done", item=3),
            event("content_part.done"),
            event("output_text.annotation.added"),
        ],
        [],
        "stop",
    ),
]


def bodies() -> Any:
    return pytest.mark.parametrize(("says", "events", "expected", "reason"), ANSWERS, ids=[row[0] for row in ANSWERS])


def said(events: Batch) -> Batch:
    return [each for each in events if not isinstance(each, Started | ForeignEvent)]


@bodies()
def test_a_streamed_answer_becomes_events(says: str, events: list[Json], expected: Batch, reason: str) -> None:
    """The events, and an end with its reason."""
    reading = Reading(stream(created(), *events, completed(usage=USAGE)))

    assert said(reading.events) == expected
    assert reading.finish == FinishReason(reason, "finish_reason", Usage(3, 2, 5, 1, 1), "m")
    assert reading.events[0] == Started("m")


@bodies()
def test_however_it_is_cut_the_events_are_the_same(says: str, events: list[Json], expected: Batch, reason: str) -> None:
    """Byte by byte, with other line ends, and without event lines."""
    body = stream(created(), *events, completed(usage=USAGE))
    whole = Reading(body).seen

    assert Reading(*every_byte(body)).seen == whole
    assert Reading(*every_byte(body.replace(b"\n", b"\r\n"))).seen == whole
    untyped = b"\n".join(line for line in body.split(b"\n") if not line.startswith(b"event:"))
    assert Reading(untyped).seen == whole


def test_events_that_are_not_known_are_passed_on() -> None:
    """Their type and their data as they came; what came before the beginning is held back until then."""
    body = stream(event("a.b", x=1), created(), '{"type":"keepalive"}', event("c", y={"error": 2}), completed())

    first, before, after = Reading(body).events

    assert first == Started("m")
    assert before == ForeignEvent("response.a.b", b'{"type": "response.a.b", "x": 1, "sequence_number": 0}', WIRE)
    assert isinstance(after, ForeignEvent)
    assert after.event == "response.c"


FULL = message(part("a"))
MISSING: list[tuple[str, list[Json], list[Json], Batch]] = [
    (
        "all",
        [],
        [thought("t"), FULL, call()],
        [Reasoning("t"), "a", Delta(0, "call_1", "f"), Delta(0, arguments="{}")],
    ),
    ("the last item", [done(FULL)], [FULL, call()], ["a", Delta(0, "call_1", "f"), Delta(0, arguments="{}")]),
    ("the end of an item", [delta("a")], [message(part("ab"))], ["a", "b"]),
    ("nothing, under other ids", [done(FULL)], [message(part("a"), id="other")], ["a"]),
    ("nothing, at other places", [done(thought("t"), 3), done(FULL, 4)], [FULL], [Reasoning("t"), "a"]),
]


@pytest.mark.parametrize(("says", "events", "output", "expected"), MISSING, ids=[row[0] for row in MISSING])
def test_the_whole_response_brings_what_the_stream_lacked(
    says: str, events: list[Json], output: list[Json], expected: Batch
) -> None:
    """Items of which no event came, and the rest of those that were not done."""
    assert said(Reading(stream(created(), *events, completed(*output))).events) == expected


def ended(status: str, **members: Any) -> Json:
    return event(status, response=response(status, **members))


ENDS: list[tuple[str, Json, str | None]] = [
    ("completed", ended("completed"), "stop"),
    ("out of tokens", ended("incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
    ("filtered", ended("incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
    ("another reason", ended("incomplete", incomplete_details={"reason": "steered"}), "steered"),
    ("no reason", ended("incomplete", incomplete_details=None), "length"),
    ("completed, but incomplete", event("completed", response=response("incomplete")), "length"),
    ("completed, but in progress", event("completed", response=response("in_progress")), "stop"),
    ("completed without a response", event("completed"), "stop"),
    ("completed with null", event("completed", response=None), "stop"),
]


@pytest.mark.parametrize(("says", "last", "reason"), ENDS, ids=[row[0] for row in ENDS])
def test_the_end_has_a_reason_in_the_words_of_chat_completions(says: str, last: Json, reason: str) -> None:
    """An answer that ended for want of tokens ends with ``length``."""
    reading = Reading(stream(created(), delta("a"), last, delta("never")))

    assert [event for event in said(reading.events) if type(event) is str] == ["a"]
    assert reading.finish is not None
    assert reading.finish.reason == reason
    assert reading.decoder.complete


def failed(**error: Any) -> Json:
    return event("failed", response=response("failed", error=error))


FAILURES: list[tuple[str, Json, str | None, bool, str]] = [
    ("failed", failed(code="server_error", message="broke"), "server_error", True, "broke"),
    ("rate limit", failed(code="rate_limit_exceeded", message="again in 5s"), "rate_limit_exceeded", True, "5s"),
    ("too long", failed(code="context_length_exceeded", message="too long"), "context_length_exceeded", False, "too"),
    ("no money", failed(code="insufficient_quota", message="pay"), "insufficient_quota", False, "pay"),
    ("a prompt that is refused", failed(code="invalid_prompt", message="no"), "invalid_prompt", False, "no"),
    ("an image", failed(code="image_too_large", message="no"), "image_too_large", False, "no"),
    (
        "in the details of its status",
        event("failed", response=response("failed", error=None, status_details={"error": {"code": "c", "message": "why"}})),
        "c",
        True,
        "why",
    ),
    ("without a word", event("failed", response=response("failed", error=None)), "broken_off", True, "failed"),
    ("without a response", event("failed"), "broken_off", True, "failed"),
    ("cancelled", event("completed", response=response("cancelled")), "broken_off", True, "cancelled"),
    ("an error", {"type": "error", "code": "server_error", "message": "m", "param": None}, "server_error", True, "m"),
    ("an error in an object", {"type": "error", "error": {"code": "server_error", "message": "m"}}, "server_error", True, "m"),
    ("a final error", {"type": "error", "code": "invalid_prompt", "message": "m"}, "invalid_prompt", False, "m"),
    ("an error without a type", {"error": {"message": "overloaded", "code": 503}}, "503", True, "overloaded"),
]


@pytest.mark.parametrize(("says", "last", "code", "again", "words"), FAILURES, ids=[row[0] for row in FAILURES])
def test_a_failure_is_an_error_with_the_vendors_words(says: str, last: Json, code: str, again: bool, words: str) -> None:
    """What came before it is delivered; the error has the code, and says whether asking again helps."""
    reading = Reading(stream(created(), delta("a"), last, completed()))

    assert said(reading.events) == ["a"]
    assert isinstance(reading.error, StreamError)
    assert (reading.error.code, reading.error.retryable) == (code, again)
    assert words in str(reading.error)


@pytest.mark.parametrize("behind", [[], [event("in_progress")]])
def test_a_failure_without_a_word_is_explained_by_the_error_behind_it(behind: list[Json]) -> None:
    """As Azure sends them. Until it comes the stream waits for nothing else, and a connection that ends says no more."""
    error = {"type": "error", "error": {"type": "too_many_requests", "code": "rate_limit_exceeded", "message": "slow down"}}
    first = stream(created(), delta("a"), event("failed", response=response("failed", error=None)))
    decoder = ResponsesStreamDecoder()
    decoder.feed(first)
    reading = Reading(first + stream(*behind, error))

    assert decoder.ending
    assert said(reading.events) == ["a"]
    assert isinstance(reading.error, StreamError)
    assert (reading.error.code, reading.error.retryable) == ("rate_limit_exceeded", True)
    assert "slow down" in str(reading.error)


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n", stream(done(message(part("a")))), stream(event("in_progress"))])
def test_a_stream_without_its_last_event_is_incomplete(end: bytes) -> None:
    """Neither a finished item nor ``[DONE]`` proves an end."""
    reading = Reading(stream(created(), delta("a")) + end)

    assert isinstance(reading.error, IncompleteStreamError)


@pytest.mark.parametrize("data", [b"{", b'{"type":"response.created"', b"[1]", b'"text"', b"\xff"])
def test_an_event_that_cannot_be_read_is_an_error(data: bytes) -> None:
    """It may have held text."""
    reading = Reading(stream(created(), delta("a")) + b"data: %b\n\n" % data + stream(completed()))

    assert reading.error is not None
    assert reading.error.code == "unreadable_event"


def test_the_last_event_may_lack_its_blank_line() -> None:
    """Its data is whole; half of it proves nothing."""
    body = stream(created(), delta("a"), completed())

    assert Reading(body[:-2]).finish is not None
    assert Reading(body[:-3]).finish is None


def test_bytes_that_are_no_utf_8_are_replaced_and_noted() -> None:
    """The finish says that something was mended."""
    reading = Reading(stream(delta("a")).replace(b'"a"', b'"\xff"') + stream(completed()))

    assert said(reading.events) == ["\ufffd"]
    assert reading.finish is not None
    assert reading.finish.notes


def test_what_the_response_says_beside_is_kept() -> None:
    """Members that have no event, right before the end; what repeats the request's own long parts is left out."""
    reading = Reading(stream(created(), completed(service_tier="flex", tools=[1], instructions="i", unknown=None)))

    assert reading.events[-1] == extra(response={"service_tier": "flex", "unknown": None})


def test_a_response_in_the_place_of_its_event_is_read() -> None:
    """Some proxies leave out what is around it: the event's type says what it is."""
    response = {
        "id": "r",
        "object": "response",
        "model": "m",
        "usage": USAGE,
        "incomplete_details": {"reason": "content_filter"},
    }
    last = b"event: response.incomplete\ndata: " + json.dumps(response).encode() + b"\n\n"

    finish = Reading(stream(delta("a")) + last).finish

    assert finish is not None
    assert ("content_filter", "m", 5) == (finish.reason, finish.model, finish.usage and finish.usage.total_tokens)


def test_usage_keeps_what_it_does_not_know() -> None:
    """In the upstream's own nesting."""
    usage = {**USAGE, "cost": 1, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3}}

    finish = Reading(stream(completed(usage=usage))).finish

    assert finish is not None
    assert finish.usage == Usage(3, 2, 5, 2, 1, {"cost": 1, "input_tokens_details": {"cache_write_tokens": 3}})


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2, 5)),
        ({"inputTokens": 3, "outputTokens": "2", "reasoning_tokens": 1}, Usage(3, 2, 5, None, 1, {"reasoning_tokens": 1})),
        (
            {**USAGE, "input_tokens_details": None, "output_tokens_details": None, "cached_tokens": 1},
            Usage(3, 2, 5, 1, None, {"cached_tokens": 1}),
        ),
        (
            {
                "input_tokens": None,
                "prompt_tokens": 3,
                "output_tokens": 2,
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(3, 2, 5, None, 1, {"completion_tokens_details": {"reasoning_tokens": 1}}),
        ),
    ],
)
def test_a_usage_in_other_words_is_counted(usage: Any, expected: Usage) -> None:
    """As in chat completions."""
    finish = Reading(stream(completed(usage=usage))).finish

    assert finish is not None
    assert expected == finish.usage


@pytest.mark.parametrize("usage", [None, {}, [], {"input_tokens": None}, {"input_tokens": -1}, {"input_tokens": True}])
def test_a_usage_that_counts_nothing_is_none(usage: Any) -> None:
    """Nothing is made up."""
    finish = Reading(stream(completed(usage=usage))).finish

    assert finish is not None
    assert finish.usage is None


def test_the_extension_of_a_server_of_this_package_is_read() -> None:
    """It stands in the response; a number in it shows that an answer is being repaired."""
    reading = Reading(stream({"type": "x", "x_autonomousai": {"progress": 2}}))

    assert reading.decoder.progress == 2
    assert Reading(stream(completed(x_autonomousai={"a": 1}))).decoder.extension == {"a": 1}


# ---- documents


@bodies()
def test_a_document_brings_what_the_stream_of_it_would(says: str, events: list[Json], expected: Batch, reason: str) -> None:
    """Whole items, in a stream and in a document, are the same events."""
    items = [each["item"] for each in events if each["type"] == "response.output_item.done" and isinstance(each["item"], dict)]
    body = json.dumps(response(output=items, usage=USAGE)).encode()

    streamed = Reading(stream(created(), *[done(item, index) for index, item in enumerate(items)], completed(usage=USAGE)))

    assert decode_response(body) == [*streamed.events, streamed.finish]


DOCUMENTS: list[tuple[str, Any, str | None]] = [
    ("failed", response("failed", error={"code": "server_error", "message": "m"}, output=[message(part("a"))]), "server_error"),
    ("in progress", response("in_progress", output=[]), "broken_off"),
    ("queued", response("queued", output=[]), "broken_off"),
    ("cancelled", response("cancelled", output=[]), "broken_off"),
    ("an error with a status of success", {"error": {"message": "m", "code": "x"}}, "x"),
    ("another document", {"object": "chat.completion", "choices": []}, "unreadable_event"),
    ("a list", [1], "unreadable_event"),
]


@pytest.mark.parametrize(("says", "document", "code"), DOCUMENTS, ids=[row[0] for row in DOCUMENTS])
def test_a_document_that_is_no_answer_is_an_error(says: str, document: Any, code: str) -> None:
    """With the code that it has; what it holds of a text is kept."""
    with pytest.raises(StreamError) as caught:
        decode_response(json.dumps(document).encode())

    assert caught.value.code == code
    assert caught.value.partial == ("a" if says == "failed" else "")


# ---- at random

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.5, 10**20]) | st.text(max_size=3),
    lambda value: (
        st.lists(value, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id", "item"]), value, max_size=2)
    ),
    max_leaves=4,
)
words = st.sampled_from(["a", "b", '"', "data: ", "\n\n", "😀", "\ud83d", ""]) | anything
parts = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["output_text", "refusal", "reasoning_text", "summary_text", "x"]) | anything},
        optional={"text": words, "refusal": words, "annotations": anything, "logprobs": anything},
    )
    | anything,
    max_size=2,
)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "custom_tool_call", "reasoning", "web_search_call"]) | anything},
    optional={
        **dict.fromkeys(("content", "summary"), parts | anything),
        **dict.fromkeys(("id", "call_id", "name"), st.sampled_from(["a", "b"]) | anything),
        **dict.fromkeys(("arguments", "input", "phase", "encrypted_content"), words),
    },
)
events = st.fixed_dictionaries(
    {"type": st.sampled_from([*EVENTS, "error", "x"]) | anything},
    optional={
        **dict.fromkeys(("output_index", "content_index", "summary_index"), st.integers(0, 2) | anything),
        "item_id": st.sampled_from(["a", "b"]) | anything,
        "delta": words,
        "text": words,
        "arguments": words,
        "part": st.one_of(parts.map(lambda value: value[0] if value else None), anything),
        "item": items | anything,
        "response": st.fixed_dictionaries(
            {},
            optional={
                "output": st.lists(items | anything, max_size=2),
                "status": anything,
                "usage": anything,
                "error": anything,
            },
        )
        | anything,
    },
)


@given(bodies=st.lists(events, max_size=6), places=cuts)
def test_any_stream_is_read_the_same_however_it_is_cut(bodies: list[Json], places: list[int]) -> None:
    """Nothing raises, whatever the events hold."""
    body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in bodies)

    assert Reading(*pieces(body, places)).seen == Reading(body).seen


@given(
    document=st.fixed_dictionaries({"output": st.lists(items | anything, max_size=3) | anything}, optional={"status": anything})
)
def test_any_document_is_an_answer_or_an_error(document: Json) -> None:
    """Nothing else is raised."""
    try:
        batch = decode_response(json.dumps(document).encode())
    except StreamError:
        return
    assert isinstance(batch[-1], FinishReason)


def test_a_cut_answer_is_never_taken_for_a_whole_one() -> None:
    """Cut at any byte, a stream has a finish only from where its last event is whole, and its text is a beginning."""
    body = stream(
        created(), added(message()), delta("Hel"), delta("lo"), done(message(part("Hello"))), completed(message(part("Hello")))
    )

    for cut in range(len(body)):
        reading = Reading(body[:cut])

        assert (reading.finish is not None) == (cut >= len(body) - 2)
        assert "Hello".startswith("".join(map(str, reading.events)))


def test_arguments_are_not_held_back_for_ever() -> None:
    """They wait for the name of their call, but not for more than a megabyte: then who counts the answer must know of them."""
    decoder = ResponsesStreamDecoder()
    piece = "x" * 65_536
    batch = decoder.feed(stream(created(), *[arguments(piece)] * 16))

    assert piece * 16 == "".join(each.arguments for each in batch if isinstance(each, Delta))


@pytest.mark.parametrize(("rest", "text"), [("\U0001f600", "a\U0001f600"), ("\ud83d", "a\ufffd")])
def test_half_a_character_that_all_of_the_text_brings_is_said_once(rest: str, text: str) -> None:
    """Nothing stays behind for the end: of arguments, that would be no JSON any more."""
    whole = event("output_text.done", output_index=0, item_id="msg_1", content_index=0, text=f"a{rest}")
    read = Reading(stream(created(), added(message("")), delta("a\ud83d"), whole, completed()))
    called = Reading(
        stream(created(), added(call(arguments="")), arguments("a\ud83d"), done(call(arguments=f"a{rest}")), completed())
    )

    assert text == "".join(each for each in read.events if isinstance(each, str))
    assert text == "".join(each.arguments for each in called.events if isinstance(each, Delta))


def test_a_response_in_an_object_of_a_gateways_own_is_read() -> None:
    """As chat completions are."""
    document = {"code": 0, "data": response(output=[message(part("Hello"))])}

    assert "Hello" in decode_response(json.dumps(document).encode())
