"""Text completions: which requests are taken, what an upstream is asked, and events as chunks and documents, as bytes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.answer import Answer
from autonomousai.errors import IncompleteStreamError, StatusError, StreamError
from autonomousai.events import Batch, ChoiceEvent, FinishReason, LogProbs, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.openai_completions.wire import OPENAI_COMPLETIONS as WIRE
from tests.support.sockets import events

HEAD = AnswerHead("cmpl-1", 1700000000, "m")
OLD = {"tokens": ["Hel", "lo"], "token_logprobs": [-0.1, -0.2], "top_logprobs": [{"Hel": -0.1}, None], "text_offset": [0, 3]}


def read(**document: Any) -> Any:
    return WIRE.decode_request(json.dumps(document).encode(), "/v1/completions")


def asked(request: Any, model: str = "up") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(WIRE.encode_request(request, model))
    return body


# ---- requests


@pytest.mark.parametrize(
    "document",
    [
        {"prompt": "a"},
        {"prompt": ""},
        {"prompt": ["a"]},
        {"prompt": ["a", ""]},
        {"prompt": [1, 2, 3]},
        {"prompt": [[1, 2], [3]]},
        {"prompt": "a", "suffix": "b"},
        {"prompt": "a", "max_tokens": 0, "echo": True},
        {"prompt": "a", "n": 2, "best_of": 3, "logprobs": 0},
        {"prompt": "a", "logprobs": 5, "echo": True, "stop": ["\n"], "logit_bias": {"50256": -100}},
        {"prompt": "a", "guided_json": {"x": 1}, "add_special_tokens": False},
    ],
    ids=str,
)
def test_what_is_sent_reaches_the_upstream(document: dict[str, Any]) -> None:
    """As it was written, under the upstream's own name of the model; fields that nobody knows too."""
    request = read(model="m", **document)

    assert {**document, "model": "up", "stream": False} == asked(request)
    assert request.is_raw
    assert "m" == request.model


@pytest.mark.parametrize(
    ("document", "param", "code"),
    [
        ({}, "prompt", "missing"),
        ({"prompt": None}, "prompt", "missing"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": [[]]}, "prompt[0]", "invalid_value"),
        ({"prompt": 5}, "prompt", "invalid_type"),
        ({"prompt": {"text": "a"}}, "prompt", "invalid_type"),
        ({"prompt": ["a", 1]}, "prompt[1]", "invalid_type"),
        ({"prompt": ["a", None]}, "prompt[1]", "invalid_type"),
        ({"prompt": [1, "a"]}, "prompt[1]", "invalid_type"),
        ({"prompt": [1, -2]}, "prompt[1]", "invalid_value"),
        ({"prompt": [1, 1.5]}, "prompt[1]", "invalid_type"),
        ({"prompt": [True]}, "prompt[0]", "invalid_type"),
        ({"prompt": [[1], 2]}, "prompt[1]", "invalid_type"),
        ({"prompt": [[1], ["a"]]}, "prompt[1][0]", "invalid_type"),
        ({"prompt": "a", "suffix": 1}, "suffix", "invalid_type"),
        ({"prompt": "a", "echo": "yes"}, "echo", "invalid_type"),
        ({"prompt": "a", "n": "2"}, "n", "invalid_type"),
        ({"prompt": "a", "logprobs": "5"}, "logprobs", "invalid_type"),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"prompt": "a", "api_key": "x"}, "api_key", "unsupported"),
    ],
    ids=str,
)
def test_what_is_malformed_is_refused_by_name(document: dict[str, Any], param: str, code: str) -> None:
    """With a 400 that names the place."""
    with pytest.raises(StatusError) as refused:
        read(model="m", **document)

    assert (400, param, code) == (refused.value.status, refused.value.param, refused.value.code)


