"""The words of `autonomousai keys`: its actions, options and their help. What they do is in `key_commands`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .help_parser import cut
from .help_texts import EXIT_CODES, KEYS, KEYS_EXAMPLES, KEYS_MORE

#: Actions on one key.
_ON_ONE = (
    ("show", "show what a key may do, what it used in this day or month, and what is left"),
    ("disable", "disable a key: it is refused with 401"),
    ("enable", "enable a key that was disabled"),
    ("rotate", "give a key another secret, and print it"),
    ("delete", "delete a key for good"),
)


#: The options that ``create --help`` shows.
_CREATE_COMMON = {
    "models": "models that it may use; default: all",
    "expires": "when it stops opening, such as 2030-01-31",
    "requests_per_minute": "requests in any 60 seconds",
    "tokens_per_minute": "tokens in any 60 seconds",
    "max_concurrency": "answers at once",
    "token_budget": "tokens in a budget period",
    "budget": "US dollars in a budget period",
    "budget_period": "in UTC; default: month",
    "label": "for you, and the ledger; may be repeated",
}


def add_keys(commands: Any) -> None:
    """Add the command to a parser's *commands*."""
    keys = commands.add_parser(
        "keys",
        help="make, list, limit and delete the keys of a server's callers",
        description=KEYS,
        more=(KEYS_EXAMPLES, KEYS_MORE, EXIT_CODES),
    )
    _add_place(keys, default=None)
    actions = keys.add_subparsers(dest="action", metavar="ACTION")
    _add_place(actions.add_parser("list", help="list them: the default", description="List the keys with names."))
    _add_create(actions)
    for name, words in _ON_ONE:
        action = actions.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        action.add_argument("name", metavar="NAME", help="the key's name")
        if name == "rotate":
            action.add_argument(
                "--keep-old", type=_seconds, default=0, metavar="SECONDS", help="the old secret opens for so long; default: 0"
            )
        _add_place(action)


def _add_create(actions: Any) -> None:
    create = actions.add_parser(
        "create",
        help="make a key, and print it: it is shown this once",
        description="Make a key, and print it.",
        common=_CREATE_COMMON,
        more=(EXIT_CODES,),
    )
    create.add_argument("name", metavar="NAME", help="what to call it: letters, digits, dots, dashes and underscores")
    create.add_argument("--models", type=_names, metavar="A,B", help="models that it may use; default: all")
    create.add_argument("--wires", type=_names, metavar="A,B", help="APIs that it may use, such as openai_chat; default: all")
    create.add_argument("--expires", metavar="TIME", help="when it stops opening, such as 2030-01-31")
    for name, words in (
        ("requests-per-minute", "requests in any 60 seconds"),
        ("tokens-per-minute", "tokens in any 60 seconds"),
        ("max-concurrency", "answers at once"),
    ):
        create.add_argument(f"--{name}", type=_count, metavar="N", help=words)
    create.add_argument("--token-budget", type=_tokens, metavar="N", help="tokens in a budget period")
    create.add_argument("--budget", type=_money, metavar="USD", help="US dollars in a budget period")
    create.add_argument("--budget-period", choices=("day", "month"), help="in UTC; default: month")
    create.add_argument(
        "--label", type=_label, action="append", metavar="NAME=VALUE", help="for you, and the ledger; may be repeated"
    )
    _add_place(create)


def _add_place(parser: Any, *, default: Any = argparse.SUPPRESS) -> None:
    """Add what says whose keys are meant; an action's options go over those before it."""
    parser.add_argument(
        "--base-url",
        default=default,
        metavar="URL",
        help="the server's root; default: AUTONOMOUSAI_BASE_URL, or http://127.0.0.1:8000",
    )
    parser.add_argument(
        "--admin-key",
        default=default,
        metavar="KEY",
        help="one of its admin_keys; prefer AUTONOMOUSAI_ADMIN_KEY, which other users cannot see",
    )
    parser.add_argument(
        "--config", default=default, type=Path, metavar="FILE", help="a TOML file: open its ledger's database, ask no server"
    )
    switch = {"default": False if default is None else default}
    parser.add_argument("--json", action="store_true", help="write JSON", **switch)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _count(text: str, bound: int = 2**31) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) < bound:
        raise argparse.ArgumentTypeError(f"{cut(text)!r} is not a whole number of 1 or more, and below {bound}")
    return int(text)


def _tokens(text: str) -> int:
    return _count(text, 2**53)


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{cut(text)!r} is not a number of seconds")
    return int(text[:20])


def _money(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{cut(text)!r} is not an amount above 0")
    return amount


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{cut(text)!r} is not NAME=VALUE")
    return name, value
