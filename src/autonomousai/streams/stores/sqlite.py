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
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from ...errors import ConfigError
from ...file_identity import FileIdentity, identity_of
from .store import (
    LEASE_S,
    PAGE,
    REMEMBERED_S,
    Claim,
    GoneError,
    Heartbeat,
    LeaseLostError,
    Page,
    StoreError,
    StoreFullError,
    StreamInfo,
    StreamVanishedError,
)

T = TypeVar("T")

#: The layout below, as the file's ``user_version``. Streams of the former layouts are dropped, and a file of a later one is not
#: touched.
_VERSION: Final = 4

#: Seconds between two looks whether another process has written.
_POLL_S: Final = 0.05

#: Seconds that an operation waits for another process; while the store is opened; and in which, after it waited in vain, no
#: other one does: each caller would wait behind the one before.
_BUSY_S: Final = 1.0
_OPEN_S: Final = 5.0
_LOCKED_S: Final = 1.0
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

#: SQLite's number for it; pages that a sweep gives back to the file system at most; bytes of the write-ahead log that stay.
_INCREMENTAL: Final = 2
_GIVEN_BACK: Final = 2_000
_JOURNAL: Final = 4_000_000

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: Seconds between two sweeps.
_SWEEP_S: Final = 10.0

#: Finds the tables of the former layout, and drops them.
_HAS_FORMER: Final = "SELECT 1 FROM pragma_table_info('streams') WHERE name = 'watched_until'"
_DROP_FORMER: Final = tuple(f"DROP TABLE IF EXISTS {table}" for table in ("streams", "records", "pieces"))

# ``until``: when its time is over, if it is not written and its lease not renewed, ``keep_s`` seconds after that was done last.
# What is large stands last: it is then not read where it is not wanted.
_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner BLOB NOT NULL, state TEXT NOT NULL, last INTEGER NOT NULL,
    lease INTEGER NOT NULL, lease_until REAL NOT NULL, watched_until REAL NOT NULL, keep_s REAL NOT NULL,
    until REAL NOT NULL, request BLOB NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS by_time ON streams (state, until)",
    """CREATE TABLE IF NOT EXISTS records (
    stream INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (stream, number)
) WITHOUT ROWID""",
    f"PRAGMA user_version = {_VERSION}",
)


def boot_time() -> float:
    """Return the seconds since this machine was started: that clock is never set, and it is the same for all processes."""
    return time.clock_gettime(_BOOT_CLOCK)


