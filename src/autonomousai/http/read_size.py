"""How much is read from a connection at once."""

from __future__ import annotations

import asyncio
from typing import Any, Final

#: Bytes of one read: less than the 128 kB from which the C library maps a block of its own.
READ: Final = 120 * 1024


def bound_reads(transport: asyncio.BaseTransport) -> None:
    """Have asyncio's own *transport* read at most `READ` bytes at once.

    It asks for 256 kB each time. A block of that size is mapped and unmapped again with every read, however little has come,
    and that costs more than the rest of a small read. uvloop's transports keep a buffer, and have no such attribute.
    """
    reading: Any = transport
    if getattr(reading, "max_size", 0) > READ:
        reading.max_size = READ
