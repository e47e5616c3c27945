"""Error objects of every wire, read and written: bytes <-> `ProviderError`. Knows no network and no server.

Reading takes what a stranger sent: any common shape, plain text, HTML, nothing. What it makes of that is bounded, one line,
and free of keys. Writing knows one shape alone, OpenAI's: ``{"error": {"message", "type", "param", "code"}}``.
"""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from ..errors import (
    PERMANENT_CODES,
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
    is_retryable,
)
from .nesting import decode

MAX_BODY = 64 * 1024  # bytes of a foreign error that are looked at and kept
MAX_MESSAGE = 500  # characters of a foreign message that are shown
MAX_NAME = 200  # characters of a foreign type, code, param or request id

# ---- what a stranger says, made safe to show --------------------------------------------------------------------------

#: What looks like a credential, and what is left of it. Words that follow "bearer" in plain sentences are not keys.
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"\b(bearer)\s+(?!(?:auth\w*|tokens?|schemes?|keys?|or|and|is|in|of|not|was|header)\b)[^\s\"',;)]+", re.IGNORECASE
        ),
        r"\1 ***",
    ),
    (re.compile(r"\b(basic)\s+(?!auth)[A-Za-z0-9+/]{8,}={0,2}(?![A-Za-z0-9])", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\bsk-[\w*.-]{4,}|\b(?:gsk_|hf_|xai-)[\w*-]{16,}|\bAIza[\w-]{20,}"), "***"),
    (re.compile(r"([?&](?:api[-_]?key|key|token)=)[^&\s\"']+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(://)[^/@\s\"']+@"), r"\1***@"),
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_CODE_OPENS = re.compile(r"<(?:script|style)\b", re.IGNORECASE)
_CODE_CLOSES = re.compile(r"</(?:script|style)\s*>", re.IGNORECASE)
_HTML = re.compile(r"\s*<(?:!doctype\s|html|head|body|title|h1|p\b|center)", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* with ``***`` in the place of each of the *secrets* (of eight characters or more: shorter ones are words of
    the text), and of all that looks like a credential."""
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    for pattern, rest in _CREDENTIALS:
        text = pattern.sub(rest, text)
    return text


#: Where an upstream lives, as our own messages and the TLS library's name it.
_ADDRESSES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"'?\bhttps?://[^\s;,']*[^\s;,':]'?"), "the upstream"),
    (re.compile(r"\bhost \S+:\d+\b"), "its host"),
    (re.compile(r"(not valid for) '[^']*'"), r"\1 its host"),
)


#: What is said to who holds the provider, and what is said to who asked this server: there the server is an upstream, and its
#: clocks are the operator's.
_REWORDED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^the server answered "), "the upstream answered "),
    (re.compile(r"the fault is the server's: ask again later$"), "the fault is the upstream's: ask again later"),
    (
        re.compile(r"; if the server needs longer, raise it with timeout=.*$"),
        "; ask again, or have this server's operator raise it",
    ),
    (re.compile(r", or use \.partial$"), ""),
)


def for_callers(error: ProviderError) -> str:
    """The message of *error* as this server's callers may read it: in words for them, and without the place where an upstream
    lives, which stands in what we say of connections, before an answer. What an upstream answers is its own to word."""
    text = redact(str(error))
    for pattern, rest in _REWORDED:
        text = pattern.sub(rest, text)
    if isinstance(error, ConfigError) or (isinstance(error, HTTPError) and error.status is None):
        for pattern, rest in _ADDRESSES:
            text = pattern.sub(rest, text)
    return text.replace("the server at the upstream", "the upstream")


def _line(text: str, limit: int) -> str:
    """One printable line of at most *limit* characters, without the half characters that header values may hold."""
    line = _CONTROL.sub(" ", text).strip().encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _from_html(page: str) -> str:
    """The words of an HTML page: its title, or else its text without tags, scripts and styles."""
    title = _TITLE.search(page)
    if title and title[1].strip():
        return html.unescape(title[1])
    first, *scripts = _CODE_OPENS.split(page)
    visible = [first, *(_CODE_CLOSES.split(script, maxsplit=1)[1] for script in scripts if _CODE_CLOSES.search(script))]
    return html.unescape(_TAG.sub(" ", " ".join(visible)))


# ---- the shapes that errors come in -----------------------------------------------------------------------------------

#: Where a document holds the error proper, or a list of which the first speaks for all.
_WRAPPERS = ("error", "errors", "detail", "message")

#: What an error object says, and under which keys (the first that is there counts; the innermost object wins).
_KEYS = {
    "message": ("message", "error_description", "detail", "msg", "Message", "title", "reason", "error"),
    "type": ("type", "error_type", "status"),
    "code": ("code", "error_code"),
    "param": ("param", "loc", "field"),
}

#: How servers that give no code say that a prompt is too long.
_TOO_LONG = re.compile(
    r"maximum context length|context (?:length|window|size)\b.{0,60}\bexceed|exceed\w*\b.{0,80}\bcontext (?:length|window|size)"
    r"|prompt is too long|input token count .{0,40}exceeds",
    re.IGNORECASE,
)


class _Fault(NamedTuple):
    """What an error object says of itself."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None


def _layers(obj: Any) -> Iterator[dict[str, Any]]:
    """The objects of an error document, from the outermost to the one that holds the message. Six are enough for all known."""
    for _ in range(6):
        if isinstance(obj, list):
            obj = obj[0] if obj else None
        elif isinstance(obj, str):
            yield {"message": obj}
            return
        elif isinstance(obj, dict):
            yield obj
            obj = next((obj[key] for key in _WRAPPERS if isinstance(obj.get(key), dict | list) and obj[key]), None)
        else:
            return


def _said(name: str, value: Any) -> str | None:
    """A field's value as text, None where it says nothing: ``"type": "error"`` does not, nor does a numeric ``status``."""
    if name == "param" and isinstance(value, list):  # ["body", "messages", 0]
        value = ".".join(str(place) for place in value if place != "body")
    if isinstance(value, int) and not isinstance(value, bool) and name == "code":
        value = f"{value:.0f}" if abs(value) < 1_000_000 else None
    if not isinstance(value, str) or not value.strip() or (name == "type" and value == "error"):
        return None
    return value


def _read_fault(obj: Any) -> _Fault:
    fault = _Fault()
    for layer in _layers(obj):
        for name, keys in _KEYS.items():
            said = next((said for key in keys if (said := _said(name, layer.get(key)))), None)
            if said:
                fault = fault._replace(**{name: said})
    return fault._replace(code=_name_code(fault))


def _name_code(fault: _Fault) -> str | None:
    """The code that says most: llama-server names its reason in ``type`` and repeats the status as ``code``; others only
    say in words that a prompt is too long."""
    if fault.type in PERMANENT_CODES:
        return fault.type
    if (fault.code is None or fault.code.isdecimal()) and fault.message and _TOO_LONG.search(fault.message[:2000]):
        return "context_length_exceeded"
    return fault.code


def _clean(fault: _Fault, secrets: Iterable[str]) -> _Fault:
    """The same, fit to be shown: redacted before it is cut, or half a key would stay."""
    limits = (MAX_MESSAGE, MAX_NAME, MAX_NAME, MAX_NAME)
    return _Fault(*(said and _line(redact(said[:MAX_BODY], secrets), limit) for said, limit in zip(fault, limits, strict=True)))


# ---- an answer of 400 or above ----------------------------------------------------------------------------------------

_HINTS = {
    401: "check the API key",
    403: "check what the API key may do",
    404: "check base_url and the model's name",
    405: "check base_url: this address does not take such requests",
    407: "put the proxy's user and password into the proxy URL",
    413: "send less: shorter messages or smaller images",
}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_REQUEST_IDS = ("x-request-id", "request-id")


def read_error(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Iterable[str] = (),
    now: Callable[[], float] = time.time,
) -> StatusError:
    """The error that an HTTP answer of *status* is, whatever its body looks like; never raises.

    ``secrets``: what must not appear in it, such as the key that was sent. ``now``: seconds since the epoch, for a
    ``Retry-After`` that is a date.
    """
    secrets = tuple(secrets)
    named = {name.lower(): value for name, value in headers.items()}
    text = body[:MAX_BODY].decode("utf-8", "replace")
    fault = _clean(_read_body(text), secrets)
    retry_after = _retry_after(named, now)
    request_id = next((_line(named[name], MAX_NAME) for name in _REQUEST_IDS if named.get(name)), None)
    return StatusError(
        _describe(status, fault.message, retry_after),
        status=status,
        retry_after=retry_after,
        type=fault.type,
        code=fault.code,
        param=fault.param,
        body=redact(text, secrets),
        request_id=request_id,
    )


def _read_body(text: str) -> _Fault:
    try:
        document = decode(text.encode())
    except (ValueError, RecursionError):
        message = _from_html(text) if _HTML.match(text) else text
        return _Fault(message=message)
    fault = _read_fault(document)
    return fault if fault.message else fault._replace(message=text if document else "")


def _describe(status: int, message: str | None, retry_after: float | None) -> str:
    phrase = _PHRASES.get(status, "")
    answer = f"{status} {phrase}".strip()
    said = f": {message}" if message and message.casefold() not in (answer.casefold(), phrase.casefold()) else ""
    hint = "" if message and status >= 500 and _ADVICE.search(message) else _hint(status, retry_after)
    return f"the server answered {answer}{said}{'; ' + hint if hint else ''}"


#: A server that says so itself has said when, or that it helps nobody: ours do.
_ADVICE = re.compile(r"\b(?:ask|try) again\b|\boperator can mend that\b", re.IGNORECASE)


def _hint(status: int, retry_after: float | None) -> str:
    if retry_after is not None:
        return f"ask again in {retry_after:.3g} s"
    if status == 429:
        return "wait before asking again"
    return _HINTS.get(status, "the fault is the server's: ask again later" if status >= 500 else "")


_SECONDS = re.compile(r"\s*([0-9]{1,10}(?:\.[0-9]{1,9})?)\s*", re.ASCII)


def _retry_after(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Seconds to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date (0 where it is past); None if unsaid."""
    if match := _SECONDS.fullmatch(headers.get("retry-after-ms", "")):
        return float(match[1]) / 1000
    said = headers.get("retry-after", "")
    if match := _SECONDS.fullmatch(said):
        return float(match[1])
    if not said:
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  hardly anybody sends a date, and it is slow to come

    try:
        date = parsedate_to_datetime(said)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# ---- an error inside a stream -----------------------------------------------------------------------------------------

#: Types that say that the same request would fail again.
_FINAL_TYPES = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error", "BadRequestError"}
)


def error_in_event(obj: dict[str, Any], *, event: str = "message") -> StreamError | None:
    """The error that an event of a stream carries, or None. *event*: the event's type."""
    if not _is_error(obj, event):
        return None
    fault = _clean(_read_fault(obj), ())
    return StreamError(
        f"the server sent an error inside the stream: {fault.message or 'it does not say which'}",
        status=200,
        retryable=_may_pass(fault),
        type=fault.type,
        code=fault.code,
        param=fault.param,
    )


def _is_error(obj: dict[str, Any], event: str) -> bool:
    if event == "error" or obj.get("error") or obj.get("type") == "error" or obj.get("object") == "error":
        return True
    if "choices" in obj:
        return False
    if obj.get("error") == {} and "object" not in obj:
        return True  # it says nothing of the error, but it is nothing else
    failed = any(isinstance(code := obj.get(key), int) and code >= 400 for key in ("code", "status", "status_code"))
    return bool(obj.get("errors") or obj.get("detail")) or (failed and isinstance(obj.get("message"), str))


def _may_pass(fault: _Fault) -> bool:
    """Whether asking again can help; yes where nothing is said against it, as the request itself had been accepted."""
    if fault.code in PERMANENT_CODES or fault.type in _FINAL_TYPES:
        return False
    numeric = fault.code is not None and fault.code.isdecimal() and len(fault.code) == 3
    return is_retryable(int(fault.code or 0)) if numeric else True


# ---- what the server's own callers get --------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """How a class of errors is answered. A status, type or code of None is the error's own."""

    status: int | None
    type: str | None
    code: str | None


#: By class; a subclass is answered as the nearest class above it.
_ANSWERS: dict[type[BaseException], _Answer] = {
    ModelNotFoundError: _Answer(404, "invalid_request_error", "model_not_found"),
    InvalidMessagesError: _Answer(400, "invalid_request_error", "invalid_value"),
    ConfigError: _Answer(500, "server_error", "config_error"),
    ConnectError: _Answer(502, "server_error", "upstream_unreachable"),
    TimeoutError: _Answer(504, "timeout", None),
    StreamError: _Answer(502, "server_error", None),
    IncompleteStreamError: _Answer(502, "server_error", "upstream_incomplete"),
    HTTPError: _Answer(None, None, None),
    ProviderError: _Answer(500, "server_error", "provider_error"),
}

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


def write_error(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """The answer that tells a caller of *error*: status, extra headers, body. Of an error not ours it tells nothing but 500."""
    status, told = _tell(error)
    headers = {}
    if isinstance(error, HTTPError) and error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(max(0.0, min(error.retry_after, 1e9))))
    return status, headers, msgspec.json.encode({"error": told})


def error_event(error: BaseException) -> bytes:
    """The same object as an event of a stream; after it comes neither a finish reason nor [DONE]."""
    return b"data: " + msgspec.json.encode({"error": _tell(error)[1]}) + b"\n\n"


def _tell(error: BaseException) -> tuple[int, dict[str, str | None]]:
    if not isinstance(error, ProviderError):
        return 500, _INTERNAL
    row = next(_ANSWERS[cls] for cls in type(error).__mro__ if cls in _ANSWERS)
    status = row.status or _own_status(error)
    told = {
        "message": for_callers(error),
        "type": row.type or getattr(error, "type", None) or _TYPES.get(status) or _FALLBACK_TYPES[status >= 500],
        "param": "model" if isinstance(error, ModelNotFoundError) else getattr(error, "param", None),
        "code": row.code or _own_code(error),
    }
    return status, told


def _own_status(error: ProviderError) -> int:
    status = getattr(error, "status", None)
    return status if status is not None and 400 <= status <= 599 else 502


def _own_code(error: ProviderError) -> str | None:
    if isinstance(error, TimeoutError):
        return f"{error.clock}_timeout"
    code: str | None = getattr(error, "code", None)
    return code or ("upstream_error" if isinstance(error, StreamError) else None)


#: What an upstream holds against this server, not against the caller: who calls can do nothing about it.
_OPERATORS_FAULT = {
    401: "it refused this server's API key",
    402: "it wants this server's account to be paid",
    403: "it forbids this server's API key what was asked",
    404: "it does not have the model or the address that this server's configuration names",
    405: "it does not take requests at the address that this server's configuration names",
    407: "the proxy on the way to it refused this server's credentials",
}
#: A rejection of the content may bear one of those statuses too, and concerns the caller.
_CONTENT_CODES = frozenset({"content_filter", "content_policy_violation"})


def as_gateway_error(error: StatusError) -> StatusError:
    """An upstream's answer as this server's callers should see it: what is the operator's fault becomes a 502 with the code
    ``upstream_<status>`` and none of the upstream's words, the cause attached; anything else is returned as it is."""
    fault = _OPERATORS_FAULT.get(error.status)
    if fault is None or error.code in _CONTENT_CODES:
        return error
    shown = StatusError(
        f"the upstream answered {error.status}: {fault}; only this server's operator can mend that",
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
