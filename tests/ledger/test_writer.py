"""The writer of the ledger: never in a request's way, bounded, and nothing is lost but what the documents say; with a SQLite
file and a real PostgreSQL that is stopped, crashes and comes back."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from autonomousai.config import Config, LedgerConfig
from autonomousai.errors import ConfigError
from autonomousai.ledger.database import Database, DatabaseAwayError
from autonomousai.ledger.place import place_of
from autonomousai.ledger.tables import ENTRIES
from autonomousai.ledger.writer import BATCH, LedgerWriter, open_ledger
from autonomousai.testing import Hang, Head, Script, ScriptedServer, Send, chunks
from tests.support.metrics import counted
from tests.support.postgres import PostgresServer
from tests.support.program import PATIENCE
from tests.support.serving import serving as program
from tests.support.sockets import CHAT, HELLO, Connection, ask, events, request, text_of

from .entries import entry
from .test_entry import WHOLE, serving

SOON = 0.01


def writer(url: str, **more: Any) -> LedgerWriter:
    made = open_ledger(LedgerConfig(url=url, **{"flush_s": SOON, **more}))
    assert made is not None
    return made


def ids_in(url: str) -> list[str]:
    """The ids of all entries."""
    return [row.id for row in rows_in(url)]


def rows_in(url: str) -> list[Any]:
    """All entries; none where there are no tables yet."""
    place = place_of(url)
    assert place is not None
    database = Database(place)
    try:
        return list(database.read(lambda connection: connection.execute(select(ENTRIES)).all()))
    except DatabaseAwayError:
        return []
    finally:
        database.close()


async def until(reached: Callable[[], bool]) -> None:
    """Let the loop and the writer's thread run until *reached*."""
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.to_thread(threading.Event().wait, SOON)


NOW = 1_790_000_000.0
DAY_S, HOUR_S = 24 * 3600, 3600


async def test_what_is_older_than_it_is_kept_is_deleted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, in batches, and again when an hour is over; what is not older stays."""
    monkeypatch.setattr("autonomousai.ledger.writer.DROP_BATCH", 2)
    place, clock = place_of(url), [NOW]
    assert place is not None
    database = Database(place)
    database.open()
    database.write([entry(f"old_{number}", time=NOW - 10 * DAY_S - 1 - number) for number in range(5)])
    database.write([entry("young", time=NOW - 10 * DAY_S + HOUR_S - 1)])
    ledger = LedgerWriter(place, LedgerConfig(url=url, flush_s=SOON, keep_days=10), now=lambda: clock[0])

    async def write(id: str) -> None:
        """Let the writer's thread go round."""
        ledger.take(entry(id, time=NOW))
        await until(lambda: not ledger.waiting)

    await ledger.open()
    await until(lambda: ["young"] == ids_in(url))
    clock[0] += HOUR_S - 1
    for number in range(2):
        await write(f"new_{number}")
    within = sorted(ids_in(url))
    clock[0] += 1
    await write("new_2")
    await until(lambda: "young" not in ids_in(url))
    await ledger.aclose()
    database.close()

    assert ["new_0", "new_1", "young"] == within
    assert ["new_0", "new_1", "new_2"] == sorted(ids_in(url))


