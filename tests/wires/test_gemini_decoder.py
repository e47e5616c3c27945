"""Answers of the Gemini API: tables of chunks and events, each cut at every byte and at random, and as one document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import HTTPError, IncompleteStreamError, StreamError
from autonomousai.events import (
    Annotations,
    ChoiceEvent,
    Extra,
    FinishReason,
    Images,
    LogProbs,
    Reasoning,
    Started,
    ToolCallDelta,
    Usage,
)
from autonomousai.wires.google_gemini.decoder import GeminiStreamDecoder, decode_gemini_answer
from autonomousai.wires.google_gemini.stop import filtered
from autonomousai.wires.google_gemini.upstream_shapes import WIRE
from tests.wires.conftest import NEW_ID
from tests.wires.cutting import cuts, every_byte, pieces

Json = dict[str, Any]

M = Started("m")


def chunk(*parts: Any, finish: str | None = None, index: int = 0, **members: Any) -> Json:
    """A chunk of one candidate; texts are parts."""
    candidate: Json = {"index": index, **{name: members.pop(name) for name in list(members) if name in CANDIDATE}}
    if parts:
        said = [{"text": part} if isinstance(part, str) else part for part in parts]
        candidate["content"] = {"role": "model", "parts": said}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", **members}


CANDIDATE = ("groundingMetadata", "citationMetadata", "logprobsResult", "safetyRatings", "finishMessage")


def sse(*chunks: Any, end: bytes = b"\r\n") -> bytes:
    return b"".join(
        b"data: %b%b%b" % (json.dumps(each).encode(), end, end) if isinstance(each, dict) else each for each in chunks
    )


def said(**candidate: Any) -> Extra:
    """What a candidate says that has no event."""
    return Extra({"candidates": [{"index": 0, **candidate}]}, 0, WIRE)


def counted(**usage: int) -> Extra:
    """The usage in the API's own words."""
    return Extra({"usageMetadata": usage}, 0, WIRE)


def stopped(word: str = "STOP") -> Extra:
    return said(finishReason=word)


def end(reason: str | None = "stop", usage: Usage | None = None, *notes: str) -> FinishReason:
    return FinishReason(reason, "finish_reason", usage, "m", None, notes)


def call(name: str = "f", **more: Any) -> Json:
    return {"functionCall": {"name": name, "args": {"a": 1}, **more}}


GROUNDED = {
    "groundingChunks": [{"web": {"uri": "http://a", "title": "A"}}, {"web": {"uri": "http://b"}}],
    "groundingSupports": [{"segment": {"startIndex": 3, "endIndex": 6}, "groundingChunkIndices": [0, 1, 7]}],
}


def cited(url: str, title: str, start: int, stop: int) -> Json:
    return {"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": start, "end_index": stop}}


