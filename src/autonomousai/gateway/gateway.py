"""`Gateway`: one provider made of many. It walks a model's route, tries again what trying again can mend, and says what it did.

Knows providers by their contract alone: no HTTP, no wire, no concrete provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..config import BreakerConfig, RetryConfig
from ..errors import HTTPError, ProviderError
from ..events import Attempt, Batch, Messages, Report, Started
from ..provider import AsyncGeneratorProvider, AsyncResult, ProviderModelMixin
from ..retry import backoff
from .breaker import Breaker, RetryBudget
from .verdict import Verdict, describe, is_upstreams_fault, judge, unanswered

#: Seconds that an upstream may ask us to wait while there is another one that could be asked now.
_PATIENCE = 2.0


class Upstream:
    """A place that can answer, with what is remembered of how it did. ``context``: its tokens a request, None if unknown."""

    def __init__(
        self,
        name: str,
        provider: AsyncGeneratorProvider,
        *,
        context: int | None = None,
        breaker: BreakerConfig | None = None,
        time: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = breaker or BreakerConfig()
        self.name = name
        self.provider = provider
        self.context = context
        self.breaker = Breaker(failures=settings.failures, cooldown=settings.cooldown, time=time)
        self.budget = RetryBudget()


class Gateway(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers for each model from its upstreams, in the order of its route.

    ``routes``: model -> names of upstreams, the preferred one first. ``aliases``: other name -> model. ``total``: seconds that
    a request may take with all its attempts.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        routes: Mapping[str, Sequence[str]],
        *,
        aliases: Mapping[str, str] | None = None,
        default_model: str = "",
        retry: RetryConfig | None = None,
        total: float = 600,
    ) -> None:
        self.upstreams = {upstream.name: upstream for upstream in upstreams}
        self.routes = {model: [self.upstreams[name] for name in names] for model, names in routes.items()}
        self.models = list(self.routes)
        self.model_aliases = dict(aliases or {})
        self.default_model = default_model or (self.models[0] if self.models else "")
        self._retry = retry or RetryConfig()
        self._total = total

    def sees(self, model: str) -> bool:
        """Whether an upstream of *model* takes images."""
        return any(getattr(upstream.provider, "vision", False) for upstream in self.routes[self.get_model(model)])

    def create_async_generator(
        self, model: str, messages: Messages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        """Answer from the route of *model*. The result's ``report`` says which upstream it was, and what was tried."""
        name = self.get_model(model)
        report = Report()
        walk = _Walk(self, name, self.routes[name], report, partial(_ask, name, messages, proxy, kwargs))
        return AsyncResult(walk.batches, report=report)

    async def start(self) -> None:
        """Start the upstreams, all at once. The first that cannot start is the error."""
        await asyncio.gather(*(upstream.provider.start() for upstream in self.upstreams.values()))

    async def aclose(self) -> None:
        """Close the upstreams, each of them whatever another's closing brings."""
        closed = await asyncio.gather(
            *(upstream.provider.aclose() for upstream in self.upstreams.values()), return_exceptions=True
        )
        for error in closed:
            if isinstance(error, BaseException):
                raise error


def _ask(
    model: str, messages: Messages, proxy: str | None, fields: Mapping[str, Any], upstream: Upstream, seconds: float
) -> AsyncResult:
    return upstream.provider.create_async_generator(
        model, messages, proxy=proxy, stream=True, **fields, timeout={"total": seconds}
    )


class _Walk:
    """One request's way along its route."""

    def __init__(
        self,
        gateway: Gateway,
        model: str,
        route: Sequence[Upstream],
        report: Report,
        ask: Callable[[Upstream, float], AsyncResult],
    ) -> None:
        self._retry = gateway._retry
        self._total = gateway._total
        self._model = model
        self._route = route
        self._report = report
        self._ask = ask
        self._errors: list[ProviderError] = []
        self._longer_than = 0

    async def batches(self) -> AsyncGenerator[Batch]:
        """The answer of the first upstream that answers; once something was delivered nobody else is asked."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._total
        for upstream in self._route:
            upstream.budget.request()
            delay: float | None = 0.0
            tries = 0
            while delay is not None and self._fits(upstream) and upstream.breaker.admit():
                tries += 1
                answer = self._attempt(upstream, deadline - loop.time())
                delivered = False
                try:
                    async for batch in answer:
                        delivered = True
                        yield batch
                    return
                except ProviderError as error:
                    verdict = judge(error)
                    if delivered or verdict is Verdict.ANSWER:
                        raise
                    self._errors.append(error)
                    if verdict is Verdict.TOO_LONG:
                        self._longer_than = max(self._longer_than, upstream.context or 0)
                    delay = self._delay(upstream, error, verdict, tries)
                finally:
                    await answer.aclose()
                if delay is not None and loop.time() + delay < deadline:
                    await asyncio.sleep(delay)
                else:
                    delay = None
        raise unanswered(self._model, self._errors, self._report.attempts, min(u.breaker.wait() for u in self._route))

    def _fits(self, upstream: Upstream) -> bool:
        """A prompt that was too long elsewhere goes on only where more fits, or where nobody knows."""
        return not self._longer_than or upstream.context is None or upstream.context > self._longer_than

    def _delay(self, upstream: Upstream, error: ProviderError, verdict: Verdict, tries: int) -> float | None:
        """Seconds before the same upstream is asked again, or None where the next one is better."""
        last = upstream is self._route[-1]
        again = verdict is Verdict.AGAIN or (verdict is Verdict.SILENT and last)
        if not again or tries >= self._retry.attempts or not upstream.budget.spend():
            return None
        asked = error.retry_after if isinstance(error, HTTPError) else None
        if asked is not None and asked > _PATIENCE and not last:
            return None
        return backoff(tries, base=self._retry.backoff, retry_after=asked)

    async def _attempt(self, upstream: Upstream, seconds: float) -> AsyncGenerator[Batch]:
        """One try. `Started` is held back until there is something to deliver: until then another upstream may still answer.
        However it ends is noted in the report, and told to the upstream's breaker."""
        began = time.monotonic()
        outcome, status = "left", None
        tell = upstream.breaker.abandon
        started: Started | None = None
        opened = False
        try:
            batches = self._ask(upstream, max(seconds, 0.001)).batches()
            try:
                async for batch in batches:
                    if opened:
                        yield batch
                        continue
                    if type(first := batch[0]) is Started:
                        started = first
                        batch = batch[1:]
                    if batch:
                        opened = True
                        self._report.upstream = upstream.name
                        yield [Started(None if started is None else started.model, upstream.name), *batch]
                outcome, status = "ok", 200
                tell = upstream.breaker.success
            finally:
                await batches.aclose()
        except ProviderError as error:
            outcome, status = describe(error)
            tell = upstream.breaker.failure if is_upstreams_fault(error) else upstream.breaker.success
            raise
        finally:
            tell()
            milliseconds = int((time.monotonic() - began) * 1000)
            self._report.attempts.append(Attempt(upstream=upstream.name, outcome=outcome, status=status, ms=milliseconds))
