"""What the wire does not know passes unchanged: decoded and encoded again, a stream or a document is the one that came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autonomousai.events import Batch, FinishReason
from autonomousai.wires.merging import merge_values
from autonomousai.wires.openai_chat.completion import decode_completion, encode_completion
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.quoted_arguments import is_quoted
from tests.wires.cutting import pieces

Json = dict[str, Any]

#: Names that no member of the wire has.
NAMES = st.sampled_from(["citations", "service_tier", "x", "native_finish_reason", "timings", "token_ids", "ä"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)
UNKNOWN = st.dictionaries(NAMES, VALUES, max_size=2)

#: What begins with a quote may be JSON twice, and is read otherwise.
ARGUMENTS = st.text(max_size=5).filter(lambda text: not is_quoted(text))


@st.composite
def calls(draw: st.DrawFn) -> list[Json]:
    function = {"name": "f", "arguments": draw(ARGUMENTS), **draw(UNKNOWN)}
    return [{"index": 0, "id": "c", "type": "function", "function": function, **draw(UNKNOWN)}]


@st.composite
def deltas(draw: st.DrawFn) -> Json:
    said: Json = draw(
        st.sampled_from(
            [{}, {"content": "a"}, {"content": "b c"}, {"reasoning": "hm"}, {"refusal": "no"}, {"annotations": [{"url": 1}]}]
        )
    )
    if draw(st.integers(0, 4)) == 0:
        said = {**said, "tool_calls": draw(calls())}
    return {**said, **draw(UNKNOWN)}


@st.composite
def streams(draw: st.DrawFn) -> list[Json]:
    """The chunks of a valid stream, with unknown members at any depth."""
    constant = draw(UNKNOWN)
    chunks = []
    is_called = False
    for delta in draw(st.lists(deltas(), min_size=1, max_size=4)):
        for call in delta.get("tool_calls", ()):
            if is_called:  # these go with the first piece
                del call["id"], call["type"], call["function"]["name"]
            is_called = True
        choice = {"index": 0, "delta": delta, "finish_reason": None, **draw(UNKNOWN)}
        if draw(st.integers(0, 5)) == 0:
            choice["logprobs"] = {"content": [{"token": "a", "logprob": -1}], "refusal": None}
        chunks.append({"model": "m", "choices": [choice], **(constant or draw(UNKNOWN))})
    reason = "tool_calls" if is_called else "stop"
    chunks.append(
        {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason, **draw(UNKNOWN)}], **draw(UNKNOWN)}
    )
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, **draw(UNKNOWN)}
    return [*chunks, {"model": "m", "choices": [], "usage": usage, **draw(UNKNOWN)}]


def sent(chunks: list[Json]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def again(data: bytes, cuts: list[int]) -> list[Json]:
    """The chunks that are written of what was read, without the ``[DONE]``."""
    decoder = ChatStreamDecoder()
    encoder = ChatStreamEncoder(id="c", created=0, model="m", include_usage=True)
    written = b""
    for piece in pieces(data, cuts):
        written += encoder.write(decoder.feed(piece))
    written += encoder.end(decoder.finish())
    return [json.loads(event[6:]) for event in written.split(b"\n\n")[:-2]]


def unknown_of(chunk: Json) -> Json:
    """A chunk as it is compared: without what every encoder writes by itself, and what says nothing."""
    known = {"id", "object", "created", "model"}
    compared = {name: value for name, value in chunk.items() if name not in known and not (name == "usage" and value is None)}
    return {**compared, "choices": [{**choice, "delta": spoken(choice["delta"])} for choice in compared["choices"]]}


def spoken(delta: Json) -> Json:
    """A delta without the role, which the first chunk alone names, and without empty text."""
    return {name: value for name, value in delta.items() if name != "role" and value != ""}


def says_nothing(chunk: Json) -> bool:
    """Whether a chunk holds nothing but an empty delta."""
    rest = unknown_of(chunk)
    return rest == {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]}


def folded(chunks: list[Json]) -> Json:
    """All chunks as one, as clients fold them; what the last one says of the whole goes last."""
    whole: Json = {}
    for chunk in chunks:
        for choice in unknown_of(chunk)["choices"]:
            merge_values(whole, {"delta": choice["delta"], "reason": {"finish": choice["finish_reason"] or ""}})
    return whole


#: The last chunk repeats what the first one has, and that with the usage does not.
REPEATED: list[Json] = [
    {"model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "citations": None},
    {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "citations": None},
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
]


@example(REPEATED, [])
@given(streams(), st.lists(st.integers(0, 3000), max_size=5))
def test_a_stream_comes_through_with_all_its_members(chunks: list[Json], cuts: list[int]) -> None:
    """Each chunk with unknown members is one chunk again, equal to it; and what all of them say is what was said."""
    data = sent(chunks)

    written = again(data, sorted({cut for cut in cuts if 0 < cut < len(data)}))

    there = [unknown_of(chunk) for chunk in written]
    for chunk in chunks:
        wanted = unknown_of(chunk)
        choice = (wanted["choices"] or [{}])[0]
        known = {"index", "delta", "finish_reason", "logprobs"}
        has_unknown = set(wanted) - {"choices", "usage"} or set(choice) - known or "citations" in choice.get("delta", {})
        if has_unknown and not says_nothing(chunk):
            assert wanted in there
    assert folded(chunks) == folded(written)


DOCUMENT = {
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "a",
                "refusal": None,
                "annotations": [{"type": "url_citation"}],
                "audio": {"id": "x"},
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "s"}},
                    }
                ],
            },
            "logprobs": {"content": [{"token": "a", "logprob": -0.5}], "refusal": None},
            "finish_reason": "tool_calls",
            "stop_reason": 2,
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": "b", "refusal": None, "x": 1},
            "logprobs": None,
            "finish_reason": "length",
        },
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "cost": 0.5,
        "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
    },
    "citations": ["https://example.com"],
}


def test_a_document_comes_through_equal() -> None:
    """With both choices, log probabilities, signatures, annotations, prices and everything else."""
    assert DOCUMENT == json.loads(
        encode_completion(decode_completion(json.dumps(DOCUMENT).encode()), id="c", created=0, model="m")
    )


def test_a_document_is_played_as_a_stream_with_all_its_members() -> None:
    """A server that answers in one piece where a stream was asked for loses nothing."""
    events = decode_completion(json.dumps(DOCUMENT).encode())
    encoder = ChatStreamEncoder(id="c", created=0, model="m", include_usage=True)
    finish = events[-1]
    assert isinstance(finish, FinishReason)

    written = (encoder.write(events) + encoder.end(finish)).decode()

    assert all(
        member in written for member in ("thought_signature", "url_citation", '"audio"', "stop_reason", "cost", "citations")
    )


@pytest.mark.parametrize("name", ["message", "ping", "heartbeat"])
def test_an_event_that_is_no_chunk_passes(name: str) -> None:
    """With its type and its data, after the answer has begun; whatever stands in it."""
    foreign = b'event: %b\ndata: {"type": "ping", "n": 1}\n\n' % name.encode()
    data = foreign + sent([{"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}])
    decoder = ChatStreamDecoder()
    batch: Batch = decoder.feed(data)

    written = ChatStreamEncoder(id="c", created=0, model="m").write(batch)

    wanted = b'data: {"type": "ping", "n": 1}\n\n' if name == "message" else foreign
    assert wanted in written
    assert written.index(b'"role"') < written.index(wanted)


def test_several_choices_are_told_apart() -> None:
    """Each piece stays with its choice, and the end is proven when all of them have ended."""

    def chunk(index: int, text: str, reason: str | None = None) -> Json:
        return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}

    decoder = ChatStreamDecoder()
    encoder = ChatStreamEncoder(id="c", created=0, model="m")
    stream = sent([chunk(0, "a"), chunk(1, "x"), chunk(0, "b"), chunk(0, "", "stop")]).removesuffix(b"data: [DONE]\n\n")
    written = encoder.write(decoder.feed(stream))
    early = decoder.is_proven
    written += encoder.write(decoder.feed(sent([chunk(1, "y", "length")]).removesuffix(b"data: [DONE]\n\n")))

    assert (False, True) == (early, decoder.is_proven)
    said = [choice for event in written.split(b"\n\n")[:-1] for choice in json.loads(event[6:])["choices"]]
    texts = {index: "".join(each["delta"].get("content", "") for each in said if each["index"] == index) for index in (0, 1)}
    assert {0: "ab", 1: "xy"} == texts
    assert ["length"] == [each["finish_reason"] for each in said if each["index"] == 1 and each["finish_reason"]]


def with_halves(half: str) -> list[Json]:
    """Choices that hold half a surrogate pair, each in another place."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "x": half}, "x": [half]}
    token = {"token": half, "logprob": -1, "top_logprobs": [{"token": half, "logprob": -1}]}
    return [
        {"delta": {"content": half}},
        {"delta": {"content": [{"type": "text", "text": half}]}},
        {"delta": {"content": "a", "x": {half: half}}},
        {"delta": {"content": "a", "reasoning": half}},
        {"delta": {"content": "a", "annotations": [{"title": half}]}},
        {"delta": {"content": "a", "images": [{"url": half}]}},
        {"delta": {"content": "a", "tool_calls": [call]}},
        {"delta": {"content": "a"}, "logprobs": {"content": [token]}},
        {"delta": {"content": "a"}, "x": half},
    ]


@pytest.mark.parametrize("choice", with_halves("a\ud83d") + with_halves("\udc00b"), ids=str)
def test_half_a_character_anywhere_breaks_no_answer(choice: Json) -> None:
    """A token may be half an emoji: in a log probability, or in what the wire does not know, it is replaced, as in text."""
    stream = again(sent([{"choices": [{"index": 0, **choice}], "x": 1}, {"choices": [{**STOP, "x": HALF}], "x": HALF}]), [])
    message = {**choice, "message": choice["delta"], **STOP, "x": HALF}
    document = json.dumps({"choices": [message], "usage": {"prompt_tokens": 1, "x": HALF}}).encode()

    assert "\ufffd" in str(stream)
    assert "\ufffd" in encode_completion(decode_completion(document), id="c", created=0, model="m").decode()


HALF = "\ud800"
STOP: Json = {"index": 0, "delta": {}, "finish_reason": "stop"}
