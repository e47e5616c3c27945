"""Who may enter, and how much: the Host header, the keys, how many at once, and nobody any more once we are closing.

Knows nothing of routes and answers. Everything refused is a `StatusError`, for the caller to be told in OpenAI's shape.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from types import TracebackType
from typing import Final, Self

from ..config import ServerConfig, is_loopback
from ..errors import StatusError
from ..seats import Seats, busy
from .asgi import LEAVING, ClientLeftError, Leaving, Receive, Scope, head_of
from .orphans import Orphans

#: Seconds after which somebody who was turned away should ask again.
RETRY_AFTER_S: Final = 5

#: Paths that need no key: what watches us has none, and the page and the API's description say nothing of ours, not even the
#: names of the models; whoever has no key yet reads there how one is sent.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/", "/docs", "/openapi.json"})

#: Paths that are answered while closing.
WATCHED_PATHS: Final = OPEN_PATHS | {"/metrics"}

#: Under it lie the page's files, which are as open as the page.
PAGE_PATH: Final = "/page/"

#: Under it lie the streams that can be resumed: what was begun goes on while closing.
STREAMS_PATH: Final = "/v1/streams/"

#: The code of the error that everybody gets who is still here, or comes, at the end.
SHUTTING_DOWN: Final = "shutting_down"

_HOST = re.compile(rb"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::[0-9]{1,5})?", re.IGNORECASE)


class Guard:
    """The checks on one request's head, before anything of its body is read."""

    def __init__(self, config: ServerConfig) -> None:
        self.draining = False
        self._keys = [_digest(key.encode()) for key in config.api_keys]
        self._hosts = frozenset(host.lower().rstrip(".") for host in config.allowed_hosts)
        self._checks_host = is_loopback(config.host) or bool(self._hosts)
        self._known: set[bytes] = set()

    def check(self, scope: Scope, path: str) -> None:
        """Raises `StatusError` 403, 401 or 503 for whoever may not enter."""
        head = head_of(scope)
        if self._checks_host and (host := head.get(b"host", b"")) not in self._known:
            self._check_host(host)
        if self._keys and path not in OPEN_PATHS and not path.startswith(PAGE_PATH):
            self._check_key(head.get(b"authorization", b""))
        if self.draining and path not in WATCHED_PATHS and not path.startswith((STREAMS_PATH, PAGE_PATH)):
            raise shutting_down()

    def key_of(self, scope: Scope) -> bytes:
        """What tells callers apart: the hash of a caller's key; where none is asked for, everyone is the same."""
        return _digest(_bearer(head_of(scope).get(b"authorization", b""))) if self._keys else b""

    def _check_host(self, value: bytes) -> None:
        """A page of the web whose name was made to point at this machine (DNS rebinding) still bears its own name here."""
        if self._may_bear(value):
            if len(self._known) < 1000:
                self._known.add(value)
            return
        raise StatusError(
            "the Host header must be this machine's own (localhost, 127.0.0.1 or [::1]) and stand there once; "
            "for another name, such as a reverse proxy's, add it to server.allowed_hosts",
            status=403,
            type="invalid_request_error",
            code="host_not_allowed",
        )

    def _may_bear(self, value: bytes) -> bool:
        match = _HOST.fullmatch(value)
        if match is None:
            return False
        name = match["name"].decode("latin-1").lower().rstrip(".")
        if name in self._hosts or name.strip("[]") in self._hosts or name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False

    def _check_key(self, value: bytes) -> None:
        """All keys are compared, by their hashes and each in constant time: how long it takes says nothing about them."""
        digest = _digest(_bearer(value))
        found = False
        for key in self._keys:
            found |= hmac.compare_digest(digest, key)
        if not found:
            raise StatusError(
                "the API key is missing or wrong; send it with the header authorization: Bearer KEY",
                status=401,
                type="invalid_request_error",
                code="invalid_api_key",
            )


