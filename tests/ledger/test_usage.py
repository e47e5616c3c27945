"""The sums of a ledger: by day, key, model, upstream and wire, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest

from autonomousai.ledger.database import Database
from autonomousai.ledger.summary import Group, UsageQuestion, UsageRow, moment_of, zone_of
from autonomousai.ledger.usage import read_usage

from .entries import entry
from .test_database import opened


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """With five answers of two days."""
    with opened(url) as database:
        database.write(
            [
                entry("1", time=at("2026-11-01T00:00:00"), model="a", cached_tokens=3),
                entry("2", time=at("2026-11-01T23:59:59.999"), model="b", key="bob", cost=None, outcome="cut"),
                entry("3", time=at("2026-11-02T00:00:00"), model="a", outcome="left", first_ms=None, estimated=True),
                entry("4", time=at("2026-11-02T12:00:00"), model="a", key="", upstream=None, outcome="handed_over"),
                entry("5", time=at("2026-11-02T13:00:00"), model="a", wire="anthropic_messages", cost=0.25, first_ms=9),
            ]
        )
        yield database


def rows(database: Database, by: Group, **more: Any) -> dict[str, UsageRow]:
    report = read_usage(database, UsageQuestion(by=by, **more))
    assert sum(row.answers for row in report.rows) == report.total.answers
    return {row.name: row for row in report.rows}


@pytest.mark.parametrize(
    ("by", "answers"),
    [
        ("day", {"2026-11-01": 2, "2026-11-02": 3}),
        ("key", {"alice": 3, "": 1, "bob": 1}),
        ("model", {"a": 4, "b": 1}),
        ("upstream", {"u0": 4, "": 1}),
        ("wire", {"openai_chat": 4, "anthropic_messages": 1}),
    ],
)
def test_answers_are_grouped(database: Database, by: Group, answers: dict[str, int]) -> None:
    """Days in their order, all others by what they cost."""
    found = {name: row.answers for name, row in rows(database, by).items()}

    assert list(answers.items()) == list(found.items())


def test_each_number_is_summed(database: Database) -> None:
    """What has no price is counted apart, and adds nothing; times are averages of those that there are."""
    total = read_usage(database, UsageQuestion()).total

    assert (
        UsageRow(
            "total",
            answers=5,
            failed=1,
            left=1,
            prompt_tokens=35,
            cached_tokens=3,
            completion_tokens=10,
            lost_tokens=5,
            estimated=1,
            cost=1.75,
            unpriced=1,
            first_ms=4.5,
            total_ms=5.0,
        )
        == total
    )


def test_the_first_token_of_each_upstream_has_its_median_and_95th_percentile(url: str) -> None:
    """Values that were measured: the least that so many of the answers did not exceed; of those that had a first token."""
    times = {"u0": [*range(1, 101)], "u1": [7], "u2": [30, 10], "": []}
    with opened(url) as database:
        database.write(
            [
                entry(f"{upstream}-{each}", upstream=upstream or None, first_ms=each, time=at("2026-11-02T00:00:00"))
                for upstream, all_ms in times.items()
                for each in reversed([*all_ms, None])
            ]
        )
        database.write([entry("old", upstream="u1", first_ms=9_000, time=at("2026-11-01T00:00:00"))])
        since = at("2026-11-02T00:00:00")
        found = rows(database, "upstream", since=since)
        others = [*rows(database, "model", since=since).values(), *rows(database, "day", since=since).values()]

    percentiles = {name: (row.first_p50_ms, row.first_p95_ms) for name, row in found.items()}
    assert {"u0": (50, 95), "u1": (7, 7), "u2": (10, 30), "": (None, None)} == percentiles
    assert {None} == {row.first_p50_ms for row in others}


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", {"2026-11-01": 2, "2026-11-02": 3}),
        ("America/New_York", {"2026-10-31": 1, "2026-11-01": 2, "2026-11-02": 2}),  # the hour changes in the night of the 1st
        ("Asia/Kathmandu", {"2026-11-01": 1, "2026-11-02": 4}),
    ],
)
def test_days_are_those_of_the_zone(database: Database, zone: str, days: dict[str, int]) -> None:
    """Whatever its offset is on that day."""
    assert days == {name: row.answers for name, row in rows(database, "day", zone=zone_of(zone)).items()}


def test_a_time_is_from_and_up_to(database: Database) -> None:
    """The first moment belongs to it, the last does not."""
    since, until = at("2026-11-01T23:59:59.999"), at("2026-11-02T12:00:00")

    assert {"2026-11-01": 1, "2026-11-02": 1} == {
        name: row.answers for name, row in rows(database, "day", since=since, until=until).items()
    }


def test_a_key_sees_its_own(database: Database) -> None:
    """And a caller without one what came without one."""
    assert {"a": 3} == {name: row.answers for name, row in rows(database, "model", key="alice").items()}
    assert {"a": 1} == {name: row.answers for name, row in rows(database, "model", key="").items()}


@pytest.mark.parametrize("by", get_args(Group))
def test_an_empty_ledger_has_no_rows(url: str, by: Group) -> None:
    """And a total of nothing."""
    with opened(url) as database:
        report = read_usage(database, UsageQuestion(by=by))

    assert ([], UsageRow("total")) == (report.rows, report.total)


NOW = datetime(2026, 11, 29, 12, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12h", "2026-11-28T23:00:00+00:00"),
        ("30m", "2026-11-29T10:30:00+00:00"),
        ("2w", "2026-11-15T11:00:00+00:00"),
        ("2026-11-01", "2026-10-31T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-11-01T08:00Z", "2026-11-01T08:00:00+00:00"),
    ],
)
def test_times_are_read(text: str, moment: str) -> None:
    """Ago, or as they are; in the zone that is meant."""
    assert moment == datetime.fromtimestamp(moment_of(text, NOW), UTC).isoformat()


@pytest.mark.parametrize(
    ("now", "text", "ago"),
    [
        ("2026-03-29T03:10:00+02:00", "30m", 1800),  # clocks were set from 2 to 3
        ("2026-03-29T12:00:00+02:00", "24h", 86400),
        ("2026-10-25T02:10:00+01:00", "30m", 1800),  # and back, so that this hour came twice
        ("2026-10-25T12:00:00+01:00", "1d", 86400),
    ],
)
def test_a_time_ago_has_passed_where_clocks_were_set(now: str, text: str, ago: int) -> None:
    """Half an hour after that it was half an hour ago, and not in the future, nor an hour more."""
    moment = datetime.fromisoformat(now).astimezone(ZoneInfo("Europe/Berlin"))

    assert ago == moment.timestamp() - moment_of(text, moment)


def test_this_machines_zone_has_the_offset_of_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """In winter a day of summer begins as it did then."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        zone = zone_of("local")
        begins = [datetime.fromisoformat(day).replace(tzinfo=zone).timestamp() for day in ("2026-07-01", "2026-12-01")]
        days = [datetime.fromtimestamp(moment, zone).date().isoformat() for begin in begins for moment in (begin - 1, begin)]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert ["2026-06-30", "2026-07-01", "2026-11-30", "2026-12-01"] == days
    assert [-2, -1] == [(begin % 86400 - 86400) / 3600 for begin in begins]


@pytest.mark.parametrize("text", ["", "yesterday", "7", "d7", "999999w", "2026-13-01", "0001-01-01", "9999-12-31"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With what to write."""
    with pytest.raises(ValueError, match="write 7d"):
        moment_of(text, NOW)


@pytest.mark.parametrize("name", ["Nowhere/City", "../etc/passwd", "", "\0"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """Also what would be a path."""
    with pytest.raises(ValueError, match="is no time zone"):
        zone_of(name)


def test_counts_that_no_answer_has_break_no_sum(url: str) -> None:
    """Whatever an upstream says that it counted: neither the reports nor what a budget begins with."""
    many = 2**63 - 1
    with opened(url) as database:
        database.write([entry(str(number), prompt_tokens=many, completion_tokens=many) for number in range(3)])

        total = read_usage(database, UsageQuestion(by="key")).total
        tokens, _ = database.spent("alice", 0)

    assert pytest.approx(3 * many) == total.prompt_tokens
    assert pytest.approx(6 * many) == tokens
