"""The sums of a ledger, as its database makes them."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, case, cast, func, literal_column, select

from .database import Database, tokens_of
from .entry import HANDED_OVER
from .summary import QUARTER_S, SUMMED, Sums, UsageQuestion, UsageReport, summarize
from .tables import ENTRIES

_C: Final = ENTRIES.c

#: Outcomes that are no failure: the answer came, its caller left, or another server finishes it.
_NO_FAILURES: Final = ("ok", "left", HANDED_OVER)

#: The percentiles of the times to the first token.
PERCENTILES: Final = (50, 95)

#: What each member of `SUMMED` is the sum of.
_NUMBERS: Final[dict[str, Any]] = {
    "answers": literal_column("1"),
    "failed": case((_C.outcome.in_(_NO_FAILURES), 0), else_=1),
    "left": case((_C.outcome == "left", 1), else_=0),
    "prompt_tokens": tokens_of(_C.prompt_tokens),
    "cached_tokens": tokens_of(_C.cached_tokens),
    "completion_tokens": tokens_of(_C.completion_tokens),
    "reasoning_tokens": tokens_of(_C.reasoning_tokens),
    "lost_tokens": tokens_of(_C.lost_tokens),
    "estimated": case((_C.estimated, 1), else_=0),
    "cost": _C.cost,
    "unpriced": case((_C.cost.is_(None), 1), else_=0),
}


def read_usage(database: Database, question: UsageQuestion) -> UsageReport:
    """Return the report that answers *question*. Raises `DatabaseAwayError`."""

    def read(connection: Connection) -> list[Sums]:
        query = _query(question, is_sqlite=connection.dialect.name == "sqlite")
        count = len(SUMMED)
        percentiles = _percentiles(connection, question) if question.by == "upstream" else {}
        return [
            Sums(
                row[0],
                tuple(float(number or 0) for number in row[1 : 1 + count]),
                (float(row[1 + count] or 0), row[2 + count]),
                (float(row[3 + count] or 0), row[4 + count]),
                percentiles.get(row[0]),
            )
            for row in connection.execute(query)
        ]

    return summarize(question, database.read(read))


def _query(question: UsageQuestion, *, is_sqlite: bool) -> Select[Any]:
    if question.by == "day":
        # SQLite's cast drops the fraction, PostgreSQL's rounds.
        seconds = cast(_C.time if is_sqlite else func.floor(_C.time), BigInteger)
        group: Any = (seconds / QUARTER_S) if is_sqlite else func.div(seconds, QUARTER_S)
        group = cast(group, BigInteger)
    else:
        group = _C[question.by]
    sums = [func.sum(_NUMBERS[name]) for name in SUMMED]
    times = [made(column) for column in (_C.first_ms, _C.total_ms) for made in (func.sum, func.count)]
    return _asked(select(group, *sums, *times), question).group_by(group)


def _percentiles(connection: Connection, question: UsageQuestion) -> dict[str | None, tuple[int, int]]:
    """Return by upstreams the median and the 95th percentile of the times to the first token: the least times that so many
    answers in a hundred did not exceed."""
    place = func.row_number().over(partition_by=_C.upstream, order_by=_C.first_ms)
    count = func.count().over(partition_by=_C.upstream)
    query = select(_C.upstream, _C.first_ms, place.label("place"), count.label("count")).where(_C.first_ms.is_not(None))
    ranked = _asked(query, question).subquery().c

    def at(percent: int) -> Any:
        is_there = (ranked.place * 100 >= ranked.count * percent) & ((ranked.place - 1) * 100 < ranked.count * percent)
        return func.max(case((is_there, ranked.first_ms)))

    found = connection.execute(select(ranked.upstream, *map(at, PERCENTILES)).group_by(ranked.upstream))
    return {upstream: (int(median), int(late)) for upstream, median, late in found}


def _asked(query: Select[Any], question: UsageQuestion) -> Select[Any]:
    """Return *query* of those entries alone that *question* means."""
    if question.since is not None:
        query = query.where(_C.time >= question.since)
    if question.until is not None:
        query = query.where(_C.time < question.until)
    if question.key is not None:
        query = query.where(_C.key == question.key)
    return query
