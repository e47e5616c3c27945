"""From the config to the prices of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..clients.vendors import is_anthropics, vendor_at
from ..kinds.kind import UpstreamConfig
from ..ledger.prices import PricedUpstream, Prices
from ..settings import PriceConfig


def make_prices(
    prices: Mapping[str, PriceConfig], upstreams: Mapping[str, UpstreamConfig], routes: Mapping[str, Iterable[object]]
) -> Prices:
    """Return the prices of a config's tables. *routes*: a gateway's, by model."""
    return Prices(
        prices,
        {name: _priced(upstream) for name, upstream in upstreams.items()},
        {model: [str(getattr(upstream, "name", "")) for upstream in route] for model, route in routes.items()},
    )


def _priced(upstream: UpstreamConfig) -> PricedUpstream:
    url = getattr(upstream, "base_url", None)
    vendor = getattr(upstream, "vendor", None) or (vendor_at(url) if url else None)
    if url and is_anthropics(url):
        vendor = "anthropic"
    return PricedUpstream(getattr(upstream, "model", None), vendor, getattr(upstream, "price", None), free=upstream.runs_engine)
