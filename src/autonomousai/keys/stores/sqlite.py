"""Counters in a file that the processes of one machine share. Each change is a transaction, in a thread of the store's own."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ...errors import ConfigError
from ...file_identity import FileIdentity, identity_of
from ..counters import KeyCounters
from ..limits import Decision, Demand, Limits, Standing
from .store import LEASE_S, CounterStoreError, Holds

T = TypeVar("T")

#: Seconds that a change waits for other processes.
_BUSY_S: Final = 2.0

_LAYOUT: Final = "CREATE TABLE IF NOT EXISTS counters (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(KeyCounters).decode


class SqliteCounters:
    """``path``: of the file, which is made where it is not there."""

    shared = True

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._now = now
        self._thread: ThreadPoolExecutor | None = None  # while it is used
        self._file: sqlite3.Connection | None = None
        self._identity: FileIdentity | None = None

    async def open(self) -> None:
        try:
            await self._run(self._open)
        except CounterStoreError as error:
            raise ConfigError(f"server.state: {self._path} cannot be used ({error}); choose another path") from None

    async def aclose(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    async def reserve(self, key: str, period: str, limits: Limits, demand: Demand, hold: str) -> Decision:
        return await self._run(
            lambda: self._change(key, lambda of: of.reserve(self._now(), period, limits, demand, hold, LEASE_S))
        )

    async def settle(self, key: str, period: str, hold: str, tokens: int, nano: int, decision: Decision) -> None:
        await self._run(lambda: self._change(key, lambda of: of.settle(self._now(), period, hold, tokens, nano, decision)))

    async def report(self, key: str, period: str, tokens: int, nano: int, name: str) -> None:
        await self._run(lambda: self._change(key, lambda of: of.report(self._now(), period, tokens, nano)))

    async def renew(self, holds: Holds) -> None:
        await self._run(lambda: self._renew(holds))

    async def look(self, key: str, period: str) -> Standing:
        return await self._run(lambda: self._change(key, lambda of: of.look(self._now(), period)))

    async def seed(self, key: str, period: str, tokens: int, nano: int) -> None:
        await self._run(lambda: self._change(key, lambda of: of.seed(period, tokens, nano)))

    # ---- in the thread

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute(_LAYOUT)
        self._identity = identity_of(self._path)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _renew(self, holds: Holds) -> None:
        for hold, (key, _) in holds.items():
            self._change(key, lambda of, hold=hold: of.renew(self._now(), hold, LEASE_S))  # type: ignore[misc]

    def _change(self, key: str, change: Callable[[KeyCounters], T]) -> T:
        with self._transaction() as file:
            row = file.execute("SELECT data FROM counters WHERE key = ?", (key,)).fetchone()
            counters = KeyCounters() if row is None else _decode(row[0])
            result = change(counters)
            file.execute("REPLACE INTO counters VALUES (?, ?)", (key, _encode(counters)))
        return result

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._file is not None and identity_of(self._path) != self._identity:  # it was removed or replaced
            self._close()
        if self._file is None:
            self._open()
        file = self._file
        assert file is not None
        file.execute("BEGIN IMMEDIATE")
        try:
            yield file
            file.execute("COMMIT")
        except BaseException:
            if file.in_transaction:  # SQLite itself ends one that found the disk full
                file.execute("ROLLBACK")
            raise

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "key-counters")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise CounterStoreError(str(error)) from None
