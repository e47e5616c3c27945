"""``python -m autonomousai`` and the program ``autonomousai``: the command line."""

from __future__ import annotations

import gc
import signal
import sys
from typing import Final

#: Containers that may be added before the collector looks for cycles; usually it is after 700. What is read at a start stays:
#: to look at it again and again took a twentieth of the start.
_COLLECT_AFTER: Final = 50_000


def main() -> int:
    """Run the command line. Ctrl-C ends it without a traceback, also while its modules are still being read; the process then
    ends by the signal itself: shells end a loop or a script for that alone, whatever the exit code is."""
    gc.set_threshold(_COLLECT_AFTER)
    try:
        from .cli import main as run  # noqa: PLC0415  takes a moment, in which Ctrl-C may come

        code = run()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    if code == 128 + signal.SIGINT:
        sys.excepthook = lambda *_: None  # the interpreter ends as usual, and raises the signal as the last thing
        raise KeyboardInterrupt
    return code


if __name__ == "__main__":
    sys.exit(main())
