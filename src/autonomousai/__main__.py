"""``python -m autonomousai`` and the program ``autonomousai``: the command line."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line. Ctrl-C ends it without a traceback, also while its modules are still being read."""
    try:
        from .cli import main as run  # noqa: PLC0415  takes a moment, in which Ctrl-C may come
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return run()


if __name__ == "__main__":
    sys.exit(main())
