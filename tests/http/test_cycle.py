"""A request and its answer over HTTP/1.1: ASGI's messages become bytes, and bytes its messages, however they are cut."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import subprocess
import sys
import weakref
from email.utils import formatdate
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autonomousai.http.server import request_bounds
from autonomousai.http.server.connections import SWEEP_S, Connections
from autonomousai.http.server.exchange import new_request_id
from autonomousai.http.server.head_lines import date_line
from autonomousai.http.server.protocol import KEEP_ALIVE_S, HTTPProtocol
from tests.support.asgi import ASGIApplication
from tests.support.sockets import request

#: What every response has, and differs each time.
DATE = re.compile(rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n")


class Wire(asyncio.Transport):
    """A connection's other end: notes what is written, and whether it is closed or not read from."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.paused = False
        self.half_closed = False

    def write(self, data) -> None:
        self.writes.append(DATE.sub(b"", bytes(data)))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        self.half_closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    @property
    def text(self) -> bytes:
        return b"".join(self.writes)


class Clock:
    """A loop whose time stands still until it is told to pass."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self.create_task = self._loop.create_task
        self.create_future = self._loop.create_future

    def time(self) -> float:
        return self._now

    def call_later(self, seconds: float, call, *args) -> asyncio.TimerHandle:
        self._timers.append(asyncio.TimerHandle(self._now + seconds, call, args, self._loop))
        return self._timers[-1]

    def call_at(self, when: float, call, *args) -> asyncio.TimerHandle:
        return self.call_later(when - self._now, call, *args)

    def advance(self, seconds: float) -> None:
        self._now += seconds
        due = [timer for timer in self._timers if timer.when() <= self._now]
        self._timers = [timer for timer in self._timers if timer not in due]
        for timer in due:
            if not timer.cancelled():
                timer._run()

    @property
    def runs(self) -> bool:
        """Whether anybody still waits for the time to pass."""
        return any(not timer.cancelled() for timer in self._timers)


def connect(app, loop=None) -> tuple[HTTPProtocol, Wire, Connections]:
    connections = Connections()
    connection = HTTPProtocol(ASGIApplication(app), connections, loop or asyncio.get_running_loop())
    wire = Wire()
    connection.connection_made(wire)
    return connection, wire, connections


async def settle(connections: Connections) -> None:
    while connections.tasks:
        await asyncio.wait(connections.tasks)


def start(status: int = 200, **headers: str) -> dict:
    fields = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": fields}


def body(data: bytes, *, more: bool = False) -> dict:
    return {"type": "http.response.body", "body": data, "more_body": more}


def saying(*messages: dict):
    """An application that sends these."""

    async def app(scope, receive, send) -> None:
        for message in messages:
            await send(message)

    return app


async def answered(app, data: bytes = request("GET", "/")) -> Wire:
    connection, wire, connections = connect(app)
    connection.data_received(data)
    await settle(connections)
    connection.connection_lost(None)
    return wire


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("messages", "writes"),
    [
        pytest.param(
            [start(content_length="2"), body(b"hi")], [OK + b"content-length: 2\r\n\r\nhi"], id="a document is one write"
        ),
        pytest.param(
            [start(), body(b"first", more=True), body(b"second", more=True), body(b"last")],
            [OK + b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"4\r\nlast\r\n0\r\n\r\n"],
            id="the head goes with the first event, the end with the last",
        ),
        pytest.param(
            [start(), body(b"", more=True), body(b"")],
            [OK + b"transfer-encoding: chunked\r\n\r\n", b"0\r\n\r\n"],
            id="a head can be sent alone",
        ),
        pytest.param([start(204), body(b"")], [b"HTTP/1.1 204 No Content\r\n\r\n"], id="a status without a body"),
        pytest.param(
            [start(connection="close", content_length="0"), body(b"")],
            [OK + b"connection: close\r\ncontent-length: 0\r\n\r\n"],
            id="the application closes",
        ),
    ],
)
async def test_messages_become_bytes(messages, writes):
    """One write for each message of the body, and none for the head."""
    assert writes == (await answered(saying(*messages))).writes


async def test_a_head_is_asked_for_alone():
    """HEAD gets the head that GET would, and no body."""
    wire = await answered(saying(start(content_length="2"), body(b"hi")), request("HEAD", "/"))

    assert OK + b"content-length: 2\r\n\r\n" == wire.text


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_who_asks_for_the_end_gets_it(version):
    """HTTP/1.0, or a request that says so: no chunks for who cannot read them, and the connection ends."""
    data = b"GET / HTTP/%b\r\nhost: localhost\r\nconnection: close\r\n\r\n" % version
    wire = await answered(saying(start(), body(b"hi")), data)

    chunked = b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    assert wire.closed
    assert OK + (b"connection: close\r\n\r\nhi" if version == b"1.0" else chunked) == wire.text


BUGS = {
    "no answer": [],
    "no head": [body(b"hi")],
    "a header of two lines": [start(x="a\r\nset-cookie: b"), body(b"")],
    "a body longer than announced": [start(content_length="2"), body(b"more")],
    "a body shorter than announced": [start(content_length="9"), body(b"less")],
}


@pytest.mark.parametrize("messages", BUGS.values(), ids=BUGS)
async def test_a_mistake_of_the_application_is_a_500(messages, caplog):
    """Nothing of what it said goes out; the caller is told, the connection ends, and the log says where it happened."""
    with caplog.at_level(logging.ERROR):
        wire = await answered(saying(*messages))

    assert wire.closed
    assert wire.text.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'"code":"internal_error"' in wire.text
    assert 1 == wire.text.count(b"HTTP/1.1")
    assert "a bug, please report it" in caplog.text


@pytest.mark.parametrize("rest", [[], [start()]], ids=["it just stops", "a second head"])
async def test_an_answer_that_breaks_half_way_is_cut(rest, caplog):
    """No end is made up for it: the connection closes before the last chunk."""
    with caplog.at_level(logging.ERROR):
        wire = await answered(saying(start(), body(b"half", more=True), *rest))

    assert (True, b"4\r\nhalf\r\n") == (wire.closed, wire.text.partition(b"\r\n\r\n")[2])
    assert "a bug, please report it" in caplog.text


async def test_who_does_not_read_is_waited_for():
    """While the other end does not read, nothing more is written; what was to be written then is, once it reads."""
    sent = []

    async def app(scope, receive, send) -> None:
        await send(start())
        for word in (b"one", b"two"):
            await send(body(word, more=True))
            sent.append(word)
        await send(body(b""))

    connection, wire, connections = connect(app)
    connection.data_received(request("GET", "/"))
    connection.pause_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    before = list(wire.writes)
    connection.resume_writing()
    await settle(connections)

    assert ([], [b"one", b"two"]) == (before, sent)
    assert wire.text.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_who_leaves_while_they_do_not_read_is_not_waited_for():
    """Their connection's end wakes the application, and what it says then is dropped."""
    heard = []

    async def app(scope, receive, send) -> None:
        await send(start())
        await send(body(b"lost"))
        heard.append((await receive())["type"])

    connection, wire, connections = connect(app)
    connection.data_received(request("GET", "/"))
    connection.pause_writing()
    await asyncio.sleep(0)
    connection.connection_lost(None)
    await settle(connections)

    assert ([], ["http.disconnect"]) == (wire.writes, heard)


