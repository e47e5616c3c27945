"""Upstreams of the kind ``openai``: whatever speaks OpenAI's chat completions."""

from __future__ import annotations

from typing import Literal

from ..clients.openai import OpenAICompatible
from ..errors import ConfigError
from ..settings import Count, Secret
from ..timeouts import Clocks
from .kind import UpstreamConfig, UpstreamSetup, check_base_url


class OpenAIConfig(UpstreamConfig, frozen=True, tag="openai"):
    """An OpenAI-compatible server. ``model``: the name sent upstream; absent, the caller's."""

    base_url: str
    api_key: Secret | None = None
    model: str | None = None
    prefill: Literal["yes", "no", "auto"] = "auto"
    vision: bool = False
    context: Count | None = None
    clocks: Clocks = Clocks()

    @property
    def place(self) -> str:
        """See `UpstreamConfig.place`."""
        return self.base_url

    def check(self, key: str) -> None:
        """See `UpstreamConfig.check`."""
        check_base_url(key, self.base_url)
        if self.model == "":
            advice = "name the upstream's model, or leave the key out to send the caller's"
            raise ConfigError("is empty", key=f"{key}.model", advice=advice)

    def make_provider(self, setup: UpstreamSetup) -> OpenAICompatible:
        """See `UpstreamConfig.make_provider`."""
        return OpenAICompatible(
            self.base_url,
            api_key=self.api_key,
            model=self.model,
            timeout=self.clocks,
            vision=self.vision,
            context=self.context,
            prefill=self.prefill,
            retries=0,
        )
