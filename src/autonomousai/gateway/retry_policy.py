"""What an upstream's error means for the rest of the route: tables, and nothing that acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final

from ..answer import Answer
from ..errors import (
    FILTERED_CODES,
    KEY_CODES,
    MODEL_CODES,
    OUT_OF_DESCRIPTORS,
    RETRYABLE_STATUSES,
    UNPAID_CODES,
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
)
from ..errors import TimeoutError as ClockError
from ..report import Attempt
from ..request import ChatRequest
from ..wires.errors import as_gateway_error, for_callers
from ..wires.foreign_errors import advice_to_wait
from ..wires.raw import UNSUPPORTED_ENDPOINT


class RetryDecision(Enum):
    """Where a request goes after an error."""

    ANSWER = auto()
    """To the caller: the error is the answer, and no other upstream would give another."""
    AGAIN = auto()
    """To the same upstream, after a while; then to the next."""
    UNREACHED = auto()
    """To the next upstream; to the same only where there is no other."""
    SILENT = auto()
    """To the next upstream: this one may have generated all the while, and would be silent for as long again."""
    NEXT = auto()
    """To the next upstream: this one will not change its mind."""
    TOO_LONG = auto()
    """To an upstream with a larger context."""


#: Codes that decide by themselves, whatever their status.
_CODES = {
    "context_length_exceeded": RetryDecision.TOO_LONG,
    "exceed_context_size_error": RetryDecision.TOO_LONG,
    **dict.fromkeys(FILTERED_CODES, RetryDecision.ANSWER),
    **dict.fromkeys(UNPAID_CODES | KEY_CODES | MODEL_CODES, RetryDecision.NEXT),
    "unsupported_parameter": RetryDecision.NEXT,
    "unsupported_value": RetryDecision.NEXT,
    "unsupported_image": RetryDecision.NEXT,
    "engine_busy": RetryDecision.NEXT,
    UNSUPPORTED_ENDPOINT: RetryDecision.NEXT,
    "answer_too_large": RetryDecision.ANSWER,  # it would be too large from any upstream
    OUT_OF_DESCRIPTORS: RetryDecision.ANSWER,  # the next upstream wants one too
}

#: Statuses that are neither retryable nor the caller's fault: the operator's key, address or model name at that upstream.
_OPERATORS = frozenset({401, 402, 403, 404, 405, 407, 410, 421})

#: One that says how much this upstream takes, of bytes, or of tokens in a minute (Groq): another may take more.
_TOO_MUCH_HERE: Final = 413


def classify(error: ProviderError) -> RetryDecision:
    """Where the request goes after *error*, as long as nothing was delivered."""
    if isinstance(error, InvalidMessagesError):
        return RetryDecision.ANSWER
    if not isinstance(error, HTTPError):
        return RetryDecision.NEXT
    if error.code in _CODES:
        return _CODES[error.code]
    if isinstance(error, ClockError):
        return RetryDecision.UNREACHED if error.clock == "connect" else RetryDecision.SILENT
    if error.retryable:
        return RetryDecision.AGAIN
    if error.status == _TOO_MUCH_HERE:
        return RetryDecision.NEXT
    if isinstance(error, StatusError) and 400 <= error.status < 500 and error.status not in _OPERATORS | RETRYABLE_STATUSES:
        return RetryDecision.ANSWER
    return RetryDecision.NEXT


def is_healthy(error: ProviderError) -> bool | None:
    """Whether the upstream is well by *error*: not, for what waiting can mend; yes, where it answered, if only to refuse or to
    ask for patience; None where the error says nothing of that, such as a fault of the configuration or too little time."""
    if not isinstance(error, HTTPError):
        return isinstance(error, InvalidMessagesError | ModelNotFoundError) or (
            None if isinstance(error, ConfigError) else False
        )
    if error.code == OUT_OF_DESCRIPTORS:
        return None
    if error.code in _CODES or (isinstance(error, StatusError) and (error.status < 500 or not error.retryable)):
        return True
    return False if error.retryable else None


#: Codes of refusals that say something of the request, and nothing of the upstream.
_OF_REQUESTS: Final = frozenset({"unsupported_parameter", "unsupported_value", "unsupported_image", UNSUPPORTED_ENDPOINT})


def would_fail_again(error: ProviderError) -> bool:
    """Return whether another request that came now would probably meet *error* too: an upstream that fails quickly must not
    look idle, or quick."""
    if isinstance(error, HTTPError) and error.code in _OF_REQUESTS:
        return False
    return classify(error) not in (RetryDecision.ANSWER, RetryDecision.TOO_LONG)


def retry_after_of(error: ProviderError) -> float | None:
    """Return the seconds that an upstream asks to be left alone, where it says so."""
    return error.retry_after if isinstance(error, HTTPError) else None


#: What an attempt's outcome is called, by the kind of its error.
_OUTCOMES: tuple[tuple[type[ProviderError], str], ...] = (
    (ConnectError, "connect_error"),
    (StatusError, "status"),
    (StreamError, "stream_error"),
    (IncompleteStreamError, "cut"),
    (ModelNotFoundError, "model_not_found"),
    (HTTPError, "reset"),
)


def describe(error: ProviderError) -> tuple[str, int | None]:
    """An attempt's outcome and its HTTP status."""
    status = error.status if isinstance(error, HTTPError) else None
    if isinstance(error, ClockError):
        return f"{error.clock}_timeout", status
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "error"), status


