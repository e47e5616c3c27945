"""What an answer costs: prices of the config, of the vendors' own rows, and what an upstream says itself.

A price is looked for in this order: the upstream's own ``price``; ``[prices]`` by exact name, then by pattern, the longest
first; the row of the upstream's vendor. Names are those by which the model is known: as the upstream called it in its answer,
as it is asked there, and as the config calls it. What no row knows has an unknown cost, which is not a cost of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from ..settings import PriceConfig
from .estimate import Tokens
from .vendor_prices import VENDOR_PRICES, VendorPrice

#: Answers of one upstream's model are many: so many names are looked up once.
_REMEMBERED: Final = 1_000

_MILLION: Final = 1_000_000


class PricedUpstream(msgspec.Struct, frozen=True):
    """What the price of an upstream's answers depends on. ``model``: what it is asked for, None for the caller's; ``vendor``:
    whose rows hold; ``price``: its own; ``free``: it runs on this machine, where no call is billed."""

    model: str | None = None
    vendor: str | None = None
    price: PriceConfig | None = None
    free: bool = False


FREE: Final = PriceConfig()

#: Stands for a price that was not looked for yet.
_UNREAD: Final = PriceConfig()


class Prices:
    """All prices of a config. ``rows``: by a model's name or a pattern with ``*``; ``routes``: upstreams by model."""

    def __init__(
        self,
        rows: Mapping[str, PriceConfig] | None = None,
        upstreams: Mapping[str, PricedUpstream] | None = None,
        routes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._rows = dict(rows or {})
        self._patterns = sorted((name for name in self._rows if "*" in name), key=len, reverse=True)
        self._upstreams = dict(upstreams or {})
        self._routes = dict(routes or {})
        self._known: dict[tuple[str, tuple[str | None, ...]], PriceConfig | VendorPrice | None] = {}

    def price(self, upstream: str, names: Iterable[str | None]) -> PriceConfig | VendorPrice | None:
        """Return the price of a model at *upstream*, None where none is known. *names*: what the model is called, the surest
        first."""
        key = (upstream, tuple(names))
        known = self._known.get(key, _UNREAD)
        if known is _UNREAD:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._find(*key)
        return known

    def cost(
        self,
        upstream: str,
        names: Iterable[str | None],
        tokens: Tokens,
        generated: int,
        told: float | None = None,
    ) -> float | None:
        """Return what a try at *upstream* costs in US dollars, None where that is not known. *generated*: completion tokens;
        *told*: what the upstream itself says."""
        if told is not None:
            return told
        price = self.price(upstream, names)
        return None if price is None else cost_of(price, tokens, generated)

    def estimate(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the most that so many tokens of *model* cost in US dollars, at the dearest upstream of its route whose price
        is known. None where no price is."""
        dearest = None
        for upstream in self._routes.get(model, ()):
            price = self.price(upstream, (model,))
            if price is not None:
                cost = (prompt_tokens * price.input + completion_tokens * price.output) / _MILLION
                if dearest is None or cost > dearest:
                    dearest = cost
        return dearest

    def _find(self, upstream: str, names: tuple[str | None, ...]) -> PriceConfig | VendorPrice | None:
        about = self._upstreams.get(upstream, PricedUpstream())
        if about.price is not None:
            return about.price
        first, *others = names or (None,)
        known = [name for name in dict.fromkeys((first, about.model, *others)) if name]
        for name in known:
            if name in self._rows:
                return self._rows[name]
        for name in known:
            for pattern in self._patterns:
                if fnmatchcase(name, pattern):
                    return self._rows[pattern]
        if about.free:
            return FREE
        for name in known if about.vendor is not None else ():
            for row in VENDOR_PRICES.get(about.vendor or "", ()):
                if row.is_of(name):
                    return row
        return None


def cost_of(price: PriceConfig | VendorPrice, tokens: Tokens, generated: int) -> float:
    """Return the US dollars of a prompt and of *generated* tokens of an answer.

    Example::

        price = PriceConfig(input=2, output=8, cached=0.5)
        assert cost_of(price, Tokens(prompt=1_000_000, cached=500_000), 250_000) == 1 + 0.25 + 2
    """
    if not tokens.cached and not tokens.cache_write and not tokens.reasoning:  # as usual
        return (tokens.prompt * price.input + generated * price.output) / _MILLION
    cached = min(tokens.cached or 0, tokens.prompt)
    written = min(tokens.cache_write or 0, tokens.prompt - cached)
    reasoned = min(tokens.reasoning or 0, generated)
    dollars = (tokens.prompt - cached - written) * price.input
    dollars += cached * (price.input if price.cached is None else price.cached)
    dollars += written * (price.input if price.cache_write is None else price.cache_write)
    dollars += (generated - reasoned) * price.output
    dollars += reasoned * (price.output if price.reasoning is None else price.reasoning)
    return dollars / _MILLION
