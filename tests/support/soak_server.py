"""`autonomousai serve` that tells of its tasks: at SIGUSR1 it writes their names, one a line, to the file that TASKS names.

Run as ``python tests/support/soak_server.py serve --port 0 …``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from autonomousai.cli import main


def tell(number: int, frame: Any) -> None:
    """Written aside and moved into place, so that nobody reads half of it."""
    names = sorted(getattr(task.get_coro(), "__qualname__", str(task)) for task in asyncio.all_tasks())
    told = Path(os.environ["TASKS"])
    aside = told.with_suffix(".new")
    aside.write_text("".join(f"{name}\n" for name in names))
    aside.replace(told)


signal.signal(signal.SIGUSR1, tell)
sys.exit(main(sys.argv[1:]))
