"""What the command line says of the routes of a config: how the upstreams of a model are asked."""

from __future__ import annotations

from ..config import Config, ModelConfig


def describe_policy(model: ModelConfig, config: Config) -> str:
    """Return how the upstreams of a served model are asked, in a few words."""
    parts: list[str] = [model.policy]
    if model.policy != "order":
        parts += [", ".join(f"{name} {config.upstreams[name].weight:g}" for name in model.route or ())]
    if model.sticky:
        parts.append("sticky")
    if model.hedge:
        parts.append(f"hedge {model.hedge:g}")
    if model.over_budget:
        parts.append(f"over budget: {', '.join(model.over_budget)}")
    return "; ".join(parts)
