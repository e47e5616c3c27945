"""Errors that this server's callers get, written: `ProviderError` -> bytes, in OpenAI's shape alone:
``{"error": {"message", "type", "param", "code"}}``. Knows no network. How errors are read is in `wires/foreign_errors.py`.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

import msgspec

from ..errors import (
    ANSWERED,
    FILTERED_CODES,
    KEY_CODES,
    MODEL_CODES,
    SERVERS_FAULT,
    UNPAID_CODES,
    USE_PARTIAL,
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from ..late import late_pattern
from .error_words import says_too_many
from .redaction import redact

# ---- in words for them ------------------------------------------------------------------------------------------------

#: Where an upstream lives, as our own messages and the TLS library's name it.
_ADDRESSES: tuple[tuple[re.Pattern[str], str], ...] = (
    (late_pattern(r"'?\bhttps?://[^\s;,']*[^\s;,':]'?"), "the upstream"),
    (late_pattern(r"\bhost \S+:\d+\b"), "its host"),
    (late_pattern(r"(not valid for) '[^']*'"), r"\1 its host"),
)


def for_callers(error: ProviderError) -> str:
    """The message of *error* as this server's callers may read it: in words for them, and without the place where an upstream
    lives, which stands in what we say of connections, before an answer. What an upstream answers is its own to word."""
    text = redact(_worded(error))
    if isinstance(error, ConfigError) or (isinstance(error, HTTPError) and not _is_worded_upstream(error)):
        for pattern, rest in _ADDRESSES:
            text = pattern.sub(rest, text)
    return text.replace("the server at the upstream", "the upstream")


def _is_worded_upstream(error: HTTPError) -> bool:
    """Whether the words are an upstream's: its answers are, but for redirections, which name its addresses."""
    return error.status is not None and not 300 <= error.status < 400


def _worded(error: ProviderError) -> str:
    """What happened, and what a caller of this server can do: to them the server that answered is an upstream, its clocks are
    the operator's, and what had come of an answer is with them already."""
    if not isinstance(error, HTTPError):
        return str(error)
    problem, advice = error.problem, error.advice
    if problem.startswith(ANSWERED):
        problem = f"the upstream answered{problem.removeprefix(ANSWERED)}"
    if type(error) is HTTPError and error.status is not None and advice:  # of the address, as below
        advice = "report it to this server's operator"
    elif isinstance(error, TimeoutError):
        advice = "try again, or have this server's operator raise it"
    elif isinstance(error, ConnectError) and advice:  # of the address, which they do not know
        advice = "try again later, or report it to this server's operator"
    elif advice == USE_PARTIAL:
        advice = "try again"
    elif advice == SERVERS_FAULT:
        advice = "the fault is the upstream's: try again later"
    return f"{problem}; {advice}" if advice else problem


# ---- in the wire's shape ---------------------------------------------------------------------------------------------


class _ErrorShape(NamedTuple):
    """How a class of errors is answered. A status, type or code of None is the error's own."""

    status: int | None
    type: str | None
    code: str | None


#: By class; a subclass is answered as the nearest class above it.
_ANSWERS: dict[type[BaseException], _ErrorShape] = {
    ModelNotFoundError: _ErrorShape(404, "invalid_request_error", "model_not_found"),
    InvalidMessagesError: _ErrorShape(400, "invalid_request_error", "invalid_value"),
    ConfigError: _ErrorShape(500, "server_error", "config_error"),
    ConnectError: _ErrorShape(502, "server_error", "upstream_unreachable"),
    TimeoutError: _ErrorShape(504, "timeout", None),
    StreamError: _ErrorShape(502, "server_error", None),
    IncompleteStreamError: _ErrorShape(502, "server_error", "upstream_incomplete"),
    HTTPError: _ErrorShape(None, None, None),
    ProviderError: _ErrorShape(500, "server_error", "provider_error"),
}

#: How servers call it that too much was asked of them by one caller, and by all.
_TOO_MANY = """rate_limit_exceeded rate_limit_error too_many_requests too_many_requests_error resource_exhausted
    throttling_error throttlingexception limit_requests queue_exceeded slow_down rate_limited"""
_OVERLOADED = """overloaded_error overloaded server_is_overloaded engine_overloaded_error unavailable service_unavailable
    serviceunavailableexception server_overloaded"""

#: By the code, or else the type, of an error that an upstream sent in its stream: where nothing was sent yet, the status says
#: whether asking again helps. In lower case. All others are the upstream's fault.
_STREAM_ANSWERS: dict[str, _ErrorShape] = {
    "context_length_exceeded": _ErrorShape(400, "invalid_request_error", None),
    "exceed_context_size_error": _ErrorShape(400, "invalid_request_error", None),
    "insufficient_quota": _ErrorShape(429, "insufficient_quota", None),
    **dict.fromkeys(_TOO_MANY.split(), _ErrorShape(429, "rate_limit_error", None)),
    **dict.fromkeys(_OVERLOADED.split(), _ErrorShape(503, "overloaded_error", None)),
    "invalid_request_error": _ErrorShape(400, "invalid_request_error", None),
    # Of the content, which no repetition changes.
    **dict.fromkeys(map(str.lower, FILTERED_CODES), _ErrorShape(400, "invalid_request_error", None)),
    # Statuses, as those servers name them that have begun to answer with 200.
    "400": _ErrorShape(400, "invalid_request_error", None),
    "413": _ErrorShape(413, "invalid_request_error", None),
    "422": _ErrorShape(422, "invalid_request_error", None),
    "429": _ErrorShape(429, "rate_limit_error", None),
    "503": _ErrorShape(503, "overloaded_error", None),
    "529": _ErrorShape(503, "overloaded_error", None),
}