def test_null_is_as_if_it_were_left_out() -> None:
    """The SDK's users send it."""
    request = read(model="m", prompt="a", suffix=None, logprobs=None, stop=None, n=None, stream=None, logit_bias={}, user=None)

    assert {"model": "up", "prompt": "a", "stream": False} == asked(request)


def test_a_stream_is_asked_for_its_usage() -> None:
    """Whatever its caller wants to hear; other options stay."""
    request = read(model="m", prompt="a", stream=True, stream_options={"include_usage": False, "continuous_usage_stats": True})

    assert not request.include_usage
    assert {"include_usage": True, "continuous_usage_stats": True} == asked(request)["stream_options"]


def test_the_best_of_several_is_asked_for_whole() -> None:
    """It cannot be streamed, and no server takes both."""
    request = read(model="m", prompt="a", best_of=3, n=2, stream=True, stream_options={"include_usage": True})

    assert {"model": "up", "prompt": "a", "best_of": 3, "n": 2, "stream": False} == asked(request)


@pytest.mark.parametrize(
    ("document", "continuable"),
    [
        ({"prompt": "a"}, True),
        ({"prompt": ["a"], "suffix": "b"}, True),
        ({"prompt": ["a", "b"]}, False),
        ({"prompt": [1]}, False),
        ({"prompt": "a", "echo": True}, False),
        ({"prompt": "a", "logprobs": 1}, False),
        ({"prompt": "a", "n": 2}, False),
    ],
    ids=str,
)
def test_which_answers_can_be_continued(document: dict[str, Any], continuable: bool) -> None:
    """Those of one text that is the end of one prompt."""
    origin = read(model="m", **document).origin

    assert continuable is origin.continuable


def test_a_prompt_is_continued_with_the_text() -> None:
    """And with what was changed on the way."""
    request = read(model="m", prompt=["Once"], suffix="!", max_tokens=9).continued(" upon").with_fields(max_tokens=7)

    expected = {"model": "up", "prompt": "Once upon", "suffix": "!", "max_tokens": 7, "stream": True}
    assert expected == {name: value for name, value in asked(request).items() if name != "stream_options"}


# ---- answers, read


CHUNKS: list[dict[str, Any]] = [
    {"id": "x", "object": "text_completion", "model": "up", "choices": [{"index": 0, "text": text, "finish_reason": reason}]}
    for text, reason in (("Hel", None), ("lo é🦙", None), ("", "length"))
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
STREAM = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in [*CHUNKS, {"choices": [], "usage": USAGE}])
STREAM += b"data: [DONE]\n\n"


def decoded(*pieces: bytes) -> Answer:
    decoder, answer = WIRE.decoder(), Answer()
    for piece in pieces:
        answer.add(decoder.feed(piece))
    answer.add([decoder.finish()])
    return answer


@given(st.lists(st.integers(0, len(STREAM)), max_size=4))
def test_a_stream_is_read_however_it_is_cut(cuts: list[int]) -> None:
    """At any byte."""
    places = [0, *sorted(cuts), len(STREAM)]
    answer = decoded(*(STREAM[start:stop] for start, stop in pairwise(places)))

    assert ("Hello é🦙", "up") == (answer.text, answer.model)
    assert answer.finish is not None
    assert ("length", Usage(3, 2, 5)) == (answer.finish.reason, answer.finish.usage)


@pytest.mark.parametrize("events_kept", range(3))
def test_a_cut_stream_is_no_answer(events_kept: int) -> None:
    """Its end is not proven."""
    with pytest.raises(IncompleteStreamError):
        decoded(b"\n\n".join([*STREAM.split(b"\n\n")[:events_kept], b""]))