class SqliteStore:
    """Past *max_bytes*, drops streams that have ended, the next to go first; with none left, nothing more is taken. *now*:
    seconds since the machine was started; what was written before that is of the moment at which it is found."""

    shared = True

    def __init__(
        self,
        path: Path,
        *,
        keep_s: float,
        max_bytes: int = 2**63,
        lease_s: float = LEASE_S,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self._path = path
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._lease_s = lease_s
        self._now = now
        self._swept = 0.0
        self._locked_until = 0.0  # by this process's clock
        self._database: sqlite3.Connection | None = None
        self._identity: FileIdentity | None = None
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

    async def create(self, id: str, owner: bytes, request: bytes, keep_s: float | None = None) -> int:
        keep_s = self._keep_s if keep_s is None else keep_s

        def create(database: sqlite3.Connection) -> int:
            self._make_room(database)
            now = self._now()
            values = (id, owner, now + self._lease_s, keep_s, now + keep_s, request)
            database.execute("INSERT INTO streams VALUES (NULL, ?, ?, 'running', 0, 1, ?, 0, ?, ?, ?)", values)
            return 1

        return await self._run(create)

    async def find(self, id: str) -> StreamInfo | None:
        def find(database: sqlite3.Connection) -> StreamInfo | None:
            row = database.execute("SELECT owner, state, last, until FROM streams WHERE id = ?", (id,)).fetchone()
            if row is None:
                return None
            owner, state, last, until = row
            return StreamInfo(owner, "gone" if until <= self._now() else state, last)

        return await self._look(find)

    async def request(self, id: str) -> bytes:
        def request(database: sqlite3.Connection) -> bytes:
            row = database.execute("SELECT request FROM streams WHERE id = ? AND state <> 'gone'", (id,)).fetchone()
            if row is None:
                raise GoneError
            data: bytes = row[0]
            return data

        return await self._look(request)

    async def append(self, id: str, lease: int, number: int, data: bytes, *, end: bool = False) -> None:
        def append(database: sqlite3.Connection) -> None:
            stream = self._held(database, id, lease)
            self._make_room(database)
            database.execute(
                "UPDATE streams SET last = ?, state = ?, until = ? + keep_s WHERE number = ?",
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

    async def claim(self, id: str, *, force: bool = False) -> Claim | None:
        def claim(database: sqlite3.Connection) -> Claim | None:
            now = self._now()
            taken = database.execute(
                "UPDATE streams SET lease = lease + 1, lease_until = ?, until = ? + keep_s "
                "WHERE id = ? AND state = 'running' AND (lease_until <= ? OR ?)",
                (now + self._lease_s, now, id, now, force),
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
            lost, watched, vanished = set(), set(), set()
            for each in read:
                database.execute("UPDATE streams SET watched_until = ? WHERE id = ?", (now + self._lease_s, each))
            for each, lease in written.items():
                row = database.execute(
                    "SELECT number, state = 'running', watched_until > ?, lease = ? AND state <> 'gone' "
                    "FROM streams WHERE id = ?",
                    (now, lease, each),
                ).fetchone()
                if row is None:
                    vanished.add(each)
                elif not row[3]:
                    lost.add(each)
                elif row[1]:
                    until = (now + self._lease_s, now, row[0])
                    database.execute("UPDATE streams SET lease_until = ?, until = ? + keep_s WHERE number = ?", until)
                    if row[2]:
                        watched.add(each)
            if now >= self._swept + _SWEEP_S:
                self._sweep(database)
            return Heartbeat(lost, watched, vanished)

        return await self._run(heartbeat)

    def _held(self, database: sqlite3.Connection, id: str, lease: int) -> int:
        """Return the stream's number in the file. Raises `LeaseLostError` where it is not running, or has another lease."""
        row = database.execute("SELECT number, lease, state FROM streams WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise StreamVanishedError
        if row[1:] != (lease, "running"):
            raise LeaseLostError
        number: int = row[0]
        return number

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Drop ended streams while the file holds too much. Raises `StoreFullError` where that is not enough."""
        while self._used(database) > self._max_bytes:
            oldest = database.execute("SELECT id FROM streams WHERE state = 'ended' ORDER BY until LIMIT 1").fetchone()
            if oldest is None:
                raise StoreFullError(f"{self._path} is full; see resume.max_bytes")
            _drop(database, "id = ?", oldest, self._now())

    @staticmethod
    def _used(database: sqlite3.Connection) -> int:
        """Return the bytes of the file's pages that hold something."""
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        used: int = (pages - free) * size
        return used

    def _sweep(self, database: sqlite3.Connection) -> None:
        """Drop what is past its time, and forget what was dropped long ago."""
        self._swept = now = self._now()
        _drop(database, "state IN ('running', 'ended') AND until <= ?", (now,), now)
        database.execute("DELETE FROM streams WHERE state = 'gone' AND until <= ?", (now,))
        for _ in range(min(_GIVEN_BACK, database.execute("PRAGMA freelist_count").fetchone()[0])):
            database.execute("PRAGMA incremental_vacuum(1)")  # one step of it is all that sqlite3 does

    # The file and its thread

    def _connect(self) -> sqlite3.Connection:
        # It holds what people asked: a new file is its owner's alone, and SQLite gives the files beside it the same mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=_OPEN_S, isolation_level=None, check_same_thread=False)
        try:
            self._let_shrink(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA secure_delete = FAST")
            database.execute("BEGIN IMMEDIATE")  # several workers open the file at the same time
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if not 0 <= version <= _VERSION:
                raise StoreError(f"it was written by another version, layout {version}")
            former = 0 < version < _VERSION and database.execute(_HAS_FORMER).fetchone()
            for statement in (*(_DROP_FORMER if former else ()), *_CREATE):
                database.execute(statement)
            self._rebase(database)
            database.execute("COMMIT")
            database.execute(f"PRAGMA busy_timeout = {round(_BUSY_S * 1000)}")
            self._identity = identity_of(self._path)
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def _let_shrink(database: sqlite3.Connection) -> None:
        """Let the file give back the pages that it no longer needs. One that was made without that is made anew."""
        if database.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
            return
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        if 0 < version <= _VERSION and database.execute(_HAS_FORMER).fetchone():
            with suppress(sqlite3.OperationalError):  # another process has it open, and the next one makes it
                database.execute("VACUUM")

    def _rebase(self, database: sqlite3.Connection) -> None:
        """Take what was written before the machine was started anew for written now, by processes that are no more."""
        now = self._now()
        database.execute("UPDATE streams SET lease_until = 0 WHERE lease_until > ?", (now + self._lease_s,))
        database.execute("UPDATE streams SET until = ? + keep_s, watched_until = 0 WHERE until > ? + keep_s", (now, now))

    async def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do *work*, which only reads: other processes need not wait for it."""
        return await self._run(work, "BEGIN")

    async def _run(self, work: Callable[[sqlite3.Connection], T], begin: str = "BEGIN IMMEDIATE") -> T:
        """Do *work* in the thread, as one transaction."""
        if self._database is None:
            raise StoreError(f"{self._path} is closed")

        def transact() -> T:
            if time.monotonic() < self._locked_until:
                raise StoreError(f"{self._path} is locked")
            database = self._present()
            database.execute(begin)
            try:
                done = work(database)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite itself ends one that found the disk full
                    database.execute("ROLLBACK")
                raise
            return done

        try:
            return await self._in_thread(transact)
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED:
                self._locked_until = time.monotonic() + _LOCKED_S
            raise StoreError(f"{self._path}: {error}") from None

    def _present(self) -> sqlite3.Connection:
        """Return the connection to the file; to another one where it was removed or replaced."""
        database = self._database
        assert database is not None
        if identity_of(self._path) != self._identity:
            another = self._connect()
            database.close()
            self._database = database = another
        return database

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _drop(database: sqlite3.Connection, which: str, values: tuple[Any, ...], now: float) -> None:
    """Drop the records of streams, which are then remembered as gone. *which*: one of the conditions above."""
    database.execute(f"DELETE FROM records WHERE stream IN (SELECT number FROM streams WHERE {which})", values)  # noqa: S608
    gone = f"UPDATE streams SET state = 'gone', request = x'', keep_s = ?, until = ? WHERE {which}"  # noqa: S608
    database.execute(gone, (REMEMBERED_S, now + REMEMBERED_S, *values))
