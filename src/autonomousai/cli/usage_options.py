"""The words of ``autonomousai usage``. What it does is in `usage`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ..ledger.summary import GROUPS
from .help_texts import EXIT_CODES

USAGE: Final = """\
Sum up what answers used and cost, from the ledger that a server keeps where its
config has [ledger]. Without --config or --ledger: the file in your data
directory.
"""

USAGE_MORE: Final = """\
examples:
  autonomousai usage --since 7d                   the last seven days
  autonomousai usage --by key --since 2026-11-01  since a day, by key
  autonomousai usage --by model --csv > usage.csv

Costs are US dollars, of the answers whose price is known: +? stands where
others are not in it. A time is how long ago (30m, 24h, 7d, 2w), a date, or a
date and a time (2026-11-01T08:00).
"""


def add_usage(commands: Any) -> None:
    """Add the command to the parser's *commands*."""
    usage = commands.add_parser("usage", help="what answers used and cost", description=USAGE, more=(USAGE_MORE, EXIT_CODES))
    usage.add_argument("--by", choices=GROUPS, default="day", help="one line for each; default: day")
    usage.add_argument("--since", metavar="TIME", default="30d", help="from when on; default: 30d, the last thirty days")
    usage.add_argument("--until", metavar="TIME", help="up to when")
    usage.add_argument("--key", metavar="NAME", help="of this key alone")
    usage.add_argument("--timezone", metavar="ZONE", default="UTC", help="whose days: UTC, local, or such as Europe/Berlin")
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="write CSV, for a spreadsheet")
    form.add_argument("--json", action="store_true", help="write a JSON object")
    where = usage.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="the ledger of this server's config")
    where.add_argument("--ledger", metavar="URL", help="this ledger: a path, or postgresql://USER@HOST/NAME")
