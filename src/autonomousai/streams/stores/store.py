"""What a place for streams can do. Knows numbers, bytes and leases: not what a stream says, nor who reads it.

A stream is a row of events that one process at a time writes and anybody may read. Events are numbered from 1 on; they come in
*pieces*, each named by the number of its last event, and a piece is stored whole or not at all. Who writes holds the stream's
*lease*, and a lease has a number: somebody who takes it over gets the next one, and from then on the writer before is refused.
So whatever anybody reads was stored before, in one order, by one writer after another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, NamedTuple, Protocol

#: Seconds after its last sign of life that a writer is taken for dead.
LEASE_S: Final = 3.0

#: Seconds that a stream which was let go is remembered as such.
REMEMBERED_S: Final = 3600.0

#: Pieces that are read at once.
PAGE: Final = 512


class StateError(Exception):
    """The place cannot be reached, or is full."""


class LostError(Exception):
    """The stream is not the writer's any more: somebody else took it over, or it was let go."""


class GoneError(Exception):
    """The events that were asked for were let go."""


class Found(NamedTuple):
    """What is known of a stream. ``owner``: as it was given; ``last``: the number of its last event; ``start``: that of the
    last event that was let go, 0 if all are there."""

    owner: bytes
    state: Literal["running", "ended", "gone"]
    last: int
    start: int = 0


class Page(NamedTuple):
    """Events: whole pieces, the first of which may begin before what was asked for. ``last``: the number of the last event.
    ``ended``: nothing comes after it, ever."""

    pieces: list[bytes]
    last: int
    ended: bool


class Claim(NamedTuple):
    """A lease that was taken over, and what its new holder must know: the question, and the note, as the writer before left
    it with event number ``last``."""

    lease: int
    last: int
    question: bytes
    note: bytes


class Beat(NamedTuple):
    """What a sign of life brought: streams that are not ours any more, and ours that somebody reads elsewhere."""

    lost: set[str]
    watched: set[str]


class Store(Protocol):
    """A place for streams. All but `open` raise `StateError` where the place cannot be reached."""

    #: Whether it outlives this process: then another one can take a stream over, and needs its question.
    shared: bool

    async def open(self) -> None:
        """Make it ready. Raises `ConfigError` where that cannot be."""

    async def aclose(self) -> None:
        """Let go of the place; what it holds stays if it can."""

    async def create(self, id: str, owner: bytes, question: bytes) -> int:
        """A new stream without events. Its lease is ours: returns its number."""

    async def find(self, id: str) -> Found | None:
        """What is known of a stream; None where there is none of that id, or it was let go long ago."""

    async def append(
        self, id: str, lease: int, last: int, data: bytes, *, note: bytes | None = None, end: bool = False
    ) -> None:
        """Store a piece, and the note and the end with it. On return, no end of this process can undo it.

        Raises `LostError`, and then has stored nothing.
        """

    async def read(self, id: str, after: int) -> Page:
        """The events after number *after*, as many as make a page. Raises `GoneError`."""

    async def wait(self, id: str, after: int, seconds: float) -> None:
        """Return when there may be events after number *after*, at the latest after *seconds*."""

    async def claim(self, id: str) -> Claim | None:
        """Take over a stream whose writer is dead: of all who try at once, one succeeds. None: it is not to be had."""

    async def release(self, id: str, lease: int) -> None:
        """Give back a lease: the stream can be taken over at once."""

    async def drop(self, id: str) -> None:
        """Let a stream go, whoever writes it."""

    async def beat(self, written: Mapping[str, int], read: Collection[str]) -> Beat:
        """Give a sign of life for the leases of the streams that we write, and for the streams that we read; and let go of
        what is past its time. A stream that we have ended is not lost."""
