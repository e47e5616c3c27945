"""Whether the other end of a connection is still there, where reading cannot tell: after its FIN, or while it is not read from.

A FIN alone does not say whether the caller has left or only sends no more (RFC 9112 section 9.6 lets it): both look the same
until something is written. What is written then changes nothing of the answer, see `RequestResponseCycle.probe`; a caller who
has left answers it with a reset, which poll(2) shows.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final

#: Seconds between two looks: the first after the FIN, and the longest.
_FIRST_S: Final = 0.02
LONGEST_S: Final = 0.5

_HALF_CLOSED: Final = getattr(select, "POLLRDHUP", 0)  # where there is none, a FIN is a POLLHUP
_GONE: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL


class LeavingWatch:
    """Looks now and then at one connection, and aborts it when its other end has left. ``probe``: writes to it once, after its
    FIN."""

    __slots__ = ("_delay", "_loop", "_probe", "_timer", "_transport")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, probe: Callable[[], None]) -> None:
        self._loop = loop
        self._transport = transport
        self._probe: Callable[[], None] | None = probe
        self._delay = _FIRST_S
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        if self._timer is None and self._transport.get_extra_info("socket") is not None:
            self._timer = self._loop.call_later(0, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._transport.is_closing():
            return
        seen = self._poll()
        if seen & _HALF_CLOSED and self._probe is not None:
            probe, self._probe = self._probe, None
            self._delay = _FIRST_S
            probe()
            seen = self._poll()  # on one machine the reset is here already
        if seen & _GONE:
            self._transport.abort()
            return
        self._timer = self._loop.call_later(self._delay, self._look)
        self._delay = min(2 * self._delay, LONGEST_S)

    def _poll(self) -> int:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), _HALF_CLOSED)
        return next((events for _, events in poll.poll(0)), 0)
