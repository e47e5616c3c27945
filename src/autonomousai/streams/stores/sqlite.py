"""Streams in a SQLite file, which outlives the process and may be shared by several on one machine.

All of it happens in one thread beside the event loop. A record is committed to the write-ahead log, and so in the operating
system's hands, before a reader gets it: killing the process loses nothing that was delivered. (A power cut may lose the last
moments, never the file.)
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from ...errors import ConfigError
from .store import LEASE_S, PAGE, REMEMBERED_S, Claim, GoneError, Heartbeat, LeaseLostError, Page, StoreError, StreamInfo

T = TypeVar("T")

#: The layout below, as the file's ``user_version``. Streams of the former layouts are dropped, and a file of a later one is not
#: touched.
_VERSION: Final = 2

#: Seconds between two looks whether another process has written.
_POLL_S: Final = 0.05

#: Seconds between two sweeps.
_SWEEP_S: Final = 10.0

#: Finds the tables of the former layout, and drops them.
_HAS_FORMER: Final = "SELECT 1 FROM pragma_table_info('streams') WHERE name = 'watched_until'"
_DROP_FORMER: Final = ("DROP TABLE IF EXISTS streams", "DROP TABLE IF EXISTS pieces")

# What is large stands last: it is then not read where it is not wanted.
_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner BLOB NOT NULL, state TEXT NOT NULL, last INTEGER NOT NULL,
    lease INTEGER NOT NULL, lease_until REAL NOT NULL, watched_until REAL NOT NULL, touched REAL NOT NULL,
    request BLOB NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS records (
    stream INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (stream, number)
) WITHOUT ROWID""",
    f"PRAGMA user_version = {_VERSION}",
)


