"""Embeddings and rankings: which requests are taken, what an upstream is asked, and answers in either format, as bytes."""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.embeddings import pack_vector, read_embeddings, unpack_vector
from autonomousai.errors import StatusError, StreamError
from autonomousai.events import FinishReason, Started, Usage
from autonomousai.testing import embedding_list
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.openai_documents.document import DocumentWire
from autonomousai.wires.openai_documents.embeddings import OPENAI_EMBEDDINGS as WIRE
from autonomousai.wires.openai_documents.rerank import OPENAI_RERANK as RERANK

VECTORS = [[0.5, -1.0, 0.25], [1.0, 0.0, -0.125]]


def read(wire: DocumentWire = WIRE, **document: Any) -> Any:
    return wire.decode_request(json.dumps({"model": "m", **document}).encode(), wire.paths[0])


def asked(wire: DocumentWire, request: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(wire.encode_request(request, "up"))
    return body


def answered(document: Any, encoding_format: str | None = None, wire: DocumentWire = WIRE) -> dict[str, Any]:
    """What a caller gets of an upstream's answer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    echo = None if encoding_format is None else {"encoding_format": encoding_format}
    got: dict[str, Any] = json.loads(
        wire.encode_answer(
            wire.decode_answer(body), AnswerHead("x", 0, "m", echo=echo), extension={"upstream": "u", "attempts": []}
        )
    )
    return got


# ---- requests


@pytest.mark.parametrize(
    "document",
    [
        {"input": "a"},
        {"input": ["a", "b"]},
        {"input": [1, 2]},
        {"input": [[1, 2], [3]]},
        {"input": "a", "dimensions": 256, "encoding_format": "base64", "user": "u"},
        {"input": "a", "encoding_format": "int8", "truncate_prompt_tokens": -1, "input_type": "query"},
    ],
    ids=str,
)
def test_what_is_sent_reaches_the_upstream(document: dict[str, Any]) -> None:
    """As it was written; fields that nobody knows too."""
    assert {"model": "up", **document} == asked(WIRE, read(**document))


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [[1, [2]]]}, "input[0][1]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": 1}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "256"}, "dimensions"),
        ({"input": "a", "encoding_format": 1}, "encoding_format"),
        ({"input": "a", "headers": {}}, "headers"),
    ],
    ids=str,
)
def test_what_is_malformed_is_refused_by_name(document: dict[str, Any], param: str) -> None:
    """With a 400 that names the place."""
    with pytest.raises(StatusError) as refused:
        read(**document)

    assert (400, param) == (refused.value.status, refused.value.param)


def test_null_is_as_if_it_were_left_out() -> None:
    """So the answer comes in lists of numbers, the default. A stream there is none."""
    request = read(input="a", encoding_format=None, dimensions=None, user=None, stream=True)

    assert ({"model": "up", "input": "a"}, "float") == (asked(WIRE, request), request.echo["encoding_format"])


# ---- answers


@pytest.mark.parametrize("from_base64", [True, False])
@pytest.mark.parametrize("wanted", ["float", "base64", None])
def test_a_caller_gets_the_format_that_was_asked_for(from_base64: bool, wanted: str | None) -> None:
    """Whatever the upstream gives."""
    got = answered(embedding_list(*VECTORS, base64=from_base64), wanted)

    floats = [
        list(struct.unpack("<3f", b64decode(each["embedding"]))) if wanted == "base64" else each["embedding"]
        for each in got["data"]
    ]
    assert VECTORS == floats
    assert [("embedding", 0), ("embedding", 1)] == [(each["object"], each["index"]) for each in got["data"]]
    assert {"object": "list", "model": "m", "x_autonomousai": {"upstream": "u", "attempts": []}}.items() <= got.items()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_base64_is_little_endian_floats_of_32_bits(vector: list[float]) -> None:
    """As `struct` says it, there and back."""
    packed = pack_vector(vector)

    assert b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() == packed
    assert vector == unpack_vector(packed)


def test_numbers_pass_as_they_were_written() -> None:
    """Where nothing is to be converted, not even their digits change."""
    body = b'{"data":[{"embedding":[0.10,-1e-3, 2]}]}'
    events = WIRE.decode_answer(body)

    assert b"[0.10,-1e-3, 2]" in WIRE.encode_answer(events, AnswerHead("x", 0, "m"))


def test_the_order_is_that_of_the_inputs() -> None:
    """By the index; where that says nothing, as it came."""
    entries = embedding_list(*VECTORS)["data"]
    turned = answered({"data": entries[::-1]})
    without = answered({"data": [{"embedding": each["embedding"]} for each in entries]})
    alike = answered({"data": [{**each, "index": 0} for each in entries]})

    for got in (turned, without, alike):
        assert VECTORS == [each["embedding"] for each in got["data"]]
    assert [0, 1] == [each["index"] for each in turned["data"]]


@pytest.mark.parametrize(
    ("usage", "shown", "counted"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, {"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0, 3)),
        (
            {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.1},
            {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.1},
            Usage(3, 0, 3, extra={"cost": 0.1}),
        ),
        (None, {"prompt_tokens": 0, "total_tokens": 0}, None),
        ({"total_tokens": 3}, {"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0, 3)),
        ({"prompt_tokens": 3}, {"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0, 3)),
        (
            {"input_tokens": 3},
            {"input_tokens": 3, "prompt_tokens": 3, "total_tokens": 3},
            Usage(3, 0, 3, extra={"input_tokens": 3}),
        ),
        ("none", {"prompt_tokens": 0, "total_tokens": 0}, None),
    ],
    ids=["told", "with more", "not told", "a total alone", "without a total", "in other words", "no object"],
)
def test_usage(usage: Any, shown: Any, counted: Usage | None) -> None:
    """As the upstream tells it; clients want the member, so it is 0 where it does not."""
    document = {**embedding_list(*VECTORS, usage={}), **({} if usage is None else {"usage": usage})}
    finish = WIRE.decode_answer(json.dumps(document).encode())[-1]

    assert shown == answered(document)["usage"]
    assert isinstance(finish, FinishReason)
    assert counted == finish.usage


@pytest.mark.parametrize(
    "document",
    [
        [{"embedding": vector} for vector in VECTORS],
        [{"index": place, "embedding": [vector]} for place, vector in enumerate(VECTORS)],
        VECTORS,
        {"data": VECTORS},
        {"data": [{"index": str(place), "embedding": vector} for place, vector in enumerate(VECTORS)][::-1]},
        {"data": [{"index": None, "embedding": vector} for vector in VECTORS]},
        {"data": [{"index": "x", "embedding": vector} for vector in VECTORS]},
        {"data": [{"embedding": [str(number) for number in vector]} for vector in VECTORS]},
        {"code": 0, "data": {"data": [{"embedding": vector} for vector in VECTORS]}},
        {"success": True, "result": {"data": VECTORS}},
    ],
    ids=[
        *("a list", "a list of pooled ones", "vectors alone", "vectors in data", "indices as text", "no index", "an odd index"),
        *("numbers as text", "wrapped", "wrapped and alone"),
    ],
)
def test_odd_shapes(document: Any) -> None:
    """Lists without their object, vectors without theirs, and indices of other types are read."""
    read_again = read_embeddings(WIRE.decode_answer(json.dumps(document).encode()))

    got = answered(document)["data"]

    assert VECTORS == read_again.vectors == [each["embedding"] for each in got]
    assert [0, 1] == [each["index"] for each in got]


@pytest.mark.parametrize(
    ("inputs", "vectors", "fits"),
    [
        ("a", 1, True),
        (["a", "b"], 2, True),
        ([1, 2, 3], 1, True),
        ([[1, 2], [3]], 2, True),
        ("a", 2, False),
        (["a", "b"], 1, False),
        ([[1, 2], [3]], 1, False),
    ],
)
def test_each_input_has_its_vector(inputs: Any, vectors: int, fits: bool) -> None:
    """Where one is missing, nothing says which one: all that follow would be another input's."""
    batch = WIRE.decode_answer(json.dumps(embedding_list(*[[1.0]] * vectors)).encode())
    body = WIRE.encode_request(read(input=inputs), "up")

    if fits:
        WIRE.check_answer(batch, body)
    else:
        with pytest.raises(StreamError, match=rf"with {vectors} embeddings") as caught:
            WIRE.check_answer(batch, body)
        assert caught.value.retryable


def test_unknown_members_pass() -> None:
    """Of the answer and of each embedding."""
    document = {**embedding_list([1.0]), "id": "e-1", "data": [{"embedding": [1.0], "truncated": True}]}
    got = answered(document)

    assert ("e-1", True) == (got["id"], got["data"][0]["truncated"])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"error":{"message":"boom","code":500}}', "boom"),
        (b'{"object":"error","message":"boom"}', "boom"),
        (b'{"data":[]}', "lacks embeddings"),
        (b'{"data":[{"index":0}]}', "lacks embeddings"),
        (b'{"data":{"embedding":[1]}}', "cannot be read"),
        (b'{"data":[{"embedding":[1],"index":[]}]}', "cannot be read"),
        (b'{"data":null}', "cannot be read"),
        (b'{"data":[{"embedding":null}]}', "cannot be read"),
        (b'{"data":[{"embedding":[]}]}', "it is empty"),
        (b'{"data":[{"embedding":""}]}', "it is empty"),
        (b'{"data":[{"embedding":[null,1]}]}', "cannot be read"),
        (b'{"data":[{"embedding":[[1,2],[null,3]]}]}', "cannot be read"),
        (b'{"data":[{"embedding":[1,NaN]}]}', "no valid JSON"),
        (b'[{"error":{"message":"boom","code":500}}]', "boom"),
        (b"[]", "lacks embeddings"),
        (b'{"data":[{"embedding":[1', "cannot be read"),
        (b"{}", "cannot be read"),
    ],
)
def test_what_is_no_answer_is_an_error(body: bytes, says: str) -> None:
    """Whatever status it came with."""
    with pytest.raises(StreamError, match=says):
        WIRE.decode_answer(body)


