"""How slowly a request may come over a connection, and how one that breaks a bound is refused. Knows no parser."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .exchange import Application
from .flow import FlowControl
from .refusals import MAX_HEAD, raw_response, refusal

if TYPE_CHECKING:
    from .cycle import RequestResponseCycle

#: Seconds from a head's first byte to its last.
HEAD_S: Final = 10.0

#: Seconds for the next piece of a body, while the application wants to read it.
BODY_IDLE_S: Final = 60.0

#: Seconds for all of a body, and one more for so many bytes of it.
BODY_S: Final = 30.0
BODY_RATE: Final = 16 * 1024

#: Seconds that a refused sender is listened to, without heed: closing at once would take the answer away from under its eyes.
LINGER_S: Final = 1.0

#: Bytes of a refused request's body that are read and forgotten before the connection is closed.
MAX_UNWANTED: Final = 64 * 1024 * 1024


class RequestBounds(FlowControl):
    """A connection whose requests have to come in time."""

    __slots__ = ("_app", "_bytes", "_current", "_in_body", "_lingering", "_newest", "_timer")

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._app = app
        self._newest: RequestResponseCycle | None = None  # of the request that is arriving, or was the last to arrive
        self._current: RequestResponseCycle | None = None  # that is being answered, or was the last to be
        self._timer: asyncio.TimerHandle | None = None
        self._in_body = False
        self._bytes = 0  # of the head that is not whole yet, or of a body that is not wanted
        self._lingering = False

    def _await_head(self) -> None:
        """Part of a head is here, or bytes between two requests, which count as one."""
        if self._bytes > MAX_HEAD:
            self._refuse(431)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_S, self._on_late_head)

    def _await_body(self) -> None:
        self._heard = self.loop.time()
        if self._newest is not None and self._newest.is_complete and self._bytes > MAX_UNWANTED:
            self.transport.close()
        elif self._timer is None:
            self._timer = self.loop.call_later(min(BODY_IDLE_S, BODY_S), self._on_late_body)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_late_head(self) -> None:
        self._timer = None
        if self._newest is None or self._newest.is_complete:
            self._refuse(408)
        else:
            # The head of a next request, while this one's answer is under way: that answer is finished first.
            self._newest.keeps = False

    def _on_late_body(self) -> None:
        self._timer = None
        if not self._in_body:
            return
        late = min(self._heard + BODY_IDLE_S, self._body_from + BODY_S + self._bytes / BODY_RATE)
        wait = late - self.loop.time()
        if self._is_paused:
            wait = BODY_IDLE_S  # it is we who do not read
        if wait > 0:
            self._timer = self.loop.call_later(wait, self._on_late_body)
        elif self._newest is None or self._newest.is_complete:
            self.transport.close()
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer in OpenAI's shape what never becomes a request, and close."""
        self._stop_timer()
        error = refusal(status)
        current = self._current
        if current is None or current.is_complete:
            self.transport.write(raw_response(self._app, error))
            self._linger()
        else:
            if not current.is_written:  # in the midst of an answer is no place for this one
                self.transport.write(raw_response(self._app, error))
            self.transport.close()

    def _linger(self) -> None:
        """Close, once a sender that still sends has had the time to read the refusal."""
        self._stop_timer()
        if self.transport.can_write_eof():
            self._lingering = True
            self.resume_reading()
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()
