"""What every response's head begins with: the status line (RFC 9112 section 4) and the date (RFC 9110 section 6.6.1). Pure."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from time import gmtime
from typing import Final

#: By status; one that has none here has no phrase.
STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

#: As RFC 9110 section 5.6.7 has them; those of `time.strftime` depend on the locale.
_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


@lru_cache(maxsize=1)
def date_line(second: int) -> bytes:
    """Return the ``date`` header (RFC 9110 section 6.6.1) of that second since the epoch."""
    minute, second = divmod(second, 60)
    return _to_the_minute(minute) + b"%02d GMT\r\n" % second


@lru_cache(maxsize=1)
def _to_the_minute(minute: int) -> bytes:
    """Return what it begins with in that minute since the epoch."""
    year, month, day, hours, minutes, _, weekday, _, _ = gmtime(minute * 60)
    return b"date: %b, %02d %b %04d %02d:%02d:" % (_DAYS[weekday], day, _MONTHS[month - 1], year, hours, minutes)
