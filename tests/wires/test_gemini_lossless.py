"""Caller and upstream of the Gemini API: what is not known here passes unchanged, in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.sealed_thoughts import pack
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.google_gemini.decoder import GeminiStreamDecoder, decode_gemini_answer
from autonomousai.wires.google_gemini.thoughts import SHOWN, signature_of
from autonomousai.wires.google_gemini.upstream_contents import UNSIGNED
from autonomousai.wires.google_gemini.upstream_request import write_gemini_request
from autonomousai.wires.registry import GOOGLE_GEMINI
from tests.wires.cutting import cuts, pieces

Json = dict[str, Any]

HEAD = AnswerHead("resp", 1, "m", echo={SHOWN: True})
GENERATE, STREAM = GOOGLE_GEMINI.paths

NAMES = st.text("abcXYZ", min_size=3, max_size=6).map(lambda name: f"x{name}")
VALUES: Any = st.recursive(
    st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)
UNKNOWN = st.dictionaries(NAMES, VALUES, max_size=2)

CALL = st.fixed_dictionaries(
    {"functionCall": st.fixed_dictionaries({"id": st.sampled_from("ab"), "name": st.just("f"), "args": UNKNOWN})}
)
SIGNATURES = st.sampled_from([None, "U0lHTkVE"])


def signed(part: Json, signature: str | None) -> Json:
    return {**part, "thoughtSignature": signature} if signature else part


PARTS = (
    st.fixed_dictionaries({"text": st.text(min_size=1, max_size=6)})
    | st.fixed_dictionaries({"text": st.text(min_size=1, max_size=6), "thought": st.just(True)})
    | st.fixed_dictionaries({"executableCode": UNKNOWN})
    | st.fixed_dictionaries({"inlineData": st.fixed_dictionaries({"mimeType": st.just("image/png"), "data": st.just("AAAA")})})
)


@st.composite
def answers(draw: Any) -> Json:
    """A complete answer: parts, then a call, then why it ended."""
    parts = draw(st.lists(PARTS, min_size=1, max_size=4))
    if draw(st.booleans()):
        parts.append(signed(draw(CALL), draw(SIGNATURES)))
    reason = draw(st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "SPII"]))
    grounding = {"groundingChunks": [{"web": {"uri": "http://a", "title": "t"}}], **draw(UNKNOWN)}
    candidate = {
        "content": {"parts": parts, "role": "model"},
        "finishReason": reason,
        "index": 0,
        **draw(st.sampled_from([{}, {"groundingMetadata": grounding}])),
        **{name: value for name, value in draw(UNKNOWN).items() if value not in ([], {})},
    }
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7, **draw(UNKNOWN)}
    return {"candidates": [candidate], "usageMetadata": usage, **draw(UNKNOWN)}


def joined(parts: list[Json]) -> list[Json]:
    """Parts as they are said: texts of one kind in a row are one."""
    said: list[Json] = []
    for part in parts:
        plain = part.keys() <= {"text", "thought"}
        if plain and said and said[-1].keys() == part.keys():
            said[-1] = {**part, "text": said[-1]["text"] + part["text"]}
        else:
            said.append(part)
    return said


def comparable(answer: Json) -> Json:
    """An answer without what each server writes anew."""
    rest = {name: value for name, value in answer.items() if name not in ("modelVersion", "responseId", "x_autonomousai")}
    candidates = [
        {**each, "content": {"parts": joined(each["content"]["parts"]), "role": "model"}} for each in rest["candidates"]
    ]
    return {**rest, "candidates": candidates}


@given(answers())
def test_a_document_passes_unchanged(answer: Json) -> None:
    """Whatever its upstream says of it."""
    events = decode_gemini_answer(json.dumps({**answer, "modelVersion": "m"}).encode())

    passed = json.loads(GOOGLE_GEMINI.encode_answer(events, HEAD))

    assert comparable(answer) == comparable(passed)


@given(answers(), cuts)
def test_a_stream_passes_unchanged(answer: Json, cuts: list[int]) -> None:
    """In other chunks perhaps, but with all of it."""
    candidate = answer["candidates"][0]
    chunks = [
        {"candidates": [{"content": {"parts": [part]}}], "modelVersion": "m"} for part in candidate["content"]["parts"][:-1]
    ]
    last = {**answer, "candidates": [{**candidate, "content": {"parts": candidate["content"]["parts"][-1:]}}]}
    stream = b"".join(b"data: %b\r\n\r\n" % json.dumps(each).encode() for each in [*chunks, last])
    decoder, encoder = GeminiStreamDecoder(), GOOGLE_GEMINI.encoder(HEAD)

    written = b"".join(encoder.write(batch) for piece in pieces(stream, cuts) if (batch := decoder.feed(piece)))
    written += encoder.end(decoder.finish())

    assert comparable(answer) == comparable(folded(written))


def folded(stream: bytes) -> Json:
    """What a client makes of a stream."""
    answer: Json = {}
    parts: list[Json] = []
    candidate: Json = {}
    for line in stream.split(b"\n"):
        if line.startswith(b"data: "):
            chunk = json.loads(line[6:])
            for each in chunk.get("candidates", ()):
                parts += each.get("content", {}).get("parts", ())
                candidate |= each
            answer |= chunk
    shown = [part for part in parts if part != {"text": ""}] or parts
    return {**answer, "candidates": [{**candidate, "content": {"parts": shown}}]}


CONTENTS = st.lists(
    st.builds(
        lambda role, parts: {"role": role, "parts": parts},
        st.sampled_from(["user", "model"]),
        st.lists(PARTS | CALL, min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=3,
)


@given(CONTENTS, UNKNOWN, UNKNOWN, UNKNOWN, st.booleans())
def test_a_request_passes_unchanged(contents: Json, config: Json, tool: Json, unknown: Json, stream: bool) -> None:
    """With all that it holds, known here or not."""
    document = {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}, *contents],
        "generationConfig": {"temperature": 0.5, **config},
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}, tool],
        "safetySettings": [{"category": "X", "threshold": "Y"}],
        **unknown,
    }

    request = GOOGLE_GEMINI.decode_request(json.dumps(document).encode(), STREAM if stream else GENERATE)

    assert document == json.loads(write_gemini_request(request, "gemini-3-pro"))


def request_of(*contents: Json, **more: Any) -> Any:
    return GOOGLE_GEMINI.decode_request(json.dumps({"contents": contents, **more}).encode(), GENERATE)


def test_what_was_changed_since_is_changed() -> None:
    """By a gateway, in the words of chat completions."""
    request = request_of({"parts": [{"text": "Hi"}]}, generationConfig={"topP": 0.5, "seed": 1}).with_fields(seed=7)

    assert {"topP": 0.5, "seed": 7} == json.loads(write_gemini_request(request, "m"))["generationConfig"]


@pytest.mark.parametrize("model", ["gemini-3-pro", "gemini-2.5-pro"])
def test_thoughts_of_other_vendors_are_left_out(model: str) -> None:
    """Where another upstream answered before: a call says that it has no signature."""
    foreign = signature_of([pack({"type": "redacted_thinking", "data": "x"})])
    call = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": foreign}
    own = {"text": "b", "thoughtSignature": "U0lHTkVE"}
    said = {"role": "model", "parts": [{"text": "a", "thoughtSignature": foreign}, own, call]}

    body = json.loads(write_gemini_request(request_of({"role": "user", "parts": [{"text": "Hi"}]}, said), model))

    unsigned = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": UNSIGNED}
    assert [{"text": "a"}, own, unsigned] == body["contents"][1]["parts"]


def test_the_model_is_that_of_the_path() -> None:
    """Some clients repeat it in the body, under the name that the route has."""
    assert "model" not in json.loads(write_gemini_request(request_of({"parts": [{"text": "Hi"}]}, model="models/llama"), "m"))
