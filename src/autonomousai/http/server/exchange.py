"""The interface between an HTTP server and its application: one request, and the road back for its response.

Two implementations: `cycle.RequestResponseCycle`, on this package's own HTTP/1.1 protocol, and `asgi.ASGIExchange`, on any ASGI
server. Knows no route, no model and no format of errors.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from ...errors import ProviderError, StatusError

Headers: TypeAlias = list[tuple[bytes, bytes]]

#: The status that a request is counted under whose caller left; it is never sent.
CLIENT_LEFT: Final = 499

JSON: Final = b"application/json"

_log = logging.getLogger("autonomousai.server")


class ClientLeftError(Exception):
    """The caller closed the connection before the request had come completely, or before its response had."""


class DisconnectListener(Protocol):
    """What is called when the caller leaves."""

    def on_left(self) -> None: ...


class Exchange(Protocol):
    """One request and its response.

    ``headers``: names in lower case, in their order; ``head``: the same by name, the values of a repeated one joined by line
    ends. ``path``: percent-decoded, under the application's own root. ``began``: when the request came, by the monotonic clock.
    ``status``: of the response, 0 before; ``route`` and ``meter``: what the application notes for the log, metrics and traces.
    ``key``: the name of the caller's key, ``""`` where it has none; ``caller``: what the application knows of that key.
    """

    method: str
    path: str
    query: bytes
    http_version: str
    request_id: str
    began: float
    status: int
    route: str
    meter: Any
    key: str
    caller: Any
    #: The monotonic time by which the caller is to have read the response: `drain` waits no longer.
    read_by: float
    #: Called when the caller leaves, while it is set.
    listener: DisconnectListener | None
    #: What may stand between any two pieces of the body without changing what it says; b"" where nothing may.
    filler: bytes
    #: Headers that the response gets beside its own.
    extra: Headers
    #: More of them, written out: each line with its end, and none that says how the response ends.
    lines: bytes
    #: Where the same head came before, but for its body's length: what is remembered of that, with a ``note`` of the
    #: application's. None elsewhere.
    known: Any

    @property
    def headers(self) -> Headers: ...
    @property
    def head(self) -> Mapping[bytes, bytes]: ...
    @property
    def server(self) -> tuple[str, int | None] | None:
        """Return the address that the request came to; None for a Unix socket."""

    def take_body(self) -> bytes | None:
        """Return the request's body, where all of it has come and nothing of it was read; None elsewhere."""

    def peek_body(self) -> bytes | None:
        """Return the same, without taking it."""

    def hand_over(self, handle: Handle) -> None:
        """Let *handle* answer what was launched, in a task; see `Application.launch`."""

    async def next_body(self) -> tuple[bytes, bool]:
        """Wait for more of the request's body, and return it, and whether more follows. Raises `ClientLeftError`."""

    def respond(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (), kind: bytes = JSON) -> bool:
        """Send a complete response of the content type *kind*. False: `drain` before leaving it."""

    def start(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """Begin a streamed response; its head goes out with the first `write`. *lines*: further headers, as ``lines`` above."""

    def write(self, data: bytes) -> bool:
        """Send more of the body. False: the caller reads slowly, `drain` before the next."""

    def end(self, data: bytes = b"") -> bool:
        """Send the last of the body; the response is complete. False: `drain` before leaving it."""

    async def drain(self) -> None:
        """Wait until the caller has read enough for the next `write`. Where that has not come by ``read_by``, the connection is
        closed; raises `ClientLeftError`."""

    def watch(self, listener: DisconnectListener) -> None:
        """Let *listener* be called when the caller leaves; at once where it has."""

    def unwatch(self) -> None:
        """Call no listener any more."""


#: Answers one request.
Handle: TypeAlias = Callable[[Exchange], Awaitable[None]]


class Application(Protocol):
    """What a server calls with each request."""

    def handle(self, exchange: Exchange) -> Awaitable[None]:
        """Answer one request."""

    def launch(self, exchange: Exchange) -> bool:
        """Begin to answer one request without a task, where that needs no waiting: what comes answers it, or is handed to a
        task by `Exchange.hand_over`. False: nothing was done, and `handle` answers."""

    def encode_error(self, error: ProviderError) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the extra headers and the body of the response that reports *error*."""


class ServedApplication(Application, Protocol):
    """An application that starts, drains and ends."""

    async def start(self) -> None:
        """Start what it needs. Raises what cannot start."""

    def drain(self) -> None:
        """Refuse new requests from now on; what was begun continues."""

    async def empty(self) -> None:
        """Wait until no request is being answered."""

    def cancel_all(self) -> None:
        """Stop all answers."""

    async def aclose(self) -> None:
        """Close what was started."""


#: The header in which a response repeats, and an upstream gets, the caller's own name for its request: OpenAI's.
CLIENT_ID: Final = b"x-client-request-id"

#: Names for requests to come. A child process makes its own.
_ids: Final[list[str]] = []
_IDS: Final = 64
_ID_BYTES: Final = 12

os.register_at_fork(after_in_child=_ids.clear)


def new_request_id() -> str:
    """Return a name for one request, for the caller's log and the server's. Many are made at once, at a tenth of the cost."""
    if not _ids:
        digits = os.urandom(_IDS * _ID_BYTES).hex()
        _ids.extend(["req_" + digits[at : at + 2 * _ID_BYTES] for at in range(0, len(digits), 2 * _ID_BYTES)])
    return _ids.pop()


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """Return *headers* by name. A repeated one has all its values, each on a line of its own: no value holds a line end."""
    head = dict(headers)
    if len(head) < len(headers):
        head = {}
        for name, value in headers:
            head[name] = head[name] + b"\n" + value if name in head else value
    return head


def internal_error() -> StatusError:
    """Return what a caller gets for a bug of the server."""
    return StatusError(
        "an error inside the server; its log says more, under this request's x-request-id",
        status=500,
        type="server_error",
        code="internal_error",
    )


def log_bug(request_id: str | None, error: BaseException) -> None:
    """Log where a bug showed: the places and the kinds of error, not their texts, which may quote a prompt."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines.append(
            f"{type(cause).__module__}.{type(cause).__qualname__} at\n{''.join(traceback.format_tb(cause.__traceback__))}"
        )
        cause = cause.__cause__ or cause.__context__
    _log.error("%s: a bug, please report it:\n%s", request_id, "caused by ".join(lines))
