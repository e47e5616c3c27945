"""The interface between what reads answers and what carries bytes: a transport and its responses. Nothing but their shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from ..errors import HTTPError
from ..timeouts import Clocks

if TYPE_CHECKING:
    from .proxies import Proxy


class Response(Protocol):
    """A response whose head has come. Its holder closes it. ``headers``: their names are case-insensitive."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    def progress(self) -> None:
        """Note that an event came: from now on the idle timeout runs, from anew."""

    def alive(self) -> None:
        """Note that something came that is no event, such as a comment: the first token is waited for anew, up to its own
        bound. It restarts no other timeout."""

    def wait_no_longer_than(self, seconds: float) -> None:
        """Note that the answer is proven: what may still follow is awaited this long, and then the body just ends."""

    def peek(self) -> bytes:
        """Return what of the body has come already and was not read, without reading it. ``b""`` where nothing has, or where
        the transport does not know."""

    def whole(self) -> bytes | None:
        """Return all of the body without reading it, where it has come completely, else None. None too where the transport
        does not know."""

    async def read_some(self) -> bytes:
        """Return the body's next bytes, all that are there; ``b""`` at its end, by its own framing.

        Raises `TimeoutError` when a timeout passes, `IncompleteStreamError` when the connection breaks; what had arrived before
        is returned first.
        """

    def pipe_to(self, take: Callable[[bytes], bool]) -> Awaitable[bool]:
        """Hand the body to *take* as it comes, without a task switch, until it returns False or nothing more will come.

        Raises what *take* raises, and no error of the connection: `read_some` does. False: the transport cannot, do not ask
        again.
        """

    def release(self) -> bool:
        """Return whether the body has come completely; then the connection is free for another request, and the response
        over."""

    async def drain(self) -> None:
        """Read the little that may follow a finished answer, so that the connection can be used again; then close."""

    async def aclose(self) -> None:
        """Close at once. A body that has come completely leaves its connection to the pool, any other one closes it."""


class StaleConnectionError(Exception):
    """A connection that had been used before broke before anything of a response came: the server had closed it, most likely
    before our request reached it."""


class Transport(Protocol):
    """Carries requests for one event loop, and keeps its connections."""

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        clocks: Clocks,
        streaming: bool,
        deadline: float,
        proxy: Proxy | None,
        fresh: bool,
    ) -> Response:
        """Send the request and return the response once its head is there; see `HttpPool.post`.

        ``fresh``: over a connection that was never used. Raises `StaleConnectionError` where it should be sent over such a one,
        and `HTTPError` and its kin.
        """

    async def aclose(self) -> None:
        """Close all connections."""


async def read_body(response: Response, limit: int, *, as_far_as_it_comes: bool = False) -> bytes:
    """The whole body, or its first *limit* bytes and one more. The errors of `Response.read_some`; ``as_far_as_it_comes``: what
    came before an error is returned instead."""
    parts: list[bytes] = []
    size = 0
    try:
        while size <= limit and (data := await response.read_some()):
            parts.append(data)
            size += len(data)
    except HTTPError:
        if not as_far_as_it_comes:
            raise
    return b"".join(parts)[: limit + 1]
