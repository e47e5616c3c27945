"""The short roads for usual answers: what they take, the long one reads alike; what servers usually send, they take."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import ProviderError
from autonomousai.wires.openai_chat import completion as module
from autonomousai.wires.openai_chat.chunks import unknown_members
from autonomousai.wires.openai_chat.usual import USUAL, UsualChunk, decode_usual_completion, unknown_of
from tests.wires.answers import USAGE, leniently, sse
from tests.wires.answers import Outcome as Read

Json = dict[str, Any]

VALUES = st.sampled_from(["", "a", "ä\n", None, 0, 1, True, [], ["a"], {}, {"a": None}, 1.5, "stop", "error", "\ud83d"])
TEXT = st.sampled_from([None, "", "a", "ä\n"])
COUNTED = {**USAGE, "prompt_tokens_details": {"cached_tokens": 1, "x": 2}, "cost": 0.1}


def members(required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]) -> Any:
    """Objects that mostly are usual, and sometimes hold anything."""
    usual = st.fixed_dictionaries(required, optional=optional)
    odd = st.dictionaries(st.sampled_from([*required, *optional, "x"]), VALUES, max_size=1)
    return st.one_of(usual, usual, st.tuples(usual, odd).map(lambda both: both[0] | both[1]))


NOTHING = st.none()
CHOICE = {"index": st.just(0), "logprobs": NOTHING, "error": NOTHING, "token_ids": NOTHING, "stop_reason": NOTHING}
SAID = {
    "role": st.just("assistant"),
    "reasoning_content": TEXT,
    "reasoning": st.sampled_from([None, ""]),
    "refusal": NOTHING,
    "function_call": NOTHING,
}
AROUND = {
    "id": st.just("c"),
    "object": st.just("chat.completion"),
    "created": st.just(1),
    "model": st.sampled_from([None, "", "m"]),
    "usage": st.sampled_from([None, {}, USAGE, COUNTED]),
    "system_fingerprint": st.sampled_from([None, "fp"]),
    "service_tier": st.sampled_from([None, "default"]),
    "provider": st.just("P"),
    "prompt_token_ids": NOTHING,
    "prompt_logprobs": NOTHING,
    "kv_transfer_params": NOTHING,
    "error": NOTHING,
}
MESSAGES = members({"content": TEXT}, {**SAID, "tool_calls": st.sampled_from([None, []])})
WHOLE_CHOICES = members(
    {"message": MESSAGES, "finish_reason": st.sampled_from(["stop", "length", "error", ""])},
    {**CHOICE, "native_finish_reason": st.sampled_from([None, "STOP"])},
)
DOCUMENTS = members({"choices": st.lists(WHOLE_CHOICES, min_size=1, max_size=1)}, AROUND)
CHOICES = members({"delta": members({"content": TEXT}, SAID)}, {**CHOICE, "finish_reason": st.sampled_from([None, "", "stop"])})
CHUNKS = members({"choices": st.lists(CHOICES, min_size=1, max_size=1)}, AROUND)


def outcome(body: bytes) -> Any:
    try:
        return module.decode_completion(body)
    except ProviderError as error:
        return type(error), str(error)


@given(DOCUMENTS)
def test_a_usual_document_reads_like_any(document: Json) -> None:
    """The same events, unknown members among them, or the same error."""
    body = json.dumps(document).encode()
    short = outcome(body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "decode_usual_completion", lambda body: None)
        assert outcome(body) == short


@given(CHUNKS)
def test_a_usual_chunk_has_the_unknown_members_of_any(chunk: Json) -> None:
    """None is lost, and none is made up."""
    body = json.dumps(chunk).encode()
    try:
        usual = USUAL.decode(body)
    except msgspec.DecodeError:
        return
    assert unknown_members(chunk) == unknown_of(usual)


@given(st.lists(CHUNKS, max_size=4), st.booleans())
def test_a_stream_of_usual_chunks_reads_like_any(chunks: list[Json], at_once: bool) -> None:
    """All its events, however they arrive."""
    reads = [sse(*chunks, "[DONE]")] if at_once else [sse(chunk) for chunk in [*chunks, "[DONE]"]]
    short, long = Read(*reads), leniently(*reads)

    assert short.batches == long.batches
    assert short == long


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"system_fingerprint": "fp_1", "service_tier": "default"},
        {"provider": "P"},
        {"prompt_token_ids": None, "prompt_logprobs": None, "kv_transfer_params": None},
    ],
    ids=str,
)
def test_what_servers_send_is_usual(more: Json) -> None:
    """OpenAI's answers, vLLM's and a broker's take the short road, whole and streamed."""
    end = {"index": 0, "finish_reason": "stop", "logprobs": None, "stop_reason": None, "token_ids": None}
    message = {"role": "assistant", "content": "a", "refusal": None, "tool_calls": []}
    document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE, **more}
    chunk = {**document, "choices": [{**end, "delta": {"content": "a"}, "native_finish_reason": None}]}

    assert decode_usual_completion(json.dumps({**document, "choices": [{**end, "message": message}]}).encode()) is not None
    assert isinstance(USUAL.decode(json.dumps(chunk).encode()), UsualChunk)
