"""The ledger's database: opened, brought to this program's tables, written and read. Blocks; a thread beside the event loop
calls it.

SQLite and PostgreSQL, both through SQLAlchemy Core. Servers may share a database, and start at the same moment: migrations run
in one transaction, one process after the other.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Engine,
    cast,
    create_engine,
    delete,
    event,
    func,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from ..errors import ConfigError
from ..file_identity import FileIdentity, identity_of
from .entry import HANDED_OVER, LedgerEntry
from .place import LedgerPlace
from .tables import ENTRIES, OUTCOME, Row, row_of
from .whole import WholeAnswer, entry_of

#: The revision of the tables that this program has; the last of `migrations`.
REVISION: Final = "0002"

#: Seconds that a process waits for others that write to the same SQLite file.
_BUSY_S: Final = 30

#: What the lock of PostgreSQL is called under which migrations run: any number that no other program has.
_LOCK: Final = 0x6175746F_6C656467

#: A server that is gone is noticed after so long (libpq, 34.1.2): seconds to a connection, milliseconds without an
#: acknowledgement. Prepared statements would bind a connection, which poolers share out. Texts are sent in UTF-8, whatever the
#: database has: the driver could not write others, and reads bytes where the encoding is SQL_ASCII.
_POSTGRES: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "application_name": "autonomousai",
    "prepare_threshold": None,
    "client_encoding": "UTF8",
}


_log = logging.getLogger("autonomousai.ledger")


def tokens_of(column: Column[Any]) -> Any:
    """Return a column of tokens as it is summed up. An upstream may say any number: whole ones of 64 bits would be too small
    for their sum, which is an error then."""
    return cast(column, Double)


class DatabaseAwayError(Exception):
    """The database cannot be reached, or is not to be written to now; later it may be."""


class EntryRefusedError(Exception):
    """The database does not take an entry, and will not take it later."""


class Database:
    """The database at *place*. ``engine``: for other tables in it than the entries."""

    def __init__(self, place: LedgerPlace) -> None:
        self.place = place
        self.engine = _engine_of(place)
        self._identity: FileIdentity | None = None
        is_file = place.path is not None
        insert: Any = (sqlite if is_file else postgresql).insert(ENTRIES)
        changed = {column.name: insert.excluded[column.name] for column in ENTRIES.columns if not column.primary_key}
        is_open = ENTRIES.c.outcome == literal_column(f"'{HANDED_OVER}'")
        insert = insert.on_conflict_do_update(index_elements=["id"], set_=changed, where=is_open)
        # For rows as tuples, which the driver gets as they are: to give each value its name costs more than to store it.
        dialect_of: Any = type(self.engine.dialect)
        dialect = dialect_of(paramstyle="qmark" if is_file else "format")
        #: An entry that is there already stays, unless another server was to finish that answer.
        self._insert = str(insert.compile(dialect=dialect))

    def open(self) -> None:
        """Make the tables, or bring older ones to this program's. Raises `ConfigError` where that cannot be, and
        `DatabaseAwayError`."""
        with self._errors():
            if self.place.path is not None:
                _prepare_file(self.place.path, make_folder=self.place.is_default)
                if (identity := identity_of(self.place.path)) != self._identity:
                    self.engine.dispose()  # connections to a file that was removed or replaced
                    self._identity = identity
            found = self.read(_revision)
            if found != REVISION:
                self.migrate()

    def ensure_present(self) -> None:
        """Open the file that is there now, where the one that was opened was removed or replaced: what is written to that, no
        other process finds. Raises `DatabaseAwayError`."""
        if self._identity is None or self.place.path is None or identity_of(self.place.path) == self._identity:
            return
        try:
            self.open()
        except ConfigError as error:
            raise DatabaseAwayError(error.problem) from None
        _log.warning("the ledger %s was removed or replaced: it continues in the file that has its name now", self.place.name)

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to *revision*. Raises as `open` does."""
        with self._errors(), self.engine.begin() as connection:
            if self.place.path is None:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            _migrate(connection, revision, self.place.name)

    def write(self, entries: Sequence[LedgerEntry | WholeAnswer]) -> None:
        """Write *entries*, or those that they make, all or none of them; each once, however often it is written. Raises
        `DatabaseAwayError`, and `EntryRefusedError` for one of them."""
        self.ensure_present()
        rows: dict[str, Row] = {}
        for entry in entries:
            row = row_of(entry_of(entry) if isinstance(entry, WholeAnswer) else entry)
            if (known := rows.get(row[0])) is None or known[OUTCOME] == HANDED_OVER:
                rows[row[0]] = row
        with self._errors(), self.engine.begin() as connection:
            # In one order everywhere: two servers that wait for each other's rows would be a deadlock.
            connection.exec_driver_sql(self._insert, [row for _, row in sorted(rows.items())])

    def drop_before(self, moment: float, most: int) -> int:
        """Delete up to *most* of the entries before *moment* (seconds since the epoch), the oldest first. Returns how many.
        Raises `DatabaseAwayError`."""
        oldest = select(ENTRIES.c.id).where(ENTRIES.c.time < moment).order_by(ENTRIES.c.time).limit(most)
        self.ensure_present()
        # Two servers that do so at once delete others each, and wait for no row of one another.
        dropped = delete(ENTRIES).where(ENTRIES.c.id.in_(oldest.with_for_update(skip_locked=True)))
        with self._errors(), self.engine.begin() as connection:
            return connection.execute(dropped).rowcount

    def spent(self, key: str, since: float, until: float | None = None) -> tuple[int, float]:
        """Return the tokens and the US dollars of the answers to the key of that name since then (seconds since the epoch),
        and before *until*; what came from the cache took nothing."""
        columns = ENTRIES.c
        tokens = tokens_of(columns.prompt_tokens) + tokens_of(columns.completion_tokens) + tokens_of(columns.lost_tokens)
        query = select(func.sum(tokens), func.sum(ENTRIES.c.cost)).where(
            ENTRIES.c.key == key, ENTRIES.c.time >= since, func.coalesce(ENTRIES.c.cache, "") != "hit"
        )
        if until is not None:
            query = query.where(ENTRIES.c.time < until)
        counted, cost = self.read(lambda connection: connection.execute(query).one())
        return int(counted or 0), float(cost or 0)

    def read(self, query: Callable[[Connection], Any]) -> Any:
        """Return what *query* reads. Raises `DatabaseAwayError`."""
        self.ensure_present()
        with self._errors(), self.engine.connect().execution_options(reads=True) as connection:
            return query(connection)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell what is wrong with an entry from all else, which may be over later: a server that restarts or is replaced, a
        full disk, a missing right."""
        try:
            yield
        except (DataError, IntegrityError, OverflowError, UnicodeError) as error:
            raise EntryRefusedError(type(error).__name__) from None
        except SQLAlchemyError as error:
            raise DatabaseAwayError(_brief(error)) from None


def _brief(error: SQLAlchemyError) -> str:
    """Return the first line of what the driver says: what follows may show a statement with its values."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    return (said.strip().splitlines() or [type(error).__name__])[0]


