"""The command line. Only here: prompt_toolkit, Pygments, tomli-w, and the SQLite file of conversations."""

from .program import main, make_parser
from .words import EXIT_CODES

__all__ = ["EXIT_CODES", "main", "make_parser"]
