"""Every error that this package raises on purpose; this file imports nothing of the package.

    ProviderError
    ├── ModelNotFoundError  (also ValueError)      the caller's: names the known models
    ├── InvalidMessagesError (also ValueError)     the caller's: names the message and the field
    ├── ConfigError                                the operator's: names file, line or key
    └── HTTPError            the API request failed: .status (None before an answer), .retryable, .retry_after, .partial
        ├── ConnectError     no connection: DNS, refused, TLS, proxy
        ├── StatusError      an answer of 400 or above: .body (bounded), .request_id
        ├── TimeoutError     (also builtins.TimeoutError) .clock: connect | first_token | idle | total
        ├── StreamError      an error event inside a 200 stream, or an unreadable event
        └── IncompleteStreamError    the stream ended without evidence of its end

A message says what happened and what to do next; it never holds a key or a whole prompt.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, Literal

Clock = Literal["connect", "first_token", "idle", "total"]

#: Statuses that trying the same request again on the same upstream can mend. Other 5xx are added by rule, in `is_retryable`.
RETRYABLE_STATUSES = frozenset({408, 409, 424, 425, 429})

#: Codes of a filter that lets a prompt or an answer not pass, and of an account without money or quota, as vendors name them.
FILTERED_CODES = frozenset(
    {"content_filter", "content_policy_violation", "data_inspection_failed", "DataInspectionFailed"}
    | {"ResponsibleAIPolicyViolation", "moderation_blocked"}
)
UNPAID_CODES = frozenset(
    {"insufficient_quota", "exceeded_current_quota_error", "billing_not_active", "billing_hard_limit_reached", "Arrearage"}
    | {"budget_exceeded", "insufficient_user_quota", "pre_consume_token_quota_failed"}
)
#: Codes of a key, or of a place, that a server does not serve, and of a model that it does not have.
KEY_CODES = frozenset({"invalid_api_key", "InvalidApiKey", "unsupported_country_region_territory"})
MODEL_CODES = frozenset(
    {"model_not_found", "model_not_available", "model_not_supported", "model_decommissioned", "unsupported_model"}
    | {"unavailable_model", "unknown_model", "invalid_model", "OperationNotSupported", "DeploymentNotFound"}
)

#: Error codes that no repetition mends, whatever their status.
PERMANENT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", *FILTERED_CODES, *UNPAID_CODES})


#: The code of a connection that this machine could not make, for want of descriptors: no fault of the server.
OUT_OF_DESCRIPTORS = "out_of_descriptors"

#: What is wrong with a stream whose end nothing proves.
CUT = "the stream ended without a finish reason or other proof of its end: the answer may be cut"

#: What can be done with half an answer.
USE_PARTIAL = "try again, or use .partial"

#: How what is said of an answer begins, and whose fault a 5xx is: a gateway's callers read the same of its upstream.
ANSWERED = "the server answered"
SERVERS_FAULT = "the fault is the server's: try again later"


def is_retryable(status: int, code: str | None = None) -> bool:
    """Whether asking the same upstream again can help after an answer of *status* with the error code *code*."""
    if code in PERMANENT_CODES:
        return False
    return status in RETRYABLE_STATUSES or (status >= 500 and status not in (501, 505))


class ProviderError(Exception):
    """The root of all errors of this package. They can be copied and pickled, as a pool of processes does."""

    def __reduce__(self) -> tuple[Any, ...]:
        """By its message and its attributes: what it was made of need not be known again."""
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[ProviderError], args: tuple[Any, ...]) -> ProviderError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ModelNotFoundError(ProviderError, ValueError):
    """The caller asked for a model that the provider does not have. ``.model`` is the name, ``.known`` the names there are."""

    def __init__(self, model: str, known: Iterable[str]) -> None:
        self.model = model
        self.known = tuple(known)
        super().__init__(f"model {model[:200]!r} is not supported; the models are: {', '.join(self.known) or 'none'}")


class InvalidMessagesError(ProviderError, ValueError):
    """The messages cannot be sent. ``.index``: the message's position, None for the list; ``.field``: the field's name."""

    def __init__(self, problem: str, *, index: int | None = None, field: str | None = None) -> None:
        self.index = index
        self.field = field
        where = "messages" if index is None else f"messages[{index}]"
        super().__init__(f"{where}{'.' + field if field else ''}: {problem}")

    @property
    def param(self) -> str:
        """The place in the OpenAI wire's own notation, such as ``messages[2].content``."""
        where = "messages" if self.index is None else f"messages[{self.index}]"
        return f"{where}.{self.field}" if self.field else where


