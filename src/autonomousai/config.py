"""What an operator can configure: the structs, and the TOML file (TOML 1.0) that is read into them. Uses no network.

Every mistake is a `ConfigError` that names the file and the key (``server.port``) and says what to do. The types of the fields
are checked where a file is read (`config_reading`), the other rules in each `Config`, whether it comes from a file or was made
in Python. The defaults here are what a server without a file does.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from .config_reading import TableReader, as_table, one_of, unknown_key
from .errors import ConfigError
from .models import DEFAULT_WEIGHTS, MODEL_ALIASES, MODELS, WEIGHTS
from .timeouts import ENGINE_FIRST_TOKEN, Clock, Clocks

# The upper bounds exclude `inf`, which is valid TOML and not a time that a timer can be set to.
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=10_000_000)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Secret(str):
    """A key: a string whose ``repr`` does not show it, so that the ``repr`` of a struct that holds it does not either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, who may use it, and its limits. Times in seconds, ``max_body`` in bytes."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    api_keys: tuple[Secret, ...] = ()
    drain_s: Seconds = 30
    state: str = "memory:"
    keepalive_s: Clock = 15
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body: Count = 20_000_000
    max_concurrency: Count = 1000
    queue_s: Seconds = 60
    log: Literal["text", "json", "off"] = "text"


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request's tries on one upstream, the first included, and the seconds before the second one."""

    attempts: Count = 3
    backoff: Seconds = 0.5


class BreakerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many failures in a row open an upstream's breaker, and the seconds to the first probe."""

    failures: Count = 5
    cooldown: Seconds = 3


class RescueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a broken answer is completed: one of at most ``exact_tokens`` pieces is generated again where that gives the same
    bytes; a longer one is continued where that is possible, because it is quicker."""

    exact_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 512


class ResumeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Streams that can be resumed: the seconds that a stream without a reader is still generated, the seconds that it is kept
    after its end, and the bytes that they take in all, wherever they are kept."""

    grace_s: Seconds = 30
    keep_s: Seconds = 300
    max_bytes: Count = 64_000_000


class TelemetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenTelemetry traces, by the extra ``otel``. ``content``: whether spans carry prompts and answers too. The standard
    ``OTEL_*`` environment variables say where they are sent to."""

    otel: bool = False
    content: bool = False


class LlamaCppConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="llamacpp"):
    """The embedded engine. ``weights``: a name of `models.WEIGHTS`, or a path to a GGUF file."""

    weights: str = DEFAULT_WEIGHTS
    slots: Count = 4
    context: Count = 4096
    threads: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    max_tokens: Count = 1024
    clocks: Clocks = Clocks(first_token=ENGINE_FIRST_TOKEN)


class OpenAIConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="openai"):
    """An OpenAI-compatible server. ``model``: the name sent upstream; absent, the caller's."""

    base_url: str
    api_key: Secret | None = None
    model: str | None = None
    prefill: Literal["yes", "no", "auto"] = "auto"
    vision: bool = False
    context: Count | None = None
    clocks: Clocks = Clocks()


class AutonomousAIConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="autonomousai"):
    """A server that speaks the AutonomousAI wire: its root, under which the endpoints keep their paths."""

    base_url: str = "https://chatgpt.autonomous.ai"
    api_key: Secret | None = None
    clocks: Clocks = Clocks()


UpstreamConfig: TypeAlias = LlamaCppConfig | OpenAIConfig | AutonomousAIConfig

KINDS: Final[dict[str, type[UpstreamConfig]]] = {
    "llamacpp": LlamaCppConfig,
    "openai": OpenAIConfig,
    "autonomousai": AutonomousAIConfig,
}


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's other names, and its upstreams in order of preference. ``route`` absent: see `Config.served`."""

    aliases: tuple[str, ...] = ()
    route: tuple[str, ...] | None = None


