"""Which connections hand on at once what they have read, and which in a later turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

#: Reads whose data is handed on at once, before the loop is through with all that can be read.
AT_ONCE: Final = 32


class Deliverer(Protocol):
    """What has read something that it can hand on."""

    is_due: bool

    def deliver(self) -> None:
        """Hand on what was read."""


class FairDispatcher:
    """Lets the first `AT_ONCE` readers of a turn of the loop hand on what they read, and the others in the next turn.

    libuv reads on, turn after turn, as long as a thousand sockets have something, and neither writes nor runs a task meanwhile.
    So where much comes at once it is only kept: otherwise, the more there is to do, the longer all wait.

    ``room``: how many more readers may hand on in this turn. While it is above 1, a reader may count itself and hand on; else
    it is to be added.
    """

    __slots__ = ("_due", "_limit", "_loop", "room")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = AT_ONCE) -> None:
        self._loop = loop
        self._limit = limit
        self.room = limit
        self._due: list[Deliverer] = []

    def add(self, reader: Deliverer) -> None:
        """Let *reader* hand on what it has read, now or in the next turn."""
        if not self.room:
            reader.is_due = True
            self._due.append(reader)
            return
        self.room -= 1
        if not self.room:  # where little comes at once, the loop is asked for nothing
            self._loop.call_soon(self._next_turn)
        reader.deliver()

    def _next_turn(self) -> None:
        self.room = self._limit
        due, self._due = self._due, []
        for reader in due:
            reader.is_due = False
            reader.deliver()
