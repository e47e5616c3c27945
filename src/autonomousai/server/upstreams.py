"""From the config to the gateway. What becomes of a single upstream, its kind says; see `kinds`. Of engines on this machine,
`engine_upstreams` knows more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..config import Config, ModelConfig
from ..gateway.gateway import Gateway
from ..gateway.upstream import Observer, Upstream
from ..kinds.kind import UpstreamSetup
from ..models import DEFAULT_MODEL
from ..provider import AsyncGeneratorProvider
from ..settings import ON_DEMAND

if TYPE_CHECKING:
    from ..engine.handle import RemoteEngine
    from .engine_upstreams import MachineEngines


def make_gateway(
    config: Config, observer: Observer | None = None, engines: Mapping[str, RemoteEngine] | None = None
) -> Gateway:
    """Return one provider made of the config's upstreams; see `UpstreamMaker`."""
    return UpstreamMaker(observer, engines).make(config)


def _may_run_engines(config: Config) -> bool:
    """Return whether *config* has engines on this machine, or serves what is installed there."""
    return config.engine.models_dir is not None or any(upstream.runs_engine for upstream in config.upstreams.values())


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
        #: What is known of this machine's engines, since a config has any.
        self._machine: MachineEngines | None = None
        #: What was said of each upstream that was made.
        self._said: WeakKeyDictionary[Upstream, tuple[object, ...]] = WeakKeyDictionary()

    def make(self, config: Config, current: Mapping[str, Upstream] | None = None) -> Gateway:
        """Return the gateway of *config*. Of the *current* upstreams, those of which nothing has changed are in it, with their
        connections, their breakers and what was learnt of them. Raises `ConfigError`."""
        machine = self._machine_of(config)
        if machine is not None and self._engines is None and self._providers is None:
            config = machine.adopt(config)
        kept = current or {}
        upstreams: dict[str, Upstream] = {}

        def make(name: str) -> AsyncGeneratorProvider:
            upstreams[name] = self._upstream(name, config, kept.get(name))
            return upstreams[name].provider

        if machine is None:
            for name in config.upstreams:
                make(name)
        else:
            machine.make_each(config.upstreams, config, make)
        served = config.served() if machine is None else machine.served(config)
        return _gateway_of(config, served, [upstreams[name] for name in config.upstreams], self._observer)

    def _machine_of(self, config: Config) -> MachineEngines | None:
        """Return what is known of this machine's engines; None as long as no config has had any."""
        if self._machine is None and _may_run_engines(config):
            from .engine_upstreams import MachineEngines  # noqa: PLC0415  the engine comes with it

            self._machine = MachineEngines(config)
        return self._machine

    def is_stale(self) -> bool:
        """Return whether models were installed or removed since the last gateway was made of a config that serves them."""
        return self._machine is not None and self._machine.is_stale()

    def settled(self, gateway: Gateway) -> frozenset[str]:
        """Return the names of models that *gateway* serves whatever is installed; "" stands for the default."""
        names = {name for name, route in gateway.routes.items() if not (route and route[0].name.startswith(ON_DEMAND))}
        aliases = {alias for alias, name in gateway.model_aliases.items() if name in names}
        return frozenset({"", *names, *aliases})

    def _upstream(self, name: str, config: Config, before: Upstream | None) -> Upstream:
        said = (config.upstreams[name], config.breaker)
        if before is not None and self._said.get(before) == said:
            return before
        row = config.upstreams[name]
        provider = (self._providers or {}).get(name) or self._make_provider(name, config)
        made = Upstream(name, provider, weight=row.weight, machine=row.machine, breaker=config.breaker)
        self._said[made] = said
        return made

    def _make_provider(self, name: str, config: Config) -> AsyncGeneratorProvider:
        if self._machine is not None:
            return self._machine.make_provider(name, config, self._engines)
        return config.upstreams[name].make_provider(UpstreamSetup(name, config.server.queue_s))


def _gateway_of(
    config: Config, served: Mapping[str, ModelConfig], upstreams: list[Upstream], observer: Observer | None
) -> Gateway:
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
