"""One attempt at one upstream, its batches and its outcome; and the state of a request on its route, which makes its
attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar, Final, Self

import msgspec

from ..answer import Answer
from ..awaitables import DONE
from ..batches import BatchStream, SentRequest, Sink, cannot_pipe
from ..errors import HTTPError, IncompleteStreamError, ProviderError
from ..events import Batch, Extra, FinishReason, ForeignEvent, Started
from ..report import Attempt, Report
from ..request import NO_SEED, CallOptions, ChatRequest
from ..retry import backoff
from ..settings import RescueConfig, RetryConfig
from .replay_filter import DivergedError, ReplayFilter
from .retry_policy import RetryDecision, describe, is_healthy
from .upstream import AttemptObserver, Observer, Upstream

#: What a caller of another wire does not see.
_UNSEEN: Final = frozenset({ForeignEvent, Extra})


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
        "_has_room",
        "_observer",
        "_opened",
        "_options",
        "_replay",
        "_report",
        "_request",
        "_settled",
        "_started",
        "_trial",
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
        self._trial = not upstream.breaker.is_closed  # only a trial was admitted
        self._has_room = self._trial  # a trial's, until it has begun to be answered
        self._began = upstream.time()
        self._had = answer.deltas  # of several choices, only the first attempt delivers
        self._generated = 0  # deltas of this attempt that were dropped as a replay, or are about to be delivered
        self._batches: BatchStream | None = None
        self._started: Started | None = None
        self._foreign: Batch = []  # what came before anything was said
        self._opened = False
        self._settled = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        try:
            batches = self.asked()
            while not (batch := self.take(await batches.__anext__())):
                pass
        except BaseException as error:
            if (ended := await self.ended_by(error)) is error:
                raise
            raise ended from None
        return batch

    def asked(self) -> BatchStream:
        """Return the upstream's answer, which is asked for with its first batch."""
        if self._batches is None:
            provider = self._upstream.provider
            if self._continued is None:
                self._batches = provider.stream(self._request, self._options)
            else:
                self._batches = provider.stream_continuation(self._request, self._continued, self._options)
        return self._batches

    def adopt(self, sent: SentRequest, began: float) -> None:
        """Read what was *sent* when the attempt began; its upstream's breaker was closed then."""
        self._batches = sent.batches(self._answer)
        self._began = began
        self._trial = self._has_room = False

    async def ended_by(self, error: BaseException) -> BaseException:
        """Note that the attempt has ended by *error*, and return what is to be raised."""
        if isinstance(error, DivergedError):
            await self._end("diverged", 200, self._note_health)
        elif isinstance(error, ProviderError):
            await self._fail(error)
        elif not isinstance(error, StopAsyncIteration):
            await self.aclose()
        elif not self._settled:
            error = IncompleteStreamError()
            await self._fail(error)
        return error

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

    def take(self, batch: Batch) -> Batch:
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
        if not self._opened and _UNSEEN.issuperset(map(type, batch)):
            self._foreign += batch  # no answer that every caller would see: another upstream may still be asked
            return []
        if not batch:
            return batch
        if type(finish := batch[-1]) is FinishReason:
            self._settle("ok", 200, self._succeed)
            if self._report.spent:
                batch = [*batch[:-1], _with_spent(finish, self._report.spent)]
        return batch if self._opened else self._open(batch)

    def _open(self, batch: Batch) -> Batch:
        """Note that this attempt delivers. The first batch of an answer names the upstream; a rescue's does not name
        another."""
        self._opened = True
        if self._has_room:
            self._has_room = False
            self._upstream.breaker.heard()
        report = self._report
        report.upstream = self._upstream.name
        if self._replay is not None:
            report.repeated = report.spent + self._generated - self._had - len(batch)
            return self._with_members(batch)
        report.begun = len(report.attempts) - self._settled
        started = Started() if self._started is None else self._started
        return [Started(started.model, self._upstream.name, started.extra), *self._foreign, *batch]

    def _with_members(self, batch: Batch) -> Batch:
        """Return the first *batch* after a splice, with the members that each chunk repeats where these are others now."""
        before = self._answer.started or Started()
        extra = None if self._started is None else self._started.extra
        if (extra or None) == (before.extra or None):
            return batch
        return [Started(before.model, before.upstream, extra, spliced=True), *batch]

    async def _fail(self, error: ProviderError) -> None:
        halfway = self._generated > 0 or self._answer.pieces > self._had
        since = self._began if halfway else None
        failure = partial(self._upstream.breaker.failure, halfway_since=since, trial=self._trial)
        tell_breaker = {True: self._note_health, False: failure, None: None}[is_healthy(error)]
        await self._end(*describe(error), tell_breaker)

    def _note_health(self) -> None:
        self._upstream.breaker.success(trial=self._trial)

    def _succeed(self) -> None:
        self._upstream.breaker.success(trial=self._trial)
        self._upstream.budget.success()

    def aclose(self) -> Awaitable[None]:
        """Stop the attempt, unless it has ended."""
        if not self._settled:
            return self._end("left", None, None)
        return DONE if self._batches is None else self._batches.aclose()

    async def _end(self, outcome: str, status: int | None, tell_breaker: Callable[[], None] | None) -> None:
        pieces = self._answer.pieces
        generated = self._generated if self._replay is not None else pieces - self._had
        self._report.spent += generated
        self._generated, self._had = 0, pieces
        try:
            if self._batches is not None:
                await self._batches.aclose()
        finally:
            self._settle(outcome, status, tell_breaker, generated)

    def _settle(self, outcome: str, status: int | None, tell_breaker: Callable[[], None] | None, generated: int = 0) -> None:
        if self._settled:
            return
        self._settled = True
        self._report.steps += self._answer.deltas > 0
        milliseconds = int((self._upstream.time() - self._began) * 1000)
        self._report.attempts.append(Attempt(self._upstream.name, outcome, status, milliseconds, generated))
        self._upstream.breaker.release(trial=self._has_room)
        if tell_breaker is not None:
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
_PATIENCE_S: Final = 2.0

