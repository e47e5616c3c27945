"""What a key may use, in whole numbers: the limits of its policy, what a request demands of them, and what is decided of that.

Money is counted in nanodollars, of which 2^53 are nine million dollars: any store can add them exactly.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal, TypeAlias

import msgspec

from ..settings import KeyPolicy

#: Nanodollars in a dollar.
NANO: Final = 1_000_000_000

#: The most tokens or nanodollars that one request is taken to need: callers and upstreams may name any number.
MOST: Final = 2**50

_DAY_S: Final = 24 * 3600

#: Seconds of the window that requests and tokens a minute are counted in, and of the buckets in it. A bucket leaves when all of
#: it is older than the window: in no 60 seconds more is admitted than the limit says.
WINDOW_S: Final = 60

#: Which limit refuses a request. ``""``: none does.
Refusal: TypeAlias = Literal["", "requests", "tokens", "concurrency", "token_budget", "budget"]

#: What is waited for that only the end of answers under way can bring: a second is as good a guess as any.
SOON_S: Final = 1


class Limits(msgspec.Struct, frozen=True, gc=False):
    """The limits of a key; 0 is none. ``requests`` and ``tokens``: in a minute; ``nano_budget``: in nanodollars."""

    requests: int = 0
    tokens: int = 0
    concurrency: int = 0
    token_budget: int = 0
    nano_budget: int = 0

    @classmethod
    def of(cls, policy: KeyPolicy) -> Limits:
        """Return the limits of *policy*."""
        return cls(
            policy.requests_per_minute or 0,
            policy.tokens_per_minute or 0,
            policy.max_concurrency or 0,
            policy.token_budget or 0,
            max(1, round(policy.budget * NANO)) if policy.budget is not None else 0,
        )

    @property
    def counts_tokens(self) -> bool:
        """Return whether any of them depends on what a request asks for."""
        return bool(self.tokens or self.token_budget or self.nano_budget)


#: Those of a key that may use as much as it likes.
UNLIMITED: Final = Limits()


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What a request may use: at least so much must be left for it to be admitted, and at most so much is reserved. They differ
    where a request does not say how long its answer may be."""

    least_tokens: int = 0
    most_tokens: int = 0
    least_nano: int = 0
    most_nano: int = 0


class Decision(msgspec.Struct, gc=False):
    """What became of a demand. ``refused``: by which limit; ``wait``: seconds until it may be admitted, 0 where only the
    budget's next period brings that, -1 where it never will be. ``tokens``, ``nano``: what is reserved, in the bucket
    ``moment``. ``…_left`` and ``…_reset``: of the limits a minute, and seconds until they are whole again. ``spent_…``: in the
    budget's period. ``is_local``: it was taken without the other servers."""

    refused: str = ""
    wait: int = 0
    requests_left: int = 0
    requests_reset: int = 0
    tokens_left: int = 0
    tokens_reset: int = 0
    tokens: int = 0
    nano: int = 0
    moment: int = 0
    spent_tokens: int = 0
    spent_nano: int = 0
    is_local: bool = False


class Standing(msgspec.Struct, frozen=True):
    """What is counted of a key now: ``spent_…`` in its budget's period, and ``held_…`` by the requests under way,
    ``holds`` of them."""

    spent_tokens: int = 0
    spent_nano: int = 0
    held_tokens: int = 0
    held_nano: int = 0
    holds: int = 0


def period_of(policy: KeyPolicy, now: float) -> str:
    """Return the name of the period that *now*, in seconds since the epoch, lies in: ``2027-01`` or ``2027-01-31``, in UTC."""
    known = _days.get(policy.budget_period)
    if known is None or not known[0] <= now < known[1]:
        begin = now // _DAY_S * _DAY_S
        form = "%Y-%m-%d" if policy.budget_period == "day" else "%Y-%m"
        known = _days[policy.budget_period] = begin, begin + _DAY_S, f"{dt.datetime.fromtimestamp(begin, dt.UTC):{form}}"
    return known[2]


#: By the kind of periods: when the day began and ended that was asked for last, and the name of its period.
_days: Final[dict[str, tuple[float, float, str]]] = {}


def bounds_of(policy: KeyPolicy, now: float) -> tuple[float, float]:
    """Return when that period began and when it ends, in seconds since the epoch."""
    moment = dt.datetime.fromtimestamp(now, dt.UTC)
    begin = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if policy.budget_period == "day":
        return begin.timestamp(), (begin + dt.timedelta(days=1)).timestamp()
    begin = begin.replace(day=1)
    return begin.timestamp(), (begin + dt.timedelta(days=32)).replace(day=1).timestamp()
