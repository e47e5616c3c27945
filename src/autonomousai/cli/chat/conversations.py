"""Conversations, kept in SQLite in the user's data directory. Knows rows and a disk; no model, no terminal.

The only file of the command line that imports sqlite3; it is imported itself when the first conversation is kept or looked for.
The file is its owner's alone. What is deleted is overwritten.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from ...directories import user_directory
from ...events import Messages
from .kept_server import KeptServer

#: Raised by one with each change of the tables; a file of a later version is left alone.
_VERSION: Final = 2

_SCHEMA: Final = """
CREATE TABLE conversations (
  id TEXT PRIMARY KEY, started REAL NOT NULL, updated REAL NOT NULL, model TEXT NOT NULL, system TEXT, title TEXT NOT NULL,
  server TEXT
);
CREATE INDEX conversations_updated ON conversations (updated);
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, at REAL NOT NULL,
  role TEXT NOT NULL, content TEXT NOT NULL, text TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL, model TEXT,
  reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER
);
CREATE INDEX messages_conversation ON messages (conversation, id);
"""
#: What a file of the first version lacks.
_SECOND: Final = "ALTER TABLE conversations ADD COLUMN server TEXT"
_WORDS: Final = "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2')"

#: The model of a conversation in a list: where none was named, the last that answered.
_ASKED: Final = (
    "coalesce(nullif(model, ''), (SELECT model FROM messages WHERE conversation = conversations.id AND model <> ''"
    " ORDER BY id DESC LIMIT 1), '')"
)

#: A message's content, as it stands in its column.
_CONTENT: Final = msgspec.json.Decoder(str | list[dict[str, Any]])
_SERVER: Final = msgspec.json.Decoder(KeptServer)

_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_TITLE: Final = 60

#: States of a message. Of an exchange that failed nothing came: it is kept, and not sent again.
WHOLE, STOPPED, BROKE_OFF, FAILED = "whole", "stopped", "broke off", "failed"


class KeepError(Exception):
    """Conversations cannot be kept, or read; the message says why."""


class NotKeptError(KeepError):
    """There is no such conversation."""


class Kept(msgspec.Struct):
    """One message as it is kept. ``content``: text, or a list of parts; ``state``: whether it is whole, ``why`` where not."""

    role: str
    content: Any
    at: float = 0.0
    state: str = WHOLE
    why: str = ""
    model: str | None = None
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Summary(msgspec.Struct):
    """One line of a list of conversations. Times in seconds since the epoch."""

    id: str
    started: float
    updated: float
    model: str
    messages: int
    title: str
    found: str = ""


class Conversation(msgspec.Struct):
    """One conversation, whole. ``server``: the one that options named, None where none did."""

    id: str
    started: float
    updated: float
    model: str
    system: str | None
    title: str
    messages: list[Kept]
    server: KeptServer | None = None

    def to_send(self) -> Messages:
        """What of it is sent when it continues: the exchanges of which something came."""
        return [{"role": each.role, "content": each.content} for each in self.messages if each.state != FAILED]


def database(env: Mapping[str, str]) -> Path:
    """Where conversations are kept."""
    try:
        return user_directory("data", env) / "conversations.db"
    except RuntimeError:
        raise KeepError("there is no home directory; set XDG_DATA_HOME") from None


def text_of(content: Any) -> str:
    """The words of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


