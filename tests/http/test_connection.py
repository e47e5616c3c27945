"""What a server may send to our own transport, byte by byte: how it is understood, and what is refused.

The connection is driven by hand, without a socket, so that every chopping can be tried.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autonomousai.config import Clocks
from autonomousai.errors import IncompleteStreamError
from autonomousai.http import connection as module
from autonomousai.http.aiohttp_connector import _Protocol
from autonomousai.http.connection import ClientConnection
from autonomousai.http.decoding import MAX_PIECE
from autonomousai.http.fairness import FairDispatcher
from autonomousai.http.headers import MAX_FIELDS
from autonomousai.http.request_head import Origin
from autonomousai.http.strict_heads import MAX_HEAD
from autonomousai.http.sweep import Sweep

OK = b"HTTP/1.1 200 OK\r\n"
TEN = b"Content-Length: 10\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = OK + b"Content-Length: 6\r\n\r\nforged"


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and knows whether it was closed."""

    def __init__(self) -> None:
        super().__init__({"socket": None})
        self.sent = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.sent += data

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Heard(NamedTuple):
    """What a reader got: the status (0 without a head), the body, how it ended, and whether the connection is kept."""

    status: int
    body: bytes
    end: str
    kept: bool = False


async def connected(idle: list[ClientConnection] | None = None) -> tuple[ClientConnection, Wire]:
    """A connection whose origin is one of TLS, so that it looks at no socket."""
    loop = asyncio.get_running_loop()
    on_idle = ([] if idle is None else idle).append
    connection = ClientConnection(Origin(True, "host", 443), loop, FairDispatcher(loop), Sweep(loop), on_idle, lambda _: None)
    wire = Wire()
    connection.connection_made(wire)
    return connection, wire


def ask(connection: ClientConnection) -> ClientConnection:
    now = asyncio.get_running_loop().time()
    connection.send(b"GET /", b"", ends=False, clocks=Clocks(), streaming=False, total_at=now + 600, now=now)
    return connection


async def hear(pieces: Iterable[bytes]) -> Heard:
    """Ask, let these pieces arrive and then the end of the connection, and read."""
    idle: list[ClientConnection] = []
    connection, wire = await connected(idle)
    response = ask(connection)
    for piece in pieces:
        if piece and not wire.closed:
            connection.data_received(piece)
    kept = connection.is_complete and not wire.closed
    if not wire.closed:
        connection.eof_received()
    connection.connection_lost(None)
    try:
        await response.head()
    except httptools.HttpParserError:
        return Heard(0, b"", "not http", kept)
    except ConnectionError:
        return Heard(0, b"", "closed", kept)
    body = b""
    try:
        while data := await response.read_some():
            body += data
    except IncompleteStreamError:
        return Heard(response.status, body, "incomplete", kept)
    return Heard(response.status, body, "whole", kept)


