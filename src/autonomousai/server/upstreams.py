"""From the config to the gateway. What becomes of a single upstream, its kind says; see `kinds`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..config import Config, LlamaCppConfig, ModelConfig
from ..engine.handle import RemoteEngine
from ..engine.provider import LlamaCpp
from ..engine.weights import present
from ..gateway.gateway import Gateway
from ..gateway.upstream import Observer, Upstream
from ..kinds.kind import UpstreamSetup
from ..models import DEFAULT_MODEL, MODELS
from ..provider import AsyncGeneratorProvider

CODER = "qwen_coder"
CODER_UPSTREAM = "embedded-coder"


def _coder_engine() -> LlamaCppConfig | None:
    """The engine with the best weights for code that are here; None where there are none but those that answer anyway."""
    *better, _ = MODELS[CODER].weights
    weights = next(filter(present, better), None)
    return None if weights is None else LlamaCppConfig(weights=weights, slots=1)


def with_coder(config: Config) -> Config:
    """*config*, and in it the better weights for code in front of that model's route: if somebody fetched them, and nobody
    configured otherwise."""
    served = config.served()
    engine = _coder_engine()
    if config.upstreams != Config().upstreams or CODER in config.models or engine is None:
        return config
    row = served[CODER]
    served[CODER] = ModelConfig(aliases=row.aliases, route=(CODER_UPSTREAM, *(row.route or ())))
    return msgspec.structs.replace(
        config, upstreams={**config.upstreams, CODER_UPSTREAM: engine}, models={**config.models, **served}
    )


def make_engines(config: Config) -> dict[str, LlamaCpp]:
    """Return the engines on this machine, by upstream. Starts no child."""
    made = {name: _make_provider(name, config, None) for name, upstream in config.upstreams.items() if upstream.runs_engine}
    return {name: provider for name, provider in made.items() if isinstance(provider, LlamaCpp)}


def make_gateway(
    config: Config, observer: Observer | None = None, engines: Mapping[str, RemoteEngine] | None = None
) -> Gateway:
    """Return one provider made of the config's upstreams, whose attempts *observer* is told of. Makes no connection and starts
    no child. ``engines``: those of another process, by upstream."""
    config = with_coder(config)
    served = config.served()
    return Gateway(
        [Upstream(name, _make_provider(name, config, engines), breaker=config.breaker) for name in config.upstreams],
        {model: row.route or () for model, row in served.items()},
        aliases={alias: model for model, row in served.items() for alias in row.aliases},
        default_model=DEFAULT_MODEL if DEFAULT_MODEL in served else "",
        retry=config.retry,
        rescue=config.rescue,
        total=config.clocks.total,
        observer=observer,
    )


def _make_provider(name: str, config: Config, engines: Mapping[str, RemoteEngine] | None) -> AsyncGeneratorProvider:
    upstream = config.upstreams[name]
    return upstream.make_provider(
        UpstreamSetup(
            name,
            config.server.queue_s,
            lazy=(name, upstream) == (CODER_UPSTREAM, _coder_engine()),  # it is large, and may never be asked for
            engine=engines[name] if engines is not None and upstream.runs_engine else None,
        )
    )
