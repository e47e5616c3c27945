"""Assertions on what a server saw of its client: what tests of streaming code forget. Each failure says what to do."""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any, TypeVar

from ..server import Request, ScriptedServer

T = TypeVar("T")

#: Seconds in which a client that closes something has closed it.
_MOMENT = 5.0


class Assertions(ABC):
    """What `Double` asserts. What waits for the client has a twin with an ``a`` before its name, for tests in an event loop."""

    @property
    @abstractmethod
    def requests(self) -> list[Request]:
        """The requests that came so far."""

    @property
    @abstractmethod
    def server(self) -> ScriptedServer:
        """What serves."""

    @property
    @abstractmethod
    def unplayed(self) -> int:
        """How many scripts no request has come for."""

    @abstractmethod
    def run(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float = _MOMENT) -> T:
        """Run a coroutine in the server's thread."""

    @abstractmethod
    def log(self) -> str:
        """What came and how it ended, as text."""

    def assert_nothing_open(self, *, idle_ok: bool = False, timeout: float = _MOMENT) -> None:
        """No connection is open, at the latest in *timeout* seconds. ``idle_ok``: a connection without an answer may be, as
        clients keep them for their next request."""
        __tracebackhide__ = True

        async def closed() -> None:
            while any(not idle_ok or _is_busy(connection) for connection in self.server.open):
                await self.server.change()

        if not self._comes_true(closed, timeout, "assert_nothing_open"):
            left = [f"connection {one.number}: {_doing(one)}" for one in self.server.open if not idle_ok or _is_busy(one)]
            raise AssertionError(
                f"{len(left)} connection{'s' * (len(left) != 1)} still open after {timeout:g} s:\n  "
                + "\n  ".join(left)
                + "\nclose the stream that was left early (`with stream:`, `await stream.close()`), and the client behind it "
                "(`with OpenAI(…) as client:`, `await client.close()`)"
                + ("" if idle_ok else "; a client that lives longer than the test: idle_ok=True")
                + f"\n{self.log()}"
            )

    async def aassert_nothing_open(self, *, idle_ok: bool = False, timeout: float = _MOMENT) -> None:
        """See `assert_nothing_open`."""
        __tracebackhide__ = True
        await in_thread(partial(self.assert_nothing_open, idle_ok=idle_ok, timeout=timeout))

    def assert_cancelled(self, number: int = -1, *, timeout: float = _MOMENT) -> Request:
        """The client closed the connection before the answer of request *number* had ended, so that no token more is made."""
        __tracebackhide__ = True
        request = self._request(number)
        if not self._comes_true(request.over, timeout, "assert_cancelled") or not request.left:
            how = "is still being answered" if request.end is None else f"ended otherwise: {request.end}"
            raise AssertionError(
                f"request {number} ({request.method} {request.shown_path}) was not cancelled, it {how}; "
                f"{request.sent} bytes sent\n"
                "leaving the loop is not enough everywhere: close the stream (`with stream:`, `await stream.close()`); and an "
                f"answer that ends before the client can leave cannot be cancelled: play one that stalls\n{self.log()}"
            )
        return request

    async def aassert_cancelled(self, number: int = -1, *, timeout: float = _MOMENT) -> Request:
        """See `assert_cancelled`."""
        __tracebackhide__ = True
        return await in_thread(partial(self.assert_cancelled, number, timeout=timeout))

    def assert_requests(self, times: int) -> None:
        """So many requests came, retries counted."""
        __tracebackhide__ = True
        if len(self.requests) != times:
            raise AssertionError(f"{times} request{'s' * (times != 1)} expected, {len(self.requests)} came\n{self.log()}")

    def assert_all_played(self) -> None:
        """No script is left: each that was given has answered a request."""
        __tracebackhide__ = True
        if left := self.unplayed:
            raise AssertionError(
                f"{left} script{'s' * (left != 1)} answered no request: {len(self.requests)} came\n{self.log()}"
            )

    def assert_retried_at_most(self, times: int) -> None:
        """No request was sent more than *times* times again: of those with the same method, path and body."""
        __tracebackhide__ = True
        sent = Counter((request.method, request.shown_path, request.body) for request in self.requests)
        worst, count = max(sent.items(), key=lambda item: item[1], default=(("", "", b""), 1))
        if count - 1 > times:
            raise AssertionError(
                f"{worst[0]} {worst[1]} was sent {count} times, so it was retried {count - 1} times, not {times} at most\n"
                "retries multiply where both the client and the code around it retry: set `max_retries=0` in one of them\n"
                f"{self.log()}"
            )

    def assert_sent(
        self, *, number: int | None = None, path: str | None = None, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> Request:
        """A request was sent with this path, these headers and these members of its JSON body; it is returned.

        Example::

            llm.assert_sent(path="/v1/chat/completions", headers={"authorization": "Bearer k"}, model="m", stream=True)
        """
        __tracebackhide__ = True
        among = list(self.requests) if number is None else [self._request(number)]
        missed = []
        for request in among:
            if not (wrong := _wrong(request, path, headers or {}, fields)):
                return request
            missed.append(f"{request.method} {request.shown_path}: {'; '.join(wrong)}")
        raise AssertionError("no request was sent like that\n  " + "\n  ".join(missed or ["no request came at all"]))

    def assert_text(self, text: str, number: int = -1) -> None:
        """*text*, which the caller has, is what was sent in answer to request *number*: of a cut answer the part that came, and
        nothing twice. After a reset it may be less, as a reset may overtake what was sent."""
        __tracebackhide__ = True
        request = self._request(number)
        sent = request.text
        if text == sent or (request.end == "reset" and sent.startswith(text)):
            return
        raise AssertionError(
            f"the caller's text is not what was sent\n  sent:   {sent!r}\n  caller: {text!r}\n"
            f"{_first_difference(sent, text)}\n{self.log()}"
        )

    def _request(self, number: int) -> Request:
        __tracebackhide__ = True
        try:
            return self.requests[number]
        except IndexError:
            raise AssertionError(f"there is no request {number}: {len(self.requests)} came") from None

    def _comes_true(self, work: Callable[[], Coroutine[Any, Any, Any]], timeout: float, name: str) -> bool:
        """Wait for *work* in the server's thread. In a running event loop no one may block: only a look is taken."""
        __tracebackhide__ = True
        if in_loop := _runs_loop():
            timeout = min(timeout, 0.05)
        try:
            self.run(work, timeout)
        except FutureTimeoutError:
            if in_loop:
                raise RuntimeError(
                    f"{name} would block the event loop that the client needs: await llm.a{name}() instead"
                ) from None
            return False
        return True


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking *work* in a thread of the event loop that runs here, asyncio's or trio's, and return its result."""
    if _runs_asyncio():
        return await asyncio.to_thread(work)
    result: T = await sys.modules["trio"].to_thread.run_sync(work)  # as anyio's tests do, too
    return result


def _runs_loop() -> bool:
    """Return whether an event loop runs in this thread, that may not be blocked."""
    if _runs_asyncio() or "trio" not in sys.modules:
        return _runs_asyncio()
    try:
        sys.modules["trio"].lowlevel.current_trio_token()
    except RuntimeError:
        return False
    return True


def _runs_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_busy(connection: Any) -> bool:
    return connection.request is not None and connection.request.end is None


def _doing(connection: Any) -> str:
    request = connection.request
    if request is None:
        return "without a request"
    what = f"{request.method} {request.shown_path}"
    return f"idle since {what}" if request.end else f"{what} is being answered, {request.sent} bytes were sent"


def _wrong(request: Request, path: str | None, headers: Mapping[str, str], fields: Mapping[str, Any]) -> list[str]:
    wrong = []
    if path is not None and request.path.partition("?")[0] != path and request.path != path:
        wrong.append(f"the path is not {path}")
    for name, value in headers.items():
        held = request.headers.get(name.lower())
        if held != value:
            wrong.append(f"header {name} is {'absent' if held is None else 'another one'}")
    if not fields:
        return wrong
    try:
        body = json.loads(request.body)
    except ValueError:
        return [*wrong, "the body is no JSON"]
    held_in = body if isinstance(body, dict) else {}
    for name, value in fields.items():
        if name not in held_in:
            wrong.append(f"{name} is absent")
        elif held_in[name] != value:
            wrong.append(f"{name} is {held_in[name]!r}, not {value!r}")
    return wrong


def _first_difference(sent: str, text: str) -> str:
    if sent.startswith(text):
        return f"the last {len(sent) - len(text)} characters are missing: keep what had come when the error was raised"
    if sent and text.startswith(sent):
        return f"{len(text) - len(sent)} characters more than were sent: something was joined from two answers"
    at = next(index for index, (one, other) in enumerate(zip(sent, text, strict=False)) if one != other)
    return f"they differ from character {at} on"
