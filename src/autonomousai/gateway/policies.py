"""In which order the upstreams of a model are asked: the policies of routes. Pure; chance and time are handed in.

A policy chooses the first. The others follow in the order of the route: those that can be asked now, those of no weight, and
at last those that rest. Failover and rescue keep to that order. The policy ``order`` chooses nothing, and is not here.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from ..request import ChatRequest
from ..settings import RouteConfig
from .conversations import affinity, conversation_of
from .hedges import HedgeBudget
from .load import UpstreamLoad
from .upstream import Upstream

#: Requests that an upstream may always have for its conversations, and the multiple of its share of all that run.
_FEW: Final = 4
_MORE_THAN_FAIR: Final = 1.5

#: Of all requests so many may be sent where it was slow once, to learn whether it still is.
_EXPLORED: Final = 0.05

#: How many times slower than the fastest an upstream may be that a conversation returns to, and seconds beside that.
_TOLERATED: Final = 2.0
_TOLERATED_S: Final = 0.1


class Chooser(Protocol):
    """Chooses one of several upstreams, each of which can be asked and has a weight."""

    def choose(self, loads: Sequence[UpstreamLoad]) -> UpstreamLoad:
        """Return the one that the next request is for."""

    def keeps(self, load: UpstreamLoad, loads: Sequence[UpstreamLoad]) -> bool:
        """Return whether a conversation may return to *load*."""


class WeightedChooser:
    """``weighted``: by turns, so often as the weights say (smooth weighted round-robin, as in nginx): of any row of requests
    each upstream gets its share, to within one."""

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def choose(self, loads: Sequence[UpstreamLoad]) -> UpstreamLoad:
        """See `Chooser.choose`."""
        credit = self._credit
        for load in loads:
            credit[load.upstream.name] = credit.get(load.upstream.name, 0.0) + load.weight
        chosen = max(loads, key=lambda load: credit[load.upstream.name])
        credit[chosen.upstream.name] -= sum(load.weight for load in loads)
        return chosen

    def keeps(self, load: UpstreamLoad, loads: Sequence[UpstreamLoad]) -> bool:
        """See `Chooser.keeps`."""
        return True


class LeastBusyChooser:
    """``least_busy``: the one with the fewest requests that run, for its weight; among equals by turns."""

    def __init__(self) -> None:
        self._equals = WeightedChooser()

    def choose(self, loads: Sequence[UpstreamLoad]) -> UpstreamLoad:
        """See `Chooser.choose`."""
        least = min(load.running / load.weight for load in loads)
        return self._equals.choose([load for load in loads if load.running / load.weight == least])

    def keeps(self, load: UpstreamLoad, loads: Sequence[UpstreamLoad]) -> bool:
        """See `Chooser.keeps`."""
        return True


class FastestChooser:
    """``fastest``: of two that are drawn, the one with the shorter wait for a first token, as it was measured of late.

    One that was not measured yet gets one request, to be measured. So does one whose measurement is old, within a small part of
    all requests: what was slow once is not slow for ever. Failures are no measurement: an upstream that fails rests.
    """

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._explorations = 0.0

    def choose(self, loads: Sequence[UpstreamLoad]) -> UpstreamLoad:
        """See `Chooser.choose`."""
        self._explorations = min(self._explorations + _EXPLORED, 1.0)
        stale = [load for load in loads if load.is_stale]
        if new := [load for load in stale if load.first_token is None]:
            return new[0]
        if stale and self._explorations >= 1:
            self._explorations = 0.0
            return self._draw.choice(stale)
        measured = [load for load in loads if load.first_token is not None] or list(loads)
        drawn = measured if len(measured) <= 2 else self._draw.sample(measured, 2)
        return min(drawn, key=lambda load: (load.cost, load.running / load.weight))

    def keeps(self, load: UpstreamLoad, loads: Sequence[UpstreamLoad]) -> bool:
        """See `Chooser.keeps`: not where another is much faster."""
        if load.is_stale:
            return True
        costs = [other.cost for other in loads if other.first_token is not None]
        return not costs or load.cost <= _TOLERATED * min(costs) + _TOLERATED_S


_CHOOSERS: Final[Mapping[str, Callable[[random.Random], Chooser]]] = {
    "weighted": lambda draw: WeightedChooser(),
    "least_busy": lambda draw: LeastBusyChooser(),
    "fastest": FastestChooser,
}


class RoutePolicy:
    """The policy of one model: in which order its upstreams are asked, and whether a second one is asked beside a slow first.

    ``config``: what is set of it. ``draw``: chance.
    """

    def __init__(self, config: RouteConfig, route: Sequence[Upstream], draw: random.Random | None = None) -> None:
        self.config = config
        self.loads = {upstream.name: UpstreamLoad(upstream) for upstream in route}
        self.hedges = HedgeBudget(config.hedge)
        #: Hedges by the upstream that was slow, the one that was asked beside it, and what became of that one.
        self.hedged: Counter[tuple[str, str, str]] = Counter()
        make = _CHOOSERS.get(config.policy)
        self._chooser = None if make is None else make(draw or random.Random())  # noqa: S311  no secret

    def order(self, request: ChatRequest, route: Sequence[Upstream]) -> Sequence[Upstream]:
        """Return the upstreams of *route*, each once, in the order in which they are to be asked for *request*."""
        if self._chooser is None or len(route) == 1:
            return route
        loads = [self.loads[upstream.name] for upstream in route]
        ready = [load for load in loads if load.is_ready]
        weighty = [load for load in ready if load.weight > 0]
        if not weighty:
            return [load.upstream for load in sorted(loads, key=lambda load: (not load.is_ready, load.weight == 0))]
        first = self._first(request, weighty) if len(weighty) > 1 else weighty[0]
        return [
            load.upstream
            for load in sorted(loads, key=lambda load: (load is not first, load not in ready, load.weight == 0))
        ]  # fmt: skip

    def _first(self, request: ChatRequest, loads: Sequence[UpstreamLoad]) -> UpstreamLoad:
        assert self._chooser is not None
        conversation = conversation_of(request) if self.config.sticky else None
        if conversation is not None:
            closest = sorted(loads, key=lambda load: -affinity(conversation, load.upstream.name, load.weight))
            for load in closest:
                if _has_room(load, loads) and self._chooser.keeps(load, loads):
                    return load
        return self._chooser.choose(loads)

    def note_hedge(self, first: Upstream, second: Upstream, outcome: str) -> None:
        """Count a hedge: *outcome* says what became of the second attempt."""
        self.hedged[first.name, second.name, outcome] += 1

    def second(self, first: Upstream, route: Sequence[Upstream]) -> Upstream | None:
        """Return the upstream that may be asked beside *first*, which is slow: on another machine, of some weight, and well.
        None where there is none."""
        able = [
            load
            for upstream in route
            if upstream is not first
            and (load := self.loads[upstream.name]).weight > 0
            and (first.machine is None or upstream.machine != first.machine)
            and upstream.breaker.is_closed
            and load.is_ready
        ]
        if not able:
            return None
        return (able[0] if self._chooser is None else self._chooser.choose(able)).upstream


def _has_room(load: UpstreamLoad, loads: Sequence[UpstreamLoad]) -> bool:
    """Return whether an upstream may take one more request for a conversation's sake: not where it has many more than its
    share (consistent hashing with bounded loads)."""
    share = load.weight / sum(other.weight for other in loads)
    fair = _MORE_THAN_FAIR * share * (1 + sum(other.running for other in loads))
    return load.running < max(_FEW, math.ceil(fair))
