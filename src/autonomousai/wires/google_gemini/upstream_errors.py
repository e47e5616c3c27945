"""Errors of servers of the Gemini API, read (Gemini API, "Troubleshooting"; google.rpc ``Status`` and its details)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ...errors import MODEL_CODES, StatusError, is_retryable
from ..foreign_errors import read_error
from .upstream_shapes import Json, chunks_in

#: Reasons of ``google.rpc.ErrorInfo`` for which no other request with the same key is answered.
_OF_KEYS: Final = frozenset(
    {
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
    }
    | {"CREDENTIALS_MISSING", "ACCESS_TOKEN_EXPIRED", "CONSUMER_INVALID"}
)
_AUTHENTICATION: Final = "authentication_error"


def read_gemini_error(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Iterable[str] = (),
    now: Callable[[], float] = time.time,
) -> StatusError:
    """Return the error that a response of *status* is: the pause is that of ``google.rpc.RetryInfo``. A key that is refused has
    the status 400 there. *now*: seconds since the epoch."""
    error = read_error(status, body, headers, secrets=secrets, now=now)
    details = _details(body)
    if any(detail.get("reason") in _OF_KEYS for detail in details):
        error.code = "invalid_api_key"
    elif status == 404 and error.code not in MODEL_CODES and ("models/" in error.problem or " model" in error.problem):
        error.code = "model_not_found"
    elif status == 429 and any(_has_none(detail) for detail in details):
        error.code = "insufficient_quota"
        error.retryable = is_retryable(status, error.code)
    if error.code == "invalid_api_key":
        error.type = _AUTHENTICATION
    return error


def _details(body: bytes) -> list[Json]:
    """Return the details of an error, which may stand in a list."""
    chunks = chunks_in(body[: 64 * 1024])
    error = chunks[0].get("error") if chunks else None
    details = error.get("details") if isinstance(error, dict) else None
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []


def _has_none(detail: Json) -> bool:
    """Return whether a quota is one of nothing, which no patience mends."""
    violations: Any = detail.get("violations")
    return isinstance(violations, list) and any(
        isinstance(each, dict) and str(each.get("quotaValue")) == "0" for each in violations
    )