#: Seconds that a request may wait for a breaker or a budget, where no other upstream can be asked.
LONGEST_WAIT_S: Final = 15.0

#: Seconds between two attempts at an answer that can be had again exactly, at the least.
_EXACT_PAUSE: Final = 0.1

#: Seconds between two looks at a breaker or a budget that others change.
_POLL_PAUSE: Final = 0.1


class GatewaySettings(msgspec.Struct, frozen=True):
    """What all requests of a gateway share. ``total``: seconds that one may take with all its attempts."""

    retry: RetryConfig
    rescue: RescueConfig
    total: float
    observer: Observer | None


class RouteState:
    """One request on its route.

    ``answer``: what was delivered, filled by the reader of the stream. ``author``: the upstream that generated all of it, so
    that it can generate it again if it is deterministic. ``seeded``: the request with a seed, for deterministic upstreams.
    ``unseen``: the caller gets nothing before the end, so that an answer that breaks may begin again.
    ``deadline``: the loop's time by which the answer must be complete, from `start` on.
    """

    __slots__ = (
        "_options",
        "answer",
        "author",
        "deadline",
        "loop",
        "report",
        "request",
        "route",
        "seeded",
        "settings",
        "unseen",
    )

    #: What makes its attempts.
    attempt_type: ClassVar[type[AttemptStream]] = AttemptStream

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
        if request.fields.get("seed") in NO_SEED:
            for upstream in route:
                if upstream.provider.capabilities.deterministic and upstream.provider.repeats(request):
                    self.seeded = request.with_fields(seed=random.getrandbits(31) if report.seed is None else report.seed)
                    break
        report.seed = self.seeded.fields.get("seed")
        self.route = route
        self.answer = answer
        self.report = report
        self.settings = settings
        self.author: Upstream | None = None
        self.unseen = options.whole
        self.loop: asyncio.AbstractEventLoop
        self.deadline = 0.0
        self._options = options

    def start(self) -> None:
        """Let the total timeout run, in the running event loop."""
        self.loop = loop = asyncio.get_running_loop()
        self.deadline = loop.time() + self.settings.total
        if self._options.deadline is not None:
            self.deadline = min(self.deadline, self._options.deadline)

    def attempt(
        self, upstream: Upstream, request: ChatRequest, *, continued: str | None = None, replay: ReplayFilter | None = None
    ) -> AttemptStream:
        """Return an attempt at *upstream* within the time that is left."""
        observer = None if self.settings.observer is None else self.settings.observer.attempt(upstream, self.request)
        last = self.is_last(upstream)
        context = self.request.context
        options = CallOptions(
            deadline=self.deadline,
            headers=context if observer is None else {**(context or {}), **observer.headers},
            proxy=self._options.proxy,
            retries=0,  # what is tried again is the gateway's to say: both together would multiply
            last=last,
            others=not last,
            answer=self.answer if replay is None else None,
        )
        return self.attempt_type(
            upstream, request, options, self.answer, self.report, continued=continued, replay=replay, observer=observer
        )

    def is_last(self, upstream: Upstream) -> bool:
        """Return whether no other upstream is left that could be asked after *upstream*: those that rest do not count."""
        route = self.route
        if upstream is route[-1]:
            return True
        return all(not other.breaker.is_closed for other in route[route.index(upstream) + 1 :])

    def tries(self, upstream: Upstream) -> int:
        """Return how often a request may try *upstream*. Where no other can be asked, it is twice as often: where three of ten
        requests fail, one in forty fails three times in a row, and one in a thousand six times."""
        attempts = self.settings.retry.attempts
        return 2 * attempts if attempts > 1 and self.is_last(upstream) else attempts

    async def admitted(self, upstream: Upstream, patience: float) -> bool:
        """Return whether the upstream's breaker admits an attempt now, or within *patience* seconds."""
        until = min(self.loop.time() + patience, self.deadline)
        while not upstream.breaker.admit(last=(last := self.is_last(upstream))):
            pause = _POLL_PAUSE if last else max(upstream.breaker.wait(), _POLL_PAUSE)
            if self.loop.time() + pause > until:
                return False
            await asyncio.sleep(pause)
        return True

    async def again(
        self, upstream: Upstream, error: ProviderError, decision: RetryDecision, tries: int, *, exact: bool = False
    ) -> bool:
        """Wait until *upstream* may be asked again. Returns False where it is not to be: the next upstream is better, or no
        time is left, or the budget for retries is spent. Where no other can be asked, the budget may fill meanwhile.

        *exact*: for an answer that can be had again exactly, which is worth every try: it ends when the time is over, or the
        upstream gives up.
        """
        delay = self._delay(upstream, error, decision, tries, exact=exact)
        if delay is None or self.loop.time() + delay >= self.deadline:
            return False
        if exact:
            await asyncio.sleep(delay)
            return True
        return await self.afford(upstream, delay)

    async def afford(self, upstream: Upstream, delay: float = 0.0) -> bool:
        """Spend one retry of the upstream's budget, and wait *delay* seconds. Returns False where none is left. Where no other
        upstream can be asked, and this one answers others, the budget may fill for a while."""
        if upstream.budget.spend():
            await asyncio.sleep(delay)
            return True
        until = min(self.loop.time() + LONGEST_WAIT_S, self.deadline)
        while self.is_last(upstream) and upstream.breaker.is_hopeful() and self.loop.time() + delay < until:
            await asyncio.sleep(max(delay, _POLL_PAUSE))
            delay = 0.0
            if upstream.budget.spend():
                return True
        return False

    def _delay(
        self, upstream: Upstream, error: ProviderError, decision: RetryDecision, tries: int, *, exact: bool
    ) -> float | None:
        """Return the seconds before *upstream* is asked again, or None where the next upstream is better."""
        last = self.is_last(upstream)
        asked = error.retry_after if isinstance(error, HTTPError) else None
        again = (
            decision is RetryDecision.AGAIN or (decision is RetryDecision.UNREACHED and last) or (exact and asked is not None)
        )
        if not again or (not exact and tries >= self.tries(upstream)):
            return None
        if asked is not None and asked > _PATIENCE_S and not last:
            return None
        doubled = tries if exact else min(tries, self.settings.retry.attempts)
        return max(backoff(doubled, base=self.settings.retry.backoff, retry_after=asked), _EXACT_PAUSE if exact else 0)
