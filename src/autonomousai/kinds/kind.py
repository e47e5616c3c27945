"""What a kind of upstream is: the keys that an operator sets, and how a provider is made of them. Knows no concrete kind.

A further kind is one module with a class derived from `UpstreamConfig`, and one row in `registry`;
docs/guides/add-an-upstream-kind.md shows it. Its docstring and its fields
are the config's reference; its errors name the key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from ..clients.vendors import refuse_vendor_name
from ..errors import ConfigError
from ..http.urls import clean_base_url, copied_route, fault_in_url, holds_key, machine_of
from ..provider import AsyncGeneratorProvider
from ..settings import Weight

if TYPE_CHECKING:
    from ..engine.handle import RemoteEngine
    from ..engine.loader import ModelPool

#: Where the engines of this package run.
THIS_MACHINE: Final = "this machine"


class UpstreamSetup(msgspec.Struct, frozen=True):
    """What a provider is made with beside its config. ``name``: the upstream's. ``queue_s``: seconds that a request may wait
    for a slot of an engine. ``lazy``: whether an engine starts with its first request only. ``pool``: what then also ends it
    when it is idle. ``memory``: bytes that a model may take, None for a share of what is free. ``engine``: the engine, where it
    is another process's."""

    name: str
    queue_s: float = 60
    lazy: bool = False
    pool: ModelPool | None = None
    memory: int | None = None
    engine: RemoteEngine | None = None


class UpstreamConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=""):
    """One upstream of a kind; the struct's tag is the kind's name. A field is a key, its default is the key's.

    A field ``clocks: Clocks`` gets the config's general clocks, but for those that its default changes. What an upstream can
    do, images or so many tokens, its provider says with its ``capabilities``. ``weight``, of any kind: its part of the requests
    beside those of other upstreams, where a model's policy deals in parts.
    """

    weight: Weight = 1.0

    #: Whether its provider is an engine on this machine, which needs the extra ``local`` and is shared by all workers.
    runs_engine: ClassVar[bool] = False

    #: The models that an upstream of this kind can be asked for; None: any.
    only_models: ClassVar[tuple[str, ...] | None] = None

    @property
    def plays_models(self) -> bool:
        """Return whether it can answer as any of `models.MODELS`: the only one of a config does for those without a route."""
        return self.runs_engine

    @property
    def weights_needed(self) -> tuple[str, ...]:
        """Return the names of `models.WEIGHTS` that must be on this machine before it answers."""
        return ()

    @property
    def place(self) -> str:
        """Return where it answers, for people."""
        return str(self.__struct_config__.tag)

    @property
    def machine(self) -> str | None:
        """Return where it runs, None if unknown: a second one there is no help where the first is slow."""
        return THIS_MACHINE if self.runs_engine else machine_of(self.place)

    @classmethod
    def completed(cls, table: dict[str, Any]) -> dict[str, Any]:
        """Return an upstream's *table*, as the config has it, with the keys that others of it imply. Not checked yet."""
        return table

    def check(self, key: str) -> None:
        """Raise `ConfigError` for what the types of the fields cannot say. *key*: of the upstream's table."""

    def make_provider(self, setup: UpstreamSetup) -> AsyncGeneratorProvider:
        """Return the provider. Makes no connection and starts no child. A gateway tries again, so the provider does not."""
        raise NotImplementedError(f"{type(self).__name__} makes no provider")


# ---- for the kinds that are asked over HTTP


def check_base_url(key: str, url: str, *, query: bool = False) -> None:
    """Raise `ConfigError` unless *url*, with a query only where *query*, can be the base URL of an upstream whose table is at
    *key*."""
    refuse_vendor_name(url, 'or write kind = "openai" and vendor = "{}", and leave base_url out', key=f"{key}.base_url")
    if problem := _url_problem(url, query):
        advice = "write http://host[:port] or https://host[:port] with the API's root path"
        raise ConfigError(problem, key=f"{key}.base_url", advice=advice)


def _url_problem(url: str, query: bool) -> str:
    """Return what is wrong with the base URL of an upstream, or nothing."""
    root, mark, rest = url.partition("?")
    if clean_base_url(url) != f"{root.rstrip('/')}{mark}{rest}":
        return "has white space or quotes around it"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        return f"is not a URL ({fault_in_url(error)})"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        return "is not an http URL"
    if parts.username is not None or parts.password is not None:
        return "carries a name or a password: put the key into api_key"
    if (parts.query and not query) or parts.fragment:
        return "has a query or a fragment"
    if holds_key(parts.query):
        return "carries a key behind its '?': put it into api_key"
    if route := copied_route(parts.path):
        return f"names a route of the server: leave out {route}"
    return ""
