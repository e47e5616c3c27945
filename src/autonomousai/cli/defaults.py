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
from typing import Any, Literal

import msgspec

from ..clients.vendors import VENDORS
from ..directories import user_directory
from ..errors import ConfigError
from ..http.urls import check_base_url
from ..key_references import is_reference, resolve
from ..suggestions import did_you_mean
from .exit_codes import UsageError
from .toml import write_toml


class ChatDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options that can be kept. ``api_key``: ``env:NAME`` or ``keyring:NAME``, since keys are not kept in this file."""

    model: str | None = None
    base_url: str | None = None
    vendor: str | None = None
    wire: Literal["openai", "anthropic", "autonomousai"] | None = None
    api_key: str | None = None
    proxy: str | None = None
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    plain: bool | None = None


KEYS = tuple(ChatDefaults.__struct_fields__)

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
        return _checked(tomllib.loads(path.read_text(encoding="utf-8-sig")), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return ChatDefaults()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def _checked(document: dict[str, Any], where: str) -> ChatDefaults:
    if unknown := next((key for key in document if key not in KEYS), None):
        raise ConfigError(f"{where}: unknown key {unknown!r}; keys: {', '.join(KEYS)}{did_you_mean(unknown, KEYS)}")
    try:
        defaults = msgspec.convert(document, ChatDefaults)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    if defaults.api_key is not None and not is_reference(defaults.api_key):
        raise ConfigError(
            f"{where}: api_key: a key is not kept in this file; write env:NAME for the environment variable that holds it, or "
            "keyring:NAME for the system's keyring"
        )
    if defaults.vendor is not None and defaults.vendor not in ("anthropic", *VENDORS):
        raise ConfigError(f"{where}: vendor: unknown{did_you_mean(defaults.vendor, ('anthropic', *VENDORS))}")
    if defaults.base_url is not None:
        check_base_url(defaults.base_url, f"{where}: base_url")
    return defaults


def apply(args: argparse.Namespace, env: Mapping[str, str]) -> str:
    """Fill the options of ``chat`` that were left out. Returns the model that is asked where no other was named, or ``""``.

    What belongs to a server (its kind, its key, its model) counts where neither an option nor the environment names another.
    """
    defaults = load(env)
    for name in ("system", "temperature", "max_tokens"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(defaults, name))
    args.plain = args.plain or bool(defaults.plain)
    if args.base_url or args.vendor or env.get("AUTONOMOUSAI_BASE_URL") or args.weights:
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


def change(key: str, value: str | None, env: Mapping[str, str]) -> Path:
    """Set *key*, or remove it where *value* is None. Returns the file. Raises `UsageError` for what cannot be its value."""
    if key not in KEYS:
        raise UsageError(f"unknown key {key!r}; keys: {', '.join(KEYS)}{did_you_mean(key, KEYS)}")
    path = path_of(env)
    document = {name: each for name, each in msgspec.to_builtins(load(env)).items() if each is not None}
    document.pop(key, None)
    if value is not None:
        try:
            document[key] = _value(key, value)
            _checked(document, "config set")
        except ConfigError as error:
            raise UsageError(str(error).removeprefix("config set: ")) from None
    _write(path, write_toml(document))
    return path


def _value(key: str, value: str) -> Any:
    """*value*, as it stands on the command line, in the type of the key."""
    kind = {"temperature": float, "max_tokens": int, "plain": bool}.get(key, str)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{key}: {error}") from None


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