#: What comes, and the events that it is.
STREAMS: dict[str, tuple[bytes, list[Any]]] = {
    "text": (
        sse(chunk("Hel"), chunk("lo", finish="STOP", usageMetadata={"promptTokenCount": 2, "candidatesTokenCount": 3})),
        [M, "Hel", "lo", stopped(), counted(promptTokenCount=2, candidatesTokenCount=3), end(usage=Usage(2, 3, 5))],
    ),
    "the reason alone": (sse(chunk("a"), chunk(finish="STOP")), [M, "a", stopped(), end()]),
    "usage behind the reason": (
        sse(chunk("a", finish="STOP"), {"usageMetadata": {"promptTokenCount": 1}, "modelVersion": "m"}),
        [M, "a", stopped(), counted(promptTokenCount=1), end(usage=Usage(1, 0, 1))],
    ),
    "chunks behind the reason": (
        sse(chunk("a", finish="STOP"), chunk("b", finish="STOP"), chunk("", finish="STOP")),
        [M, "a", stopped(), "b", stopped(), stopped(), end()],
    ),
    "a chunk that says nothing first": (
        sse(chunk(usageMetadata={"promptTokenCount": 1}), chunk("a", finish="STOP")),
        [M, "a", stopped(), end(usage=Usage(1, 0, 1))],
    ),
    "no text at all": (sse(chunk(finish="STOP")), [M, stopped(), end()]),
    "thoughts": (
        sse(chunk({"text": "hm", "thought": True}), chunk("a", finish="STOP")),
        [M, Reasoning("hm"), "a", stopped(), end()],
    ),
    "a signature behind the text": (
        sse(chunk("a"), chunk({"text": "", "thoughtSignature": "S"}, finish="STOP")),
        [M, "a", Extra({"signature": "S"}, 0, WIRE), stopped(), end()],
    ),
    "calls": (
        sse(chunk({**call(id="x"), "thoughtSignature": "S"}, call("g", id="y"), finish="STOP")),
        [
            M,
            ToolCallDelta(0, "x", "f", '{"a":1}', {"extra_content": {"google": {"thought_signature": "S"}}}),
            ToolCallDelta(1, "y", "g", '{"a":1}'),
            stopped(),
            end("tool_calls"),
        ],
    ),
    "calls without ids, and with one id": (
        sse(
            chunk(call(), finish=None),
            chunk(call("g", id="x")),
            chunk({"functionCall": {"name": "h", "id": "x"}}, finish="STOP"),
        ),
        [
            M,
            ToolCallDelta(0, NEW_ID, "f", '{"a":1}'),
            ToolCallDelta(1, "x", "g", '{"a":1}'),
            ToolCallDelta(2, NEW_ID, "h", "{}"),
            stopped(),
            end("tool_calls"),
        ],
    ),
    "the length": (sse(chunk("a", finish="MAX_TOKENS")), [M, "a", stopped("MAX_TOKENS"), end("length")]),
    "small letters": (
        sse(chunk(call(id="x"), finish="stop")),
        [M, ToolCallDelta(0, "x", "f", '{"a":1}'), stopped("stop"), end("tool_calls")],
    ),
    "the length of one request": (sse(chunk("a", finish="CONTINUATION")), [M, "a", stopped("CONTINUATION"), end("length")]),
    "a call that was cut": (
        sse(chunk(call(id="x"), finish="MAX_TOKENS")),
        [M, ToolCallDelta(0, "x", "f", '{"a":1}'), stopped("MAX_TOKENS"), end("length")],
    ),
    "an unknown reason": (sse(chunk("a", finish="NEW_WORD")), [M, "a", stopped("NEW_WORD"), end("NEW_WORD")]),
    "an image": (
        sse(chunk({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, finish="STOP")),
        [
            M,
            Images([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]),
            stopped(),
            end(),
        ],
    ),
    "a part that no other API has": (
        sse(chunk("a", {"executableCode": {"code": "1"}}, finish="STOP")),
        [M, "a", said(content={"parts": [{"executableCode": {"code": "1"}}]}), stopped(), end()],
    ),
    "what it rests on, in bytes, twice": (
        sse(chunk("äöü said", groundingMetadata=GROUNDED), chunk(finish="STOP", groundingMetadata=GROUNDED)),
        [
            M,
            "äöü said",
            said(groundingMetadata=GROUNDED),
            Annotations([cited("http://a", "A", 1, 3), cited("http://b", "", 1, 3)]),
            said(groundingMetadata=GROUNDED, finishReason="STOP"),
            end(),
        ],
    ),
    "pages that were found before": (
        sse(
            chunk("abc", groundingMetadata={"groundingChunks": GROUNDED["groundingChunks"][:1]}),
            chunk(finish="STOP", groundingMetadata={"groundingSupports": [{"groundingChunkIndices": [0]}]}),
        ),
        [
            M,
            "abc",
            said(groundingMetadata={"groundingChunks": GROUNDED["groundingChunks"][:1]}),
            Annotations([cited("http://a", "A", 0, 0)]),
            said(groundingMetadata={"groundingSupports": [{"groundingChunkIndices": [0]}]}, finishReason="STOP"),
            end(),
        ],
    ),
    "what it repeats": (
        sse(chunk("abc", finish="STOP", citationMetadata={"citationSources": [{"endIndex": 2, "uri": "http://a"}]})),
        [
            M,
            "abc",
            Annotations([cited("http://a", "", 0, 2)]),
            said(finishReason="STOP", citationMetadata={"citationSources": [{"endIndex": 2, "uri": "http://a"}]}),
            end(),
        ],
    ),
    "log probabilities": (
        sse(
            chunk(
                "a",
                finish="STOP",
                logprobsResult={
                    "chosenCandidates": [{"token": "a", "tokenId": 1, "logProbability": -0.5}],
                    "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1}]}],
                },
            )
        ),
        [
            M,
            "a",
            LogProbs(
                [
                    {
                        "token": "a",
                        "logprob": -0.5,
                        "bytes": [97],
                        "top_logprobs": [{"token": "b", "logprob": -1, "bytes": [98]}],
                    }
                ]
            ),
            stopped(),
            end(),
        ],
    ),
    "two candidates": (
        sse(chunk("a"), chunk("b", index=1), chunk(finish="STOP", index=1), chunk("c", finish="MAX_TOKENS")),
        [
            M,
            "a",
            ChoiceEvent(1, "b"),
            Extra({"candidates": [{"index": 1, "finishReason": "STOP"}]}, 0, WIRE),
            ChoiceEvent(1, FinishReason("stop", "finish_reason")),
            "c",
            stopped("MAX_TOKENS"),
            end("length"),
        ],
    ),
    "a prompt that was blocked": (
        sse({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}, "modelVersion": "m"}),
        [
            M,
            Extra({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}, 0, WIRE),
            end("content_filter", Usage(4, 0, 4), filtered("prompt", "SAFETY")),
        ],
    ),
    "blocked in the midst of it": (
        sse(chunk("a"), {"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "No."}}),
        [
            M,
            "a",
            Extra({"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "No."}}, 0, WIRE),
            end("content_filter", None, filtered("prompt", "OTHER", "No.")),
        ],
    ),
    **{
        f"stopped for {word}": (
            sse(chunk("a"), chunk(finish=word)),
            [M, "a", stopped(word), end("content_filter", None, filtered("answer", word))],
        )
        for word in (
            *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "OTHER"),
            *(
                "IMAGE_RECITATION",
                "IMAGE_PROHIBITED_CONTENT",
                "MODEL_ARMOR",
                "IMAGE_OTHER",
                "ESCALATION",
                "PUP_LIMITED_DISABLED",
            ),
        )
    },
}

#: What comes, the text that had come, and the error that it is.
BROKEN: dict[str, tuple[bytes, str, type[HTTPError], str]] = {
    "cut": (sse(chunk("a"), chunk("b")), "ab", IncompleteStreamError, "without a finish reason"),
    "cut in an event": (sse(chunk("a")) + b'data: {"candidates": [', "a", IncompleteStreamError, "without a finish reason"),
    "empty": (b"", "", IncompleteStreamError, "without a finish reason"),
    "empty candidates": (sse({"candidates": []}), "", IncompleteStreamError, "without a finish reason"),
    "no word of a reason": (
        sse(chunk("a", finish="FINISH_REASON_UNSPECIFIED")),
        "a",
        IncompleteStreamError,
        "without a finish reason",
    ),
    "a candidate without an end": (
        sse(chunk("b", index=1), chunk("a", finish="STOP")),
        "a",
        IncompleteStreamError,
        "without a finish reason",
    ),
    "an unreadable event": (
        sse(chunk("a"), b"data: {\r\n\r\n", chunk("b", finish="STOP")),
        "a",
        StreamError,
        "could not be read",
    ),
    "an error": (
        sse(chunk("a"), {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
        "a",
        StreamError,
        "overloaded",
    ),
    "an error in a list": (
        sse(chunk("a"), b'data: [{"error": {"code": 503, "message": "overloaded"}}]\n\n'),
        "a",
        StreamError,
        "overloaded",
    ),
    "an error that is no event": (
        sse(chunk("a"), b'{\n  "error": {\n    "code": 503,\n    "message": "overloaded"\n  }\n}\n'),
        "a",
        StreamError,
        "overloaded",
    ),
    "such an error that breaks off": (sse(chunk("a"), b'{\n  "error": {\n'), "a", StreamError, "could not be read"),
    **{
        f"broken off by {word}": (sse(chunk("a"), chunk(finish=word)), "a", StreamError, word)
        for word in (
            *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"),
            *("MALFORMED_RESPONSE", "NO_IMAGE"),
        )
    },
}


def outcome(stream: list[bytes]) -> list[Any]:
    """The events of a stream, with its end or the error that it is."""
    decoder = GeminiStreamDecoder()
    events: list[Any] = []
    for piece in stream:
        events += decoder.feed(piece)
    events += decoder.end()
    try:
        return [*events, decoder.finish()]
    except HTTPError as error:
        return [*events, error]


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_its_events(stream: bytes, expected: list[Any]) -> None:
    """In one read, and however its bytes are cut and its lines end."""
    assert expected == outcome([stream]) == outcome(every_byte(stream)) == outcome([stream.replace(b"\r\n", b"\n")])


@pytest.mark.parametrize(("stream", "text", "kind", "words"), BROKEN.values(), ids=BROKEN)
def test_a_stream_without_a_proven_end_is_an_error(stream: bytes, text: str, kind: type[HTTPError], words: str) -> None:
    """However it is cut; what came before is delivered, and trying again can help."""
    for reads in ([stream], every_byte(stream)):
        *events, error = outcome(reads)

        assert text == "".join(event for event in events if isinstance(event, str))
        assert type(error) is kind
        assert words in str(error)
        assert error.retryable


@pytest.mark.parametrize(
    "begun",
    [
        chunk(finish="MALFORMED_FUNCTION_CALL"),
        chunk(safetyRatings=[{"category": "X"}]),
        {"promptFeedback": {"safetyRatings": [1]}},
        {"error": {"code": 503, "message": "overloaded"}},
    ],
)
def test_what_says_nothing_begins_no_answer(begun: Json) -> None:
    """A gateway asks the next upstream then."""
    assert [] == GeminiStreamDecoder().feed(sse(begun))


def test_what_came_before_the_first_word_comes_with_it() -> None:
    """Nothing of it is lost."""
    ratings = [{"category": "X"}]
    events = outcome([sse(chunk(safetyRatings=ratings), chunk("a", finish="STOP"))])

    assert [M, said(safetyRatings=ratings), "a", stopped(), end()] == events


@given(st.sampled_from(sorted(STREAMS)), cuts)
def test_no_cut_changes_what_comes(name: str, cuts: list[int]) -> None:
    """At random places too."""
    stream, expected = STREAMS[name]

    assert expected == outcome(pieces(stream, cuts))


@given(st.sampled_from(sorted(BROKEN)), cuts)
def test_no_cut_changes_what_is_wrong(name: str, cuts: list[int]) -> None:
    """Nor what had come by then."""
    stream, text, kind, _ = BROKEN[name]
    *events, error = outcome(pieces(stream, cuts))

    assert (text, kind) == ("".join(event for event in events if isinstance(event, str)), type(error))


@given(st.binary(max_size=200), cuts)
def test_no_bytes_raise(noise: bytes, cuts: list[int]) -> None:
    """Whatever comes is an error that the caller gets, or an end."""
    last = outcome(pieces(sse(chunk("a")) + noise, cuts))[-1]

    assert isinstance(last, HTTPError | FinishReason)


def test_a_reason_in_each_chunk_proves_nothing_before_the_end() -> None:
    """A connection that breaks then has lost something; a body that came completely has not."""
    decoder = GeminiStreamDecoder()
    decoder.feed(sse(chunk("a", finish="STOP"), chunk("b", finish="STOP")))

    assert not decoder.is_proven
    assert "stop" == decoder.finish().reason
    with pytest.raises(IncompleteStreamError):
        decoder.finish(in_good_order=False)


def test_the_end_is_near_once_a_reason_stands_alone() -> None:
    """Beside text the rest of the answer may follow it."""
    beside, alone = GeminiStreamDecoder(), GeminiStreamDecoder()
    beside.feed(sse(chunk("a", finish="STOP")))
    alone.feed(sse(chunk("a"), chunk(finish="STOP")))

    assert (False, True) == (beside.ending, beside.is_proven)
    assert (True, True) == (alone.ending, alone.is_proven)


# ---- documents


def test_a_document_is_the_same_events() -> None:
    """As the stream of one chunk, with its own evidence where it names no reason."""
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
    document = chunk("Hi", finish="STOP", usageMetadata=usage)

    assert [M, "Hi", stopped(), counted(**usage), end(usage=Usage(1, 2, 3))] == decode_gemini_answer(
        json.dumps(document).encode()
    )
    assert [M, "Hi", FinishReason(None, "body", None, "m")] == decode_gemini_answer(json.dumps(chunk("Hi")).encode())


def test_a_list_is_a_stream_for_which_no_events_were_asked() -> None:
    """All of its chunks; one that has no end breaks off."""
    chunks = [chunk("a"), chunk("b", finish="STOP")]

    assert [M, "a", "b", stopped(), end()] == decode_gemini_answer(json.dumps(chunks).encode())
    with pytest.raises(IncompleteStreamError) as caught:
        decode_gemini_answer(json.dumps([chunk("a"), chunk("b")]).encode())
    assert "ab" == caught.value.partial


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([{"error": {"code": 500, "message": "boom"}}], "boom"),
        ({"error": {"code": 500, "message": "boom"}}, "boom"),
        ({"candidates": []}, "no candidate"),
        ({"usageMetadata": {}}, "no candidate"),
        ([], "could not be read"),
        ("text", "could not be read"),
        (chunk("a", finish="MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_a_document_without_an_answer_is_an_error(document: Any, words: str) -> None:
    """With the text that it holds all the same."""
    with pytest.raises(StreamError, match=words) as caught:
        decode_gemini_answer(json.dumps(document).encode())

    assert caught.value.partial == ("a" if "MALFORMED" in words else "")


# ---- tokens

USAGES: dict[str, tuple[Json, Usage | None]] = {
    "as usual": ({"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}, Usage(1, 2, 3)),
    "thoughts are part of the answer": (
        {"promptTokenCount": 20, "candidatesTokenCount": 198, "thoughtsTokenCount": 405, "totalTokenCount": 623},
        Usage(20, 603, 623, reasoning_tokens=405),
    ),
    "unless they are counted with it": (
        {"promptTokenCount": 20, "candidatesTokenCount": 603, "thoughtsTokenCount": 405, "totalTokenCount": 623},
        Usage(20, 603, 623, reasoning_tokens=405),
    ),
    "thoughts alone": (
        {"promptTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 12},
        Usage(5, 7, 12, reasoning_tokens=7),
    ),
    "the cache is part of the prompt": (
        {"promptTokenCount": 9, "cachedContentTokenCount": 8, "candidatesTokenCount": 1},
        Usage(9, 1, 10, cached_tokens=8),
    ),
    "and so is what tools read": (
        {"promptTokenCount": 9, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 14},
        Usage(13, 1, 14),
    ),
    "by kinds": (
        {
            "promptTokenCount": 3,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}, {"modality": "IMAGE", "tokenCount": 2}],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": 7}, None],
        },
        Usage(
            3,
            0,
            3,
            extra={
                "prompt_tokens_details": {"text_tokens": 1, "image_tokens": 2},
                "completion_tokens_details": {"audio_tokens": 4},
            },
        ),
    ),
    "numbers as text": ({"promptTokenCount": "12", "candidatesTokenCount": "3"}, Usage(12, 3, 15)),
    "nothing": ({"trafficType": "ON_DEMAND"}, None),
    "no numbers": ({"promptTokenCount": -1, "candidatesTokenCount": True, "totalTokenCount": 1.5}, None),
}


@pytest.mark.parametrize(("counted", "usage"), USAGES.values(), ids=USAGES)
def test_tokens_are_counted_as_chat_completions_count_them(counted: Json, usage: Usage | None) -> None:
    """Prompt, answer, thoughts, cache."""
    assert usage == outcome([sse(chunk("a", finish="STOP", usageMetadata=counted))])[-1].usage


def test_counts_are_cumulative() -> None:
    """The last one counts; one that a later chunk leaves out stays."""
    first = {"promptTokenCount": 5, "thoughtsTokenCount": 7, "candidatesTokenCount": 1}
    last = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 15}

    ended = outcome([sse(chunk("a", usageMetadata=first), chunk("b", finish="STOP", usageMetadata=last))])[-1]

    assert Usage(5, 10, 15, reasoning_tokens=7) == ended.usage
