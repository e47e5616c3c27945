"""HTTP itself: heads and bodies are bounded in size and time, and what is no HTTP is refused in OpenAI's shape."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from autonomousai.http.server import connections, request_bounds
from autonomousai.http.server import protocol as http
from autonomousai.testing import Pause, answer
from tests.support.sockets import CHAT, HELLO, Connection, ask, request


async def test_no_answer_names_the_server(port):
    """A server's name and version are not told to strangers."""
    answer = await ask(port, request("GET", "/healthz"))

    expected = {"content-type", "content-length", "date", "x-request-id"}
    assert expected == {name for name, _ in answer.headers}


@pytest.mark.parametrize(
    "data",
    [
        b"this is not HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: local\x00host\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_no_http_is_refused_in_openais_shape(port, data):
    """Bytes that cannot be parsed get a 400 as JSON, and the connection is closed."""
    async with Connection(port) as connection:
        answer = await connection.ask(data)
        rest = await connection.rest()

    assert ((400, "invalid_http"), "close", b"") == (answer.told, answer["connection"], rest)


async def test_a_bad_request_does_not_fill_the_log(port, caplog):
    """A stranger's garbage is not worth a line."""
    with caplog.at_level(logging.WARNING):
        await ask(port, b"garbage\r\n\r\n")

    assert [] == caplog.records


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * (1 << 20), id="one endless header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * (1 << 18), id="endless headers"),
        pytest.param(b"\r\n" * (1 << 19), id="nothing at all"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", id="whole"),
    ],
)
async def test_a_head_that_is_too_large_is_refused(port, head):
    """Past 64 KiB of request line and headers the answer is 431, whether or not the head ever ends."""
    async with Connection(port) as connection:
        for start in range(0, len(head), 4096):
            connection.writer.write(head[start : start + 4096])
        answer = await connection.answer()

    assert (431, "headers_too_large") == answer.told


async def test_a_large_body_is_no_large_head(port, provider):
    """A body that arrives together with its head does not count as head."""
    document = {**HELLO, "messages": [{"role": "user", "content": "x" * 500_000}]}

    answer = await ask(port, request("POST", CHAT, document))

    assert (200, 500_000) == (answer.status, len(provider.calls[0].messages[0]["content"]))


async def test_a_head_just_within_the_bound_is_read(port):
    """60 KiB of headers are no trouble."""
    answer = await ask(port, request("GET", "/healthz", x="y" * 60_000))

    assert 200 == answer.status


async def test_a_head_that_trickles_is_given_up(serve, monkeypatch):
    """A head that is not whole in time is refused with 408, however steadily its bytes come."""
    monkeypatch.setattr(request_bounds, "HEAD_S", 0.05)
    port = (await serve()).port

    async with Connection(port) as connection:
        trickle = asyncio.create_task(_trickle(connection, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: "))
        answer = await connection.answer()
        trickle.cancel()

    assert ((408, "request_timeout"), "close") == (answer.told, answer["connection"])


async def _trickle(connection: Connection, head: bytes) -> None:
    for byte in head:
        await connection.send(bytes([byte]))
    while True:
        await connection.send(b"y")
        await asyncio.sleep(0)


async def test_a_body_that_stops_is_given_up(serve, provider, monkeypatch):
    """A body whose rest does not come is refused with 408; nobody was asked."""
    monkeypatch.setattr(request_bounds, "BODY_IDLE_S", 0.05)
    port = (await serve()).port

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, HELLO)[:-5])
        answer = await connection.answer()

    assert ((408, "request_timeout"), []) == (answer.told, provider.calls)


async def test_the_time_for_a_body_does_not_run_while_the_answer_does(serve, provider, monkeypatch):
    """A request that is whole has no clock of HTTP's any more, however long its answer takes."""
    monkeypatch.setattr(request_bounds, "BODY_IDLE_S", 0.01)
    monkeypatch.setattr(request_bounds, "HEAD_S", 0.01)
    provider.play([Pause(seconds=0.1), *ANSWER])
    port = (await serve()).port

    answer = await ask(port, request("POST", CHAT, HELLO))

    assert 200 == answer.status


ANSWER = answer("Hello", " world")


async def test_garbage_behind_a_request_does_not_get_into_its_answer(port, provider):
    """What comes while an answer streams, and is no HTTP, ends the connection; no second head stands inside the answer."""
    pause = Pause()
    provider.play(["Hello", pause, *ANSWER])

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}))
        await connection.until(b"Hello")
        await connection.send(b"garbage\r\n\r\n")
        rest = await connection.rest()

    assert b"HTTP/1.1" not in rest
    assert "cancelled" == await provider.calls[0].over()


async def test_an_unfinished_next_request_does_not_cut_the_answer(serve, provider, monkeypatch):
    """The next request's head has no clock while an answer is under way; the connection just ends with it."""
    monkeypatch.setattr(request_bounds, "HEAD_S", 0.01)
    pause = Pause(seconds=0.1)
    provider.play(["Hello", pause, *ANSWER])
    port = (await serve()).port

    async with Connection(port) as connection:
        await connection.send(request("POST", CHAT, {**HELLO, "stream": True}) + b"GET /heal")
        answer = await connection.answer()
        rest = await connection.rest()

    assert (True, b"") == (answer.body.endswith(b"data: [DONE]\n\n"), rest)