def test_an_error_in_a_stream_is_told() -> None:
    """Also where a finish reason seems to follow."""
    decoder = WIRE.decoder()
    decoder.feed(STREAM.split(b"\n\n")[0] + b'\n\ndata: {"error":{"message":"boom","code":500}}\n\n')

    with pytest.raises(StreamError, match="boom"):
        decoder.finish()


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None},
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"},
    ],
    ids=["text", "chat"],
)
def test_a_document_is_read_in_either_shape(choice: dict[str, Any]) -> None:
    """Some servers answer in that of chat completions."""
    answer = Answer()
    answer.add(WIRE.decode_answer(json.dumps({"model": "up", "choices": [choice]}).encode()))

    assert "Hi" == answer.text
    assert answer.finish is not None
    assert ("stop", None) == (answer.finish.reason, answer.finish.usage)


# ---- answers, written


def written(*batches: Batch, include_usage: bool = False) -> list[Any]:
    encoder = WIRE.encoder(AnswerHead("cmpl-1", 1700000000, "m", include_usage))
    body = b"".join(map(encoder.write, batches))
    finish = batches[-1][-1]
    assert isinstance(finish, FinishReason)
    return events(body + encoder.end(finish, extension={"length": 5}))


def chunk(text: str, reason: str | None = None, index: int = 0, logprobs: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": "m", "choices": [choice], **more}


def test_a_stream_is_written_chunk_by_chunk() -> None:
    """A reason at the end, then the end; how it came about beside the reason."""
    got = written([Started("m")], ["Hel", ""], ["lo", FinishReason("stop", "finish_reason", Usage(1, 2, 3))])

    assert [chunk("Hel"), chunk("lo"), chunk("", "stop", x_autonomousai={"length": 5}), "[DONE]"] == got


def test_usage_comes_last_where_it_is_wanted() -> None:
    """And is null in every other chunk."""
    got = written(["Hi", FinishReason("stop", "finish_reason", Usage(1, 2, 3))], include_usage=True)
    last = {**chunk(""), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}

    assert [chunk("Hi", usage=None), chunk("", "stop", usage=None), {**last, "x_autonomousai": {"length": 5}}, "[DONE]"] == got


def test_several_choices_have_their_own_ends() -> None:
    """Each with its index."""
    ends = ChoiceEvent(1, FinishReason("length", "finish_reason"))
    got = written(["a", ChoiceEvent(1, "b"), ends], [FinishReason("stop", "finish_reason")])

    expected = [chunk("a"), chunk("b", index=1), chunk("", "length", index=1), chunk("", "stop", x_autonomousai={"length": 5})]
    assert [*expected, "[DONE]"] == got


def test_what_a_text_cannot_hold_is_left_out() -> None:
    """A chat's stream may be read on over this wire."""
    got = written([Reasoning("hm"), ToolCallDelta(0, "c", "f"), "Hi", FinishReason("stop", "finish_reason")])

    assert [chunk("Hi"), chunk("", "stop", x_autonomousai={"length": 5}), "[DONE]"] == got


def test_log_probabilities_of_the_older_shape_pass() -> None:
    """With the chunk that they came in; the document joins them."""
    halves = [{name: [values[place]] for name, values in OLD.items()} for place in (0, 1)]
    stream = b"".join(
        b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "text": text, "logprobs": half}]}).encode()
        for text, half in zip(("Hel", "lo"), halves, strict=True)
    )
    decoder = WIRE.decoder()
    batch = decoder.feed(stream + b'data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    whole = [*batch, decoder.finish()]
    document = json.loads(WIRE.encode_answer(whole, HEAD))

    assert [halves[0], halves[1]] == [each["choices"][0]["logprobs"] for each in written(whole)[:2]]
    assert OLD == document["choices"][0]["logprobs"]


def test_probabilities_of_the_first_token_are_said_once() -> None:
    """As vLLM ends: the last text stands beside the reason, and token ids beside each text."""
    halves = [{name: [values[place]] for name, values in OLD.items()} for place in (0, 1)]
    told = [
        chunk("Hel", None, 0, halves[0]) | {"model": "m"},
        chunk("lo", "length", 0, halves[1]) | {"model": "m", "system_fingerprint": "vllm-0.32.0"},
    ]
    for each, ids in zip(told, ({"prompt_token_ids": [5, 6], "token_ids": [7]}, {"token_ids": [8]}), strict=True):
        each["choices"][0] |= {"stop_reason": None, **ids}
    decoder = WIRE.decoder()
    batch = decoder.feed(b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in told) + b"data: [DONE]\n\n")
    whole = [*batch, decoder.finish()]
    document = json.loads(WIRE.encode_answer(whole, HEAD))

    streamed = [each["choices"][0] for each in written(whole) if each != "[DONE]"]
    assert OLD == document["choices"][0]["logprobs"]
    assert [halves[0], halves[1], None] == [each["logprobs"] for each in streamed]
    assert [([5, 6], [7]), (None, [8]), (None, None)] == [
        (each.get("prompt_token_ids"), each.get("token_ids")) for each in streamed
    ]
    assert "length" == document["choices"][0]["finish_reason"] == streamed[-1]["finish_reason"]


