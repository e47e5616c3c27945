"""The places that can answer a question of the command line: the engine on this machine, or a server. Knows the providers."""

from __future__ import annotations

import os
import re
from typing import Any, Final, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from ...clients.anthropic import Anthropic
from ...clients.autonomousai import HOSTED, AutonomousAI
from ...clients.openai import OpenAICompatible
from ...clients.vendors import ANTHROPIC_VENDOR, VendorName, is_anthropics, takes_anthropics_key, vendor_at, vendor_of
from ...engine.library import find_weights, name_of
from ...engine.provider import LlamaCpp
from ...errors import HTTPError
from ...http.urls import below, clean_base_url, has_path, openai_base_url, without_credentials
from ...models import MODEL_ALIASES, MODELS, WEIGHTS
from ...provider import AsyncGeneratorProvider
from ...timeouts import Clocks
from ..exit_codes import UsageError
from ..fetching import fetch, find_model, require_engine, weights_for
from ..templates import Template
from ..terminal import Terminal

#: What a server may speak.
Wire: TypeAlias = Literal["openai", "anthropic", "autonomousai"]

#: The variable of the key for a server that is no vendor's.
KEY_ENV: Final = "AUTONOMOUSAI_API_KEY"


class ChatSettings(msgspec.Struct):
    """What the options of ``chat`` say. ``fields``: request fields; ``images``: parts of a message, for the first question.
    ``base_url``: None for the embedded engine, which ``weights`` and ``context`` (tokens) are for. ``wire``: what the server
    speaks, None where its base URL says it. ``vendor``: whose server it is, where that was said. ``key_env``: see
    `key_env_of`."""

    model: str
    system: str | None = None
    fields: dict[str, Any] = {}
    template: Template = Template()
    images: list[dict[str, Any]] = []
    stream: bool = True
    json: bool = False
    plain: bool = False
    base_url: str | None = None
    wire: Wire | None = None
    vendor: VendorName | None = None
    key_env: str = KEY_ENV
    api_key: str | None = None
    proxy: str | None = None
    weights: str | None = None
    context: int | None = None


class ChatTarget(Protocol):
    """A place that can answer, seen from the command line. ``has_ours``: it has the models of the table, and no others."""

    has_ours: bool

    def resolve(self, model: str) -> str:
        """The model that *model* names. Raises `ModelNotFoundError`."""

    def prepare(self, model: str) -> None:
        """Fetch what must be here before an answer as *model* is possible. Blocking; before the event loop runs."""

    def who(self, model: str) -> str:
        """Who will answer as *model*, and where: a line for people."""

    def check_sight(self) -> None:
        """Raises `UsageError` where no model can see, as far as that is known before a server is asked."""

    async def names(self) -> list[str]:
        """The models that can be asked. Raises `HTTPError` where a server does not list them."""

    async def choose(self) -> str:
        """The model to ask where none was named and there is no default; "" leaves it to who answers."""

    async def open(self, model: str) -> AsyncGeneratorProvider:
        """The provider that answers as *model*, ready."""

    async def aclose(self) -> None:
        """Close connections and children."""


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


def wire_of(base_url: str, wire: Wire | None) -> Wire:
    """What the server at *base_url* speaks: *wire* where it was said; else Anthropic's at Anthropic's, the AutonomousAI wire at
    a bare root, and OpenAI's at any path, which is what base URLs of its servers have."""
    if wire is None and is_anthropics(base_url):
        return "anthropic"
    return wire or ("openai" if has_path(base_url) else "autonomousai")


def _is_of_the_table(model: str) -> bool:
    """Return whether *model* is one of those that the AutonomousAI wire has, or the default."""
    return not model or model in MODELS or model in MODEL_ALIASES


#: In the names of models that make no text: for embeddings, ranks, speech, images, films and checks.
OTHER: Final = re.compile(
    r"embed|rerank|whisper|transcribe|\btts\b|dall-e|image|sora|moderation|realtime|\b(bge|e5|minilm)\b", re.IGNORECASE
)

#: How many models an error names.
_FEW: Final = 8


def key_env_of(base_url: str, wire: Wire, vendor: VendorName | None) -> str:
    """The environment variable that a server's key is read from: a vendor's, and Anthropic's own server's, have their own."""
    if wire == "anthropic":
        return ANTHROPIC_VENDOR.key_env if takes_anthropics_key(base_url) else KEY_ENV
    return vendor_of(vendor).key_env or KEY_ENV


def with_usual_path(base_url: str, vendor: VendorName | None) -> str:
    """Return where OpenAI's API is at *base_url*: there; of a bare root where its vendor has it, or else under ``/v1``, where
    servers do. A place of its own for a *vendor* that has it elsewhere stays as it was written."""
    if has_path(base_url):
        return base_url
    host = vendor_at(base_url)
    row = vendor_of(host or vendor)
    own = urlsplit(row.base_url).path
    if host is not None:
        return below(clean_base_url(base_url), own)
    return base_url if row.key_env and own != "/v1" else openai_base_url(base_url)


class Served:
    """A server, on the AutonomousAI wire, OpenAI's or Anthropic's."""

    def __init__(self, settings: ChatSettings) -> None:
        self._provider: AutonomousAI | OpenAICompatible | Anthropic
        assert settings.base_url is not None
        base_url, wire = settings.base_url, wire_of(settings.base_url, settings.wire)
        is_said = settings.wire is not None or clean_base_url(base_url) == HOSTED  # whose API is no other
        if wire == "autonomousai" and not is_said and not _is_of_the_table(settings.model):
            wire = "openai"  # which servers of that API have beside it, and others alone
        key = settings.api_key
        if key is None and settings.key_env == KEY_ENV:  # the client reads the others itself
            key = os.environ.get(KEY_ENV, "")
        if wire == "openai":
            base_url = with_usual_path(base_url, settings.vendor)
            self._provider = OpenAICompatible(base_url, vendor=settings.vendor, api_key=key, proxy=settings.proxy)
        elif wire == "anthropic":
            self._provider = Anthropic(base_url, api_key=key, proxy=settings.proxy)
        else:
            self._provider = AutonomousAI(base_url, api_key=settings.api_key, proxy=settings.proxy)
        self.has_ours = isinstance(self._provider, AutonomousAI)
        self._is_hosted = settings.key_env != KEY_ENV

    def resolve(self, model: str) -> str:
        return self._provider.get_model(model)

    def prepare(self, model: str) -> None:
        """The server has what it needs."""

    def check_sight(self) -> None:
        """The server will say."""

    def who(self, model: str) -> str:
        return f"{without_credentials(self._provider.base_url)} answers as {model or 'the first model that it lists'}"

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
        return list(MODELS) if isinstance(self._provider, AutonomousAI) else await self._provider.fetch_models()

    async def open(self, model: str) -> AsyncGeneratorProvider:
        return self._provider

    async def aclose(self) -> None:
        await self._provider.aclose()
