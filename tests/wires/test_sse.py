"""Event streams: right by the WHATWG text, however the bytes are cut; bounded; and read as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import StreamError
from autonomousai.wires.sse import ServerSentEvent, SSEDecoder, encode_comment, encode_event
from tests.wires import whatwg
from tests.wires.cutting import cuts, every_byte, pieces

Events = list[bytes | ServerSentEvent]

BOM = b"\xef\xbb\xbf"


def read(*parts: bytes) -> tuple[Events, SSEDecoder]:
    decoder = SSEDecoder()
    return [event for part in parts for event in decoder.feed(part)], decoder


def as_text(events: Events) -> list[tuple[str, str]]:
    """Each event's type and data, as a reader of text would have them."""
    return [
        ("message", event.decode("utf-8", "replace"))
        if isinstance(event, bytes)
        else (event.event, event.data.decode("utf-8", "replace"))
        for event in events
    ]


#: what it shows, stream, events
CASES: list[tuple[str, bytes, Events]] = [
    ("one event", b"data: hello\n\n", [b"hello"]),
    ("several events", b"data: a\n\ndata: b\n\ndata: c\n\n", [b"a", b"b", b"c"]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    ("CR", b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    ("mixed line ends", b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\rdata: d\n\r", [b"a", b"b", b"c", b"d"]),
    ("CR in the middle of data ends the line", b"data: a\rdata: b\n\n", [b"a\nb"]),
    (
        "other separators are no line ends",
        "data: a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\n\n".encode(),
        [b"a\xe2\x80\xa8b\xe2\x80\xa9c\x0bd\x0ce\xc2\x85f\x1cg"],
    ),
    ("no space after the colon", b"data:a\n\ndata:b\n\n", [b"a", b"b"]),
    ("one space is taken away, no more", b"data:  a \n\n", [b" a "]),
    ("a tab is not a space", b"data:\ta\n\n", [b"\ta"]),
    ("colons in data", b"data: a: b:c\n\n", [b"a: b:c"]),
    ("the text 'data: ' inside data", b"data: say data: data: x\n\ndata:data: y\n\n", [b"say data: data: x", b"data: y"]),
    ("several data lines", b"data: a\ndata: b\ndata:\ndata: c\n\n", [b"a\nb\n\nc"]),
    ("as many data lines as would make two events", b"data: a\ndata: b\ndata: c\n\n", [b"a\nb\nc"]),
    ("several data lines that end in CRLF", b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
    ("data without a colon", b"data\n\n", [b""]),
    ("two of them", b"data\ndata\n\n", [b"\n"]),
    ("empty data", b"data:\n\ndata: \n\n", [b"", b""]),
    ("a field like data", b"database: a\nDATA: b\ndata : c\n data: d\n\ndata: e\n\n", [b"e"]),
    (
        "a field like data with JSON in it",
        b'DATA: {"a": 1}\nData:[1]\n data: {}\n\n\xef\xbb\xbfdata: {"b": 2}\n\n\0\0data : [DONE]\n\nERROR: {"c": 3}\n\n',
        [b'{"a": 1}\n[1]\n{}', b'{"b": 2}', b"[DONE]", b'{"c": 3}'],
    ),
    ("a field unlike data with JSON in it", b'database: {"a": 1}\nda ta: []\nerror: [1]\n\ndata: e\n\n', [b"e"]),
    ("comments", b": a\ndata: b\n: c\n:\n\n:d\n\ndata: e\n\n", [b"b", b"e"]),
    ("a comment that looks like data", b":data: a\n\n", []),
    ("blank lines", b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [b"a", b"b"]),
    ("an event without its blank line is none", b"data: a\n\ndata: b\n", [b"a"]),
    ("nor is a line without its end", b"data: a\n\ndata: b", [b"a"]),
    ("an event's type", b"event: error\ndata: a\n\ndata: b\n\n", [ServerSentEvent(b"a", "error"), b"b"]),
    ("the type after the data", b"data: a\nevent: x\n\n", [ServerSentEvent(b"a", "x")]),
    ("the last type counts", b"event: x\nevent: y\ndata: a\n\n", [ServerSentEvent(b"a", "y")]),
    ("the default type, named", b"event: message\ndata: a\n\nevent:\ndata: b\n\nevent\ndata: c\n\n", [b"a", b"b", b"c"]),
    ("a type without data is forgotten", b"event: x\n\ndata: a\n\n", [b"a"]),
    ("unknown fields", b"foo: bar\ndata: a\nbaz\n\n", [b"a"]),
    ("ids", b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n", [b"a", b"b"]),
    ("an id after the data", b"data: a\nid: 1\n\ndata: b\nid: 2\n\n", [b"a", b"b"]),
    (
        "ids and types",
        b"id: 1\nevent: x\ndata: a\n\nevent: y\ndata: b\n\n",
        [ServerSentEvent(b"a", "x", "1"), ServerSentEvent(b"b", "y", "1")],
    ),
    (
        "NUL in an id",
        b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nevent: x\ndata: c\n\n",
        [b"a", b"b", ServerSentEvent(b"c", "x", "1")],
    ),
    ("NUL in data", b"data: a\0b\n\n", [b"a\0b"]),
    ("a byte order mark", BOM + b"data: a\n\n", [b"a"]),
    ("two of them", BOM + BOM + b"data: a\n\ndata: b\n\n", [b"b"]),
    ("one that comes late", b"data: a\n\n" + BOM + b"data: b\n\ndata: c\n\n", [b"a", b"c"]),
    ("half of one", BOM[:2] + b"data: a\n\ndata: b\n\n", [b"b"]),
    ("one before a blank line", BOM + b"\n\ndata: a\n\n", [b"a"]),
    (
        "characters of several bytes",
        "data: ä€😀\n\nevent: ü\ndata: x\n\n".encode(),
        ["ä€😀".encode(), ServerSentEvent(b"x", "ü")],
    ),
    (
        "what is not UTF-8",
        b"data: \xff\xe2\x82\n\nevent: \xff\ndata: a\n\n",
        [b"\xff\xe2\x82", ServerSentEvent(b"a", "\ufffd")],
    ),
    ("nothing", b"", []),
]


@pytest.mark.parametrize(("stream", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
class TestTable:
    def test_whole(self, stream: bytes, expected: Events) -> None:
        """The stream in one read brings the events of the table."""
        events, _ = read(stream)

        assert expected == events

    def test_cut_anywhere(self, stream: bytes, expected: Events) -> None:
        """Cut in two at any byte it brings the same."""
        events = [read(stream[:cut], stream[cut:])[0] for cut in range(len(stream) + 1)]

        assert [expected] * (len(stream) + 1) == events

    def test_byte_by_byte(self, stream: bytes, expected: Events) -> None:
        """Byte by byte, with empty reads in between, it brings the same."""
        events, _ = read(*[part for byte in stream for part in (bytes([byte]), b"")])

        assert expected == events

    def test_by_the_standard(self, stream: bytes, expected: Events) -> None:
        """The table itself says what the standard says."""
        reference = whatwg.read(stream)

        assert [event[:2] for event in reference.events] == as_text(expected)


TOKENS = [
    *[b"data: x\n\n", b"data: y\n\n", b"id: 7\ndata: z\n\n"] * 3,
    *[b"data", b"data:", b"data: ", b"id", b"id: ", b"event: ", b"retry: ", b"retry:", b"message", b"12", b"+1"],
    *[b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b":", b": ", b" ", b"x", b"{}", b"\0", b"\xff", b"\xc3", BOM, BOM[:1]],
    *["ä".encode(), "\u2028".encode(), "😀".encode()],
]
streams = st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join) | st.binary(max_size=60)


@given(streams, cuts)
def test_any_stream_cut_in_any_way_is_read_by_the_standard(stream: bytes, cuts: list[int]) -> None:
    """Events, the last event id and the reconnection time are those of the plain reference."""
    reference = whatwg.read(stream)

    events, decoder = read(*pieces(stream, cuts))

    assert [event[:2] for event in reference.events] == as_text(events)
    typed = [event for event in reference.events if event[0] != "message"]
    assert typed == [(e.event, e.data.decode("utf-8", "replace"), e.id) for e in events if isinstance(e, ServerSentEvent)]
    assert (reference.last_event_id, reference.reconnection_time) == (decoder.last_event_id, decoder.retry_ms)


usual_events = st.builds(
    lambda number, data, end: b"%bdata: %b%b" % (b"id: %d\n" % number if number else b"", data, end),
    st.just(0) | st.integers(min_value=1, max_value=3),
    st.binary(max_size=6).filter(lambda data: not set(data) & set(b"\r\n")),
    st.sampled_from([b"\n\n"] * 9 + [b"\n\n\n", b"\n", b"\r\n\r\n"]),
)


@given(st.booleans(), st.lists(usual_events, max_size=12), cuts)
def test_the_short_way_reads_as_the_standard_says(with_ids: bool, events: list[bytes], cuts: list[int]) -> None:
    """Streams of single data lines, with ids or without or with some, are read as by the plain reference."""
    stream = b"".join(event for event in events if not with_ids or event.startswith(b"id"))
    reference = whatwg.read(stream)

    found, decoder = read(*pieces(stream, cuts))

    assert ([event[:2] for event in reference.events], reference.last_event_id) == (as_text(found), decoder.last_event_id)


class TestReconnecting:
    @pytest.mark.parametrize(
        ("stream", "expected"),
        [
            (b"", None),
            (b"retry: 3000\n\n", 3000),
            (b"retry:5\ndata: a\n\n", 5),
            (b"retry: 1\n\nretry: 2\n\n", 2),
            (b"retry: 1\nretry: x\n\n", 1),
            (b"retry: \n\n", None),
            (b"retry\n\n", None),
            (b"retry: 1.5\n\n", None),
            (b"retry: -1\n\n", None),
            ("retry: ٣\n\n".encode(), None),
            (b"retry: 1 \n\n", None),
            (b"retry: 12", None),
            (b"retry: 12\n", 12),
            (b"retry: 1\n\nretry: 2\r", 2),
            (b"retry: " + b"9" * 5000 + b"\n\n", None),
        ],
    )
    def test_retry(self, stream: bytes, expected: int | None) -> None:
        """The reconnection time is digits alone, and counts from the end of its line."""
        _, decoder = read(stream)

        assert expected == decoder.retry_ms

    @pytest.mark.parametrize(
        ("stream", "expected"),
        [
            (b"", ""),
            (b"id: 1\ndata: a\n\n", "1"),
            (b"id: 1\ndata: a\n\ndata: b\n\n", "1"),
            (b"id: 1\ndata: a\n\nid\ndata: b\n\n", ""),
            (b"id: 1\n\n", "1"),
            (b"id: 1\ndata: a\n\nid: 2\ndata: b\n", "1"),
            (b"id:  1 \ndata: a\n\n", " 1 "),
            (b"id: 1\ndata: a\n\nid: \0\ndata: b\n\n", "1"),
            ("id: ü\ndata: a\n\n".encode(), "ü"),
        ],
    )
    def test_last_event_id(self, stream: bytes, expected: str) -> None:
        """The last event id is that of the last event that was whole."""
        _, decoder = read(stream)

        assert expected == decoder.last_event_id

    def test_reopened(self) -> None:
        """On another connection the stream begins anew, byte order mark and all, but for its last id and reconnection time."""
        decoder = SSEDecoder()

        first = decoder.feed(b"id: 1\ndata: a\n\nretry: 5\nid: 2\ndata: b\r")
        decoder.reopen()
        kept = decoder.last_event_id, decoder.retry_ms
        second = decoder.feed(BOM + b"\nid: 2\ndata: b\n\n")

        assert ([b"a"], ("1", 5), [b"b"]) == (first, kept, second)


class TestBound:
    def fail(self, parts: list[bytes], max_event: int) -> tuple[Events, str | None]:
        """The events that *parts* bring before the failure, and its code."""
        decoder = SSEDecoder(max_event=max_event)
        events: Events = []
        try:
            for part in parts:
                events += decoder.feed(part)
            decoder.feed(b"")
        except StreamError as error:
            return events, error.code
        return events, None

    def test_an_event_past_the_bound(self) -> None:
        """An event larger than the bound is a typed error that names the bound, and stays one."""
        decoder = SSEDecoder(max_event=1000)

        with pytest.raises(StreamError, match="larger than 1,000 bytes") as caught:
            decoder.feed(b"data: " + b"x" * 1000)

        with pytest.raises(StreamError) as again:
            decoder.feed(b"\n\ndata: a\n\n")
        assert "event_too_large" == caught.value.code
        assert caught.value is again.value

    def test_what_came_before_is_returned(self) -> None:
        """The events before it are returned first; the failure is known at once, and raised by the next read."""
        decoder = SSEDecoder(max_event=100)

        events = decoder.feed(b"data: a\n\ndata: " + b"x" * 100)

        assert [b"a"] == events
        assert decoder.failure is not None
        with pytest.raises(StreamError):
            decoder.feed(b"data: b\n\n")

    def test_many_events_larger_together(self) -> None:
        """The bound is on one event, not on a read."""
        events, code = self.fail([b"data: 12345\n\n" * 1000], 13)

        assert ([b"12345"] * 1000, None) == (events, code)

    @pytest.mark.parametrize(("max_event", "code"), [(15, "event_too_large"), (16, None)])
    def test_what_counts(self, max_event: int, code: str | None) -> None:
        """An event's lines count with their ends; the blank lines around it do not, nor does it matter how it is cut."""
        stream = b"\n\n\ndata: x\ndata: y\n\n\n\n\n"

        assert code == self.fail([stream], max_event)[1]
        assert code == self.fail(every_byte(stream), max_event)[1]

    def test_comments_without_end(self) -> None:
        """Comments are dropped as they come, whole or in pieces; other lines that come to no blank line are bounded."""
        comments = [b":\n", b": long", b"er", b" still\n"] * 1000

        assert ([b"x"], None) == self.fail([b"data: x\n", *comments, b"\n"], 10)
        assert "event_too_large" == self.fail([b"a\n"] * 1000, 1000)[1]

    @given(streams, cuts, st.integers(min_value=1, max_value=40))
    def test_however_it_is_cut(self, stream: bytes, cuts: list[int], max_event: int) -> None:
        """Where the bound falls does not depend on how the stream is cut."""
        whole = self.fail([stream], max_event)

        assert whole == self.fail(pieces(stream, cuts), max_event)
        assert whole == self.fail(every_byte(stream), max_event)

    @pytest.mark.timeout(60)
    def test_linear(self) -> None:
        """An event of 8 MB in pieces of 16 bytes takes a second; copying what is there at each read would take an hour."""
        decoder = SSEDecoder()
        events: Events = decoder.feed(b"data: ")

        for _ in range(500_000):
            events += decoder.feed(b"0123456789abcdef")
        events += decoder.feed(b"\n\n")

        assert [b"0123456789abcdef" * 500_000] == events


class TestEncoding:
    @pytest.mark.parametrize(
        ("encoded", "expected"),
        [
            (encode_event("a"), b"data: a\n\n"),
            (encode_event(b"\xff"), b"data: \xff\n\n"),
            (encode_event(""), b"data: \n\n"),
            (encode_event("a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
            (encode_event("a", event="error", id="7"), b"id: 7\nevent: error\ndata: a\n\n"),
            (encode_comment("keep-alive"), b": keep-alive\n\n"),
            (encode_comment("a\r\nb"), b": a\n: b\n\n"),
        ],
    )
    def test_bytes(self, encoded: bytes, expected: bytes) -> None:
        """Every line has its field, and the event its blank line."""
        assert expected == encoded

    @pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
    def test_what_cannot_arrive(self, bad: str) -> None:
        """An id or a type that no reader could receive is refused: it could forge a field."""
        with pytest.raises(ValueError, match="id must not hold"):
            encode_event("x", id=bad)
        with pytest.raises(ValueError, match="event must not hold"):
            encode_event("x", event=bad)

    @given(st.text(), st.none() | st.sampled_from(["x", "ü", " y"]), st.none() | st.sampled_from(["1", "ä", " 2"]), cuts)
    def test_round_trip(self, data: str, event: str | None, id: str | None, cuts: list[int]) -> None:
        """What was encoded is decoded, line ends in it as LF; comments around it change nothing."""
        encoded = encode_comment(data) + encode_event(data, event=event, id=id) + encode_comment(data)
        payload = data.replace("\r\n", "\n").replace("\r", "\n").encode()

        events, decoder = read(*pieces(encoded, cuts))

        assert [payload if event is None else ServerSentEvent(payload, event, id or "")] == events
        assert (id or "") == decoder.last_event_id
