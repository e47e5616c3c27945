"""Vendors' own prices, a row for each model that is sure, with the day on which the vendor's document was read.

A row is for the vendor's own servers alone: another server's model of the same name costs what that server wants. Prices
change; what ``[prices]`` of the config says counts first.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..settings import PriceConfig, PriceTier


class VendorPrice(msgspec.Struct, frozen=True):
    """The ``price`` of *model*, as ``source`` said on the day ``read`` (ISO 8601). Dated names of the model (``-2025-04-14``,
    ``-20250929``) and ``-latest`` cost the same."""

    model: str
    read: str
    source: str
    price: PriceConfig

    def is_of(self, name: str) -> bool:
        """Return whether a model of that name costs this."""
        return name == self.model or _undated(name) == self.model


_DATE: Final = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


def _undated(name: str) -> str:
    return _DATE.sub("", name)


_ANTHROPIC: Final = "https://platform.claude.com/docs/en/about-claude/pricing"
_READ: Final = "2026-11-29"

#: OpenAI's page shows its newest models; what it says of these was read where others quote it.
_OPENAI_4O: Final = "https://github.com/CommitBrief/commitbrief/wiki/Provider-OpenAI"
_OPENAI_41: Final = "https://github.com/github/docs/blob/main/data/tables/copilot/models-and-pricing.yml"

#: As https://openai.com/api-priority-processing/ said on 2026-11-30.
_PRIORITY_41: Final = PriceTier(3.5, 14.0, cached=0.875)


def _claude(model: str, base: float) -> VendorPrice:
    """Return the row of a model: all of these have one ratio."""
    price = PriceConfig(base, 5 * base, cached=base / 10, cache_write=1.25 * base, cache_write_1h=2 * base)
    return VendorPrice(model, _READ, _ANTHROPIC, price)


#: By vendor, as `clients.vendors` calls it.
VENDOR_PRICES: Final[dict[str, tuple[VendorPrice, ...]]] = {
    "anthropic": (
        *(_claude(f"claude-opus-{version}", 5.0) for version in ("5", "4-8", "4-7", "4-6", "4-5")),
        *(_claude(f"claude-opus-{version}", 15.0) for version in ("4-1", "4")),
        *(_claude(f"claude-sonnet-{version}", 3.0) for version in ("4-6", "4-5", "4")),
        *(_claude(f"claude-sonnet-{version}", 2.0) for version in ("5-5", "5")),
        _claude("claude-haiku-4-5", 1.0),
    ),
    "openai": (
        VendorPrice("gpt-4o", "2026-05-27", _OPENAI_4O, PriceConfig(2.5, 10.0, cached=1.25)),
        VendorPrice("gpt-4o-mini", "2026-05-27", _OPENAI_4O, PriceConfig(0.15, 0.6, cached=0.075)),
        VendorPrice("gpt-4.1", _READ, _OPENAI_41, PriceConfig(2.0, 8.0, cached=0.5, tiers={"priority": _PRIORITY_41})),
    ),
}
