"""What is particular to a file: it is its owner's, it outlives the process, and it may be of another kind."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import time
from pathlib import Path

import pytest

from autonomousai.errors import ConfigError
from autonomousai.streams.stores import Page, StoreError, sqlite
from autonomousai.streams.stores.sqlite import SqliteStore

#: Stores records for ever, and says of each that it is stored.
WRITER = """
import asyncio, sys
from pathlib import Path
from autonomousai.streams.stores.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]), keep_s=300)
    await store.open()
    lease = await store.create("s", b"owner", b"request")
    for number in range(1, 1_000_000):
        await store.append("s", lease, number, b"%d" % number)
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a state.db"


async def test_killing_the_process_loses_nothing_that_was_stored(path: Path) -> None:
    """Whatever a process said to be stored is there after SIGKILL, in order; at most one record more, which it had no time to
    speak of."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, path, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(500):
        await process.stdout.readline()
    process.kill()
    said = 500 + len((await process.stdout.read()).decode().rpartition("\n")[0].split())
    await process.wait()

    store = SqliteStore(path, keep_s=300)
    await store.open()
    records: list[bytes] = []
    while (page := await store.read("s", len(records))).records:
        records += page.records
    await store.aclose()

    assert [b"%d" % number for number in range(1, len(records) + 1)] == records
    assert len(records) - said in (0, 1)


async def test_the_file_is_its_owners_alone(path: Path) -> None:
    """People's questions are in it, and in its companions."""
    store = SqliteStore(path, keep_s=300)
    await store.open()
    await store.create("s", b"owner", b"request")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.aclose()

    assert {0o600} == modes


async def test_what_was_let_go_is_not_in_the_file(path: Path) -> None:
    """Neither the request nor the answer."""
    store = SqliteStore(path, keep_s=300)
    await store.open()
    lease = await store.create("s", b"owner", b"a secret request")
    await store.append("s", lease, 1, b"a secret answer")
    await store.drop("s")
    await store.aclose()

    assert b"a secret" not in path.read_bytes()


async def test_it_can_be_closed_and_opened_again(path: Path) -> None:
    """Closing twice does no harm; what is asked of a closed one is an error."""
    store = SqliteStore(path, keep_s=300)
    await store.open()
    await store.open()
    await store.create("s", b"owner", b"")
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError):
        await store.find("s")
    await store.open()
    page = await store.read("s", 0)
    await store.aclose()

    assert Page([], 0, False) == page


#: The tables of the layout before records were events, and a stream in them; and of the one in which all had the same time.
FORMER = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner BLOB NOT NULL, state TEXT NOT NULL, last INTEGER NOT NULL,
    lease INTEGER NOT NULL, lease_until REAL NOT NULL, watched_until REAL NOT NULL, touched REAL NOT NULL,
    note BLOB NOT NULL, question BLOB NOT NULL
);
CREATE TABLE pieces (
    stream INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (stream, last)
) WITHOUT ROWID;
INSERT INTO streams VALUES (1, 's', x'00', 'running', 1, 1, 0, 0, 1e12, x'', x'7b7d');
INSERT INTO pieces VALUES (1, 1, x'69643a2031');
PRAGMA user_version = 1;
"""
LAST = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner BLOB NOT NULL, state TEXT NOT NULL, last INTEGER NOT NULL,
    lease INTEGER NOT NULL, lease_until REAL NOT NULL, watched_until REAL NOT NULL, touched REAL NOT NULL,
    request BLOB NOT NULL
);
CREATE INDEX by_touch ON streams (state, touched);
CREATE TABLE records (
    stream INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (stream, number)
) WITHOUT ROWID;
INSERT INTO streams VALUES (1, 's', x'00', 'running', 1, 1, 0, 0, 1e12, x'7b7d');
INSERT INTO records VALUES (1, 1, x'7b7d');
PRAGMA user_version = 3;
"""


@pytest.mark.parametrize("former", [FORMER, LAST], ids=["first", "last"])
async def test_a_file_of_a_former_layout(path: Path, former: str) -> None:
    """Its streams are gone, and cannot be taken for ones of today; the file is used."""
    with sqlite3.connect(path) as database:
        database.executescript(former)
    database.close()
    stores = [SqliteStore(path, keep_s=300) for _ in range(2)]
    await asyncio.gather(*(store.open() for store in stores))
    found, claim = await stores[0].find("s"), await stores[0].claim("s")
    lease = await stores[0].create("s", b"owner", b"")
    await stores[0].append("s", lease, 1, b"a")
    page = await stores[1].read("s", 0)
    for store in stores:
        await store.aclose()

    assert (None, None, Page([b"a"], 1, False)) == (found, claim, page)


async def test_a_database_of_another_program_loses_nothing(path: Path) -> None:
    """Even where its version is that of our former layout."""
    with sqlite3.connect(path) as database:
        database.executescript("CREATE TABLE pieces (name TEXT); INSERT INTO pieces VALUES ('rook'); PRAGMA user_version = 1;")
    database.close()
    store = SqliteStore(path, keep_s=300)
    await store.open()
    await store.aclose()
    with sqlite3.connect(path) as database:
        names = database.execute("SELECT name FROM pieces").fetchall()
    database.close()

    assert [("rook",)] == names


@pytest.mark.parametrize("what", ["no database", "of another version", "a folder", "in no folder"])
async def test_a_file_that_cannot_be_used(path: Path, what: str) -> None:
    """The operator is told which, and it is not touched."""
    if what == "no database":
        path.write_bytes(b"something else " * 1000)
    elif what == "of another version":
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    elif what == "a folder":
        path.mkdir()
    else:
        path /= "state.db"

    with pytest.raises(ConfigError) as caught:
        await SqliteStore(path, keep_s=300).open()

    assert f"server.state: {str(path)!r} cannot be used" in str(caught.value)