#: Statuses by which a server says that it does not have what counts tokens.
_NOT_THERE: Final = frozenset({404, 405, 501})


def cannot_be_counted(error: ProviderError) -> bool:
    """Return whether an upstream refused to count the tokens of a prompt because it cannot."""
    return isinstance(error, StatusError) and error.status in _NOT_THERE


def as_answer(error: ProviderError) -> ProviderError:
    """Return what the caller gets where *error* is the answer: itself, but for a shortage of this server's own."""
    if not isinstance(error, HTTPError) or error.code != OUT_OF_DESCRIPTORS:
        return error
    busy = StatusError(
        "the server is busy: it has as many connections as it may have; try again later",
        status=503,
        type="server_error",
        code="overloaded",
    )
    busy.__cause__ = error
    return busy


def unanswered(model: str, errors: Sequence[ProviderError], attempts: Sequence[Attempt], wait: float) -> ProviderError:
    """What the caller gets when no upstream answered: the first cause, with a status that is true of all of them."""
    if not errors:
        error: ProviderError = StatusError(
            f"every upstream of {model!r} is resting after failures; try again in {max(1, round(wait))} s",
            status=503,
            retry_after=max(1.0, wait),
            type="server_error",
            code="upstreams_unavailable",
        )
    elif len({describe(each) for each in errors}) == 1:
        error = errors[0]
        _tell_wait(error, _least_wait(errors))
    else:
        error = StatusError(
            f"no upstream of {model!r} answered; the first said: {for_callers(errors[0])}"[:1000],
            status=_common_status(errors),
            retry_after=_least_wait(errors),
            type="server_error",
            code="upstreams_failed",
        )
        error.__cause__ = errors[0]
    if isinstance(error, StatusError):
        error = as_gateway_error(error)
    if isinstance(error, HTTPError):
        error.attempts = tuple(attempts)
    return error


#: Statuses of an upstream that is well and has too much to do.
_OVERLOADED: Final = frozenset({429, 503, 529})


def _common_status(errors: Sequence[ProviderError]) -> int:
    """Return the status that is true of all of *errors*, which are of several kinds."""
    if all(isinstance(each, ClockError) for each in errors):
        return 504
    return 503 if all(isinstance(each, StatusError) and each.status in _OVERLOADED for each in errors) else 502


def _least_wait(errors: Sequence[ProviderError]) -> float | None:
    """Return the seconds after which the first of the upstreams wants to be asked again; None where none says so."""
    waits = [each.retry_after for each in errors if isinstance(each, HTTPError) and each.retry_after is not None]
    return min(waits, default=None)


def _tell_wait(error: ProviderError, seconds: float | None) -> None:
    """Let *error* say to wait for so long, also in words, where it says another number."""
    if isinstance(error, HTTPError) and seconds is not None and error.retry_after != seconds:
        if error.retry_after is not None and error.advice == advice_to_wait(error.retry_after):
            error.advise(advice_to_wait(seconds))
        error.retry_after = seconds


def is_prose(request: ChatRequest, answer: Answer) -> bool:
    """Return whether a continuation of *answer* makes sense: not in the middle of a tool call or of constrained JSON, nor where
    the wire has none, nor beside tools that the upstream itself runs."""
    if request.origin is not None and (not request.origin.continuable or request.origin.document.get("tools")):
        return False
    response_format = request.fields.get("response_format")
    constrained = isinstance(response_format, Mapping) and response_format.get("type") not in (None, "text")
    calls = request.fields.get("tools") or request.fields.get("functions")
    return not (constrained or calls or answer.calls or answer.refusal)


def has_only_thought(request: ChatRequest, answer: Answer) -> bool:
    """Return whether nothing but reasoning has come of *answer*: then any upstream may give all of it, with thoughts of its own
    behind those that broke off. Not where reasoning is signed, as in requests of other APIs."""
    return request.origin is None and not (answer.text or answer.calls or answer.refusal or answer.choices or answer.others)


def is_rescuable(error: ProviderError, request: ChatRequest, answer: Answer) -> bool:
    """Return whether the rest of *answer* may be looked for elsewhere after *error*.

    A rejection in mid-answer is part of the answer; before anything was delivered there is nothing to rescue; several choices
    at once cannot be separated again; and an answer that had ended has no rest.
    """
    if isinstance(error, HTTPError) and error.after_end:
        return False
    if not answer.deltas or answer.choices or request.fields.get("n") not in (None, 1):
        return False
    return classify(error) is not RetryDecision.ANSWER
