"""The seam between those who read answers and those who carry bytes: what a transport does, and what its responses are like.
Nothing but their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..timeouts import Clocks
from .urls import Proxy


class Response(Protocol):
    """A response whose head has come. Whoever holds it closes it. ``headers``: their names are case-insensitive."""

    status: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def is_over(self) -> bool:
        """Whether all of it has come and its connection is another's already: `drain` and `aclose` would do nothing."""

    def progress(self) -> None:
        """An event came: from now on the idle clock runs, from anew."""

    def wait_no_longer_than(self, seconds: float) -> None:
        """The answer is proven; what may still follow is awaited this long, and then the body just ends."""

    async def read_some(self) -> bytes:
        """The body's next bytes, everything that is there at once; ``b""`` at its end, by its own framing.

        Raises `TimeoutError` when a clock runs out, `IncompleteStreamError` when the connection breaks; what had arrived before
        is returned first.
        """

    async def drain(self) -> None:
        """Read the little that may follow a finished answer, so that the connection can be used again; then close."""

    async def aclose(self) -> None:
        """Close at once. A body that has been read to its end leaves its connection to the pool, any other one closes it."""


class StaleConnectionError(Exception):
    """A connection that had been used before was closed by the server before our request reached it."""


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
    ) -> Response:
        """Send the request and return the response once its head is there; see `HttpPool.post`.

        Raises `StaleConnectionError` where it should be sent again, and `HTTPError` and its kin.
        """

    async def aclose(self) -> None:
        """Close all connections."""


async def read_body(response: Response, limit: int) -> bytes:
    """The whole body, or its first *limit* bytes and one more. The errors of `Response.read_some`."""
    parts: list[bytes] = []
    size = 0
    while size <= limit and (data := await response.read_some()):
        parts.append(data)
        size += len(data)
    return b"".join(parts)[: limit + 1]
