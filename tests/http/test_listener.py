"""Who come together are let in a few in each turn of the loop, not one, and begin to be answered a few in each; who waits
at the socket of a worker that takes nobody is let in by another.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count as count_from
from typing import Any

import pytest
import uvloop

from autonomousai.http.server.connections import STARTS, Connections, starts_after
from autonomousai.http.server.listener import Acceptor, listen
from tests.support.asgi import ASGIApplication
from tests.support.sockets import PATIENCE, request

CALLERS = 100

App = Callable[[Any, Any, Any], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    def run(main: Any) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(main, PATIENCE))

    return run


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nothing was asked")


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """An answer to everything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


class Callers:
    """As many as come before the loop looks once; each asks ``data``."""

    def __init__(self, listener: socket.socket, data: bytes = b"") -> None:
        self._stack = ExitStack()
        self.sockets = [self._stack.enter_context(socket.socket()) for _ in range(CALLERS)]
        for caller in self.sockets:
            caller.connect(listener.getsockname())
            caller.sendall(data)

    def __enter__(self) -> Callers:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Another worker's socket: it listens, and nobody takes what waits there."""
    with socket.create_server(("127.0.0.1", 0), backlog=2 * CALLERS) as other:
        other.setblocking(False)
        yield other


async def close(server: Acceptor, connections: Connections) -> None:
    server.close()
    connections.is_closed = True
    for connection in list(connections.connections):
        connection.transport.abort()
    await connections.none_left.wait()


def test_all_who_wait_are_let_in_soon(run, listener):
    """A hundred who came together are inside after some turns of the loop, not after a hundred."""

    async def main() -> int:
        connections = Connections()
        server = await listen(ASGIApplication(nobody), listener, connections)
        with Callers(listener):
            for _ in range(20):
                await asyncio.sleep(0)
            inside = len(connections.connections)
            await close(server, connections)
        return inside

    assert CALLERS == run(main())


@pytest.mark.parametrize(("turn", "least", "most"), [(0.0, STARTS + 1, 16 * STARTS), (1.0, 2, STARTS)])
def test_few_begin_to_be_answered_at_once(run, listener, monkeypatch, turn, least, most):
    """However many ask at once, in one turn of the loop only some begin, fewer where turns are long, and all are answered."""
    begun: list[int] = []
    times = count_from(0, turn)
    monkeypatch.setattr("autonomousai.http.server.connections.monotonic", lambda: next(times))

    async def main() -> list[bytes]:
        connections = Connections()
        loop = asyncio.get_running_loop()
        server = await listen(ASGIApplication(app), listener, connections)
        with Callers(listener, request()) as callers:
            counting = asyncio.create_task(count())
            answers = []
            for caller in callers.sockets:
                caller.setblocking(False)
                answers.append(await loop.sock_recv(caller, 100))
            counting.cancel()
            await close(server, connections)
        return answers

    turns = [0]

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(turns[0])
        await empty(scope, receive, send)

    answers = run(main())

    assert {b"HTTP/1.1 200 OK"} == {answer.split(b"\r\n")[0] for answer in answers}
    assert CALLERS == len(begun)
    assert least <= max(begun.count(turn) for turn in begun) <= most


def test_starts_grow_while_turns_are_short():
    """They grow step by step up to a bound, and are halved by a turn that others have to wait for."""
    starts = [STARTS]
    for turn in [0.01] * 16 + [0.2] * 5:
        starts.append(starts_after(turn, starts[-1]))

    assert starts == [*range(16, 257, 16), 256, 128, 64, 32, 16, 16]


def test_a_closed_door_stays_closed(run, listener, caplog):
    """Who comes while the server stops is not let in, and costs no word."""

    async def main() -> int:
        connections = Connections()
        server = await listen(ASGIApplication(nobody), listener, connections)
        with Callers(listener):
            await asyncio.sleep(0)  # the loop takes one, and would look for more
            await close(server, connections)
            for _ in range(5):
                await asyncio.sleep(0)
            return len(connections.connections)

    assert (0, []) == (run(main()), caplog.records)


def test_who_waits_at_another_workers_socket_is_let_in(run, listener, other):
    """All of them: those that were there before, and those that come later."""

    async def main() -> None:
        connections = Connections()
        with Callers(other, request()) as callers:
            server = await listen(ASGIApplication(empty), listener, connections, [other])
            try:
                await answered(callers)
                with Callers(other, request()) as later:
                    await answered(later)
            finally:
                await close(server, connections)

    run(main())


async def answered(callers: Callers) -> None:
    for caller in callers.sockets:
        caller.settimeout(PATIENCE)
        answer = await asyncio.to_thread(caller.recv, 100)
        assert answer.startswith(b"HTTP/1.1 200 OK")


def test_what_waits_at_another_workers_socket_is_left_when_the_server_stops(run, listener, other):
    """Whoever listens there too will take it."""

    async def main() -> int:
        connections = Connections()
        server = await listen(ASGIApplication(nobody), listener, connections, [other])
        await close(server, connections)
        with Callers(other):
            for _ in range(5):
                await asyncio.sleep(0)
            left = 0
            with suppress(BlockingIOError):
                while True:
                    other.accept()[0].close()
                    left += 1
        return left

    assert CALLERS == run(main())
