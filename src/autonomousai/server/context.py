"""What the endpoints of all wires share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..http.server.exchange import Exchange
    from ..http.sweep import Sweep
    from ..limiter import RequestLimiter
    from ..provider import AsyncGeneratorProvider
    from ..streams.broker import StreamBroker
    from ..streams.orphans import Orphans
    from ..telemetry.metrics import Metrics
    from .admission import Admission
    from .bodies import BodyReader
    from .caching import AnswerCache


class EndpointContext(msgspec.Struct):
    """What the endpoints share: the provider, what answers are asked of (it, or the cache before it), how it is made ready, how
    names become models, the places, what is counted, the streams that can be resumed and whose they are, the sweep of open
    streams, what reads bodies. ``total_s``: seconds that an answer may take, and its caller to read it. ``admission``: what
    callers' keys allow. ``look_again``: has what is served follow the models on this machine, before it is looked for one that
    is not ``settled``. ``traces``: requests have spans here, which are named to upstreams."""

    provider: AsyncGeneratorProvider
    source: AsyncGeneratorProvider
    cache: AnswerCache | None
    ready: Callable[[], Awaitable[None]]
    resolve: Callable[[str], str]
    places: RequestLimiter
    orphans: Orphans
    metrics: Metrics
    streams: StreamBroker
    key_of: Callable[[Exchange], bytes]
    sweep: Callable[[], Sweep]
    keepalive_s: float
    bodies: BodyReader
    total_s: float
    admission: Admission
    settled: Container[str] = frozenset()
    look_again: Callable[[str], Awaitable[None]] | None = None
    traces: bool = False
