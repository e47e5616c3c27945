"""What the program's exit code says; `help_texts.EXIT_CODES` tells it to people."""

from __future__ import annotations

DONE, FAILED, USAGE, SETUP, INCOMPLETE = range(5)


class UsageError(Exception):
    """The command line asks for what makes no sense; the message says what would."""
