"""A response with the head of the one before is read by a parser that brings no headers: with the result of the usual one."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autonomousai.config import Clocks
from autonomousai.errors import IncompleteStreamError
from autonomousai.http.connection import ClientConnection
from tests.http.test_connection import CHUNKED, OK, SECOND, ask, connected

_CLOCKS = Clocks()
CHUNKS = b"5\r\nHello\r\n6\r\n world\r\n0\r\n\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\n"
FIRSTS = [
    CHUNKED + CHUNKS,
    LENGTH + b"Hello",
    OK + b"content-type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n" + CHUNKS,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
]


async def second(first: bytes, pieces: list[bytes], *, known: bool) -> tuple[Any, ...]:
    """What is heard of a second response: status, headers, body, how it ended, and whether the connection is kept."""
    idle: list[ClientConnection] = []
    connection, wire = await connected(idle)
    response = ask(connection)
    connection.data_received(first)
    await response.head()
    while await response.read_some():
        pass
    await response.aclose()
    assert idle == [connection]
    if not known:
        connection._known = b""
    now = asyncio.get_running_loop().time()
    # As a POST does, it waits for the head and the first of the body in one.
    connection.send(b"POST /", b"", ends=False, clocks=_CLOCKS, streaming=False, total_at=now + 600, now=now)
    for piece in pieces:
        if piece and not wire.closed:
            connection.data_received(piece)
    kept = connection.is_complete and connection._keeps and not wire.closed
    if not wire.closed:
        connection.eof_received()
    connection.connection_lost(None)
    body = b""
    try:
        await response.head(alone=False)
        while data := await response.read_some():
            body += data
    except (httptools.HttpParserError, ConnectionError, IncompleteStreamError) as error:
        end = type(error).__name__
    else:
        end = "complete"
    return connection.status, dict(connection.headers) if connection.status else None, body, end, kept


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(at)]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A first response, and a second one that is it with a byte of another, taken away or put in, or with more behind it."""
    first = draw(st.sampled_from(FIRSTS))
    data = bytearray(draw(st.sampled_from([first, *FIRSTS])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        insert = draw(st.sampled_from([b"", b"\r\n", b"0", b"\x00", b";x", b" ", b"f", b"\n"]))
        data[at : at + draw(st.integers(0, 2))] = insert
    return first, bytes(data) + draw(st.sampled_from([b"", b"", SECOND, b"\r\n", b"x"]))


@settings(max_examples=400, deadline=None)
@given(mutated(), st.lists(st.integers(0, 300), max_size=3))
@example((CHUNKED + CHUNKS, CHUNKED + CHUNKS + SECOND), [])
@example((CHUNKED + CHUNKS, CHUNKED + b"5\r\nHello\r\n"), [])
@example((LENGTH + b"Hello", LENGTH + b"Hel"), [])
def test_a_known_head_changes_nothing(responses: tuple[bytes, bytes], cuts: list[int]) -> None:
    """Whatever comes, however it is cut."""
    first, data = responses
    pieces = pieces_of(data, cuts)

    async def both() -> list[tuple[Any, ...]]:
        return [await second(first, pieces, known=known) for known in (False, True)]

    usual, known = asyncio.run(both())
    assert usual == known


async def test_the_head_of_a_usual_response_is_known() -> None:
    """The comparison above compares two ways."""
    connection, _ = await connected()
    ask(connection)
    connection.data_received(CHUNKED + CHUNKS)

    assert CHUNKED == connection._known
