"""What kind a JSON value is, in words."""

from __future__ import annotations

from typing import Any, Final

_KINDS: Final = {
    dict: "an object",
    list: "a list",
    tuple: "a list",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def kind(value: Any) -> str:
    """Return what *value* is, in the words of JSON, for a message that must not show the value."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)