async def test_entries_are_written_between_two_batches_of_old_ones(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of years does not keep those of now waiting."""
    monkeypatch.setattr("autonomousai.ledger.writer.DROP_BATCH", 1)
    place = place_of(url)
    assert place is not None
    database = Database(place)
    database.open()
    database.write([entry(f"old_{number}", time=1.0) for number in range(3)])
    ledger = LedgerWriter(place, LedgerConfig(url=url, flush_s=SOON, keep_days=1), now=lambda: NOW)
    left: list[int] = []
    write = Database.write

    def noted(self: Database, entries: Any) -> None:
        write(self, entries)
        left.append(sum(each.startswith("old") for each in ids_in(url)))

    monkeypatch.setattr(Database, "write", noted)
    ledger.take(entry("new", time=NOW))
    await ledger.open()
    await until(lambda: ["new"] == ids_in(url))
    await ledger.aclose()
    database.close()

    assert [2] == left


async def test_without_a_bound_everything_is_kept(url: str) -> None:
    """Of years ago, too."""
    ledger = writer(url)
    await ledger.open()
    ledger.take(entry("old", time=1.0))
    await until(lambda: not ledger.waiting)
    await ledger.aclose()

    assert ["old"] == ids_in(url)


async def test_old_entries_wait_for_a_database_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the next hour tries again; what is new is written as ever."""
    url, clock = str(tmp_path / "ledger.db"), [NOW]
    place = place_of(url)
    assert place is not None
    ledger = LedgerWriter(place, LedgerConfig(url=url, flush_s=SOON, keep_days=1), now=lambda: clock[0])
    await ledger.open()
    drop = ledger.database.drop_before

    def away(moment: float, most: int) -> int:
        raise DatabaseAwayError("away")

    ledger.database.drop_before = away  # type: ignore[method-assign]
    clock[0] += HOUR_S
    ledger.take(entry("old", time=1.0))
    await until(lambda: "cannot be deleted now: away" in caplog.text)
    ledger.database.drop_before = drop  # type: ignore[method-assign]
    clock[0] += HOUR_S
    ledger.take(entry("new", time=clock[0]))
    await until(lambda: ["new"] == ids_in(url))
    await ledger.aclose()

    assert (2, 0) == (ledger.written, ledger.lost)


async def test_entries_are_written_together(url: str) -> None:
    """More than a batch of them, in their order; and what comes later, too."""
    ledger = writer(url)
    await ledger.open()
    for number in range(BATCH + 50):
        ledger.take(entry(f"req_{number}"))
    await until(lambda: not ledger.waiting)
    ledger.take(entry("later"))
    await until(lambda: not ledger.waiting)
    await ledger.aclose()

    assert (BATCH + 51, 0, 0, False) == (ledger.written, ledger.lost, ledger.refused, ledger.failing)
    assert BATCH + 51 == len(ids_in(url))


async def test_the_end_of_the_server_writes_what_waits(url: str) -> None:
    """Although it would have waited for others for an hour."""
    async with serving(WHOLE, config=Config(ledger=LedgerConfig(url=url, flush_s=3600))) as served:
        for _ in range(3):
            await served.ask(stream=True)
        before = ids_in(url)

    assert [] == before
    assert sorted(each.id for each in served.entries) == sorted(ids_in(url))


async def test_an_entry_that_is_refused_does_not_keep_the_others(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, and named by its id."""
    ledger = writer(url)
    await ledger.open()
    for number in range(9):
        ledger.take(entry(f"req_{number}", prompt_tokens=2**70 if number == 4 else 1))
    await until(lambda: not ledger.waiting)
    await ledger.aclose()

    assert (8, 0, 1) == (ledger.written, ledger.lost, ledger.refused)
    assert {f"req_{number}" for number in range(9)} - {"req_4"} == set(ids_in(url))
    said = [record.message for record in caplog.records if record.name == "autonomousai.ledger"]
    assert ["req_4: the database refuses an entry of the ledger"] == [message.partition(" (")[0] for message in said]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
async def test_a_database_that_is_away_for_a_while(
    postgres: PostgresServer, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers come as ever; what waits is seen in the metrics; when it is back, each entry is written, once."""
    caplog.set_level(logging.WARNING, "autonomousai.ledger")
    url = postgres.database(f"away_{number}")
    async with serving(WHOLE, config=Config(ledger=LedgerConfig(url=url, flush_s=SOON))) as served:
        await served.ask(stream=True)
        await until(lambda: served.app.ledger.written == 1)
        await asyncio.to_thread(postgres.stop, number)
        try:
            answers = [await served.ask(stream=True) for _ in range(5)]
            await until(lambda: served.app.ledger.failing)
            seen = await counted(served.port)
        finally:
            await asyncio.to_thread(postgres.start)
        await until(lambda: served.app.ledger.written == 6)
        after = await counted(served.port)

    assert [200] * 5 == [answer.status for answer in answers]
    assert (1, 5, 1) == (seen.of("ledger_failing"), seen.of("ledger_waiting"), seen.of("ledger_entries_total", fate="written"))
    assert (0, 0, 6) == (
        after.of("ledger_failing"),
        after.of("ledger_waiting"),
        after.of("ledger_entries_total", fate="written"),
    )
    assert sorted(each.id for each in served.entries) == sorted(ids_in(url))
    assert ["cannot be written", "is written again"] == [
        next(words for words in ("cannot be written", "is written again") if words in record.message)
        for record in caplog.records
    ]


async def test_past_its_bound_entries_are_lost_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last ones; it is said once for as many as the bound is."""
    ledger = writer(f"postgresql://postgres@/ledger?host={tmp_path}", queue=10)
    await ledger.open()
    for number in range(25):
        ledger.take(entry(f"req_{number}"))
    waiting, lost = ledger.waiting, ledger.lost
    ledger._close_by = 0
    await asyncio.wait_for(ledger.aclose(), PATIENCE)

    said = [record.message for record in caplog.records if "is full" in record.message]
    assert (10, 15) == (waiting, lost)
    assert 2 == len(said)
    assert 25 == ledger.lost


async def test_a_bug_ends_no_ledger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A driver may raise anything while its server goes away: it is said once, and the entries are written when it is over."""
    url = str(tmp_path / "ledger.db")
    ledger = writer(url)
    await ledger.open()
    write, bugs = ledger.database.write, 3

    def odd(entries: Any) -> None:
        nonlocal bugs
        bugs -= 1
        if bugs >= 0:
            raise AttributeError("a bug")
        write(entries)

    ledger.database.write = odd  # type: ignore[method-assign]
    ledger.take(entry("1"))
    await until(lambda: bugs < 0 and not ledger.waiting)
    ledger.take(entry("2"))
    await ledger.aclose()

    assert ["1", "2"] == ids_in(url)
    assert 1 == sum("a bug" in message for message in caplog.messages)


async def test_a_server_starts_without_its_database(postgres: PostgresServer) -> None:
    """And writes when that is there."""
    url = postgres.database("later")
    await asyncio.to_thread(postgres.stop)
    try:
        ledger = writer(url)
        await ledger.open()
        ledger.take(entry())
        failing = ledger.failing
    finally:
        await asyncio.to_thread(postgres.start)
    await until(lambda: not ledger.waiting)
    await ledger.aclose()

    assert failing
    assert ["req_1"] == ids_in(url)


async def test_a_database_that_was_emptied_gets_its_tables_again(url: str) -> None:
    """Entries that are written afterwards are not lost."""
    ledger = writer(url)
    await ledger.open()
    with ledger.database.engine.begin() as connection:
        for table in ("entries", "alembic_version", "keys", "marks"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    ledger.take(entry())
    await until(lambda: not ledger.waiting)
    await ledger.aclose()

    assert ["req_1"] == ids_in(url)


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At the start."""
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    monkeypatch.delitem(__import__("sys").modules, "autonomousai.ledger.database", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "autonomousai.ledger.tables", raising=False)

    with pytest.raises(ConfigError, match=r"pip install 'autonomousai\[ledger\]'"):
        await writer(str(tmp_path / "ledger.db")).open()


# ---- a process that is killed


def config_of(directory: Path, upstream: str, url: str, flush_s: float) -> str:
    path = directory / f"config-{flush_s}.toml"
    path.write_text(
        f'[ledger]\nurl = "{url}"\nflush_s = {flush_s}\n[upstreams.one]\nkind = "openai"\nbase_url = "{upstream}"\n'
        '[models.llama]\nroute = ["one"]\n'
    )
    return str(path)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def answered(url: str, number: int) -> list[str]:
    """So many answers, and the ids of their requests."""
    answers = [await ask(port_of(url), request("POST", CHAT, {**HELLO, "stream": True})) for _ in range(number)]
    return [str(answer["x-request-id"]) for answer in answers]


async def test_a_process_that_is_killed_loses_what_was_not_written_yet_and_nothing_else(url: str, tmp_path: Path) -> None:
    """kill -9: of the answers that ended within `flush_s`, the entries may be lost; all before are there, each once; the next
    server writes on."""
    async with ScriptedServer(Script.stream("Hello", " world")) as upstream:
        with (
            pytest.raises(AssertionError),  # it does not end well
            program("--config", config_of(tmp_path, upstream.url, url, SOON)) as server,
        ):
            early = await answered(server.url, 20)
            await until(lambda: len(ids_in(url)) == 20)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        with pytest.raises(AssertionError), program("--config", config_of(tmp_path, upstream.url, url, 3600)) as server:
            late = await answered(server.url, 5)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        with program("--config", config_of(tmp_path, upstream.url, url, 3600)) as server:
            last = await answered(server.url, 3)

    assert sorted([*early, *last]) == sorted(ids_in(url))
    assert not set(late) & set(ids_in(url))


async def test_two_servers_write_to_one_database(postgres: PostgresServer, tmp_path: Path) -> None:
    """Workers of the one, and the other; all of them made the tables at the same moment."""
    url = postgres.database("two_servers")
    async with ScriptedServer(Script.stream("Hello", " world")) as upstream:
        config = config_of(tmp_path, upstream.url, url, SOON)
        text = Path(config).read_text()
        Path(config).write_text(f'[server]\nstate = "sqlite:{tmp_path / "state.db"}"\n{text}')
        with program("--config", config, "--workers", "2") as one, program("--config", config) as other:
            asked = await asyncio.gather(*(answered(each.url, 10) for each in (one, other, one, other)))

    assert sorted(itertools.chain(*asked)) == sorted(ids_in(url))


async def test_a_stream_whose_server_is_killed_has_one_entry(tmp_path: Path) -> None:
    """The server that finishes it writes it, under the first request's id, with what the one before had generated."""
    pieces = [f" {number}" for number in range(20)]
    usage = {"prompt_tokens": 7, "completion_tokens": 20}
    hanging = Script(Head(), Send(chunks(*pieces[:10], done=False, finish=None)), Hang())
    url = str(tmp_path / "ledger.db")
    async with ScriptedServer(hanging, Script.body(chunks(*pieces, usage=usage))) as upstream:
        config = config_of(tmp_path, upstream.url, url, SOON)
        text = Path(config).read_text().replace("[models", 'prefill = "no"\n[models')
        Path(config).write_text(f'[server]\nstate = "sqlite:{tmp_path / "state.db"}"\n{text}')
        with pytest.raises(AssertionError), program("--config", config) as server:
            async with Connection(port_of(server.url)) as connection:
                await connection.send(request("POST", CHAT, {**HELLO, "stream": True}, x_stream_resumable="1"))
                _, fields = await connection.head()
                headers = {name.lower(): value for name, value in fields}
                await connection.until(b'" 9"')
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        with program("--config", config) as server:
            stream = f"/v1/streams/{headers['x-stream-id']}"
            rest = await ask(port_of(server.url), request("GET", stream, last_event_id="0"))

    assert "".join(pieces) == text_of(events(rest.body))
    (row,) = rows_in(url)
    assert (headers["x-request-id"], "ok", 7, 20, 10) == (
        row.id, row.outcome, row.prompt_tokens, row.completion_tokens, row.lost_tokens,
    )  # fmt: skip
    assert [("server_lost", 10), ("ok", 20)] == [(each["outcome"], each["tokens"]) for each in json.loads(row.attempts)]
