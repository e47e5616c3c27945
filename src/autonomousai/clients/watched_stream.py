"""What a streamed answer is besides its events: pings and progress, silence, and the loss of its connection.

`remote` reads the events. Here nothing is read of an answer that comes as usual.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..answer import Answer
from ..errors import IncompleteStreamError
from ..errors import TimeoutError as ClockError
from ..http.headers import is_framed
from ..http.transport import Response
from ..wires.base import StreamDecoder

if TYPE_CHECKING:
    from .prepared_request import PreparedRequest
    from .reconnecting import ResumableStream

#: Seconds to wait for usage or [DONE] after a finish reason: many servers send neither.
GRACE_S: Final = 1.0


class WatchedStream:
    """The state is that of its subclass, which sets it."""

    __slots__ = (
        "_answer", "_decoder", "_has_spoken", "_is_framed", "_pinged", "_progress", "_request", "_response", "_resumable",
    )  # fmt: skip

    _answer: Answer
    _decoder: StreamDecoder  # of this try, once something has come that is not a whole short answer
    _has_spoken: bool
    _is_framed: bool  # the body has come completely, and says so itself
    _pinged: tuple[int, int, float]  # pings, pieces of the answer that had come, and when the first ping after them came
    _progress: int
    _request: PreparedRequest
    _response: Response | None
    _resumable: ResumableStream | None

    async def _more(self) -> bytes:
        """Return what comes next, ``b""`` where the body has ended and the answer with it, or is to be judged by the
        decoder."""
        raise NotImplementedError

    async def _more_after(self, error: IncompleteStreamError | ClockError | None) -> bytes:
        """Return what comes next after the body has ended, or broke with *error*; see `_more`."""
        decoder, resumable = self._decoder, self._resumable
        if error is None:
            if decoder.is_proven or not await self._is_resumed():
                self._is_framed = self._response is not None and is_framed(self._response.headers)
                return b""
        elif decoder.is_proven:
            return b""  # the finish reason had come
        elif resumable is None or not resumable.is_lost(error) or not await self._is_resumed():
            raise error
        return await self._more()

    async def _is_resumed(self) -> bool:
        """Return whether the lost connection is replaced by another one, over which the stream continues."""
        if self._resumable is None or self._response is None:
            return False
        await self._response.aclose()
        response = await self._resumable.resume(self._decoder.last_event_id)
        if response is None:
            return False
        self._response = response
        self._decoder.reopen()
        self._progress = 0  # the server that brings the rest counts from anew
        return True

    def _note_ping(self) -> None:
        """The server says that it is at work, and no more. Some are so for minutes between two events (Anthropic, while a long
        argument of a call is written), some for ever: so it restarts the idle timeout up to a bound."""
        if self._response is None:
            return
        if not self._has_spoken:
            self._response.alive()
            return
        now = asyncio.get_running_loop().time()
        _, said, since = self._pinged
        if (pieces := self._answer.pieces) != said:
            said, since = pieces, now
        self._pinged = self._decoder.pings, said, since
        if now - since < self._request.clocks.first_token_alive:
            self._response.progress()

    def _on_silent(self) -> None:
        """Something came that brought no event: the end is near, or a server of this package repairs an answer that broke."""
        assert self._response is not None
        if self._decoder.ending:
            self._response.wait_no_longer_than(GRACE_S)
        elif self._has_spoken and self._decoder.progress > self._progress:
            self._progress = self._decoder.progress
            self._response.progress()
        elif self._decoder.pings > self._pinged[0]:
            self._note_ping()
        else:
            self._response.alive()
