"""Events become a stream and a document of the Responses API: both have the same items, and every object has all the members
that the Open Responses specification names."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from autonomousai.answer import Answer
from autonomousai.errors import IncompleteStreamError, ProviderError, StatusError, StreamError
from autonomousai.events import (
    REPEATED,
    Annotations,
    Batch,
    Event,
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
from autonomousai.sealed_thoughts import pack
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.openai_responses.response import WIRE, echo_of, encode_ended, ended
from autonomousai.wires.provenance import KEY
from autonomousai.wires.registry import OPENAI_RESPONSES
from tests.support.openresponses import Json, check_response, folded, read_events, types_of

CUSTOM = {"type": "custom", "name": "patch", "description": "Edit files."}
SPACE = {
    "type": "namespace",
    "name": "mcp__docs",
    "tools": [{"type": "function", "name": name} for name in ("search", "patch")],
}
RUN_BY_THE_CALLER = [
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client"},
]
HEAD = AnswerHead(
    "resp_1",
    1700000000,
    "llama",
    echo=echo_of({"tools": [CUSTOM, SPACE, *RUN_BY_THE_CALLER], "metadata": {"a": "b"}, "temperature": 0.5}),
)
STOP = FinishReason("stop", "finish_reason", Usage(7, 3, 10, cached_tokens=2, reasoning_tokens=1))
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": None}
WEB_SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "sky"}}


def stream_of(*batches: Batch) -> bytes:
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    data = b"".join(map(encoder.write, batches))
    finish = batches[-1][-1]
    assert isinstance(finish, FinishReason)
    return data + encoder.end(finish, extension={"length": 5})


def streamed(*batches: Batch) -> list[Json]:
    data = stream_of(*batches)
    assert data.endswith(b"\n\ndata: [DONE]\n\n")
    return read_events(data)


def whole(*events: Event) -> Json:
    return check_response(json.loads(OPENAI_RESPONSES.encode_answer(list(events), HEAD, extension={"length": 5})))


def ran(index: int, kind: str) -> Json:
    return {"id": f"ctc_1_{index}", "type": kind, "status": "completed", "call_id": f"call_{index}"}


def call(index: int, name: str | None, arguments: str = "") -> ToolCallDelta:
    return ToolCallDelta(index, None if name is None else f"call_{index}", name, arguments)


def message(*parts: Json, index: int = 0, status: str = "completed") -> Json:
    return {"id": f"msg_1_{index}", "type": "message", "status": status, "role": "assistant", "content": list(parts)}


def said(text: str, *annotations: Json, logprobs: list[Json] | None = None) -> Json:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": logprobs or []}


def thought(text: str, index: int = 0) -> Json:
    return {
        "id": f"rs_1_{index}",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": text}],
    }


def thought_sealed(index: int, call_id: str, content: Any) -> Json:
    packed = pack({"type": "extra_content", "id": call_id, "content": content})
    return {"id": f"rs_1_{index}", "type": "reasoning", "status": "completed", "encrypted_content": packed, "summary": []}


def function(index: int, arguments: str, *, place: int, status: str = "completed") -> Json:
    ids = {"id": f"fc_1_{place}", "type": "function_call", "status": status, "call_id": f"call_{index}"}
    return {**ids, "name": f"f{index}", "arguments": arguments}


#: Events before the end, the end, and the output.
ANSWERS: dict[str, tuple[Batch, FinishReason, list[Json]]] = {
    "text": (["Hel", "lo"], STOP, [message(said("Hello"))]),
    "nothing": ([], STOP, [message(said(""))]),
    "reasoning before the text": (
        [Reasoning("Hm"), Reasoning("m."), "Blue"],
        STOP,
        [thought("Hmm."), message(said("Blue"), index=1)],
    ),
    "reasoning that an upstream of the same wire tells whole": (
        [Reasoning("Hm", "reasoning_text")],
        STOP,
        [
            {
                "id": "rs_1_0",
                "type": "reasoning",
                "status": "completed",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "Hm"}],
            }
        ],
    ),
    "a refusal": ([Refusal("I "), Refusal("won't")], STOP, [message({"type": "refusal", "refusal": "I won't"})]),
    "a text and a refusal are parts of one message": (
        ["Well", Refusal("no")],
        STOP,
        [message(said("Well"), {"type": "refusal", "refusal": "no"})],
    ),
    "calls": (
        ["Let me look", call(0, "f0", '{"a'), call(0, None, '": 1}'), call(1, "f1", "{}")],
        FinishReason("tool_calls", "finish_reason"),
        [message(said("Let me look")), function(0, '{"a": 1}', place=1), function(1, "{}", place=2)],
    ),
    "calls whose pieces alternate": (
        [call(0, "f0", '{"a'), call(1, "f1", '{"b'), call(0, None, '":1}'), call(1, None, '":2}')],
        STOP,
        [function(0, '{"a":1}', place=0), function(1, '{"b":2}', place=1)],
    ),
    "a name that comes after the id": (
        [ToolCallDelta(0, "call_0", None, '{"a"'), ToolCallDelta(0, None, "f0", ":1}")],
        STOP,
        [function(0, '{"a":1}', place=0)],
    ),
    "names in pieces": (
        [
            *(ToolCallDelta(0, "call_0", "f", ""), ToolCallDelta(0, None, "0", ""), ToolCallDelta(1, "call_1", "f", "")),
            *(ToolCallDelta(1, None, "1", ""), call(1, None, '{"b":'), call(1, None, "2}")),
        ],
        STOP,
        [function(0, "{}", place=0), function(1, '{"b":2}', place=1)],
    ),
    "a call without arguments is an empty object": ([call(0, "f0")], STOP, [function(0, "{}", place=0)]),
    "a text after a call": (
        [call(0, "f0", "{}"), "Do", call(0, None, " "), "ne"],
        STOP,
        [function(0, "{}", place=0), message(said("Done"), index=1)],
    ),
    "a call that is too long": (
        [call(0, "f0", '{"a":1}'), call(1, "f1", '{"b')],
        FinishReason("length", "finish_reason"),
        [function(0, '{"a":1}', place=0), function(1, '{"b', place=1, status="incomplete")],
    ),
    "a text that is too long": (
        ["Hel"],
        FinishReason("length", "finish_reason"),
        [message(said("Hel"), status="incomplete")],
    ),
    "a call of a custom tool": (
        [call(0, "patch", '{"inp'), call(0, None, 'ut":"*** Begin\\n"}')],
        STOP,
        [
            {
                "id": "ctc_1_0",
                "type": "custom_tool_call",
                "status": "completed",
                "call_id": "call_0",
                "name": "patch",
                "input": "*** Begin\n",
            }
        ],
    ),
    "a call of a custom tool with bare text": (
        [call(0, "patch", "*** Begin")],
        STOP,
        [
            {
                "id": "ctc_1_0",
                "type": "custom_tool_call",
                "status": "completed",
                "call_id": "call_0",
                "name": "patch",
                "input": "*** Begin",
            }
        ],
    ),
    "calls of tools of the API that the caller runs": (
        [
            call(0, "local_shell", '{"command":["ls"],'),
            call(0, None, '"timeout_ms":5}'),
            call(1, "shell", '{"commands":"ls"}'),
            call(2, "apply_patch", '{"type":"update_file","path":"a","diff":"+b"}'),
            call(3, "tool_search", '{"query":"mail"}'),
            call(4, "tool_search", "mail"),
        ],
        STOP,
        [
            {**ran(0, "local_shell_call"), "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5}},
            {**ran(1, "shell_call"), "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}},
            {**ran(2, "apply_patch_call"), "operation": {"type": "update_file", "path": "a", "diff": "+b"}},
            {**ran(3, "tool_search_call"), "execution": "client", "arguments": {"query": "mail"}},
            {**ran(4, "tool_search_call"), "execution": "client", "arguments": {}},
        ],
    ),
    "a call of a tool of a namespace": (
        [call(0, "mcp__docs__search", '{"a":1}'), call(1, "search", "{}"), call(2, "mcp__docs__patch", "{}")],
        STOP,
        [
            {**function(0, '{"a":1}', place=0), "name": "search", "namespace": "mcp__docs"},
            {**function(1, "{}", place=1), "name": "search", "namespace": "mcp__docs"},
            {**function(2, "{}", place=2), "name": "patch", "namespace": "mcp__docs"},
        ],
    ),
    "a signature of a thought": (
        [ToolCallDelta(0, "call_0", "f0", "{}", {"extra_content": {"google": {"thought_signature": "x"}}})],
        STOP,
        [
            thought_sealed(0, "call_0", {"google": {"thought_signature": "x"}}),
            {"extra_content": {"google": {"thought_signature": "x"}}, **function(0, "{}", place=1)},
        ],
    ),
    "log probabilities": (
        [LogProbs([TOKEN]), "Hi"],
        STOP,
        [message(said("Hi", logprobs=[{"token": "Hi", "logprob": -0.5, "bytes": [], "top_logprobs": []}]))],
    ),
    "citations": (
        ["Sky", Annotations([{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}])],
        STOP,
        [message(said("Sky", {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 0}))],
    ),
    "an image": (
        [Images([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}])],
        STOP,
        [{"id": "ig_1_0", "type": "image_generation_call", "status": "completed", "result": "AAAA"}],
    ),
    "an item of an upstream of the same wire": (
        ["A", Extra({"item": WEB_SEARCH}, 0, WIRE), "B"],
        STOP,
        [message(said("A")), WEB_SEARCH, message(said("B"), index=2)],
    ),
    "what came over another wire": (["A", Extra({"item": WEB_SEARCH}, 1, "openai_chat"), "B"], STOP, [message(said("AB"))]),
}

EACH = pytest.mark.parametrize("name", ANSWERS)


@EACH
def test_the_output_of_a_stream_and_of_a_document(name: str) -> None:
    """Both are the same, and so is what a client makes of the deltas."""
    events, finish, output = ANSWERS[name]
    stream = streamed([Started("llama")], events, [finish])

    assert output == folded(stream)
    assert output == stream[-1]["response"]["output"]
    assert output == whole(Started("llama"), *events, finish)["output"]
    assert stream[-1]["response"] == whole(*events, finish)


@EACH
@given(data=st.data())
def test_it_does_not_matter_how_the_events_are_cut_into_batches(name: str, data: st.DataObject) -> None:
    """The bytes are the same, but that log probabilities and their text come together."""
    events, finish, _ = ANSWERS[name]
    if any(isinstance(event, LogProbs) for event in events):
        return
    batches: list[Batch] = [[Started("llama")]]
    for event in events:
        if data.draw(st.booleans()):
            batches.append([])
        batches[-1].append(event)

    assert stream_of([Started("llama")], events, [finish]) == stream_of(*batches, [finish])


@EACH
def test_a_copy_of_an_encoder_goes_on_as_it_does(name: str) -> None:
    """From any event on, each without the other."""
    events, finish, _ = ANSWERS[name]
    for place in range(len(events) + 1):
        encoder = OPENAI_RESPONSES.encoder(HEAD)
        for event in events[:place]:
            encoder.write([event])
        twin = copy.deepcopy(encoder)
        rest = [b"".join([*(each.write([event]) for event in events[place:]), each.end(finish)]) for each in (encoder, twin)]

        assert rest[0] == rest[1]


def test_the_order_of_events() -> None:
    """The beginning, each item with its parts, and one end."""
    stream = streamed([Started("m"), Reasoning("Hm")], ["Hi"], [call(0, "f0", "{}"), STOP])

    assert [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ] == types_of(stream)


def test_reasoning_in_its_own_words_has_events_of_its_own() -> None:
    """As OpenAI names them."""
    stream = streamed([Reasoning("Hm", "reasoning_text"), STOP])

    assert ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"] == types_of(stream)[3:7]


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("odd", "completed", None),
        ("FinishReason.STOP", "completed", None),
        ("MAX_TOKENS", "incomplete", {"reason": "max_output_tokens"}),
        ("SAFETY", "incomplete", {"reason": "content_filter"}),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("repetition", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_end_says_why(reason: str | None, status: str, details: Any) -> None:
    """The last event's type is its status."""
    *_, last = streamed(["Hi"], [FinishReason(reason, "finish_reason", notes=(REPEATED,))])
    response = last["response"]

    assert (f"response.{status}", status, details) == (last["type"], response["status"], response["incomplete_details"])
    assert (response["completed_at"] is not None) is (status == "completed")


