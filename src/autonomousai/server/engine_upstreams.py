"""The upstreams that are engines on this machine: those of a config, the better weights for code, and the models that are
installed. Imported where a config has any: the engine comes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from ..config import Config, LlamaCppConfig, ModelConfig
from ..engine.handle import RemoteEngine
from ..engine.library import InstalledModel, installed_models, installed_state, is_named, name_of
from ..engine.loader import ModelPool
from ..engine.memory import memory_limit
from ..engine.provider import LlamaCpp
from ..engine.weights import present
from ..errors import ConfigError
from ..kinds.kind import UpstreamSetup
from ..models import MODEL_ALIASES, MODELS, WEIGHTS
from ..provider import AsyncGeneratorProvider
from ..settings import ON_DEMAND, EngineTask

CODER: Final = "qwen_coder"
CODER_UPSTREAM: Final = "embedded-coder"


def _coder_engine() -> LlamaCppConfig | None:
    """The engine with the best weights for code that are here; None where there are none but those that answer anyway."""
    *better, _ = MODELS[CODER].weights
    weights = next(filter(present, better), None)
    return None if weights is None else LlamaCppConfig(weights=weights, slots=1)


def with_coder(config: Config) -> Config:
    """*config*, and in it the better weights for code in front of that model's route: if they were fetched, and
    nothing else is configured."""
    if config.upstreams != Config().upstreams or CODER in config.models or (engine := _coder_engine()) is None:
        return config
    served = config.served()
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


def installed_beside(config: Config) -> frozenset[tuple[str, int, int]] | None:
    """Return what changes whenever a model is installed, replaced or removed; None where none is served beside *config*. Raises
    `ConfigError` where that cannot be read."""
    return installed_state(config.engine.models_dir) if _serves_installed(config) else None


class MachineEngines:
    """What the engines of one config after another share: the memory that the first allows, and what is installed here."""

    def __init__(self, config: Config) -> None:
        self._pool = make_pool(config)
        #: The config that was served last, and what was installed then.
        self._config: Config | None = None
        self._installed: frozenset[tuple[str, int, int]] | None = None

    def adopt(self, config: Config) -> Config:
        """Return *config* as it is served from now on; see `with_models`."""
        self._config, self._installed = config, installed_beside(config)
        return with_models(config)

    def is_stale(self) -> bool:
        """Return whether models were installed or removed since the config was adopted that is served."""
        return self._config is not None and self._installed != installed_beside(self._config)

    def served(self, config: Config) -> dict[str, ModelConfig]:
        """Return what is served: the config's own models, the five, and then those that `with_installed` brought."""
        served = config.served()

        def is_installed(name: str) -> bool:
            upstream = (served[name].route or ("",))[0]
            runs = config.upstreams[upstream]
            return upstream == f"{ON_DEMAND}{name}" or (isinstance(runs, LlamaCppConfig) and name_of(runs.weights) == name)

        return {name: served[name] for name in sorted(served, key=is_installed)}

    def make_each(self, names: Iterable[str], config: Config, make: Callable[[str], AsyncGeneratorProvider]) -> None:
        """Call *make* for each of *names*: last for engines that are loaded when they are asked for, which share the memory
        that the others leave. Raises `ConfigError` where these alone need more than all may take."""
        later = [name for name in names if is_on_demand(name, config)]
        made = {name: make(name) for name in names if name not in later}
        needs = {name: each.memory_needed for name, each in made.items() if isinstance(each, LlamaCpp)}
        if config.engine.memory != "auto" and sum(needs.values()) > self._pool.limit:
            told = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in needs.items())
            raise ConfigError(
                f"allows {self._pool.limit / 1e6:,.0f} MB, and the engines of the config need more ({told})",
                key="engine.memory",
                advice="allow more, give them fewer slots or a smaller context, or leave one out",
            )
        self._pool.set_aside(sum(needs.values()))
        for name in later:
            make(name)

    def make_provider(
        self, name: str, config: Config, engines: Mapping[str, RemoteEngine] | None = None
    ) -> AsyncGeneratorProvider:
        """Return the provider of an upstream. *engines*: those of another process, by upstream."""
        upstream = config.upstreams[name]
        on_demand = is_on_demand(name, config)
        return upstream.make_provider(
            UpstreamSetup(
                name,
                config.server.queue_s,
                lazy=on_demand,
                pool=self._pool if on_demand else None,
                memory=self._pool.limit,
                engine=engines[name] if engines is not None and upstream.runs_engine else None,
            )
        )


class EngineMaker:
    """Makes the engines on this machine, by upstream, of configs one after another: they share the memory of the first. Starts
    no child."""

    def __init__(self, config: Config) -> None:
        self._machine = MachineEngines(config)

    def make(self, config: Config) -> dict[str, LlamaCpp]:
        """Return all engines of the first config."""
        engines = [name for name, upstream in config.upstreams.items() if upstream.runs_engine]
        made: dict[str, AsyncGeneratorProvider] = {}

        def make(name: str) -> AsyncGeneratorProvider:
            made[name] = self._machine.make_provider(name, config)
            return made[name]

        self._machine.make_each(engines, config, make)
        return {name: provider for name in engines if isinstance(provider := made[name], LlamaCpp)}

    def make_later(self, names: Iterable[str], config: Config) -> dict[str, LlamaCpp]:
        """Return engines of a later config, which are all loaded when they are asked for."""
        made = {name: self._machine.make_provider(name, config) for name in names}
        return {name: provider for name, provider in made.items() if isinstance(provider, LlamaCpp)}

    def is_on_demand(self, name: str, config: Config) -> bool:
        """Return whether an upstream is an engine that is loaded when it is asked for."""
        return is_on_demand(name, config)

    def installed(self, config: Config) -> frozenset[tuple[str, int, int]] | None:
        """Return what changes whenever a model is installed, replaced or removed; None where none is served beside *config*."""
        return installed_beside(config)

    def with_models(self, config: Config) -> Config:
        """See `with_models`."""
        return with_models(config)


def is_on_demand(name: str, config: Config) -> bool:
    """Return whether an upstream is an engine that is loaded when it is asked for. The weights for code are large, and may
    never be."""
    return name.startswith(ON_DEMAND) or (name == CODER_UPSTREAM and config.upstreams[name] == _coder_engine())
