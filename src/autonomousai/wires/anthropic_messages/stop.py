"""Why a message ended (Anthropic API reference, "Stop reasons"), which chat completions have other words for."""

from __future__ import annotations

from typing import Any, Final

from ...events import Batch, Event, Extra, FinishReason, Started
from ..finish_reasons import OF_MESSAGES, meaning_of
from ..openai_chat.chunks import WIRE as CHAT_WIRE

#: Finish reasons of chat completions, as stop reasons.
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

#: Stop reasons that chat completions have no word for, so that they come here as they are. Readers know no others.
OWN_REASONS: Final = OF_MESSAGES

#: Members of a choice in which servers of chat completions name the stop text that ended it (vLLM, SGLang). A number there is a
#: token's.
_STOP_TEXTS: Final = ("stop_reason", "matched_stop")


_END_TURN: Final[dict[str, Any]] = {"stop_reason": "end_turn", "stop_sequence": None}


def stop_of(finish: FinishReason, *, has_calls: bool, is_refused: bool, stopped_at: str | None = None) -> dict[str, Any]:
    """Return the ``stop_reason`` and the ``stop_sequence`` of an answer that ended with *finish*. *stopped_at*: the stop text
    that was named beside its last words, see `stop_text_in`.

    A reader takes ``tool_use`` for the order to run tools: so it stands exactly where calls were made and nothing cut them.
    """
    text = None
    if finish.reason == "stop":
        text = (stop_text_of(finish.extra) or stopped_at) if finish.extra or stopped_at else None
        if text is None and not has_calls and not is_refused:  # as most answers end
            return _END_TURN
    reason = finish.standard_reason or "stop"
    if text is not None and not has_calls:
        return {"stop_reason": "stop_sequence", "stop_sequence": text}
    if reason in OWN_REASONS:
        return {"stop_reason": reason, "stop_sequence": None}
    reason = meaning_of(reason)
    if reason in ("stop", "tool_calls", "function_call"):
        reason = "tool_calls" if has_calls else "content_filter" if is_refused else "stop"
    return {"stop_reason": _STOP_REASONS[reason], "stop_sequence": None}


def stop_text_in(event: Event) -> str | None:
    """Return the stop text that servers of chat completions name beside the last words of an answer; None where *event* names
    none. What came with the only chunk stands with the answer's beginning."""
    if type(event) is Started:
        return stop_text_of(event.extra)
    return stop_text_of(event.members) if type(event) is Extra and event.wire == CHAT_WIRE else None


def stopped_at(events: Batch) -> str | None:
    """Return the last stop text that *events* name; None where they name none."""
    found = [stop_text_in(event) for event in events if type(event) is Extra or (type(event) is Started and event.extra)]
    return next((text for text in reversed(found) if text is not None), None)


def stop_text_of(members: dict[str, Any] | None) -> str | None:
    for choice in (members or {}).get("choices", ()):
        if choice.get("index") == 0:
            return next((text for name in _STOP_TEXTS if isinstance(text := choice.get(name), str) and text), None)
    return None