def chopped(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


NOT_HTTP = Heard(0, b"", "not http")

#: What comes in, and what is heard of it.
ANSWERS: dict[str, tuple[bytes, Heard]] = {
    "by length": (OK + TEN + b"0123456789", Heard(200, b"0123456789", "whole", True)),
    "chunked": (CHUNKED + b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", Heard(200, b"0123456789", "whole", True)),
    "extensions and trailers": (CHUNKED + b"2;a=b\r\nhi\r\n0\r\nT: x\r\n\r\n", Heard(200, b"hi", "whole", True)),
    "until the end": (OK + b"\r\nhello", Heard(200, b"hello", "whole")),
    "of HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", Heard(200, b"hello", "whole")),
    "that closes": (OK + b"Connection: close\r\n" + TEN + b"0123456789", Heard(200, b"0123456789", "whole")),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", Heard(200, b"", "whole", True)),
    "without a body by its status": (b"HTTP/1.1 204 No Content\r\n\r\n", Heard(204, b"", "whole", True)),
    "without a reason": (b"HTTP/1.1 200\r\n" + TEN + b"0123456789", Heard(200, b"0123456789", "whole", True)),
    "after interim ones": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + TEN + b"0123456789",
        Heard(200, b"0123456789", "whole", True),
    ),
    "another protocol": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\1\2", Heard(101, b"", "whole")),
    # What is written oddly, and can only mean one thing.
    "the same length twice": (OK + b"Content-Length: 10\r\n" + TEN + b"0123456789", Heard(200, b"0123456789", "whole", True)),
    "a list of lengths": (OK + b"Content-Length: 10, 10\r\n\r\n0123456789", Heard(200, b"0123456789", "whole", True)),
    "a folded line": (OK + b"A: b\r\n c\r\n" + TEN + b"0123456789", Heard(200, b"0123456789", "whole", True)),
    "a space before the colon": (OK + b"Content-Length : 10\r\n\r\n0123456789", Heard(200, b"0123456789", "whole", True)),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", Heard(200, b"hi", "whole", True)),
    "a control character in a value": (OK + b"A: b\x01\r\n" + TEN + b"0123456789", Heard(200, b"0123456789", "whole", True)),
    "identity as a transfer coding": (OK + b"Transfer-Encoding: identity\r\n\r\nhi", Heard(200, b"hi", "whole")),
    "chunked twice": (
        OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Heard(200, b"hi", "whole", True),
    ),
    "chunked in two lines": (
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Heard(200, b"hi", "whole", True),
    ),
    "spaces after a chunk's size": (CHUNKED + b"2  \r\nhi\r\n0\r\n\r\n", Heard(200, b"hi", "whole", True)),
    "an odd one after an interim one": (
        b"HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        Heard(200, b"hi", "whole", True),
    ),
    # What ends too early.
    "nothing": (b"", Heard(0, b"", "closed")),
    "half a head": (OK + b"Content-Le", Heard(0, b"", "closed")),
    "short of its length": (OK + TEN + b"01234", Heard(200, b"01234", "incomplete")),
    "chunks without their end": (CHUNKED + b"5\r\n01234\r\n", Heard(200, b"01234", "incomplete")),
    "half a chunk": (CHUNKED + b"5\r\n012", Heard(200, b"012", "incomplete")),
    "without the last line": (CHUNKED + b"2\r\nhi\r\n0\r\n", Heard(200, b"hi", "incomplete")),
    # What two readers could understand in two ways.
    "two lengths": (OK + b"Content-Length: 5\r\n" + TEN + b"0123456789", NOT_HTTP),
    "a signed length": (OK + b"Content-Length: +10\r\n\r\n0123456789", NOT_HTTP),
    "a length that overflows": (OK + b"Content-Length: 18446744073709551626\r\n\r\n0123456789", NOT_HTTP),
    "length, then chunked": (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", NOT_HTTP),
    "chunked, then length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", NOT_HTTP),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", NOT_HTTP),
    "almost chunked": (OK + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", NOT_HTTP),
    "chunked and not": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\nhi", NOT_HTTP),
    "chunked in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", NOT_HTTP),
    "a bare carriage return": (OK + b"A: b\rContent-Length: 2\r\n\r\nhi", NOT_HTTP),
    "a zero byte": (OK + b"A: \0\r\n\r\n", NOT_HTTP),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", NOT_HTTP),
    "a status of nothing": (b"HTTP/1.1 000 OK\r\n\r\n", NOT_HTTP),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\n\r\nhi", NOT_HTTP),
    "HTTP/0.9": (b"<html>hello</html>", NOT_HTTP),
    "a chunk longer than it says": (CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n", Heard(200, b"hi", "incomplete")),
    "a chunk's size in another base": (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", Heard(200, b"", "incomplete")),
    "a negative chunk": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", Heard(200, b"", "incomplete")),
    "a chunk's size that overflows": (CHUNKED + b"fffffffffffffffff\r\nhi\r\n", Heard(200, b"", "incomplete")),
    "chunks with bare line feeds": (CHUNKED + b"2\nhi\n0\n\n", Heard(200, b"", "incomplete")),
    "garbage between chunks": (CHUNKED + b"2\r\nhi\r\nxyz\r\n", Heard(200, b"hi", "incomplete")),
    "a length in the trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n", Heard(200, b"hi", "incomplete")),
}


@pytest.mark.parametrize("size", [1, 7, 1 << 20], ids=["bytewise", "in sevens", "at once"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer(answer: str, size: int) -> None:
    """However it is chopped, it is heard in the same way; what is not HTTP, or not unambiguous, is refused."""
    data, expected = ANSWERS[answer]

    assert expected == await hear(chopped(data, size))


#: What may follow a whole answer that nobody asked for.
EXCESS = [b"H", SECOND, b"HTTP/1.1 200 OK\r\nX: ", b"x", b"\0"]


@pytest.mark.parametrize("excess", EXCESS, ids=repr)
async def test_an_answer_that_nobody_asked_for_ends_the_connection(excess: bytes) -> None:
    """Bytes after an answer, together with it or later, are not the next one's: the answer counts, the connection is closed."""
    for pieces in ([OK + TEN + b"0123456789" + excess], [OK + TEN + b"0123456789", excess]):
        idle: list[ClientConnection] = []
        connection, wire = await connected(idle)
        response = ask(connection)
        for piece in pieces:
            connection.data_received(piece)

        assert (b"0123456789", b"") == (await response.read_some(), await response.read_some())
        assert wire.closed
        connection.connection_lost(None)


async def test_bytes_before_the_first_request_end_the_connection() -> None:
    """A server that speaks first speaks to nobody."""
    connection, wire = await connected()
    connection.data_received(SECOND)

    assert wire.closed


PACKING = OK + b"Content-Encoding: gzip\r\n"
LARGE = {
    "one line": OK + b"A: " + b"x" * MAX_HEAD,
    "one whole line": OK + b"A: " + b"x" * MAX_HEAD + b"\r\n" + TEN,
    "many lines": OK + b"A: b\r\n" * MAX_FIELDS + TEN,
    "a long reason": b"HTTP/1.1 200 " + b"x" * MAX_HEAD,
    "interim ones without end": b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD // 25 + 1),
    "trailers": CHUNKED + b"0\r\n" + b"T: x\r\n" * (MAX_HEAD // 6 + 1),
    "one of many lines, of a packed body": PACKING + b"A: 0123456789\r\n" * (MAX_HEAD // 15 + 1),
    "trailers of a packed body": PACKING + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: x\r\n" * (MAX_HEAD // 6 + 1),
    "a chunk's extension": CHUNKED + b"1;" + b"x" * MAX_HEAD,
}


@pytest.mark.parametrize("size", [4096, 1 << 20])
@pytest.mark.parametrize("what", LARGE)
async def test_what_is_no_body_is_bounded(what: str, size: int) -> None:
    """A head, trailers and whatever else a reader never sees may take 64 KiB, whether they come slowly or at once."""
    connection, wire = await connected()
    response = ask(connection)
    for piece in chopped(LARGE[what], size):
        if not wire.closed:
            connection.data_received(piece)

    assert wire.closed
    with pytest.raises((IncompleteStreamError, httptools.HttpParserError)):
        await response.head()
        await response.read_some()


async def test_a_slow_reader_makes_the_server_wait() -> None:
    """Past a bound the connection is not read; once the reader has caught up, it is."""
    connection, wire = await connected()
    response = ask(connection)
    connection.data_received(CHUNKED)
    sent = 0
    while not wire.paused:
        connection.data_received(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        sent += 0x1000

    assert sent <= 2 * module._HELD
    assert sent == len(await response.read_some())
    assert not wire.paused


async def test_a_slow_reader_of_a_packed_body_makes_the_server_wait() -> None:
    """What counts is what it takes of our memory, not what it took to send."""
    connection, wire = await connected()
    response = ask(connection)
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    connection.data_received(PACKING + b"Transfer-Encoding: chunked\r\n\r\n")
    pieces = 0
    while not wire.paused and pieces < 9:
        packed = packer.compress(b"x" * module._HELD) + packer.flush(zlib.Z_SYNC_FLUSH)
        connection.data_received(b"%x\r\n%b\r\n" % (len(packed), packed))
        pieces += 1

    assert pieces <= 2
    assert pieces * module._HELD == len(await response.read_some())
    assert not wire.paused


async def test_a_connection_that_is_kept_is_read() -> None:
    """An answer that came whole while its reader slept leaves a connection that hears when the server closes it."""
    connection, wire = await connected()
    response = ask(connection)
    body = b"x" * (2 * module._HELD)
    connection.data_received(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
    paused = wire.paused
    connection.data_received(body[-1:])

    assert (True, False) == (paused, wire.paused)
    assert body == await response.read_some()


async def test_a_late_word_of_one_answer_does_not_touch_the_next() -> None:
    """The clocks of a connection are those of the request that it carries now."""
    connection, _ = await connected()
    first = ask(connection)
    connection.data_received(OK + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n")
    first.wait_no_longer_than(0)
    first.progress()
    connection.data_received(b"0\r\n\r\n")
    assert first.release()
    second = ask(connection)
    connection.look(asyncio.get_running_loop().time() + 1)
    connection.data_received(OK + TEN + b"abcdefghij")

    assert b"abcdefghij" == await second.read_some()


PACKED = zlib.compress(b"0123456789" * 100)
GZIPPED = gzip.compress(b"0123456789" * 100, mtime=0)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(("coding", "body"), [(b"gzip", GZIPPED), (b"X-GZip", GZIPPED), (b"deflate", PACKED)])
async def test_a_body_that_is_packed_though_nobody_asked_is_unpacked(coding: bytes, body: bytes, size: int) -> None:
    """As other clients do it; the reader sees what was meant."""
    data = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body

    assert Heard(200, b"0123456789" * 100, "whole", True) == await hear(chopped(data, size))


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        (b"br", b"hi", NOT_HTTP),
        (b"gzip, gzip", GZIPPED, NOT_HTTP),
        (b"gzip\r\nContent-Encoding: gzip", GZIPPED, NOT_HTTP),
        (b"gzip", b"\x1f, and this is not packed", Heard(200, b"", "incomplete")),
        (b"gzip", gzip.compress(b"\0" * (MAX_PIECE + 1), mtime=0), Heard(200, b"", "incomplete")),
    ],
    ids=["another coding", "twice in a line", "in two lines", "not packed at all", "a bomb"],
)
async def test_what_cannot_be_unpacked_is_refused(coding: bytes, body: bytes, expected: Heard) -> None:
    """A coding that we do not know, or what is no such coding, or far too much of it."""
    data = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body

    assert expected == await hear([data])


async def test_headers_are_case_insensitive() -> None:
    """A header is found however it is written; repeated ones are joined."""
    connection, _ = await connected()
    response = ask(connection)
    connection.data_received(OK + b"X-Stream-ID:  s1 \r\nvia: a\r\nVIA: b\r\n" + TEN)

    assert "s1" == response.headers["x-stream-id"] == response.headers.get("X-STREAM-ID")
    assert {"x-stream-id": "s1", "via": "a, b", "content-length": "10"} == dict(response.headers)
    assert (None, False, 3) == (response.headers.get("no"), "no" in response.headers, len(response.headers))


async def test_a_connection_just_opened_is_not_closed_by_a_look_at_its_clocks() -> None:
    """Between its opening and its first request a sweep may come."""
    connection, wire = await connected()

    connection.look(asyncio.get_running_loop().time() + 3600)

    assert not wire.closed


# ---- anything at all --------------------------------------------------------------------------------------------------

#: Words of the protocol, divided by a bar.
PIECES = (
    b"HTTP/1.1 |200 OK|100 Continue|204 N|\r\n|\n|\r\n\r\n|Content-Length: |Transfer-Encoding: |chunked|ClientConnection: close"
    b"|0|2|5|\r\nhello|0\r\n\r\n| |:|;|\0|A: b|ffffffff"
).split(b"|")
ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join),
    st.tuples(st.sampled_from(sorted(data for data, _ in ANSWERS.values())), st.integers(0, 200), st.binary(max_size=3)).map(
        lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :]
    ),
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


@given(ANYTHING, st.lists(st.integers(0, 10_000), max_size=8))
@example(OK + TEN + b"0123456789" + SECOND, [49])
def test_any_bytes_are_heard_in_one_way(data: bytes, at: list[int]) -> None:
    """Whatever comes, and however it is chopped: an answer or an error, the same one, and nothing that hangs."""

    async def both() -> tuple[Heard, Heard]:
        return await hear([data]), await hear(cut(data, at))

    whole, pieces = asyncio.run(both())

    assert whole[:3] == pieces[:3]


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.sampled_from(["length", "chunked", "close"]),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_a_valid_answer_is_heard_whole(parts: list[bytes], framing: str, at: list[int]) -> None:
    """Every framing, every chopping: the body is what was sent."""
    body = b"".join(parts)
    data = {
        "length": OK + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        "chunked": CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n",
        "close": OK + b"Connection: close\r\n\r\n" + body,
    }[framing]

    assert Heard(200, body, "whole", framing != "close") == asyncio.run(hear(cut(data, at)))


@pytest.mark.parametrize("kind", ["aiohttp", "ours"])
async def test_a_read_asks_for_less_than_the_c_library_maps(kind: str) -> None:
    """asyncio's transports ask for 256 kB by themselves; others are left as they are."""
    wire: Any = Wire()
    wire.max_size = 256 * 1024
    loop = asyncio.get_running_loop()
    if kind == "ours":
        connection: asyncio.Protocol = ClientConnection(
            Origin(True, "host", 443), loop, FairDispatcher(loop), Sweep(loop), lambda _: None, lambda _: None
        )
    else:
        connection = _Protocol(loop)
        wire._extra["sslcontext"] = object()

    connection.connection_made(wire)

    assert wire.max_size < 128 * 1024
