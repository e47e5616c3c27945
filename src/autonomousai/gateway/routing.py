"""One request on its route: the upstreams are asked in order, again where that can help, until one answers.

An answer that breaks after it has begun is finished by `rescue`, which begins from the state here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Self, cast

import msgspec

from ..answer import Answer
from ..awaitables import DONE
from ..batches import BatchStream, JoinedBatches, SentRequest, Sink, cannot_pipe
from ..errors import HTTPError, IncompleteStreamError, ProviderError
from ..events import Batch, Started
from ..report import HEDGED, Attempt, Report
from ..request import CallOptions, ChatRequest
from .attempt import LONGEST_WAIT_S, AttemptStream, GatewaySettings, RouteState
from .hedges import may_be_asked_twice
from .hedging import HedgeRace, MeasuredAttempt
from .policies import RoutePolicy
from .replay_filter import ReplayFilter
from .rescue import rescued
from .retry_policy import RetryDecision, as_answer, classify, is_rescuable, unanswered
from .upstream import Upstream


class RouteRunner(RouteState):
    """The batches of one answer, from the first upstream of the route that answers; a `BatchStream`."""

    __slots__ = ("_adopted", "_attempt", "_closed", "_errors", "_had", "_left", "_longer_than", "_rest")

    def __init__(
        self,
        request: ChatRequest,
        route: Sequence[Upstream],
        answer: Answer,
        report: Report,
        options: CallOptions,
        settings: GatewaySettings,
    ) -> None:
        super().__init__(request, route, answer, report, options, settings)
        self._errors: list[ProviderError] = []
        self._left = self.route  # which of it may be asked, and how often each was
        self._had: Mapping[str, int] = {}
        self._longer_than = 0
        self._adopted: AttemptStream | None = None  # the first attempt, where it was begun before
        self._attempt: AttemptStream | None = None
        self._rest: AsyncGenerator[Batch] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Batch]:
        # An answer that does not break passes no async generator: the event loop keeps a list of those.
        if self._rest is not None:
            return self._next(self._rest) if self.unseen else self._rest.__anext__()
        if self._attempt is not None:
            return self._next(self._attempt)
        return self._begin()

    def adopt(self, sent: SentRequest, began: float, deadline: float) -> None:
        """Begin with the request that was *sent* to the route's first upstream, which has admitted it."""
        self.start()
        self.deadline = deadline
        self._adopted = attempt = self.attempt(self.route[0], self.request)
        attempt.adopt(sent, began)

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`; a rescue is not piped."""
        if self._rest is not None or self._attempt is None:
            return cannot_pipe()
        return self._attempt.pipe_to(sink)

    def aclose(self) -> Awaitable[None]:
        """Stop the answer, if it has not ended."""
        self._closed = True
        if self._rest is not None:
            return self._close(self._rest)
        attempt = self._attempt or self._adopted
        return DONE if attempt is None else attempt.aclose()

    async def _close(self, rest: AsyncGenerator[Batch]) -> None:
        if not rest.ag_running:  # type: ignore[attr-defined]  # else its reader closes it
            await rest.aclose()
        if self._attempt is not None:
            await self._attempt.aclose()

    async def _begin(self) -> Batch:
        """Return the first batch of the first upstream that answers. Raises where none does."""
        adopted, self._adopted = self._adopted, None
        if adopted is None and not self._had:
            self.start()
        if self.report.begun == -1:  # another server delivered the beginning
            return await self._rescue(IncompleteStreamError())
        for upstream in self._left:
            tries = self._had.get(upstream.name, 0)
            patience = LONGEST_WAIT_S if upstream is self.route[-1] else 0.0
            while self._fits(upstream) and (
                adopted is not None
                or upstream.breaker.admit(last=self.is_last(upstream))
                or await self.admitted(upstream, patience)
            ):
                tries += 1
                seeded = upstream.provider.capabilities.deterministic
                attempt = adopted or self.attempt(upstream, self.seeded if seeded else self.request)
                adopted = None
                try:
                    batches = attempt.asked()
                    while not (batch := attempt.take(await batches.__anext__())):
                        pass
                except BaseException as ended:
                    error = await attempt.ended_by(ended)
                    if not isinstance(error, ProviderError):
                        raise
                    decision = classify(error)
                    if decision is RetryDecision.ANSWER:
                        raise as_answer(error)  # noqa: B904  itself, or with the cause
                    self._errors.append(error)
                    if decision is RetryDecision.TOO_LONG:
                        self._longer_than = max(self._longer_than, upstream.context or 0)
                    if not await self.again(upstream, error, decision, tries):
                        break
                else:
                    self.author = upstream
                    self._attempt = attempt
                    return batch
        wait = min((upstream.breaker.wait(last=self.is_last(upstream)) for upstream in self.route), default=0.0)
        raise unanswered(self.request.model, self._errors, self.report.attempts, wait)

    async def _next(self, batches: AttemptStream | AsyncGenerator[Batch]) -> Batch:
        """Return the next batch of the upstream that answers, or of a rescue; where the answer breaks, of its rescue."""
        try:
            return await batches.__anext__()
        except ProviderError as error:
            if self._closed:
                raise
            cause = error
        if self._rest is None and is_rescuable(cause, self.request, self.answer):
            if not self.unseen:
                return await self._rescue(cause)
            try:
                return await self._rescue(cause)
            except ProviderError as error:
                cause = error
        return await self._another(cause)

    def _rescue(self, cause: ProviderError) -> Awaitable[Batch]:
        self._rest = rescued(self, cause)
        return self._rest.__anext__()

    async def _another(self, cause: ProviderError) -> Batch:
        """Return the first batch of another answer, in place of one that broke because of *cause* and that its caller has seen
        nothing of. Raises *cause* where there may be none."""
        if not self.unseen or self._closed or classify(cause) is RetryDecision.ANSWER:
            raise cause
        if isinstance(cause, HTTPError):
            if cause.after_end:
                raise cause
            cause.partial = cause.partial or self.answer.text
        self._attempt = self._rest = None
        self.answer.clear()
        report = self.report
        report.splices.clear()
        report.ways.clear()
        report.spent = report.repeated = 0  # what was generated for nothing is none of its own
        self._errors.append(cause)
        tried = Counter(attempt.upstream for attempt in report.attempts)
        self._left = [each for each in self.route if await self._may_begin_again(each, cause, tried[each.name])]
        self._had = tried
        return await self._begin()

    async def _may_begin_again(self, upstream: Upstream, cause: ProviderError, tries: int) -> bool:
        """Wait until *upstream*, which had so many *tries*, may be asked for another answer. Returns False where it is not to
        be."""
        if not tries:
            return True
        if upstream.name == self.report.upstream:
            decision = classify(cause)
            if decision is RetryDecision.SILENT:  # it had begun to answer, and may do better once
                return tries == 1 and self.is_last(upstream) and await self.afford(upstream)
            return await self.again(upstream, cause, decision, tries)
        last = next(attempt for attempt in reversed(self.report.attempts) if attempt.upstream == upstream.name)
        return last.outcome in ("diverged", HEDGED) and tries < self.tries(upstream)  # it is well

    def _fits(self, upstream: Upstream) -> bool:
        """Return whether time is left, and a prompt that was too long elsewhere may fit: where the context is larger, or not
        known."""
        if self._errors and self.loop.time() >= self.deadline:
            return False
        return not self._longer_than or upstream.context is None or upstream.context > self._longer_than


class PolicyRunner(RouteRunner):
    """The batches of one answer, from a route with a policy: a `RouteRunner` whose attempts are measured, and whose first one
    may be hedged."""

    __slots__ = ("_policy", "_race")

    attempt_type = MeasuredAttempt

    def __init__(
        self,
        request: ChatRequest,
        route: Sequence[Upstream],
        answer: Answer,
        report: Report,
        options: CallOptions,
        settings: GatewaySettings,
        policy: RoutePolicy,
    ) -> None:
        super().__init__(request, policy.order(request, route), answer, report, options, settings)
        self._policy = policy
        self._race: HedgeRace | None = None

    def attempt(
        self, upstream: Upstream, request: ChatRequest, *, continued: str | None = None, replay: ReplayFilter | None = None
    ) -> AttemptStream:
        """See `RouteState.attempt`. The first attempt of a request may become a race."""
        policy = self._policy
        attempt = cast("MeasuredAttempt", super().attempt(upstream, request, continued=continued, replay=replay))
        attempt.watched_by(load := policy.loads[upstream.name])
        if not policy.config.hedge or self.report.attempts or self.report.begun is not None or self._race is not None:
            return attempt
        policy.hedges.earn()
        if (seconds := load.slow_after) is None or not may_be_asked_twice(request):
            return attempt
        self._race = HedgeRace(attempt, seconds, lambda: self._second(upstream))
        self._race.watched_by(lambda second, outcome: policy.note_hedge(upstream, second.upstream, outcome))
        return cast("AttemptStream", self._race)

    def _second(self, first: Upstream) -> MeasuredAttempt | None:
        """Return an attempt at another upstream, where one may be asked now."""
        policy = self._policy
        upstream = policy.second(first, self.route)
        if upstream is None or not policy.hedges.spend() or not upstream.breaker.admit():
            return None
        self.report.hedged = True
        request = self.seeded if upstream.provider.capabilities.deterministic else self.request
        return cast("MeasuredAttempt", self.attempt(upstream, request))

    async def _begin(self) -> Batch:
        batch = await super()._begin()
        race = self._race
        if race is not None and race.winner is not None and self._attempt is cast("AttemptStream", race):
            self._attempt = race.winner
            self.author = race.winner.upstream
        return batch

    def aclose(self) -> Awaitable[None]:
        """See `RouteRunner.aclose`."""
        return super().aclose() if self._race is None else self._close_both(self._race, super().aclose)

    @staticmethod
    async def _close_both(race: HedgeRace, close: Callable[[], Awaitable[None]]) -> None:
        try:
            await close()
        finally:
            await race.aclose()


# ---- a first attempt that is sent at once -----------------------------------------------------------------------------------

#: Events of a complete answer whose text came in one piece: `Started`, the text, `FinishReason`.
_IN_ONE: Final = 3


class RoutedRequest(msgspec.Struct, eq=False):
    """A `SentRequest` for *model* to the first upstream of *route*, whose breaker is closed and has admitted it: for the usual
    answer, which comes in one piece. Any other one is read by a `RouteRunner`, which begins with what was sent. ``began``: by
    the upstream's time; ``deadline``: by the loop's."""

    model: str
    request: ChatRequest
    route: Sequence[Upstream]
    settings: GatewaySettings
    sent: SentRequest
    began: float
    deadline: float

    def whole(self) -> tuple[Batch, Report] | None:
        """See `SentRequest.whole`."""
        if (read := self.sent.whole()) is None:
            return None
        batch = read[0]
        upstream = self.route[0]
        name = upstream.name
        ended = upstream.succeed()
        attempt = Attempt(name, "ok", 200, int((ended - self.began) * 1000))
        report = Report(name, [attempt], [], self.request.fields.get("seed"), 0, 0)
        if type(started := batch[0]) is not Started:
            return [Started(None, name), *batch], report
        batch[0] = Started(started.model, name, started.extra)
        if len(batch) > _IN_ONE and not self.request.stream:
            answer = Answer(report)
            answer.add(batch)
            report.joined = answer.deltas
            batch = answer.joined()
        return batch, report

    def batches(self, answer: Answer, *, whole: bool = False) -> BatchStream:
        """See `SentRequest.batches`."""
        if (report := answer.report) is None:
            report = answer.report = Report()
        request = self.request
        delivered = answer if request.stream else Answer(report)
        asked = ChatRequest(
            self.model, request.messages, True, request.include_usage, request.fields, request.origin, request.echo
        )
        runner = RouteRunner(asked, self.route, delivered, report, CallOptions(), self.settings)
        runner.adopt(self.sent, self.began, self.deadline)
        runner.unseen = whole or not request.stream
        return runner if request.stream else JoinedBatches(runner, delivered)


def launch(
    model: str,
    request: ChatRequest,
    route: Sequence[Upstream],
    settings: GatewaySettings,
    on_news: Callable[[], None],
    deadline: float,
) -> RoutedRequest | None:
    """Send *request* to the first upstream of *route*, as a `RouteRunner` does. None, and nothing is sent, where that needs
    waiting or is not as usual."""
    upstream = route[0]
    breaker = upstream.breaker
    if not breaker.is_closed or settings.observer is not None:
        return None
    for each in route:
        if each.provider.capabilities.deterministic:
            return None  # it may be asked with a seed
    others = len(route) > 1 and any(other.breaker.is_closed for other in route[1:])
    if (until := asyncio.get_running_loop().time() + settings.total) < deadline:
        deadline = until
    if (sent := upstream.provider.launch(request, on_news, deadline, others)) is None:
        return None
    breaker.enter()
    return RoutedRequest(model, request, route, settings, sent, upstream.time(), deadline)
