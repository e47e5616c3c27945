"""The interface of stores: where the logs of streams are kept. Knows numbers, data and leases; no events and no readers.

A log is a row of records that one process at a time writes and any process may read. Records have ascending numbers; each is
stored whole or not at all. The writer holds the stream's *lease*, and leases are numbered: a process that takes a stream over
gets the next number, and from then on the writer before is refused. So whatever is read was stored before, in one order, by
one writer after another.

What a store may hold is bounded. Where it is full, it drops streams that have ended, the one whose time would be over first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

#: Seconds after its last heartbeat that a writer is taken for dead.
LEASE_S: Final = 3.0

#: Seconds that a stream which was dropped is remembered as such.
REMEMBERED_S: Final = 3600.0

#: Seconds that an answer that is made of a context may take, generously.
_ANSWER_S: Final = 3600.0

#: Records that are read at once.
PAGE: Final = 512


def context_keep_s(keep_s: float) -> float:
    """Return how many seconds a context is kept, where answers are kept for *keep_s*; see `contexts`."""
    return 2 * keep_s + _ANSWER_S


class StoreError(Exception):
    """The store cannot be reached, or is full."""


class LeaseLostError(Exception):
    """The stream has another writer by now, or was dropped."""


class StoreFullError(StoreError):
    """There is no room for more; what is stored can be read."""


class StreamVanishedError(LeaseLostError):
    """The store knows nothing of the stream any more: it was emptied, or made room. No other writer has it."""


class GoneError(Exception):
    """The records that were asked for were dropped."""


class StreamInfo(NamedTuple):
    """What is known of a stream. ``owner``: as it was given; ``last``: the number of its last record; ``start``: the number of
    the last record that was dropped, 0 if all are there."""

    owner: bytes
    state: Literal["running", "ended", "gone"]
    last: int
    start: int = 0


class Page(NamedTuple):
    """Records in a row. ``last``: the number of the last of them. ``ended``: none will follow."""

    records: list[Any]
    last: int
    ended: bool

    def check(self, after: int) -> Page:
        """Return the page, which must begin behind number *after*: a store may lose records. Raises `GoneError`."""
        if self.records and self.last - len(self.records) != after:
            raise GoneError
        return self


class Claim(NamedTuple):
    """A lease that was taken over, and what its new holder must know: the number of the last record that the writer before
    stored, and the request."""

    lease: int
    last: int
    request: bytes


class Heartbeat(NamedTuple):
    """What a heartbeat brought, of the streams that are written: whose lease is lost, which are read elsewhere, and which the
    store knows nothing of any more."""

    lost: set[str]
    watched: set[str]
    vanished: Collection[str] = frozenset()


class Store(Protocol):
    """A store of streams. All methods but `open` raise `StoreError` where the store cannot be reached."""

    #: Whether streams outlive this process: then another one can take them over, and its records are bytes. A store that is
    #: not shared keeps the records themselves, see `append_now`.
    shared: bool

    async def open(self) -> None:
        """Make the store ready. Raises `ConfigError` where it cannot be used."""

    async def aclose(self) -> None:
        """Close the store. A shared one keeps what it holds."""

    async def create(self, id: str, owner: bytes, request: bytes, keep_s: float | None = None) -> int:
        """Create a stream without records, which is kept for *keep_s* seconds after its end; None for as long as most are.

        Returns the number of its lease, which the caller holds.
        """

    async def find(self, id: str) -> StreamInfo | None:
        """Return what is known of a stream; None where there is none, or none is remembered."""

    async def request(self, id: str) -> bytes:
        """Return the request of a stream, as it was given. Raises `GoneError`."""

    def append(self, id: str, lease: int, number: int, data: Any, *, end: bool = False) -> Awaitable[None]:
        """Store record *number*, and the end with it. What is awaited ends when no end of this process can undo it.

        Raises `LeaseLostError`, and then has stored nothing.
        """
        ...

    def append_now(self, id: str, lease: int, number: int, data: Any, size: int, *, end: bool = False) -> None:
        """Store a record as `append` does, any object of about *size* bytes. Only for a store that is not shared."""
        ...

    async def read(self, id: str, after: int) -> Page:
        """Return the records after number *after*, as many as make a page. Raises `GoneError`."""

    async def wait(self, id: str, after: int, seconds: float) -> None:
        """Return when there may be records after number *after*, at the latest after *seconds*."""

    async def claim(self, id: str, *, force: bool = False) -> Claim | None:
        """Take over a stream whose writer is dead, or with *force* any that is running; None where it is not. Of several that
        try at once, one succeeds."""

    async def release(self, id: str, lease: int) -> None:
        """Give back a lease, so that the stream can be taken over at once."""

    async def drop(self, id: str) -> None:
        """Drop the records of a stream, whichever process writes it, and remember that it was dropped."""

    async def heartbeat(self, written: Mapping[str, int], read: Collection[str]) -> Heartbeat:
        """Renew the leases of the streams that this process writes, note which streams it reads, and drop what is past its
        time. A stream that has ended is not lost."""
