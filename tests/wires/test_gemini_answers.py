"""Answers of the Gemini API: events as chunks and documents, as bytes."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from autonomousai.errors import StatusError, StreamError
from autonomousai.events import (
    Annotations,
    Batch,
    ChoiceEvent,
    Extra,
    FinishReason,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    Usage,
)
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.google_gemini.paths import GENERATE
from autonomousai.wires.google_gemini.wire import GOOGLE_GEMINI

HEAD = AnswerHead("1", 1700000000, "m")
SHOWING = AnswerHead("1", 1700000000, "m", echo={"thoughts": True})
STOP = FinishReason("stop", "finish_reason", Usage(3, 2, 5))
ARRAY = GOOGLE_GEMINI.in_form(b"")
HI = {"role": "user", "parts": [{"text": "Hi"}]}


def asked(**document: Any) -> Any:
    return GOOGLE_GEMINI.decode_request(json.dumps({"contents": [HI], **document}).encode(), GENERATE)


def chunks(data: bytes) -> list[Any]:
    assert data.endswith(b"\n\n")
    return [json.loads(event.removeprefix(b"data: ")) for event in data.split(b"\n\n")[:-1]]


def streamed(events: Batch, finish: FinishReason = STOP, head: AnswerHead = HEAD) -> list[Any]:
    encoder = GOOGLE_GEMINI.encoder(head)
    return chunks(encoder.write([Started("m"), *events]) + encoder.end(finish))


def whole(events: Batch, finish: FinishReason = STOP, head: AnswerHead = HEAD) -> Any:
    return json.loads(GOOGLE_GEMINI.encode_answer([Started("m"), *events, finish], head))


def text(said: str, **members: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": said}], "role": "model"}, **members, "index": 0}


def test_a_stream_is_chunks() -> None:
    """As bytes: a piece each, and a last one that says why it ended."""
    encoder = GOOGLE_GEMINI.encoder(HEAD)
    got = encoder.write([Started("m")]) + encoder.write(["Hé\n"]) + encoder.write([""]) + encoder.write(["a", "b", STOP])

    assert (
        'data: {"candidates":[{"content":{"parts":[{"text":"Hé\\n"}],"role":"model"},"index":0}],'
        '"modelVersion":"m","responseId":"1"}\n\n'
        'data: {"candidates":[{"content":{"parts":[{"text":"ab"}],"role":"model"},"index":0}],'
        '"modelVersion":"m","responseId":"1"}\n\n'
    ) == got.decode()
    assert (
        'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],'
        '"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5},"modelVersion":"m","responseId":"1",'
        '"x_autonomousai":{"upstream":"u"}}\n\n'
    ) == encoder.end(STOP, extension={"upstream": "u"}).decode()


def test_a_stream_may_be_one_array() -> None:
    """Which is complete where it is closed, and is not where it broke."""
    encoder = ARRAY.encoder(HEAD)
    begun = encoder.write([Started("m"), "Hi"]) + encoder.sign(1) + encoder.write(["!"])
    got = json.loads(begun + encoder.end(STOP))

    assert [text("Hi"), text("!"), text("", finishReason="STOP")] == [chunk["candidates"][0] for chunk in got]
    broken = begun + encoder.fail(StreamError("it broke"))
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(broken)
    assert "it broke" in json.loads(broken + b"]")[-1]["error"]["message"]
    assert "it broke" in json.loads(ARRAY.encode_error_event(StreamError("it broke")) + b"]")[0]["error"]["message"]
    assert ARRAY.name == GOOGLE_GEMINI.name
    assert GOOGLE_GEMINI is GOOGLE_GEMINI.in_form(b"key=k&alt=sse")


def test_each_event_has_its_number() -> None:
    """Where the stream can be resumed."""
    encoder = GOOGLE_GEMINI.encoder(HEAD, ids=map(str, count(1)))
    got = encoder.write(["Hi"]) + encoder.write([Reasoning("x")]) + encoder.end(STOP)

    assert [b"id: 1", b"id: 2"] == [line for line in got.split(b"\n") if line.startswith(b"id")]


@pytest.mark.parametrize(
    ("head", "parts"), [(HEAD, [{"text": "Hi"}]), (SHOWING, [{"text": "Hm.", "thought": True}, {"text": "Hi"}])]
)
def test_thoughts_are_shown_where_they_are_asked_for(head: AnswerHead, parts: list[Any]) -> None:
    """As parts of their own."""
    events: Batch = [Reasoning("H"), Reasoning("m."), "H", "i"]

    assert parts == streamed(events, head=head)[0]["candidates"][0]["content"]["parts"]
    assert parts == whole(events, head=head)["candidates"][0]["content"]["parts"]


@pytest.mark.parametrize("before", [[], ["Hi"]])
def test_calls_come_complete(before: Batch) -> None:
    """At the end, each in a part; an answer with calls has stopped."""
    pieces: Batch = [
        *before,
        ToolCallDelta(0, "c1", "f", '{"a"'),
        ToolCallDelta(1, "c2", "g", "", {"extra_content": {"google": {"thought_signature": "c2ln"}}}),
        ToolCallDelta(0, arguments=": 1}"),
    ]
    finish = FinishReason("tool_calls", "finish_reason")
    calls = [
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}, "thoughtSignature": "c2ln"},
    ]

    last = streamed(pieces, finish)[-1]["candidates"][0]
    assert (calls, "STOP") == (last["content"]["parts"], last["finishReason"])
    document = whole(pieces, finish)["candidates"][0]
    assert ([*({"text": each} for each in before), *calls], "STOP") == (document["content"]["parts"], document["finishReason"])


@pytest.mark.parametrize(
    ("arguments", "reason", "said"),
    [
        ("oops", "tool_calls", "MALFORMED_FUNCTION_CALL"),
        ("[1]", "stop", "MALFORMED_FUNCTION_CALL"),
        ('{"a', "length", "MAX_TOKENS"),
        ("", "length", "MAX_TOKENS"),
        ("null", "tool_calls", "STOP"),
    ],
)
def test_a_call_that_cannot_be_read_is_none(arguments: str, reason: str, said: str) -> None:
    """The reason says so, as Google's does."""
    events: Batch = [ToolCallDelta(0, "c1", "f", arguments)]
    for candidate in (
        streamed(events, FinishReason(reason, "finish_reason"))[-1]["candidates"][0],
        whole(events, FinishReason(reason, "finish_reason"))["candidates"][0],
    ):
        assert said == candidate["finishReason"]
        assert ("STOP" == said) == ("functionCall" in candidate["content"]["parts"][0])
        assert (f"f({arguments})" in candidate.get("finishMessage", "")) == (said == "MALFORMED_FUNCTION_CALL")


