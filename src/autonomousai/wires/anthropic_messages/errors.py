"""Errors as the Messages API tells them (Anthropic API reference, "Errors"):
``{"type": "error", "error": {"type", "message"}, "request_id"}``, as a document or as the event ``error`` of a stream."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..context_counts import context_counts
from ..errors import TOO_LONG_CODES, headers_of, tell

#: The type that goes with a status. Its clients try again by the status: 408, 409, 429, and all from 500 on.
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

#: Types that an upstream of this wire names, and that say more than a status.
_OWN_TYPES: Final = frozenset(_TYPES.values()) - {"invalid_request_error"}

#: How the error of a prompt that does not fit begins here: some clients know it by these words, and shorten the conversation;
#: or the answer, where that alone is too long.
_TOO_LONG_SAYS: Final = "prompt is too long"

_BOTH_SAYS: Final = "input length and `max_tokens` exceed context limit"
_KNOWN_WORDS: Final = (f"{_TOO_LONG_SAYS}:", _BOTH_SAYS)

#: The type of an account or a key whose budget is spent: no repetition helps, as this wire's 402 says, and its 429 does not.
_SPENT: Final = "insufficient_quota"

#: The code of a request whose conversation is to be kept: in ``details``, where the SDKs look for it.
THREAD_UNSUPPORTED: Final = "thread_unsupported_request"


def write_error(error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
    """Return the status, the extra headers and the body of the response that reports *error*."""
    status, said = _said(error, request_id)
    return status, headers_of(error, status), msgspec.json.encode(said)


def write_error_event(error: BaseException) -> bytes:
    """Return the event that reports *error* and ends a stream; no ``message_stop`` follows."""
    return b"event: error\ndata: " + msgspec.json.encode(_said(error, "")[1]) + b"\n\n"


def _too_long(message: str) -> str:
    """Return the vendor's words for a prompt that does not fit, alone or beside its answer, and then the server's own."""
    counts = context_counts(message)
    if counts is None:
        return f"{_TOO_LONG_SAYS}: {message}"
    if counts.answer is None or counts.prompt >= counts.limit:
        return f"{_TOO_LONG_SAYS}: {counts.prompt} tokens > {counts.limit} maximum ({message})"
    return (
        f"{_BOTH_SAYS}: {counts.prompt} + {counts.answer} > {counts.limit}, "
        f"decrease input length or `max_tokens` and try again ({message})"
    )


def _said(error: BaseException, request_id: str) -> tuple[int, dict[str, Any]]:
    status, told = tell(error)
    if (status, told["type"]) == (429, _SPENT):
        status = 402
    message = told["message"] or ""
    if told["code"] in TOO_LONG_CODES and not any(words in message for words in _KNOWN_WORDS):
        message = _too_long(message)
    kind = getattr(error, "type", None) or told["type"]
    if kind not in _OWN_TYPES or status in _TYPES:
        kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    said: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    if told["code"] == THREAD_UNSUPPORTED:
        said["error"]["details"] = {"error_code": THREAD_UNSUPPORTED, "unsupported": ["thread"]}
    return status, {**said, "request_id": request_id} if request_id else said
