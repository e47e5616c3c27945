"""What an operator can set of a server: the structs, and what their types alone cannot say. Knows no file and no upstream.

Every mistake is a `ConfigError` that names the key (``server.port``) and says what to do. The defaults here are what a server
without a file does. How a file becomes these structs is in `config`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from .errors import ConfigError
from .timeouts import Clock

# The upper bounds exclude `inf`, which is valid TOML and not a time that a timer can be set to.
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=10_000_000)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
#: Of a budget: as many as every reader of JSON and Redis's Lua count exactly.
Tokens: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
#: In US dollars.
Money: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
#: What an operator writes beside a key: names and values.
Labels: TypeAlias = dict[str, str]
#: A part of all.
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
#: Which upstream of a route is asked first.
Policy: TypeAlias = Literal["order", "weighted", "least_busy", "fastest"]
#: An upstream's part of the requests, beside those of others.
Weight: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
#: Tokens, or as many as the weights and the memory allow.
ContextSize: TypeAlias = Count | Literal["auto"]
#: What the weights of an engine are for.
EngineTask: TypeAlias = Literal["chat", "embeddings", "rerank"]

#: What the names of upstreams begin with that are engines, and loaded when they are asked for.
ON_DEMAND: Final = "engine/"


class Secret(str):
    """A key: a string whose ``repr`` does not show it, so that the ``repr`` of a struct that holds it does not either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


#: Headers that go with each request to an upstream, by their names. A value may be a key.
UpstreamHeaders: TypeAlias = dict[str, Secret]


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, who may use it, and its limits. Times in seconds, ``max_body`` in bytes."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    api_keys: tuple[Secret, ...] = ()
    admin_keys: tuple[Secret, ...] = ()
    drain_s: Seconds = 30
    state: str = "memory:"
    keepalive_s: Clock = 15
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body: Count = 20_000_000
    max_concurrency: Count = 1000
    queue_s: Seconds = 60
    log: Literal["text", "json", "off"] = "text"


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers that are given again. ``store``: "memory:", in each process, or "redis://…"; ``ttl_s``: how long one is kept;
    ``max_bytes``: of all in memory; ``shared``: whether callers get what was answered to the key of another."""

    store: str = "memory:"
    ttl_s: Seconds = 3600
    max_bytes: Count = 100_000_000
    shared: bool = False


class KeyPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the holder of a key may do. ``models``: names, aliases, or beginnings with ``*``; empty, as ``wires``: all of them.
    ``budget`` (US dollars) and ``token_budget`` count from the first moment of a ``budget_period`` in UTC."""

    models: tuple[str, ...] = ()
    wires: tuple[str, ...] = ()
    expires: datetime | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    max_concurrency: Count | None = None
    budget: Money | None = None
    token_budget: Tokens | None = None
    budget_period: Literal["day", "month"] = "month"
    labels: Labels = {}
    disabled: bool = False


class KeyConfig(KeyPolicy, frozen=True, forbid_unknown_fields=True):
    """A key with a name, and what its holder may do: see [keys](../guides/keys.md). Either ``key``, or its ``hash``."""

    key: Secret | None = None
    hash: str | None = None


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request's tries on one upstream, the first included, and the seconds before the second one. Where no other upstream can
    be asked, it is tried up to twice as often (unless once is all), as long as its budget lasts."""

    attempts: Count = 3
    backoff: Seconds = 0.5


class BreakerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many failures in a row open an upstream's breaker, and the seconds to the first probe. Where no other upstream can be
    asked, a few requests at a time are probes at once."""

    failures: Count = 5
    cooldown: Seconds = 3


class HealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probes of upstreams by requests that cost no tokens: the seconds between two of them; 0: there are none."""

    interval: Seconds = 0


class RescueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a broken answer is completed: one of at most ``exact_tokens`` pieces is generated again where that gives the same
    bytes; a longer one is continued where that is possible, because it is quicker."""

    exact_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 512


class RouteConfig(msgspec.Struct, frozen=True):
    """How the upstreams of a model's route are asked: the keys of ``[models.NAME]`` about it."""

    policy: Policy = "order"
    sticky: bool = False
    hedge: Share = 0.0


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's other names, and its upstreams. ``route``: in order of preference; absent: see `Config.served`.
    ``policy``: which of them is asked first. ``sticky``: whether the turns of a conversation go to the same one. ``hedge``: the
    part of the requests for which a second one may be asked, where the first is slower to begin than 95 of its last 100
    answers. ``over_budget``: the upstreams that answer callers who have spent their budget; without any, those are refused."""

    aliases: tuple[str, ...] = ()
    route: tuple[str, ...] | None = None
    policy: Policy = "order"
    sticky: bool = False
    hedge: Share = 0.0
    over_budget: tuple[str, ...] = ()

    @property
    def routing(self) -> RouteConfig | None:
        """Return how the route is asked; None: in its order, one after the other."""
        routing = RouteConfig(self.policy, self.sticky, self.hedge)
        return None if routing == RouteConfig() else routing


class ResumeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Streams that can be resumed: the seconds that a stream without a reader is still generated, the seconds that it is kept
    after its end, and the bytes that they take in all, wherever they are kept."""

    grace_s: Seconds = 30
    keep_s: Seconds = 300
    max_bytes: Count = 64_000_000


class ResponsesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Responses that are kept for their callers: the seconds that each is kept after its end. They share ``resume.max_bytes``
    with the streams that can be resumed; past that, what would go first anyway goes first."""

    keep_s: Seconds = 86_400


class TelemetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenTelemetry traces, by the extra ``otel``. ``content``: whether spans carry prompts and answers too. The standard
    ``OTEL_*`` environment variables say where they are sent to."""

    otel: bool = False
    content: bool = False


