"""One try at one upstream: its batches, less what was delivered before, and how it ended told to all who must know."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Self, TypeAlias

from ..errors import IncompleteStreamError, ProviderError
from ..events import Attempt as AttemptNote
from ..events import Batch, FinishReason, Report, Started, Usage
from ..request import CallOptions
from ..result import BatchStream, Sink, cannot_pipe
from .observer import AttemptObserver
from .rescue import Delivered, DivergedError, ReplayFilter
from .retry_policy import describe, is_upstreams_fault
from .upstream import Upstream

#: Asks an upstream, with these options of the call.
Ask: TypeAlias = Callable[[Upstream, CallOptions], BatchStream]


class AttemptStream:
    """One try. `Started` is held back until there is something to deliver: until then another upstream may still answer.

    Iterate it, and close it. However it ends is noted in the report, and told to the upstream's breaker: once, and what is
    said first counts. It is no generator: every batch of every answer passes here.
    """

    __slots__ = (
        "_ask",
        "_batches",
        "_began",
        "_delivered",
        "_generated",
        "_observer",
        "_opened",
        "_options",
        "_probe",
        "_repetition",
        "_report",
        "_settled",
        "_started",
        "_upstream",
    )

    def __init__(
        self,
        upstream: Upstream,
        ask: Ask,
        options: CallOptions,
        report: Report,
        delivered: Delivered,
        repetition: ReplayFilter | None = None,
        observer: AttemptObserver | None = None,
    ) -> None:
        self._upstream = upstream
        self._ask = ask
        self._options = options
        self._report = report
        self._delivered = delivered
        self._repetition = repetition
        self._observer = observer
        self._probe = upstream.breaker.state == "probing"
        self._began = time.monotonic()
        self._batches: BatchStream | None = None
        self._started: Started | None = None
        self._opened = False
        self._generated = 0
        self._settled = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        try:
            if self._batches is None:
                self._batches = self._ask(self._upstream, self._options)
            while True:
                if batch := self._take(await self._batches.__anext__()):
                    return batch
        except DivergedError:
            await self._end("diverged", 200, self._upstream.breaker.success)
            raise
        except ProviderError as error:
            await self._fail(error)
            raise
        except StopAsyncIteration:
            if self._settled:
                raise
            stopped = IncompleteStreamError()
            await self._fail(stopped)
            raise stopped from None
        except BaseException:
            await self.aclose()
            raise

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `provider.pour`. What repeats something is looked at more closely."""
        if self._repetition is not None or self._batches is None or not self._opened:
            return cannot_pipe()
        deliver = self._delivered.append

        def take(batch: Batch) -> bool:
            if self._observer is not None or len(batch) > 1 or type(text := batch[0]) is not str:
                return sink(self._take(batch))
            self._generated += 1  # as usual, and in one call: what `_take` would do
            deliver(text)
            return sink(batch)

        return self._batches.pipe_to(take)

    def _take(self, batch: Batch) -> Batch:
        """What of *batch* is to be delivered."""
        if self._observer is not None:
            self._observer.heard(batch)
        if type(first := batch[0]) is Started:
            self._started = first
            batch = batch[1:]
        self._generated += len(batch)
        if self._repetition is not None:
            batch = self._repetition.feed(batch)
            self._report.steps += not batch
        if not batch:
            return batch
        if type(finish := batch[-1]) is FinishReason:
            self._settle("ok", 200, self._upstream.breaker.success)
            batch[-1] = _with_usage_of(finish, self._delivered.spent)
        self._delivered.add(batch)
        return batch if self._opened else self._open(batch)

    def _open(self, batch: Batch) -> Batch:
        """The first of what is delivered names who answers; where it goes on with an answer, somebody was named before."""
        self._opened = True
        self._report.upstream = self._upstream.name
        if self._repetition is not None:
            self._report.repeated = self._delivered.spent + self._generated - self._delivered.deltas
            return batch
        self._report.begun = len(self._report.attempts) - self._settled
        return [Started(None if self._started is None else self._started.model, self._upstream.name), *batch]

    async def _fail(self, error: ProviderError) -> None:
        breaker = self._upstream.breaker
        failure = partial(breaker.failure, halfway=self._generated > 0, probe=self._probe)
        await self._end(*describe(error), failure if is_upstreams_fault(error) else breaker.success)

    async def aclose(self) -> None:
        """Stop, if it has not ended."""
        if not self._settled:
            await self._end("left", None, partial(self._upstream.breaker.abandon, probe=self._probe))
        elif self._batches is not None:
            await self._batches.aclose()

    async def _end(self, outcome: str, status: int | None, tell: Callable[[], None]) -> None:
        self._delivered.spent += self._generated
        self._generated = 0
        try:
            if self._batches is not None:
                await self._batches.aclose()
        finally:
            self._settle(outcome, status, tell)

    def _settle(self, outcome: str, status: int | None, tell: Callable[[], None]) -> None:
        if not self._settled:
            self._settled = True
            self._report.steps += self._delivered.deltas > 0
            milliseconds = int((time.monotonic() - self._began) * 1000)
            self._report.attempts.append(AttemptNote(self._upstream.name, outcome, status, milliseconds))
            tell()
            if self._observer is not None:
                self._observer.ended(outcome, status)


def _with_usage_of(finish: FinishReason, spent: int) -> FinishReason:
    """The finish reason with the tokens of the tries before it added: what was generated was generated."""
    if not spent or finish.usage is None:
        return finish
    usage = finish.usage
    return FinishReason(
        finish.reason,
        finish.evidence,
        Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens + spent,
            total_tokens=usage.total_tokens + spent,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
        ),
        finish.model,
    )
