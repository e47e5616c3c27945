"""From the config to the gateway. What becomes of a single upstream, its kind says; see `kinds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

import msgspec

from ..config import Config, LlamaCppConfig, ModelConfig
from ..engine.handle import RemoteEngine
from ..engine.library import InstalledModel, installed_models, installed_state, is_named, name_of
from ..engine.loader import ModelPool
from ..engine.memory import memory_limit
from ..engine.provider import EngineTask, LlamaCpp
from ..engine.weights import present
from ..errors import ConfigError
from ..gateway.gateway import Gateway
from ..gateway.upstream import Observer, Upstream
from ..kinds.kind import UpstreamSetup
from ..models import DEFAULT_MODEL, MODEL_ALIASES, MODELS, WEIGHTS
from ..provider import AsyncGeneratorProvider

#: What the names of upstreams begin with that are loaded when they are asked for.
ON_DEMAND: Final = "engine/"

CODER = "qwen_coder"
CODER_UPSTREAM = "embedded-coder"


def _coder_engine() -> LlamaCppConfig | None:
    """The engine with the best weights for code that are here; None where there are none but those that answer anyway."""
    *better, _ = MODELS[CODER].weights
    weights = next(filter(present, better), None)
    return None if weights is None else LlamaCppConfig(weights=weights, slots=1)


def with_coder(config: Config) -> Config:
    """*config*, and in it the better weights for code in front of that model's route: if they were fetched, and
    nothing else is configured."""
    served = config.served()
    engine = _coder_engine()
    if config.upstreams != Config().upstreams or CODER in config.models or engine is None:
        return config
    row = served[CODER]
    served[CODER] = msgspec.structs.replace(row, route=(CODER_UPSTREAM, *(row.route or ())))
    return msgspec.structs.replace(
        config, upstreams={**config.upstreams, CODER_UPSTREAM: engine}, models={**config.models, **served}
    )


def with_installed(config: Config) -> Config:
    """Return *config*, and in it each installed model whose name it does not use otherwise: answered by the upstream that runs
    these weights anyway, or by one that is loaded when it is asked for. A config without an engine gets none, unless it names a
    folder of models. Raises `ConfigError` where that folder cannot be read."""
    if not _serves_installed(config):
        return config
    engines = {name: upstream for name, upstream in config.upstreams.items() if isinstance(upstream, LlamaCppConfig)}
    served = config.served()
    # Another engine is no reason to serve those of the five that have no route.
    off = {
        name: msgspec.structs.replace(config.models.get(name, ModelConfig()), route=()) for name in MODELS if name not in served
    }
    taken = {*MODEL_ALIASES, *served, *off, *config.models, *(alias for model in served.values() for alias in model.aliases)}
    upstreams, models = dict(config.upstreams), {**config.models, **off, **served}
    running = {upstream.weights: name for name, upstream in reversed(engines.items())}
    for name, model in installed_models(config.engine.models_dir).items():
        if name in taken or not model.path.is_file():
            continue
        weights = _weights_of(model)
        upstream = running.get(weights) or f"{ON_DEMAND}{name}"
        upstreams.setdefault(upstream, LlamaCppConfig(weights=weights, context="auto", task=_task_of(model)))
        models[name] = ModelConfig(route=(upstream,))
    return msgspec.structs.replace(config, upstreams=upstreams, models=models)


def _serves_installed(config: Config) -> bool:
    """Return whether installed models are served beside what *config* says."""
    has_engine = any(isinstance(upstream, LlamaCppConfig) for upstream in config.upstreams.values())
    return has_engine or config.engine.models_dir is not None


def _installed_last(config: Config) -> dict[str, ModelConfig]:
    """Return what is served: the config's own models, the five, and then those that `with_installed` brought."""
    served = config.served()

    def is_installed(name: str) -> bool:
        upstream = (served[name].route or ("",))[0]
        runs = config.upstreams[upstream]
        return upstream == f"{ON_DEMAND}{name}" or (isinstance(runs, LlamaCppConfig) and name_of(runs.weights) == name)

    return {name: served[name] for name in sorted(served, key=is_installed)}


