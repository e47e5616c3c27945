"""Whether a connection failed because this machine has no descriptor left, and not because of the other end."""

from __future__ import annotations

import errno
import socket

from ..errors import OUT_OF_DESCRIPTORS, ConnectError

_SHORT = frozenset({errno.EMFILE, errno.ENFILE})


def is_short(error: OSError) -> bool:
    """Return whether *error* came for want of descriptors. The resolver does not say so, nor do several errors in one: then it
    is tried whether one is left."""
    if error.errno in _SHORT:
        return True
    return (error.errno is None or isinstance(error, socket.gaierror)) and not _has_one()


def _has_one() -> bool:
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno not in _SHORT
    return True


def no_descriptors() -> ConnectError:
    """Return the error for a connection that could not be made here."""
    return ConnectError(
        "this machine has no descriptor left for another connection (EMFILE)",
        advice="close some, or raise the limit (ulimit -n)",
        code=OUT_OF_DESCRIPTORS,
    )
