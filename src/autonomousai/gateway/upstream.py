"""A place that can answer, and what is remembered of it between requests."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..config import BreakerConfig
from ..provider import AsyncGeneratorProvider
from .breaker import Breaker, RetryBudget


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
