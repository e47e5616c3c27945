"""`Gateway`: one provider made of many. It walks a model's route, tries again what trying again can mend, and says what it did.

Knows providers by their contract alone: no HTTP, no wire, no concrete provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ..config import RescueConfig, RetryConfig
from ..events import Batch, Messages, Report
from ..provider import AsyncGeneratorProvider, AsyncResult, ProviderModelMixin
from .observer import Observer
from .routing import GatewaySettings, Question, RouteRunner
from .upstream import Upstream


class Gateway(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers for each model from its upstreams, in the order of its route.

    ``routes``: model -> names of upstreams, the preferred one first. ``aliases``: other name -> model. ``total``: seconds that
    a request may take with all its attempts. ``observer``: is told of each attempt.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        routes: Mapping[str, Sequence[str]],
        *,
        aliases: Mapping[str, str] | None = None,
        default_model: str = "",
        retry: RetryConfig | None = None,
        rescue: RescueConfig | None = None,
        total: float = 600,
        observer: Observer | None = None,
    ) -> None:
        self.upstreams = {upstream.name: upstream for upstream in upstreams}
        self.routes = {model: [self.upstreams[name] for name in names] for model, names in routes.items()}
        self.models = list(self.routes)
        self.model_aliases = dict(aliases or {})
        self.default_model = default_model or (self.models[0] if self.models else "")
        self._settings = GatewaySettings(retry or RetryConfig(), rescue or RescueConfig(), total, observer)

    def sees(self, model: str) -> bool:
        """Whether an upstream of *model* takes images."""
        return any(getattr(upstream.provider, "vision", False) for upstream in self.routes[self.get_model(model)])

    def create_async_generator(
        self, model: str, messages: Messages, proxy: str | None = None, stream: bool = False, **kwargs: Any
    ) -> AsyncResult:
        """Answer from the route of *model*. The result's ``report`` says which upstream it was, and what was tried."""
        name = model if model in self.routes and model not in self.model_aliases else self.get_model(model)
        report = Report()
        walk = RouteRunner(Question(name, messages, proxy, kwargs), self.routes[name], report, self._settings)
        return AsyncResult(walk.__aiter__, report=report)

    def resume(
        self, model: str, messages: Messages, delivered: Batch, *, author: str | None = None, **kwargs: Any
    ) -> AsyncResult:
        """The rest of an answer that broke elsewhere, after *delivered*, by the ways of a rescue. ``author``: the upstream that
        had generated all of it, so that it can be asked for the same again, with the same ``seed`` in *kwargs*."""
        name = self.get_model(model)
        report = Report(upstream=author)
        walk = RouteRunner(Question(name, messages, None, kwargs), self.routes[name], report, self._settings)
        walk.take_over(delivered, self.upstreams.get(author or ""))
        return AsyncResult(lambda: walk, report=report)

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
