"""The gauges of one server: what is looked up when metrics are read, and not counted before. Those of each upstream are in
`upstream_metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from ..ledger.writer import LedgerWriter
from ..limiter import RequestLimiter
from ..outage import Outage
from ..provider import AsyncGeneratorProvider
from ..streams.orphans import Orphans
from ..telemetry.metrics import Sample

if TYPE_CHECKING:
    from .caching import AnswerCache


class Gauges(msgspec.Struct, frozen=True):
    """The parts of a server that are looked at. ``streams``: how many are written here, and how many are followed; ``ledger``,
    ``cache``: None where there is none. ``outages``: of the stores that are shared, by what they hold."""

    provider: AsyncGeneratorProvider
    places: RequestLimiter
    streams: tuple[int, int]
    orphans: Orphans
    ledger: LedgerWriter | None
    cache: AnswerCache | None
    outages: Mapping[str, Outage]

    def samples(self) -> Iterator[Sample]:
        """Yield what each of them says of itself now."""
        if self.cache is not None:
            yield from self.cache.samples()
        yield "requests_in_flight", (), [self.places.inside]
        yield "places", (), [self.places.places]
        yield "queue_length", (), [self.places.waiting]
        for role, count in zip(("written", "followed"), self.streams, strict=True):
            yield "streams", (role,), [count]
        if self.ledger is not None:
            yield from self.ledger.samples()
        for store, outage in self.outages.items():
            yield "store_failing", (store,), [int(outage.is_on)]
        upstreams = getattr(self.provider, "upstreams", {}).values()
        providers = [upstream.provider for upstream in upstreams] or [self.provider]
        untold = sum(provider.status().orphans for provider in providers)
        yield "orphaned_generations_total", (), [self.orphans.count + untold]
