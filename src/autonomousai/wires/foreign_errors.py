"""Errors that strangers send, read: bytes -> `ProviderError`. Knows no network and no server.

Any common shape is taken, plain text, HTML, nothing. What is made of that is bounded, one line, and free of keys. How errors
are written is in `wires/errors.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..errors import (
    ANSWERED,
    FILTERED_CODES,
    KEY_CODES,
    MODEL_CODES,
    PERMANENT_CODES,
    SERVERS_FAULT,
    HTTPError,
    StatusError,
    StreamError,
    is_retryable,
)
from ..late import late_pattern
from .error_words import code_in_words, says_busy
from .json import decode
from .redaction import one_line, redact, without_markup
from .waits import wait_in_error, wait_in_headers

MAX_BODY = 64 * 1024  # bytes of a foreign error that are looked at and kept
MAX_MESSAGE = 500  # characters of a foreign message that are shown
MAX_NAME = 200  # characters of a foreign type, code, param or request id

# ---- the shapes that errors come in -----------------------------------------------------------------------------------

#: Where vendors put an error, or the news that there is none, into documents that come with a status of success: beside the
#: choices, and in place of them.
_BESIDE_CHOICES = ("base_resp", "baseResp", "BaseResp", "header")
_VENDORS_WRAPPERS = (*_BESIDE_CHOICES, "Response", "status", "fault")

#: Where a document holds the error proper, or a list of which the first speaks for all.
_WRAPPERS = ("error", "errors", "detail", "message", *_VENDORS_WRAPPERS, "Error", "cause", "x_groq")

#: What an error object says, and under which keys (the first that is there counts; the innermost object wins).
_KEYS = {
    "message": (
        *("message", "error_description", "detail", "msg", "Message", "title", "reason", "error"),
        *("details", "faultstring", "err", "exception"),
        *("status_msg", "error_msg", "errorMsg", "err_msg", "errmsg", "errorMessage", "error_message", "ErrorMsg"),
    ),
    "type": ("type", "error_type", "status", "__type"),
    "code": (
        "code",
        "error_code",
        "status_code",
        "Code",
        "errorCode",
        "err_code",
        "errcode",
        "ErrorCode",
        "statusCode",
        "errorcode",
        "http_status_code",
        "http_code",
    ),
    "param": ("param", "loc", "field"),
}

#: Codes that stay, whatever the words say.
_KNOWN_CODES = PERMANENT_CODES | MODEL_CODES | KEY_CODES | {"rate_limit_exceeded", "unsupported_parameter", "unsupported_value"}
#: What the words say counts more than a code of the vendor's own: by these codes gateways and agents know what to do.
_OVER_VENDORS = frozenset({"context_length_exceeded", "insufficient_quota"})

#: A code, or a status, of another server's answer in the words of one that passes it on, as OpenAI's and LiteLLM's clients
#: print it: ``Error code: 400 - {'error': {… 'code': 'content_filter'}}``.
_CODE_IN_WORDS = late_pattern(rf"""['"](?:code|type)['"]: ?['"]({"|".join(sorted(PERMANENT_CODES))})['"]""")
#: Where Pydantic shows what was sent, whose words are the caller's.
_SENT = late_pattern(r"""['"]input['"]: |\binput_value=""")
_STATUS_IN_WORDS = late_pattern(r"\b(?:Error code|status code|HTTP)[: ]+([45][0-9]{2})\b")


class _ForeignError(msgspec.Struct, frozen=True):
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
            obj = _held_by(obj)
        else:
            return


def _held_by(layer: dict[str, Any]) -> Any:
    """The error, or the list of errors, that an object wraps: as it is, written as text of JSON, or, with those who pass on the
    requests of others, in the words of the server that was asked."""
    metadata = layer.get("metadata")
    if isinstance(metadata, dict) and (raw := metadata.get("raw")):
        return _embedded(raw) or raw
    for key in _WRAPPERS:
        if held := _embedded(layer.get(key)):
            return held
    return None


def _embedded(value: Any) -> Any:
    """An object or a list that *value* is, or is the JSON text of; None where it is none."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = decode(value.encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict | list) else None


def _said(name: str, value: Any) -> str | None:
    """A field's value as text, None where it says nothing: ``"type": "error"`` does not, nor does a numeric ``status``."""
    if name == "param" and isinstance(value, list):  # ["body", "messages", 0]
        value = ".".join(str(place) for place in value if place != "body")
    if isinstance(value, int) and not isinstance(value, bool) and name == "code":
        value = f"{value:.0f}" if abs(value) < 1_000_000 else None
    if not isinstance(value, str) or not value.strip() or (name == "type" and value == "error"):
        return None
    return value


def _read_fault(obj: Any) -> _ForeignError:
    fault = _ForeignError()
    for layer in _layers(obj):
        for name, keys in _KEYS.items():
            said = next((said for key in keys if (said := _said(name, layer.get(key)))), None)
            if said:
                fault = msgspec.structs.replace(fault, **{name: said})
    return msgspec.structs.replace(fault, code=_name_code(fault))


def _name_code(fault: _ForeignError) -> str | None:
    """The code that says most: llama-server names its reason in ``type`` and repeats the status as ``code``; others only
    say in words what is wrong, or have another server's answer in their words."""
    if fault.type in PERMANENT_CODES or fault.type in MODEL_CODES:
        return fault.type
    if not fault.message or fault.code in _KNOWN_CODES:
        return fault.code
    words = _SENT.split(fault.message[:2000], maxsplit=1)[0]
    code = code_in_words(words)
    if not (fault.code is None or _says_nothing(fault.code)):
        return code if code in _OVER_VENDORS else fault.code
    if code is not None:
        return code
    found = _CODE_IN_WORDS.search(words) or (None if fault.code else _STATUS_IN_WORDS.search(words))
    return fault.code if found is None else found[1]


def _says_nothing(code: str) -> bool:
    """Whether *code* says of an error no more than its status: a number, a sentence, or the name of all refusals."""
    return code.isdecimal() or " " in code or code == "invalid_request_error"


def _clean(fault: _ForeignError, secrets: Iterable[str]) -> _ForeignError:
    """The same, fit to be shown: redacted before it is cut, or half a key would stay."""
    limits = (MAX_MESSAGE, MAX_NAME, MAX_NAME, MAX_NAME)
    return _ForeignError(
        *(
            said and one_line(redact(said[:MAX_BODY], secrets), limit)
            for said, limit in zip(msgspec.structs.astuple(fault), limits, strict=True)
        )
    )


# ---- an answer of 400 or above ----------------------------------------------------------------------------------------

#: By the status, or by the code of a 400.
_HINTS: dict[int | str, str] = {
    "invalid_api_key": "check the API key",
    401: "check the API key",
    403: "check what the API key may do",
    404: "check base_url and the model's name",
    405: "check base_url: this address does not take such requests",
    407: "put the proxy's user and password into the proxy URL",
    413: "send less: shorter messages or smaller images",
    501: "it does not take such requests: check the address, and what is asked for",
}

#: What a server says of a further try, in the header that OpenAI's clients heed.
_SHOULD_RETRY = {"true": True, "false": False}
#: Statuses of a refusal that may be for a while, by its words; 498 is Groq's for want of capacity.
_MAYBE_BUSY = frozenset({400, 498})
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
    text = body[:MAX_BODY].decode("utf-8", "replace").removeprefix("\ufeff")
    document = _load(text)
    fault = _clean(_read_body(document, text), secrets)
    retry_after = wait_in_headers(named, now)
    if retry_after is None:
        retry_after = wait_in_error(_layers(document), fault.message, now)
    request_id = next((one_line(named[name], MAX_NAME) for name in _REQUEST_IDS if named.get(name)), None)
    error = StatusError(
        _describe(status, _with_place(fault, document)),
        advice="" if status >= 500 and _ADVICE.search(fault.message or "") else _hint(status, fault.code, retry_after),
        status=status,
        retry_after=retry_after,
        type=fault.type,
        code=fault.code,
        param=fault.param,
        body=redact(text, secrets),
        request_id=request_id,
    )
    if status in _MAYBE_BUSY and says_busy((fault.message or "")[:2000]):
        error.retryable = True
    if (told := named.get("x-should-retry", "").strip().lower()) in _SHOULD_RETRY:
        error.retryable = _SHOULD_RETRY[told]
    return error


def _load(text: str) -> Any:
    """The document that *text* is, or that an event stream or an XML document in its place has; None where it is no JSON."""
    try:
        return decode(text.encode())
    except (ValueError, RecursionError):
        pass
    if _EVENTS.match(text) and (said := [data.strip() for data in _DATA.findall(text)]):
        return next((document for data in said if (document := _embedded(data)) is not None), "\n".join(said))
    if text.lstrip()[:5] in ("<?xml", "<Erro"):
        return {name.lower(): said for name, said in _XML.findall(text)} or None
    return None


#: An event stream in the place of an error, its data, and what an error in XML says (Amazon's, Azure's).
_EVENTS = late_pattern(r"\s*(?:event|id|data|retry)?:")
_DATA = late_pattern(r"^data:(.*)$", re.MULTILINE)
_XML = late_pattern(r"<(Message|Code)>([^<]+)<", re.IGNORECASE)


def _read_body(document: Any, text: str) -> _ForeignError:
    if document is None and text.strip() != "null":
        return _ForeignError(message=without_markup(text))
    fault = _read_fault(document)
    return fault if fault.message else msgspec.structs.replace(fault, message=text if document else "")


def _with_place(fault: _ForeignError, document: Any) -> str | None:
    """Return an error's words after the field that they are about, where the words of a validator leave that out."""
    if not (fault.message and fault.param) or fault.param in fault.message:
        return fault.message
    is_validators = any("loc" in layer for layer in _layers(document))
    return f"{fault.param}: {fault.message}" if is_validators else fault.message


def _describe(status: int, message: str | None) -> str:
    from http import HTTPStatus  # noqa: PLC0415  most answers are no errors

    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    answer = f"{status} {phrase}".strip()
    said = f": {message}" if message and message.casefold() not in (answer.casefold(), phrase.casefold()) else ""
    return f"{ANSWERED} {answer}{said}"


#: A server that says so itself has said when, or that it never helps: those of this package do.
_ADVICE = late_pattern(r"\b(?:ask|try) again\b|\boperator can (?:mend|repair) that\b", re.IGNORECASE)


def advice_to_wait(seconds: float) -> str:
    """Return what a server advises that wants to be left alone for so long."""
    return f"try again in {seconds:.3g} s" if seconds < 100 else f"try again in {seconds:.0f} s"


def _hint(status: int, code: str | None, retry_after: float | None) -> str:
    if retry_after is not None:
        return advice_to_wait(retry_after)
    if code in FILTERED_CODES:
        return ""
    if status == 429:
        return "" if code in PERMANENT_CODES else "wait before trying again"
    if status == 400 and code in _HINTS:
        return _HINTS[code]
    return _HINTS.get(status, SERVERS_FAULT if status >= 500 else "")


def redact_error(error: HTTPError, secrets: Iterable[str]) -> None:
    """Redact all that *error* says, as far as a server's words may be in it."""
    secrets = tuple(secrets)
    for name in ("problem", "message", "type", "code", "param", "body", "request_id"):
        said = getattr(error, name, None)
        if isinstance(said, str):
            setattr(error, name, redact(said, secrets))
    error.args = tuple(redact(arg, secrets) if isinstance(arg, str) else arg for arg in error.args)


# ---- an error inside a stream -----------------------------------------------------------------------------------------

#: Types that say that the same request would fail again.
_FINAL_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "BadRequestError",
    }
)


