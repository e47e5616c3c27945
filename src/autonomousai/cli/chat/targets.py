"""The places that can answer a question of the command line: the engine on this machine, or a server. What each is, `embedded`
and `served` know."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from ...clients.vendors import ANTHROPIC_VENDOR, VendorName, is_anthropics, takes_anthropics_key, vendor_at, vendor_of
from ...http.urls import below, clean_base_url, has_path, openai_base_url
from ...provider import AsyncGeneratorProvider
from ..arguments import KEY_ENV
from ..templates import Template
from .kept_server import KeptServer

#: What a server may speak.
Wire: TypeAlias = Literal["openai", "anthropic", "autonomousai"]


class ChatSettings(msgspec.Struct):
    """What the options of ``chat`` say. ``fields``: request fields; ``images``: parts of a message, for the first question.
    ``base_url``: None for the embedded engine, which ``weights`` and ``context`` (tokens) are for. ``wire``: what the server
    speaks, None where its base URL says it. ``vendor``: whose server it is, where that was said. ``key_env``: see
    `key_env_of`. ``server``: what is kept of it with the conversation, where options named it."""

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
    server: KeptServer | None = None


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


def wire_of(base_url: str, wire: Wire | None) -> Wire:
    """What the server at *base_url* speaks: *wire* where it was said; else Anthropic's at Anthropic's, the AutonomousAI wire at
    a bare root, and OpenAI's at any path, which is what base URLs of its servers have."""
    if wire is None and is_anthropics(base_url):
        return "anthropic"
    return wire or ("openai" if has_path(base_url) else "autonomousai")


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