@pytest.mark.parametrize(("details", "written"), [({"audio_tokens": 0}, 0), ({"cache_write_tokens": 4}, 4), (None, 0)])
def test_usage_is_counted_in_the_words_of_this_wire(details: Json | None, written: int) -> None:
    """Details are always there; what other wires call otherwise is not repeated."""
    extra = {"cost": 0.5, "prompt_tokens_details": details, "output_tokens_details": {"odd": 1}}
    usage = Usage(7, 3, 0, 2, 1, extra)

    assert {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": written},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1, "odd": 1},
        "total_tokens": 10,
        "cost": 0.5,
    } == whole("Hi", FinishReason("stop", "finish_reason", usage))["usage"]
    assert whole("Hi", FinishReason("stop", "finish_reason"))["usage"] is None


def test_calls_of_one_id_are_told_apart() -> None:
    """Streamed and whole: their outputs come back by that id."""
    calls: Batch = [ToolCallDelta(0, "call_1", "f", "{}"), ToolCallDelta(1, "call_1", "g", "{}"), STOP]
    *_, last = streamed(calls)

    for response in (last["response"], whole(*calls)):
        assert ["call_1", "call_1_1"] == [each["call_id"] for each in response["output"]]


def test_calls_that_the_caller_runs_are_those_of_the_sdk() -> None:
    """Each has all members that OpenAI's own types name."""
    called, _, items = ANSWERS["calls of tools of the API that the caller runs"]
    read = [TypeAdapter(ResponseOutputItem).validate_python(item) for item in whole(*called, STOP)["output"]]

    assert items == [item.model_dump(exclude_unset=True) for item in read]


