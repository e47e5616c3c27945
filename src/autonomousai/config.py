"""The config: what a TOML file (TOML 1.0) says of the server, its upstreams and its models. Uses no network.

Every mistake is a `ConfigError` that names the file and the key (``server.port``) and says what to do. The types of the fields
are checked where a file is read (`config_reading`), the other rules in each `Config`, whether it comes from a file or was made
in Python. The tables' structs are in `settings`, those of upstreams in `kinds`; programs find all of them here.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

import msgspec

from .clients.vendors import VENDORS
from .config_reading import TableReader, as_table, one_of, unknown_key
from .engine.memory import memory_limit
from .errors import ConfigError
from .key_references import resolve
from .keys.checks import check_keys, read_labels, read_moment
from .kinds.autonomousai import AutonomousAIConfig
from .kinds.llamacpp import LlamaCppConfig
from .kinds.openai import OpenAIConfig
from .kinds.registry import DEFAULT_UPSTREAMS, KINDS
from .models import MODEL_ALIASES, MODELS
from .settings import (
    BreakerConfig,
    CacheConfig,
    ContextSize,
    EngineConfig,
    HealthConfig,
    KeyConfig,
    KeyPolicy,
    Labels,
    LedgerConfig,
    ModelConfig,
    PriceConfig,
    Reloaded,
    RescueConfig,
    ResponsesConfig,
    ResumeConfig,
    RetryConfig,
    RouteConfig,
    Secret,
    ServerConfig,
    TelemetryConfig,
    UpstreamHeaders,
    check_cache,
    check_exposure,
    check_server,
    is_loopback,
)
from .suggestions import did_you_mean
from .timeouts import Clocks
from .wires.redaction import secrets_of
from .wires.registry import WIRES

if TYPE_CHECKING:
    from .kinds.kind import UpstreamConfig
else:
    UpstreamConfig = reduce(or_, KINDS.values())  # msgspec tells them apart by their tags

__all__ = [
    "AutonomousAIConfig",
    "BreakerConfig",
    "CacheConfig",
    "Clocks",
    "Config",
    "EngineConfig",
    "HealthConfig",
    "KeyConfig",
    "KeyPolicy",
    "LedgerConfig",
    "LlamaCppConfig",
    "ModelConfig",
    "OpenAIConfig",
    "PriceConfig",
    "Reloaded",
    "RescueConfig",
    "ResponsesConfig",
    "ResumeConfig",
    "RetryConfig",
    "RouteConfig",
    "Secret",
    "ServerConfig",
    "TelemetryConfig",
    "check_exposure",
    "check_reload",
    "is_loopback",
    "load_config",
    "parse_config",
]


#: The tables of a config that a reload changes.
RELOADED: Final = frozenset({"upstreams", "models", "keys", "prices", "retry", "rescue", "breaker", "health", "clocks"})


class Config(msgspec.Struct, frozen=True):
    """The whole config. Without arguments: what a server without a file does, the embedded engine behind all five models.
    ``ledger``: None where none is kept. ``cache``: None where no answer is given again."""

    server: ServerConfig = ServerConfig()
    clocks: Clocks = Clocks()
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    health: HealthConfig = HealthConfig()
    rescue: RescueConfig = RescueConfig()
    resume: ResumeConfig = ResumeConfig()
    responses: ResponsesConfig = ResponsesConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    engine: EngineConfig = EngineConfig()
    ledger: LedgerConfig | None = None
    cache: CacheConfig | None = None
    prices: dict[str, PriceConfig] = {}
    upstreams: dict[str, UpstreamConfig] = msgspec.field(default_factory=DEFAULT_UPSTREAMS.copy)
    models: dict[str, ModelConfig] = {}
    keys: dict[str, KeyConfig] = {}

    def __post_init__(self) -> None:
        check_server(self.server, self.keys)
        check_keys(self.keys, WIRES, (*self.server.api_keys, *self.server.admin_keys))
        _check_memory(self.engine.memory)
        if self.cache is not None:
            check_cache(self.cache)
        for name, upstream in self.upstreams.items():
            upstream.check(f"upstreams.{name}")
        for name, model in self.models.items():
            _check_model(name, model, self.upstreams)
            _check_routing(name, model, self.upstreams)
        _check_names(self.models)
        for name, upstream in self.upstreams.items():
            _check_price(f"upstreams.{name}.price", getattr(upstream, "price", None))
        for name, price in self.prices.items():
            _check_price(f"prices.{name}", price)

    def served(self) -> dict[str, ModelConfig]:
        """Return every model that has a route, with all its aliases: others than the five first, as they were written.

        One of the five for which no route is written goes to the upstream that runs an engine, if there is exactly one: it
        plays any of them. With none, or with several to choose from, it has no route, is not listed, and answers 404.
        ``route = []`` switches one of the five off.
        """
        engines = tuple(name for name, upstream in self.upstreams.items() if upstream.plays_models)
        default = engines if len(engines) == 1 else ()
        served: dict[str, ModelConfig] = {}
        for name in (*(name for name in self.models if name not in MODELS), *MODELS):
            written = self.models.get(name, ModelConfig())
            if route := default if written.route is None else written.route:
                own = (MODELS[name].alias,) if name in MODELS else ()
                aliases = tuple(dict.fromkeys(own + written.aliases))
                served[name] = msgspec.structs.replace(written, aliases=aliases, route=route)
        return served

    def secrets(self) -> tuple[str, ...]:
        """Return every key and password in it: what no text that is shown may hold."""
        keys = [getattr(upstream, "api_key", None) for upstream in self.upstreams.values()]
        keys += [secret for upstream in self.upstreams.values() for secret in secrets_of(getattr(upstream, "headers", {}))]
        ledger, cache = self.ledger, self.cache
        urls = (self.server.state, "" if ledger is None else ledger.url, "" if cache is None else cache.store)
        passwords = (unquote(password) for url in urls if (password := urlsplit(url).password))
        own = (*self.server.api_keys, *self.server.admin_keys, *(key.key for key in self.keys.values() if key.key))
        return (*own, *(key for key in keys if key), *passwords)


def load_config(path: Path | None, env: Mapping[str, str]) -> Config:
    """Return the config of the TOML file at *path*; without one, the default. Keys written ``env:NAME`` are read from *env*,
    ``keyring:NAME`` from the system's keyring."""
    if path is None:
        return Config()
    try:
        return _read(tomllib.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8).decode()), env)
    except OSError as error:
        mistake = ConfigError(f"cannot be read ({error.strerror})", advice="give the path of a TOML file")
    except UnicodeDecodeError as error:
        mistake = ConfigError(f"is not UTF-8 (byte {error.start})", advice="save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistake = ConfigError(f"is not TOML: {error}")
    except ConfigError as error:
        mistake = error
    raise ConfigError(mistake.problem, key=mistake.key, advice=mistake.advice, file=str(path))


def parse_config(text: str, env: Mapping[str, str]) -> Config:
    """Return the config that *text* is, in TOML; see `load_config`. Raises `ConfigError`."""
    try:
        return _read(tomllib.loads(text), env)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}") from None