def test_log_probabilities_of_chats_become_the_older_shape() -> None:
    """As llama.cpp sends them, also of a second choice."""
    told = [
        {"token": "Hel", "logprob": -0.1, "bytes": [72], "top_logprobs": [{"token": "Hel", "logprob": -0.1}]},
        {"token": "lo", "logprob": -0.2, "top_logprobs": []},
    ]
    finish = FinishReason("stop", "finish_reason")
    streamed = written([LogProbs(told[:1]), "Hel"], [LogProbs(told[1:]), "lo"], [ChoiceEvent(1, LogProbs(told))], [finish])
    document = json.loads(WIRE.encode_answer([Started("m"), "Hello", LogProbs(told), finish], HEAD))

    probabilities = [each["choices"][0]["logprobs"] for each in streamed if each != "[DONE]"]
    assert [[0], [3], [0, 3]] == [each["text_offset"] for each in probabilities if each]
    assert OLD == document["choices"][0]["logprobs"]


def test_a_document_has_all_choices_in_order() -> None:
    """Also one that said nothing."""
    finish = FinishReason("stop", "finish_reason", Usage(1, 2, 3))
    ends = [ChoiceEvent(index, FinishReason("length", "finish_reason")) for index in (2, 1)]
    document = json.loads(WIRE.encode_answer([Started("m"), ChoiceEvent(2, "c"), *ends, finish], HEAD, extension={"length": 0}))

    texts = [(choice["index"], choice["text"], choice["finish_reason"]) for choice in document["choices"]]
    assert [(0, "", "stop"), (1, "", "length"), (2, "c", "length")] == texts
    assert ("text_completion", {"length": 0}, 3) == (
        document["object"],
        document["x_autonomousai"],
        document["usage"]["total_tokens"],
    )


# ---- errors


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (404, "Not Found", "unsupported_endpoint"),
        (405, "Method Not Allowed", "unsupported_endpoint"),
        (501, "This server does not support completions", "unsupported_endpoint"),
        (404, "This is a chat model and not supported in the v1/completions endpoint.", "unsupported_endpoint"),
        (404, "The model `x` does not exist.", "model_not_found"),
        (404, "model 'x' not found, try pulling it first", "model_not_found"),
        (400, "prompt is empty", None),
    ],
)
def test_a_server_without_the_path_is_told_apart(status: int, message: str, code: str | None) -> None:
    """From one that does not know the model."""
    error = WIRE.decode_error(status, json.dumps({"error": {"message": message}}).encode(), {})

    assert (code, False) == (error.code, error.retryable)


def test_a_server_of_ours_is_not_explained_twice() -> None:
    """It has said already what it cannot do."""
    said = {"message": "no upstream of 'm' completes a raw prompt", "code": "unsupported_endpoint"}
    error = WIRE.decode_error(404, json.dumps({"error": said}).encode(), {})

    assert error.code == "unsupported_endpoint"
    assert error.problem.endswith(said["message"])
