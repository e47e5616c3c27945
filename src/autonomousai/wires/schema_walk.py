"""JSON schemas, changed in each of their places. Knows no wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Json = dict[str, Any]

#: Keywords whose value has schemas by names that are not keywords.
_BY_NAME: Final = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})

#: Keywords whose value is no schema, whatever it looks like.
_VALUES: Final = frozenset({"enum", "const", "default", "examples", "required"})


def mapped(schema: Any, change: Callable[[Json], Json]) -> Any:
    """Return *schema* with a *change* of it and of each schema in it. JSON has an end, and requests a greatest depth."""
    if isinstance(schema, list):
        return [mapped(each, change) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _mapped_member(name, value, change) for name, value in change(schema).items()}


def _mapped_member(name: str, value: Any, change: Callable[[Json], Json]) -> Any:
    if name in _VALUES:
        return value
    if name in _BY_NAME and isinstance(value, dict):
        return {key: mapped(each, change) for key, each in value.items()}
    return mapped(value, change)