class ConfigError(ProviderError):
    """What the operator or the environment configured cannot work. The message names the file, the line or the key.

    ``key``: the key of the config that is at fault, such as ``server.port``, if one is; ``file``: the file that holds it.
    ``problem``: what is wrong; ``advice``: what to do, where the problem does not say it already.
    """

    def __init__(self, problem: str, *, key: str = "", advice: str = "", file: str = "") -> None:
        self.problem = problem
        self.key = key
        self.advice = advice
        self.file = file
        message = ": ".join(part for part in (file, key, problem) if part)
        super().__init__(f"{message}; {advice}" if advice else message)


class HTTPError(ProviderError):
    """The API request failed.

    ``status``: the HTTP status, None before an answer. ``retryable``: whether the same request may succeed if it is sent again.
    ``retry_after``: seconds that the server asked to wait, or None. ``partial``: the text that had arrived.
    ``type``, ``code``, ``param``: as the server's error object named them, where it did. The message is ``problem``, what
    happened, and ``advice``, what the holder of the provider can do; a server and a command line have their own.
    """

    status: int | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        partial: str = "",
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        advice: str = "",
    ) -> None:
        self.problem = message
        self.advice = advice
        self.message = f"{message}; {advice}" if advice else message
        super().__init__(self.message)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.partial = partial
        self.type = type
        self.code = code
        self.param = param
        #: Whether the answer's own end had come before the error: nothing of its text is missing.
        self.after_end = False
        #: What a gateway tried before it gave up, as `events.Attempt`; empty elsewhere.
        self.attempts: tuple[Any, ...] = ()

    def advise(self, advice: str) -> None:
        """Put *advice* in place of the advice that the message ends in."""
        self.advice = advice
        self.message = f"{self.problem}; {advice}"
        self.args = (self.message,)


class ConnectError(HTTPError):
    """No connection: the name did not resolve, no server listens, TLS or the proxy refused."""

    def __init__(self, message: str, *, retryable: bool = True, advice: str = "", code: str | None = None) -> None:
        super().__init__(message, retryable=retryable, advice=advice, code=code)


class StatusError(HTTPError):
    """An answer of 400 or above. ``body``: its first 64 KiB as text. ``request_id``: the server's name for the request."""

    status: int

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after: float | None = None,
        partial: str = "",
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        body: str = "",
        request_id: str | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(
            message,
            advice=advice,
            status=status,
            retryable=is_retryable(status, code),
            retry_after=retry_after,
            partial=partial,
            type=type,
            code=code,
            param=param,
        )
        self.body = body
        self.request_id = request_id


class TimeoutError(HTTPError, builtins.TimeoutError):  # noqa: A001  the contract's own name, and it is one
    """A timeout passed. ``clock`` says which: ``connect``, ``first_token``, ``idle`` (between two events) or ``total``."""

    def __init__(self, clock: Clock, seconds: float, *, status: int | None = None, partial: str = "") -> None:
        self.clock = clock
        self.seconds = seconds
        what = {
            "connect": "no connection",
            "first_token": "no first token",
            "idle": "no further event",
            "total": "the answer was not complete",
        }[clock]
        super().__init__(
            f"{what} within {seconds:g} s (timeout {clock!r})",
            advice=f"if the server needs longer, raise it with timeout={{{clock!r}: seconds}}",
            status=status,
            retryable=clock != "total",
            partial=partial,
        )


class StreamError(HTTPError):
    """An error event came inside a stream that had begun with 200, or an event could not be read."""


class IncompleteStreamError(HTTPError):
    """The stream ended without evidence of its end: what arrived (``partial``) may not be the whole answer."""

    def __init__(self, message: str = "", *, status: int | None = 200, partial: str = "") -> None:
        super().__init__(
            message or CUT,
            advice=USE_PARTIAL,
            status=status,
            retryable=True,
            partial=partial,
        )
