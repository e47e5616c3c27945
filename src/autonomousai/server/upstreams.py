"""From the config to the providers: the only place of the server that knows the concrete ones."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..clients.autonomousai import AutonomousAI
from ..clients.openai import OpenAICompatible
from ..config import AutonomousAIConfig, Config, LlamaCppConfig, ModelConfig, UpstreamConfig
from ..engine.handle import RemoteEngine
from ..engine.provider import LlamaCpp
from ..engine.weights import present
from ..gateway.gateway import Gateway
from ..gateway.upstream import Observer, Upstream
from ..models import DEFAULT_MODEL, MODELS
from ..provider import AsyncGeneratorProvider

CODER = "qwen_coder"
CODER_UPSTREAM = "embedded-coder"
_CODER_ENGINE = LlamaCppConfig(weights=MODELS[CODER].weights[0], slots=1)


def with_coder(config: Config) -> Config:
    """*config*, and in it the better weights for code in front of that model's route: if somebody fetched them, and nobody
    configured otherwise."""
    served = config.served()
    if config.upstreams != Config().upstreams or CODER in config.models or not present(_CODER_ENGINE.weights):
        return config
    row = served[CODER]
    served[CODER] = ModelConfig(aliases=row.aliases, route=(CODER_UPSTREAM, *(row.route or ())))
    return msgspec.structs.replace(
        config, upstreams={**config.upstreams, CODER_UPSTREAM: _CODER_ENGINE}, models={**config.models, **served}
    )


def make_engines(config: Config, deputies: Mapping[str, RemoteEngine] | None = None) -> dict[str, LlamaCpp]:
    """The embedded engines of *config*, by upstream; with *deputies*, those of another process. Starts no child."""
    return {
        name: LlamaCpp(
            upstream.weights,
            slots=upstream.slots,
            context=upstream.context,
            threads=upstream.threads,
            max_tokens=upstream.max_tokens,
            clocks=upstream.clocks,
            queue=config.server.queue_s,
            name=name,
            lazy=(name, upstream) == (CODER_UPSTREAM, _CODER_ENGINE),  # it is large, and may never be asked for
            deputy=None if deputies is None else deputies[name],
        )
        for name, upstream in config.upstreams.items()
        if isinstance(upstream, LlamaCppConfig)
    }


def make_gateway(
    config: Config, observer: Observer | None = None, deputies: Mapping[str, RemoteEngine] | None = None
) -> Gateway:
    """One provider made of the config's upstreams, whose attempts *observer* is told of. Makes no connection and starts no
    child. ``deputies``: see `make_engines`."""
    config = with_coder(config)
    engines = make_engines(config, deputies)
    served = config.served()
    return Gateway(
        [
            Upstream(name, engines.get(name) or _remote(settings), context=_context(settings), breaker=config.breaker)
            for name, settings in config.upstreams.items()
        ],
        {model: row.route or () for model, row in served.items()},
        aliases={alias: model for model, row in served.items() for alias in row.aliases},
        default_model=DEFAULT_MODEL if DEFAULT_MODEL in served else "",
        retry=config.retry,
        rescue=config.rescue,
        total=config.clocks.total,
        observer=observer,
    )


def _remote(upstream: UpstreamConfig) -> AsyncGeneratorProvider:
    assert not isinstance(upstream, LlamaCppConfig)
    if isinstance(upstream, AutonomousAIConfig):
        return AutonomousAI(
            upstream.base_url,
            api_key=upstream.api_key or "",  # never the environment's, which may be this server's own
            timeout=upstream.clocks,
            retries=0,
        )
    return OpenAICompatible(
        upstream.base_url,
        api_key=upstream.api_key,
        model=upstream.model,
        timeout=upstream.clocks,
        vision=upstream.vision,
        prefill=upstream.prefill,
        retries=0,
    )


def _context(upstream: UpstreamConfig) -> int | None:
    return None if isinstance(upstream, AutonomousAIConfig) else upstream.context
