"""Keys in the ledger's database: all servers and workers with one ledger have the same keys.

The database blocks, so that it is asked in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ..config import Config
from ..errors import ConfigError
from ..keys.administration import KeyAdministration
from ..keys.directory import KeyDirectory
from ..keys.documents import DocumentChangedError, DocumentStoreError, NameTakenError
from ..keys.quotas import KeyQuotas
from ..keys.records import KeyRecord
from ..keys.ring import KeyRing
from ..keys.spending import KeySpending
from ..keys.stores import CounterStoreError, open_counters
from ..ledger.database import Database, DatabaseAwayError
from ..ledger.key_rows import (
    KeyRowChangedError,
    NameInUseError,
    delete_key,
    insert_key,
    keys_version,
    read_keys,
    replace_key,
)
from ..ledger.place import place_of
from ..settings import LedgerConfig

T = TypeVar("T")


class DatabaseDocuments:
    """The keys in a database, which another part opens and closes. *database*: returns it, once it is open."""

    shared = True

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def open(self) -> None:
        """Do nothing: the ledger opens the database."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def version(self) -> int:
        return await self._do(lambda: keys_version(self._database()))

    async def load(self) -> list[bytes]:
        return await self._do(lambda: read_keys(self._database()))

    async def add(self, id: str, name: str, document: bytes) -> None:
        await self._do(lambda: insert_key(self._database(), id, name, document))

    async def replace(self, id: str, before: bytes, document: bytes) -> None:
        await self._do(lambda: replace_key(self._database(), id, before, document))

    async def delete(self, id: str) -> None:
        await self._do(lambda: delete_key(self._database(), id))

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except NameInUseError as error:
            raise NameTakenError(str(error)) from None
        except KeyRowChangedError as error:
            raise DocumentChangedError(str(error)) from None
        except DatabaseAwayError as error:
            raise DocumentStoreError(str(error)) from None


@asynccontextmanager
async def open_administration(config: Config) -> AsyncIterator[KeyAdministration]:
    """Administer the keys in the database that *config* names, without a server. Raises `ConfigError` where it names none, or
    it cannot be used."""
    place = place_of((config.ledger or LedgerConfig()).url)
    if place is None:
        raise ConfigError("is off, and keys that are made are kept there", key="ledger.url", advice="give it a path or a URL")
    database = Database(place)
    try:
        try:
            await asyncio.to_thread(database.open)
        except DatabaseAwayError as error:
            raise ConfigError(f"cannot be reached ({error})", key="ledger.url", advice="start the database") from None
        directory = KeyDirectory(KeyRing(config.keys), DatabaseDocuments(lambda: database))
        await directory.refresh()
        yield KeyAdministration(directory, lambda record: _used(record, config.server.state, database))
    finally:
        await asyncio.to_thread(database.close)


async def _used(record: KeyRecord, state: str, database: Database) -> dict[str, Any]:
    """Return what a key has used: by the counters of *state*, which begin with what the ledger has where they are not there."""

    async def spent(name: str, since: float, until: float | None = None) -> tuple[int, float]:
        try:
            return await asyncio.to_thread(database.spent, name, since, until)
        except DatabaseAwayError as error:
            raise CounterStoreError(str(error)) from None

    counters = open_counters(state)
    quotas = KeyQuotas(counters, spent=spent)
    try:
        await quotas.open([record])
        used = await KeySpending(counters, spent).of(record)
    finally:
        await quotas.aclose()
    if not counters.shared:  # a server counts them in its own memory
        used.pop("under_way", None)
    return used
