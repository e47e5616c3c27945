"""All that a server has of callers' keys, put together: what finds them, what they may use, and those that are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from starlette.routing import Route

from ..keys.administration import KeyAdministration
from ..keys.directory import KeyDirectory
from ..keys.documents import DocumentStore, MemoryDocuments
from ..keys.quotas import KeyQuotas
from ..keys.records import configured_key
from ..keys.ring import KeyRing
from ..keys.spending import KeySpending
from ..keys.stores import CounterStoreError, FallbackCounters, open_counters
from ..ledger.accounts import Accounts
from ..ledger.writer import LedgerWriter
from ..limiter import QuotaHold
from ..outage import Outage
from ..provider import AsyncGeneratorProvider
from ..settings import KeyConfig
from ..streams.records import RecordedRequest
from ..telemetry.metrics import Metrics
from .admin import AdminKeys
from .admission import Admission


class KeyControl:
    """The keys of one server. ``ring``: finds them; ``admission``: what each allows."""

    def __init__(
        self,
        keys: Mapping[str, KeyConfig],
        provider: AsyncGeneratorProvider,
        *,
        state: str,
        resolve: Callable[[str], str],
        has_cheaper_route: Callable[[str], bool],
        accounts: Accounts,
        ledger: LedgerWriter | None,
        metrics: Metrics,
    ) -> None:
        self.ring = KeyRing(keys)
        self._is_open = False
        self._opening = asyncio.Lock()
        self._accounts = accounts
        self._ledger = ledger
        self._counters = counters = open_counters(state)
        spent = None if ledger is None else self._spent
        self._quotas = KeyQuotas(counters, prices=accounts.prices, spent=spent, subscribe=accounts.keep)
        self._spending = KeySpending(counters, spent)
        self._directory = KeyDirectory(self.ring, self._documents(), on_change=self._quotas.seed)
        self.admission = Admission(
            provider, resolve=resolve, has_cheaper_route=has_cheaper_route, quotas=self._quotas, metrics=metrics
        )
        accounts.labels_of = self.ring.labels_of

    async def prepare(self, keys: Mapping[str, KeyConfig]) -> None:
        """Before a config with these *keys* is followed: let the budgets that it brings begin with what was spent."""
        if self._is_open:
            records = [configured_key(name, table) for name, table in keys.items()]
            await self._quotas.seed(record for record in records if record != self.ring.get(record.name))

    def follow(self, keys: Mapping[str, KeyConfig]) -> None:
        """Follow another config: its *keys*, what its models are called, and what they cost. What was counted stays so."""
        self.ring.replace_config(keys)
        self.admission.forget()
        self._quotas.prices = self._accounts.prices

    async def open(self) -> None:
        """Read the keys, and what they have spent; once. Without any, nothing is opened. Raises `ConfigError`."""
        if not self.ring.asks:
            return
        async with self._opening:
            if not self._is_open:
                await self._quotas.open(self.ring.records())
                await self._directory.open()
                self._is_open = True

    async def aclose(self) -> None:
        """Settle what is reserved, and close what was opened."""
        self._is_open = False
        await self._quotas.aclose()
        await self._directory.aclose()

    def routes(self) -> list[Route]:
        """Return the routes of administrators."""
        return AdminKeys(KeyAdministration(self._directory, self._spending.of)).routes()

    def outages(self) -> dict[str, Outage]:
        """Return whether what is shared with others is away: the counters of limits, and the keys that are made."""
        if not self._is_open:
            return {}
        counters = self._counters
        limits = {"limits": counters.outage} if isinstance(counters, FallbackCounters) else {}
        return limits if self._ledger is None else {**limits, "keys": self._directory.outage}

    def adopt(self, recorded: RecordedRequest) -> QuotaHold | None:
        """Return what a key has reserved for a stream that another server began."""
        record = self.ring.get(recorded.key)
        return self._quotas.adopt(recorded.hold, record) if recorded.hold and record is not None else None

    def _documents(self) -> DocumentStore:
        """Return where keys are kept that are made: beside the ledger, or without one in this process until it ends."""
        if (ledger := self._ledger) is None:
            return MemoryDocuments()
        from .key_store import DatabaseDocuments  # noqa: PLC0415  SQLAlchemy comes where there is a ledger

        return DatabaseDocuments(lambda: ledger.database)

    async def _spent(self, name: str, since: float, until: float | None = None) -> tuple[int, float]:
        """Return what the key of that name has spent since then, and before *until*. Raises `CounterStoreError` where the
        ledger is away."""
        from ..ledger.database import DatabaseAwayError  # noqa: PLC0415  SQLAlchemy comes where there is a ledger

        assert self._ledger is not None
        try:
            return await self._ledger.spent(name, since, until)
        except DatabaseAwayError as error:
            raise CounterStoreError(str(error)) from None
