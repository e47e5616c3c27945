"""The writer of the ledger: takes entries without waiting, and writes them together, in a thread of its own.

So many entries may wait. Where the database is away, they wait and it is tried again; past the bound, further entries are lost,
counted, and reported. A process that is killed loses those that wait. Once an hour, entries are deleted that are older
than the config says.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError
from ..http.server.exchange import log_bug
from ..settings import LedgerConfig
from ..telemetry.metrics import Sample
from ..wires.redaction import redact
from .entry import LedgerEntry
from .place import LedgerPlace, place_of
from .summary import UsageQuestion, UsageReport
from .whole import WholeAnswer

if TYPE_CHECKING:
    from .database import Database

#: Entries that are written together.
BATCH: Final = 500

#: Old entries that are deleted together, and seconds from one time to the next.
DROP_BATCH: Final = 1_000
DROP_EVERY_S: Final = 3600.0

_DAY_S: Final = 24 * 3600

#: Seconds before the database is tried again: from, doubled, to.
_PAUSE_S: Final = (0.25, 10.0)

#: Seconds that the last entries may take at the end.
CLOSE_S: Final = 5.0

_log = logging.getLogger("autonomousai.ledger")


class LedgerWriter:
    """Writes the entries of one process to the database at *place*.

    ``written``, ``lost``, ``refused``: entries that the database has, that found no room, and that the database did not take;
    ``failing``: whether it is away. ``now``: seconds since the epoch.
    """

    def __init__(self, place: LedgerPlace, config: LedgerConfig, *, now: Callable[[], float] = time.time) -> None:
        self.written = self.lost = self.refused = 0
        self.failing = False
        self._place = place
        self._config = config
        self._entries: deque[LedgerEntry | WholeAnswer] = deque()
        self._batch: list[LedgerEntry | WholeAnswer] = []
        self._has_entries = threading.Event()
        self._closing = threading.Event()
        self._close_by = 0.0
        self._now = now
        self._dropped_at = -inf
        self._is_open = False
        self._database: Database | None = None
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Return how many entries are not written yet."""
        return len(self._entries) + len(self._batch)

    def take(self, entry: LedgerEntry | WholeAnswer) -> None:
        """Write *entry* soon, or the one that it makes. Never waits."""
        if len(self._entries) + len(self._batch) >= self._config.queue:
            if not self.lost % self._config.queue:  # as often as another queue of them would have been full
                _log.error("the ledger is full: %d entries wait for %s, further ones are lost", self.waiting, self._place.name)
            self.lost += 1
            return
        self._entries.append(entry)
        if not self._has_entries.is_set():
            self._has_entries.set()

    async def open(self) -> None:
        """Open the database, and write from now on. One that cannot be reached is tried again. Raises `ConfigError`."""
        if self._thread is not None:
            return
        await asyncio.to_thread(self._connect)
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="autonomousai-ledger", daemon=True)
        self._thread.start()

    async def aclose(self) -> None:
        """Write what waits, within some seconds, and close the database."""
        if (thread := self._thread) is None:
            return
        self._thread = None
        self._close_by = time.monotonic() + CLOSE_S
        self._closing.set()
        self._has_entries.set()
        await asyncio.to_thread(thread.join, 2 * CLOSE_S)

    async def spent(self, key: str, since: float, until: float | None = None) -> tuple[int, float]:
        """Return the tokens and the US dollars of that key's answers since then, and before *until*, as far as they are
        written. Raises `database.DatabaseAwayError`."""
        return await asyncio.to_thread(self.database.spent, key, since, until)

    def usage(self, question: UsageQuestion) -> UsageReport | None:
        """Return the report that answers *question*, as far as entries are written; None where the database is away. Blocks."""
        from .database import DatabaseAwayError  # noqa: PLC0415  SQLAlchemy is here already
        from .usage import read_usage  # noqa: PLC0415  it comes with SQLAlchemy

        try:
            return read_usage(self.database, question)
        except DatabaseAwayError as error:
            _log.warning("the ledger %s cannot be read: %s", self._place.name, redact(str(error)))
            return None

    @property
    def database(self) -> Database:
        """Return the database. `open` comes first."""
        assert self._database is not None
        return self._database

    def samples(self) -> Iterator[Sample]:
        """Return what is counted, for the metrics."""
        yield "ledger_entries_total", ("written",), [self.written]
        yield "ledger_entries_total", ("lost",), [self.lost]
        yield "ledger_entries_total", ("refused",), [self.refused]
        yield "ledger_waiting", (), [self.waiting]
        yield "ledger_failing", (), [int(self.failing)]

    # ---- in the thread

    def _connect(self) -> None:
        """Open the database, if it can be reached. Raises `ConfigError`."""
        try:
            from .database import Database, DatabaseAwayError  # noqa: PLC0415  SQLAlchemy comes where there is a ledger
        except ImportError as error:
            if (error.name or "").split(".")[0] not in ("sqlalchemy", "alembic"):
                raise
            advice = "install it with: pip install 'autonomousai[ledger]', or write [ledger] url = \"off\""
            raise ConfigError("the ledger needs SQLAlchemy and Alembic", key="ledger.url", advice=advice) from None
        if self._database is None:
            self._database = Database(self._place)
        try:
            self._database.open()
            self._is_open = True
        except DatabaseAwayError as error:
            self._note_away(error)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._drop_old()
                self._has_entries.wait(None if self._config.keep_days is None else DROP_EVERY_S)
                self._closing.wait(self._config.flush_s)  # others come meanwhile
                self._has_entries.clear()
                self._flush()
            self._flush()
            if self.waiting:
                _log.error("%d entries of the ledger are lost: %s was away to the end", self.waiting, self._place.name)
                self.lost += self.waiting
        except Exception as error:  # a bug, which is to be seen; requests go on
            log_bug(None, error)
        finally:
            self.database.close()

    def _drop_old(self) -> None:
        """Delete what is older than it is to be kept, if that was not done in the last hour; entries that come meanwhile are
        written between two batches. Where the database is away, it is done an hour later."""
        days, now = self._config.keep_days, self._now()
        if days is None or 0 <= now - self._dropped_at < DROP_EVERY_S:
            return
        from .database import DatabaseAwayError  # noqa: PLC0415  SQLAlchemy is here already

        self._dropped_at = now
        try:
            self._ensure_open()
            while self.database.drop_before(now - days * _DAY_S, DROP_BATCH) and not self._closing.is_set():
                self._flush()
        except (DatabaseAwayError, ConfigError) as error:
            self._is_open = False
            _log.warning("old entries of the ledger %s cannot be deleted now: %s", self._place.name, redact(str(error)))

    def _ensure_open(self) -> None:
        if not self._is_open:
            self.database.open()
            self._is_open = True

    def _flush(self) -> None:
        """Write all that waits, however often it takes; at the end as long as there is time."""
        pause, longest = _PAUSE_S
        while self.waiting:
            while self._entries and len(self._batch) < BATCH:
                self._batch.append(self._entries.popleft())
            if self._write():
                self._batch = []
                pause = _PAUSE_S[0]
            elif self._closing.is_set() and time.monotonic() + pause > self._close_by:
                return
            else:
                (time.sleep if self._closing.is_set() else self._closing.wait)(pause)
                pause = min(2 * pause, longest)

    def _write(self) -> bool:
        """Write the batch. Returns False where the database is away."""
        from .database import DatabaseAwayError  # noqa: PLC0415  SQLAlchemy is here already

        try:
            self._ensure_open()
            self._write_rows(self._batch)
        except (DatabaseAwayError, ConfigError) as error:
            self._is_open = False  # it may be another one when it comes back
            self._note_away(error)
            return False
        except Exception as error:  # a bug, perhaps of a driver whose server has gone: what comes later is written all the same
            self._is_open = False
            if not self.failing:
                log_bug(None, error)
            self._note_away(RuntimeError(type(error).__name__))
            return False
        if self.failing:
            self.failing = False
            _log.warning("the ledger %s is written again", self._place.name)
        return True

    def _write_rows(self, entries: list[LedgerEntry | WholeAnswer]) -> None:
        """Write *entries*. Where the database refuses them, those halves that it takes: one bad entry is no reason to lose the
        others."""
        from .database import EntryRefusedError  # noqa: PLC0415  SQLAlchemy is here already

        try:
            self.database.write(entries)
            self.written += len(entries)
        except EntryRefusedError as error:
            if len(entries) > 1:
                middle = len(entries) // 2
                self._write_rows(entries[:middle])
                self._write_rows(entries[middle:])
                return
            self.refused += 1
            _log.error("%s: the database refuses an entry of the ledger (%s)", entries[0].id, error)

    def _note_away(self, error: Exception) -> None:
        if not self.failing:
            _log.warning("the ledger %s cannot be written: %s; it is tried again", self._place.name, redact(str(error)))
        self.failing = True


def open_ledger(config: LedgerConfig | None) -> LedgerWriter | None:
    """Return the writer of the ledger that is configured; None for none. Does no I/O. Raises `ConfigError`."""
    place = None if config is None else place_of(config.url)
    return None if place is None or config is None else LedgerWriter(place, config)
