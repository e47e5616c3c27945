"""One request's way along its route: who is asked, again or next, and how an answer that breaks half-way is finished."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Self

from ..answer import Answer
from ..config import RescueConfig, RetryConfig
from ..errors import HTTPError, IncompleteStreamError, ProviderError
from ..events import Batch, Report, Splice
from ..request import CallOptions, ChatRequest
from ..result import BatchStream, Sink, cannot_pipe
from ..retry import backoff
from .attempt import Ask, AttemptStream
from .observer import AttemptObserver, Observer
from .rescue import Delivered, DivergedError, ReplayFilter, to_last_whole_word
from .retry_policy import RetryDecision, classify, unanswered
from .upstream import Upstream

#: Seconds that an upstream may ask us to wait while there is another one that could be asked now.
_PATIENCE = 2.0

#: Seconds that a broken answer waits for an upstream's breaker, and between two looks while another's probe is under way.
_LONGEST_REST = 15.0
_LOOK_AGAIN = 0.1

#: Rescues of one answer. Each of them brought something, so that this only ends what would go on for ever.
_MOST_RESCUES = 20


def _ask(request: ChatRequest) -> Ask:
    """Return how to ask an upstream for the complete answer to *request*."""
    return lambda upstream, options: upstream.provider.stream(request, options)


def _is_prose(request: ChatRequest) -> bool:
    """Return whether a continuation makes sense: not in the middle of a tool call or of constrained JSON."""
    response_format = request.fields.get("response_format")
    constrained = isinstance(response_format, Mapping) and response_format.get("type") not in (None, "text")
    return not constrained and not request.fields.get("tools")


class _RestingError(Exception):
    """The upstream's breaker has opened meanwhile."""


class RescuePlan(NamedTuple):
    """One way on after a break: whom to ask, how, and what of the answer will come again."""

    upstream: Upstream
    ask: Ask
    repetition: ReplayFilter
    #: Whether it brings what would have come: then it is tried as long as there is time.
    exact: bool = False
    name: Literal["again", "continue", "anew"] = "anew"


class GatewaySettings(NamedTuple):
    """What all requests have in common. ``total``: seconds that one may take with all its attempts."""

    retry: RetryConfig
    rescue: RescueConfig
    total: float
    observer: Observer | None