async def test_a_large_body_waits_for_who_wants_it():
    """Past 64 KiB that nobody has received, the sender is not read from; it is, as soon as somebody receives."""
    sizes, paused = [], []

    async def app(scope, receive, send) -> None:
        while True:
            message = await receive()
            sizes.append(len(message["body"]))
            if not message["more_body"]:
                break
        await send(start())
        await send(body(b""))

    connection, wire, connections = connect(app)
    data = request("POST", "/", b"x" * 100_000)
    connection.data_received(data[:80_000])
    paused.append(wire.paused)
    for _ in range(3):
        await asyncio.sleep(0)
    paused.append(wire.paused)
    connection.data_received(data[80_000:])
    await settle(connections)

    assert ([True, False], 100_000) == (paused, sum(sizes))


class Slow:
    """An application that begins its answers at once, and ends each when it is told to. ``heard``: who left meanwhile."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.heard: list[str] = []
        self.end = asyncio.Semaphore(0)

    async def __call__(self, scope, receive, send) -> None:
        self.begun.append(scope["path"])
        await receive()
        await send(start())
        await send(body(b"begun", more=True))
        leaving = asyncio.create_task(receive())
        ending = asyncio.create_task(self.end.acquire())
        await asyncio.wait({leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            self.heard.append(scope["path"])
        else:
            await send(body(b"ended"))
            leaving.cancel()
        ending.cancel()


async def turns() -> None:
    """As many turns of the loop as an application needs to do what it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_leaves_with_requests_waiting_is_heard_by_the_one_that_is_answered():
    """The connection's end reaches the answer under way, though it is not the last request's; the others are never begun."""
    app = Slow()
    connection, _, connections = connect(app)
    connection.data_received(request("GET", "/1") + request("GET", "/2") + request("GET", "/3"))
    await turns()
    connection.connection_lost(None)
    await turns()

    assert (["/1"], ["/1"], set()) == (app.begun, app.heard, connections.tasks)


