"""What may be written of a key, in the config and when one is made: checks that types alone cannot say, with their advice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..errors import ConfigError
from ..settings import KeyConfig, KeyPolicy
from ..suggestions import did_you_mean
from .records import HASH, NAME, configured_key

#: Labels of one key, and characters of a label's name and of its value.
MAX_LABELS = 16
MAX_LABEL = 128

#: Seconds that an old secret may open beside the new one.
LONGEST_KEEP_S = 30 * 24 * 3600.0


def read_moment(key: str, value: Any) -> dt.datetime:
    """Read a time: a date and a time of TOML, or RFC 3339's text. A date alone is its first moment, and a time without an
    offset is one of UTC."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            value = None
    elif type(value) is dt.date:
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if not isinstance(value, dt.datetime):
        raise ConfigError("is no time", key=key, advice="write 2027-01-31, or 2027-01-31T18:00:00Z")
    return value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)


def read_labels(key: str, value: Any) -> dict[str, str]:
    """Read a table of names and values, both texts."""
    if not isinstance(value, dict):
        raise ConfigError("is a table", key=key, advice='write { team = "shop" }')
    if len(value) > MAX_LABELS:
        raise ConfigError(f"has {len(value)} labels; at most {MAX_LABELS} are kept", key=key)
    for name, text in value.items():
        if not isinstance(text, str) or not name or max(len(name), len(text)) > MAX_LABEL:
            problem = f"is text of at most {MAX_LABEL} characters, and so is its name"
            raise ConfigError(problem, key=f"{key}.{name[:MAX_LABEL]}")
    return dict(value)


def check_keys(keys: Mapping[str, KeyConfig], wires: Collection[str], others: Iterable[str]) -> None:
    """Check the tables ``[keys.NAME]``. *others*: the keys of ``[server]``. Raises `ConfigError`, which shows no key."""
    owner: dict[bytes, str] = {}
    for name, config in keys.items():
        check_name(name, f"keys.{name}")
        check_policy(config, wires, f"keys.{name}")
        if (config.key is None) == (config.hash is None):
            problem = "needs a key" if config.key is None else "has both key and hash"
            raise ConfigError(problem, key=f"keys.{name}", advice='write key = "env:NAME", or hash = "sha256:…"')
        if config.hash is not None and HASH.fullmatch(config.hash) is None:
            advice = "write sha256: and the 64 hexadecimal digits of the key's SHA-256"
            raise ConfigError("is no hash", key=f"keys.{name}.hash", advice=advice)
        digest = configured_key(name, config).digest
        if digest in owner:
            raise ConfigError(f"is the same key as that of keys.{owner[digest]}", key=f"keys.{name}", advice="make another")
        owner[digest] = name
        if config.key is not None and config.key in others:
            raise ConfigError("its key stands in [server] too", key=f"keys.{name}", advice="remove one of the two")


def check_name(name: str, key: str) -> None:
    """Raise `ConfigError` for a name that cannot be a label, a word of a log and a part of a URL."""
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name[:80]!r} cannot be a key's name",
            key=key,
            advice="use up to 64 letters, digits, dots, dashes and underscores; a letter or digit first and last",
        )


def check_policy(policy: KeyPolicy, wires: Collection[str], key: str) -> None:
    """Check what the holder of a key may do. Whether models exist is not known here."""
    for index, wire in enumerate(policy.wires):
        if wire not in wires:
            advice = f"it is one of {', '.join(wires)}{did_you_mean(wire, wires)}"
            raise ConfigError(f"{wire[:80]!r} is no API of this server", key=f"{key}.wires[{index}]", advice=advice)
    for index, model in enumerate(policy.models):
        if not model.strip() or "*" in model[:-1]:
            advice = "write a model's name, or a beginning of names with * at its end"
            raise ConfigError(f"{model[:80]!r} names no model", key=f"{key}.models[{index}]", advice=advice)
