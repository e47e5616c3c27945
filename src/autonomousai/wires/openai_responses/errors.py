"""Errors inside a stream of the Responses API: in a response that failed, or as an event where nothing was said yet.

Clients read the codes, and the seconds in the words "try again in 5s".
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from ...errors import HTTPError
from ...late import late_pattern
from ..errors import headers_of, tell
from ..provenance import KEY

#: The codes that clients of this wire read for "ask again later", and for an error that names none.
_RATE_LIMIT: Final = "rate_limit_exceeded"
_FALLBACK: Final = "server_error"

#: The codes of a response that failed which clients know: those of the reference (``ResponseError.code``), and those which
#: agents read beside them. Strict clients take no others.
_CODES: Final = frozenset(
    {
        *("server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy"),
        *("misalignment_policy_violation", "vector_store_timeout", "invalid_image", "invalid_image_format"),
        *("invalid_base64_image", "invalid_image_url", "image_too_large", "image_too_small", "image_parse_error"),
        *("image_content_policy_violation", "invalid_image_mode", "image_file_too_large", "unsupported_image_media_type"),
        *("empty_image_file", "failed_to_download_image", "image_file_not_found"),
        *("context_length_exceeded", "insufficient_quota", "usage_not_included", "server_is_overloaded", "slow_down"),
        *("cyber_policy", "content_policy_violation"),
    }
)
#: The code of an error that is the request's fault, and has one that they do not know.
_REQUESTS_FAULT: Final = "invalid_prompt"

#: How others call it, as a code or a type.
_LIMITS: Final = frozenset({"429", "rate_limit_error", "rate_limited", "too_many_requests", _RATE_LIMIT})

#: How this package's errors say when to ask again.
_ASK_AGAIN: Final = late_pattern(r"\b(?:ask|try) again in ([0-9]+(?:\.[0-9]+)?) ?s\b")
_TRY_AGAIN: Final = late_pattern(r"try again in", re.IGNORECASE)


#: Fields of chat completions, as which an upstream's refusal knows them, and what the caller named so.
_CALLERS_NAMES: Final = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
_NAME: Final = late_pattern(r"\w+")


def tell_here(error: BaseException) -> tuple[int, dict[str, str | None]]:
    """Return the status that *error* is answered with, and what is said of it, with the field by the name that it has here."""
    status, said = tell(error)
    param, message = said["param"], said["message"] or ""
    named = _NAME.match(param or "")
    if param is None or named is None or (name := _CALLERS_NAMES.get(named[0])) is None:
        return status, said
    return status, {
        **said,
        "param": name,
        "message": f"{name}{message.removeprefix(param)}" if message.startswith(param) else message,
    }


def write_error(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the extra headers and the body of the response that reports *error*."""
    status, said = tell_here(error)
    return status, headers_of(error, status), msgspec.json.encode({"error": said})


def error_of(error: BaseException) -> dict[str, str | None]:
    """Return the error object: ``type``, ``code``, ``message`` and ``param``."""
    status, said = tell_here(error)
    message = _ASK_AGAIN.sub(r"try again in \1s", said["message"] or "")
    code = said["code"]
    if (status == 429 or _LIMITS & {code, said["type"]}) and code != "insufficient_quota":
        code = _RATE_LIMIT
        wait = error.retry_after if isinstance(error, HTTPError) else None
        if wait is not None and not _TRY_AGAIN.search(message):
            message = f"{message}; try again in {math.ceil(max(0.0, min(wait, 1e9)))}s"
    return {**said, "message": message, "code": code or _fallback(status)}


def failure_of(error: BaseException) -> dict[str, Any]:
    """Return the members of a response that failed with *error*: its ``error``; and the code, where clients do not know it, in
    ``x_autonomousai``."""
    said = error_of(error)
    code, message = said["code"], said["message"]
    if code in _CODES:
        return {"error": {"code": code, "message": message}}
    return {"error": {"code": _fallback(tell(error)[0]), "message": message}, KEY: {"code": code}}


def _fallback(status: int) -> str:
    """Return the code of an error of that status which has none that clients know."""
    return _REQUESTS_FAULT if 400 <= status < 500 else _FALLBACK


def error_event_of(error: BaseException) -> dict[str, Any]:
    """Return the event that reports *error* where no response was begun. Its members stand in it twice: at the top, where
    OpenAI has them, and in an object, where Open Responses does."""
    said = error_of(error)
    flat = {name: said[name] for name in ("code", "message", "param")}
    return {"type": "error", "sequence_number": 0, **flat, "error": said}
