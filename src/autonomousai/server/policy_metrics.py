"""What the metrics say of the policies of routes, and of probes."""

from __future__ import annotations

from collections.abc import Iterator

from ..gateway.gateway import Gateway
from ..provider import AsyncGeneratorProvider
from ..telemetry.metrics import Sample


def policy_samples(provider: AsyncGeneratorProvider) -> Iterator[Sample]:
    """Yield by which policy each model's upstreams are asked, what became of hedges, and what the last probes found."""
    if not isinstance(provider, Gateway):
        return
    for model in provider.routes:
        policy = provider.policies.get(model)
        yield "route_policy", (model, "order" if policy is None else policy.config.policy), [1]
        for (first, second, outcome), count in ({} if policy is None else policy.hedged).items():
            yield "hedges_total", (model, first, second, outcome), [count]
    for name, up in ({} if provider.probes is None else provider.probes.up).items():
        yield "upstream_up", (name,), [int(up)]