def _bearer(value: bytes) -> bytes:
    """The key in an authorization header, b"" where there is none, or more than one."""
    scheme, _, rest = value.partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" and b"\n" not in value else b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def shutting_down() -> StatusError:
    return StatusError(
        "the server is shutting down; ask again, or ask another",
        status=503,
        type="server_error",
        code=SHUTTING_DOWN,
        retry_after=RETRY_AFTER_S,
    )


class Places:
    """How many requests are answered at once, and how many more may wait for that, and for how long.

    Whoever is inside (sending the request, waiting, or being answered) is counted, so that the memory that bodies take is
    bounded too: at most as many again may be inside as there are places.
    """

    def __init__(self, places: int, queue_s: float, orphans: Orphans | None = None) -> None:
        self.inside = 0
        self.places = places
        self.empty = asyncio.Event()
        self.empty.set()
        self._most = 2 * places
        self._queue_s = queue_s
        self._seats = Seats(places)
        self._callers: set[Caller] = set()
        self._orphans = orphans or Orphans()

    @property
    def waiting(self) -> int:
        """How many stand in line for a place."""
        return self._seats.waiting

    def enter(self) -> None:
        """Come inside. Raises `StatusError` 503 when all places and the queue are full."""
        if self.inside >= self._most:
            raise busy("too many requests are waiting already", self._seats.expected_wait())
        if not self.inside:
            self.empty.clear()
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1
        if not self.inside:
            self.empty.set()

    def take_free(self) -> bool:
        """Take a place, if one is free and nobody stands in line for it."""
        return self._seats.take_free()

    async def take(self) -> None:
        """Take a place. Raises `StatusError` 503 when none is free in time, or none can be by the speed of late."""
        await self._seats.take(self._queue_s)

    def give_back(self) -> None:
        self._seats.give_back()

    def caller(self, scope: Scope, receive: Receive) -> Caller:
        """Watch over somebody who is inside."""
        return Caller(scope.get(LEAVING), receive, self._callers, self._orphans)

    def dismiss(self) -> None:
        """Send away everybody who is still being answered: the end of the time to drain."""
        for caller in list(self._callers):
            caller.interrupt(shutting_down())


class Caller:
    """Somebody who waits for an answer. ``with`` it, the block is cancelled as soon as they leave or are sent away, and the
    reason is raised instead of the cancellation: `ClientLeftError`, or what `interrupt` was given.

    Only for a request whose body has been read: what is received from then on is the leaving alone.
    """

    __slots__ = ("_answering", "_leaving", "_orphans", "_reason", "_receive", "_registry", "_suspicion", "_watching")

    def __init__(self, leaving: Leaving | None, receive: Receive, registry: set[Caller], orphans: Orphans) -> None:
        self._leaving = leaving
        self._receive = receive
        self._registry = registry
        self._orphans = orphans
        self._suspicion: asyncio.TimerHandle | None = None
        self._reason: Exception | None = None
        #: Who answers, as long as that may be interrupted.
        self._answering: asyncio.Task[object] | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._answering = asyncio.current_task()
        self._registry.add(self)
        if self._leaving is not None:
            self._leaving.add(self)
        else:
            self._watching = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.on_left()

    def on_left(self) -> None:
        """The other end of the connection has gone."""
        self.interrupt(ClientLeftError())

    def interrupt(self, reason: Exception) -> None:
        """Cancel the answering now, unless it is over or cancelled already."""
        if self._answering is not None and self._reason is None:
            self._reason = reason
            self._suspicion = self._orphans.suspect()
            self._answering.cancel()

    def release(self) -> None:
        """The answer is complete but for its last bytes: from now on it is not interrupted any more."""
        self._registry.discard(self)
        if self._leaving is not None:
            self._leaving.discard(self)
        elif self._watching is not None:
            self._watching.cancel()
        if self._reason is None:
            self._answering = None

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._answering is None:  # released, and not interrupted before
            return
        self.release()
        if self._suspicion is not None:
            self._orphans.clear(self._suspicion)
        if self._reason is None or self._answering is None:
            return
        if self._answering.uncancel() > 0:
            return  # somebody else cancelled us as well, and goes first
        if exc is not None:
            raise self._reason from None
