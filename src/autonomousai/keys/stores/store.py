"""What a store of counters does. A key is named by its id, a hold by its request's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

from ..limits import Decision, Demand, Limits, Standing

#: Seconds that a hold lasts without being renewed, and between two renewals.
LEASE_S: Final = 30.0
RENEW_S: Final = 10.0

#: Holds under way: by their names, the key's id and what was decided.
Holds: TypeAlias = Mapping[str, tuple[str, Decision]]


class CounterStoreError(Exception):
    """The store cannot be reached."""


class CounterStore(Protocol):
    """The counters of all keys. ``shared``: other processes count in it too, so that holds are to be renewed.

    All methods but `open` and `aclose` raise `CounterStoreError`; see `KeyCounters` for what they do. One that raises it may
    have done its work all the same, where only the reply was lost: a hold that is settled twice, or a report that is made
    twice, counts once.
    """

    shared: bool

    async def open(self) -> None: ...
    async def aclose(self) -> None: ...
    async def reserve(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision: ...
    async def settle(self, key: str, period: str, hold: str, tokens: int, nano: int, decision: Decision) -> None: ...

    async def report(self, key: str, period: str, tokens: int, nano: int, name: str) -> None:
        """Spend of the budgets what was used without the store; in which minutes that was, nothing says. ``name``: of this
        report alone."""

    async def renew(self, holds: Holds) -> None: ...
    async def look(self, key: str, period: str) -> Standing: ...
    async def seed(self, key: str, period: str, tokens: int, nano: int) -> None: ...
