"""Errors as Google's servers report them (Google APIs, "Errors"; AIP-193): ``{"error": {"code", "message", "status",
"details"}}``, as a document, or inside a stream.

Google's clients take a chunk of a stream for an error where ``error`` is its first member, and its ``code`` a number from 400
on.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import HTTPError
from ..context_counts import context_counts
from ..errors import TOO_LONG_CODES, headers_of, tell

#: The word that goes with a status.
_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    402: "PERMISSION_DENIED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    410: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}

_DETAIL: Final = "type.googleapis.com/google.rpc."

#: How the error of a prompt that does not fit begins here: programs know it by these words, and shorten the conversation.
_TOO_LONG_SAYS: Final = "The input token count"


def encode_gemini_error(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the extra headers and the body of the response that reports *error*."""
    status, document = _document(error)
    return status, headers_of(error, status), document


def error_document(error: BaseException) -> bytes:
    """Return the chunk of a stream that reports *error*."""
    return _document(error)[1]


def _document(error: BaseException) -> tuple[int, bytes]:
    status, told = tell(error)
    message = told["message"] or ""
    if told["code"] in TOO_LONG_CODES and _TOO_LONG_SAYS not in message:
        message = _too_long(message)
    word = _STATUSES.get(status) or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    said: dict[str, Any] = {"code": status, "message": message, "status": word}
    if details := _details(error, told, message):
        said["details"] = details
    return status, msgspec.json.encode({"error": said})


def _details(error: BaseException, told: dict[str, str | None], message: str) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if code := told["code"]:
        details.append({"@type": f"{_DETAIL}ErrorInfo", "reason": code.upper(), "domain": "autonomousai"})
    if field := told["param"]:
        violation = {"field": field, "description": message}
        details.append({"@type": f"{_DETAIL}BadRequest", "fieldViolations": [violation]})
    if isinstance(error, HTTPError) and error.retry_after is not None:
        wait = max(0.0, min(error.retry_after, 1e9))
        details.append({"@type": f"{_DETAIL}RetryInfo", "retryDelay": f"{wait:.3f}".rstrip("0").rstrip(".") + "s"})
    return details


def _too_long(message: str) -> str:
    """Return the vendor's words for a prompt that does not fit, and then the server's own."""
    counts = context_counts(message)
    if counts is None:
        return f"{_TOO_LONG_SAYS} exceeds the maximum number of tokens allowed: {message}"
    prompt = counts.prompt + (counts.answer or 0)
    return f"{_TOO_LONG_SAYS} ({prompt}) exceeds the maximum number of tokens allowed ({counts.limit}): {message}"