def test_the_request_is_repeated() -> None:
    """In each event that carries the response; the provenance at its end alone."""
    first, second, *_, last = streamed(["Hi"], [STOP])

    for event in (first, second, last):
        response = event["response"]
        assert ("resp_1", 1700000000, "llama") == (response["id"], response["created_at"], response["model"])
        assert ([CUSTOM, SPACE, *RUN_BY_THE_CALLER], {"a": "b"}, 0.5) == (
            response["tools"],
            response["metadata"],
            response["temperature"],
        )
        assert ({"length": 5} if event is last else None) == response.get("x_autonomousai")


def test_what_an_upstream_of_the_same_wire_says_besides_is_passed_on() -> None:
    """Members of its response, and its events with this stream's numbers."""
    foreign = ForeignEvent("response.web_search_call.searching", b'{"type":"x","sequence_number":99,"item_id":"ws_1"}', WIRE)
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    data = encoder.write([Started("m"), foreign, ForeignEvent("ping", b"{}", "openai_chat")])
    data += encoder.write([Extra({"response": {"billing": {"payer": "developer"}}}, 0, WIRE), STOP]) + encoder.end(STOP)
    blocks = data.decode().split("\n\n")

    assert (
        'event: response.web_search_call.searching\ndata: {"type":"response.web_search_call.searching","sequence_number":2,'
        '"item_id":"ws_1"}' == blocks[2]
    )
    assert "ping" not in data.decode()
    assert {"payer": "developer"} == json.loads(blocks[-3].partition("data: ")[2])["response"]["billing"]


