"""What an operator may configure: the structs, and the TOML file read into them. Does no network, and knows no provider.

Every mistake is a `ConfigError` that names the file and the key (``server.port``) and says what to do. A `Config` made in
Python is checked as well, by the same rules; what is written here as a default is what a server without a file does.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from .errors import ConfigError
from .models import DEFAULT_WEIGHTS, MODEL_ALIASES, MODELS, WEIGHTS
from .timeouts import ENGINE_FIRST_TOKEN, Clock, Clocks

T = TypeVar("T")

# The upper bounds keep out `inf`, which is valid TOML and no time that a timer could be set to.
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=10_000_000)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Secret(str):
    """A key. It is the text that it holds, but its ``repr`` does not show it, nor does that of a struct around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, who may enter, and how much. Times in seconds, ``max_body`` in bytes."""

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
    """An answer that breaks after at most ``exact_tokens`` pieces is generated again where that gives the same bytes; a longer
    one is continued where that is possible, because it is quicker."""

    exact_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 512


class ResumeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Streams that can be resumed: the seconds that one is generated on without a reader, the seconds that it is kept after its
    end, and the bytes that ``state = "memory:"`` holds in all."""

    grace_s: Seconds = 30
    keep_s: Seconds = 300
    max_bytes: Count = 64_000_000


class TelemetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenTelemetry traces, by the extra ``otel``. ``content``: whether spans carry prompts and answers too. Where they are
    sent to is said by the standard ``OTEL_*`` environment variables."""

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
    """Everything. Without arguments it is what a server without a file does: the embedded engine behind all five models."""

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
        """Every model that has a route, with all its aliases: the five first, then the others as they were written.

        One of the five for which no route is written goes to the ``llamacpp`` upstream if there is exactly one: that engine
        plays any of them. With none, or with several to choose from, nobody could say where it belongs: it has no route then,
        is not listed, and answers 404. ``route = []`` switches one of the five off.
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
    """The config of the TOML file at *path*; without one, the default. ``env:NAME`` in place of a key is read from *env*."""
    if path is None:
        return Config()
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    try:
        return _read(document, env)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address, can be reached from this machine alone."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(server: ServerConfig) -> None:
    """Refuse to listen for other machines without a key."""
    if not server.api_keys and not is_loopback(server.host):
        raise ConfigError(
            f"server.host: {server.host!r} can be reached from other machines, and no key is asked for; "
            'set server.api_keys (for example ["env:AUTONOMOUSAI_API_KEY"]), or listen on 127.0.0.1'
        )


def _read(document: dict[str, Any], env: Mapping[str, str]) -> Config:
    known = Config.__struct_fields__
    for key in document:
        if key not in known:
            raise _unknown(key, known)
    tables = {key: _table(key, document.get(key, {})) for key in known}
    clocks = _convert("clocks", tables["clocks"], Clocks, env)
    upstreams = {
        name: _upstream(f"upstreams.{name}", table, tables["clocks"], env)
        for name, table in _subtables("upstreams", tables["upstreams"])
    }
    return Config(
        server=_convert("server", tables["server"], ServerConfig, env),
        clocks=clocks,
        retry=_convert("retry", tables["retry"], RetryConfig, env),
        breaker=_convert("breaker", tables["breaker"], BreakerConfig, env),
        rescue=_convert("rescue", tables["rescue"], RescueConfig, env),
        resume=_convert("resume", tables["resume"], ResumeConfig, env),
        telemetry=_convert("telemetry", tables["telemetry"], TelemetryConfig, env),
        # A file that names no upstream at all (only a port, say) leaves the default one in place.
        upstreams=upstreams or Config().upstreams,
        models={
            name: _convert(f"models.{name}", table, ModelConfig, env)
            for name, table in _subtables("models", tables["models"])
        },
    )  # fmt: skip


