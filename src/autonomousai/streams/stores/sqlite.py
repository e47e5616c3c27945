"""Streams in a SQLite file, which outlives the process and may be shared by several on one machine.

All of it happens in one thread beside the event loop. A piece is committed to the write-ahead log, so it is the operating
system's, before anybody is sent it: killing the process loses nothing that was delivered. (A power cut may lose the last
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
from .store import LEASE_S, PAGE, REMEMBERED_S, Beat, Claim, Found, GoneError, LostError, Page, StateError

T = TypeVar("T")

#: The layout below; a file of another one is not touched.
_VERSION: Final = 1

#: Seconds between two looks whether another process has written.
_LOOK_S: Final = 0.05

#: Seconds between two sweeps.
_SWEEP_S: Final = 10.0

# What is large stands last: it is then not read where it is not wanted.
_LAYOUT: Final = """
CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner BLOB NOT NULL, state TEXT NOT NULL, last INTEGER NOT NULL,
    lease INTEGER NOT NULL, lease_until REAL NOT NULL, watched_until REAL NOT NULL, touched REAL NOT NULL,
    note BLOB NOT NULL, question BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS pieces (
    stream INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (stream, last)
) WITHOUT ROWID;
"""


class SqliteStore:
    """*now* is the time of day: it must go on over a restart, and be the same for all who share the file."""

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
        except (OSError, sqlite3.Error, StateError) as error:
            await self.aclose()
            raise ConfigError(f"server.state: {str(self._path)!r} cannot be used ({error}); give the path of a file") from None

    async def aclose(self) -> None:
        if self._thread is None:
            return
        if self._database is not None:
            await self._in_thread(self._database.close)
        self._thread.shutdown()
        self._thread = self._database = None

    async def create(self, id: str, owner: bytes, question: bytes) -> int:
        def create(database: sqlite3.Connection) -> int:
            now = self._now()
            values = (id, owner, now + self._lease_s, now, question)
            database.execute("INSERT INTO streams VALUES (NULL, ?, ?, 'running', 0, 1, ?, 0, ?, x'', ?)", values)
            return 1

        return await self._run(create)

    async def find(self, id: str) -> Found | None:
        def find(database: sqlite3.Connection) -> Found | None:
            row = database.execute("SELECT owner, state, last, touched FROM streams WHERE id = ?", (id,)).fetchone()
            if row is None:
                return None
            owner, state, last, touched = row
            return Found(owner, "gone" if touched + self._keep_s <= self._now() else state, last)

        return await self._look(find)

    async def append(
        self, id: str, lease: int, last: int, data: bytes, *, note: bytes | None = None, end: bool = False
    ) -> None:
        def append(database: sqlite3.Connection) -> None:
            number = self._held(database, id, lease)
            if number is None:
                raise LostError
            database.execute(
                "UPDATE streams SET last = ?, note = ifnull(?, note), state = ?, touched = ? WHERE number = ?",
                (last, note, "ended" if end else "running", self._now(), number),
            )
            database.execute("INSERT INTO pieces VALUES (?, ?, ?)", (number, last, data))

        await self._run(append)

    async def read(self, id: str, after: int) -> Page:
        def read(database: sqlite3.Connection) -> Page:
            row = database.execute("SELECT number, state, last FROM streams WHERE id = ?", (id,)).fetchone()
            if row is None or row[1] == "gone":
                raise GoneError
            number, state, last = row
            pieces = database.execute(
                "SELECT last, data FROM pieces WHERE stream = ? AND last > ? ORDER BY last LIMIT ?", (number, after, PAGE)
            ).fetchall()
            read = pieces[-1][0] if pieces else after
            return Page([data for _, data in pieces], read, state == "ended" and read >= last)

        return await self._look(read)

    async def wait(self, id: str, after: int, seconds: float) -> None:
        def look(database: sqlite3.Connection) -> bool:
            values = (id, after)
            row = database.execute("SELECT 1 FROM streams WHERE id = ? AND state = 'running' AND last <= ?", values).fetchone()
            return row is None

        until = time.monotonic() + seconds
        while not await self._look(look) and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(_LOOK_S, left))  # another process can set no event here

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
            row = database.execute("SELECT lease, last, question, note FROM streams WHERE id = ?", (id,)).fetchone()
            return Claim(*row)

        return await self._run(claim)

    async def release(self, id: str, lease: int) -> None:
        def release(database: sqlite3.Connection) -> None:
            database.execute("UPDATE streams SET lease_until = 0 WHERE id = ? AND lease = ?", (id, lease))

        await self._run(release)

    async def drop(self, id: str) -> None:
        def drop(database: sqlite3.Connection) -> None:
            _let_go(database, "id = ?", (id,), self._now())

        await self._run(drop)

    async def beat(self, written: Mapping[str, int], read: Collection[str]) -> Beat:
        def beat(database: sqlite3.Connection) -> Beat:
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
            return Beat(lost, watched)

        return await self._run(beat)

    def _held(self, database: sqlite3.Connection, id: str, lease: int) -> int | None:
        """The stream's number in the file, if it is running and that is its lease."""
        values = (id, lease)
        row = database.execute("SELECT number FROM streams WHERE id = ? AND lease = ? AND state = 'running'", values).fetchone()
        return None if row is None else row[0]

    def _sweep(self, database: sqlite3.Connection) -> None:
        """Let go of what is past its time, and forget what was let go long ago."""
        self._swept = now = self._now()
        _let_go(database, "touched <= ? AND state <> 'gone'", (now - self._keep_s,), now)
        database.execute("DELETE FROM streams WHERE touched <= ? AND state = 'gone'", (now - REMEMBERED_S,))

    # The file and its thread

    def _connect(self) -> sqlite3.Connection:
        # What people asked is in it: a new file is its owner's alone, and its companions take after it.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA secure_delete = FAST")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise StateError(f"it was written by another version, layout {version}")
            database.executescript(f"BEGIN IMMEDIATE; {_LAYOUT} PRAGMA user_version = {_VERSION}; COMMIT;")
        except BaseException:
            database.close()
            raise
        return database

    async def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do *work*, which changes nothing: nobody has to wait for that."""
        return await self._run(work, "BEGIN")

    async def _run(self, work: Callable[[sqlite3.Connection], T], begin: str = "BEGIN IMMEDIATE") -> T:
        """Do *work* in the thread, as one transaction."""
        database = self._database
        if database is None:
            raise StateError(f"{self._path} is closed")

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
            raise StateError(f"{self._path}: {error}") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _let_go(database: sqlite3.Connection, which: str, values: tuple[Any, ...], now: float) -> None:
    """Let streams go: they are remembered, and what they held is not. *which* is one of the texts above."""
    database.execute(f"DELETE FROM pieces WHERE stream IN (SELECT number FROM streams WHERE {which})", values)  # noqa: S608
    gone = f"UPDATE streams SET state = 'gone', question = x'', note = x'', touched = ? WHERE {which}"  # noqa: S608
    database.execute(gone, (now, *values))
