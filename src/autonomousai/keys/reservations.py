"""What is reserved for one request, from when it is admitted to its one settlement. `quotas` makes them."""

from __future__ import annotations

from typing import Protocol

import msgspec

from .limits import Decision, Limits
from .records import KeyRecord


class EndedAnswer(Protocol):
    """What the ledger notes of an answer that has ended. ``id``: its request's."""

    @property
    def id(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def total_tokens(self) -> int: ...
    @property
    def cost(self) -> float | None: ...
    @property
    def cache(self) -> str | None: ...


class Reserving(Protocol):
    """What has made a reservation, and settles it."""

    def settle(self, reservation: Reservation) -> None: ...
    def forget(self, reservation: Reservation) -> None: ...
    def replace(self, reservation: Reservation) -> None: ...


class HoldRecord(msgspec.Struct, frozen=True):
    """A reservation as it is written down beside a stream, so that another server can settle it."""

    id: str
    key: str
    model: str
    decision: Decision
    prompt: int
    over_budget: bool = False


class Reservation(msgspec.Struct, eq=False):
    """What is reserved for one request. `settle` it once; further times change nothing.

    ``over_budget``: whether the budget is spent, and a cheaper route answers: only the other limits admit it, and what it takes
    is spent all the same. ``entry``: what the answer took, once it has ended. ``is_adopted``: whether another server has
    reserved it.
    """

    _quotas: Reserving | None
    id: str
    record: KeyRecord
    model: str
    limits: Limits
    decision: Decision
    prompt: int
    over_budget: bool = False
    entry: EndedAnswer | None = None
    is_adopted: bool = False

    @property
    def key(self) -> str:
        """Return the id of the key."""
        return self.record.id

    def settle(self) -> None:
        """Replace what is reserved by what the answer took, as far as there was one."""
        quotas, self._quotas = self._quotas, None
        if quotas is not None:
            quotas.settle(self)

    def leave(self) -> None:
        """Leave it to the server that continues the answer; without one, all of it is spent when its time is over."""
        quotas, self._quotas = self._quotas, None
        if quotas is not None:
            quotas.forget(self)

    def hand_over(self) -> Reservation:
        """Return this reservation for another task, which settles it: here, it is settled."""
        quotas, self._quotas = self._quotas, None
        assert quotas is not None
        other = msgspec.structs.replace(self, _quotas=quotas)
        quotas.replace(other)
        return other

    def written(self) -> bytes:
        """Return what another server needs to settle it."""
        return msgspec.json.encode(HoldRecord(self.id, self.key, self.model, self.decision, self.prompt, self.over_budget))
