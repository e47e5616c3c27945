"""Whether a file that is open is still the one of that name. SQLite does not look: no other process finds what it writes to a
file that was removed or moved away.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

#: What tells a file apart from all others that are there: its device, and its number on that.
FileIdentity: TypeAlias = tuple[int, int]


def identity_of(path: Path) -> FileIdentity | None:
    """Return what tells the file of that name apart from others; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