async def test_garbage_behind_a_waiting_request_does_not_get_into_the_answer_before_it():
    """No second head stands inside the answer under way."""
    app = Slow()
    connection, wire, connections = connect(app)
    connection.data_received(request("GET", "/1"))
    await turns()
    connection.data_received(request("GET", "/2") + b"garbage\r\n\r\n")
    connection.connection_lost(None)
    await settle(connections)

    assert (True, 1) == (wire.closed, wire.text.count(b"HTTP/1.1"))


async def test_who_sends_many_requests_at_once_is_not_read_from_until_the_last_is_begun():
    """Otherwise each answer would let in more than one request, without a bound."""
    app = Slow()
    connection, wire, connections = connect(app)
    connection.data_received(request("GET", "/1") + request("GET", "/2") + request("GET", "/3"))
    paused = []
    for _ in range(3):
        await turns()
        paused.append(wire.paused)
        app.end.release()
    await settle(connections)
    connection.connection_lost(None)

    assert [True, True, False] == paused
    assert ["/1", "/2", "/3"] == app.begun


@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", request("GET", "/2")], ids=["garbage", "a request"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_what_follows_a_request_that_asks_for_the_end_is_nobodys(version, together, data):
    """It is not answered, and the answer that was asked for is whole."""
    app = Slow()
    connection, wire, connections = connect(app)
    connection_header = b"connection: close" if version == b"1.1" else b"connection: keep-alive"
    last = b"GET /1 HTTP/%b\r\nhost: a\r\n%b\r\n\r\n" % (version, connection_header)
    for part in [last + data] if together else [last, data]:
        connection.data_received(part)
        await turns()
    app.end.release()
    await settle(connections)
    connection.connection_lost(None)

    assert (["/1"], True, 1) == (app.begun, wire.closed, wire.text.count(b"HTTP/1.1"))
    assert b"ended" in wire.text


async def test_who_is_answered_before_their_body_has_come_can_read_it():
    """Where the connection ends with that answer: closing at once could take it away from under their eyes."""
    clock = Clock()
    connection, wire, connections = connect(saying(start(content_length="2"), body(b"no")), clock)
    connection.data_received(request("POST", "/", b"x" * 100, connection="close")[:-50])
    await settle(connections)
    connection.data_received(b"x" * 49)
    before = (wire.half_closed, wire.closed)
    clock.advance(request_bounds.LINGER_S)
    after = wire.closed
    connection.connection_lost(None)

    assert ((True, False), True, False) == (before, after, clock.runs)


