"""The attempts of a model with a policy: they are measured, and a second upstream is asked where the first is slow.

The upstream that begins to answer first answers; the other one is left at once, before it is heard again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..errors import ProviderError
from ..events import Batch
from ..report import HEDGED
from .attempt import AttemptStream
from .load import UpstreamLoad
from .retry_policy import RetryDecision, classify, retry_after_of, would_fail_again
from .upstream import Upstream


class MeasuredAttempt(AttemptStream):
    """An attempt of which its model's policy learns: when it began to answer, and how it ended."""

    __slots__ = ("_load",)

    _load: UpstreamLoad

    @property
    def upstream(self) -> Upstream:
        """Return where it is made."""
        return self._upstream

    def watched_by(self, load: UpstreamLoad) -> None:
        """Let *load* learn of it from now on; called once, before it is asked."""
        self._load = load
        load.begin(id(self))

    def lose(self, winner: MeasuredAttempt) -> None:
        """End it, unless it has ended: *winner* has begun to answer. It is still to be closed."""
        if self._settled:
            return
        self._load.measure_at_least(self._upstream.time() - self._began)
        self._settle(HEDGED, None, None)
        if not winner._settled and self._report.begun is not None:
            self._report.begun += 1  # its own place in the report is behind this one's

    def _open(self, batch: Batch) -> Batch:
        if self._replay is None and self._continued is None:
            self._load.measure(self._upstream.time() - self._began)
        self._load.end(id(self))
        return super()._open(batch)

    async def _fail(self, error: ProviderError) -> None:
        if not self._settled and not self._opened and would_fail_again(error):
            self._load.refused(retry_after_of(error))
        await super()._fail(error)

    def _settle(self, outcome: str, status: int | None, tell_breaker: Callable[[], None] | None, generated: int = 0) -> None:
        self._load.end(id(self))
        if outcome == "ok" and not self._settled:
            self._load.answered(self._began)
        super()._settle(outcome, status, tell_breaker, generated)


class HedgeRace:
    """The first batch of *first*, or of the attempt that *make_second* makes after so many *seconds* without one: whichever
    comes first. For `RouteRunner` it is one attempt.

    ``winner``: the attempt that has begun to answer, which brings the rest.
    """

    def __init__(self, first: MeasuredAttempt, seconds: float, make_second: Callable[[], MeasuredAttempt | None]) -> None:
        self.first = first
        self.winner: MeasuredAttempt | None = None
        self._seconds = seconds
        self._make_second = make_second
        self._batch: Batch = []
        self._tasks: dict[MeasuredAttempt, asyncio.Task[None]] = {}
        self._note: Callable[[MeasuredAttempt, str], None] = lambda second, outcome: None

    def watched_by(self, note: Callable[[MeasuredAttempt, str], None]) -> None:
        """Let *note* learn what becomes of a second attempt: it won, lost or failed."""
        self._note = note

    # ---- the face of an attempt

    def asked(self) -> HedgeRace:
        """See `AttemptStream.asked`."""
        return self

    def take(self, batch: Batch) -> Batch:
        """See `AttemptStream.take`: the attempt itself has done so."""
        return batch

    async def ended_by(self, error: BaseException) -> BaseException:
        """See `AttemptStream.ended_by`."""
        return await self.first.ended_by(error)

    async def __anext__(self) -> Batch:
        try:
            self._start(self.first)
            done, _ = await asyncio.wait(self._tasks.values(), timeout=self._seconds)
            if not done and (second := self._make_second()) is not None:
                self._start(second)
            while self.winner is None:
                running = [task for task in self._tasks.values() if not task.done()]
                self._check(running)
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            for task in self._tasks.values():
                task.cancel()
            await self._all_ended()
            raise
        return self._batch

    def _check(self, running: Sequence[asyncio.Task[None]]) -> None:
        """Raise what has ended the first attempt, where that is the answer, or where no other is left."""
        ended = self._tasks[self.first]
        if not ended.done():
            return
        error = ended.exception()
        assert error is not None
        if not running or (isinstance(error, ProviderError) and classify(error) is RetryDecision.ANSWER):
            raise error

    # ---- its attempts

    def _start(self, attempt: MeasuredAttempt) -> None:
        self._tasks[attempt] = asyncio.create_task(self._ask(attempt))

    async def _ask(self, attempt: MeasuredAttempt) -> None:
        try:
            batches = attempt.asked()
            while self.winner is None:
                batch = await batches.__anext__()
                if self.winner is None and (batch := attempt.take(batch)):
                    self._win(attempt, batch)
                    return
            raise asyncio.CancelledError  # it lost in this very moment
        except BaseException as error:
            ended = await attempt.ended_by(error)
            if attempt is not self.first and self.winner is None and isinstance(ended, ProviderError):
                self._note(attempt, "failed")
            if ended is error:
                raise
            raise ended from None

    def _win(self, winner: MeasuredAttempt, batch: Batch) -> None:
        """Let *winner* answer, and leave the other one now: its connection is closed before it can bring anything more."""
        self.winner, self._batch = winner, batch
        for attempt, task in self._tasks.items():
            if attempt is not winner and not task.done():
                attempt.lose(winner)
                task.cancel()
            if attempt is not self.first and (attempt is winner or not task.done()):
                self._note(attempt, "won" if attempt is winner else "lost")

    async def aclose(self) -> None:
        """Wait until the loser is closed. A race that is still run ends with its reader."""
        if self.winner is not None:
            await self._all_ended()

    async def _all_ended(self) -> None:
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