def test_a_document_has_what_is_told_of_a_text_beside_it() -> None:
    """Also where it comes at the end, as in an answer that was joined."""
    citation = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    answer = Answer()
    answer.add([Started("m"), LogProbs([TOKEN]), "Hi", Annotations([citation]), Refusal("no"), call(0, "f0", "{}"), STOP])
    text = said("Hi", citation, logprobs=[{**TOKEN, "bytes": [], "top_logprobs": []}])

    assert [message(text, {"type": "refusal", "refusal": "no"}), function(0, "{}", place=1)] == whole(*answer.joined())[
        "output"
    ]


# ---- errors


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (IncompleteStreamError(), "server_error", ""),
        (StatusError("no", status=400, code="content_filter"), "invalid_prompt", "no"),
        (StreamError("bad", status=200, code="invalid_image_url"), "invalid_image_url", "bad"),
        (StatusError("full", status=429, retry_after=4.2), "rate_limit_exceeded", "try again in 5s"),
        (StatusError("full", status=429, advice="try again in 7 s"), "rate_limit_exceeded", "try again in 7s"),
        (StreamError("full", status=429, code="rate_limit_error", retry_after=1), "rate_limit_exceeded", "try again in 1s"),
        (StatusError("empty", status=429, code="insufficient_quota"), "insufficient_quota", "empty"),
        (StatusError("long", status=400, code="context_length_exceeded"), "context_length_exceeded", "long"),
        (ProviderError("odd"), "server_error", "odd"),
        (ValueError("secret"), "server_error", "internal error"),
    ],
)
def test_a_broken_answer_is_a_response_that_failed(error: Exception, code: str, words: str) -> None:
    """With what had come; the codes and words are those that clients read."""
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    data = encoder.write([Started("m"), "Hel"])
    *_, last = read_events(data + encoder.fail(error))
    response = last["response"]

    assert ("response.failed", "failed", code) == (last["type"], response["status"], response["error"]["code"])
    assert words in response["error"]["message"]
    assert "secret" not in str(response)
    assert [message(said("Hel"), status="incomplete")] == response["output"]


