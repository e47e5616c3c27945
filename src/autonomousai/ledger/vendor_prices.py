"""Vendors' own prices, a row for each model that is sure, with the day on which the vendor's document was read.

A row is for the vendor's own servers alone: another server's model of the same name costs what that server wants. Prices
change; what ``[prices]`` of the config says counts first.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class VendorPrice(msgspec.Struct, frozen=True):
    """US dollars for a million tokens of *model*, as ``source`` said on the day ``read`` (ISO 8601). Dated names of the model
    (``-2025-04-14``, ``-20250929``) and ``-latest`` cost the same."""

    model: str
    read: str
    source: str
    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None

    def is_of(self, name: str) -> bool:
        """Return whether a model of that name costs this."""
        return _undated(name) == self.model


_DATE: Final = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


def _undated(name: str) -> str:
    return _DATE.sub("", name)


#: By vendor, as `clients.vendors` calls it.
VENDOR_PRICES: Final[dict[str, tuple[VendorPrice, ...]]] = {}
