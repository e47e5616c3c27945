"""What a key has used and what is reserved for it: the rules, as a value that acts. Does no I/O, and gets the time.

`stores.redis` has the same rules as scripts, and one suite of tests holds both to them.

- Requests and tokens a minute: a sliding window of buckets of a second. What a request reserves counts from when it was
  admitted; at its end, what it did not use leaves the window.
- Concurrency: the holds of requests under way. A hold that is not renewed in time, since its server is gone, ends then.
- Budgets: what was spent in the period, and what is reserved by holds. A hold whose time runs out is spent as a whole: nothing
  tells how much of it was used.
- A budget's period may be changed while requests by the policy before still come and end. So days and months are counted on
  beside each other, and only the next period of a kind begins with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

import msgspec

from .limits import SOON_S, WINDOW_S, Decision, Demand, Limits, Refusal, Standing

#: Seconds after which a bucket has left the window.
_RESET_S: Final = WINDOW_S + 1


class Holding(msgspec.Struct, gc=False):
    """What is reserved for a request under way. ``expires``: seconds since the epoch."""

    expires: float
    tokens: int
    nano: int


@dataclass(slots=True)
class KeyCounters:
    """Of one key. ``requests`` and ``tokens``: by the second, in its order, with their sums. ``earliest``: before it, no hold's
    time runs out. ``current``: the second in which what is over was last forgotten. ``parked``: by periods of other kinds than
    ``period``, the tokens and nanodollars that were spent in them; ``previous``: the same of the one before it of its own kind,
    to which a server returns whose clock is behind."""

    # No `msgspec.Struct`, in which to store takes thirty times as long.
    requests: dict[int, int] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)
    request_sum: int = 0
    token_sum: int = 0
    period: str = ""
    spent_tokens: int = 0
    spent_nano: int = 0
    parked: dict[str, tuple[int, int]] = field(default_factory=dict)
    previous: dict[str, tuple[int, int]] = field(default_factory=dict)
    held_tokens: int = 0
    held_nano: int = 0
    holds: dict[str, Holding] = field(default_factory=dict)
    earliest: float = inf
    current: int = 0

    def reserve(self, now: float, period: str, limits: Limits, demand: Demand, hold: str, lease_s: float) -> Decision:
        """Admit a request, or refuse it and change nothing."""
        admitted = self.grant(now, period, limits, demand.most_tokens, demand.most_nano, hold, lease_s)
        if admitted is not None:
            return admitted
        moment = int(now)
        decision = Decision(moment=moment, spent_tokens=self.spent_tokens, spent_nano=self.spent_nano)
        if self._fits(moment, limits, demand, decision):
            return self._admit(moment, limits, decision.tokens, decision.nano, hold, now + lease_s)
        if limits.requests:
            decision.requests_left = max(0, limits.requests - self.request_sum)
            decision.requests_reset = _reset(self.requests, moment)
        if limits.tokens:
            decision.tokens_left = max(0, limits.tokens - self.token_sum)
            decision.tokens_reset = _reset(self.tokens, moment)
        return decision

    def grant(
        self, now: float, period: str, limits: Limits, tokens: int, nano: int, hold: str, lease_s: float
    ) -> Decision | None:
        """Admit a request that may use so much. None, and nothing is changed, where there is not clearly room for all of it."""
        moment = int(now)
        if moment != self.current or period != self.period or self.earliest <= now:
            self._advance(now, period)
        if (
            ((most := limits.requests) and self.request_sum >= most)
            or ((most := limits.tokens) and self.token_sum + tokens >= most)
            or ((most := limits.concurrency) and len(self.holds) >= most)
            or ((most := limits.token_budget) and self.spent_tokens + self.held_tokens + tokens >= most)
            or ((most := limits.nano_budget) and self.spent_nano + self.held_nano + nano >= most)
        ):
            return None
        return self._admit(moment, limits, tokens, nano, hold, now + lease_s)

    def _admit(self, moment: int, limits: Limits, tokens: int, nano: int, hold: str, expires: float) -> Decision:
        """Hold what is reserved for a request, and return that with what is left."""
        self.holds[hold] = Holding(expires, tokens, nano)
        if expires < self.earliest:
            self.earliest = expires
        self.held_tokens += tokens
        self.held_nano += nano
        requests_left = requests_reset = tokens_left = tokens_reset = 0
        if most := limits.requests:
            buckets = self.requests
            buckets[moment] = buckets.get(moment, 0) + 1
            self.request_sum = used = self.request_sum + 1
            requests_left, requests_reset = most - used, _RESET_S  # no bucket is later than the present one
        if most := limits.tokens:
            buckets = self.tokens
            if tokens:
                buckets[moment] = buckets.get(moment, 0) + tokens
                self.token_sum += tokens
                tokens_reset = _RESET_S
            else:
                tokens_reset = _reset(buckets, moment)
            tokens_left = most - self.token_sum
            if tokens_left < 0:
                tokens_left = 0
        return Decision(
            "",
            0,
            requests_left,
            requests_reset,
            tokens_left,
            tokens_reset,
            tokens,
            nano,
            moment,
            self.spent_tokens,
            self.spent_nano,
        )

    def _fits(self, moment: int, limits: Limits, demand: Demand, decision: Decision) -> bool:
        """Note in *decision* what can be reserved of *demand*, or what refuses it. Returns False where it is refused."""
        if limits.concurrency and len(self.holds) >= limits.concurrency:
            return _refuse(decision, "concurrency", SOON_S)
        if limits.requests and self.request_sum >= limits.requests:
            return _refuse(decision, "requests", _wait(self.requests, self.request_sum + 1 - limits.requests, moment))
        tokens, nano = demand.most_tokens, demand.most_nano
        if limits.tokens:
            room = limits.tokens - self.token_sum
            if (least := demand.least_tokens) > room:
                return _refuse(decision, "tokens", _wait(self.tokens, least - room, moment))
            tokens = min(tokens, room)
        if limits.token_budget:
            left = limits.token_budget - self.spent_tokens
            room = left - self.held_tokens
            if (least := demand.least_tokens) > room or room <= 0:
                return _refuse(decision, "token_budget", _wait_for_holds(left, self.held_tokens, least))
            tokens = min(tokens, room)
        if limits.nano_budget:
            left = limits.nano_budget - self.spent_nano
            room = left - self.held_nano
            if (least := demand.least_nano) > room or room <= 0:
                return _refuse(decision, "budget", _wait_for_holds(left, self.held_nano, least))
            nano = min(nano, room)
        decision.tokens, decision.nano = tokens, nano
        return True

    def settle(self, now: float, period: str, hold: str, tokens: int, nano: int, decision: Decision) -> None:
        """Replace what *decision* reserved by what was used. *period*: that of the policy by which it was reserved, ``""``
        where that had no budget. Another policy may hold now: only a later period of the same kind begins by it."""
        known = self.period
        if period != known and known and (len(period) != len(known) or period < known):
            period = known
        if int(now) != self.current or self.earliest <= now or period != known:
            self._advance(now, period)
        held = self.holds.pop(hold, None)
        change = tokens - decision.tokens
        if held is not None:
            self.held_tokens -= held.tokens
            self.held_nano -= held.nano
            if self.parked:
                self._spend(tokens, nano)
            else:
                self.spent_tokens += tokens
                self.spent_nano += nano
        else:  # its time has run out, so that all of it was spent
            self._spend(change, nano - decision.nano)
        buckets, moment = self.tokens, decision.moment
        before = buckets.get(moment)
        if before is None:
            if change <= 0 or not buckets:
                return
            moment, before = int(now), buckets.get(int(now), 0)
        after = before + change
        if after < 0:
            after = 0
        buckets[moment] = after
        self.token_sum += after - before

    def report(self, now: float, period: str, tokens: int, nano: int) -> None:
        """Spend of the budgets what was used elsewhere; the window learns nothing of it, which does not know when that was."""
        known = self.period
        self._advance(now, known if known and (len(period) != len(known) or period < known) else period)
        self._spend(tokens, nano)

    def renew(self, now: float, hold: str, lease_s: float) -> None:
        """Hold for longer, as long as it is held: a renewal may be late, and then holds nothing that has ended."""
        held = self.holds.get(hold)
        if held is not None:
            held.expires = now + lease_s

    def look(self, now: float, period: str) -> Standing:
        """Return what is spent in *period* and held now."""
        self._advance(now, self.period)
        is_current = period == self.period
        tokens, nano = (
            (self.spent_tokens, self.spent_nano) if is_current else {**self.parked, **self.previous}.get(period, (0, 0))
        )
        return Standing(tokens, nano, self.held_tokens, self.held_nano, len(self.holds))

    def raise_to(self, period: str, tokens: int, nano: int) -> None:
        """Let at least so much be spent in *period*."""
        self._enter(period)
        self.spent_tokens = max(tokens, self.spent_tokens)
        self.spent_nano = max(nano, self.spent_nano)

    def seed(self, period: str, tokens: int, nano: int) -> None:
        """Begin a *period* with what was spent in it already, unless that is counted here."""
        if self._enter(period):
            self.spent_tokens = max(tokens, self.spent_tokens)
            self.spent_nano = max(nano, self.spent_nano)

    def _enter(self, period: str) -> bool:
        """Decide by what is spent in *period* from now on. Returns whether that may not be all of it: the period is new
        here, or there was no budget, so that not everything was counted."""
        before = self.period
        if before == period:
            return False
        known = {**self.parked, **self.previous}
        left = {before: (self.spent_tokens, self.spent_nano)} if before else {}
        self.spent_tokens, self.spent_nano = known.get(period, (0, 0))
        self.parked = {name: spent for name, spent in {**self.parked, **left}.items() if len(name) != len(period)}
        self.previous = left if len(before) == len(period) else {}
        self.period = period
        return not (before and period in known)

    def _spend(self, tokens: int, nano: int) -> None:
        spent_tokens, spent_nano = self.spent_tokens + tokens, self.spent_nano + nano
        self.spent_tokens = spent_tokens if spent_tokens > 0 else 0
        self.spent_nano = spent_nano if spent_nano > 0 else 0
        if not self.parked:
            return
        for name, (parked_tokens, parked_nano) in self.parked.items():
            self.parked[name] = (max(0, parked_tokens + tokens), max(0, parked_nano + nano))

    def _advance(self, now: float, period: str) -> None:
        """Forget what is over."""
        self.current = int(now)
        self._enter(period)
        if self.earliest <= now:
            for hold in [name for name, held in self.holds.items() if held.expires <= now]:
                held = self.holds.pop(hold)
                self.held_tokens -= held.tokens
                self.held_nano -= held.nano
                self._spend(held.tokens, held.nano)
            self.earliest = min((held.expires for held in self.holds.values()), default=inf)
        if self.requests and next(reversed(self.requests)) > self.current:
            _bring_back(self.requests, self.current)
        if self.tokens and next(reversed(self.tokens)) > self.current:
            _bring_back(self.tokens, self.current)
        least = self.current - WINDOW_S
        if self.requests and next(iter(self.requests)) < least:
            self.request_sum -= _drop(self.requests, least)
        if self.tokens and next(iter(self.tokens)) < least:
            self.token_sum -= _drop(self.tokens, least)


def _refuse(decision: Decision, limit: Refusal, wait: int) -> bool:
    """Note which limit refuses a request, and how long. Returns False: it is not admitted."""
    decision.refused, decision.wait = limit, wait
    return False


def _wait_for_holds(left: int, held: int, least: int) -> int:
    """Return the seconds to wait for a budget: what is held may not be spent. 0 where what is *left* is too little anyway."""
    return SOON_S if held > 0 and least <= left and left > 0 else 0


def _reset(buckets: dict[int, int], now: int) -> int:
    """Return the seconds until the last of the *buckets* has left the window."""
    return next(reversed(buckets)) + _RESET_S - now if buckets else 0


def _bring_back(buckets: dict[int, int], now: int) -> None:
    """Count as of *now* what was counted later, before the clock was set back: it would stay as long as that takes."""
    late = [second for second in buckets if second >= now]
    buckets[now] = sum(buckets.pop(second) for second in late)


def _drop(buckets: dict[int, int], least: int) -> int:
    """Drop the buckets before the second *least*, and return what was in them."""
    dropped = 0
    for second in [each for each in buckets if each < least]:
        dropped += buckets.pop(second)
    return dropped


def _wait(buckets: dict[int, int], needed: int, now: int) -> int:
    """Return the seconds until *needed* have left the window; -1 where there never are so many."""
    for second in sorted(buckets):
        needed -= buckets[second]
        if needed <= 0:
            return max(1, second + WINDOW_S + 1 - now)
    return -1
