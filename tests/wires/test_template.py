"""Reading chunks by template: a shortcut that takes only what it has proven, and leaves everything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.wires.openai_chat import decoder as decoder_module
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder
from autonomousai.wires.openai_chat.template import ChunkTemplate
from tests.wires.answers import DONE, ROLE, USAGE, Json, Outcome, chunk, sse, text

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

        template = ChunkTemplate.learn(chunk, text, read)

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
        assert ChunkTemplate.learn(chunk, text, read) is None


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
    TEMPLATE = ChunkTemplate(BEFORE, AFTER)

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


@settings(deadline=None)
@given(st.lists(st.one_of(LONG_TEXTS.map(text).map(sse), st.sampled_from(ODD)), max_size=6), st.data())
def test_a_long_read_is_read_like_short_ones(odd: list[bytes], data: st.DataObject) -> None:
    """Many chunks in one read, with anything between them: the same events as in reads of any size."""
    pieces = [sse(ROLE), *(sse(text(data.draw(LONG_TEXTS))) for _ in range(data.draw(st.integers(10, 30))))]
    for each in odd:
        pieces.insert(data.draw(st.integers(0, len(pieces))), each)
    stream = b"".join([*pieces, sse(text("the end")), sse(chunk(reason="stop")), sse(DONE)])
    cut = data.draw(st.integers(0, len(stream)))
    size = data.draw(st.integers(1, 400))

    assert Outcome(stream[:cut], stream[cut:]) == Outcome(*(stream[at : at + size] for at in range(0, len(stream), size)))
