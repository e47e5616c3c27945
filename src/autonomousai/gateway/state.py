"""The state of one request on its route, which a first answer and a rescue share, and what both do with it: attempt and
wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import NamedTuple

from ..answer import Answer
from ..config import RescueConfig, RetryConfig
from ..errors import HTTPError, ProviderError
from ..events import Report
from ..request import CallOptions, ChatRequest
from ..retry import backoff
from .attempt import AttemptStream
from .observer import Observer
from .replay_filter import ReplayFilter
from .retry_policy import RetryDecision
from .upstream import Upstream

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
