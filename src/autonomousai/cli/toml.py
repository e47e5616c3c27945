"""Plain values -> TOML, as a person would write it. Python reads TOML, but writes none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(document: dict[str, Any]) -> str:
    """*document* as TOML. What is None is left out: TOML has no word for it."""
    return "\n".join(_table((), document)).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], table: dict[str, Any]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if value is not None and not isinstance(value, dict)}
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    if path and (values or not tables):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in tables.items():
        yield from _table((*path, key), value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    """JSON's notation of text, numbers, booleans and lists is TOML's, but for DEL."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