class SqliteStore:
    """*now* is the time of day: it continues over a restart, and is the same for all processes that share the file."""

    shared = True

    def __init__(self, path: Path, *, keep_s: float, lease_s: float = LEASE_S, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._keep_s = keep_s
        self._lease_s = lease_s
        self._now = now
        self._swept = 0.0
        self._database: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="autonomousai-state")
        try:
            self._database = await self._in_thread(self._connect)
            await self._run(self._sweep)
        except (OSError, sqlite3.Error, StoreError) as error:
            await self.aclose()
            raise ConfigError(f"server.state: {str(self._path)!r} cannot be used ({error}); give the path of a file") from None

    async def aclose(self) -> None:
        if self._thread is None:
            return
        if self._database is not None:
            await self._in_thread(self._database.close)
        self._thread.shutdown()
        self._thread = self._database = None

    async def create(self, id: str, owner: bytes, request: bytes) -> int:
        def create(database: sqlite3.Connection) -> int:
            now = self._now()
            values = (id, owner, now + self._lease_s, now, request)
            database.execute("INSERT INTO streams VALUES (NULL, ?, ?, 'running', 0, 1, ?, 0, ?, ?)", values)
            return 1

        return await self._run(create)

    async def find(self, id: str) -> StreamInfo | None:
        def find(database: sqlite3.Connection) -> StreamInfo | None:
            row = database.execute("SELECT owner, state, last, touched FROM streams WHERE id = ?", (id,)).fetchone()
            if row is None:
                return None
            owner, state, last, touched = row
            return StreamInfo(owner, "gone" if touched + self._keep_s <= self._now() else state, last)

        return await self._look(find)

    async def append(self, id: str, lease: int, number: int, data: bytes, *, end: bool = False) -> None:
        def append(database: sqlite3.Connection) -> None:
            stream = self._held(database, id, lease)
            if stream is None:
                raise LeaseLostError
            database.execute(
                "UPDATE streams SET last = ?, state = ?, touched = ? WHERE number = ?",
                (number, "ended" if end else "running", self._now(), stream),
            )
            database.execute("INSERT INTO records VALUES (?, ?, ?)", (stream, number, data))

        await self._run(append)

    def append_now(self, id: str, lease: int, number: int, data: Any, size: int, *, end: bool = False) -> None:
        raise NotImplementedError

    async def read(self, id: str, after: int) -> Page:
        def read(database: sqlite3.Connection) -> Page:
            row = database.execute("SELECT number, state, last FROM streams WHERE id = ?", (id,)).fetchone()
            if row is None or row[1] == "gone":
                raise GoneError
            stream, state, last = row
            records = database.execute(
                "SELECT number, data FROM records WHERE stream = ? AND number > ? ORDER BY number LIMIT ?",
                (stream, after, PAGE),
            ).fetchall()
            read = records[-1][0] if records else after
            return Page([data for _, data in records], read, state == "ended" and read >= last)

        return await self._look(read)

    async def wait(self, id: str, after: int, seconds: float) -> None:
        def look(database: sqlite3.Connection) -> bool:
            values = (id, after)
            row = database.execute("SELECT 1 FROM streams WHERE id = ? AND state = 'running' AND last <= ?", values).fetchone()
            return row is None

        until = time.monotonic() + seconds
        while not await self._look(look) and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(_POLL_S, left))  # another process can set no event here

    async def claim(self, id: str) -> Claim | None:
        def claim(database: sqlite3.Connection) -> Claim | None:
            now = self._now()
            taken = database.execute(
                "UPDATE streams SET lease = lease + 1, lease_until = ?, touched = ? "
                "WHERE id = ? AND state = 'running' AND lease_until <= ?",
                (now + self._lease_s, now, id, now),
            )
            if not taken.rowcount:
                return None
            row = database.execute("SELECT lease, last, request FROM streams WHERE id = ?", (id,)).fetchone()
            return Claim(*row)

        return await self._run(claim)

    async def release(self, id: str, lease: int) -> None:
        def release(database: sqlite3.Connection) -> None:
            database.execute("UPDATE streams SET lease_until = 0 WHERE id = ? AND lease = ?", (id, lease))

        await self._run(release)

    async def drop(self, id: str) -> None:
        def drop(database: sqlite3.Connection) -> None:
            _drop(database, "id = ?", (id,), self._now())

        await self._run(drop)

    async def heartbeat(self, written: Mapping[str, int], read: Collection[str]) -> Heartbeat:
        def heartbeat(database: sqlite3.Connection) -> Heartbeat:
            now = self._now()
            lost, watched = set(), set()
            for each in read:
                database.execute("UPDATE streams SET watched_until = ? WHERE id = ?", (now + self._lease_s, each))
            for each, lease in written.items():
                row = database.execute(
                    "SELECT number, state = 'running', watched_until > ? FROM streams "
                    "WHERE id = ? AND lease = ? AND state <> 'gone'",
                    (now, each, lease),
                ).fetchone()
                if row is None:
                    lost.add(each)
                elif row[1]:
                    until = (now + self._lease_s, now, row[0])
                    database.execute("UPDATE streams SET lease_until = ?, touched = ? WHERE number = ?", until)
                    if row[2]:
                        watched.add(each)
            if now >= self._swept + _SWEEP_S:
                self._sweep(database)
            return Heartbeat(lost, watched)

        return await self._run(heartbeat)

    def _held(self, database: sqlite3.Connection, id: str, lease: int) -> int | None:
        """Return the stream's number in the file; None where it is not running, or has another lease."""
        values = (id, lease)
        row = database.execute("SELECT number FROM streams WHERE id = ? AND lease = ? AND state = 'running'", values).fetchone()
        return None if row is None else row[0]

    def _sweep(self, database: sqlite3.Connection) -> None:
        """Drop what is past its time, and forget what was dropped long ago."""
        self._swept = now = self._now()
        _drop(database, "touched <= ? AND state <> 'gone'", (now - self._keep_s,), now)
        database.execute("DELETE FROM streams WHERE touched <= ? AND state = 'gone'", (now - REMEMBERED_S,))

    # The file and its thread

    def _connect(self) -> sqlite3.Connection:
        # It holds what people asked: a new file is its owner's alone, and SQLite gives the files beside it the same mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA secure_delete = FAST")
            database.execute("BEGIN IMMEDIATE")  # several workers open the file at the same time
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if not 0 <= version <= _VERSION:
                raise StoreError(f"it was written by another version, layout {version}")
            former = 0 < version < _VERSION and database.execute(_HAS_FORMER).fetchone()
            for statement in (*(_DROP_FORMER if former else ()), *_CREATE):
                database.execute(statement)
            database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    async def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do *work*, which only reads: other processes need not wait for it."""
        return await self._run(work, "BEGIN")

    async def _run(self, work: Callable[[sqlite3.Connection], T], begin: str = "BEGIN IMMEDIATE") -> T:
        """Do *work* in the thread, as one transaction."""
        database = self._database
        if database is None:
            raise StoreError(f"{self._path} is closed")

        def transact() -> T:
            database.execute(begin)
            try:
                done = work(database)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            return done

        try:
            return await self._in_thread(transact)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _drop(database: sqlite3.Connection, which: str, values: tuple[Any, ...], now: float) -> None:
    """Drop the records of streams, which are then remembered as gone. *which*: one of the conditions above."""
    database.execute(f"DELETE FROM records WHERE stream IN (SELECT number FROM streams WHERE {which})", values)  # noqa: S608
    gone = f"UPDATE streams SET state = 'gone', request = x'', touched = ? WHERE {which}"  # noqa: S608
    database.execute(gone, (now, *values))
