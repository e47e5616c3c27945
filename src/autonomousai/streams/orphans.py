"""Generations that nobody wants any more, and that go on all the same: counted where stopping them did not work.

When a caller leaves, or a stream is let go, its generation is stopped; a *suspicion* begins with that, and is cleared by the
end of the generation. Where it is not cleared in time, something upstream is still at work for nobody. (A server upstream that
could not be told to stop is counted by whoever could not tell it: see `orphans` of the providers.)
"""

from __future__ import annotations

import asyncio
from typing import Final

#: Seconds that a generation may take to end: a connection is closed at once, but saying goodbye may take one.
ORPHANED_AFTER_S: Final = 2.0


class Orphans:
    """``count``: those that were found. ``suspected``: those that are being stopped right now. ``after_s``: how long that may
    take."""

    def __init__(self, after_s: float = ORPHANED_AFTER_S) -> None:
        self.count = 0
        self.suspected: set[asyncio.TimerHandle] = set()
        self.after_s = after_s

    def suspect(self) -> asyncio.TimerHandle:
        """A generation is being stopped."""
        timer = asyncio.get_running_loop().call_later(self.after_s, self._found)
        self.suspected.add(timer)
        return timer

    def clear(self, suspicion: asyncio.TimerHandle) -> None:
        """It has ended, in time or not."""
        suspicion.cancel()
        self.suspected.discard(suspicion)

    def _found(self) -> None:
        self.count += 1
