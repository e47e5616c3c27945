"""The errors that a caller gets who asks for a stream."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..errors import StatusError
from ..wires.redaction import redact
from .records import UnknownWireError
from .stores import GoneError, StoreError

_log = logging.getLogger("autonomousai.server")


def stream_not_found() -> StatusError:
    """Return the error for a stream that does not exist, or belongs to another key."""
    return StatusError(
        "there is no stream of that id", status=404, type="invalid_request_error", param="id", code="stream_not_found"
    )


#: The code of the error that a cancelled answer ends with.
CANCELLED: Final = "cancelled"


def cancelled() -> StatusError:
    """Return what an answer ends with that was cancelled."""
    return StatusError("the answer was cancelled", status=409, type="invalid_request_error", code=CANCELLED)


def stream_gone() -> StatusError:
    """Return the error for a stream, or a part of one, that was dropped."""
    return StatusError(
        "the stream, or what comes after that event of it, was let go; send the request again",
        status=410,
        type="invalid_request_error",
        param="id",
        code="stream_gone",
    )


def store_unavailable(error: StoreError) -> StatusError:
    """Return the error for a store that cannot be reached, and log why."""
    _log.warning("streams cannot be looked up: %s", redact(str(error)))
    return StatusError(
        "the place where streams are kept cannot be reached; try again",
        status=503,
        type="server_error",
        code="state_unavailable",
    )


@contextmanager
def reported() -> Iterator[None]:
    """Raise what the store raises meanwhile as the `StatusError` of who asked: 410 for what was dropped, or is of a wire that
    this version does not have, 503 for a store that cannot be reached."""
    try:
        yield
    except (GoneError, UnknownWireError):
        raise stream_gone() from None
    except StoreError as error:
        raise store_unavailable(error) from None
