"""Heads that were read before are not parsed again: what the application is told of a request is the same either way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autonomousai.http.server.cycle import RequestResponseCycle
from autonomousai.http.server.exchange import Exchange
from autonomousai.http.server.known_heads import KnownHeads
from tests.http.test_cycle import Wire, connect, settle

#: Lines of heads, most of them usual.
LINES = [
    b"host: localhost",
    b"content-type: application/json",
    b"authorization: Bearer x",
    b"Content-Length: %d",
    b"content-length: %d",
    b"content-length : %d",
    b"transfer-encoding: chunked",
    b"expect: 100-continue",
    b"connection: close",
    b"connection: upgrade\r\nupgrade: h2c",
    b"x: a\r\n content-length: 3",
    b"x: \xff",
]
USUAL = [LINES[0], LINES[1], LINES[4]]
STARTS = [
    b"POST /a?b=c HTTP/1.1",
    b"POST /a HTTP/1.0",
    b"POST http://other/a HTTP/1.1",
    b"GET / HTTP/1.1",
    b"\r\nPOST / HTTP/1.1",
]
BODIES = [b"", b"{}", b"x" * 300, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", b"0\r\n\r\n"]


def request(start: bytes, lines: list[bytes], body: bytes, off: int) -> bytes:
    head = b"".join(b"%b\r\n" % line.replace(b"%d", b"%d" % max(0, len(body) + off)) for line in (start, *lines))
    return head + b"\r\n" + body


REQUESTS = st.builds(
    request,
    st.sampled_from([STARTS[0], *STARTS]),
    st.one_of(st.just(USUAL), st.just(USUAL), st.lists(st.sampled_from(LINES), max_size=5)),
    st.sampled_from(BODIES),
    st.sampled_from([0, 0, 0, 0, 1, -1]),
)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Tell all that is known of a request."""
    said, more = b"", True
    while more:
        message = await receive()
        said += message.get("body", b"")
        more = message.get("more_body", False)
    kept = {name: value for name, value in scope.items() if isinstance(value, str | bytes | list)}
    answer = json.dumps([kept, said], default=lambda value: value.decode("latin-1")).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


async def told(reads: list[bytes]) -> tuple[list[bytes], bool]:
    connection, wire, connections = connect(echo)
    for data in reads:
        if not wire.closed:
            connection.data_received(data)
            for _ in range(8):  # what has come wholly is answered; what has not waits for more
                await asyncio.sleep(0)
    closed = wire.closed
    connection.connection_lost(None)
    await settle(connections)
    # A refusal has an id of its own.
    return [part for part in wire.writes if b"x-request-id" not in part], closed


@settings(deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=4), st.integers(1, 3), st.data())
@example([request(STARTS[0], USUAL, b"{}", 0), request(STARTS[0], USUAL, b'{"a":1}', 0)], 2, None)
def test_a_request_is_told_the_same(requests: list[bytes], times: int, data: Any) -> None:
    """Requests that come again, whole, cut anywhere or several at once."""
    reads = requests * times
    if data is not None and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(reads) - 1))
        cut = data.draw(st.integers(0, len(reads[place])))
        reads[place : place + 1] = [reads[place][:cut], reads[place][cut:]]
    if data is not None and data.draw(st.booleans()):
        reads = [b"".join(reads[:2]), *reads[2:]]
    known = asyncio.run(told(reads))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KnownHeads, "read", lambda self, data: None)
        assert asyncio.run(told(reads)) == known


async def test_a_usual_request_is_known_the_second_time() -> None:
    """Whatever its body is: only the length of it may differ."""
    connection, _, connections = connect(echo)
    connection.data_received(request(STARTS[0], USUAL, b"{}", 0))
    await settle(connections)

    assert connections.heads.read(request(STARTS[0], USUAL, b"x" * 300, 0)) is not None
    assert connections.heads.read(request(STARTS[0], USUAL, b"x" * 300, 1)) is None
    assert connections.heads.read(request(STARTS[0], [*USUAL, b"x: y"], b"{}", 0)) is None
    connection.connection_lost(None)


async def test_heads_that_always_differ_are_soon_not_remembered() -> None:
    """A caller with an id of its own in each request does not fill the memory."""
    connection, _, connections = connect(echo)
    for number in range(20):
        connection.data_received(request(STARTS[0], [*USUAL, b"x-id: %d" % number], b"{}", 0))
        await settle(connections)

    assert len(connections.heads._heads) == 3
    connection.connection_lost(None)


class Responding:
    """An application that answers with a document."""

    def __init__(self, extra: list[tuple[bytes, bytes]]) -> None:
        self._extra = extra

    async def handle(self, exchange: Exchange) -> None:
        exchange.extra = self._extra
        exchange.request_id = "req_1"
        exchange.respond(200, b"{}")

    def launch(self, exchange: Exchange) -> bool:
        return False

    def encode_error(self, error: Exception) -> tuple[int, dict[str, str], bytes]:
        raise AssertionError(error)


@pytest.mark.parametrize("extra", [[], [(b"request-id", b"1")], [(b"connection", b"close")], [(b"date", b"now")]], ids=str)
@pytest.mark.parametrize("start", [b"POST / HTTP/1.1", b"POST / HTTP/1.0", b"HEAD / HTTP/1.1"], ids=str)
async def test_the_head_of_a_document_is_written_the_same(
    extra: list[tuple[bytes, bytes]], start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the short road and by the longer one, whatever the request and the application want."""
    app: Any = Responding(extra)

    async def written() -> tuple[bytes, bool]:
        connection, wire, connections = connect(echo)
        connection._app = app
        connection.data_received(request(start, USUAL, b"{}", 0))
        await settle(connections)
        connection.connection_lost(None)
        assert isinstance(wire, Wire)
        return wire.text, wire.closed

    short = await written()
    monkeypatch.setattr(RequestResponseCycle, "_usual_response", lambda self, body, kind: b"")
    assert await written() == short


class RespondingTwice(Responding):
    """One that answers again."""

    async def handle(self, exchange: Exchange) -> None:
        await super().handle(exchange)
        exchange.respond(200, b"[]")


async def test_a_request_is_answered_once(caplog: pytest.LogCaptureFixture) -> None:
    """A second answer would be taken for that to the next request; it is a bug, and logged as one."""
    app: Any = RespondingTwice([])
    connection, wire, connections = connect(echo)
    connection._app = app
    connection.data_received(request(STARTS[0], USUAL, b"{}", 0))
    await settle(connections)
    connection.connection_lost(None)

    assert isinstance(wire, Wire)
    assert 1 == wire.text.count(b"HTTP/1.1 200")
    assert wire.text.endswith(b"{}")
    assert "RuntimeError" in caplog.text
