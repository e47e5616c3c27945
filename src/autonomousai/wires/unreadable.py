"""Bytes of an answer that cannot be read, or that were mended so that they could be: what is said of them."""

from __future__ import annotations

from typing import Final

from ..errors import CUT, IncompleteStreamError, StreamError
from ..events import Batch, ForeignEvent
from .redaction import redact

#: The note of an answer whose bytes were no UTF-8 in some place.
REPLACED: Final = "bytes that are no UTF-8 were replaced by U+FFFD"

SHOWN: Final = 200  # characters of an unreadable event that its error shows


def notes_on(data: bytes) -> tuple[str, ...]:
    """Return what was mended in *data* so that it could be read."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return (REPLACED,)
    return ()


def shown_bytes(data: bytes) -> str:
    """Return the beginning of *data*, for an error."""
    return redact(data[: 4 * SHOWN].decode("utf-8", "replace"))[:SHOWN]


def unreadable(what: str, data: bytes) -> StreamError:
    """Return the error of *what* was sent as *data*."""
    return StreamError(
        f"{what} could not be read, the rest may be missing; it begins with {repr(shown_bytes(data))[:SHOWN]}",
        status=200,
        retryable=True,
        code="unreadable_event",
    )


def without_end(stray: bytes) -> IncompleteStreamError:
    """Return the error of a stream that ended without proof of its end. *stray*: what came that is no event of its API, ``b""``
    where nothing did."""
    if not stray:
        return IncompleteStreamError()
    return IncompleteStreamError(f"{CUT}; what came is no event of this API: {repr(shown_bytes(stray))[:SHOWN]}")


def first_foreign(events: Batch) -> bytes:
    """Return the data of the first event of another API, of those that came before an answer began; ``b""`` where none came."""
    return next((each.data for each in events if isinstance(each, ForeignEvent)), b"")
