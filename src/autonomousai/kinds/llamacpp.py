"""Upstreams of the kind ``llamacpp``: the embedded engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from ..errors import ConfigError
from ..models import DEFAULT_WEIGHTS, WEIGHTS
from ..settings import ContextSize, Count, EngineTask, PriceConfig
from ..timeouts import ENGINE_FIRST_TOKEN, Clocks
from .kind import UpstreamConfig, UpstreamSetup

if TYPE_CHECKING:
    from ..engine.provider import LlamaCpp


class LlamaCppConfig(UpstreamConfig, frozen=True, tag="llamacpp"):
    """The embedded engine. ``weights``: a name of `models.WEIGHTS` or of a registered model, or a path to
    a GGUF file. ``context``: tokens a slot; with "auto" as many as the weights and the memory allow.
    ``task``: what the weights are for. ``mmproj``: the file with which they see images; "auto" for what lies beside them,
    "none" for none."""

    weights: str = DEFAULT_WEIGHTS
    slots: Count = 4
    context: ContextSize = 4096
    threads: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    max_tokens: Count = 1024
    task: EngineTask = "chat"
    mmproj: str = "auto"
    clocks: Clocks = Clocks(first_token=ENGINE_FIRST_TOKEN)
    price: PriceConfig | None = None

    runs_engine: ClassVar[bool] = True

    @property
    def plays_models(self) -> bool:
        """See `UpstreamConfig.plays_models`."""
        return self.task == "chat"

    @property
    def weights_needed(self) -> tuple[str, ...]:
        """See `UpstreamConfig.weights_needed`."""
        return (self.weights,) if self.weights in WEIGHTS else ()

    @property
    def place(self) -> str:
        """See `UpstreamConfig.place`."""
        return f"{self.weights}, on this machine"

    def check(self, key: str) -> None:
        """See `UpstreamConfig.check`."""
        weights = self.weights
        if weights in WEIGHTS or "/" in weights or weights.endswith(".gguf"):
            return
        from ..engine.library import is_named  # noqa: PLC0415  a config without the engine needs nothing of it

        if not is_named(weights):
            known = f"the names are {', '.join(WEIGHTS)}, or give a path to a GGUF file"
            raise ConfigError(f"{weights!r} is unknown", key=f"{key}.weights", advice=known)

    def make_provider(self, setup: UpstreamSetup) -> LlamaCpp:
        """See `UpstreamConfig.make_provider`."""
        # A config without the engine needs nothing of it.
        from ..engine.library import find_projector  # noqa: PLC0415
        from ..engine.provider import LlamaCpp  # noqa: PLC0415

        if setup.engine is None and self.mmproj not in ("auto", "none"):
            try:
                find_projector(self.weights, self.mmproj)
            except ConfigError as error:
                advice = 'give the path of a projector (mmproj), "auto" or "none"'
                raise ConfigError(error.problem, key=f"upstreams.{setup.name}.mmproj", advice=advice) from None
        return LlamaCpp(
            self.weights,
            slots=self.slots,
            context=self.context,
            threads=self.threads,
            max_tokens=self.max_tokens,
            clocks=self.clocks,
            task=self.task,
            mmproj=self.mmproj,
            queue=setup.queue_s,
            name=setup.name,
            lazy=setup.lazy,
            memory=setup.memory,
            pool=setup.pool,
            deputy=setup.engine,
        )
