"""A place that can answer, what is remembered of it between requests, and what may observe the attempts at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ..events import Batch
from ..provider import AsyncGeneratorProvider
from ..request import ChatRequest
from ..settings import BreakerConfig
from .breaker import Breaker, RetryBudget


class Upstream:
    """A place that can answer, with what is remembered of how it did. ``context``: its tokens a request, by default as the
    provider says, None if unknown. ``weight``: its part of the requests, by the policies that have parts; 0: only where others
    cannot. ``machine``: where it runs, None if unknown: it is no help to be asked beside another one there. ``time``: the
    clock of its breaker and its attempts."""

    def __init__(
        self,
        name: str,
        provider: AsyncGeneratorProvider,
        *,
        context: int | None = None,
        weight: float = 1.0,
        machine: str | None = None,
        breaker: BreakerConfig | None = None,
        time: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = breaker or BreakerConfig()
        self.name = name
        self.provider = provider
        self.context = provider.capabilities.context if context is None else context
        self.weight = weight
        self.machine = machine
        self.time = time
        self.breaker = Breaker(failures=settings.failures, cooldown=settings.cooldown, time=time)
        self.budget = RetryBudget()

    def succeed(self) -> float:
        """Note that a request was answered that the breaker had admitted while it was closed, and is over. Returns the time."""
        if not self.budget.is_full:
            self.budget.success()
        return self.breaker.answered()

    def repeats(self, request: ChatRequest) -> bool:
        """Return whether *request*, with a seed, is answered with the same bytes again."""
        return self.provider.capabilities.deterministic and self.provider.repeats(request)


class AttemptObserver(Protocol):
    """One attempt under way."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the attempt's request carries to the upstream beside its own."""

    def heard(self, batch: Batch) -> None:
        """The upstream said this."""

    def ended(self, outcome: str, status: int | None) -> None:
        """How it ended, as it stands in the report; called once."""


class Observer(Protocol):
    """Learns of each attempt as it begins."""

    def attempt(self, upstream: Upstream, request: ChatRequest, /) -> AttemptObserver: ...
