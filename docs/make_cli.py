"""Make docs/cli.md from what ``--help`` prints: ``python docs/make_cli.py``. A test compares the two."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from autonomousai.cli import make_parser

HEAD = """\
# The command line

What `--help-all` says, made by `python docs/make_cli.py`. In short:
[README](../README.md#two-commands).
"""


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def cli_document() -> str:
    """The document, as it should be."""
    os.environ["COLUMNS"] = "80"
    parts = [HEAD]
    for parser in parsers(make_parser()):
        level = "##" if parser.prog.count(" ") <= 1 else "###"
        parts.append(f"{level} {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    target = Path(__file__).with_name("cli.md")
    target.write_text(cli_document(), encoding="utf-8")
    print(target)
