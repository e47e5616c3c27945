"""Short answers, read and written whole: what these roads take, the longer ones read and write alike."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autonomousai.events import Batch, Extra, FinishReason, Reasoning, Started, Usage
from autonomousai.sealed_thoughts import pack
from autonomousai.testing import chunks as scripted
from autonomousai.wires.anthropic_messages import answer as anthropic_answer
from autonomousai.wires.anthropic_messages import short_answer as messages_short
from autonomousai.wires.anthropic_messages.answer import write_short_stream as write_messages_stream
from autonomousai.wires.anthropic_messages.short_answer import read_short_message
from autonomousai.wires.base import AnswerHead, Wire
from autonomousai.wires.openai_chat import short_answer, usual
from autonomousai.wires.openai_chat.completion import encode_completion
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.openai_chat.short_answer import read_short_stream
from autonomousai.wires.openai_chat.short_writer import write_short_answer, write_short_stream
from autonomousai.wires.openai_chat.usage import usage_of
from autonomousai.wires.openai_chat.wire import OPENAI_CHAT
from autonomousai.wires.openai_responses import answer as responses_answer
from autonomousai.wires.openai_responses.answer import write_short_stream as write_responses_stream
from autonomousai.wires.registry import ANTHROPIC_MESSAGES, OPENAI_RESPONSES
from tests.wires import messages_streams as messages
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


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\r\n", b" ", b'"'], ids=repr)
def test_a_byte_more_at_any_place_reads_like_any(byte: bytes) -> None:
    """A line may end there, also where it is between the values of a chunk that is known."""
    usual = sse(ROLE, text("a"), text("b"), VLLM, usage(), DONE)
    assert read_short_stream(usual) is not None  # so that its chunks are known
    read = [usual[:place] + byte + usual[place:] for place in range(len(usual) + 1)]

    shorts = [(data, short) for data in read if (short := read_short_stream(data)) is not None]

    assert [(data, read_long(data)) for data, _ in shorts] == shorts


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


#: How a chunk may begin that others of its stream begin like, and what may follow.
BEGINNINGS = [
    '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[',
    '{"id": "c", "created": 1, "model": "m", "service_tier": "default", "system_fingerprint": "fp", "choices": [',
    '{"model":"m","usage":null,"prompt_token_ids":null,"choices":[',
    '{"model":"m","usage":{"prompt_tokens":1},"choices":[',
    '{"model":"m","usage":{"choices":[],"x":1},"choices":[',
    '{"id":",\\"choices\\":[","choices":[',
    '{"choices":[',
    '{"created":1\n,"choices":[',
    '{"model":"m","choices":[],"choices":[',
    '[{"choices":[',
]
SAID = st.sampled_from(
    [
        *(
            f'{{"index":0,"delta":{{"content":{each}}},"finish_reason":null}}]}}'
            for each in ('"a"', '"ä"', '"\\u00e4"', "null", '""', "1")
        ),
        '{"index": 0, "delta": {"role": "assistant", "content": "b"}, "finish_reason": null}], "usage": null}',
        '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null,"token_ids":null}]}',
        '{"index":0,"delta":{"content":"a","content":"b"}}]}',
        '{"index":0,"delta":{"content":"a","c\\u006fntent":"b"}}]}',
        '{"index":0,"delta":{"content":"assistant","role":"assistant"}}]}',
        '{"index":0,"delta":{"content":"a"}}],"usage":{"content":"b"}}',
        '{"index":0,"delta":{"content":"a"}}],"obfuscation":"xy"}',
        '{"index":0,"delta":{"content":"a"}}],"model":"other"}',
        '{"index":0,"delta":{"content":"a"}}],"model":null}',
        '{"index":0,"delta":{"content":"a"}}],"system_fingerprint":"other"}',
        '{"index":0,"delta":{"content":"a"}}],"choices":[]}',
        '{"index":0,"delta":{"content":"a"},"x":1}]}',
        '{"index":0,"delta":{"content":\n"a"}}]}',
        '{"index":0,"delta":{"content":"a"}}]\r}',
        '{"index":0,"delta":{}}]}',
        '],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}',
        "]}",
    ]
)
STOPS = [
    '{"index":0,"delta":{},"finish_reason":"stop"}]}',
    '{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": null}]}',
]


@settings(deadline=None)
@given(st.sampled_from(BEGINNINGS), st.lists(SAID, max_size=4), st.sampled_from(STOPS), st.lists(SAID, max_size=1))
def test_chunks_that_begin_alike_read_like_any(beginning: str, said: list[str], stop: str, after: list[str]) -> None:
    """The same as chunk by chunk, whether their shapes are known by now or not."""
    data = sse(*((beginning + rest).encode().join((b"data: ", b"\n\n")) for rest in [*said, stop, *after]), DONE)
    known = read_short_stream(data)
    short_answer._shapes.clear()
    new = read_short_stream(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(short_answer, "_read_alike", lambda part: None)
        each = read_short_stream(data)

    assert known == new
    assert new is None or new == read_long(data)
    assert each is None or each == new


def test_what_most_streams_repeat_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each further answer of a server has its beginning and its texts decoded, and nothing that is known."""
    first, second = ([ROLE, text(f"{each} ä"), text("b"), FINISH, DONE] for each in ("a", '"'))
    read_short_stream(sse(*first))
    shapes = dict(short_answer._shapes)
    monkeypatch.setattr(short_answer, "_learnt", None)
    read = read_short_stream(sse(*second))

    assert read == read_long(sse(*second)) is not None
    assert shapes == short_answer._shapes