def test_calls_bear_the_names_that_were_offered() -> None:
    """Other APIs take no dots, and get the function under another name."""
    request = asked(
        tools=[{"functionDeclarations": [{"name": "files.read"}]}],
        toolConfig={"functionCallingConfig": {"allowedFunctionNames": ["files.read"]}},
    )
    ((offered, own),) = request.echo["names"].items()
    head = AnswerHead("1", 1700000000, "m", echo=request.echo)

    assert "files.read" == own
    assert [offered] == [each["function"]["name"] for each in request.fields["tools"]]
    (part,) = whole([ToolCallDelta(0, "c1", offered, "{}")], head=head)["candidates"][0]["content"]["parts"]
    assert "files.read" == part["functionCall"]["name"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("stop", "STOP"),
        (None, "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("RECITATION", "RECITATION"),
        ("PROHIBITED_CONTENT", "PROHIBITED_CONTENT"),
        ("eos", "STOP"),
        ("pause_turn", "STOP"),
        ("model_length", "MAX_TOKENS"),
    ],
)
def test_the_end_says_why(reason: str | None, said: str) -> None:
    """In the vendor's words."""
    assert said == streamed(["Hi"], FinishReason(reason, "done"))[-1]["candidates"][0]["finishReason"]


def test_a_refusal_is_text_that_safety_ended() -> None:
    """Streamed and complete."""
    for candidate in (streamed([Refusal("No.")])[-1]["candidates"][0], whole([Refusal("No.")])["candidates"][0]):
        assert "SAFETY" == candidate["finishReason"]
    assert "No." == whole([Refusal("No.")])["candidates"][0]["content"]["parts"][0]["text"]


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (Usage(3, 2, 5), {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}),
        (
            Usage(3, 5, 8, 1, 4),
            {
                "promptTokenCount": 3,
                "candidatesTokenCount": 1,
                "totalTokenCount": 8,
                "thoughtsTokenCount": 4,
                "cachedContentTokenCount": 1,
            },
        ),
        (
            Usage(3, 2, 9, reasoning_tokens=4),
            {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 9, "thoughtsTokenCount": 4},
        ),
        (Usage(3, 2), {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}),
        (
            Usage(1, 1, 2, extra={"cost": 1, "trafficType": "ON_DEMAND"}),
            {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2, "trafficType": "ON_DEMAND"},
        ),
    ],
    ids=str,
)
def test_tokens_are_counted_as_the_vendor_does(usage: Usage, counted: dict[str, Any]) -> None:
    """What was thought is none of the candidates'."""
    assert counted == whole(["Hi"], FinishReason("stop", "done", usage))["usageMetadata"]


