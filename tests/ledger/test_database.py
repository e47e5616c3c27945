"""The ledger's database, SQLite and a real PostgreSQL: each entry once, whatever happens; tables that become this program's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from autonomousai.errors import ConfigError
from autonomousai.ledger import database as module
from autonomousai.ledger.database import REVISION, Database, DatabaseAwayError, EntryRefusedError
from autonomousai.ledger.place import place_of
from autonomousai.ledger.summary import UsageQuestion
from autonomousai.ledger.tables import ENTRIES, METADATA
from autonomousai.ledger.usage import read_usage
from tests.support.lines import lines
from tests.support.postgres import PostgresServer

from .entries import entry
from .test_writer import writer

MIGRATIONS = Path(module.__file__).parent / "migrations"


def revisions() -> list[str]:
    """All of them, the first one first."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def at(url: str) -> Database:
    place = place_of(url)
    assert place is not None
    return Database(place)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """That database, until the block is left."""
    with closing(at(url)) as database:
        database.open()
        yield database


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """One that is open."""
    with opened(url) as database:
        yield database


def rows(database: Database) -> list[Any]:
    return list(database.read(lambda connection: connection.execute(select(ENTRIES).order_by(ENTRIES.c.id)).all()))


def test_an_entry_is_written_as_it_is(database: Database) -> None:
    """All of it."""
    database.write([entry(cached_tokens=3, cost=None)])

    (row,) = rows(database)
    assert ("req_1", 1_790_000_000.25, "alice", '{"team":"blue"}', 7, 2, 1, 3, None, None) == (
        row.id, row.time, row.key, row.labels, row.prompt_tokens, row.completion_tokens, row.lost_tokens, row.cached_tokens,
        row.reasoning_tokens, row.cost,
    )  # fmt: skip
    assert '[{"upstream":"u0","outcome":"ok","status":200,"ms":5,"tokens":2,"estimated":false,"cost":0.5}]' == row.attempts


def test_an_entry_is_written_once_however_often_it_is_written(database: Database) -> None:
    """The first counts: a commit whose confirmation was lost is written again."""
    database.write([entry("req_1"), entry("req_2"), entry("req_2", prompt_tokens=99)])
    database.write([entry("req_1", prompt_tokens=99), entry("req_3")])

    assert [("req_1", 7), ("req_2", 7), ("req_3", 7)] == [(row.id, row.prompt_tokens) for row in rows(database)]


@pytest.mark.parametrize("together", [True, False])
def test_an_answer_that_another_server_finished_is_its_whole_entry(database: Database, together: bool) -> None:
    """What was handed over is replaced, and nothing else is."""
    first, last = entry(outcome="handed_over", completion_tokens=1), entry(outcome="ok", completion_tokens=5)
    for batch in [[first, last]] if together else [[first], [last], [first]]:
        database.write(batch)

    assert [("ok", 5)] == [(row.outcome, row.completion_tokens) for row in rows(database)]


def test_texts_that_no_database_takes_are_mended(database: Database) -> None:
    """A model's name may come from a caller."""
    database.write([entry(model="a\0b" + "c" * 999, key="\ud800")])

    (row,) = rows(database)
    assert ("a\ufffdb" + "c" * 253, "?") == (row.model, row.key)


def test_writing_many_entries_is_little_work_for_each(database: Database) -> None:
    """Values are not given names and types one by one on their way to the database."""
    few, many = ([entry() for _ in range(count)] for count in (50, 250))
    database.write([entry()])

    work = lines(lambda: database.write(many)) - lines(lambda: database.write(few))

    assert 32 > work / 200


def test_a_number_that_is_too_large_is_refused_for_good(database: Database) -> None:
    """It is not tried again for ever."""
    with pytest.raises(EntryRefusedError):
        database.write([entry(prompt_tokens=2**70)])

    assert [] == rows(database)


def test_the_migrations_make_the_tables_that_the_program_has(database: Database) -> None:
    """And the last of them is the program's revision."""
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)

    assert [] == differences
    assert REVISION == revisions()[-1]


@pytest.mark.parametrize("revision", revisions())
def test_each_earlier_revision_becomes_the_last(url: str, revision: str) -> None:
    """With what is in it."""
    old = at(url)
    if old.place.path is not None:
        old.place.path.touch()
    old.migrate(revision)
    old.write([entry()])
    old.close()

    with opened(url) as database:
        assert REVISION == database.read(module._revision)
        assert ["req_1"] == [row.id for row in rows(database)]


def test_tables_of_a_newer_program_are_refused(database: Database, url: str) -> None:
    """And not touched."""
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigError, match=r"newer version of this program .*9999.*update this program"), opened(url):
        pass


def test_tables_of_another_program_are_refused(url: str) -> None:
    """A database that is somebody else's is not to be written to."""
    other = at(url)
    if other.place.path is not None:
        other.place.path.touch()
    with other.engine.begin() as connection:
        connection.execute(text("CREATE TABLE entries (number INTEGER)"))
    other.close()

    with pytest.raises(ConfigError, match="not a ledger's"), opened(url):
        pass


def test_several_servers_may_start_at_the_same_moment(url: str) -> None:
    """One of them makes the tables."""

    def start(number: int) -> None:
        with opened(url) as database:
            database.write([entry(f"req_{number}")])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(start, range(8)))

    with opened(url) as database:
        assert 8 == len(rows(database))