class RouteRunner:
    """One request's way along its route."""

    def __init__(
        self, request: ChatRequest, route: Sequence[Upstream], report: Report, options: CallOptions, settings: GatewaySettings
    ) -> None:
        self._request = self._seeded = request
        if request.fields.get("seed") is None and any(upstream.provider.capabilities.deterministic for upstream in route):
            # With a seed, an engine that repeats itself can be asked for the same answer again.
            self._seeded = request.with_fields(seed=random.getrandbits(31) if report.seed is None else report.seed)
        report.seed = self._seeded.fields.get("seed")
        self._route = route
        self._report = report
        self._options = options
        self._settings = settings
        self._time: Callable[[], float]  # the event loop's
        self._deadline = 0.0
        self._errors: list[ProviderError] = []
        self._longer_than = 0
        self._delivered = Delivered()
        #: Who generated all of what was delivered, so that it could do so again.
        self._author: Upstream | None = None
        self._first: AttemptStream | None = None
        self._closed = False
        self._rest: AsyncGenerator[Batch] | None = None

    def take_over(self, answer: Answer, author: Upstream | None) -> None:
        """Begin after what *answer* has of an answer that broke at another server."""
        self._delivered.add(answer.joined())
        self._delivered.deltas = answer.deltas
        self._author = author
        self._report.begun = -1

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Batch]:
        """The answer of the first upstream that answers; where it breaks, its rest, as long as anybody can bring it.

        An answer that does not break passes no generator of ours: an event loop keeps a list of those.
        """
        if self._rest is not None:
            return self._rest.__anext__()
        if self._first is not None:
            return self._go_on(self._first)
        self._time = asyncio.get_running_loop().time
        self._deadline = self._time() + self._settings.total
        if self._options.deadline is not None:
            self._deadline = min(self._deadline, self._options.deadline)
        if not self._delivered:
            return self._first_to_answer()
        self._delivered.spent = self._delivered.deltas + self._report.repeated
        return self._rescue_from(IncompleteStreamError())

    async def _go_on(self, first: AttemptStream) -> Batch:
        try:
            return await first.__anext__()
        except ProviderError as error:
            if self._closed or not self._delivered or not _is_rescuable(error):
                raise
            cause = error
        return await self._rescue_from(cause)

    def _rescue_from(self, cause: ProviderError) -> Awaitable[Batch]:
        self._rest = self._rescued(cause)
        return self._rest.__anext__()

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `provider.pour`: of the first to answer, as long as it does."""
        if self._rest is not None or self._first is None:
            return cannot_pipe()
        return self._first.pipe_to(sink)

    async def aclose(self) -> None:
        """Stop, if it has not ended."""
        self._closed = True
        if self._rest is not None and not self._rest.ag_running:  # type: ignore[attr-defined]  # else whoever reads closes it
            await self._rest.aclose()
        if self._first is not None:
            await self._first.aclose()

    async def _rescued(self, cause: ProviderError) -> AsyncGenerator[Batch]:
        """The rest, however often that breaks as well."""
        for _ in range(_MOST_RESCUES):
            before = self._delivered.deltas
            rest = self._missing(cause)
            try:
                async for batch in rest:
                    yield batch
                return
            except ProviderError as error:
                if self._delivered.deltas == before or not _is_rescuable(error):
                    raise
            finally:
                await rest.aclose()
        raise cause

    def _attempt(self, upstream: Upstream, ask: Ask, repetition: ReplayFilter | None = None) -> AttemptStream:
        """A try within the time that is left."""
        observer: AttemptObserver | None = None
        if self._settings.observer is not None:
            observer = self._settings.observer.attempt(upstream, self._request)
        headers = None if observer is None else observer.headers
        options = CallOptions(deadline=self._deadline, headers=headers, proxy=self._options.proxy)
        return AttemptStream(upstream, ask, options, self._report, self._delivered, repetition, observer)

    # ---- before anything was delivered

    async def _first_to_answer(self) -> Batch:
        """What the first try brings that brings anything. Raises where none does."""
        for upstream in self._route:
            upstream.budget.request()
            request = self._seeded if upstream.provider.capabilities.deterministic else self._request
            delay: float | None = 0.0
            tries = 0
            while delay is not None and self._fits(upstream) and upstream.breaker.admit():
                tries += 1
                attempt = self._attempt(upstream, _ask(request))
                try:
                    batch = await attempt.__anext__()
                except ProviderError as error:
                    verdict = classify(error)
                    if verdict is RetryDecision.ANSWER:
                        raise
                    self._errors.append(error)
                    if verdict is RetryDecision.TOO_LONG:
                        self._longer_than = max(self._longer_than, upstream.context or 0)
                    delay = await self._wait(self._delay(upstream, error, verdict, tries))
                else:
                    self._author = upstream
                    self._first = attempt
                    return batch
        waits = min((upstream.breaker.wait() for upstream in self._route), default=0.0)
        raise unanswered(self._request.model, self._errors, self._report.attempts, waits)

    def _fits(self, upstream: Upstream) -> bool:
        """A prompt that was too long elsewhere goes on only where more fits, or where nobody knows."""
        return not self._longer_than or upstream.context is None or upstream.context > self._longer_than

    def _delay(
        self, upstream: Upstream, error: ProviderError, verdict: RetryDecision, tries: int, *, exact: bool = False
    ) -> float | None:
        """Seconds before the same upstream is asked again, or None where the next one is better. *exact*: for an answer that
        can be had again exactly, which is worth every try: it ends when the time is over, or the upstream gives itself up."""
        last = upstream is self._route[-1]
        asked = error.retry_after if isinstance(error, HTTPError) else None
        again = verdict is RetryDecision.AGAIN or (verdict is RetryDecision.SILENT and last) or (exact and asked is not None)
        if not again:
            return None
        # The budget keeps an outage from being multiplied.
        if not exact and (tries >= self._settings.retry.attempts or not upstream.budget.spend()):
            return None
        if asked is not None and asked > _PATIENCE and not last:
            return None
        return max(backoff(tries, base=self._settings.retry.backoff, retry_after=asked), _LOOK_AGAIN if exact else 0)

    async def _wait(self, delay: float | None) -> float | None:
        """Wait that long; None where there is nothing to wait for, or no time left to wait."""
        if delay is None or self._time() + delay >= self._deadline:
            return None
        await asyncio.sleep(delay)
        return delay

    # ---- after something was delivered

    async def _missing(self, cause: ProviderError) -> AsyncGenerator[Batch]:
        """What is still missing, by the first way that brings it. Raises *cause* where none does.

        An upstream whose breaker is open is passed over, with all its ways, while there are others, and waited for at last; for
        what it alone can bring exactly, as long as there is time.
        """
        before = self._delivered.deltas
        failures: dict[str, int] = {}
        ways = await self._ways(cause)
        for is_last_round in (False, True):
            resting: list[RescuePlan] = []
            for way in ways:
                if not way.exact and failures.get(way.upstream.name, 0) >= self._settings.retry.attempts:
                    continue  # by whichever way: an upstream has so many tries
                rests = any(way.upstream is other.upstream for other in resting)
                patience = (self._settings.total if way.exact else _LONGEST_REST) if is_last_round else 0.0
                if rests or not await self._admitted(way.upstream, patience):
                    resting.append(way)
                    continue
                rest = self._by(way, failures, patience)
                try:
                    async for batch in rest:
                        yield batch
                    return
                except _RestingError:
                    resting.append(way)
                except (DivergedError, ProviderError):
                    if self._delivered.deltas > before:
                        raise
                finally:
                    await rest.aclose()
            ways = resting
        raise cause

    async def _by(self, way: RescuePlan, failures: dict[str, int], patience: float) -> AsyncGenerator[Batch]:
        """The rest by one way, whose upstream has admitted it; tried again as any request is. Its first batch is the splice."""
        before = self._delivered.deltas
        splice = Splice(len(self._delivered.text), self._report.upstream or "", way.upstream.name)
        name = way.upstream.name
        while True:
            answer = self._attempt(way.upstream, way.ask, way.repetition.anew())
            spliced = False
            try:
                async for batch in answer:
                    if not spliced:
                        spliced = True
                        self._report.splices.append(splice)
                        self._report.ways.append(way.name)
                        if not way.exact:
                            self._author = None
                    yield batch
                return
            except ProviderError as error:
                if self._delivered.deltas > before:
                    raise
                failures[name] = failures.get(name, 0) + 1
                delay = self._delay(way.upstream, error, classify(error), failures[name], exact=way.exact)
                if await self._wait(delay) is None:
                    raise
                if not await self._admitted(way.upstream, patience):
                    raise _RestingError from error
            finally:
                await answer.aclose()

    async def _admitted(self, upstream: Upstream, patience: float) -> bool:
        """Whether the upstream may be tried now, or within so many seconds."""
        until = min(self._time() + patience, self._deadline)
        while not upstream.breaker.admit():
            pause = max(upstream.breaker.wait(), _LOOK_AGAIN)
            if self._time() + pause > until:
                return False
            await asyncio.sleep(pause)
        return True

    async def _ways(self, cause: ProviderError) -> list[RescuePlan]:
        """The ways on, the best first: the exact one while it is cheap, then a continuation, then a generation from anew. Who
        fell silent comes last, and is not even asked whether it continues while there is another."""
        author, delivered = self._author, self._delivered
        silent = self._report.upstream if classify(cause) is RetryDecision.SILENT else None
        heard = [upstream for upstream in self._route if upstream.name != silent]
        again: list[RescuePlan] = []
        if author is not None and author.provider.capabilities.deterministic:
            again = [RescuePlan(author, _ask(self._seeded), ReplayFilter(delivered), exact=True, name="again")]
        ways = list(again) if delivered.deltas <= self._settings.rescue.exact_tokens else []
        if _is_prose(self._request) and not delivered.calls and delivered.text:
            for upstream in heard or self._route:
                if await upstream.provider.continues():
                    ways += self._continuations(upstream)
        ways += [way for way in again if way not in ways]
        for upstream in sorted(self._route, key=lambda upstream: upstream.name == silent):
            deterministic = upstream.provider.capabilities.deterministic
            if upstream is not author or not deterministic:
                request = self._seeded if deterministic else self._request
                ways.append(RescuePlan(upstream, _ask(request), ReplayFilter(delivered)))
        return ways

    def _continuations(self, upstream: Upstream) -> list[RescuePlan]:
        """From the last whole word on; and, should the model not repeat the rest of the last one, from the very end."""
        text = self._delivered.text
        kept, rest = to_last_whole_word(text)
        ways = [self._continuation(upstream, kept, rest)]
        if rest and not text[-1:].isspace():
            ways.append(self._continuation(upstream, text, ""))
        return ways

    def _continuation(self, upstream: Upstream, kept: str, rest: str) -> RescuePlan:
        request = self._request
        limit = request.fields.get("max_tokens")
        if isinstance(limit, int):
            # The rest of the last word is generated once more, and swallowed.
            again = self._delivered.deltas_after(len(kept)) if rest else 0
            request = request.with_fields(max_tokens=max(1, limit - self._delivered.deltas + again))

        def ask(upstream: Upstream, options: CallOptions) -> BatchStream:
            return upstream.provider.stream_continuation(request, kept, options)

        return RescuePlan(upstream, ask, ReplayFilter(self._delivered, text=rest), name="continue")


def _is_rescuable(error: ProviderError) -> bool:
    """Whether the rest of an answer may be looked for elsewhere: a rejection in mid-answer is part of the answer."""
    return classify(error) is not RetryDecision.ANSWER
