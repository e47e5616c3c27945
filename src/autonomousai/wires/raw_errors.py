"""Refusals of requests that are no conversation: whether the server has no such path, and another one may. Does no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import StatusError
from ..late import late_pattern
from .foreign_errors import read_error
from .raw import OPERATIONS, UNSUPPORTED_ENDPOINT

#: Statuses by which a server says that it has no such path, or cannot do what is asked there.
_ABSENT: Final = frozenset({404, 405, 501})

#: A model that the server does not know is the operator's mistake, and no missing path.
_UNKNOWN_MODEL: Final = late_pattern(
    r"model\b.{0,120}\b(?:not exist|not found|unknown|not available)|(?:no such|unknown) model|not find.{0,20} model",
    re.IGNORECASE | re.DOTALL,
)


def names_unknown_model(error: StatusError) -> bool:
    """Return whether *error* is a server's word that it does not have the model, and not the path."""
    return error.code == "model_not_found" or bool(_UNKNOWN_MODEL.search(error.problem))


def read_raw_error(
    wire: str, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()
) -> StatusError:
    """Return the error that a response of *status* is. One by which the server says that it has no such path becomes
    `UNSUPPORTED_ENDPOINT`: another upstream may."""
    error = read_error(status, body, headers, secrets=secrets)
    if status not in _ABSENT or names_unknown_model(error):
        return error
    told = "" if error.code == UNSUPPORTED_ENDPOINT else f"; this server is none that {OPERATIONS[wire]}"
    absent = StatusError(
        f"{error.problem}{told}",
        status=404,
        type="invalid_request_error",
        code=UNSUPPORTED_ENDPOINT,
        body=error.body,
        request_id=error.request_id,
    )
    absent.retryable = False
    return absent