def error_in_event(obj: dict[str, Any], *, event: str = "message") -> StreamError | None:
    """The error that an event of a stream carries, or None. *event*: the event's type."""
    if not _is_error(obj, event):
        return None
    fault = _clean(_read_fault(obj), ())
    return StreamError(
        f"the server sent an error inside the stream: {fault.message or 'it does not say which'}",
        status=200,
        retryable=_may_pass(fault, words=not obj.get("error")),
        type=fault.type,
        code=fault.code,
        param=fault.param,
        retry_after=wait_in_error(_layers(obj), fault.message, time.time),
    )


def _is_error(obj: dict[str, Any], event: str) -> bool:
    if event == "error" or obj.get("error") or obj.get("type") == "error" or obj.get("object") == "error":
        return True
    if any(_reports_failure(wrapped) for name in _BESIDE_CHOICES if isinstance(wrapped := obj.get(name), dict)):
        return True
    if isinstance(groq := obj.get("x_groq"), dict) and groq.get("error"):
        return True
    if isinstance(obj.get("choices"), list):
        return False
    if obj.get("error") == {} and "object" not in obj:
        return True  # it says nothing of the error, but it is nothing else
    if "choices" not in obj and (obj.get("errors") or obj.get("detail")):
        return True
    if event != "message":  # an event of a type of its own may count in codes what it likes, but for those of HTTP
        return isinstance(obj.get("message"), str) and any(
            isinstance(code := obj.get(key), int) and code >= 400 for key in ("code", "status", "status_code")
        )
    return any(map(_reports_failure, _layers(obj)))


