"""The engine on this machine, as the command line asks it. Knows the engine's provider, and no server."""

from __future__ import annotations

from ...engine.library import find_weights, name_of
from ...engine.provider import LlamaCpp
from ...models import MODELS, WEIGHTS
from ...provider import AsyncGeneratorProvider
from ...timeouts import Clocks
from ..exit_codes import UsageError
from ..fetching import fetch, find_model, require_engine, weights_for
from ..terminal import Terminal

#: Tokens. One caller alone can have more room than the slots of a server: a `git diff` is long.
_CONTEXT = 8192

#: A person watches, and has Ctrl-C: a slow machine may take its time with a long prompt.
_CLOCKS = Clocks(first_token=1800, idle=120, total=3600)


class Embedded:
    """The engine on this machine: one child process, with the weights of the model that was asked last."""

    has_ours = True

    def __init__(self, terminal: Terminal, weights: str | None, context: int | None) -> None:
        self._terminal = terminal
        self._engine: LlamaCpp | None = None
        self._loaded = ""
        self._given = weights
        self._context = context or _CONTEXT
        self._chosen: dict[str, str] = {}

    def _weights(self, model: str) -> str:
        """The weights for *model*: once it was said who answers, others that come meanwhile change nothing."""
        if self._given is not None:
            return self._given
        if model not in self._chosen:
            self._chosen[model] = weights_for(model) if model in MODELS else model
        return self._chosen[model]

    def resolve(self, model: str) -> str:
        return find_model(model)

    def prepare(self, model: str) -> None:
        require_engine()
        weights = self._weights(model)
        if weights in WEIGHTS:
            fetch(weights, self._terminal)
        else:
            find_weights(weights)

    def check_sight(self) -> None:
        raise UsageError("no model on this machine can see images; name a server that has one with --base-url")

    def who(self, model: str) -> str:
        weights = self._weights(model)
        kind = "demo model" if weights in WEIGHTS and WEIGHTS[weights].is_demo else "model"
        return f"Using the local {kind} {name_of(weights)}. Use --base-url to call a server."

    async def names(self) -> list[str]:
        return list(MODELS)

    async def choose(self) -> str:
        return self.resolve("")

    async def open(self, model: str) -> AsyncGeneratorProvider:
        weights = self._weights(model)
        if self._engine is not None and weights == self._loaded and self._engine.state != "failed":
            return self._engine
        await self.aclose()
        engine = self._engine = LlamaCpp(weights, slots=1, context=self._context, clocks=_CLOCKS)
        self._loaded = weights
        spinner = self._terminal.spinner(f"loading {weights}")
        try:
            await engine.start()
        except BaseException:
            await self.aclose()
            raise
        finally:
            spinner.stop()
        return engine

    async def aclose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()
