"""The tables of the ledger's database, as they are now. How older ones become these is in `migrations`."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

from .entry import LedgerEntry

METADATA: Final = MetaData()

#: An entry each; ``labels`` and ``attempts`` are JSON.
ENTRIES: Final = Table(
    "entries",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("time", Double, nullable=False),
    Column("key", String(256), nullable=False),
    Column("labels", Text, nullable=False),
    Column("model", String(256), nullable=False),
    Column("wire", String(64), nullable=False),
    Column("upstream", String(256)),
    Column("attempts", Text, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("lost_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("estimated", Boolean, nullable=False),
    Column("cost", Double),
    Column("first_ms", BigInteger),
    Column("total_ms", BigInteger, nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("status", Integer),
    Column("splices", Integer, nullable=False),
    Column("cache", String(16)),
    Column("hedged", Boolean, nullable=False),
    Index("entries_by_time", "time"),
    Index("entries_by_key", "key", "time"),
)

#: Keys that were made while a server ran, each as a JSON document.
KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("document", Text, nullable=False),
)

#: Numbers that grow with each change of something, for those that look whether there was one.
MARKS: Final = Table(
    "marks",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

#: The values of an entry, in the order of the columns, which is that of its members.
Row: TypeAlias = tuple[Any, ...]

#: Where a row has its outcome, what is JSON, and the other texts with the most characters of each.
_NAMES: Final = [column.name for column in ENTRIES.columns]
OUTCOME: Final = _NAMES.index("outcome")
_LABELS, _ATTEMPTS = _NAMES.index("labels"), _NAMES.index("attempts")
_TEXTS: Final = [
    (index, column.type.length or 0) for index, column in enumerate(ENTRIES.columns) if type(column.type) is String
]

_encode: Final = msgspec.json.Encoder().encode


def row_of(entry: LedgerEntry) -> Row:
    """Return *entry* as a row. Texts are cut to their columns, and hold nothing that a database refuses."""
    row = list(msgspec.structs.astuple(entry))
    row[_LABELS] = _encode(row[_LABELS]).decode()
    row[_ATTEMPTS] = _encode(row[_ATTEMPTS]).decode()
    for index, length in _TEXTS:
        value = row[index]
        if value is not None and not (value.isascii() and len(value) <= length and "\0" not in value):
            row[index] = value.encode("utf-8", "replace").decode()[:length].replace("\0", "\ufffd")
    return tuple(row)