def make_pool(config: Config) -> ModelPool:
    """Return what the models share that are loaded when they are asked for."""
    engine = config.engine
    return ModelPool(memory=memory_limit(engine.memory), idle_s=engine.idle_s, patience=config.server.queue_s)


def _task_of(model: InstalledModel) -> EngineTask:
    """Return what a model is for; that of a file that cannot be read is said when it is loaded."""
    try:
        file = model.read()
    except ConfigError:
        return "chat"
    return "rerank" if file.ranks else "embeddings" if file.embeds else "chat"


def _weights_of(model: InstalledModel) -> str:
    """Return what a config calls a model's weights: a name where there is one, else the path of its file."""
    return model.name if model.name in WEIGHTS or is_named(model.name) else str(model.path)


def with_models(config: Config) -> Config:
    """Return *config* with what is served beside what it says: the better weights for code, and each installed model."""
    return with_installed(with_coder(config))


def _installed_beside(config: Config) -> frozenset[tuple[str, int, int]] | None:
    """Return what changes whenever a model is installed, replaced or removed; None where none is served beside *config*. Raises
    `ConfigError` where that cannot be read."""
    return installed_state(config.engine.models_dir) if _serves_installed(config) else None


class EngineMaker:
    """Makes the engines on this machine, by upstream, of configs one after another: they share the memory of the first. Starts
    no child."""

    def __init__(self, config: Config) -> None:
        self._pool = make_pool(config)

    def make(self, config: Config) -> dict[str, LlamaCpp]:
        """Return all engines of the first config."""
        engines = [name for name, upstream in config.upstreams.items() if upstream.runs_engine]
        made: dict[str, AsyncGeneratorProvider] = {}

        def make(name: str) -> AsyncGeneratorProvider:
            made[name] = _make_provider(name, config, self._pool, None)
            return made[name]

        _make_each(engines, config, self._pool, make)
        return {name: provider for name in engines if isinstance(provider := made[name], LlamaCpp)}

    def make_later(self, names: Iterable[str], config: Config) -> dict[str, LlamaCpp]:
        """Return engines of a later config, which are all loaded when they are asked for."""
        made = {name: _make_provider(name, config, self._pool, None) for name in names}
        return {name: provider for name, provider in made.items() if isinstance(provider, LlamaCpp)}

    def is_on_demand(self, name: str, config: Config) -> bool:
        """Return whether an upstream is an engine that is loaded when it is asked for."""
        return _is_on_demand(name, config)

    def installed(self, config: Config) -> frozenset[tuple[str, int, int]] | None:
        """Return what changes whenever a model is installed, replaced or removed; None where none is served beside *config*."""
        return _installed_beside(config)

    def with_models(self, config: Config) -> Config:
        """See `with_models`."""
        return with_models(config)


def make_gateway(
    config: Config, observer: Observer | None = None, engines: Mapping[str, RemoteEngine] | None = None
) -> Gateway:
    """Return one provider made of the config's upstreams; see `UpstreamMaker`."""
    return UpstreamMaker(observer, engines).make(config)