async def test_an_answer_that_ends_the_connection_can_be_read_by_who_sent_more():
    """What they sent behind it was not read yet; it is now, and forgotten, so that no reset takes the answer away."""
    clock = Clock()
    connection, wire, connections = connect(saying(start(content_length="2", connection="close"), body(b"no")), clock)
    connection.data_received(request("GET", "/1") + request("GET", "/2"))
    before = wire.paused
    await settle(connections)
    after = (wire.paused, wire.half_closed, wire.closed, wire.text.count(b"HTTP/1.1"))
    clock.advance(request_bounds.LINGER_S)
    connection.connection_lost(None)

    assert (True, (False, True, False, 1), True, False) == (before, after, wire.closed, clock.runs)


async def test_a_body_has_its_time_from_when_it_is_read_again():
    """While another request is answered, it is we who do not read: that is not held against who sends."""
    app = Slow()
    clock = Clock()
    connection, wire, connections = connect(app, clock)
    connection.data_received(request("GET", "/1") + request("POST", "/2", b"x" * 100)[:-50])
    await turns()
    clock.advance(request_bounds.BODY_IDLE_S)
    clock.advance(request_bounds.BODY_IDLE_S - 1)
    app.end.release()
    await turns()
    clock.advance(1)
    early = wire.closed
    clock.advance(request_bounds.BODY_IDLE_S)
    late = wire.half_closed or wire.closed
    connection.connection_lost(None)
    await settle(connections)

    assert (False, True, False) == (early, late, clock.runs)


async def test_only_a_connection_that_is_not_used_is_closed():
    """However long an answer takes, its connection is kept; and from its end on for as long as any idle one."""
    app = Slow()
    clock = Clock()
    connection, wire, connections = connect(app, clock)
    connection.data_received(request("GET", "/1"))
    await turns()

    def closed_after(seconds: float) -> bool:
        for _ in range(int(seconds / SWEEP_S)):
            clock.advance(SWEEP_S)
        return wire.closed

    busy = closed_after(3 * KEEP_ALIVE_S)
    app.end.release()
    await settle(connections)
    seen = busy, closed_after(KEEP_ALIVE_S - SWEEP_S), closed_after(SWEEP_S)
    connection.connection_lost(None)

    assert ((False, False, True), False) == (seen, clock.runs)


async def test_an_old_client_is_not_told_to_go_on():
    """HTTP/1.0 knows no 100 Continue, and would take it for the answer."""
    wire = await answered(echo, b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi")

    assert wire.text.startswith(OK)


async def test_a_caller_who_has_gone_is_not_told_to_go_on():
    """Nothing is written to a connection that is no more."""
    connection, wire, _ = connect(Slow())
    connection.data_received(request("POST", "/", b"hi", expect="100-continue")[:-2])
    connection.connection_lost(None)
    await turns()

    assert [] == wire.writes


async def test_a_target_with_a_host_alone_is_the_root(caplog):
    """As RFC 9112 has it: a path is missing, and nothing is wrong."""
    wire = await answered(echo, b"GET http://localhost HTTP/1.1\r\nhost: a\r\n\r\n")

    assert b"('GET', '/', b'', [(b'host', b'localhost')], b'')" in wire.text
    assert [] == caplog.records


async def test_nothing_is_left_to_the_collector():
    """What a request was made of goes with it, and the connection with its end: no reference holds them in a circle."""
    left = []

    class Something:
        """That a scope can hold, and be asked whether it is still there."""

    async def app(scope, receive, send) -> None:
        scope["something"] = something = Something()
        left.append(weakref.ref(something))
        while (await receive())["more_body"]:
            pass
        await send(start())
        await send(body(b"a", more=True))
        await send(body(b"b"))

    gc.disable()
    try:
        connection, _, connections = connect(app)
        connection.data_received(request("POST", "/", b"{}"))
        await settle(connections)
        connection.data_received(request("GET", "/"))
        await settle(connections)
        before = [thing() is None for thing in left]
        connection.connection_lost(None)
        del connection
        await asyncio.sleep(0)
        assert ([True, True], [True, True]) == (before, [thing() is None for thing in left])
    finally:
        gc.enable()


async def echo(scope, receive, send) -> None:
    """Answers with what it understood of the request."""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message["body"])
        if not message["more_body"]:
            break
    said = repr((scope["method"], scope["path"], scope["query_string"], scope["headers"], b"".join(pieces))).encode()
    await send(start(content_length=str(len(said))))
    await send(body(said))


