"""From the config to the providers: the only place of the server that knows the concrete ones."""

from __future__ import annotations

from ..config import AutonomousAIConfig, Config, LlamaCppConfig, ModelConfig, OpenAIConfig, UpstreamConfig
from ..gateway import Gateway, Upstream
from ..gateway.observer import Observer
from ..models import DEFAULT_MODEL, MODELS
from ..provider import AsyncGeneratorProvider
from ..providers.autonomousai import AutonomousAI
from ..providers.llamacpp import LlamaCpp
from ..providers.openai import OpenAICompatible
from ..providers.weights import present

CODER = "qwen_coder"
CODER_UPSTREAM = "embedded-coder"


class LazyLlamaCpp(LlamaCpp):
    """An engine that is started by the first request for it: its weights are large, and may never be asked for."""

    async def start(self) -> None:
        """Nothing yet."""


def make_gateway(config: Config, observer: Observer | None = None) -> Gateway:
    """One provider made of the config's upstreams, whose attempts *observer* is told of. Makes no connection and starts no
    child."""
    upstreams = [
        Upstream(name, _provider(name, settings, config.server.queue_s), context=_context(settings), breaker=config.breaker)
        for name, settings in config.upstreams.items()
    ]
    served = config.served()
    if _takes_coder(config):
        settings = LlamaCppConfig(weights=MODELS[CODER].weights[0], slots=1)
        coder = _engine(LazyLlamaCpp, CODER_UPSTREAM, settings, config.server.queue_s)
        upstreams.append(Upstream(CODER_UPSTREAM, coder, context=settings.context, breaker=config.breaker))
        row = served[CODER]
        served[CODER] = ModelConfig(aliases=row.aliases, route=(CODER_UPSTREAM, *(row.route or ())))
    return Gateway(
        upstreams,
        {model: row.route or () for model, row in served.items()},
        aliases={alias: model for model, row in served.items() for alias in row.aliases},
        default_model=DEFAULT_MODEL if DEFAULT_MODEL in served else "",
        retry=config.retry,
        rescue=config.rescue,
        total=config.clocks.total,
        observer=observer,
    )


def _takes_coder(config: Config) -> bool:
    """Whether the better weights for code answer as that model: somebody fetched them, and nobody configured otherwise."""
    unconfigured = Config()
    return config.upstreams == unconfigured.upstreams and CODER not in config.models and present(MODELS[CODER].weights[0])


def _provider(name: str, upstream: UpstreamConfig, queue: float) -> AsyncGeneratorProvider:
    match upstream:
        case LlamaCppConfig():
            return _engine(LlamaCpp, name, upstream, queue)
        case OpenAIConfig():
            return OpenAICompatible(
                upstream.base_url,
                api_key=upstream.api_key,
                model=upstream.model,
                timeout=upstream.clocks,
                vision=upstream.vision,
                prefill=upstream.prefill,
                retries=0,
            )
        case AutonomousAIConfig():
            return AutonomousAI(
                upstream.base_url,
                api_key=upstream.api_key or "",  # never the environment's, which may be this server's own
                timeout=upstream.clocks,
                retries=0,
            )


def _engine(kind: type[LlamaCpp], name: str, upstream: LlamaCppConfig, queue: float) -> LlamaCpp:
    return kind(
        upstream.weights,
        slots=upstream.slots,
        context=upstream.context,
        threads=upstream.threads,
        max_tokens=upstream.max_tokens,
        clocks=upstream.clocks,
        queue=queue,
        name=name,
    )


def _context(upstream: UpstreamConfig) -> int | None:
    return None if isinstance(upstream, AutonomousAIConfig) else upstream.context
