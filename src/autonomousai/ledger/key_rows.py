"""The rows of keys that were made while servers ran, in the ledger's database. What a document says is not known here. Blocks.

Each change raises a mark, a number that servers look at to learn whether there was one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from .database import Database, DatabaseAwayError
from .tables import KEYS, MARKS

#: The mark of the keys.
_MARK: Final = "keys"


class NameInUseError(Exception):
    """Another key has the name."""


class KeyRowChangedError(Exception):
    """The key is not as it was read."""


def keys_version(database: Database) -> int:
    """Return a number that grows with each change of the keys. Raises `DatabaseAwayError`, as all of these do."""
    query = select(MARKS.c.number).where(MARKS.c.name == _MARK)
    return int(database.read(lambda connection: connection.execute(query).scalar()) or 0)


def read_keys(database: Database) -> list[bytes]:
    """Return the documents of all keys, by their names."""
    query = select(KEYS.c.document).order_by(KEYS.c.name)
    return [row[0].encode() for row in database.read(lambda connection: connection.execute(query).all())]


def insert_key(database: Database, id: str, name: str, document: bytes) -> None:
    """Keep a new key. Raises `NameInUseError`."""

    def write(connection: Connection) -> None:
        connection.execute(insert(KEYS).values(id=id, name=name, document=document.decode()))
        _raise_mark(connection)

    _change(database, write, name)


def replace_key(database: Database, id: str, before: bytes, document: bytes) -> None:
    """Keep *document* in the place of *before*. Raises `KeyRowChangedError` where another server changed or deleted that."""
    as_read = (KEYS.c.id == id, KEYS.c.document == before.decode())

    def write(connection: Connection) -> None:
        if not connection.execute(update(KEYS).where(*as_read).values(document=document.decode())).rowcount:
            raise KeyRowChangedError(id)
        _raise_mark(connection)

    _change(database, write)


def delete_key(database: Database, id: str) -> None:
    """Drop the key of that *id*."""

    def write(connection: Connection) -> None:
        connection.execute(delete(KEYS).where(KEYS.c.id == id))
        _raise_mark(connection)

    _change(database, write)


def _change(database: Database, write: Callable[[Connection], None], name: str = "") -> None:
    """Let *write* change rows, all of them or none."""
    taken = select(KEYS.c.id).where(KEYS.c.name == name)
    database.ensure_present()
    for is_last in (False, True):
        try:
            with database.engine.begin() as connection:
                write(connection)
        except IntegrityError:
            if database.read(lambda connection: connection.execute(taken).first()) is not None:
                raise NameInUseError(name) from None
            if is_last:  # the first mark may have been made by two servers at once, but not twice
                raise DatabaseAwayError("IntegrityError") from None
        except SQLAlchemyError as error:
            raise DatabaseAwayError(type(error).__name__) from None
        else:
            return


def _raise_mark(connection: Connection) -> None:
    if not connection.execute(update(MARKS).where(MARKS.c.name == _MARK).values(number=MARKS.c.number + 1)).rowcount:
        connection.execute(insert(MARKS).values(name=_MARK, number=1))