# ---- a document becomes a Config --------------------------------------------------------------------------------------


def _read(document: dict[str, Any], env: Mapping[str, str]) -> Config:
    known = Config.__struct_fields__
    for key in document:
        if key not in known:
            raise unknown_key(key, known)
    reader = TableReader(
        {
            Secret: partial(_secret, env=env),
            UpstreamHeaders: partial(_headers, env=env),
            ContextSize: _context_size,
            dt.datetime: read_moment,
            Labels: read_labels,
        }
    )
    tables = {key: as_table(key, document.get(key, {})) for key in known}
    return Config(
        server=reader.read("server", tables["server"], ServerConfig),
        clocks=reader.read("clocks", tables["clocks"], Clocks),
        retry=reader.read("retry", tables["retry"], RetryConfig),
        breaker=reader.read("breaker", tables["breaker"], BreakerConfig),
        health=reader.read("health", tables["health"], HealthConfig),
        rescue=reader.read("rescue", tables["rescue"], RescueConfig),
        resume=reader.read("resume", tables["resume"], ResumeConfig),
        responses=reader.read("responses", tables["responses"], ResponsesConfig),
        telemetry=reader.read("telemetry", tables["telemetry"], TelemetryConfig),
        engine=reader.read("engine", tables["engine"], EngineConfig),
        # What is allowed by keys is accounted too.
        ledger=reader.read("ledger", tables["ledger"], LedgerConfig) if "ledger" in document or tables["keys"] else None,
        cache=reader.read("cache", tables["cache"], CacheConfig) if "cache" in document else None,
        prices={
            name: reader.read(f"prices.{name}", table, PriceConfig)
            for name, table in _subtables("prices", tables["prices"])
        },
        # A file that names no upstream at all (only a port, say) leaves the default one in place.
        upstreams={
            name: _upstream(reader, f"upstreams.{name}", table, tables["clocks"])
            for name, table in _subtables("upstreams", tables["upstreams"])
        } or Config().upstreams,
        models={
            name: reader.read(f"models.{name}", table, ModelConfig)
            for name, table in _subtables("models", tables["models"])
        },
        keys={name: reader.read(f"keys.{name}", table, KeyConfig) for name, table in _subtables("keys", tables["keys"])},
    )  # fmt: skip


