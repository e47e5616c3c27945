"""Finish reasons as servers send them: which of them end an answer, and which report that it broke off.

A word that is in no table ends an answer, with itself as the reason.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import StreamError
from .redaction import one_line

#: The reasons of OpenAI's API reference ("The chat completion chunk object", ``finish_reason``). They need no closer look.
STANDARD: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

#: Texts that stand where a null should: they end nothing.
_NOTHING: Final = frozenset({"", "null", "none", "nil", "undefined"})

#: Reasons of servers that report so that the answer broke off. Lower-case, with ``_`` between words.
_BROKEN_OFF: Final = frozenset(
    {
        "abort",
        "aborted",
        "api_error",
        "broken",
        "cancel",
        "canceled",
        "cancelled",
        "connection_error",
        "crash",
        "crashed",
        "disconnected",
        "engine_error",
        "error",
        "errored",
        "evicted",
        "exception",
        "fail",
        "failed",
        "failure",
        "finish_reason_error",
        "insufficient_system_resource",
        "internal_error",
        "interrupted",
        "malformed_function_call",
        "malformed_response",
        "malformed_tool_call",
        "missing_thought_signature",
        "model_error",
        "network_error",
        "overloaded",
        "preempted",
        "provider_error",
        "rate_limit",
        "server_error",
        "service_unavailable",
        "system_error",
        "time_out",
        "timed_out",
        "timeout",
        "too_many_tool_calls",
        "unexpected_tool_call",
        "upstream_error",
    }
)

#: Characters of a foreign reason that an error shows.
_SHOWN: Final = 100


def finish_reason_of(value: Any) -> str | None:
    """Return the reason that *value* names, None where it names none (``"null"``, ``""``)."""
    if not isinstance(value, str):
        return None
    return value if value in STANDARD or value.strip().lower() not in _NOTHING else None


def broken_off(reason: str) -> StreamError | None:
    """Return the error that *reason* reports, None where it ends an answer.

    Example::

        assert broken_off("stop") is None
        assert broken_off("MALFORMED_FUNCTION_CALL").retryable
    """
    if reason in STANDARD:
        return None
    # Some servers send the name of an enum's member: "FinishReason.ABORT".
    name = reason.strip().rpartition(".")[2].lower().replace("-", "_").replace(" ", "_")
    if name not in _BROKEN_OFF:
        return None
    return StreamError(
        f"the server broke the answer off (finish reason {one_line(reason, _SHOWN)!r})",
        status=200,
        retryable=True,
        code="broken_off",
    )
