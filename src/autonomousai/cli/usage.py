"""``autonomousai usage``: the sums of a ledger, read from its database, as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ..config import LedgerConfig, load_config
from ..errors import ConfigError
from ..ledger.place import place_of
from ..ledger.summary import UsageQuestion, UsageReport, UsageRow, document_of, moment_of, zone_of
from .columns import table
from .exit_codes import DONE, UsageError
from .terminal import Terminal

#: The columns of the table, and what is in them.
_HEADS: Final = ("answers", "failed", "prompt", "cached", "completion", "lost", "cost USD", "first ms")

#: What a group without a name is.
_NAMELESS: Final = "-"


def usage(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print what the ledger of a config, or of ``--ledger``, sums up to."""
    question = _question(args)
    report = _read(_url_of(args), question)
    if args.json:
        terminal.write(msgspec.json.format(msgspec.json.encode(document_of(question, report)), indent=2).decode() + "\n")
    elif args.csv:
        terminal.write(_as_csv(question, report))
    else:
        terminal.write(_as_table(question, report, terminal.columns() if terminal.out_is_terminal else None))
    return DONE


def _question(args: argparse.Namespace) -> UsageQuestion:
    try:
        zone = zone_of(args.timezone)
        now = datetime.now(UTC).astimezone(zone)
        since, until = (None if text is None else moment_of(text, now) for text in (args.since, args.until))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return UsageQuestion(args.by, since, until, args.key, zone)


def _url_of(args: argparse.Namespace) -> str:
    if args.ledger is not None:
        return str(args.ledger)
    config = load_config(None if args.config is None else Path(args.config), os.environ)
    return (config.ledger or LedgerConfig()).url


def _read(url: str, question: UsageQuestion) -> UsageReport:
    """Return the report. Raises `ConfigError` where there is no ledger, or it cannot be read."""
    place = place_of(url)
    if place is None:
        raise ConfigError("the ledger is off", key="ledger.url", advice="name another one with --ledger")
    if place.path is not None and not place.path.is_file():
        problem = f"there is no ledger at {place.name}"
        raise ConfigError(problem, advice="a server keeps one where its config has [ledger]; name it with --config or --ledger")
    try:
        from ..ledger.database import Database, DatabaseAwayError  # noqa: PLC0415  an optional extra
        from ..ledger.usage import read_usage  # noqa: PLC0415  an optional extra
    except ImportError:
        advice = "install it with: pip install 'autonomousai[ledger]'"
        raise ConfigError("reading a ledger needs SQLAlchemy", advice=advice) from None
    database = Database(place)
    try:
        return read_usage(database, question)
    except DatabaseAwayError as error:
        raise ConfigError(f"the ledger {place.name} cannot be read: {error}") from None
    finally:
        database.close()


def _as_table(question: UsageQuestion, report: UsageReport, width: int | None) -> str:
    heads = (question.by, *_HEADS)
    text = table([dict(zip(heads, _cells(row), strict=True)) for row in (*report.rows, report.total)], width=width)
    if report.total.unpriced:
        text += f"{report.total.unpriced} answers have no known price; their cost is not in it\n"
    return text


def _cells(row: UsageRow) -> tuple[str, ...]:
    first = "" if row.first_ms is None else f"{row.first_ms:.0f}"
    cost = f"{row.cost:.4f}" + ("+?" if row.unpriced else "")
    numbers = (row.answers, row.failed, row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.lost_tokens)
    return (row.name or _NAMELESS, *(f"{number:,}" for number in numbers), cost, first)


def _as_csv(question: UsageQuestion, report: UsageReport) -> str:
    """RFC 4180. A name is a caller's or an operator's: none begins as a formula does."""
    import csv  # noqa: PLC0415  of one form of one command

    text = io.StringIO()
    writer = csv.writer(text)
    names = UsageRow.__struct_fields__
    writer.writerow((question.by, *names[1:]))
    for row in report.rows:
        name, *numbers = msgspec.structs.astuple(row)
        writer.writerow((f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name, *numbers))
    return text.getvalue()