def _upstream(reader: TableReader, key: str, table: dict[str, Any], clocks: dict[str, Any]) -> UpstreamConfig:
    """Read one upstream. The general *clocks* are its own, but for those that its kind's default or its table changes."""
    struct = KINDS[_kind(key, table)]
    table = struct.completed(table)
    if "clocks" in struct.__struct_fields__:
        changed = _own_clocks(struct)
        general = {name: value for name, value in clocks.items() if name not in changed}
        own = as_table(f"{key}.clocks", table.get("clocks", {}))
        table = {**table, "clocks": {**changed, **Clocks.with_last({**general, **own})}}
    return reader.read(key, table, struct)


def _kind(key: str, table: dict[str, Any]) -> str:
    """Return the kind of an upstream. The error for a vendor in place of a kind, or the reverse, says which it is."""
    kind, vendor = table.get("kind"), table.get("vendor")
    if not isinstance(kind, str) or kind not in KINDS:
        if isinstance(kind, str) and kind in VENDORS:
            advice = f'write kind = "openai" and vendor = "{kind}"'
            raise ConfigError(f"{kind!r} is a vendor", key=f"{key}.kind", advice=advice)
        raise one_of(f"{key}.kind", kind, KINDS)
    if isinstance(vendor, str) and vendor in KINDS and vendor not in VENDORS:
        advice = f'write kind = "{vendor}", and leave vendor out'
        raise ConfigError(f"{vendor!r} is a kind", key=f"{key}.vendor", advice=advice)
    return kind


def _own_clocks(struct: type[UpstreamConfig]) -> dict[str, float]:
    """Return the clocks that a kind's default changes."""
    default = next(field.default for field in msgspec.structs.fields(struct) if field.name == "clocks")
    general = msgspec.structs.asdict(Clocks())
    return {name: value for name, value in msgspec.structs.asdict(default).items() if value != general[name]}


def _subtables(key: str, tables: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in tables.items():
        if not name.strip():
            raise ConfigError("a name is empty", key=key, advice="give it one")
        yield name, as_table(f"{key}.{name}", table)


def _secret(key: str, value: Any, env: Mapping[str, str]) -> Secret:
    """Read a key as it is written, or from where it is kept. An error never shows it."""
    if not isinstance(value, str):
        kept = "'env:NAME' for the environment variable NAME, or 'keyring:NAME' for the system's keyring"
        raise ConfigError(f"expected text: the key, {kept}", key=key)
    try:
        value, source = resolve(value, env)
    except ConfigError as error:
        raise ConfigError(error.problem, key=key, advice=error.advice) from None
    # RFC 9110, section 5.5: a header's value may hold more, but not every client and server agrees on how.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{source} must be of visible ASCII characters, without spaces: a header carries it", key=key)
    return Secret(value)


#: Headers of an upstream's requests that say how these are sent, which the client knows alone.
_OWN_HEADERS: Final = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "content-type",
        "content-encoding",
        "accept-encoding",
        "te",
        "upgrade",
    }
)


def _headers(key: str, value: Any, env: Mapping[str, str]) -> dict[str, Secret]:
    """Read headers of an upstream's requests. An error shows no value."""
    headers = {}
    for name, text in as_table(key, value).items():
        place = f"{key}.{name}"
        if re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) is None or name.lower() in _OWN_HEADERS:
            raise ConfigError("is no header that can be set", key=place, advice="name another, or leave it out")
        if not isinstance(text, str):
            raise ConfigError("expected text: the value, or 'env:NAME'", key=place)
        try:
            text, source = resolve(text, env)
        except ConfigError as error:
            raise ConfigError(error.problem, key=place, advice=error.advice) from None
        if not text.strip() or not text.isascii() or not text.isprintable():
            raise ConfigError(f"{source} must be of visible ASCII characters: a header carries it", key=place)
        headers[name] = Secret(text.strip())
    return headers


def _context_size(key: str, value: Any) -> int | str:
    if value == "auto" or (type(value) is int and 1 <= value < 2**31):
        return cast("int | str", value)
    raise ConfigError("expected a whole number of at least 1, or 'auto'", key=key)


def check_reload(old: Config, new: Config) -> None:
    """Raise `ConfigError` where *new* changes what cannot change while the server runs, or may not be served at all."""
    for table in Config.__struct_fields__:
        if table in RELOADED or (was := getattr(old, table)) == (is_now := getattr(new, table)):
            continue
        if table == "ledger" and was is None and new.keys:
            problem = "the first key brings a ledger with it, which cannot be opened while the server runs"
            raise ConfigError(problem, key="keys", advice='restart the server, or write [ledger] with url = "off"')
        fields = getattr(is_now, "__struct_fields__", ())
        changed = [name for name in fields if was is None or getattr(was, name) != getattr(is_now, name)]
        key = f"{table}.{changed[0]}" if changed else table
        raise ConfigError("cannot change while the server runs", key=key, advice="restart the server, or take the change back")
    check_exposure(new.server, new.keys)
    if not new.served() and new.engine.models_dir is None:
        raise ConfigError("no model has a route, so that nothing would be served", key="models", advice="give one a route")


