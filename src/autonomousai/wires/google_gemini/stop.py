"""Why a candidate ended (Gemini API reference, "FinishReason", "BlockReason"), in the words of chat completions."""

from __future__ import annotations

from typing import Any, Final

from ..finish_reasons import finish_reason_of, meaning_of

#: A word that names no reason.
_UNSPECIFIED: Final = frozenset({"FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"})

#: The vendor's words in those of chat completions. For a filter it has further ones, which others have too; ``OTHER`` is said
#: of answers that it does not show, without saying why.
_REASONS: Final = {
    "STOP": "stop",
    **dict.fromkeys(("MAX_TOKENS", "CONTINUATION"), "length"),
    **dict.fromkeys(("OTHER", "IMAGE_OTHER", "ESCALATION", "PUP_LIMITED_DISABLED"), "content_filter"),
}


def reason_in(value: Any) -> str | None:
    """Return the reason that *value* names, as the vendor writes it; None where it names none."""
    reason = finish_reason_of(value)
    return None if reason in _UNSPECIFIED else reason


def chat_reason_of(reason: str, *, has_calls: bool) -> str:
    """Return *reason* in the words of chat completions, whose readers run tools only where it says so. A word of the vendor's
    that is not known stays.

    Example::

        assert chat_reason_of("STOP", has_calls=True) == "tool_calls"
        assert chat_reason_of("SPII", has_calls=False) == "content_filter"
    """
    said = _REASONS.get(reason.upper())  # other servers of the API write them small
    if said is None:
        meant = meaning_of(reason)
        return meant if meant != "stop" else reason
    return "tool_calls" if has_calls and said == "stop" else said


def filtered(what: str, reason: str, message: Any = None) -> str:
    """Return what is said of *what*, an answer or a prompt, that the vendor's filter stopped for that *reason*, of which
    chat completions have one word and the vendor many. *message*: the vendor's, where there is one."""
    said = f": {message[:_SHOWN]}" if isinstance(message, str) and message else ""
    return f"the vendor's filter stopped the {what} ({reason[:_SHOWN]}){said}"


#: Characters of the vendor's words that a note shows.
_SHOWN: Final = 200