def _engine_of(place: LedgerPlace) -> Engine:
    if place.path is None:
        try:
            return create_engine(place.url, pool_size=2, pool_pre_ping=True, pool_recycle=300, connect_args=_POSTGRES)
        except ImportError as error:
            if error.name not in ("psycopg", "psycopg_binary"):
                raise
            advice = "install it with: pip install 'autonomousai[postgres]'"
            raise ConfigError("PostgreSQL needs psycopg", key="ledger.url", advice=advice) from None
    engine = create_engine(place.url, connect_args={"timeout": _BUSY_S, "isolation_level": None})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_begin(connection: Connection) -> None:
    """Begin a transaction that waits for other writers now, and not in its middle. By itself the driver begins with the first
    change, and none around the making of tables."""
    if not connection.get_execution_options().get("reads"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _on_connect(connection: sqlite3.Connection, record: object) -> None:
    # Committed is what is in the write-ahead log: a process that is killed loses nothing of it, a power cut the last moments.
    connection.execute("PRAGMA synchronous = NORMAL")


def _prepare_file(path: Path, *, make_folder: bool) -> None:
    """Make the file, for its owner alone. Its folder is not made where it was named: it may be a disk that is not mounted, or a
    slip. Raises `ConfigError`."""
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        advice = "give the path of a file that can be written"
        raise ConfigError(f"{str(path)!r} cannot be used ({error.strerror})", key="ledger.url", advice=advice) from None
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
    except sqlite3.OperationalError:  # another process has it for a moment, and does the same
        pass
    except sqlite3.DatabaseError as error:
        advice = "give another path, or move that file away"
        raise ConfigError(f"{str(path)!r} is no ledger ({error})", key="ledger.url", advice=advice) from None


def _revision(connection: Connection) -> str | None:
    """Return the revision of the tables that are there; None where there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _migrate(connection: Connection, revision: str, name: str) -> None:
    from alembic import command  # noqa: PLC0415  only where tables are to be changed: it is slow to come
    from alembic.config import Config  # noqa: PLC0415  it comes with that
    from alembic.script import ScriptDirectory  # noqa: PLC0415  it comes with that

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = _revision(connection)
    if found is not None and found not in known:
        raise ConfigError(
            f"the ledger {name} was written by a newer version of this program (its tables are of revision {found}, "
            f"known here are those up to {REVISION})",
            key="ledger.url",
            advice="update this program, or name another database",
        )
    if found is None and inspect(connection).has_table(ENTRIES.name):
        advice = "name another database, or another schema of it"
        raise ConfigError(f"{name} holds a table 'entries' that is not a ledger's", key="ledger.url", advice=advice)
    command.upgrade(config, revision)
