"""Orphans: generations that continue although they were stopped, counted.

When a caller leaves, or a stream is dropped, its generation is stopped. A *suspicion* begins with that, and is cleared by the
end of the generation. Where it is not cleared in time, an upstream still works for no caller. (An upstream server that could
not be asked to stop is counted by its client: see ``orphans`` of `ProviderStatus`.)
"""

from __future__ import annotations

import asyncio
from typing import Final

#: Seconds that a generation may take to end: a connection is closed at once, but a DELETE to an upstream may take one.
ORPHANED_AFTER_S: Final = 2.0


class Orphans:
    """Counts orphans. ``count``: how many were found; ``suspected``: timers of the generations that are being stopped;
    ``after_s``: seconds that stopping one may take."""

    def __init__(self, after_s: float = ORPHANED_AFTER_S) -> None:
        self.count = 0
        self.suspected: set[asyncio.TimerHandle] = set()
        self.after_s = after_s

    def suspect(self) -> asyncio.TimerHandle:
        """Note that a generation is being stopped. Returns what `clear` takes."""
        timer = asyncio.get_running_loop().call_later(self.after_s, self._found)
        self.suspected.add(timer)
        return timer

    def clear(self, suspicion: asyncio.TimerHandle) -> None:
        """Note that the generation has ended, in time or not."""
        suspicion.cancel()
        self.suspected.discard(suspicion)

    def _found(self) -> None:
        self.count += 1
