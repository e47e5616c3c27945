"""What the holders of keys may use, request by request: reserved before the answer, and replaced by what it took at its end.

However a request ends, its reservation is settled once, with what the ledger notes of its answer: the upstream's count, or an
estimate of what came; and with nothing where no upstream was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from math import inf
from typing import Any, Final, Protocol

import msgspec

from ..request import ChatRequest
from ..wires.redaction import redact
from .counters import KeyCounters
from .estimates import UNSAID_TOKENS, answer_tokens, prompt_tokens, tier_of
from .limits import MOST, NANO, UNLIMITED, Decision, Demand, Limits, period_of
from .records import KeyRecord
from .refusals import not_priced, refused
from .reservations import EndedAnswer, HoldRecord, Reservation
from .seeding import BudgetSeeds, Spent
from .stores import CounterStore, CounterStoreError, MemoryCounters
from .stores.store import RENEW_S, Holds

_log = logging.getLogger("autonomousai.server")


#: What a request demands whose tokens are not counted.
_NOTHING: Final = Demand()

#: The refusals after which a cheaper route may answer.
_BUDGETS: Final = ("token_budget", "budget")

#: The outcome of an answer whose caller left it.
LEFT: Final = "left"


class PriceList(Protocol):
    """What answers may cost, in US dollars. None: no price is known."""

    def estimate(self, model: str, prompt_tokens: int, completion_tokens: int, tier: str | None = None) -> float | None: ...


class _KnownKey:
    """A key as its policy limits it. ``moment``: the second in which the budget's ``period`` was looked up. ``counters``: where
    this process alone counts, once a request was counted."""

    __slots__ = ("counters", "counts_tokens", "has_budget", "limits", "moment", "period", "record")

    def __init__(self, record: KeyRecord) -> None:
        limits = Limits.of(record.policy)
        self.record = record
        self.limits = UNLIMITED if limits == UNLIMITED else limits
        self.counts_tokens = limits.counts_tokens
        self.has_budget = bool(limits.token_budget or limits.nano_budget)
        self.counters: KeyCounters | None = None
        self.moment = -1
        self.period = ""

    def period_at(self, now: float) -> str:
        """Return the budget's period at *now*, ``""`` where there is no budget."""
        if self.has_budget and self.moment != (moment := int(now)):
            self.moment, self.period = moment, period_of(self.record.policy, now)
        return self.period