#: How servers call a prompt that does not fit: OpenAI's word, and llama.cpp's, which is a type as well.
TOO_LONG_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})

#: The type that goes with a status where the error names none; else 4xx are the request's fault and 5xx the server's.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout",
    429: "rate_limit_error",
    504: "timeout",
}

_FALLBACK_TYPES = ("invalid_request_error", "server_error")
_INTERNAL = {
    "message": "internal error; the server's log says more",
    "type": "server_error",
    "param": None,
    "code": "internal_error",
}


def encode_error(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """The answer that tells a caller of *error*: status, extra headers, body. Of an error not ours it tells nothing but 500."""
    status, told = tell(error)
    return status, headers_of(error, status), msgspec.json.encode({"error": told})


def headers_of(error: BaseException, status: int) -> dict[str, str]:
    """Return the extra headers of the response that reports *error* with *status*."""
    headers = {}
    if isinstance(error, HTTPError) and error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(max(0.0, min(error.retry_after, 1e9))))
    if status == 401:
        headers["www-authenticate"] = "Bearer"  # RFC 9110 section 11.6.1
    return headers


def error_event(error: BaseException) -> bytes:
    """The same object as an event of a stream; after it comes neither a finish reason nor [DONE]."""
    return b"data: " + msgspec.json.encode({"error": tell(error)[1]}) + b"\n\n"


def tell(error: BaseException) -> tuple[int, dict[str, str | None]]:
    """Return the status that *error* is answered with, and what is said of it: ``message``, ``type``, ``param``, ``code``."""
    if not isinstance(error, ProviderError):
        return 500, _INTERNAL
    row = next(_ANSWERS[cls] for cls in type(error).__mro__ if cls in _ANSWERS)
    if isinstance(error, StreamError):
        row = _stream_answer(error) or row
    status = row.status or _own_status(error)
    told = {
        "message": for_callers(error),
        "type": row.type or _own_type(error) or _TYPES.get(status) or _FALLBACK_TYPES[status >= 500],
        "param": "model" if isinstance(error, ModelNotFoundError) else getattr(error, "param", None),
        "code": row.code or _own_code(error),
    }
    return status, told


def _stream_answer(error: StreamError) -> _ErrorShape | None:
    """Return how an error that an upstream sent in its stream is answered; None for what only this server's operator can
    repair, and for all that is the upstream's fault."""
    code = error.code or ""
    if code in KEY_CODES or code in MODEL_CODES:
        return None
    by_type = None if code.isdecimal() else _STREAM_ANSWERS.get((error.type or "").lower())
    known = _STREAM_ANSWERS.get(code.lower()) or by_type
    return known or (_STREAM_ANSWERS["429"] if error.retryable and says_too_many(error.problem[:2000]) else None)


def _own_status(error: ProviderError) -> int:
    status = getattr(error, "status", None)
    return status if status is not None and 400 <= status <= 599 else 502


def _own_type(error: ProviderError) -> str | None:
    own: str | None = getattr(error, "type", None)
    return "invalid_request_error" if own in TOO_LONG_CODES else own


def _own_code(error: ProviderError) -> str | None:
    if isinstance(error, TimeoutError):
        return f"{error.clock}_timeout"
    code: str | None = getattr(error, "code", None)
    if code in TOO_LONG_CODES:
        return "context_length_exceeded"  # by which clients know that they must shorten the conversation
    return code or ("upstream_error" if isinstance(error, StreamError) else None)


#: What an upstream holds against this server, not against the caller: who calls can do nothing about it.
_OPERATORS_FAULT = {
    401: "it refused this server's API key",
    402: "it wants this server's account to be paid",
    403: "it forbids this server's API key what was asked",
    404: "it does not have the model or the address that this server's configuration names",
    405: "it does not take requests at the address that this server's configuration names",
    407: "the proxy on the way to it refused this server's credentials",
    410: "the model or the address that this server's configuration names is gone",
    421: "it does not take requests at the address that this server's configuration names",
}
#: A rejection of the content, or of what is asked for, may bear one of those statuses too, and concerns the caller.
_CALLERS_CODES = FILTERED_CODES | {"unsupported_endpoint"}


def as_gateway_error(error: StatusError) -> StatusError:
    """An upstream's answer as this server's callers should see it: what is the operator's fault becomes a 502 with the code
    ``upstream_<status>`` and none of the upstream's words, the cause attached; anything else is returned as it is."""
    status = error.status
    if status in (400, 412):  # as some servers answer where others say 401 or 402
        status = 401 if error.code in KEY_CODES else 402 if error.code in UNPAID_CODES else status
    fault = _OPERATORS_FAULT.get(status)
    if fault is None or error.code in _CALLERS_CODES:
        return error
    shown = StatusError(
        f"the upstream answered {error.status}: {fault}; only this server's operator can repair that",
        status=502,
        type="server_error",
        code=f"upstream_{error.status}",
        partial=error.partial,
        body=error.body,
        request_id=error.request_id,
    )
    shown.retryable = False
    shown.__cause__ = error
    return shown