class Conversations:
    """The kept conversations, open: ``with Conversations(path) as kept``. Raises `KeepError` for whatever goes wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        with _told(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(self.path, timeout=5, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _prepare(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise KeepError(f"{self.path} was written by a later version of this program; update it")
            if version < _VERSION:
                for statement in _SCHEMA.split(";") if version == 0 else (_SECOND,):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            with suppress(sqlite3.OperationalError):  # not every SQLite has FTS5
                self._db.execute(_WORDS)
            self._indexed = bool(self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # ---- writing

    def keep(
        self,
        conversation: str | None,
        *,
        model: str,
        system: str | None,
        messages: list[Kept],
        server: KeptServer | None = None,
    ) -> str:
        """Add *messages* to a conversation, or to a new one where it is None (or gone). Returns its id."""
        now = time.time()
        said = None if server is None else msgspec.json.encode(server).decode()
        with self._transaction():
            changed = self._db.execute(
                "UPDATE conversations SET updated = ?, model = ?, system = ?, server = ? WHERE id = ?",
                (now, model, system, said, conversation),
            )
            if conversation is None or not changed.rowcount:
                conversation = "".join(secrets.choice(_ALPHABET) for _ in range(8))
                title = " ".join(text_of(messages[0].content).split())
                title = title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
                self._db.execute(
                    "INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (conversation, now, now, model, system, title, said),
                )
            for message in messages:
                self._add(conversation, message, now)
        return conversation

    def _add(self, conversation: str, message: Kept, now: float) -> None:
        text = text_of(message.content)
        row = self._db.execute(
            "INSERT INTO messages (conversation, at, role, content, text, state, why, model, reason, prompt_tokens,"
            " completion_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                conversation,
                message.at or now,
                message.role,
                msgspec.json.encode(message.content).decode(),
                text,
                message.state,
                message.why,
                message.model,
                message.reason,
                message.prompt_tokens,
                message.completion_tokens,
            ),
        )
        if self._indexed:
            self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row.lastrowid, text))

    def withdraw(self, conversation: str, count: int) -> None:
        """Delete the last *count* messages of a conversation; the conversation itself where none is left."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT id FROM messages WHERE conversation = ? ORDER BY id DESC LIMIT ?", (conversation, count)
            ).fetchall()
            if self._indexed:
                self._db.executemany("DELETE FROM words WHERE rowid = ?", rows)
            self._db.executemany("DELETE FROM messages WHERE id = ?", rows)
            self._db.execute(
                "DELETE FROM conversations WHERE id = ? AND NOT EXISTS (SELECT 1 FROM messages WHERE conversation = ?)",
                (conversation, conversation),
            )

    def delete(self, ids: list[str]) -> None:
        """Delete these conversations, and let nothing of them stay in the file."""
        with self._transaction():
            for conversation in ids:
                if self._indexed:
                    self._db.execute(
                        "DELETE FROM words WHERE rowid IN (SELECT id FROM messages WHERE conversation = ?)", (conversation,)
                    )
                self._db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))
            if self._indexed:
                self._db.execute("INSERT INTO words (words) VALUES ('optimize')")
        with _told(self.path):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    # ---- reading

    def recent(self, limit: int | None = None) -> list[Summary]:
        """The conversations, the last one first."""
        return self._summaries("", "ORDER BY updated DESC LIMIT ?", (-1 if limit is None else limit,))

    def search(self, words: str, limit: int | None = None) -> list[Summary]:
        """The conversations in which all of the *words* (or their beginnings) stand in one message, the last one first.
        ``found`` shows where."""
        terms = words.split()
        if self._indexed:
            match = " ".join('"{}"*'.format(term.replace('"', '""')) for term in terms)
            found = (
                "SELECT messages.conversation, snippet(words, 0, '', '', '…', 12) FROM words"
                " JOIN messages ON messages.id = words.rowid WHERE words MATCH ? ORDER BY messages.id"
            )
            values: tuple[str, ...] = (match,)
        else:
            escaped = [re.sub(r"([%_\\])", r"\\\1", term) for term in terms]
            alike = " AND ".join(["text LIKE ? ESCAPE '\\'"] * len(terms))
            found = f"SELECT conversation, substr(text, 1, 80) FROM messages WHERE {alike} ORDER BY id"  # noqa: S608  ours
            values = tuple(f"%{term}%" for term in escaped)
        with _told(self.path):
            where = dict(reversed(self._db.execute(found, values).fetchall()))  # the first place of each counts
        summaries = [each for each in self.recent() if each.id in where][:limit]
        for summary in summaries:
            summary.found = " ".join(where[summary.id].split())
        return summaries

    def find(self, conversation: str | None) -> str:
        """The id that this one, or its beginning, names; None names the last conversation."""
        if conversation is None:
            last = self.recent(1)
            if not last:
                raise NotKeptError("there is no conversation yet")
            return last[0].id
        found = [] if not conversation else self._summaries("WHERE substr(id, 1, ?) = ?", "", (len(conversation), conversation))
        if len(found) != 1:
            several = f"several conversations begin with {conversation!r}; write more of the id"
            none = f"there is no conversation {conversation!r}; `autonomousai history` lists them"
            raise NotKeptError(several if found else none)
        return found[0].id

    def load(self, conversation: str) -> Conversation:
        """The conversation of this id."""
        with _told(self.path):
            row = self._db.execute(
                "SELECT id, started, updated, model, system, title, server FROM conversations WHERE id = ?", (conversation,)
            ).fetchone()
            if row is None:
                raise NotKeptError(f"there is no conversation {conversation!r}")
            messages = self._db.execute(
                "SELECT role, content, at, state, why, model, reason, prompt_tokens, completion_tokens FROM messages"
                " WHERE conversation = ? ORDER BY id",
                (conversation,),
            ).fetchall()
            kept = [Kept(role, _CONTENT.decode(content), *rest) for role, content, *rest in messages]
            server = None if row[-1] is None else _SERVER.decode(row[-1])
        name, started, updated, model, system, title, _ = row
        return Conversation(name, started, updated, model, system, title, kept, server)

    def _summaries(self, where: str, tail: str, values: tuple[Any, ...]) -> list[Summary]:
        with _told(self.path):
            rows = self._db.execute(
                f"SELECT id, started, updated, {_ASKED},"  # noqa: S608  the parts are ours, the values are bound
                " (SELECT count(*) FROM messages WHERE conversation = conversations.id), title"
                f" FROM conversations {where} {tail}",
                values,
            ).fetchall()
        return [Summary(*row) for row in rows]


_MOVE_AWAY: Final = "; move the file away to begin a new one"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors, and the disk's, in words."""
    try:
        yield
    except sqlite3.Error as error:
        damaged = getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        raise KeepError(f"{path}: {error}{_MOVE_AWAY if damaged else ''}") from None
    except msgspec.MsgspecError as error:
        problem = f"{path} is damaged: the content of a message is not what was written ({error})"
        raise KeepError(f"{problem}{_MOVE_AWAY}") from None
    except OSError as error:
        raise KeepError(f"{path}: {error.strerror}") from None