def test_so_many_shapes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """None with a text or a number of tokens; a server whose chunks are all different does not fill the memory."""
    short_answer._shapes.clear()
    monkeypatch.setattr(short_answer, "_SHAPES", 3)
    for number in range(10):
        assert read_short_stream(
            sse(ROLE, text("secret"), chunk(reason="stop", delta={"role": "assistant"} if number % 2 else {}), usage(), DONE)
        )

    assert 0 < len(short_answer._shapes) <= 3
    assert b"secret" not in repr(short_answer._shapes).encode()
    assert "prompt_tokens" not in repr(short_answer._shapes)


@given(st.lists(CHUNKS, max_size=4), st.sampled_from([[FINISH], [VLLM], [FINISH, usage(cost=1)]]))
@example([text("a", system_fingerprint="fp", model_extra={"a": 1})], [VLLM])
@example([text("a", x_new=1)], [chunk(reason="stop", id_new=[1])])
def test_a_short_answer_is_written_like_any(chunks: list[Json], end: list[Json]) -> None:
    """The same bytes, where it is written at all."""
    events = read_long(sse(*chunks, *end, DONE))
    if events is None:
        return
    short = write_short_answer(events, HEAD, {"length": 1})
    asked: dict[str, Any] = {"id": HEAD.id, "created": HEAD.created, "model": HEAD.model, "extension": {"length": 1}}

    assert short is None or short == encode_completion(events, **asked)


@given(
    st.lists(CHUNKS, max_size=12), st.sampled_from([[FINISH], [VLLM], [FINISH, usage(cost=1)], [VLLM, usage()]]), st.booleans()
)
@example([text("a", system_fingerprint="fp", model_extra={"a": 1})], [VLLM], True)
@example([text("a"), text('","'), text("")], [FINISH, usage(x_new=1)], True)
@example([text("a", x_new=1)], [chunk(reason="stop", id_new=[1]), usage()], False)
def test_a_short_stream_is_written_like_any(chunks: list[Json], end: list[Json], include_usage: bool) -> None:
    """The same bytes, where it is written at all."""
    events = read_long(sse(*chunks, *end, DONE))
    if events is None:
        return
    short = write_short_stream(events, AnswerHead(HEAD.id, HEAD.created, HEAD.model, include_usage), {"length": 1})
    encoder = ChatStreamEncoder(id=HEAD.id, created=HEAD.created, model=HEAD.model, include_usage=include_usage)

    assert short is None or short == encoder.write(events) + encoder.end(events[-1], extension={"length": 1})