@pytest.mark.parametrize("embedding", ["AAA", "AAAA", "not base64!", [1, None], [[1], [2]], {"a": 1}, None, 5])
def test_a_vector_that_is_none_is_an_error(embedding: Any) -> None:
    """Where it must be read."""
    wanted = "float" if isinstance(embedding, str) else "base64"

    with pytest.raises(StreamError, match="cannot be read"):
        answered({"data": [{"embedding": embedding}]}, wanted)


def test_events_are_read_as_vectors() -> None:
    """Of either format."""
    for base64 in (True, False):
        got = read_embeddings(WIRE.decode_answer(json.dumps(embedding_list(*VECTORS, base64=base64)).encode()))

        assert (VECTORS, "scripted", Usage(1, 0, 1), 2) == (list(got), got.model, got.usage, len(got))
    with pytest.raises(StreamError, match="no embeddings"):
        read_embeddings([Started("m"), "Hello", FinishReason("stop", "finish_reason")])


# ---- rankings

RANKED = {
    "id": "r",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "usage": {"total_tokens": 5},
}


@pytest.mark.parametrize(
    "document",
    [
        {"query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": True},
        {"query": {"text": "q"}, "documents": [{"text": "a"}], "max_chunks_per_doc": 2},
    ],
    ids=str,
)
def test_a_ranking_is_asked_for_as_it_was(document: dict[str, Any]) -> None:
    """Under the upstream's name of the model."""
    assert {"model": "up", **document} == asked(RERANK, read(RERANK, **document))


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "q", "documents": "a"}, "documents"),
        ({"query": "q", "documents": ["a", 1]}, "documents[1]"),
        ({"query": 1, "documents": ["a"]}, "query"),
        ({"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ({"query": "q", "documents": ["a"], "return_documents": 1}, "return_documents"),
    ],
    ids=str,
)
def test_a_malformed_ranking_is_refused_by_name(document: dict[str, Any], param: str) -> None:
    """With a 400."""
    with pytest.raises(StatusError) as refused:
        read(RERANK, **document)

    assert (400, param) == (refused.value.status, refused.value.param)


