"""Halves of surrogate pairs, which JSON can write (RFC 8259, section 8.2) and UTF-8 cannot carry: joined, or replaced."""

from __future__ import annotations

import re
from typing import Any, Final

#: An escape in JSON text that is half of a pair, whether the other half follows or not.
ESCAPED_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")

_HALVES: Final = re.compile("[\ud800-\udfff]")


def mend(text: str) -> str:
    """*text* with halves of surrogate pairs joined, and those that stay alone replaced by U+FFFD: encodable again."""
    if not _HALVES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mend_all(value: Any) -> Any:
    """*value*, any JSON, with all its text mended, the names of members too."""
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, list):
        return [mend_all(item) for item in value]
    if isinstance(value, dict):
        return {mend(name): mend_all(item) for name, item in value.items()}
    return value


def split_half(text: str) -> tuple[str, str]:
    """*text* mended, and the first half of a pair that it ends in: servers that cut text by UTF-16 units send the second half
    with the next chunk."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return mend(text[:-1]), text[-1]
    return mend(text), ""
