"""What the metrics say of upstreams: their breakers and forms, the policies of routes, and probes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from ..gateway.breaker import State as BreakerState
from ..gateway.gateway import Gateway
from ..provider import AsyncGeneratorProvider
from ..telemetry.metrics import Sample


def upstream_samples(provider: AsyncGeneratorProvider) -> Iterator[Sample]:
    """Yield the state of each breaker, in which form upstreams are asked, by which policy each model's are, what became of
    hedges, and what the last probes found."""
    if not isinstance(provider, Gateway):
        return
    for name, upstream in provider.upstreams.items():
        for state in get_args(BreakerState):
            yield "breaker_state", (name, state), [int(upstream.breaker.state == state)]
        for model, form in upstream.provider.status().adaptations:
            yield "upstream_adaptations", (name, model, form), [1]
    for model in provider.routes:
        policy = provider.policies.get(model)
        yield "route_policy", (model, "order" if policy is None else policy.config.policy), [1]
        for (first, second, outcome), count in ({} if policy is None else policy.hedged).items():
            yield "hedges_total", (model, first, second, outcome), [count]
    for name, up in ({} if provider.probes is None else provider.probes.up).items():
        yield "upstream_up", (name,), [int(up)]
