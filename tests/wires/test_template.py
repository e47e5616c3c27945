"""Reading chunks by template: a shortcut that takes only what it has proven, and leaves everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.wires.openai_chat import decoder as decoder_module
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.sse import SSEDecoder
from autonomousai.wires.text_template import TextTemplate
from tests.support.lines import lines
from tests.wires import messages_streams as messages
from tests.wires.answers import DONE, ROLE, USAGE, Json, Outcome, chunk, sse, text
from tests.wires.answers import usage as counted_chunk

BEFORE, AFTER = b'{"model":"m","text":"', b'","n":1}'


def read(chunk: bytes) -> str | None:
    """A reader of chunks like any: it fails on what is not JSON."""
    try:
        return json.loads(chunk)["content"]
    except (ValueError, KeyError, TypeError):
        return None


def around(*slices: bytes) -> list[bytes]:
    return [BEFORE + piece + AFTER for piece in slices]


class TestLearning:
    @pytest.mark.parametrize("text", ["a", "", "ä", 'say "x"', "\n", "content", '"content":"a"'])
    @pytest.mark.parametrize("form", ['{"content":%s,"n":1}', '{"id": 7, "content": %s}'])
    def test_finds_the_text(self, form: str, text: str) -> None:
        """Compact JSON or with spaces, the text's place is found, and other texts are then read there."""
        chunk = (form % json.dumps(text, ensure_ascii=False)).encode()

        template = TextTemplate.learn(chunk, text, read)

        assert template is not None
        assert [text, "other"] == template.texts([chunk, (form % '"other"').encode()])

    @pytest.mark.parametrize(
        ("chunk", "text"),
        [
            (b'{"content":"b"}', "a"),
            (b'{"content":"\\u0061"}', "a"),
            (b'{"content"\n:\n"a"}', "a"),
            (b'{"other":{"content":"a"},"content":["a"]}', "a"),
            (b'{"content":"a","content":"b"}', "a"),
            (b'{"x":"\\"content":"a"}', "a"),
            (b'{"content":"a","x":"<here-stands-the-text-of-the-chunk>"}', "a"),
        ],
        ids=["another text", "written otherwise", "unusual spaces", "another place", "said twice", "no JSON", "the sentinel"],
    )
    def test_learns_nothing_unproven(self, chunk: bytes, text: str) -> None:
        """Where a sentinel in the text's place is not read as the whole text, there is no template."""
        assert TextTemplate.learn(chunk, text, read) is None


@pytest.mark.parametrize(
    ("delta", "more", "expected"),
    [
        ({"content": "a"}, {}, "a"),
        ({"content": "a", "reasoning": "", "tool_calls": []}, {"usage": None}, "a"),
        ({"content": ""}, {}, ""),
        ({}, {}, None),
        ({"content": "a", "reasoning": "hm"}, {}, None),
        ({"content": "a", "reasoning_content": "hm"}, {}, None),
        ({"content": "a", "tool_calls": [{}]}, {}, None),
        ({"content": "a"}, {"usage": USAGE}, None),
        ({"content": "a"}, {"error": "boom"}, None),
        ({"content": ["a"]}, {}, None),
    ],
)
def test_sole_text(delta: Json, more: Json, expected: str | None) -> None:
    """A chunk that a template may be learnt from says its text, and nothing besides."""
    assert expected == ChatStreamDecoder()._sole_text(json.dumps(chunk(delta, **more)).encode())


