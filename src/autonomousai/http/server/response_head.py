"""What the heads of all responses have: the status line and the date."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

#: By status (RFC 9112 section 4).
STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


@lru_cache(maxsize=1)
def date_line(second: int) -> bytes:
    """Return the ``date`` header (RFC 9110 section 6.6.1) of that second since the epoch."""
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode()
