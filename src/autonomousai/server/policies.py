"""What is seen of the policies of routes: in the metrics, and as a sentence for people."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import Config, ModelConfig
from ..gateway.gateway import Gateway
from ..provider import AsyncGeneratorProvider
from ..telemetry.metrics import Sample


def policy_samples(provider: AsyncGeneratorProvider) -> Iterator[Sample]:
    """Yield by which policy each model's upstreams are asked, and what became of hedges."""
    if not isinstance(provider, Gateway):
        return
    for model in provider.routes:
        policy = provider.policies.get(model)
        yield "route_policy", (model, "order" if policy is None else policy.config.policy), [1]
        for (first, second, outcome), count in ({} if policy is None else policy.hedged).items():
            yield "hedges_total", (model, first, second, outcome), [count]


def describe_policy(model: ModelConfig, config: Config) -> str:
    """Return how the upstreams of a served model are asked, in a few words."""
    parts = [model.policy]
    if model.policy != "order":
        parts[0] += " " + ", ".join(f"{name} {config.upstreams[name].weight:g}" for name in model.route or ())
    if model.sticky:
        parts.append("sticky")
    if model.hedge:
        parts.append(f"hedge {model.hedge:g}")
    return "; ".join(parts)
