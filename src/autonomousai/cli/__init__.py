"""The command line. Only here: prompt_toolkit, Pygments, tomli-w, and the SQLite file of conversations."""

from .help_texts import EXIT_CODES
from .parser import make_parser
from .program import main

__all__ = ["EXIT_CODES", "main", "make_parser"]