class Config(msgspec.Struct, frozen=True):
    """The whole config. Without arguments: what a server without a file does, the embedded engine behind all five models."""

    server: ServerConfig = ServerConfig()
    clocks: Clocks = Clocks()
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    rescue: RescueConfig = RescueConfig()
    resume: ResumeConfig = ResumeConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    upstreams: dict[str, UpstreamConfig] = msgspec.field(default_factory=lambda: {"embedded": LlamaCppConfig()})
    models: dict[str, ModelConfig] = {}

    def __post_init__(self) -> None:
        _check_server(self.server)
        for name, upstream in self.upstreams.items():
            _check_upstream(f"upstreams.{name}", upstream)
        for name, model in self.models.items():
            _check_model(name, model, self.upstreams)
        _check_names(self.models)

    def served(self) -> dict[str, ModelConfig]:
        """Return every model that has a route, with all its aliases: the five first, then the others as they were written.

        One of the five for which no route is written goes to the ``llamacpp`` upstream if there is exactly one: that engine
        plays any of them. With none, or with several to choose from, it has no route, is not listed, and answers 404.
        ``route = []`` switches one of the five off.
        """
        engines = tuple(name for name, upstream in self.upstreams.items() if isinstance(upstream, LlamaCppConfig))
        default = engines if len(engines) == 1 else ()
        served: dict[str, ModelConfig] = {}
        for name in (*MODELS, *(name for name in self.models if name not in MODELS)):
            written = self.models.get(name, ModelConfig())
            if route := default if written.route is None else written.route:
                own = (MODELS[name].alias,) if name in MODELS else ()
                served[name] = ModelConfig(aliases=tuple(dict.fromkeys(own + written.aliases)), route=route)
        return served