class TestTexts:
    TEMPLATE = TextTemplate(BEFORE, AFTER)

    def test_texts(self) -> None:
        """One text for each chunk, with all that JSON can escape."""
        slices = [b"a", b"", b"\\n", b"\\u00e4", "ä😀".encode(), b"\\ud83d\\ude00", b'\\"', b"\\\\", b'\\\\\\"', b","]

        assert ["a", "", "\n", "ä", "ä😀", "😀", '"', "\\", '\\"', ","] == self.TEMPLATE.texts(around(*slices))

    @pytest.mark.parametrize(
        "chunks",
        [
            [*around(b"a"), BEFORE[:-1] + b'b"' + AFTER],
            [*around(b"a"), BEFORE + b"b" + AFTER[:-1]],
            [BEFORE + b"a" + AFTER + b" ", *around(b"b")],
            [BEFORE[:-3] + AFTER, *around(b"b")],
            [b"", *around(b"b")],
            [BEFORE + b"a" + AFTER + BEFORE, b"b" + AFTER],
        ],
        ids=["before", "after", "longer", "shorter", "empty", "shifted"],
    )
    def test_other_chunks(self, chunks: list[bytes]) -> None:
        """A single chunk that is not of the template, and none is read by it."""
        assert self.TEMPLATE.texts(chunks) is None

    @pytest.mark.parametrize(
        "slices",
        [
            [b'a","b', b"c\\"],
            [b"c\\", b'a","b'],
            [b'a"', b"b"],
            [b"a\\", b"b"],
            [b"a\\", b"b", b'"'],
            [b"\\", b',"'],
            [b"", b'","'],
            [b'a\\\\" ,"b', b"c\\\\"],
            [b"a\nb", b"c\\"],
            [b"a\nb", b"c"],
            [b'\\\\"', b"a"],
            [b'\\u005c"', b"a"],
            [b"\\ud83d", b"\\ude00"],
            [b"\xff", b"a"],
            [b"\xc3", b"\xa4"],
            [b"\x01", b"a"],
            [b"\\x", b"a"],
        ],
    )
    def test_slices_that_are_no_strings(self, slices: list[bytes]) -> None:
        """Slices that only together would be valid, or that are not valid, are not read."""
        assert self.TEMPLATE.texts(around(*slices)) is None

    pieces = st.lists(st.sampled_from([b'"', b"\\", b'\\"', b",", b"\n", b"a", b"u0022"]), max_size=4).map(b"".join)

    @given(st.lists(st.binary(max_size=4) | pieces, min_size=1, max_size=6))
    def test_as_each_alone(self, slices: list[bytes]) -> None:
        """Together they are read exactly where each of them could be read alone, and as the same."""
        alone = []
        for piece in slices:
            try:
                alone.append(json.loads((b'"%b"' % piece).decode()).encode().decode())
            except ValueError:
                alone.append(None)

        texts = self.TEMPLATE.texts(around(*slices))

        assert (None if None in alone else alone) == texts