async def test_requests_on_one_connection_are_answered_in_order(port):
    """Keep-alive and pipelining work."""
    async with Connection(port) as connection:
        await connection.send(request("GET", "/healthz") + request("POST", CHAT, HELLO) + request("GET", "/nothing"))
        statuses = [(await connection.answer()).status for _ in range(3)]

    assert [200, 200, 404] == statuses


async def test_a_silent_connection_is_closed(serve, monkeypatch):
    """Who connects and says nothing is not kept for ever."""
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.01)
    monkeypatch.setattr(connections, "SWEEP_S", 0.01)
    port = (await serve()).port

    async with Connection(port) as connection:
        assert b"" == await connection.rest()


async def test_a_caller_who_waits_to_be_told_to_go_on_is(port):
    """Expect: 100-continue gets its 100, then the answer."""
    head, _, body = request("POST", CHAT, HELLO, expect="100-continue").partition(b"\r\n\r\n")

    async with Connection(port) as connection:
        await connection.send(head + b"\r\n\r\n")
        go_on = await connection.until(b"\r\n\r\n")
        answer = await connection.ask(body)

    assert (b"HTTP/1.1 100 Continue\r\n\r\n", 200) == (go_on, answer.status)


async def test_a_refusal_before_the_body_closes_where_the_body_may_never_come(port):
    """A caller who is refused instead of told to go on may send the body or not: the connection cannot go on either."""
    head, _, _ = request("POST", CHAT, HELLO, expect="100-continue", content_type="text/plain").partition(b"\r\n\r\n")

    answer = await ask(port, head + b"\r\n\r\n")

    assert (415, "close") == (answer.status, answer["connection"])


async def test_a_body_that_nobody_wants_is_not_read_for_ever(serve, monkeypatch):
    """After a refusal the rest of the body is ignored up to a bound; then the connection is closed."""
    monkeypatch.setattr(request_bounds, "MAX_UNWANTED", 100_000)
    port = (await serve()).port
    head, _, _ = request("POST", CHAT, content_length="1000000000", content_type="text/plain").partition(b"\r\n\r\n")

    async with Connection(port) as connection:
        answer = await connection.ask(head + b"\r\n\r\n")
        with pytest.raises(ConnectionError):
            while True:
                await connection.send(b"x" * 65536)

    assert 413 == answer.status


@pytest.mark.parametrize("trailer", [b"a: b\r\n" * 40_000, b"a: " + b"b" * 200_000], ids=["many", "one without an end"])
async def test_trailers_are_bounded(port, trailer):
    """Headers after a chunked body are of no use here: they are dropped, and too many of them end the request."""
    head = request("POST", CHAT, host="localhost", transfer_encoding="chunked", content_type="application/json")
    async with Connection(port) as connection:
        await connection.send(head + b"2\r\n{}\r\n0\r\n")
        with contextlib.suppress(ConnectionError):  # refused before all was sent
            for start in range(0, len(trailer), 20_000):
                await connection.send(trailer[start : start + 20_000])
        answer = await connection.answer()

    assert answer.told == (431, "headers_too_large")


async def test_trailers_change_nothing_of_the_head(serve, provider):
    """A key that comes after the body opens no door, and adds no header."""
    port = (await serve(api_keys=["the-key"])).port
    head = request("POST", CHAT, host="localhost", transfer_encoding="chunked", content_type="application/json")
    answer = await ask(port, head + b"2\r\n{}\r\n0\r\nauthorization: Bearer the-key\r\n\r\n")

    assert answer.status == 401


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "HTTP/2.0"])
async def test_the_wish_for_another_protocol_is_ignored(port, protocol):
    """`curl --http2` and others wish for it in passing: the request is answered as if they had not, body and all."""
    answer = await ask(port, request("POST", CHAT, HELLO, connection="Upgrade, HTTP2-Settings", Upgrade=protocol))

    assert answer.status == 200


@pytest.mark.parametrize("at", range(len("\r\nUpgrade:")))
async def test_the_wish_for_another_protocol_is_ignored_however_it_comes(port, at):
    """Its head comes in two parts, cut anywhere in that word: the request and its body are what they were."""
    data = request("POST", CHAT, HELLO, connection="Upgrade", Upgrade="h2c")
    cut = data.index(b"\r\nUpgrade:") + at
    async with Connection(port) as connection, Connection(port) as witness:
        await connection.send(data[:cut])
        await witness.ask(request("GET", "/healthz"))  # in the meantime the first part was read
        answer = await connection.ask(data[cut:])
        again = await connection.ask(request("GET", "/healthz"))

    assert (200, 200) == (answer.status, again.status)


async def test_the_body_of_a_wish_for_another_protocol_is_no_request(port):
    """Behind another request in one read that wish is not seen in time: it is refused, and nothing is read that follows it."""
    smuggled = request("GET", "/v1/models")
    wish = request("POST", CHAT, smuggled, content_type="application/json", connection="Upgrade", Upgrade="h2c")
    async with Connection(port) as connection:
        await connection.send(request("GET", "/healthz") + wish[: -len(smuggled)])
        answer = await connection.answer()
        rest = await connection.rest()

    assert ((400, "invalid_http"), b"") == (answer.told, rest)