REQUESTS = (
    b"\r\n"
    + request("GET", "/a%20b?c=%20d")
    + request("POST", "/body", b'{"a": "\r\n\r\nupgrade: x"}', Upgrade="h2c", connection="upgrade")
    + b"POST /chunks HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nlate: 1\r\n\r\n"
    + request("PUT", "/last", b"x" * 50, connection="close")
)


STARTS = [0, *(REQUESTS.index(line) for line in (b"POST /body", b"POST /chunks", b"PUT /last"))]
WHOLE = [REQUESTS[start:end] for start, end in pairwise([*STARTS, len(REQUESTS)])]


async def conversation(parts: list[bytes]) -> tuple[bytes, bool]:
    connection, wire, connections = connect(echo)
    for part in parts:
        connection.data_received(part)
        for _ in range(5):  # turns of the loop, in which whoever has got a whole request answers it
            await asyncio.sleep(0)
    await settle(connections)
    connection.connection_lost(None)
    return wire.text, wire.closed


async def test_requests_are_read_as_they_are_meant():
    """Paths and queries, names in lower case, bodies by length and by chunks; trailers are dropped, an upgrade renamed."""
    text, closed = await conversation(WHOLE)

    assert closed
    assert 4 == text.count(b"HTTP/1.1 200 OK")
    assert rb"('GET', '/a b', b'c=%20d'," in text
    assert rb"(b'x-upgrade', b'h2c')" in text
    assert rb"b'abcdefg')" in text
    assert b"late" not in text


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(1, len(REQUESTS) - 1), max_size=8))
def test_requests_are_the_same_however_they_are_cut(cuts):
    """Split anywhere, they get the answers that they get when each comes whole."""
    # A wish to upgrade behind another request in one read is refused, as it is not seen in time: so that cut is always made.
    split = [REQUESTS[start:end] for start, end in pairwise(sorted({0, STARTS[1], *cuts, len(REQUESTS)}))]

    assert asyncio.run(conversation(WHOLE)) == asyncio.run(conversation(split))


WISHING = b"x\r\nupgrade: y\r\nupgrade: z\r\n"


@pytest.mark.parametrize("before", [b"", b"\r\n", request("GET", "/before")], ids=["first", "behind nothing", "behind another"])
@pytest.mark.parametrize("at", range(5))
async def test_a_body_is_not_touched_wherever_its_head_is_cut(before, at):
    """What looks like a wish for another protocol, in a body, stays what it is: renamed, it would be a part of the next."""
    data = request("POST", "/", WISHING)
    cut = data.index(b"\r\n\r\n") + at
    text, _ = await conversation([before + data[:cut], data[cut:], request("GET", "/after")])

    assert repr(WISHING).encode() + b")" in text
    assert b"('GET', '/after'" in text


@given(st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=4))
def test_the_date_is_that_of_its_second(seconds: list[int]) -> None:
    """As the standard library writes it, whatever was written before."""
    for second in [*seconds, *(each + 1 for each in seconds), *(each // 60 * 60 for each in seconds)]:
        assert date_line(second) == f"date: {formatdate(second, usegmt=True)}\r\n".encode()


# ---- names of requests


def test_no_two_requests_have_one_name():
    """Nor the first of a child process and the next of its parent."""
    names = [new_request_id() for _ in range(1000)]
    program = """
import os
from autonomousai.http.server.exchange import new_request_id
before = new_request_id()
read, write = os.pipe()
if not os.fork():
    os.write(write, new_request_id().encode())
    os._exit(0)
print(before, new_request_id(), os.read(read, 100).decode())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert 1000 == len(set(names))
    assert all(re.fullmatch("req_[0-9a-f]{24}", name) for name in [*names, *run.stdout.split()])
    assert 3 == len(set(run.stdout.split()))
