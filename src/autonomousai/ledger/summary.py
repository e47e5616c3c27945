"""What a ledger is asked, and the rows of its answer: sums by key, model, day, upstream or wire. Imports no database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal, get_args

import msgspec

Group = Literal["day", "key", "model", "upstream", "wire"]

GROUPS: Final[tuple[Group, ...]] = get_args(Group)

#: Days are summed up of these: every zone's days begin with one (there are offsets of quarters of an hour).
QUARTER_S: Final = 900

#: The last moment that is asked for, in seconds since the epoch: the year 9998.
_LAST: Final = 253_300_000_000

_SPAN: Final = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class UsageQuestion(msgspec.Struct, frozen=True):
    """``since``, ``until``: seconds since the epoch, from and up to, None for no bound. ``key``: of that key alone. ``zone``:
    whose days are meant."""

    by: Group = "day"
    since: float | None = None
    until: float | None = None
    key: str | None = None
    zone: tzinfo = UTC


class UsageRow(msgspec.Struct):
    """The answers of one group, ``name``. ``failed``: those that ended with an error; ``left``: those whose callers left.
    ``cost``: US dollars of those whose price is known; ``unpriced``: how many others there are. ``first_ms``, ``total_ms``: on
    average, None where there is none. ``first_p50_ms``, ``first_p95_ms``: the median and the 95th percentile, by upstream
    alone."""

    name: str
    answers: int = 0
    failed: int = 0
    left: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    lost_tokens: int = 0
    estimated: int = 0
    cost: float = 0.0
    unpriced: int = 0
    first_ms: float | None = None
    total_ms: float | None = None
    first_p50_ms: int | None = None
    first_p95_ms: int | None = None


#: The members that are added up.
SUMMED: Final = tuple(name for name in UsageRow.__struct_fields__ if name != "name" and not name.endswith("_ms"))


class Sums(msgspec.Struct, frozen=True):
    """One row of a database. ``group``: what it is grouped by, the number of a quarter of an hour where that is days.
    ``numbers``: those of `SUMMED`; of the times the sum and how many there are. ``percentiles``: of the first
    token, the median and the 95th, where the row is a complete group."""

    group: str | int | None
    numbers: tuple[float, ...]
    first: tuple[float, int]
    total: tuple[float, int]
    percentiles: tuple[int, int] | None = None


class UsageReport(msgspec.Struct, frozen=True):
    """The answer to a `UsageQuestion`: ``rows``, and ``total`` of them all."""

    rows: list[UsageRow]
    total: UsageRow


def summarize(question: UsageQuestion, sums: Iterable[Sums]) -> UsageReport:
    """Return the report that rows of a database make: days in their order, all others by what they cost and used."""
    groups: dict[str, list[Sums]] = {}
    everything = list(sums)
    for each in everything:
        groups.setdefault(_name(question, each.group), []).append(each)
    rows = [_row(name, group) for name, group in groups.items()]
    for row in rows:
        if (percentiles := groups[row.name][0].percentiles) is not None:
            row.first_p50_ms, row.first_p95_ms = percentiles
    if question.by == "day":
        rows.sort(key=lambda row: row.name)
    else:
        rows.sort(key=lambda row: (-row.cost, -row.prompt_tokens - row.completion_tokens, row.name))
    return UsageReport(rows, _row("total", everything))


def _name(question: UsageQuestion, group: str | int | None) -> str:
    if question.by == "day":
        return datetime.fromtimestamp(int(group or 0) * QUARTER_S, question.zone).date().isoformat()
    return str(group or "")


def _row(name: str, sums: list[Sums]) -> UsageRow:
    row = UsageRow(name)
    for index, member in enumerate(SUMMED):
        number = sum(each.numbers[index] for each in sums)
        setattr(row, member, float(number) if member == "cost" else int(number))
    row.first_ms = _average([each.first for each in sums])
    row.total_ms = _average([each.total for each in sums])
    return row


def _average(times: list[tuple[float, int]]) -> float | None:
    count = sum(number for _, number in times)
    return round(sum(time for time, _ in times) / count, 1) if count else None


def document_of(question: UsageQuestion, report: UsageReport) -> dict[str, Any]:
    """Return the report as it is shown to programs."""
    return {
        "object": "usage",
        "by": question.by,
        "since": _shown(question.since),
        "until": _shown(question.until),
        "timezone": str(question.zone),
        "currency": "USD",
        "data": report.rows,
        "total": report.total,
    }


def _shown(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


class _LocalZone(tzinfo):
    """The zone of this machine, with the offset that it has at each moment: today's is not that of summer."""

    def fromutc(self, dt: datetime) -> datetime:
        return dt.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> str:
        return "local"

    def __str__(self) -> str:
        return "local"


def zone_of(name: str) -> tzinfo:
    """Return the time zone of that name: ``UTC``, ``local`` or one of the IANA's. Raises `ValueError`."""
    if name == "UTC":
        return UTC
    if name == "local":
        return _LocalZone()
    from zoneinfo import ZoneInfo  # noqa: PLC0415  few ask for another zone than these two

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name[:50]!r} is no time zone; write UTC, or a name such as Europe/Berlin") from None


def moment_of(text: str, now: datetime) -> float:
    """Return a moment in seconds since the epoch: so long ago (``7d``, ``24h``, ``30m``, ``2w``), or a date or a time (ISO
    8601), in the zone of *now* where it names none. Raises `ValueError`.

    Example::

        now = datetime(2026, 11, 29, 12, tzinfo=UTC)
        assert moment_of("12h", now) == moment_of("2026-11-29", now)
    """
    try:
        if match := _SPAN.fullmatch(text):
            seconds = now.timestamp() - int(match[1]) * _SECONDS[match[2]]  # of time that passed, whatever clocks showed
        else:
            moment = datetime.fromisoformat(text)
            seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)).timestamp()
        if not 0 <= seconds <= _LAST:  # others have no date in every zone
            raise ValueError
        return seconds
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:50]!r} is no time; write 7d, 24h, 2026-11-01 or 2026-11-01T08:00") from None
