"""Short answers, read and written whole: what these roads take, the longer ones read and write alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autonomousai.events import Batch, Reasoning, Started
from autonomousai.testing import chunks as scripted
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.openai_chat.completion import encode_completion
from autonomousai.wires.openai_chat.short_answer import read_short_stream, write_short_answer
from autonomousai.wires.openai_chat.wire import OPENAI_CHAT
from tests.wires.answers import DONE, FINISH, ROLE, USAGE, Json, Outcome, chunk, sse, text, usage
from tests.wires.test_usual_answer import CHUNKS

HEAD = AnswerHead("chatcmpl-1", 1, "m")
VLLM: Json = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": None, "token_ids": None}]}
#: Pieces of streams, to be put together in any order; most of them make none.
PIECES = [
    b"data: ",
    b"\n\n",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b'"x":[1,',
    b"[DONE]",
    b" ",
    b",",
    b"\x00",
    b"\xff",
    b": hi\n",
    b"id: 7\n",
    b"event: error\n",
    sse(ROLE),
    sse(text("a"), text("b")),
    sse(FINISH),
    sse(usage()),
    sse(text("a")).rstrip() + b" " + sse(text("b"))[6:],
    sse(DONE),
]


def read_long(data: bytes) -> Batch | None:
    read = Outcome(data)
    return None if read.finish is None or read.error is not None else [*read.events, read.finish]


@given(st.lists(CHUNKS, max_size=4), st.sampled_from([[], [FINISH], [VLLM], [FINISH, usage()], [VLLM, usage(x_new=1)]]))
@example([ROLE, text("a")], [VLLM, usage(cost=1)])
@example([text("a", usage=USAGE)], [chunk(reason="stop", usage=USAGE)])
@example([text("a", system_fingerprint="fp")], [chunk(reason="stop", model="other"), usage()])
def test_a_short_stream_reads_like_any(chunks: list[Json], end: list[Json]) -> None:
    """The same events, unknown members among them, where it is read at all."""
    data = sse(*chunks, *end, DONE)
    short = read_short_stream(data)

    assert short is None or short == read_long(data)


@given(st.lists(st.sampled_from(PIECES), max_size=8))
@example([sse(text("a")).rstrip() + b" " + sse(text("b"))[6:], b'data: {"x":[{}\n\ndata: ,{}]}\n\n', sse(FINISH), sse(DONE)])
def test_any_bytes_read_like_any(pieces: list[bytes]) -> None:
    """What only looks like a short stream is none, or is read the same."""
    data = b"".join(pieces)
    short = read_short_stream(data)

    assert short is None or short == read_long(data)


@given(st.data())
def test_a_cut_or_changed_stream_reads_like_any(data: st.DataObject) -> None:
    """No byte that is missing, or another one, makes a short stream of what is none."""
    stream = sse(ROLE, text("a ä"), chunk(reason="stop", system_fingerprint="f"), usage(), DONE)
    place = data.draw(st.integers(0, len(stream) - 1))
    put = data.draw(st.sampled_from([b"", b"\r", b"\n", b"\n\n", b"}", b"{", b" ", b"data: ", b"\xff", b"\\ud83d"]))
    changed = stream[:place] + put + stream[place + data.draw(st.integers(0, 2)) :]
    short = read_short_stream(changed)

    assert short is None or short == read_long(changed)


@pytest.mark.parametrize("more", [{}, {"system_fingerprint": "f"}, {"service_tier": "default", "provider": "P"}], ids=str)
@pytest.mark.parametrize("end", [[FINISH], [VLLM], [FINISH, usage()]], ids=["plain", "vLLM", "usage"])
def test_what_servers_send_is_short(more: Json, end: list[Json]) -> None:
    """The streams that most servers send take the short road."""
    data = sse(ROLE | more, text("a") | more, *(each | more for each in end), DONE)

    assert read_short_stream(data) == read_long(data) is not None
    assert read_short_stream(scripted("a", "b", usage=USAGE)) is not None


@given(st.lists(CHUNKS, max_size=4), st.sampled_from([[FINISH], [VLLM], [FINISH, usage(cost=1)]]))
@example([text("a", system_fingerprint="fp", model_extra={"a": 1})], [VLLM])
@example([text("a", x_new=1)], [chunk(reason="stop", id_new=[1])])
def test_a_short_answer_is_written_like_any(chunks: list[Json], end: list[Json]) -> None:
    """The same bytes, where it is written at all."""
    events = read_long(sse(*chunks, *end, DONE))
    if events is None:
        return
    asked: dict[str, Any] = {"id": HEAD.id, "created": HEAD.created, "model": HEAD.model, "extension": {"length": 1}}
    short = write_short_answer(events, **asked)

    assert short is None or short == encode_completion(events, **asked)


def test_a_text_with_members_that_every_chunk_repeats_is_short() -> None:
    """As of OpenAI, vLLM and brokers; what is more than text is not."""
    events = read_long(sse(text("a", system_fingerprint="fp"), VLLM, DONE))

    assert events is not None
    assert write_short_answer(events, id="c", created=1, model="m", extension=None) is not None
    assert write_short_answer([events[0], Reasoning("b"), *events[1:]], id="c", created=1, model="m", extension=None) is None
    assert isinstance(events[0], Started)
    assert json.loads(OPENAI_CHAT.encode_answer(events, HEAD))["choices"][0]["stop_reason"] is None