class UpstreamMaker:
    """Makes gateways of configs, one after another. Makes no connection and starts no child.

    ``observer``: to whom attempts are reported. ``engines``: those of another process, by upstream, which has the whole config.
    ``providers``: of upstreams that are made elsewhere; then nothing is served beside the config.
    """

    def __init__(
        self,
        observer: Observer | None = None,
        engines: Mapping[str, RemoteEngine] | None = None,
        *,
        providers: Mapping[str, AsyncGeneratorProvider] | None = None,
    ) -> None:
        self._observer = observer
        self._engines = engines
        self._providers = providers
        self._pool: ModelPool | None = None
        #: The config that was served last, and what was installed then.
        self._config: Config | None = None
        self._installed: frozenset[tuple[str, int, int]] | None = None
        #: What was said of each upstream that was made.
        self._said: WeakKeyDictionary[Upstream, tuple[object, ...]] = WeakKeyDictionary()

    def make(self, config: Config, current: Mapping[str, Upstream] | None = None) -> Gateway:
        """Return the gateway of *config*. Of the *current* upstreams, those of which nothing has changed are in it, with their
        connections, their breakers and what was learnt of them. Raises `ConfigError`."""
        if self._engines is None and self._providers is None:
            self._config, self._installed = config, _installed_beside(config)
            config = with_models(config)
        self._pool = pool = self._pool or make_pool(config)
        kept = current or {}
        upstreams: dict[str, Upstream] = {}

        def make(name: str) -> AsyncGeneratorProvider:
            upstreams[name] = self._upstream(name, config, pool, kept.get(name))
            return upstreams[name].provider

        _make_each(config.upstreams, config, pool, make)
        return _gateway_of(config, [upstreams[name] for name in config.upstreams], self._observer)

    def is_stale(self) -> bool:
        """Return whether models were installed or removed since the last gateway was made of a config that serves them."""
        return self._config is not None and self._installed != _installed_beside(self._config)

    def settled(self, gateway: Gateway) -> frozenset[str]:
        """Return the names of models that *gateway* serves whatever is installed; "" stands for the default."""
        names = {name for name, route in gateway.routes.items() if not (route and route[0].name.startswith(ON_DEMAND))}
        aliases = {alias for alias, name in gateway.model_aliases.items() if name in names}
        return frozenset({"", *names, *aliases})

    def _upstream(self, name: str, config: Config, pool: ModelPool, before: Upstream | None) -> Upstream:
        said = (config.upstreams[name], config.breaker)
        if before is not None and self._said.get(before) == said:
            return before
        row = config.upstreams[name]
        provider = (self._providers or {}).get(name) or _make_provider(name, config, pool, self._engines)
        made = Upstream(name, provider, weight=row.weight, machine=row.machine, breaker=config.breaker)
        self._said[made] = said
        return made


def _gateway_of(config: Config, upstreams: list[Upstream], observer: Observer | None) -> Gateway:
    served = _installed_last(config)
    return Gateway(
        upstreams,
        {model: row.route or () for model, row in served.items()},
        aliases={alias: model for model, row in served.items() for alias in row.aliases},
        default_model=DEFAULT_MODEL if DEFAULT_MODEL in served else "",
        retry=config.retry,
        rescue=config.rescue,
        policies={model: routing for model, row in served.items() if (routing := row.routing) is not None},
        cheaper={model: row.over_budget for model, row in served.items() if row.over_budget},
        probe_every=config.health.interval,
        total=config.clocks.total,
        observer=observer,
    )


def _is_on_demand(name: str, config: Config) -> bool:
    """Return whether an upstream is an engine that is loaded when it is asked for. The weights for code are large, and may
    never be."""
    return name.startswith(ON_DEMAND) or (name, config.upstreams[name]) == (CODER_UPSTREAM, _coder_engine())


def _make_each(names: Iterable[str], config: Config, pool: ModelPool, make: Callable[[str], AsyncGeneratorProvider]) -> None:
    """Call *make* for each of *names*: last for engines that are loaded when they are asked for, which share the memory that
    the others leave. Raises `ConfigError` where these alone need more than all may take."""
    later = [name for name in names if _is_on_demand(name, config)]
    made = {name: make(name) for name in names if name not in later}
    needs = {name: each.memory_needed for name, each in made.items() if isinstance(each, LlamaCpp)}
    if config.engine.memory != "auto" and sum(needs.values()) > pool.limit:
        told = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in needs.items())
        raise ConfigError(
            f"allows {pool.limit / 1e6:,.0f} MB, and the engines of the config need more ({told})",
            key="engine.memory",
            advice="allow more, give them fewer slots or a smaller context, or leave one out",
        )
    pool.set_aside(sum(needs.values()))
    for name in later:
        make(name)


def _make_provider(
    name: str, config: Config, pool: ModelPool, engines: Mapping[str, RemoteEngine] | None
) -> AsyncGeneratorProvider:
    upstream = config.upstreams[name]
    on_demand = _is_on_demand(name, config)
    return upstream.make_provider(
        UpstreamSetup(
            name,
            config.server.queue_s,
            lazy=on_demand,
            pool=pool if on_demand else None,
            memory=pool.limit,
            engine=engines[name] if engines is not None and upstream.runs_engine else None,
        )
    )