def _upstream(key: str, table: dict[str, Any], clocks: dict[str, Any], env: Mapping[str, str]) -> UpstreamConfig:
    """One upstream, its clocks laid over the general ones. The engine's first token has a default of its own."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        found = "is missing" if kind is None else f"{kind!r} is unknown"
        raise ConfigError(f"{key}.kind: {found}; it is one of {', '.join(map(repr, KINDS))}")
    own = _table(f"{key}.clocks", table.get("clocks", {}))
    engine = {"first_token": ENGINE_FIRST_TOKEN} if kind == "llamacpp" else {}
    return _convert(key, {**table, "clocks": {**clocks, **engine, **own}}, KINDS[kind], env)


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{key}: is a table; write [{key}]")
    return value


def _subtables(key: str, tables: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in tables.items():
        if not name.strip():
            raise ConfigError(f"{key}: a name is empty; give it one")
        yield name, _table(f"{key}.{name}", table)


_PLACE = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


#: What may stand where msgspec only says that something else does not.
_CHOICES = {"prefill": "; it is one of 'yes', 'no', 'auto'", "log": "; it is one of 'text', 'json', 'off'"}


def _convert(key: str, table: dict[str, Any], type: type[T], env: Mapping[str, str]) -> T:
    """*table* as *type*. A `ConfigError` says where under *key* it does not fit; it never shows a key's value."""

    def decode(wanted: Any, value: Any) -> Any:
        assert wanted is Secret
        return _secret(value, env)

    try:
        return msgspec.convert(table, type, dec_hook=decode)
    except msgspec.ValidationError as error:
        match = _PLACE.fullmatch(str(error))
        assert match is not None
        problem, place = match["problem"], match["place"]
        where = f"{key}.{place}" if place else key
        if unknown := _UNKNOWN.fullmatch(problem):
            fields = _fields(type, place)
            raise _unknown(f"{where}.{unknown[1]}", fields) from None
        if missing := _MISSING.fullmatch(problem):
            raise ConfigError(f"{where}.{missing[1]}: is missing") from None
        choices = _CHOICES.get(place or "", "")
        raise ConfigError(f"{where}: {_in_words(problem)}{choices}") from None


_EXPECTED = re.compile(r"Expected `(?P<kind>\w+)(?: \| null)?`(?:, got `(?P<got>\w+)`| (?P<bound>[<>]=?) (?P<limit>[\d.]+))?")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list in brackets",
    "object": "a table",
}
_BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


def _in_words(problem: str) -> str:
    """msgspec's own words, for people who write TOML."""
    match = _EXPECTED.fullmatch(problem)
    if match is None:
        return problem[:1].lower() + problem[1:]
    wanted = _KINDS.get(match["kind"], match["kind"])
    if match["bound"]:
        return f"expected {wanted} {_BOUNDS[match['bound']]} {float(match['limit']):.15g}"
    return f"expected {wanted}" + (
        f", not {_KINDS.get(match['got'], match['got']).removesuffix(' in quotes')}" if match["got"] else ""
    )


def _fields(type: Any, place: str | None) -> tuple[str, ...]:
    fields: tuple[str, ...] = (Clocks if place == "clocks" else type).__struct_fields__
    return (*(("kind",) if type in KINDS.values() and not place else ()), *fields)


def _unknown(key: str, known: tuple[str, ...]) -> ConfigError:
    return ConfigError(f"{key}: there is no such key; known here: {', '.join(known)}")


def _secret(value: Any, env: Mapping[str, str]) -> Secret:
    """A key as written, or out of the environment. A `ValueError` becomes a `ValidationError`, which knows the place."""
    if not isinstance(value, str):
        raise ValueError("expected text: the key, or 'env:NAME' for the environment variable NAME")
    source = "the key"
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        source = f"the environment variable {name}"
        value = env.get(name, "")
        if not value:
            raise ValueError(f"{source} is not set; set it, or remove this entry")
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{source} must be of visible ASCII characters, without spaces: a header carries it")
    return Secret(value)