@pytest.mark.parametrize("member", ['"system_fingerprint":"fp_1"', '"service_tier":"default"', '"timings":{"n":1}'])
def test_a_member_that_every_chunk_repeats_does_not_slow_the_stream(member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that come one by one with it are soon read by template: few of them are decoded at length."""
    decoded: list[bytes] = []
    load = decoder_module.load

    def counted(data: bytes) -> object:
        decoded.append(data)
        return load(data)

    monkeypatch.setattr(decoder_module, "load", counted)
    decoder = ChatStreamDecoder()
    body = '{"object":"chat.completion.chunk","model":"m",%s,"choices":[{"index":0,"delta":{"content":"%s"}}]}'

    events = [event for word in range(200) for event in decoder.feed(f"data: {body % (member, word)}\n\n".encode())]

    assert [str(word) for word in range(200)] == [event for event in events if isinstance(event, str)]
    assert len(decoded) < 10


LONG_TEXTS = st.sampled_from(["a", "", " word", '"', "\\", '\\"', '","', "\n", "ä", "\u2028", "x" * 300, "\ud83d\ude00"])
ODD = [
    b": a comment\n\n",
    sse("x"),
    sse(DONE),
    sse(chunk(reason="stop")),
    sse(chunk({"content": "b", "role": "assistant"})),
    sse(text("c", system_fingerprint="f")),
    b"event: ping\ndata: {}\n\n",
    b"id: 7\n",
    b"\n",
    b"data:" + sse(text("d"))[6:],
    sse(text("e")).replace(b"\n", b"\r\n"),
    sse(text("f"))[:-1],
    sse(text("g"))[:-30],
    sse(text("h")).replace(b'"h"', b'"h\x01"'),
    sse(text("i")).replace(b'"i"', b'"\\ud83d"'),
    sse(text("j")).replace(b'"j"', b'"j","content":"k"'),
]


ODD_EVENTS = [
    b": a comment\n\n",
    b"event: ping\ndata: {}\n\n",
    b"id: 7\n",
    b"\n",
    messages.sse(messages.stop(), messages.block(1)),
    messages.sse(messages.stop(), messages.block(1, "thinking"), messages.thought("hm"), messages.stop(1), messages.block(2)),
    messages.sse(messages.end()),
    messages.sse(messages.STOP),
    messages.sse(messages.text("b", index=1)),
    messages.sse(messages.text("c", more=1)),
    messages.sse({**messages.text("d"), "more": 1}),
    messages.sse(messages.text("e")).replace(b"\n", b"\r\n"),
    messages.sse(messages.text("f"))[:-1],
    messages.sse(messages.text("g"))[:-30],
    messages.sse(messages.text("h")).replace(b'"h"', b'"h\x01"'),
    messages.sse(messages.text("i")).replace(b'"i"', b'"\\ud83d"'),
    messages.sse(messages.text("j")).replace(b'"j"', b'"j","text":"k"'),
    messages.sse(messages.text("l")).replace(b"event: content_block_delta", b"event: ping"),
    messages.sse(messages.text("m")).partition(b"\n")[2],
]


class Stream(NamedTuple):
    """How a stream of one wire is made, of events of text and of others, and what reads it."""

    outcome: type[Outcome]
    start: bytes
    usual: Callable[[str], bytes]
    odd: list[bytes]
    end: bytes


STREAMS = {
    "chat": Stream(Outcome, sse(ROLE), lambda said: sse(text(said)), ODD, sse(chunk(reason="stop")) + sse(DONE)),
    "messages": Stream(
        messages.MessageOutcome,
        messages.sse(messages.start(), messages.block(), messages.PING),
        lambda said: messages.sse(messages.text(said)),
        ODD_EVENTS,
        messages.sse(messages.stop(), messages.end(), messages.STOP),
    ),
}


@pytest.mark.parametrize("wire", STREAMS)
@settings(deadline=None)
@given(data=st.data())
def test_a_long_read_is_read_like_short_ones(wire: str, data: st.DataObject) -> None:
    """Many events in one read, with anything between them: the same events as in reads of any size."""
    outcome, start, usual, odd, end = STREAMS[wire]
    pieces = [start, *(usual(data.draw(LONG_TEXTS)) for _ in range(data.draw(st.integers(10, 30))))]
    for each in data.draw(st.lists(st.one_of(LONG_TEXTS.map(usual), st.sampled_from(odd)), max_size=6)):
        pieces.insert(data.draw(st.integers(0, len(pieces))), each)
    stream = b"".join([*pieces, usual("the end"), end])
    cut = data.draw(st.integers(0, len(stream)))
    size = data.draw(st.integers(1, 400))

    assert outcome(stream[:cut], stream[cut:]) == outcome(*(stream[at : at + size] for at in range(0, len(stream), size)))


#: Chunks of which each says another time: no template is learnt from so many of them any more.
DIFFERING = b"".join([sse(ROLE), *(sse(text("w", created=number)) for number in range(40))])


@settings(deadline=None)
@given(data=st.data())
def test_chunks_that_differ_in_more_than_their_text_are_read_like_single_ones(data: st.DataObject) -> None:
    """Many of them in one read, with anything between them: the same events as in reads of any size."""
    texts = [data.draw(LONG_TEXTS) for _ in range(data.draw(st.integers(4, 20)))]
    pieces = [sse(text(said, created=number)) for number, said in enumerate(texts)]
    others = [*ODD, sse(counted_chunk()), sse(chunk({"reasoning_content": "r"})), sse(text("k", usage=USAGE)), sse(chunk({}))]
    for each in data.draw(st.lists(st.sampled_from(others), max_size=4)):
        pieces.insert(data.draw(st.integers(0, len(pieces))), each)
    stream = b"".join([*pieces, sse(text("the end")), sse(chunk(reason="stop")), sse(DONE)])
    size = data.draw(st.integers(1, 400))

    together = Outcome(DIFFERING, stream)

    assert together == Outcome(DIFFERING, *(stream[at : at + size] for at in range(0, len(stream), size)))


def test_chunks_that_differ_in_more_than_their_text_are_decoded_together() -> None:
    """Of a further chunk in a read, no more than its text is looked at."""
    decoder = ChatStreamDecoder()
    decoder.feed(DIFFERING)
    few, many = (b"".join(sse(text("w", created=number)) for number in range(count)) for count in (100, 1100))

    assert lines(lambda: decoder.feed(many)) - lines(lambda: decoder.feed(few)) < 4000


def test_texts_among_others_are_soon_decoded_one_by_one() -> None:
    """Where something else stands in each read, it is not tried again and again to decode all of it together."""
    decoder = ChatStreamDecoder()
    decoder.feed(DIFFERING)
    read = b"".join([*(sse(text("w", created=number)) for number in range(8)), sse(chunk({"reasoning_content": "r"}))] * 2)
    first = lines(lambda: decoder.feed(read))
    for _ in range(8):
        decoder.feed(read)

    assert lines(lambda: decoder.feed(read)) < first


@pytest.mark.parametrize("cut", [0, 900, 4000])
def test_a_run_of_events_is_read_by_template(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the Messages API too: of 200 events few are parsed, however the first of them come."""
    parsed: list[int] = []
    feed = SSEDecoder.feed

    def counted(decoder: SSEDecoder, data: bytes) -> Any:
        events = feed(decoder, data)
        parsed.append(len(events))
        return events

    monkeypatch.setattr(SSEDecoder, "feed", counted)
    _, start, usual, _, end = STREAMS["messages"]
    stream = b"".join([start, *(usual(f" word{number}") for number in range(200)), end])

    read = messages.MessageOutcome(stream[:cut], stream[cut:])

    assert "".join(event for event in read.events if isinstance(event, str)) == "".join(f" word{n}" for n in range(200))
    assert read.error is None
    assert sum(parsed) < 45