def _reports_failure(said: dict[str, Any]) -> bool:
    """Whether an object says that a request failed: by a code, a status or a word, and with a message; or by ``success``."""
    if said.get("success") is False:
        return True
    if not any(isinstance(said.get(key), str) for key in _KEYS["message"]):
        return False
    status = said.get("status")
    if isinstance(status, str):
        return status.strip().lower() in _FAILED
    return any(_is_failure(said.get(key)) for key in ("status", *_KEYS["code"]))


#: What a ``status`` says of a failure, in letters.
_FAILED = frozenset({"error", "fail", "failed", "failure"})

#: Codes that say that all is well.
_FINE = frozenset({"", "0", "ok", "success", "succeeded", "successful", "none", "null"})


def _is_failure(code: Any) -> bool:
    if isinstance(code, bool) or not isinstance(code, int | str):
        return False
    said = str(code).strip().lower()
    return not (said in _FINE or (len(said) == 3 and said.startswith("2") and said.isdecimal()))


#: Words by which a failure without a code of OpenAI's or of HTTP's says that the same request would fail again, in English and
#: Chinese; and those which say that it is a matter of time after all.
_PERMANENT_WORDS = late_pattern(
    r"api[ _-]?key|unauthori[sz]ed|authenticat|authoriz|login fail|permission|forbidden|not allowed|denied"
    r"|balance|arrears|overdue|insufficient (?:fund|quota|credit)|billing|invalid|illegal|malformed|param"
    r"|not (?:found|exist|support)|unsupported|no such|sensitive|token limit|too long|context"
    r"|鉴权|认证|密钥|余额|欠费|无权|权限|参数|不存在|敏感|不支持",
    re.IGNORECASE,
)
_PASSING_WORDS = late_pattern(
    r"rate.?limit|too many|\b[rtq]p[ms]\b|concurren|busy|overload|later|timeout|timed out|temporar|unavailable"
    r"|繁忙|限流|频率|超时|稍后",
    re.IGNORECASE,
)


def _may_pass(fault: _ForeignError, *, words: bool) -> bool:
    """Whether asking again can help; yes where nothing is said against it, as the request itself had been accepted. *words*:
    the message is all that can tell, as codes are the vendor's own."""
    if fault.code in PERMANENT_CODES or fault.type in _FINAL_TYPES or fault.code in _FINAL_TYPES:
        return False
    if fault.code is not None and fault.code.isdecimal() and len(fault.code) == 3 and fault.code[0] in "45":
        return is_retryable(int(fault.code))
    if not words:
        return True
    said = f"{fault.code or ''} {fault.message or ''}"[:2000]
    return not _PERMANENT_WORDS.search(said) or bool(_PASSING_WORDS.search(said))
