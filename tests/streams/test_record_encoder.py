"""Records -> events of a wire: each has its number, and the bytes are the same each time, from wherever they are encoded."""

from __future__ import annotations

import re

import pytest

from autonomousai.errors import StatusError
from autonomousai.events import Batch, Extra, FinishReason, ForeignEvent, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.streams.records import Record, RecordedError, RecordEncoder, StreamHeader, UnknownWireError, after_events
from autonomousai.wires.base import Wire
from autonomousai.wires.openai_chat.encoder import ChatStreamEncoder
from autonomousai.wires.registry import OPENAI_CHAT, WIRES, streamed_wires

HEADER = StreamHeader("openai_chat", "req_1", 1700000000, "llama", True)
BATCHES: list[Batch] = [
    [Started("llama")],
    [Reasoning("hm"), "Hel"],
    ["lo", " \n\nid: 3\n\n", "é🦙"],
    [ForeignEvent("ping", b"1\n\n2", "openai_chat"), Extra({"odd": 1}, 2, "openai_chat"), "x", Reasoning("y")],
    [],
    [ToolCallDelta(0, "call_1", "f", '{"a'), ToolCallDelta(0, arguments='": 1}')],
    [" end", FinishReason("stop", "finish_reason", Usage(1, 2, 3))],
]
RECORDS = [
    Record(batch, end=number == len(BATCHES), header=HEADER if number == 1 else None, provenance={"length": 5})
    for number, batch in enumerate(BATCHES, start=1)
]

EVERY_WIRE = pytest.mark.parametrize("wire", streamed_wires().values(), ids=streamed_wires().keys())


def numbers(data: bytes) -> list[bytes]:
    """The ids of events; no line of a text begins so, for its line ends are escaped."""
    return re.findall(rb"^id: (.*)$", data, re.MULTILINE)


def encoded(encoder: RecordEncoder, records: list[Record] = RECORDS) -> list[bytes]:
    return [encoder.encode([record]) for record in records]


@EVERY_WIRE
def test_events_are_counted(wire: Wire) -> None:
    """From 1 on, one number for each, and the encoder knows how far it has come."""
    encoder = RecordEncoder(wire, WIRES)
    data = b"".join(encoded(encoder))

    assert [b"%d" % number for number in range(1, data.count(b"\n\n") + 1)] == numbers(data)
    assert (len(RECORDS), data.count(b"\n\n")) == (encoder.position, encoder.last)


def test_many_at_once_are_as_one_after_the_other() -> None:
    """However the records are cut into calls."""
    whole = b"".join(encoded(RecordEncoder(OPENAI_CHAT, WIRES)))
    encoder = RecordEncoder(OPENAI_CHAT, WIRES)

    assert whole == RecordEncoder(OPENAI_CHAT, WIRES).encode(RECORDS)
    assert whole == encoder.encode(RECORDS[:2]) + encoder.encode([]) + encoder.encode(RECORDS[2:])


def test_the_bytes_are_those_of_the_wire() -> None:
    """With the numbers before them, as the wire's own encoder writes a stream that is not recorded."""
    plain = ChatStreamEncoder(id="chatcmpl-1", created=1700000000, model="llama", include_usage=True)
    whole = b"".join(map(plain.write, BATCHES))
    finish = BATCHES[-1][-1]
    assert isinstance(finish, FinishReason)
    whole += plain.end(finish, extension={"length": 5})

    assert whole == re.sub(rb"^id: [0-9]+\n", b"", b"".join(encoded(RecordEncoder(OPENAI_CHAT, WIRES))), flags=re.MULTILINE)


@EVERY_WIRE
@pytest.mark.parametrize("after", range(1, len(RECORDS) + 1))
def test_a_copy_goes_the_same_way(wire: Wire, after: int) -> None:
    """From any record on, and whatever becomes of the other."""
    encoder = RecordEncoder(wire, WIRES)
    encoded(encoder, RECORDS[:after])
    copy = encoder.copy()
    rest = encoded(encoder, RECORDS[after:])

    assert (rest, encoder.last, encoder.position) == (encoded(copy, RECORDS[after:]), copy.last, copy.position)


@EVERY_WIRE
def test_an_error_is_the_last_event(wire: Wire) -> None:
    """With a number like any other, in the wire's own words; also where it is the first event."""
    error = StatusError("no", status=500)
    end = Record(end=True, error=RecordedError.of(error), header=HEADER)
    encoder = RecordEncoder(wire, WIRES)
    first = RecordEncoder(wire, WIRES).encode([end])
    before = encoded(encoder, RECORDS[:2])
    number = encoder.last + 1
    said = encoder.fail(error)
    later = encoder.encode([Record(end=True, error=RecordedError.of(error))])

    told = wire.encode_error_event(error).partition(b"\n\n")[0]
    assert b"id: 1\n" + told == first.partition(b"\n\n")[0]
    assert before
    assert b"id: %d\n" % number + said == later
    assert b'"no"' in later


def test_what_is_not_stored_has_no_number() -> None:
    """No connection can resume after it."""
    encoder = RecordEncoder(OPENAI_CHAT, WIRES)
    data = encoder.encode(RECORDS[:1], 1) + encoder.encode(RECORDS[2:3], 1)

    assert ([b"1", b"-", b"-", b"-"], 1) == (numbers(data), encoder.last)


def test_the_wire_is_the_headers_where_none_is_given() -> None:
    """One that this version does not know is an error."""
    known, unknown = RecordEncoder(None, WIRES), RecordEncoder(None, WIRES)
    known.encode([Record([], header=HEADER)])

    assert OPENAI_CHAT is known.wire
    with pytest.raises(UnknownWireError, match="telepathy"):
        unknown.encode([Record([], header=StreamHeader("telepathy", "req_1", 0, "", False))])


@pytest.mark.parametrize(("count", "rest"), [(0, b"data: 1\n\ndata: 2\n\n"), (1, b"data: 2\n\n"), (2, b""), (3, b"")])
def test_events_are_skipped(count: int, rest: bytes) -> None:
    """Whole ones, from the first on."""
    assert rest == after_events(b"data: 1\n\ndata: 2\n\n", count)
