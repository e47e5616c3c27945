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

from ..settings import PriceConfig, PriceRates, PriceTier
from .estimate import Tokens
from .vendor_prices import VENDOR_PRICES

#: Answers of one upstream's model are many: so many names are looked up once.
_REMEMBERED: Final = 1_000

#: Tokens that prices are said for.
MILLION: Final = 1_000_000


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
        self._known: dict[tuple[str, tuple[str | None, ...]], PriceConfig | None] = {}
        self._of_routes: dict[str, list[PriceConfig]] = {}

    def price(self, upstream: str, names: Iterable[str | None]) -> PriceConfig | None:
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
        tier: str | None = None,
    ) -> float | None:
        """Return what a try at *upstream* costs in US dollars, None where that is not known. *generated*: completion tokens;
        *told*: what the upstream itself says; *tier*: the ``service_tier`` that it has named."""
        if told is not None:
            return told
        price = self.price(upstream, names)
        return None if price is None else cost_of(price, tokens, generated, tier)

    def estimate(self, model: str, prompt_tokens: int, completion_tokens: int, tier: str | None = None) -> float | None:
        """Return the most that so many tokens of *model* cost in US dollars, at the dearest upstream of its route whose price
        is known; where a *tier* was requested, with it or without. None where no price is."""
        if (known := self._of_routes.get(model)) is None:
            known = self._of_route(model)
        if len(known) == 1 and tier is None and not (only := known[0]).steps:  # as usual
            return (prompt_tokens * only.input + completion_tokens * only.output) / MILLION
        dearest = None
        for price in known:
            rates: PriceRates = rates_of(price, prompt_tokens) if price.steps else price
            cost = (prompt_tokens * rates.input + completion_tokens * rates.output) / MILLION
            if tier is not None and tier in price.tiers:
                rates = rates_of(price, prompt_tokens, tier)
                cost = max(cost, (prompt_tokens * rates.input + completion_tokens * rates.output) / MILLION)
            if dearest is None or cost > dearest:
                dearest = cost
        return dearest

    def _of_route(self, model: str) -> list[PriceConfig]:
        """Return the prices that are known of a model's route, each once; remembered for the models that have one."""
        prices: list[PriceConfig] = []
        for upstream in self._routes.get(model, ()):
            price = self.price(upstream, (model,))
            if price is not None and price not in prices:
                prices.append(price)
        if model in self._routes:
            self._of_routes[model] = prices
        return prices

    def _find(self, upstream: str, names: tuple[str | None, ...]) -> PriceConfig | None:
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
                    return row.price
        return None


def rates_of(price: PriceConfig, prompt: int, tier: str | None = None) -> PriceRates:
    """Return what the tokens of a request cost that has so many tokens in its *prompt*: of the *tier*, where it has a price of
    its own, and of the highest step that the prompt is above.

    Example::

        from autonomousai.settings import PriceStep

        price = PriceConfig(input=2, output=8, steps=(PriceStep(above=200_000, input=4, output=12),))
        assert [2, 4] == [rates_of(price, prompt).input for prompt in (200_000, 200_001)]
    """
    held: PriceTier = price if tier is None else price.tiers.get(tier, price)
    steps = [step for step in held.steps if prompt > step.above]
    return max(steps, key=lambda step: step.above) if steps else held


def cost_of(price: PriceConfig, tokens: Tokens, generated: int, tier: str | None = None) -> float:
    """Return the US dollars of a prompt and of *generated* tokens of an answer. *tier*: see `rates_of`.

    Example::

        price = PriceConfig(input=2, output=8, cached=0.5)
        assert cost_of(price, Tokens(prompt=1_000_000, cached=500_000), 250_000) == 1 + 0.25 + 2
    """
    rates: PriceRates = rates_of(price, tokens.prompt, tier) if price.steps or price.tiers else price
    if not tokens.cached and not tokens.cache_write and not tokens.reasoning:  # as usual
        return (tokens.prompt * rates.input + generated * rates.output) / MILLION
    cached = min(tokens.cached or 0, tokens.prompt)
    written = min(tokens.cache_write or 0, tokens.prompt - cached)
    for_long = min(tokens.cache_write_1h, written)
    reasoned = min(tokens.reasoning or 0, generated)
    write = rates.input if rates.cache_write is None else rates.cache_write
    dollars = (tokens.prompt - cached - written) * rates.input
    dollars += cached * (rates.input if rates.cached is None else rates.cached)
    dollars += (written - for_long) * write
    dollars += for_long * (write if rates.cache_write_1h is None else rates.cache_write_1h)
    dollars += (generated - reasoned) * rates.output
    dollars += reasoned * (rates.output if rates.reasoning is None else rates.reasoning)
    return dollars / MILLION