@pytest.mark.parametrize("more", [{}, {"system_fingerprint": "f"}, {"service_tier": "default", "provider": "P"}], ids=str)
@pytest.mark.parametrize("end", [[FINISH], [VLLM], [FINISH, usage()]], ids=["plain", "vLLM", "usage"])
def test_what_servers_send_is_written_at_once(more: Json, end: list[Json]) -> None:
    """The streams that most servers send take the short road, and what is more than text does not."""
    events = read_long(sse(ROLE | more, text("a") | more, *(each | more for each in end), DONE))
    assert events is not None
    head = AnswerHead("c", 1, "m", True)

    assert write_short_stream(events, head, None) is not None
    assert write_short_stream([events[0], Reasoning("b"), *events[1:]], head, None) is None


def test_a_text_with_members_that_every_chunk_repeats_is_short() -> None:
    """As of OpenAI, vLLM and brokers; what is more than text is not."""
    events = read_long(sse(text("a", system_fingerprint="fp"), VLLM, DONE))

    assert events is not None
    assert write_short_answer(events, HEAD, None) is not None
    assert write_short_answer([events[0], Reasoning("b"), *events[1:]], HEAD, None) is None
    assert isinstance(events[0], Started)
    assert json.loads(OPENAI_CHAT.encode_answer(events, HEAD))["choices"][0]["stop_reason"] is None


# ---- the same over other wires: Messages has short streams, both have short documents

MESSAGES_PIECES: list[Json | bytes] = [
    *PIECES[:15],
    messages.start(),
    messages.start(usage={"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": None, "service_tier": "standard"}),
    messages.start(content=[{"type": "text", "text": "a"}]),
    messages.block(),
    messages.block(kind="thinking"),
    messages.block(text="a"),
    messages.PING,
    messages.text("a"),
    messages.text("", 1),
    messages.text("c", True),
    messages.thought("hm"),
    messages.stop(),
    messages.end(),
    messages.end("max_tokens", usage={"output_tokens": 0, "input_tokens": 5}),
    messages.end("null"),
    messages.end("error"),
    messages.end("stop_sequence", "x", context={}),
    messages.STOP,
    {**messages.STOP, "x_autonomousai": {"length": 1}},
]
USUAL_PIECES = [messages.start(), messages.block(), messages.text("a ä"), messages.stop(), messages.end(), messages.STOP]


def read_long_message(data: bytes) -> Batch | None:
    read = messages.MessageOutcome(data)
    return None if read.finish is None or read.error is not None else [*read.events, read.finish]


@settings(deadline=None)
@given(st.lists(st.sampled_from(MESSAGES_PIECES), max_size=3), st.data())
def test_a_short_message_reads_like_any(more: list[Json | bytes], data: st.DataObject) -> None:
    """Whatever stands among the usual events, or in the place of one: the same events, where it is read at all."""
    pieces: list[Json | bytes] = list(USUAL_PIECES)
    for each in more:
        place = data.draw(st.integers(0, len(pieces)))
        pieces[place : place + data.draw(st.integers(0, 1))] = [each]
    stream = messages.sse(*pieces)
    short = read_short_message(stream)

    assert short is None or short == read_long_message(stream)


@settings(deadline=None)
@given(st.data())
def test_a_cut_or_changed_message_reads_like_any(data: st.DataObject) -> None:
    """No byte that is missing, or another one, makes a short stream of what is none."""
    stream = messages.sse(*USUAL_PIECES)
    place = data.draw(st.integers(0, len(stream) - 1))
    puts = [b"", b"\r", b"\n", b"\n\n", b"}", b"{", b" ", b"data: ", b"\xff", b"\\ud83d", b"\ndata: ", b'"type":"ping",']
    changed = stream[:place] + data.draw(st.sampled_from(puts)) + stream[place + data.draw(st.integers(0, 2)) :]
    short = read_short_message(changed)

    assert short is None or short == read_long_message(changed)