def test_several_candidates_are_told_apart() -> None:
    """By their index; each has its own end."""
    events: Batch = ["a", ChoiceEvent(1, "b"), ChoiceEvent(1, FinishReason("length", "finish_reason"))]
    first, last = streamed(events)
    document = whole(events)["candidates"]

    assert [(0, "a"), (1, "b")] == [(each["index"], each["content"]["parts"][0]["text"]) for each in first["candidates"]]
    assert ("MAX_TOKENS", "STOP") == (first["candidates"][1]["finishReason"], last["candidates"][0]["finishReason"])
    assert [("a", "STOP"), ("b", "MAX_TOKENS")] == [
        (each["content"]["parts"][0]["text"], each["finishReason"]) for each in document
    ]


def test_what_goes_with_the_text_is_in_its_candidate() -> None:
    """Log probabilities, images and citations."""
    entry = {"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Ho", "logprob": -1.0}]}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    cited = {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2}}
    candidate = whole(["Hi", LogProbs([entry]), Images([image]), Annotations([cited])])["candidates"][0]

    assert {
        "chosenCandidates": [{"token": "Hi", "logProbability": -0.1}],
        "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1.0}]}],
    } == candidate["logprobsResult"]
    assert {"inlineData": {"mimeType": "image/png", "data": "aGk="}} == candidate["content"]["parts"][1]
    assert [{"startIndex": 0, "endIndex": 2, "uri": "https://a", "title": "A"}] == candidate["citationMetadata"][
        "citationSources"
    ]


def test_what_an_upstream_of_the_same_api_says_passes() -> None:
    """Members of the chunk and of the candidate, parts that other APIs do not know, its word for the end, signatures."""
    grounding = {"groundingMetadata": {"webSearchQueries": ["q"]}}
    part = {"executableCode": {"language": "PYTHON", "code": "1"}}
    events: Batch = [
        "Hi",
        Extra({"signature": "c2ln"}, 0, "google_gemini"),
        Extra({"candidates": [{"index": 0, "content": {"parts": [part]}}]}, 0, "google_gemini"),
        Extra({"candidates": [{"index": 0, "finishReason": "SPII", "finishMessage": "m", **grounding}]}, 0, "google_gemini"),
        Extra({"modelStatus": {"a": 1}}, 0, "google_gemini"),
    ]
    finish = FinishReason("content_filter", "finish_reason")
    said, last = streamed(events, finish)

    assert [{"text": "Hi", "thoughtSignature": "c2ln"}, part] == said["candidates"][0]["content"]["parts"]
    assert ({"a": 1}, ["q"]) == (said["modelStatus"], said["candidates"][0]["groundingMetadata"]["webSearchQueries"])
    for candidate in (last["candidates"][0], whole(events, finish)["candidates"][0]):
        assert ("SPII", "m") == (candidate["finishReason"], candidate["finishMessage"])


def test_an_empty_text_stands_in_no_chunk_with_a_call() -> None:
    """Gemini CLI leaves such a chunk out of the conversation, and the call with it."""
    signature = Extra({"signature": "c2ln"}, 0, "google_gemini")
    before, last = streamed([Reasoning("Hm."), signature, ToolCallDelta(0, "c1", "f", "{}")], head=SHOWING)

    assert {"text": "", "thoughtSignature": "c2ln"} == before["candidates"][0]["content"]["parts"][1]
    assert ["functionCall"] == [name for part in last["candidates"][0]["content"]["parts"] for name in part]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\n"])
def test_an_event_is_one_line_to_any_reader(end: str) -> None:
    """Older clients of Google's end a line where Python's `splitlines` does."""
    encoder = GOOGLE_GEMINI.encoder(HEAD)
    said = encoder.write([f"a{end}é"]) + encoder.fail(StreamError(end))

    assert 5 == len(said.decode().splitlines())
    assert f"a{end}é" == chunks(said.partition(b"\n\n")[0] + b"\n\n")[0]["candidates"][0]["content"]["parts"][0]["text"]


