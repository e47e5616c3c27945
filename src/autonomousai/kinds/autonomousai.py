"""Upstreams of the kind ``autonomousai``: the hosted service, and whatever speaks its wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..models import HOSTED, MODELS
from ..settings import PriceConfig, Secret
from ..timeouts import Clocks
from .kind import UpstreamConfig, UpstreamSetup, check_base_url

if TYPE_CHECKING:
    from ..clients.autonomousai import AutonomousAI


class AutonomousAIConfig(UpstreamConfig, frozen=True, tag="autonomousai"):
    """A server that speaks the AutonomousAI API: its root, under which the endpoints keep their paths."""

    base_url: str = HOSTED
    api_key: Secret | None = None
    clocks: Clocks = Clocks()
    price: PriceConfig | None = None

    only_models: ClassVar[tuple[str, ...] | None] = tuple(MODELS)

    @property
    def place(self) -> str:
        """See `UpstreamConfig.place`."""
        return self.base_url

    def check(self, key: str) -> None:
        """See `UpstreamConfig.check`."""
        check_base_url(key, self.base_url)

    def make_provider(self, setup: UpstreamSetup) -> AutonomousAI:
        """See `UpstreamConfig.make_provider`."""
        from ..clients.autonomousai import AutonomousAI  # noqa: PLC0415  a config without this kind needs no such client

        return AutonomousAI(
            self.base_url,
            api_key=self.api_key or "",  # never the environment's, which may be this server's own
            timeout=self.clocks,
            retries=0,
        )