def load_config(path: Path | None, env: Mapping[str, str]) -> Config:
    """Return the config of the TOML file at *path*; without one, the default. Keys written ``env:NAME`` are read from *env*."""
    if path is None:
        return Config()
    try:
        return _read(tomllib.loads(path.read_bytes().decode()), env)
    except OSError as error:
        mistake = ConfigError(f"cannot be read ({error.strerror})", advice="give the path of a TOML file")
    except UnicodeDecodeError as error:
        mistake = ConfigError(f"is not UTF-8 (byte {error.start})", advice="save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistake = ConfigError(f"is not TOML: {error}")
    except ConfigError as error:
        mistake = error
    raise ConfigError(mistake.problem, key=mistake.key, advice=mistake.advice, file=str(path))


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, can be reached from this machine alone."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(server: ServerConfig) -> None:
    """Raise `ConfigError` for a server that other machines can reach and that asks for no key."""
    if not server.api_keys and not is_loopback(server.host):
        raise ConfigError(
            f"{server.host!r} can be reached from other machines, and no key is asked for",
            key="server.host",
            advice='set server.api_keys (for example ["env:AUTONOMOUSAI_API_KEY"]), or listen on 127.0.0.1',
        )


# ---- a document becomes a Config --------------------------------------------------------------------------------------


def _read(document: dict[str, Any], env: Mapping[str, str]) -> Config:
    known = Config.__struct_fields__
    for key in document:
        if key not in known:
            raise unknown_key(key, known)
    reader = TableReader({Secret: partial(_secret, env=env)})
    tables = {key: as_table(key, document.get(key, {})) for key in known}
    return Config(
        server=reader.read("server", tables["server"], ServerConfig),
        clocks=reader.read("clocks", tables["clocks"], Clocks),
        retry=reader.read("retry", tables["retry"], RetryConfig),
        breaker=reader.read("breaker", tables["breaker"], BreakerConfig),
        rescue=reader.read("rescue", tables["rescue"], RescueConfig),
        resume=reader.read("resume", tables["resume"], ResumeConfig),
        telemetry=reader.read("telemetry", tables["telemetry"], TelemetryConfig),
        # A file that names no upstream at all (only a port, say) leaves the default one in place.
        upstreams={
            name: _upstream(reader, f"upstreams.{name}", table, tables["clocks"])
            for name, table in _subtables("upstreams", tables["upstreams"])
        } or Config().upstreams,
        models={
            name: reader.read(f"models.{name}", table, ModelConfig)
            for name, table in _subtables("models", tables["models"])
        },
    )  # fmt: skip


def _upstream(reader: TableReader, key: str, table: dict[str, Any], clocks: dict[str, Any]) -> UpstreamConfig:
    """Read one upstream. Its clocks replace the general *clocks*; the engine's first token has a default of its own."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise one_of(f"{key}.kind", kind, KINDS)
    own = as_table(f"{key}.clocks", table.get("clocks", {}))
    engine = {"first_token": ENGINE_FIRST_TOKEN} if kind == "llamacpp" else {}
    return reader.read(key, {**table, "clocks": {**clocks, **engine, **own}}, KINDS[kind])


def _subtables(key: str, tables: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in tables.items():
        if not name.strip():
            raise ConfigError("a name is empty", key=key, advice="give it one")
        yield name, as_table(f"{key}.{name}", table)


def _secret(key: str, value: Any, env: Mapping[str, str]) -> Secret:
    """Read a key as it is written, or from the environment. An error never shows it."""
    if not isinstance(value, str):
        raise ConfigError("expected text: the key, or 'env:NAME' for the environment variable NAME", key=key)
    source = "the key"
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        source = f"the environment variable {name}"
        value = env.get(name, "")
        if not value:
            raise ConfigError(f"{source} is not set", key=key, advice="set it, or remove this entry")
    # RFC 9110, section 5.5: a header's value may hold more, but not every client and server agrees on how.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{source} must be of visible ASCII characters, without spaces: a header carries it", key=key)
    return Secret(value)


# ---- what the types of the fields cannot say --------------------------------------------------------------------------

_STATE: Final = re.compile(r"memory:|sqlite:.+|(?:redis|rediss|unix)://.+")


def _check_server(server: ServerConfig) -> None:
    if not server.host:
        raise ConfigError("is empty", key="server.host", advice="write 127.0.0.1, or the address to listen on")
    if not _STATE.fullmatch(server.state):  # not shown: it may hold a password
        raise ConfigError(
            "is none of the places there are",
            key="server.state",
            advice="write 'memory:', 'sqlite:PATH' or 'redis://host[:port]'",
        )
    for index, host in enumerate(server.allowed_hosts):
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not bare or re.search(r"[\s/@*\[\]]", bare) or (":" in bare and not _is_address(bare)):
            key = f"server.allowed_hosts[{index}]"
            raise ConfigError(f"{host!r} is not a host's name", key=key, advice="write it without scheme and port")
    for index, origin in enumerate(server.cors_origins):
        if origin != "*" and not _is_origin(origin):
            key = f"server.cors_origins[{index}]"
            raise ConfigError(f"{origin!r} is not an origin", key=key, advice="write https://host[:port], or '*'")
    check_exposure(server)


def _check_upstream(key: str, upstream: UpstreamConfig) -> None:
    if isinstance(upstream, LlamaCppConfig):
        weights = upstream.weights
        if weights not in WEIGHTS and "/" not in weights and not weights.endswith(".gguf"):
            known = f"the names are {', '.join(WEIGHTS)}, or give a path to a GGUF file"
            raise ConfigError(f"{weights!r} is unknown", key=f"{key}.weights", advice=known)
        return
    if problem := _url_problem(upstream.base_url):
        advice = "write http://host[:port] or https://host[:port] with the API's root path"
        raise ConfigError(problem, key=f"{key}.base_url", advice=advice)
    if isinstance(upstream, OpenAIConfig) and upstream.model == "":
        advice = "name the upstream's model, or leave the key out to send the caller's"
        raise ConfigError("is empty", key=f"{key}.model", advice=advice)


def _check_model(name: str, model: ModelConfig, upstreams: Mapping[str, UpstreamConfig]) -> None:
    known = ", ".join(upstreams)
    if name not in MODELS and not model.route:
        raise ConfigError("is missing", key=f"models.{name}.route", advice=f"name at least one upstream of: {known}")
    for index, upstream in enumerate(model.route or ()):
        key = f"models.{name}.route[{index}]"
        if upstream not in upstreams:
            raise ConfigError(f"there is no upstream {upstream!r}", key=key, advice=f"the upstreams are: {known}")
        if upstream in (model.route or ())[:index]:
            raise ConfigError(f"{upstream!r} stands there twice", key=key, advice="name each upstream once")
        if name not in MODELS and isinstance(upstreams[upstream], AutonomousAIConfig):
            raise ConfigError(f"the AutonomousAI wire of {upstream!r} knows the models {', '.join(MODELS)} alone", key=key)


def _check_names(models: Mapping[str, ModelConfig]) -> None:
    """Check that each name means one model: an alias is neither a model's name nor another model's alias."""
    names = {*MODELS, *models}
    owner = dict(MODEL_ALIASES)
    for name, model in models.items():
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


def _url_problem(url: str) -> str:
    """Return what is wrong with the base URL of an upstream, or nothing."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        return f"is not a URL ({error})"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        return "is not an http URL"
    if parts.username is not None or parts.password is not None:
        return "carries a name or a password: put the key into api_key"
    if parts.query or parts.fragment:
        return "has a query or a fragment"
    if route := _ROUTE.search(parts.path):
        return f"names a route of the server: leave out {route[1]}"
    return ""


#: What is sometimes copied with a base URL; `http.urls` holds clients to the same, but knows neither file nor key.
_ROUTE: Final = re.compile(r"(/chat/completions|/api/v1/ai/chat)/*$")


def _is_origin(origin: str) -> bool:
    """Return whether *origin* is written as browsers write it (RFC 6454, section 6.2)."""
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