PROGRAM = """
import sys
from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from tests.ledger.entries import entry
database = Database(place_of(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
database.open()
for number in range(50):
    database.write([entry(f"req_{sys.argv[2]}_{number}"), entry(f"req_{number}")])
"""


def test_two_processes_write_to_one_database(url: str) -> None:
    """From the same moment, the first start included: nothing is lost, and nothing is there twice."""
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    for process in processes:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()

    assert [0, 0] == [process.returncode for process in processes]

    with opened(url) as database:
        assert 150 == len(rows(database))


def test_a_ledgers_file_is_its_owners_alone(tmp_path: Path) -> None:
    """And so is the folder that is made for the default one; where a file is named, its folder has to be there."""
    place = place_of("", {"XDG_DATA_HOME": str(tmp_path)})
    assert place is not None
    assert place.path is not None
    with closing(Database(place)) as database:
        database.open()
        database.write([entry()])

        assert {0o600} == {each.stat().st_mode & 0o777 for each in place.path.parent.iterdir()}
        assert 0o700 == place.path.parent.stat().st_mode & 0o777

    named = tmp_path / "not-mounted" / "ledger.db"
    with pytest.raises(ConfigError, match=r"ledger\.url: .*cannot be used \(No such file"), opened(str(named)):
        pass

    assert not named.parent.exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """And not changed."""
    path = tmp_path / "ledger.db"
    path.write_text("a letter to the tax office" * 100)

    with pytest.raises(ConfigError, match=r"ledger\.url: .*is no ledger"), opened(str(path)):
        pass

    assert path.read_text().startswith("a letter")


def test_a_server_that_is_not_there_may_come_later(tmp_path: Path) -> None:
    """It is no mistake of the config."""
    with pytest.raises(DatabaseAwayError) as caught, opened(f"postgresql://postgres:hush@/ledger?host={tmp_path}"):
        pass

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://host/name", "mysql:// is no database that is supported"),
        ("sqlite://", "names no file"),
        (":memory:", "names no file"),
        ("/tmp/", "names no file"),
        ("postgresql://host:port/name", "is not a URL"),
    ],
)
def test_what_is_no_database_is_refused(url: str, problem: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigError, match=problem) as caught:
        place_of(url)

    assert "postgresql://USER:PASSWORD@HOST/NAME" in str(caught.value)


def test_a_place_is_shown_without_its_password() -> None:
    """Wherever in the URL that stands."""
    assert "postgresql://me@[::1]:5433/ledger" == at("postgres://me:hush@[::1]:5433/ledger").place.name
    place = place_of("postgres://me:hush@db.example:5433/ledger?password=hush&sslmode=require")

    assert place is not None
    assert "postgresql://me@db.example:5433/ledger" == place.name
    assert "postgresql+psycopg://me:hush@db.example:5433/ledger?password=hush&sslmode=require" == place.url


def test_without_a_url_it_is_a_file_of_the_users(tmp_path: Path) -> None:
    """Where the user's data is."""
    place = place_of("", {"XDG_DATA_HOME": str(tmp_path)})

    assert place is not None
    assert tmp_path / "autonomousai" / "ledger.db" == place.path
    assert place_of("off") is None


def test_what_a_key_has_spent_is_summed(database: Database) -> None:
    """Of that key, and from that moment on; answers from the cache took nothing."""
    database.write(
        [entry("1"), entry("2", time=1.0), entry("3", key="bob"), entry("4", cost=None), entry("5", prompt_tokens=100)]
    )
    database.write([entry("6", cache="hit", cost=0.0), entry("7", key="carol", cache="miss")])

    assert (10 + 10 + 103, 1.0) == database.spent("alice", 2.0)
    assert (10, 0.5) == database.spent("carol", 0.0)
    assert (0, 0.0) == database.spent("eve", 0.0)


def test_a_deadlock_of_two_writers_cannot_be(postgres: PostgresServer) -> None:
    """Both write the same entries in the same order, whichever they were given."""
    url = postgres.database("deadlock")
    with opened(url):
        pass
    ids = [f"req_{number}" for number in range(200)]

    def write(order: list[str]) -> None:
        with opened(url) as database:
            for _ in range(10):
                database.write([entry(each, outcome="handed_over") for each in order])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, [ids, ids[::-1], ids, ids[::-1]]))

    with opened(url) as database:
        assert 200 == len(rows(database))


@pytest.mark.parametrize(
    ("encoding", "kept"),
    [("UTF8", ["plain", "ümlaut", "模型"]), ("SQL_ASCII", ["plain", "ümlaut", "模型"]), ("LATIN1", ["plain", "ümlaut"])],
)
async def test_a_database_of_another_encoding_loses_what_it_cannot_hold_alone(
    postgres: PostgresServer, encoding: str, kept: list[str]
) -> None:
    """One entry with a character that it lacks stops no other, whatever the client's own encoding would be."""
    url = postgres.database(f"in_{encoding.lower()}", encoding) + "&options=-cclient_encoding%3DLATIN1"
    ledger = writer(url)
    await ledger.open()
    for number, model in enumerate(("plain", "模型", "ümlaut")):
        ledger.take(entry(f"req_{number}", model=model))
    await ledger.aclose()

    with opened(url) as database:
        assert kept == sorted(row.name for row in read_usage(database, UsageQuestion(by="model")).rows)
    assert (len(kept), 3 - len(kept), 0) == (ledger.written, ledger.refused, ledger.lost)