async def test_a_file_that_goes_away(path: Path) -> None:
    """An error of the file while serving is told as one of the place."""
    store = SqliteStore(path, keep_s=300)
    await store.open()
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE records")
    database.close()
    lease = await store.create("s", b"owner", b"")

    with pytest.raises(StoreError):
        await store.append("s", lease, 1, b"a")
    await store.aclose()


async def fill(store: SqliteStore, *names: str, size: int = 100_000, keep_s: float | None = None) -> None:
    """Store streams that have ended, of about that size."""
    for name in names:
        lease = await store.create(name, b"owner", b"", keep_s)
        await store.append(name, lease, 1, bytes(size))
        await store.append(name, lease, 2, b"end", end=True)


async def test_the_file_is_bounded(path: Path) -> None:
    """Past the bound the streams that ended first go; where none has ended, nothing more is taken."""
    now = 0.0
    store = SqliteStore(path, keep_s=300, max_bytes=500_000, now=lambda: now)
    await store.open()
    for name in "abcdefgh":
        now += 1
        await fill(store, name)
    states = [info.state for name in "abcdefgh" if (info := await store.find(name))]
    lease = await store.create("running", b"owner", b"")
    with pytest.raises(StoreError, match=r"is full; see resume\.max_bytes"):
        for number in range(1, 10):
            await store.append("running", lease, number, bytes(100_000))
    await store.aclose()

    assert ["gone"] * 4 + ["ended"] * 4 == states
    assert path.stat().st_size < 700_000


async def test_the_stream_whose_time_is_over_first_goes_first(path: Path) -> None:
    """What is kept for longer outlives what ended after it."""
    store = SqliteStore(path, keep_s=300, max_bytes=500_000, now=lambda: 0.0)
    await store.open()
    await fill(store, *"ab", keep_s=86_400)
    await fill(store, *"cdefgh")
    states = [info.state for name in "abcdefgh" if (info := await store.find(name))]
    await store.aclose()

    assert (["ended"] * 2, 4) == (states[:2], states.count("gone"))


async def test_the_file_shrinks(path: Path) -> None:
    """What is past its time is given back to the file system, and the log beside the file with it."""
    now = 0.0
    store = SqliteStore(path, keep_s=300, now=lambda: now)
    await store.open()
    await fill(store, *"abcdefgh", size=1_000_000)
    for _ in range(3):
        now += 400
        await store.heartbeat({}, ())
    await store.aclose()

    assert path.stat().st_size < 100_000


async def test_a_file_that_could_not_shrink_is_made_anew(path: Path) -> None:
    """One of before, whose pages stay for ever."""
    with sqlite3.connect(path) as database:
        database.executescript(FORMER)
    database.close()
    store = SqliteStore(path, keep_s=300)
    await store.open()
    await store.aclose()
    with sqlite3.connect(path) as database:
        vacuum = database.execute("PRAGMA auto_vacuum").fetchone()
    database.close()

    assert (2,) == vacuum


@pytest.mark.parametrize("jump", [10_000.0, -10_000.0])
async def test_the_time_of_day_may_jump(path: Path, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """Somebody sets the clock: no stream that is written is dropped or taken over for that."""
    stores = [SqliteStore(path, keep_s=300) for _ in range(2)]
    for store in stores:
        await store.open()
    lease = await stores[0].create("s", b"owner", b"")
    told = time.time
    monkeypatch.setattr(time, "time", lambda: told() + jump)
    stores[1]._swept = 0.0
    beat = await stores[1].heartbeat({}, ())
    claim = await stores[1].claim("s")
    await stores[0].append("s", lease, 1, b"a")
    for store in stores:
        await store.aclose()

    assert (None, set()) == (claim, beat.lost)


@pytest.mark.parametrize("keep_s", [None, 3000])
async def test_a_machine_that_was_started_anew(path: Path, keep_s: float | None) -> None:
    """Its clock begins anew: what was written before is there, can be taken over, and goes in its time."""
    now = 1_000_000.0
    store = SqliteStore(path, keep_s=300, now=lambda: now)
    await store.open()
    lease = await store.create("s", b"owner", b"", keep_s)
    await store.append("s", lease, 1, b"a")
    await store.aclose()
    now = 50.0
    await store.open()
    found, claim = await store.find("s"), await store.claim("s")
    now += (keep_s or 300) + 1
    await store.heartbeat({}, ())
    late = await store.find("s")
    await store.aclose()

    assert found is not None
    assert late is not None
    assert ("running", True, "gone") == (found.state, claim is not None, late.state)


async def test_a_locked_file_costs_one_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds it, one operation waits for it, and the others are refused at once."""
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.05)
    monkeypatch.setattr(sqlite, "_LOCKED_S", 1000)
    store = SqliteStore(path, keep_s=300)
    await store.open()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = [await refused(store, f"s{number}") for number in range(20)]
    other.close()
    monkeypatch.setattr(store, "_locked_until", 0.0)
    lease = await store.create("s", b"owner", b"")
    await store.aclose()

    assert [True, *[False] * 19] == ["database is locked" in each for each in begun]
    assert 1 == lease


async def refused(store: SqliteStore, id: str) -> str:
    with pytest.raises(StoreError) as caught:
        await store.create(id, b"owner", b"")
    return str(caught.value)
