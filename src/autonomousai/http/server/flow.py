"""The flow control of one connection: neither end is sent more than it reads. Knows no requests."""

from __future__ import annotations

import asyncio
from typing import Final

#: Seconds in which a caller must read so much of an answer that more can be sent.
WRITE_S: Final = 300.0


class FlowControl(asyncio.Protocol):
    """A connection that can be paused in both directions. ``clear``: there while the other end does not read; done when it does
    again."""

    __slots__ = ("_body_from", "_heard", "_is_paused", "_paused_at", "_reading_timer", "clear", "loop", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport
        self.clear: asyncio.Future[None] | None = None
        self._reading_timer: asyncio.TimerHandle | None = None  # while the other end does not read
        self._is_paused = False
        self._paused_at = 0.0
        self._heard = 0.0
        self._body_from = 0.0  # when the body began to come; later by the time in which it was not read

    def pause_reading(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._paused_at = self.loop.time()
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._heard = self.loop.time()  # until now this end did not read: the other one was not silent
            self._body_from += self._heard - self._paused_at
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self.clear is None:
            self.clear = self.loop.create_future()
            self._reading_timer = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        clear, self.clear = self.clear, None
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None
        if clear is not None and not clear.done():
            clear.set_result(None)
