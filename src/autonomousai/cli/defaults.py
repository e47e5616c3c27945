"""What ``chat`` does where an option is left out: a TOML file in the user's config directory. Knows that file and no network.

model = "llama3.2"
base_url = "http://127.0.0.1:11434/v1"
temperature = 0.7
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..clients.vendors import VENDORS
from ..config_reading import TableReader, one_of
from ..directories import user_directory
from ..errors import ConfigError
from ..http.proxies import Proxy
from ..http.urls import check_base_url, clean_base_url
from ..key_references import is_reference, resolve
from ..suggestions import did_you_mean
from .exit_codes import UsageError
from .toml import write_toml


class ChatDefaults(msgspec.Struct, frozen=True):
    """The options that can be kept. ``api_key``: ``env:NAME`` or ``keyring:NAME``, since keys are not kept in this file."""

    model: str | None = None
    base_url: str | None = None
    vendor: str | None = None
    wire: Literal["openai", "anthropic", "autonomousai"] | None = None
    api_key: str | None = None
    proxy: str | None = None
    system: str | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    plain: bool | None = None


KEYS = tuple(ChatDefaults.__struct_fields__)

_VENDORS = ("anthropic", *VENDORS)

#: Defaults that belong to a server: they count where no other one is named.
_OF_THE_SERVER = ("vendor", "wire", "api_key", "proxy")


def path_of(env: Mapping[str, str]) -> Path:
    """The file, whether it is there or not."""
    try:
        return user_directory("config", env) / "defaults.toml"
    except RuntimeError:
        raise ConfigError("there is no home directory to look for defaults in; set XDG_CONFIG_HOME") from None


def load(env: Mapping[str, str]) -> ChatDefaults:
    """The defaults that are kept. Raises `ConfigError` that names the file and the key."""
    try:
        path = path_of(env)
    except ConfigError:
        return ChatDefaults()
    try:
        return _checked(_document(path))
    except ConfigError as error:
        raise ConfigError(error.problem, key=error.key, advice=error.advice, file=str(path)) from None


def _document(path: Path) -> dict[str, Any]:
    """What the file holds, which may be wrong; nothing where there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", file=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8; save it as UTF-8", file=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", file=str(path)) from None


def _checked(document: dict[str, Any]) -> ChatDefaults:
    defaults = TableReader({}).read("", document, ChatDefaults)
    if defaults.api_key is not None and not is_reference(defaults.api_key):
        advice = "write env:NAME for the environment variable that holds it, or keyring:NAME for the system's keyring"
        raise ConfigError("a key is not kept in this file", key="api_key", advice=advice)
    if defaults.vendor is not None and defaults.vendor not in _VENDORS:
        raise one_of("vendor", defaults.vendor, _VENDORS)
    if defaults.base_url is not None:
        check_base_url(defaults.base_url, query=True)
    if defaults.proxy is not None:
        Proxy(defaults.proxy)
    return defaults


def apply(args: argparse.Namespace, env: Mapping[str, str]) -> str:
    """Fill the options of ``chat`` that were left out. Returns the model that is asked where no other was named, or ``""``.

    What belongs to a server (its kind, its key, its model) counts where neither an option nor the environment names another: a
    key must not go to a server that it is not for.
    """
    defaults = load(env)
    for name in ("system", "temperature", "max_tokens"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(defaults, name))
    args.plain = args.plain or bool(defaults.plain)
    named = args.base_url or env.get("AUTONOMOUSAI_BASE_URL")
    if args.vendor or args.weights or (named and not _is_same(named, defaults.base_url)):
        return ""
    args.base_url, args.vendor = defaults.base_url, defaults.vendor
    if defaults.base_url or defaults.vendor:
        for name in _OF_THE_SERVER:
            if not getattr(args, name):
                setattr(args, name, getattr(defaults, name))
        if args.api_key and args.api_key == defaults.api_key:
            try:
                args.api_key, _ = resolve(args.api_key, env)
            except ConfigError as error:
                raise ConfigError(error.problem, key="api_key", advice=error.advice, file=str(path_of(env))) from None
    return defaults.model or ""


def _is_same(base_url: str, kept: str | None) -> bool:
    return kept is not None and clean_base_url(base_url) == clean_base_url(kept)


def as_key(key: str) -> str:
    """Return *key* as it stands in the file, where it was written like the option."""
    return key.removeprefix("--").replace("-", "_")


def change(key: str, value: str | None, env: Mapping[str, str]) -> Path:
    """Set *key*, or remove it where *value* is None. Returns the file. Raises `UsageError` for what cannot be its value.

    What is wrong in the file can be removed, and set to something else.
    """
    path = path_of(env)
    document = _document(path)
    if key not in document:
        key = as_key(key)
    if key not in KEYS and (value is not None or key not in document):
        raise UsageError(f"unknown key {key!r}; keys: {', '.join(KEYS)}{did_you_mean(key, KEYS)}")
    document.pop(key, None)
    if value is not None:
        document[key] = _value(key, value)
        try:
            _checked({key: document[key]})
        except ConfigError as error:
            raise UsageError(str(error)) from None
    _write(path, write_toml(document))
    return path


def _value(key: str, value: str) -> Any:
    """*value*, as it stands on the command line, in the type of the key."""
    kind: Any = {"temperature": float, "max_tokens": int, "plain": bool}.get(key, str)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        expected = {float: "a number", int: "a whole number", bool: "true or false"}[kind]
        raise UsageError(f"{key}: expected {expected}, not {value[:100]!r}") from None


def _write(path: Path, text: str) -> None:
    """In one step: a reader has the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