SIGNED = Extra({"delta": {"type": "signature_delta", "signature": "s"}, "thought": "Hm."}, 0, "anthropic_messages")


@pytest.mark.parametrize(("calls", "place"), [([], -1), ([ToolCallDelta(0, "c1", "f", "{}")], 0)])
def test_what_another_vendor_signed_comes_back_with_the_next_turn(calls: Batch, place: int) -> None:
    """With the first call, as clients keep its signature, or else with the last text."""
    parts = streamed([SIGNED, *calls])[-1]["candidates"][0]["content"]["parts"]
    returned = asked(contents=[HI, {"role": "model", "parts": [{"text": "Hi"}, *parts]}, HI]).messages[1]

    assert {"thoughtSignature", *(["functionCall"] if calls else ["text"])} == parts[place].keys()
    assert [{"type": "thinking", "thinking": "Hm.", "signature": "s"}] == returned["thinking_blocks"]
    assert not any("extra_content" in call for call in returned.get("tool_calls", ()))


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (StatusError("x", status=400), 400, "INVALID_ARGUMENT"),
        (StatusError("x", status=401), 401, "UNAUTHENTICATED"),
        (StatusError("x", status=403), 403, "PERMISSION_DENIED"),
        (StatusError("x", status=404), 404, "NOT_FOUND"),
        (StatusError("x", status=413), 413, "INVALID_ARGUMENT"),
        (StatusError("x", status=429), 429, "RESOURCE_EXHAUSTED"),
        (StatusError("x", status=500), 500, "INTERNAL"),
        (StatusError("x", status=503), 503, "UNAVAILABLE"),
        (StatusError("x", status=504), 504, "DEADLINE_EXCEEDED"),
        (StatusError("x", status=529), 529, "UNAVAILABLE"),
        (StreamError("x"), 502, "UNAVAILABLE"),
        (ValueError("a bug"), 500, "INTERNAL"),
    ],
    ids=str,
)
def test_errors_have_googles_words(error: BaseException, status: int, word: str) -> None:
    """Of a response, and of a stream that broke: there `error` is the first member, and its code a number."""
    got, _, body = GOOGLE_GEMINI.encode_error(error)
    said = json.loads(body)["error"]

    assert (status, status, word) == (got, said["code"], said["status"])
    assert "a bug" not in said["message"]
    event = GOOGLE_GEMINI.encode_error_event(error)
    assert event == GOOGLE_GEMINI.encoder(HEAD).fail(error) == b"data: %b\n\n%b\n" % (body, body)
    assert event.startswith(b'data: {"error":{"code":%d,' % status)


def test_an_error_says_how_long_to_wait_and_what_is_wrong() -> None:
    """In the details that Google's clients read."""
    error = StatusError("x", status=429, retry_after=1.5, code="rate_limit_exceeded", param="model")
    details = {
        each["@type"].rpartition(".")[2]: each for each in json.loads(GOOGLE_GEMINI.encode_error(error)[2])["error"]["details"]
    }

    assert ("1.5s", "RATE_LIMIT_EXCEEDED") == (details["RetryInfo"]["retryDelay"], details["ErrorInfo"]["reason"])
    assert ["model"] == [each["field"] for each in details["BadRequest"]["fieldViolations"]]


def test_a_prompt_that_does_not_fit_is_told_in_googles_words() -> None:
    """By which programs know that the conversation must be shorter."""
    says = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."
    error = StatusError(says, status=400, code="context_length_exceeded")

    said = json.loads(GOOGLE_GEMINI.encode_error(error)[2])["error"]["message"]
    assert said.startswith("The input token count (5000) exceeds the maximum number of tokens allowed (4096)")


def test_what_bridges_a_silence_says_nothing() -> None:
    """Neither a comment nor an empty line, at which clients fail, nor a chunk without a part: such an answer failed."""
    assert [[{"text": ""}]] == [
        chunk["candidates"][0]["content"]["parts"] for data in (GOOGLE_GEMINI.ping,) for chunk in chunks(data)
    ]
    assert GOOGLE_GEMINI.ping == GOOGLE_GEMINI.encoder(HEAD).sign(3)
    assert not GOOGLE_GEMINI.has_comments
