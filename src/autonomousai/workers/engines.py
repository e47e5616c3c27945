"""The engines that several workers share. They are the parent's; of which config they are made, and which models are installed
beside it, is known here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..config import Config
from ..engine.ipc import EngineSettings
from ..engine.provider import LlamaCpp
from ..engine.supervisor import Supervisor
from ..errors import ConfigError
from ..kinds.kind import UpstreamConfig

if TYPE_CHECKING:
    from ..server.engine_upstreams import EngineMaker


class SharedEngines:
    """Those of *config*, and of the models that are installed. ``config``: what is served, the installed models with it;
    ``supervisors``: the engines by upstream, after `start`. Models that are loaded when they are asked for are added while the
    workers run; those that are not served any more keep their place, where they are unloaded when nothing is asked of them.
    """

    def __init__(self, config: Config, maker: EngineMaker) -> None:
        self._file = config
        self._maker = maker
        self._installed = maker.installed(config)
        self.config = maker.with_models(config)
        self._providers: dict[str, LlamaCpp] = maker.make(self.config)
        #: What each was made of, and which of them are loaded when they are asked for.
        self._rows = _engines(self.config)
        self._on_demand = {name for name in self._rows if maker.is_on_demand(name, self.config)}
        self.supervisors: dict[str, Supervisor] = {}

    async def start(self) -> None:
        """Start the engines that are not loaded when they are asked for."""
        for name, provider in self._providers.items():
            if name not in self.supervisors:
                self.supervisors[name] = await provider.supervise()

    async def is_stale(self) -> bool:
        """Return whether models were installed or removed since the config was adopted. Raises `ConfigError` where that cannot
        be known."""
        return self._installed != await asyncio.to_thread(self._maker.installed, self._file)

    async def adopt_installed(self) -> None:
        """Serve the models that are installed now; see `adopt`."""
        await self.adopt(self._file)

    async def adopt(self, file: Config) -> None:
        """Serve the config *file*, and what is installed now. Raises `ConfigError`, and changes nothing, where an engine is
        another one than before."""
        installed = await asyncio.to_thread(self._maker.installed, file)
        config = await asyncio.to_thread(self._maker.with_models, file)
        new = self._new_engines(config)
        self._providers |= self._maker.make_later(new, config)
        self._rows |= new
        self._on_demand |= new.keys()
        await self.start()
        self._file, self._installed, self.config = file, installed, config

    def _new_engines(self, config: Config) -> dict[str, UpstreamConfig]:
        """Return the engines of *config* that there are not yet: models that are loaded when they are asked for. Raises
        `ConfigError` for any other that comes, goes, or is changed."""
        rows = _engines(config)
        new = {name: row for name, row in rows.items() if name not in self._rows}
        changed = [name for name, row in rows.items() if self._rows.get(name, row) != row]
        gone = [name for name in self._rows if name not in rows and name not in self._on_demand]
        for name in (*changed, *gone, *(name for name in new if not self._maker.is_on_demand(name, config))):
            problem = "is an engine, and several workers share the engines that they began with"
            raise ConfigError(problem, key=f"upstreams.{name}", advice="restart the server, or take the change back")
        return new

    def settings(self) -> dict[str, EngineSettings]:
        """Return what users of the engines need to know of each."""
        return {name: supervisor.settings for name, supervisor in self.supervisors.items()}

    async def aclose(self) -> None:
        """Stop all of them."""
        for provider in self._providers.values():
            await provider.aclose()


def _engines(config: Config) -> dict[str, UpstreamConfig]:
    return {name: upstream for name, upstream in config.upstreams.items() if upstream.runs_engine}