#: US dollars for a million tokens.
DollarsPerMillion: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]


class PriceRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tokens cost. ``cached``: of a prompt, where they were read from a cache; ``cache_write``: where they were written to
    one, ``cache_write_1h`` for an hour; ``reasoning``: of an answer. Absent, they cost what the others of the prompt, of what
    is written, or of the answer cost."""

    input: DollarsPerMillion = 0
    output: DollarsPerMillion = 0
    cached: DollarsPerMillion | None = None
    cache_write: DollarsPerMillion | None = None
    reasoning: DollarsPerMillion | None = None
    cache_write_1h: DollarsPerMillion | None = None


class PriceStep(PriceRates, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all tokens of a request cost whose prompt has more than ``above`` tokens, the cached ones included."""

    above: Count


class PriceTier(PriceRates, frozen=True, forbid_unknown_fields=True):
    """What tokens of one ``service_tier`` cost, and ``steps`` of it."""

    steps: tuple[PriceStep, ...] = ()


class PriceConfig(PriceTier, frozen=True, forbid_unknown_fields=True):
    """What tokens cost. ``cached``: of a prompt, where they were read from a cache; ``cache_write``: where they were written to
    one, ``cache_write_1h`` for an hour; ``reasoning``: of an answer. Absent, they cost what the others of the prompt, of what
    is written, or of the answer cost. ``steps``: other prices for long prompts, each with ``above``; ``tiers``: those of an
    upstream's ``service_tier``, by its name."""

    tiers: dict[str, PriceTier] = {}


class LedgerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the ledger is kept: ``url`` is a path or a URL, ``""`` for a file in the user's directory and ``"off"`` for none.
    Entries are written together, at the latest after ``flush_s``, and ``queue`` is how many may wait for the database. Those
    older than ``keep_days`` are deleted."""

    url: str = ""
    flush_s: Clock = 1
    queue: Count = 10_000
    keep_days: Count | None = None


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The models of this machine that are served by their names: those that were fetched or registered, and the GGUF files of
    the folder ``models_dir``. Each is loaded when it is asked for, and unloaded after ``idle_s`` without a request, or when
    others need its part of ``memory``, the bytes that all of them may take together, with the engines among the upstreams."""

    models_dir: str | None = None
    memory: str = "auto"
    idle_s: Seconds = 300


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload changed, by names. ``changed``: upstreams that were made anew; ``models``: those that are served now."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    models: list[str]

    def __str__(self) -> str:
        told = ((name, getattr(self, name)) for name in ("added", "changed", "removed"))
        changes = "; ".join(f"upstreams {name}: {', '.join(names)}" for name, names in told if names)
        return f"the config was reloaded ({changes or 'no upstream changed'})"


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, can be reached from this machine alone."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def asks_key(server: ServerConfig, keys: Mapping[str, KeyConfig]) -> bool:
    """Return whether callers need a key: where there is any, or one could be made."""
    return bool(server.api_keys or server.admin_keys or keys)


def check_exposure(server: ServerConfig, keys: Mapping[str, KeyConfig] = MappingProxyType({})) -> None:
    """Raise `ConfigError` for a server that other machines can reach and that asks for no key."""
    if not asks_key(server, keys) and not is_loopback(server.host):
        raise ConfigError(
            f"{server.host!r} can be reached from other machines, and no key is required",
            key="server.host",
            advice='set server.api_keys (for example ["env:AUTONOMOUSAI_API_KEY"]), or listen on 127.0.0.1',
        )


#: A database is a number: redis-py takes the first one in the place of any other word.
_REDIS: Final = re.compile(r"rediss?://[^/?#]+(?:/\d*)?(?:\?.*)?|unix://.+")
_STATE: Final = re.compile(rf"memory:|sqlite:.+|{_REDIS.pattern}")


def check_cache(cache: CacheConfig) -> None:
    """Raise `ConfigError` where answers cannot be kept in the place that *cache* names."""
    if cache.store != "memory:" and not _REDIS.fullmatch(cache.store):  # not shown: it may hold a password
        raise ConfigError(
            "is none of the places there are", key="cache.store", advice="write 'memory:' or 'redis://host[:port][/number]'"
        )


def check_server(server: ServerConfig, keys: Mapping[str, KeyConfig] = MappingProxyType({})) -> None:
    if not server.host:
        raise ConfigError("is empty", key="server.host", advice="write 127.0.0.1, or the address to listen on")
    if not _STATE.fullmatch(server.state):  # not shown: it may hold a password
        raise ConfigError(
            "is none of the places there are",
            key="server.state",
            advice="write 'memory:', 'sqlite:PATH' or 'redis://host[:port][/number]'",
        )
    for index, host in enumerate(server.allowed_hosts):
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not bare or re.search(r"[\s/@*\[\]]", bare) or (":" in bare and not _is_address(bare)):
            key = f"server.allowed_hosts[{index}]"
            raise ConfigError(f"{host!r} is not a host's name", key=key, advice="write it without scheme and port")
    for index, origin in enumerate(server.cors_origins):
        if origin != "*" and not _is_origin(origin):
            key = f"server.cors_origins[{index}]"
            advice = "write https://host[:port], file:// or null for pages of a disk, or '*'"
            raise ConfigError(f"{origin!r} is not an origin", key=key, advice=advice)
    check_exposure(server, keys)


def _is_origin(origin: str) -> bool:
    """Return whether *origin* is written as browsers write it (RFC 6454, section 6.2): that of a page from a disk is ``null``,
    and in Electron ``file://``."""
    if origin in ("null", "file://"):
        return True
    try:
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.scheme and parts.hostname) and origin == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
