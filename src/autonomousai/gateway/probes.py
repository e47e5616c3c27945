"""Probes of upstreams: requests that cost no tokens, so that one which is down is known before a caller finds out.

What a probe finds goes to the upstream's breaker. Off the way of requests; an upstream without such a request is not probed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from ..errors import ProviderError
from .upstream import Upstream

#: Seconds that a probe may take.
_PATIENCE_S: Final = 5.0


class HealthProbes:
    """The probes of one gateway's upstreams, every *interval* seconds. A tenth more or less keeps servers from probing in step.

    ``up``: by upstream, what its last probe found; only those that can be probed. ``sleep`` and ``draw``: time and chance.
    """

    def __init__(
        self,
        upstreams: Iterable[Upstream],
        interval: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: random.Random | None = None,
    ) -> None:
        self.up: dict[str, bool] = {}
        self._upstreams = tuple(upstreams)
        self._interval = interval
        self._sleep = sleep
        self._draw = draw or random.Random()  # noqa: S311  no secret
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to probe, in the running event loop; at once, and then again and again."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    def stop(self) -> asyncio.Task[None] | None:
        """Stop probing, soon. Returns what is to be waited for, None where nothing runs."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        return running

    async def aclose(self) -> None:
        """Stop probing. Safe to call twice."""
        if (running := self.stop()) is not None:
            await asyncio.gather(running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.gather(*map(self.probe, self._upstreams))
            await self._sleep(self._interval * self._draw.uniform(0.9, 1.1))

    async def probe(self, upstream: Upstream) -> None:
        """Probe one upstream, and let its breaker learn of it. Twice in a row it must be down to be taken for that."""
        since = upstream.time()
        up = await _is_up(upstream)
        if up is False:
            up = await _is_up(upstream)
        if up is None:
            self.up.pop(upstream.name, None)
            return
        self.up[upstream.name] = up
        upstream.breaker.probed(up=up, since=since)


async def _is_up(upstream: Upstream) -> bool | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await upstream.provider.check_health()
    except (ProviderError, TimeoutError):
        return False
