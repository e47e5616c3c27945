"""What the program's exit code says; `words.EXIT_CODES` tells it to people."""

from __future__ import annotations

DONE, FAILED, USAGE, SETUP, INCOMPLETE = range(5)