class KeyQuotas:
    """The quotas of all keys. *prices*: None where there are none; *spent*: see `Spent`; *subscribe*: lets `note` be called
    with each answer that has ended; ``now``: seconds since the epoch."""

    def __init__(
        self,
        store: CounterStore,
        *,
        prices: PriceList | None = None,
        spent: Spent | None = None,
        subscribe: Callable[[Callable[[EndedAnswer], None]], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        #: The store itself, where nothing is to be waited for.
        self._in_memory = store if type(store) is MemoryCounters else None
        self.reserves_at_once = self._in_memory is not None
        self.prices = prices
        self._seeds = BudgetSeeds(store, spent, now)
        self._subscribe: Callable[[Callable[[EndedAnswer], None]], None] | None = subscribe
        self._now = now
        self._known: dict[str, _KnownKey] = {}
        self._live: dict[str, Reservation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None

    # ---- its life

    async def open(self, records: Iterable[KeyRecord]) -> None:
        """Open the store, and begin with what *records* have spent. Raises `ConfigError`."""
        await self._store.open()
        await self.seed(records)

    async def seed(self, records: Iterable[KeyRecord]) -> None:
        """Let counters that are not there begin with what their keys have spent in their period."""
        await self._seeds.seed(records)

    async def aclose(self) -> None:
        """Settle what is under way, and close the store."""
        await self._seeds.aclose()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        for reservation in list(self._live.values()):
            reservation.settle()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.aclose()

    # ---- for requests

    def limits_of(self, record: KeyRecord) -> Limits:
        """Return the limits of a key."""
        return self._key(record).limits

    def _key(self, record: KeyRecord) -> _KnownKey:
        known = self._known.get(record.id)
        if known is None or known.record is not record:
            known = self._known[record.id] = _KnownKey(record)
        return known

    async def reserve(
        self,
        record: KeyRecord,
        id: str,
        model: str = "",
        request: ChatRequest | None = None,
        *,
        answers: bool = True,
        cheaper: Callable[[str], bool] = lambda _: False,
    ) -> Reservation | None:
        """Reserve what *request* may use; None for a key without limits. *id*: the request's; *answers*: whether its answer has
        tokens of its own; *cheaper*: whether there is a route for *model* for callers whose budget is spent. Raises
        `StatusError` where a limit refuses it."""
        if self.reserves_at_once:
            return self.reserve_now(record, id, model, request, answers=answers, cheaper=cheaper)
        if (limits := self.limits_of(record)) is UNLIMITED:
            return None
        demand, prompt, now, period = self._asked(record, limits, model, request, answers=answers)
        decision = await self._decide(record.id, period, limits, demand, id)
        over_budget = decision.refused in _BUDGETS and model != "" and cheaper(model)
        if over_budget:
            limits = _without_budgets(limits)
            decision = await self._decide(record.id, period, limits, demand, id)  # another period would begin anew
        if decision.refused:
            raise refused(record, limits, decision, demand, now)
        reservation = self._live[id] = Reservation(self, id, record, model, limits, decision, prompt, over_budget)
        return reservation

    def reserve_now(
        self,
        record: KeyRecord,
        id: str,
        model: str,
        request: ChatRequest | None,
        *,
        answers: bool = True,
        cheaper: Callable[[str], bool],
    ) -> Reservation | None:
        """Reserve as `reserve` does, at once; where it `reserves_at_once`, and nothing is waited for."""
        if (limits := self.limits_of(record)) is UNLIMITED:
            return None
        store = self._in_memory
        assert store is not None
        demand, prompt, now, period = self._asked(record, limits, model, request, answers=answers)
        self._key(record).counters = store.keys[record.id]
        decision = store.reserve_now(record.id, period, limits, demand, id)
        over_budget = decision.refused in _BUDGETS and model != "" and cheaper(model)
        if over_budget:
            limits = _without_budgets(limits)
            decision = store.reserve_now(record.id, period, limits, demand, id)
        if decision.refused:
            raise refused(record, limits, decision, demand, now)
        reservation = self._live[id] = Reservation(self, id, record, model, limits, decision, prompt, over_budget)
        return reservation

    def grant(self, record: KeyRecord, id: str, model: str, request: ChatRequest) -> Reservation | None:
        """Reserve the most that a request may use that is answered with tokens, where it `reserves_at_once`, there is clearly
        room for that, and the request names no tier. None elsewhere: nothing was done, and `reserve_now` looks closer."""
        known = self._known.get(record.id)
        if known is None or known.record is not record or (counters := known.counters) is None or request.origin is not None:
            return None
        fields = request.fields
        if fields and "service_tier" in fields:
            return None
        limits, now = known.limits, self._now()
        prompt = tokens = nano = 0
        if known.counts_tokens:
            prompt = prompt_tokens(request)
            most = answer_tokens(request)[0] if fields else UNSAID_TOKENS
            tokens = prompt + most
            if limits.nano_budget:
                if self.prices is None or (price := self.prices.estimate(model, prompt, most)) is None:
                    return None
                nano = round(price * NANO)
            if tokens > MOST or nano > MOST:
                return None
        period = known.period if known.moment == int(now) else known.period_at(now)
        decision = counters.grant(now, period, limits, tokens, nano, id, inf)
        if decision is None:
            return None
        reservation = self._live[id] = Reservation(self, id, record, model, limits, decision, prompt)
        return reservation

    def _asked(
        self, record: KeyRecord, limits: Limits, model: str, request: ChatRequest | None, *, answers: bool
    ) -> tuple[Demand, int, float, str]:
        """Return what a request demands, the tokens of its prompt, the time, and the budget's period in which it comes."""
        if self._subscribe is not None or (self._renewing is None and self._store.shared):
            self._begin()
        demand, prompt, now = _NOTHING, 0, self._now()
        if request is not None and limits.counts_tokens:
            demand, prompt = self._demand(limits, model, request, answers=answers)
        return demand, prompt, now, self._key(record).period_at(now)

    def _begin(self) -> None:
        """Note ends of answers, and renew what is held: as long as no key has limits, nothing is to be."""
        if self._subscribe is not None:
            self._subscribe(self.note)
            self._subscribe = None
        if self._renewing is None and self._store.shared:
            self._renewing = asyncio.create_task(self._renew())

    async def _decide(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision:
        """Let the store reserve. What it reserves for a caller who has left meanwhile is given back."""
        work = self._store.reserve(key, period, limits, demand, hold)
        if not self._store.shared:
            return await work
        reserving = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            self._run(self._give_back(reserving, key, period, hold))
            raise

    async def _give_back(self, reserving: asyncio.Future[Decision], key: str, period: str, hold: str) -> None:
        decision = await reserving  # it may be under way in the store, which nothing stops
        if not decision.refused:
            await self._store.settle(key, period, hold, 0, 0, decision)

    def _demand(self, limits: Limits, model: str, request: ChatRequest, *, answers: bool) -> tuple[Demand, int]:
        prompt = prompt_tokens(request)
        most, is_said = answer_tokens(request) if answers else (0, True)
        least = most if is_said else 1
        least_nano = most_nano = 0
        if limits.nano_budget:
            tier = tier_of(request)
            least_nano = most_nano = self._estimate(model, prompt, most, tier)
            if least != most:
                least_nano = self._estimate(model, prompt, least, tier)
        if prompt + most > MOST or most_nano > MOST:
            return Demand(*(min(each, MOST) for each in (prompt + least, prompt + most, least_nano, most_nano))), prompt
        return Demand(prompt + least, prompt + most, least_nano, most_nano), prompt

    def _estimate(self, model: str, prompt: int, completion: int, tier: str | None) -> int:
        price = None if self.prices is None else self.prices.estimate(model, prompt, completion, tier)
        if price is None:
            raise not_priced(model)
        return round(price * NANO)

    def note(self, entry: EndedAnswer) -> None:
        """Learn what an answer took that has ended."""
        reservation = self._live.get(entry.id)
        if reservation is not None:
            reservation.entry = entry

    def settle(self, reservation: Reservation) -> None:
        """See `Reservation.settle`. The store is not waited for."""
        hold, record = reservation.id, reservation.record
        self._live.pop(hold, None)
        known = self._known.get(record.id)
        if known is None or known.record is not record:  # another policy holds by now
            known = _KnownKey(record)
        # What a cheaper route took for a spent budget counts all the same, as the ledger has it.
        tokens, nano = self._used(reservation, known.limits) if known.counts_tokens else (0, 0)
        now = self._now()
        period = known.period if known.moment == int(now) else known.period_at(now)
        if self._in_memory is not None:
            self._in_memory.keys[record.id].settle(now, period, hold, tokens, nano, reservation.decision)
        else:
            self._run(self._store.settle(record.id, period, hold, tokens, nano, reservation.decision))

    def forget(self, reservation: Reservation) -> None:
        """Hold it no longer."""
        self._live.pop(reservation.id, None)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work*, of the store: at once, or in a task where that takes I/O."""
        if not self._store.shared:
            with contextlib.suppress(StopIteration):  # it waits for nothing
                work.send(None)
            return
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _used(self, reservation: Reservation, limits: Limits) -> tuple[int, int]:
        """Return the tokens and the nanodollars that an answer took, as far as *limits* count them, which do."""
        entry = reservation.entry
        if entry is None:  # what another server generated before is not known here
            return (reservation.decision.tokens, reservation.decision.nano) if reservation.is_adopted else (0, 0)
        if entry.cache == "hit":  # no upstream was asked
            return 0, 0
        tokens = entry.total_tokens
        if not 0 < tokens < MOST:
            tokens = max(0, min(tokens, MOST))
            if not tokens and entry.outcome == LEFT:
                tokens = reservation.prompt  # an upstream may have read it
        if not (limits.nano_budget or limits.token_budget):
            return tokens, 0
        # A key that has a budget in tokens may get one in money before the period ends.
        cost = entry.cost
        if cost is None and self.prices is not None:
            cost = self.prices.estimate(reservation.model, entry.prompt_tokens, tokens - entry.prompt_tokens)
        nano = round(cost * NANO) if cost else 0
        return tokens, nano if 0 <= nano <= MOST else max(0, min(nano, MOST))

    def replace(self, reservation: Reservation) -> None:
        """Let *reservation* stand for the one of the same request."""
        self._live[reservation.id] = reservation

    # ---- for streams that another server begins

    def adopt(self, written: bytes, record: KeyRecord) -> Reservation:
        """Return the reservation that another server has written down, which this one settles."""
        self._begin()
        hold = msgspec.json.decode(written, type=HoldRecord)
        limits = self.limits_of(record)
        if hold.over_budget:
            limits = _without_budgets(limits)
        reservation = Reservation(self, hold.id, record, hold.model, limits, hold.decision, hold.prompt, hold.over_budget)
        reservation.is_adopted = True
        self._live[hold.id] = reservation
        self._run(self._store.renew({hold.id: (hold.key, hold.decision)}))
        return reservation

    def _held(self) -> Holds:
        return {each.id: (each.key, each.decision) for each in self._live.values()}

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await _quietly(self._store.renew(self._held()))


def _without_budgets(limits: Limits) -> Limits:
    return msgspec.structs.replace(limits, token_budget=0, nano_budget=0)


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except CounterStoreError as error:
        _log.warning("a key's counters: %s", redact(str(error)))