def test_what_most_messages_repeat_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each further answer of a server has its beginning, its texts and its counts decoded, and nothing that is known."""
    first, second = (
        messages.sse(
            *USUAL_PIECES[:2], messages.text(f"{each} ä"), *USUAL_PIECES[3:4], messages.end(usage={"output_tokens": n})
        )
        + messages.sse(messages.STOP)
        for n, each in enumerate(("a", '"'))
    )
    read_short_message(first)
    monkeypatch.setattr(messages_short, "_read", None)

    assert read_short_message(second) == read_long_message(second) is not None


def test_so_many_messages_are_known() -> None:
    """None with a text or a number of tokens; a server whose events are all different does not fill the memory."""
    known: list[Any] = [messages_short._kinds, messages_short._begun, messages_short._ends]
    for each in known:
        each.clear()
    for number in range(200):
        stream = messages.sse(messages.start(), messages.block(number), messages.text("secret", number), messages.stop(number))
        stream += messages.sse(messages.end("stop_sequence" if number % 2 else "end_turn", "stop" if number % 2 else None))
        assert read_short_message(stream + messages.sse(messages.STOP))

    assert [0 < len(each) <= messages_short._KNOWN for each in known] == [True] * 3
    assert "secret" not in repr(known)
    assert "output_tokens" not in repr(known)
    assert '"stop"' not in repr(known)


@pytest.mark.parametrize(
    "event",
    [
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a","text":"b"}}',
        b'{"type":"content_block_delta","index":{"text":1},"delta":{"type":"text_delta","text":"b"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"text":"b","type":"text_delta"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"},"delta":{"type":"text_delta","text":"b"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":\n"b"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}   }',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}x',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b\\ud83d"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":null}}',
    ],
)
def test_an_event_that_begins_like_a_known_one_reads_like_any(event: bytes) -> None:
    """Whatever follows its text; and what is learnt of it does not change what others say."""
    usual = messages.sse(*USUAL_PIECES)
    for _ in range(2):
        odd = b"event: content_block_delta\ndata: " + event + b"\n\n"
        stream = messages.sse(*USUAL_PIECES[:2], odd, *USUAL_PIECES[3:])
        short = read_short_message(stream)

        assert short is None or short == read_long_message(stream)
        assert read_short_message(usual) == read_long_message(usual)


@pytest.mark.parametrize(
    "usage", [b'{"output_tokens":2},"usage":{"output_tokens":3}', b"{}", b"null", b'{"output_tokens":\n2}']
)
def test_counts_behind_a_known_end_read_like_any(usage: bytes) -> None:
    """A member may come twice, and counts may be none."""
    end = (
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":'
    )
    for counts in (b'{"output_tokens":2}', usage):
        stream = messages.sse(*USUAL_PIECES[:4], end + counts + b"}\n\n", messages.STOP)
        short = read_short_message(stream)

        assert short is None or short == read_long_message(stream)


def test_what_the_vendor_sends_is_short() -> None:
    """Its streams have a ping, usage with members that are not known here, and padding after the last event."""
    begun = messages.start(usage={"input_tokens": 3, "output_tokens": 1, "service_tier": "standard"}, container=None)
    stream = messages.sse(begun, messages.block(), messages.PING, messages.text("a"), messages.text("b"), messages.stop())
    stream += messages.sse(messages.end()) + b'event: message_stop\ndata: {"type":"message_stop"     }\n\n'

    short = read_short_message(stream)

    assert short is not None
    assert short == read_long_message(stream)


#: What an upstream of the Messages API says around a text, and one of chat completions of a thought that its vendor wants back.
BEGUN = Extra({"message_start": {"usage": {"input_tokens": 1}}}, 0, "anthropic_messages")
DELTA = Extra({"message_delta": {"stop_reason": "end_turn", "stop_sequence": None}}, 0, "anthropic_messages")
SEALED = Extra({"choices": [{"delta": {"reasoning_details": [{"data": "x"}]}}]}, 0, "openai_chat")

TEXTS_AND_MORE = st.sampled_from(
    [
        *("a", "", "ä", "\n"),
        Reasoning("b"),
        Extra({"message_start": {"usage": {"input_tokens": 1}, "x": 1}}, 0, "anthropic_messages"),
        Extra({"message_delta": {"stop_reason": "pause_turn"}, "event": {"y": 1}}, 0, "anthropic_messages"),
        Extra({"content_block": {"type": "text", "text": ""}}, 0, "anthropic_messages"),
        Extra({"response": {"status": "incomplete"}}, 0, "openai_responses"),
        Extra({"x": 1}, 1, "openai_chat"),
    ]
)
ENDS = st.sampled_from(
    [
        FinishReason("stop", "finish_reason", Usage(1, 2, 3), "m"),
        FinishReason("length", "finish_reason", Usage(9, 2, 11, 3, 1, {"cost": 1, "cache_creation_input_tokens": 2}), "m"),
        FinishReason("tool_calls", "finish_reason", extra={"choices": [{"index": 0, "stop_reason": "x"}]}),
        FinishReason("pause_turn", "finish_reason"),
        FinishReason("content_filter", "done"),
    ]
)


@pytest.mark.parametrize("answer", [anthropic_answer, responses_answer], ids=["messages", "responses"])
@settings(deadline=None)
@given(said=st.lists(TEXTS_AND_MORE, max_size=5), finish=ENDS)
def test_a_document_of_text_alone_is_written_like_any(answer: Any, said: Batch, finish: FinishReason) -> None:
    """The same bytes as by the blocks or items that a stream is made of."""
    events: Batch = [Started("m"), *said, finish]
    head = AnswerHead("id_1", 1, "m", echo={"instructions": "x"})
    encode = ENCODE[answer]
    written = encode(events, head, extension={"length": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer, "text_answer" if answer is anthropic_answer else "texts_of", lambda _: None)
        at_length = encode(events, head, extension={"length": 1})

    assert written == at_length


@settings(deadline=None)
@given(said=st.lists(TEXTS_AND_MORE, max_size=5), finish=ENDS, include_usage=st.booleans())
@example([BEGUN, "a", DELTA], FinishReason("stop", "finish_reason", Usage(9, 2, 11, 3, None, {"service_tier": "x"})), True)
def test_an_answer_of_messages_is_written_like_any_in_chat_completions(
    said: Batch, finish: FinishReason, include_usage: bool
) -> None:
    """The same bytes, as a document and as a stream, where they are written at once at all."""
    events: Batch = [Started("m"), *said, finish]
    head = AnswerHead("id_1", 1, "m", include_usage)
    encoder = OPENAI_CHAT.encoder(head)
    document, stream = write_short_answer(events, head, {"length": 1}), write_short_stream(events, head, {"length": 1})

    assert document is None or document == encode_completion(events, id="id_1", created=1, model="m", extension={"length": 1})
    assert stream is None or stream == encoder.write(events) + encoder.end(finish, extension={"length": 1})


def test_an_answer_of_messages_is_written_at_once_in_chat_completions() -> None:
    """Most of what they say around a text has no place there."""
    events: Batch = [Started("m"), BEGUN, "a", DELTA, FinishReason("stop", "finish_reason", Usage(1, 2, 3, extra={"x": 1}))]

    assert write_short_answer(events, HEAD, None)
    assert write_short_stream(events, HEAD, None)


@pytest.mark.parametrize("wire", [ANTHROPIC_MESSAGES, OPENAI_RESPONSES], ids=["messages", "responses"])
@settings(deadline=None)
@given(said=st.lists(TEXTS_AND_MORE, max_size=5), finish=ENDS, echo=st.sampled_from([None, {"instructions": "ä"}]))
@example(["a", '","', ""], FinishReason("stop", "finish_reason"), None)
def test_a_stream_of_text_alone_is_written_like_any(wire: Wire, said: Batch, finish: FinishReason, echo: Any) -> None:
    """The same bytes as event by event."""
    events: Batch = [Started("m"), *said, finish]
    head = AnswerHead("id_1", 1, "m", echo=echo)
    encoder = wire.encoder(head)

    written = wire.encode_stream(events, head, extension={"length": 1})

    assert written == encoder.write(events) + encoder.end(finish, extension={"length": 1})


@pytest.mark.parametrize("usage", [[1], "x", 7, True, {}])
def test_a_usage_that_is_no_object_counts_nothing(usage: Any) -> None:
    """It made an internal error of the answer."""
    stream = messages.sse(messages.start(usage=usage), *USUAL_PIECES[1:])
    short = read_short_message(stream)
    assert short is not None

    document = json.loads(ANTHROPIC_MESSAGES.encode_answer(short, HEAD))

    assert short == read_long_message(stream)
    assert document["usage"].keys() == {
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    }
    assert ANTHROPIC_MESSAGES.encode_stream(short, HEAD)


@pytest.mark.parametrize("write", [write_messages_stream, write_responses_stream], ids=["messages", "responses"])
def test_streams_of_text_alone_are_written_at_once(write: Any) -> None:
    """Of upstreams of chat completions and of Messages; what is more than text is not."""
    stop = FinishReason("stop", "finish_reason")
    taken = [[Started("m"), "a", "b", stop], [Started("m"), BEGUN, "a", DELTA, stop]]
    left = [[Started("m"), "a", Reasoning("b"), stop], [Started("m"), SEALED, "a", stop], [Started("m"), stop]]

    assert all(write(events, HEAD, None) for events in taken)
    assert not any(write(events, HEAD, None) for events in left)


@pytest.mark.parametrize("wire", [ANTHROPIC_MESSAGES, OPENAI_RESPONSES], ids=["messages", "responses"])
def test_an_encrypted_thought_without_words_is_part_of_a_document(wire: Wire) -> None:
    """OpenRouter sends it beside chat completions, and wants it back with the next turn."""
    events: Batch = [Started("m"), SEALED, "a", FinishReason("stop", "finish_reason")]

    assert pack({"type": "reasoning_details", "reasoning_details": [{"data": "x"}]}).encode() in wire.encode_answer(
        events, HEAD
    )


ENCODE: dict[Any, Any] = {anthropic_answer: anthropic_answer.encode_message, responses_answer: responses_answer.encode_response}


@pytest.mark.parametrize("name", [*usual._UNKNOWN_IN_CHUNK, *usual._UNKNOWN_IN_CHOICE])
def test_chunks_with_other_unknown_members_are_not_the_same(name: str) -> None:
    """Whichever it is, in the chunk or in its choice."""
    read = msgspec.json.Decoder(usual.TextChunk).decode
    one, other = (read(json.dumps(text("a"))) for _ in range(2))
    before = short_answer._has_same_unknown(one, other)
    setattr(other if name in usual._UNKNOWN_IN_CHUNK else other.choices[0], name, None)

    assert before
    assert not short_answer._has_same_unknown(one, other)


_COUNTS = st.sampled_from([0, 1, 7, -1, 2**63 - 1, 2**63, True, 2.0, 2.5, "3", None])
_NAMES = ("prompt_tokens", "completion_tokens", "total_tokens")


@given(
    st.dictionaries(st.sampled_from([*_NAMES, "input_tokens", "cost"]), _COUNTS)
    | st.fixed_dictionaries(dict.fromkeys(_NAMES, _COUNTS))
)
@example({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
def test_three_counts_are_read_as_beside_others(usage: dict[str, Any]) -> None:
    """A usage of the three counts alone says what it says beside a member that is no count."""
    alone, beside = usage_of(usage), usage_of({**usage, "other": 1})

    extra = None if alone is None else alone.extra
    assert beside == (None if alone is None else msgspec.structs.replace(alone, extra={**(extra or {}), "other": 1}))
    assert alone is None or {int} == {type(alone.prompt_tokens), type(alone.completion_tokens), type(alone.total_tokens)}
