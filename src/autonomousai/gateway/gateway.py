"""`Gateway`: one provider made of many. It walks a model's route, tries again what trying again can mend, and says what it did.

Knows providers by their contract alone: no HTTP, no wire, no concrete provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

import msgspec

from ..answer import Answer
from ..batches import BatchStream, JoinedBatches
from ..capabilities import Capabilities, cannot_count
from ..errors import ProviderError
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..report import Report
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from ..result import AnswerBatches
from ..settings import RescueConfig, RetryConfig, RouteConfig
from ..wires.raw import unsupported
from .attempt import GatewaySettings
from .breaker import Breaker, BreakerChange
from .policies import RoutePolicy
from .probes import HealthProbes
from .retry_policy import RetryDecision, as_answer, cannot_be_counted, classify, unanswered
from .routing import PolicyRunner, RoutedRequest, RouteRunner, launch
from .upstream import Observer, Upstream


class Gateway(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers for each model from its upstreams, in the order of its route.

    ``routes``: model -> names of upstreams, the preferred one first. ``aliases``: other name -> model. ``policies``: of models
    whose upstreams are not asked in that order alone. ``cheaper``: model -> names of upstreams for callers who are over their
    budget. ``probe_every``: seconds between two probes of the upstreams, 0 for none.
    ``total``: seconds that a request may take with all its attempts. ``observer``: learns of each attempt.
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
        policies: Mapping[str, RouteConfig] | None = None,
        cheaper: Mapping[str, Sequence[str]] | None = None,
        probe_every: float = 0,
        total: float = 600,
        observer: Observer | None = None,
    ) -> None:
        self.upstreams = {upstream.name: upstream for upstream in upstreams}
        self.routes = {model: [self.upstreams[name] for name in names] for model, names in routes.items()}
        self.models = list(self.routes)
        self.model_aliases = dict(aliases or {})
        self.default_model = default_model or (self.models[0] if self.models else "")
        self.policies = {model: RoutePolicy(config, self.routes[model]) for model, config in (policies or {}).items()}
        self._cheaper = {model: [self.upstreams[name] for name in names] for model, names in (cheaper or {}).items()}
        self.probes = HealthProbes(upstreams, probe_every) if probe_every else None
        #: Each is called when a breaker has changed by what this process found out.
        self.breaker_watchers: list[Callable[[BreakerChange], None]] = []
        self._is_started = False
        self._settings = GatewaySettings(retry or RetryConfig(), rescue or RescueConfig(), total, observer)

    def capabilities_of(self, model: str) -> Capabilities:
        """Return what *model* can do: what any upstream of its route can. Its weights are those of the upstream that is asked
        first."""
        upstreams = self.routes[self.get_model(model)]
        return Capabilities(
            vision=any(upstream.provider.capabilities.vision for upstream in upstreams),
            tools=_any(upstream.provider.capabilities.tools for upstream in upstreams),
            prefill=_all(upstream.provider.capabilities.prefill for upstream in upstreams),
            schema=_any(upstream.provider.capabilities.schema for upstream in upstreams),
            reasoning=_any(upstream.provider.capabilities.reasoning for upstream in upstreams),
            embeddings=_any(upstream.provider.capabilities.embeddings for upstream in upstreams),
            context=max((upstream.context for upstream in upstreams if upstream.context is not None), default=None),
            wires=tuple(dict.fromkeys(wire for upstream in upstreams for wire in upstream.provider.capabilities.wires)),
            weights=upstreams[0].provider.capabilities.weights,
        )

    def has_cheaper_route(self, model: str) -> bool:
        """Return whether *model* has a route for callers who are over their budget; see `ChatRequest.over_budget`."""
        return self.get_model(model) in self._cheaper

    def details_of(self, model: str) -> Mapping[str, Any]:
        """Return what is known of the weights that are asked first."""
        return self.routes[self.get_model(model)][0].provider.details_of(model)

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """Return the answer from the route of the request's model. The report of ``options.answer`` says which upstream
        answered, and what was tried."""
        answer = Answer() if options.answer is None else options.answer
        if request.stream:
            runner = self._runner(request, answer, options)
            return runner if options.answer is not None else AnswerBatches(runner, answer)
        if answer.report is None:
            answer.report = Report()
        delivered = Answer(answer.report)
        runner = self._runner(request, delivered, options)
        runner.unseen = True
        return JoinedBatches(runner, delivered)

    def launch(
        self, request: ChatRequest, on_news: Callable[[], None], deadline: float = inf, others: bool = False
    ) -> RoutedRequest | None:
        """See `AsyncGeneratorProvider.launch`: by a route without a policy."""
        model = request.model
        if model not in self.routes or model in self.model_aliases:
            model = self.get_model(model)
            request = msgspec.structs.replace(request, model=model)
        if request.over_budget or model in self.policies:
            return None
        return launch(model, request, self.routes[model], self._settings, on_news, deadline)

    def resume(self, request: ChatRequest, options: CallOptions) -> BatchStream:
        """Return the rest of an answer that broke elsewhere, by the plans of a rescue; see `AsyncGeneratorProvider.resume`.

        The report's ``author`` is the upstream that generated all of what was delivered, with the report's ``seed``."""
        answer = options.answer
        assert answer is not None
        runner = self._runner(request, answer, options)
        runner.author = self.upstreams.get(runner.report.author or "")
        runner.report.begun = -1
        return runner

    async def count_tokens(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> int:
        """Return the count of the first upstream of the route that can count; see `AsyncGeneratorProvider.count_tokens`. One
        that rests after failures is asked last."""
        model = self.get_model(request.model)
        asked = msgspec.structs.replace(request, model=model)
        deadline = asyncio.get_running_loop().time() + self._settings.total
        if options.deadline is not None:
            deadline = min(deadline, options.deadline)
        errors: list[ProviderError] = []
        for upstream in sorted(self.routes[model], key=lambda upstream: upstream.breaker.state == "open"):
            try:
                return await upstream.provider.count_tokens(asked, CallOptions(deadline=deadline, retries=0))
            except ProviderError as error:
                if cannot_be_counted(error):
                    continue
                if classify(error) is RetryDecision.ANSWER:
                    raise as_answer(error)  # noqa: B904  itself, or with the cause
                errors.append(error)
        raise unanswered(model, errors, (), 0.0) if errors else cannot_count(model)

    def _runner(self, request: ChatRequest, answer: Answer, options: CallOptions) -> RouteRunner:
        model = request.model
        if model not in self.routes or model in self.model_aliases:
            model = self.get_model(model)
        if (report := answer.report) is None:
            report = answer.report = Report()
        # Upstream every answer is streamed, so that a break is noticed and can be mended.
        said = request.messages, True, request.include_usage, request.fields, request.origin, request.echo
        asked = ChatRequest(model, *said, context=request.context)
        is_cheap = request.over_budget and model in self._cheaper
        route = self._cheaper[model] if is_cheap else self.routes[model]
        if not request.messages:
            route = _raw_route(request, model, route)
        if model in self.policies and not is_cheap:
            return PolicyRunner(asked, route, answer, report, options, self._settings, self.policies[model])
        return RouteRunner(asked, route, answer, report, options, self._settings)

    def adopt(self, other: Gateway) -> None:
        """Answer as *other* does, from the next request on; what was begun ends as it began."""
        upstreams, watchers, is_started = self.upstreams, self.breaker_watchers, self._is_started
        if self.probes is not None:
            self.probes.stop()
        self.__dict__.update(other.__dict__)
        upstreams.clear()  # others look at this very mapping
        upstreams.update(other.upstreams)
        self.upstreams, self.breaker_watchers = upstreams, watchers
        if is_started:
            self._on_started()

    async def start(self) -> None:
        """Start the upstreams, all at once. The first that cannot start is the error."""
        await asyncio.gather(*(upstream.provider.start() for upstream in self.upstreams.values()))
        self._on_started()

    def _on_started(self) -> None:
        self._is_started = True
        for upstream in self.upstreams.values():
            upstream.breaker.on_change = partial(self._on_breaker_change, upstream)
        if self.probes is not None:
            self.probes.start()

    def learn(self, change: BreakerChange) -> None:
        """Take over what another process found out about an upstream, where it is one of these; see `Breaker.learn`."""
        if (upstream := self.upstreams.get(change.upstream)) is not None:
            upstream.breaker.learn(is_open=change.is_open, cooldown=change.cooldown)

    def _on_breaker_change(self, upstream: Upstream, breaker: Breaker) -> None:
        change = BreakerChange(upstream.name, not breaker.is_closed, breaker.cooling)
        for watcher in self.breaker_watchers:
            watcher(change)

    async def aclose(self) -> None:
        """Close the upstreams, each of them whatever another's closing brings."""
        if self.probes is not None:
            await self.probes.aclose()
        closed = await asyncio.gather(
            *(upstream.provider.aclose() for upstream in self.upstreams.values()), return_exceptions=True
        )
        for error in closed:
            if isinstance(error, BaseException):
                raise error


def _all(known: Iterable[bool | None]) -> bool | None:
    """Return True where all are, False where none is, None where it depends or is not known."""
    values = set(known)
    return values.pop() if len(values) == 1 else None


def _raw_route(request: ChatRequest, model: str, route: list[Upstream]) -> list[Upstream]:
    """Return the upstreams of *route* that can be asked for what is no conversation. Raises `StatusError` where none can."""
    if (origin := request.origin) is None:
        return route
    if able := [upstream for upstream in route if origin.wire in upstream.provider.capabilities.wires]:
        return able
    raise unsupported(model, origin.wire)


def _any(known: Iterable[bool | None]) -> bool | None:
    """Return True where any is, None where none is and any is not known."""
    values = set(known)
    return True if True in values else None if None in values else False
