"""Reads the tables of a TOML document (TOML 1.0) into structs: each value is checked against the type of its field.

A value that does not fit raises a `ConfigError` with its key, the problem and the advice. Knows no key of the config.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from .errors import ConfigError
from .suggestions import did_you_mean

T = TypeVar("T", bound=msgspec.Struct)

#: What the types of TOML are called in an error; dates and times are the rest.
_TYPE_NAMES: Final[dict[type, str]] = {
    str: "text in quotes",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list in brackets",
    dict: "a table",
}

#: The bounds of `msgspec.Meta`: the attribute, the comparison that holds within it, and its name in an error.
_BOUNDS: Final = (
    ("ge", operator.ge, "of at least"),
    ("gt", operator.gt, "above"),
    ("le", operator.le, "of at most"),
    ("lt", operator.lt, "below"),
)


class TableReader:
    """Makes structs of tables. ``readers``: by type, functions that make a value of that type from its key and what TOML holds.

    A field may be of such a type, a struct, a ``Literal`` of texts, ``str``, ``bool``, ``int`` or ``float`` (the last two with
    `msgspec.Meta` bounds), a tuple of any length of one of these, a dict with names of these, or one of these and None.
    """

    def __init__(self, readers: Mapping[Any, Callable[[str, Any], Any]]) -> None:
        self._readers = readers

    def read(self, key: str, value: Any, struct: type[T]) -> T:
        """Return the table *value*, found at *key* ("" for the document), as a *struct*."""
        table = as_table(key, value)
        below = f"{key}." if key else ""
        fields = {field.name: field for field in msgspec.structs.fields(struct)}
        tag = struct.__struct_config__.tag_field
        known = (tag, *fields) if tag else tuple(fields)
        for name in table:
            if name not in known:
                raise unknown_key(f"{below}{name}", known)
        for name, field in fields.items():
            if field.required and name not in table:
                raise ConfigError("is missing", key=f"{below}{name}")
        return struct(
            **{
                name: self._value(f"{below}{name}", table[name], field.type)
                for name, field in fields.items()
                if name in table
            }
        )  # fmt: skip

    def _value(self, key: str, value: Any, type: Any) -> Any:
        if type in self._readers:
            return self._readers[type](key, value)
        origin, arguments = get_origin(type), get_args(type)
        if origin is Annotated:
            return _check_bounds(key, self._value(key, value, arguments[0]), arguments[0], arguments[1])
        if origin in (Union, UnionType):  # TOML has no null: a value that is written is of the other type
            (present,) = (argument for argument in arguments if argument is not NoneType)
            return self._value(key, value, present)
        if origin is tuple:
            items = _scalar(key, value, list)
            return tuple(self._value(f"{key}[{index}]", item, arguments[0]) for index, item in enumerate(items))
        if origin is dict:
            return {name: self._value(f"{key}.{name}", item, arguments[1]) for name, item in as_table(key, value).items()}
        if origin is Literal:
            if value not in arguments:
                raise one_of(key, value, arguments)
            return value
        return self.read(key, value, type) if issubclass(type, msgspec.Struct) else _scalar(key, value, type)


def as_table(key: str, value: Any) -> dict[str, Any]:
    """Return *value* if it is a table, or raise."""
    if not isinstance(value, dict):
        raise ConfigError("is a table", key=key, advice=f"write [{key}]")
    return value


def unknown_key(key: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a key that does not exist."""
    known = tuple(known)
    meant = did_you_mean(key.rpartition(".")[2], known)
    return ConfigError("there is no such key", key=key, advice=f"known here: {', '.join(known)}{meant}")


def one_of(key: str, value: Any, known: Iterable[str]) -> ConfigError:
    """Return the error for a *value* that is none of the *known* ones, or None: is missing."""
    known = tuple(known)
    problem = "is missing" if value is None else f"{value!r:.100} is unknown"
    meant = did_you_mean(value, map(str, known)) if isinstance(value, str) else ""
    return ConfigError(problem, key=key, advice=f"it is one of {', '.join(map(repr, known))}{meant}")


def _scalar(key: str, value: Any, wanted: type) -> Any:
    found = type(value)
    if found is wanted:
        return value
    if wanted is float and found is int:
        return float(value)
    name = _TYPE_NAMES.get(found, "a date or a time")
    if (wanted, found) == (int, float):
        name = "one with a point or an exponent"
    raise ConfigError(f"expected {_TYPE_NAMES[wanted]}, not {name.removesuffix(' in quotes')}", key=key)


def _check_bounds(key: str, value: Any, type: Any, bounds: msgspec.Meta) -> Any:
    for attribute, holds, name in _BOUNDS:
        limit = getattr(bounds, attribute)
        if limit is not None and not holds(value, limit):  # NaN, which TOML has, is within no bounds
            raise ConfigError(f"expected {_TYPE_NAMES[type]} {name} {limit:.15g}", key=key)
    return value
