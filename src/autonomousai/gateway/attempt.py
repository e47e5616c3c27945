"""One attempt at one upstream, its batches and its outcome; and the state of a request on its route, which makes its
attempts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Self

import msgspec

from ..errors import HTTPError, IncompleteStreamError, ProviderError
from ..events import Answer, Attempt, Batch, FinishReason, ForeignEvent, Report, Started
from ..request import CallOptions, ChatRequest
from ..result import BatchStream, Sink, cannot_pipe
from ..retry import backoff
from ..settings import RescueConfig, RetryConfig
from .replay_filter import DivergedError, ReplayFilter
from .retry_policy import RetryDecision, describe, is_upstreams_fault
from .upstream import AttemptObserver, Observer, Upstream


class AttemptStream:
    """The batches of one attempt. Iterate it, and close it.

    `Started` is held back until there is something to deliver: until then another upstream may still answer. However the
    attempt ends, its outcome goes into *report* and to the upstream's breaker, once; the first outcome counts. ``continued``:
    the text that the upstream is to continue, None for a complete answer. ``replay``: what of the answer comes again and is
    dropped.
    """

    __slots__ = (
        "_answer",
        "_batches",
        "_began",
        "_continued",
        "_foreign",
        "_generated",
        "_had",
        "_observer",
        "_opened",
        "_options",
        "_probe",
        "_replay",
        "_report",
        "_request",
        "_settled",
        "_started",
        "_upstream",
    )

    def __init__(
        self,
        upstream: Upstream,
        request: ChatRequest,
        options: CallOptions,
        answer: Answer,
        report: Report,
        *,
        continued: str | None = None,
        replay: ReplayFilter | None = None,
        observer: AttemptObserver | None = None,
    ) -> None:
        self._upstream = upstream
        self._request = request
        self._options = options
        self._answer = answer
        self._report = report
        self._continued = continued
        self._replay = replay
        self._observer = observer
        self._probe = upstream.breaker.state == "probing"
        self._began = time.monotonic()
        self._had = answer.deltas
        self._generated = 0  # deltas of this attempt that were dropped as a replay, or are about to be delivered
        self._batches: BatchStream | None = None
        self._started: Started | None = None
        self._foreign: Batch = []  # events that came before anything was said
        self._opened = False
        self._settled = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        try:
            if self._batches is None:
                self._batches = self._ask()
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
        """See `BatchStream.pipe_to`. A replay needs a closer look at each batch, and cannot be piped."""
        if self._replay is not None or self._batches is None or not self._opened:
            return cannot_pipe()
        if (observer := self._observer) is None:
            return self._batches.pipe_to(sink)

        def observed(batch: Batch) -> bool:
            observer.heard(batch)
            return sink(batch)

        return self._batches.pipe_to(observed)

    def _ask(self) -> BatchStream:
        provider = self._upstream.provider
        if self._continued is None:
            return provider.stream(self._request, self._options)
        return provider.stream_continuation(self._request, self._continued, self._options)

    def _take(self, batch: Batch) -> Batch:
        """Return what of *batch* is to be delivered."""
        if self._observer is not None:
            self._observer.heard(batch)
        if type(first := batch[0]) is Started:
            self._started = first
            batch = batch[1:]
        if self._replay is not None:
            self._generated += len(batch)
            batch = self._replay.feed(batch)
            self._report.steps += not batch
        if not self._opened and all(isinstance(event, ForeignEvent) for event in batch):
            self._foreign += batch  # no answer yet: another upstream may still be asked
            return []
        if not batch:
            return batch
        if type(finish := batch[-1]) is FinishReason:
            self._settle("ok", 200, self._upstream.breaker.success)
            if self._report.spent:
                batch = [*batch[:-1], _with_spent(finish, self._report.spent)]
        return batch if self._opened else self._open(batch)

    def _open(self, batch: Batch) -> Batch:
        """Note that this attempt delivers. The first batch of an answer names the upstream; a rescue's does not name
        another."""
        self._opened = True
        report = self._report
        report.upstream = self._upstream.name
        if self._replay is not None:
            report.repeated = report.spent + self._generated - self._had - len(batch)
            return batch
        report.begun = len(report.attempts) - self._settled
        started = Started() if self._started is None else self._started
        return [Started(started.model, self._upstream.name, started.extra), *self._foreign, *batch]

    async def _fail(self, error: ProviderError) -> None:
        breaker = self._upstream.breaker
        halfway = self._generated > 0 or self._answer.deltas > self._had
        failure = partial(breaker.failure, halfway=halfway, probe=self._probe)
        await self._end(*describe(error), failure if is_upstreams_fault(error) else breaker.success)

    async def aclose(self) -> None:
        """Stop the attempt, unless it has ended."""
        if not self._settled:
            await self._end("left", None, partial(self._upstream.breaker.abandon, probe=self._probe))
        elif self._batches is not None:
            await self._batches.aclose()

    async def _end(self, outcome: str, status: int | None, tell_breaker: Callable[[], None]) -> None:
        generated = self._generated if self._replay is not None else self._answer.deltas - self._had
        self._report.spent += generated
        self._generated, self._had = 0, self._answer.deltas
        try:
            if self._batches is not None:
                await self._batches.aclose()
        finally:
            self._settle(outcome, status, tell_breaker)

    def _settle(self, outcome: str, status: int | None, tell_breaker: Callable[[], None]) -> None:
        if self._settled:
            return
        self._settled = True
        self._report.steps += self._answer.deltas > 0
        milliseconds = int((time.monotonic() - self._began) * 1000)
        self._report.attempts.append(Attempt(self._upstream.name, outcome, status, milliseconds))
        tell_breaker()
        if self._observer is not None:
            self._observer.ended(outcome, status)


def _with_spent(finish: FinishReason, spent: int) -> FinishReason:
    """Return *finish* with the tokens that earlier attempts generated added to its usage."""
    if (usage := finish.usage) is None:
        return finish
    counted = msgspec.structs.replace(
        usage, completion_tokens=usage.completion_tokens + spent, total_tokens=usage.total_tokens + spent
    )
    return msgspec.structs.replace(finish, usage=counted)


# ---- what all attempts of one request share -------------------------------------------------------------------------------

#: Seconds that an upstream may ask to wait while there is another one that could be asked now.
_PATIENCE = 2.0

#: Seconds between two attempts at an answer that can be had again exactly, at the least.
_EXACT_PAUSE = 0.1


class GatewaySettings(NamedTuple):
    """What all requests of a gateway share. ``total``: seconds that one may take with all its attempts."""

    retry: RetryConfig
    rescue: RescueConfig
    total: float
    observer: Observer | None


class RouteState:
    """One request on its route.

    ``answer``: what was delivered, filled by the reader of the stream. ``author``: the upstream that generated all of it, so
    that it can generate it again if it is deterministic. ``seeded``: the request with a seed, for deterministic upstreams.
    ``deadline``: the loop's time by which the answer must be complete, from `start` on.
    """

    __slots__ = ("_options", "answer", "author", "deadline", "loop", "report", "request", "route", "seeded", "settings")

    def __init__(
        self,
        request: ChatRequest,
        route: Sequence[Upstream],
        answer: Answer,
        report: Report,
        options: CallOptions,
        settings: GatewaySettings,
    ) -> None:
        self.request = self.seeded = request
        if request.fields.get("seed") is None:
            for upstream in route:
                if upstream.provider.capabilities.deterministic:
                    self.seeded = request.with_fields(seed=random.getrandbits(31) if report.seed is None else report.seed)
                    break
        report.seed = self.seeded.fields.get("seed")
        self.route = route
        self.answer = answer
        self.report = report
        self.settings = settings
        self.author: Upstream | None = None
        self.loop: asyncio.AbstractEventLoop
        self.deadline = 0.0
        self._options = options

    def start(self) -> None:
        """Let the total clock run, in the running event loop."""
        self.loop = loop = asyncio.get_running_loop()
        self.deadline = loop.time() + self.settings.total
        if self._options.deadline is not None:
            self.deadline = min(self.deadline, self._options.deadline)

    def attempt(
        self, upstream: Upstream, request: ChatRequest, *, continued: str | None = None, replay: ReplayFilter | None = None
    ) -> AttemptStream:
        """Return an attempt at *upstream* within the time that is left."""
        observer = None if self.settings.observer is None else self.settings.observer.attempt(upstream, self.request)
        options = CallOptions(
            deadline=self.deadline,
            headers=None if observer is None else observer.headers,
            proxy=self._options.proxy,
            answer=self.answer if replay is None else None,
        )
        return AttemptStream(
            upstream, request, options, self.answer, self.report, continued=continued, replay=replay, observer=observer
        )

    def delay(
        self, upstream: Upstream, error: ProviderError, decision: RetryDecision, tries: int, *, exact: bool = False
    ) -> float | None:
        """Return the seconds before *upstream* is asked again, or None where the next upstream is better.

        *exact*: for an answer that can be had again exactly, which is worth every try: it ends when the time is over, or the
        upstream gives up.
        """
        last = upstream is self.route[-1]
        asked = error.retry_after if isinstance(error, HTTPError) else None
        again = decision is RetryDecision.AGAIN or (decision is RetryDecision.SILENT and last) or (exact and asked is not None)
        if not again:
            return None
        # The budget keeps an outage from being multiplied.
        if not exact and (tries >= self.settings.retry.attempts or not upstream.budget.spend()):
            return None
        if asked is not None and asked > _PATIENCE and not last:
            return None
        return max(backoff(tries, base=self.settings.retry.backoff, retry_after=asked), _EXACT_PAUSE if exact else 0)

    async def wait(self, delay: float | None) -> float | None:
        """Wait *delay* seconds; return None at once where it is None, or no time is left to wait."""
        if delay is None or self.loop.time() + delay >= self.deadline:
            return None
        await asyncio.sleep(delay)
        return delay