def test_a_ranking_passes_as_it_is() -> None:
    """With the model's name here, and how it came about."""
    assert {**RANKED, "model": "m", "x_autonomousai": {"upstream": "u", "attempts": []}} == answered(RANKED, wire=RERANK)


def test_an_answer_of_another_kind_is_none() -> None:
    """A provider that says text where vectors are wanted."""
    with pytest.raises(StreamError, match="none of"):
        WIRE.encode_answer([Started("m"), "Hello", FinishReason("stop", "finish_reason")], AnswerHead("x", 0, "m"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([{"index": 1, "score": 0.5, "text": "b"}], [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}]),
        ([{"score": 1, "document": "a", "index": 0}], [{"index": 0, "relevance_score": 1, "document": {"text": "a"}}]),
        ({"object": "list", "data": [{"relevance_score": 0.5, "index": 0}]}, [{"index": 0, "relevance_score": 0.5}]),
        ({"results": [{"index": 0, "relevance_score": 0.5, "document": None}]}, [{"index": 0, "relevance_score": 0.5}]),
        (
            {"results": [{"index": 0, "relevance_score": 0.1, "x": 1}, {"index": 1, "relevance_score": 0.9}]},
            [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1, "x": 1}],
        ),
        ({"output": {"results": [{"index": 0, "relevance_score": 0.5}]}}, [{"index": 0, "relevance_score": 0.5}]),
        ({"data": {"results": [{"index": 0, "relevance_score": 0.5}]}}, [{"index": 0, "relevance_score": 0.5}]),
    ],
)
def test_a_ranking_in_the_shapes_of_other_servers(document: Any, expected: Any) -> None:
    """Text Embeddings Inference, SGLang, Voyage, vLLM and gateways: clients read one shape, the best first."""
    got = answered(document, wire=RERANK)

    assert expected == got["results"]
    assert {"results", "model", "x_autonomousai"} == set(got)


@pytest.mark.parametrize("document", [{"results": [{"index": 0}]}, {"results": [1]}, {"results": "x"}])
def test_a_ranking_without_scores_is_none(document: Any) -> None:
    """The next upstream is asked."""
    with pytest.raises(StreamError) as error:
        answered(document, wire=RERANK)

    assert error.value.retryable
