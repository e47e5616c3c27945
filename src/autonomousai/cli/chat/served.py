"""A server, as the command line asks it: on the AutonomousAI wire, OpenAI's or Anthropic's."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from ...errors import HTTPError
from ...http.urls import clean_base_url, without_credentials
from ...models import HOSTED, MODEL_ALIASES, MODELS
from ...provider import AsyncGeneratorProvider
from ..arguments import KEY_ENV
from ..exit_codes import UsageError
from .targets import ChatSettings, Wire, wire_of, with_usual_path

if TYPE_CHECKING:
    from ...clients.anthropic import Anthropic
    from ...clients.autonomousai import AutonomousAI
    from ...clients.openai import OpenAICompatible

#: In the names of models that make no text: for embeddings, ranks, speech, images, films and checks.
OTHER: Final = re.compile(
    r"embed|rerank|whisper|transcribe|\btts\b|dall-e|image|sora|moderation|realtime|\b(bge|e5|minilm)\b", re.IGNORECASE
)

#: How many models an error names.
_FEW: Final = 8


class Served:
    """A server, on the AutonomousAI wire, OpenAI's or Anthropic's."""

    def __init__(self, settings: ChatSettings) -> None:
        assert settings.base_url is not None
        base_url, wire = settings.base_url, wire_of(settings.base_url, settings.wire)
        is_said = settings.wire is not None or clean_base_url(base_url) == HOSTED  # whose API is no other
        if wire == "autonomousai" and not is_said and not _is_of_the_table(settings.model):
            wire = "openai"  # which servers of that API have beside it, and others alone
        key = settings.api_key
        if key is None and settings.key_env == KEY_ENV:  # the client reads the others itself
            key = os.environ.get(KEY_ENV, "")
        self._provider: AutonomousAI | OpenAICompatible | Anthropic
        self._lister: OpenAICompatible | Anthropic | None = None
        if wire == "autonomousai":
            from ...clients.autonomousai import AutonomousAI  # noqa: PLC0415  its wire comes with it

            self._provider = AutonomousAI(base_url, api_key=settings.api_key, proxy=settings.proxy)
        else:
            self._provider = self._lister = _make_lister(wire, base_url, settings, key)
        self.has_ours = self._lister is None
        self._is_hosted = settings.key_env != KEY_ENV

    def resolve(self, model: str) -> str:
        return self._provider.get_model(model)

    def prepare(self, model: str) -> None:
        """The server has what it needs."""

    def check_sight(self) -> None:
        """The server will say."""

    def who(self, model: str) -> str:
        return f"using {model or 'the first model that it lists'} at {without_credentials(self._provider.base_url)}"

    async def choose(self) -> str:
        """The first that the server lists, which is the only one at most servers, without those that do not chat. One that
        lists none, or only to others, may know without being told. Raises `UsageError` at a vendor with many: which of them
        comes first says nothing, and each has its price."""
        if self.has_ours:
            return ""
        try:
            names = await self.names()
        except HTTPError:
            return ""
        chatting = [name for name in names if not OTHER.search(name)] or names
        if self._is_hosted and len(chatting) > 1:
            some = ", ".join(chatting[:_FEW]) + (", …" if len(chatting) > _FEW else "")
            raise UsageError(f"name a model with --model; this server has: {some}")
        return chatting[0] if chatting else ""

    async def names(self) -> list[str]:
        return list(MODELS) if self._lister is None else await self._lister.fetch_models()

    async def open(self, model: str) -> AsyncGeneratorProvider:
        return self._provider

    async def aclose(self) -> None:
        await self._provider.aclose()


def _make_lister(wire: Wire, base_url: str, settings: ChatSettings, key: str | None) -> OpenAICompatible | Anthropic:
    """Return the client of a wire whose servers list their models; the other one is not imported."""
    if wire == "anthropic":
        from ...clients.anthropic import Anthropic  # noqa: PLC0415  its wire comes with it

        return Anthropic(base_url, api_key=key, proxy=settings.proxy)
    from ...clients.openai import OpenAICompatible  # noqa: PLC0415  its wire comes with it

    base_url = with_usual_path(base_url, settings.vendor)
    return OpenAICompatible(base_url, vendor=settings.vendor, api_key=key, proxy=settings.proxy)


def _is_of_the_table(model: str) -> bool:
    """Return whether *model* is one of those that the AutonomousAI wire has, or the default."""
    return not model or model in MODELS or model in MODEL_ALIASES