def test_an_error_before_anything_is_an_event_of_its_own() -> None:
    """Which says it at the top, as OpenAI does, and in an object, as Open Responses does; and a response that failed, for those
    who read nothing else."""
    error = StatusError("no", status=400, param="input")
    encoder = OPENAI_RESPONSES.encoder(HEAD)

    for told in (encoder.fail(error), OPENAI_RESPONSES.encode_error_event(error)):
        event, failed = read_events(told)
        check_response(failed["response"])
        assert ("response.failed", "invalid_prompt", "no") == (failed["type"], *failed["response"]["error"].values())
    assert ("error", "no", "input") == (event["type"], event["message"], event["param"])
    assert ("no", "input", "invalid_request_error") == tuple(event["error"][name] for name in ("message", "param", "type"))


def test_an_error_can_be_written_at_any_place_and_changes_nothing() -> None:
    """The stream may go on, on another connection."""
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    written = b""
    for event in [Started("m"), "a", call(0, "f0", '{"a'), Reasoning("b"), call(1, "patch", "x")]:
        written += encoder.write([event])
        read_events(written + encoder.fail(ValueError()))
        read_events(written)

    assert "response.completed" == read_events(written + encoder.end(STOP))[-1]["type"]


def test_the_sign_of_a_repair_repeats_that_the_response_is_in_progress() -> None:
    """With no number of its own, and what grows in it."""
    encoder = OPENAI_RESPONSES.encoder(HEAD)
    encoder.write([Started("m"), "Hel"])
    sign = json.loads(encoder.sign(3).partition(b"data: ")[2])

    assert encoder.sign(3).startswith(b"event: response.in_progress\n")
    assert ("response.in_progress", 4) == (sign["type"], sign["sequence_number"])
    assert {"progress": 3} == check_response(sign["response"])["x_autonomousai"]


@pytest.mark.parametrize("echo", [None, {}, {"temperature": 0.5}])
@pytest.mark.parametrize("unknown", [{}, {KEY: {"length": 2}}, {"status": "incomplete", "more": 1}, {"user": "me", KEY: {}}])
@pytest.mark.parametrize("finish", [FinishReason("stop", "finish_reason"), FinishReason("length", "body", Usage(1, 2, 3))])
def test_a_response_that_repeats_nothing_is_written_like_any(echo: Any, unknown: Json, finish: FinishReason) -> None:
    """Byte by byte: its members, and their order."""
    head = AnswerHead("resp_1", 5, "llama", echo=echo)
    output = [{"type": "message", "content": "é"}]

    assert msgspec.json.encode(ended(head, finish, output, unknown)) == encode_ended(
        head, finish, msgspec.json.encode(output), unknown
    )