_STATE = re.compile(r"memory:|sqlite:.+|(?:redis|rediss|unix)://.+")


def _check_server(server: ServerConfig) -> None:
    if not server.host:
        raise ConfigError("server.host: is empty; write 127.0.0.1, or the address to listen on")
    if not _STATE.fullmatch(server.state):  # not shown: it may carry a password
        raise ConfigError(
            "server.state: is none of the places there are; write 'memory:', 'sqlite:PATH' or 'redis://host[:port]'"
        )
    for index, host in enumerate(server.allowed_hosts):
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not bare or re.search(r"[\s/@*\[\]]", bare) or (":" in bare and not _is_address(bare)):
            raise ConfigError(f"server.allowed_hosts[{index}]: {host!r} is not a host's name; write it without scheme and port")
    for index, origin in enumerate(server.cors_origins):
        if origin != "*" and not _is_origin(origin):
            raise ConfigError(f"server.cors_origins[{index}]: {origin!r} is not an origin; write https://host[:port], or '*'")
    check_exposure(server)


def _check_upstream(key: str, upstream: UpstreamConfig) -> None:
    if isinstance(upstream, LlamaCppConfig):
        weights = upstream.weights
        if weights not in WEIGHTS and "/" not in weights and not weights.endswith(".gguf"):
            raise ConfigError(
                f"{key}.weights: {weights!r} is unknown; the names are {', '.join(WEIGHTS)}, or give a path to a GGUF file"
            )
        return
    problem = _url_problem(upstream.base_url)
    if problem:
        raise ConfigError(
            f"{key}.base_url: {problem}; write http://host[:port] or https://host[:port] with the API's root path"
        )
    if isinstance(upstream, OpenAIConfig) and upstream.model == "":
        raise ConfigError(f"{key}.model: is empty; name the upstream's model, or leave the key out to send the caller's")


def _check_model(name: str, model: ModelConfig, upstreams: Mapping[str, UpstreamConfig]) -> None:
    if name not in MODELS and not model.route:
        raise ConfigError(f"models.{name}.route: is missing; name at least one upstream of: {', '.join(upstreams)}")
    for index, upstream in enumerate(model.route or ()):
        key = f"models.{name}.route[{index}]"
        if upstream not in upstreams:
            raise ConfigError(f"{key}: there is no upstream {upstream!r}; the upstreams are: {', '.join(upstreams)}")
        if upstream in (model.route or ())[:index]:
            raise ConfigError(f"{key}: {upstream!r} stands there twice; name each upstream once")
        if name not in MODELS and isinstance(upstreams[upstream], AutonomousAIConfig):
            raise ConfigError(f"{key}: the AutonomousAI wire of {upstream!r} knows the models {', '.join(MODELS)} alone")


def _check_names(models: Mapping[str, ModelConfig]) -> None:
    """One name, one model: an alias is neither a model's name nor another model's alias."""
    names = {*MODELS, *models}
    owner = dict(MODEL_ALIASES)
    for name, model in models.items():
        if name in owner:
            raise ConfigError(f"models.{name}: {name!r} is an alias of the model {owner[name]!r}; choose another name")
        for index, alias in enumerate(model.aliases):
            key = f"models.{name}.aliases[{index}]"
            if not alias.strip():
                raise ConfigError(f"{key}: is empty; write a name")
            if alias in names:
                raise ConfigError(f"{key}: {alias!r} is a model; an alias needs a name of its own")
            if owner.setdefault(alias, name) != name or alias in model.aliases[:index]:
                raise ConfigError(f"{key}: {alias!r} is an alias of the model {owner[alias]!r} already; remove one of the two")


def _url_problem(url: str) -> str:
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


#: What is sometimes copied with a base URL; `providers.proxy` holds clients to the same, but knows neither file nor key.
_ROUTE: Final = re.compile(r"(/chat/completions|/api/v1/ai/chat)/*$")


def _is_origin(origin: str) -> bool:
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
