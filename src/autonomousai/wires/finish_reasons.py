"""Finish reasons as servers send them: which of them end an answer, and which report that it broke off.

A word that is in no table ends an answer, with itself as the reason.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import StreamError
from ..events import FinishReason

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
        "no_image",
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

#: What words of others mean, in those of OpenAI. Lower-case, with ``_`` between words.
_MEANINGS: Final = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_length", "max_new_tokens"), "length"),
    **dict.fromkeys(("token_limit", "truncated", "model_length", "limit_reached", "context_window_exceeded"), "length"),
    **dict.fromkeys(("model_context_window_exceeded", "context_length", "context_length_exceeded"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "filtered", "refusal", "safety", "sensitive"), "content_filter"),
    **dict.fromkeys(("recitation", "blocklist", "prohibited_content", "spii", "image_safety"), "content_filter"),
    **dict.fromkeys(("image_recitation", "image_prohibited_content", "model_armor", "jailbreak"), "content_filter"),
    **dict.fromkeys(("language", "guardrail_intervened", "content_policy", "moderation"), "content_filter"),
    **dict.fromkeys(("error_toxic", "toxic", "safety_block", "finish_reason_safety"), "content_filter"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call", "function_calls"), "tool_calls"),
}

#: Characters of a foreign reason that an error shows.
_SHOWN: Final = 100


def finish_reason_of(value: Any) -> str | None:
    """Return the reason that *value* names, None where it names none (``"null"``, ``""``)."""
    if not isinstance(value, str):
        return None
    return value if value in STANDARD or value.strip().lower() not in _NOTHING else None


def meaning_of(reason: str) -> str:
    """Return what *reason* means in OpenAI's words, for a wire that has others: ``stop`` where it is not known, for it
    ended the answer.

    Example::

        assert meaning_of("FinishReason.MAX_TOKENS") == "length"
        assert meaning_of("eos_token") == "stop"
    """
    return reason if reason in STANDARD else _MEANINGS.get(_name_of(reason), "stop")


def _name_of(reason: str) -> str:
    """Return *reason* as the tables have it. Some servers send the name of an enum's member: "FinishReason.ABORT"."""
    return reason.strip().rpartition(".")[2].lower().replace("-", "_").replace(" ", "_")


#: Words of the Messages API that chat completions have none for; there the turn has ended.
OF_MESSAGES: Final = frozenset({"pause_turn", "compaction"})


def chat_reason(finish: FinishReason) -> str | None:
    """Return the reason of *finish* for a reader of chat completions. A word of another server of theirs stays as it is.

    Example::

        assert chat_reason(FinishReason("pause_turn", "finish_reason")) == "stop"
    """
    reason = finish.standard_reason
    return "stop" if reason in OF_MESSAGES else reason


def with_foreign_reason(extension: dict[str, Any], finish: FinishReason) -> dict[str, Any]:
    """Return the ``x_autonomousai`` object of an answer whose own word for its end `chat_reason` replaces by another."""
    return {**extension, "finish_reason": finish.reason} if finish.reason in OF_MESSAGES else extension


def with_reason(extension: dict[str, Any], finish: FinishReason, *own: str) -> dict[str, Any]:
    """Return the ``x_autonomousai`` object with the upstream's word for how the answer ended, for a wire that says another one:
    neither OpenAI's nor its *own*."""
    if finish.reason is None or finish.reason in STANDARD or finish.reason in own:
        return extension
    return {**extension, "finish_reason": finish.reason}


def broken_off(reason: str) -> StreamError | None:
    """Return the error that *reason* reports, None where it ends an answer.

    Example::

        assert broken_off("stop") is None
        assert broken_off("MALFORMED_FUNCTION_CALL").retryable
    """
    if reason in STANDARD:
        return None
    if _name_of(reason) not in _BROKEN_OFF:
        return None
    from .redaction import one_line  # noqa: PLC0415  few answers break off so

    return StreamError(
        f"the server broke the answer off (finish reason {one_line(reason, _SHOWN)!r})",
        status=200,
        retryable=True,
        code="broken_off",
    )