# ---- what the types of the fields cannot say --------------------------------------------------------------------------


def _check_memory(memory: str) -> None:
    try:
        memory_limit(memory)
    except ValueError as error:
        raise ConfigError(str(error), key="engine.memory", advice="or leave it out") from None


def _check_model(name: str, model: ModelConfig, upstreams: Mapping[str, UpstreamConfig]) -> None:
    known = ", ".join(upstreams)
    if name not in MODELS and not model.route:
        raise ConfigError("is missing", key=f"models.{name}.route", advice=f"name at least one upstream of: {known}")
    for key, route in (("route", model.route or ()), ("over_budget", model.over_budget)):
        _check_route(f"models.{name}.{key}", name, route, upstreams)


def _check_route(key: str, name: str, route: tuple[str, ...], upstreams: Mapping[str, UpstreamConfig]) -> None:
    for index, upstream in enumerate(route):
        place = f"{key}[{index}]"
        if upstream not in upstreams:
            raise ConfigError(
                f"there is no upstream {upstream!r}",
                key=place,
                advice=f"the upstreams are: {', '.join(upstreams)}{did_you_mean(upstream, upstreams)}",
            )
        if upstream in route[:index]:
            raise ConfigError(f"{upstream!r} stands there twice", key=place, advice="name each upstream once")
        names = upstreams[upstream].only_models
        if names is not None and name not in names:
            raise ConfigError(f"{upstream!r} knows the models {', '.join(names)} alone", key=place)


def _check_routing(name: str, model: ModelConfig, upstreams: Mapping[str, UpstreamConfig]) -> None:
    """Check that what is set of a route's policy can have an effect on it."""
    if model.sticky and model.policy == "order":
        advice = 'with policy = "order" every conversation begins at the first upstream; leave it out, or choose another policy'
        raise ConfigError("needs a policy that chooses", key=f"models.{name}.sticky", advice=advice)
    route = [upstreams[upstream] for upstream in model.route or ()]
    if route and model.policy != "order" and not any(upstream.weight for upstream in route):
        advice = "give one of its upstreams a weight above 0, or leave their weights out"
        raise ConfigError("no upstream of the route has a weight", key=f"models.{name}.route", advice=advice)
    machines = {upstream.machine or name for name, upstream in zip(model.route or (), route, strict=True) if upstream.weight}
    if route and model.hedge and len(machines) == 1:
        advice = "name an upstream on another machine in the route, of a weight above 0, or leave hedge out"
        raise ConfigError("there is no second upstream to call", key=f"models.{name}.hedge", advice=advice)


def _check_price(key: str, price: PriceConfig | None) -> None:
    """Check that no two steps of a price begin at the same length of a prompt: either could be meant."""
    tiers = {} if price is None else {key: price, **{f"{key}.tiers.{name}": tier for name, tier in price.tiers.items()}}
    for place, tier in tiers.items():
        begins = [step.above for step in tier.steps]
        for index, above in enumerate(begins):
            if above in begins[:index]:
                problem = f"{above} is where another step begins"
                raise ConfigError(problem, key=f"{place}.steps[{index}].above", advice="remove one of the two")


def _check_names(models: Mapping[str, ModelConfig]) -> None:
    """Check that each name means one model: an alias is neither a model's name nor another model's alias."""
    names = {*MODELS, *models}
    owner = dict(MODEL_ALIASES)
    for name, model in models.items():
        if "*" in name:
            raise ConfigError(
                "is no pattern: a model has the name that callers send", key=f"models.{name}", advice="write each"
            )
        if name in owner:
            problem = f"{name!r} is an alias of the model {owner[name]!r}"
            raise ConfigError(problem, key=f"models.{name}", advice="choose another name")
        for index, alias in enumerate(model.aliases):
            key = f"models.{name}.aliases[{index}]"
            if not alias.strip():
                raise ConfigError("is empty", key=key, advice="write a name")
            if alias in names:
                raise ConfigError(f"{alias!r} is a model", key=key, advice="an alias needs a name of its own")
            if owner.setdefault(alias, name) != name or alias in model.aliases[:index]:
                problem = f"{alias!r} is an alias of the model {owner[alias]!r} already"
                raise ConfigError(problem, key=key, advice="remove one of the two")
