"""A message of the Messages API (Anthropic API reference, "Messages"), as it begins and as it ends: its stop reason and its
usage, which chat completions have other words for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ...events import Batch, Extra, FinishReason, Usage
from ..finish_reasons import meaning_of

Payload = dict[str, Any]

#: The name of the wire, in events that are bound to it.
WIRE: Final = "anthropic_messages"

#: Finish reasons of chat completions, as stop reasons.
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

#: Stop reasons that chat completions have no word for, so that they come here as they are. Readers know no others.
OWN_REASONS: Final = frozenset({"pause_turn", "compaction"})

#: Members of a choice in which servers of chat completions name the stop text that ended it (vLLM, SGLang). A number there is a
#: token's.
_STOP_TEXTS: Final = ("stop_reason", "matched_stop")

#: Members of a usage object of chat completions that say nothing to a reader of Messages.
_NOT_OURS: Final = frozenset({"prompt_tokens_details", "completion_tokens_details"})


def stop_of(finish: FinishReason, *, has_calls: bool, is_refused: bool) -> dict[str, Any]:
    """Return the ``stop_reason`` and the ``stop_sequence`` of an answer that ended with *finish*.

    A reader takes ``tool_use`` for the order to run tools: so it stands exactly where calls were made and nothing cut them.
    """
    reason = finish.standard_reason or "stop"
    if (text := _stop_text(finish)) is not None and not has_calls:
        return {"stop_reason": "stop_sequence", "stop_sequence": text}
    if reason in OWN_REASONS:
        return {"stop_reason": reason, "stop_sequence": None}
    reason = meaning_of(reason)
    if reason in ("stop", "tool_calls", "function_call"):
        reason = "tool_calls" if has_calls else "content_filter" if is_refused else "stop"
    return {"stop_reason": _STOP_REASONS[reason], "stop_sequence": None}


def _stop_text(finish: FinishReason) -> str | None:
    if finish.reason != "stop":
        return None
    for choice in (finish.extra or {}).get("choices", ()):
        if choice.get("index") == 0:
            return next((text for name in _STOP_TEXTS if isinstance(text := choice.get(name), str) and text), None)
    return None


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """Return the usage object of an answer; zeros where nothing was counted, for readers need the numbers.

    ``input_tokens`` are those of the prompt that were neither read from a cache nor written to one.
    """
    if usage is None:
        usage = Usage()
    extra = usage.extra or {}
    created = extra.get("cache_creation_input_tokens")
    written = created if isinstance(created, int) else 0
    read = usage.cached_tokens or 0
    counted: dict[str, Any] = {
        "input_tokens": max(usage.prompt_tokens - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens is not None:
        counted["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    for name, value in extra.items():
        if name not in _NOT_OURS:
            known = counted.get(name, value)
            counted[name] = {**value, **known} if isinstance(value, Mapping) and isinstance(known, Mapping) else known
    return counted


def empty_message(id: str, model: str, members: Payload) -> Payload:
    """Return a message before anything is said. *members*: what an upstream of this wire said of it beside."""
    usage = {**usage_of(None), **(members.get("usage") or {})}
    return {
        **members,
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


class SaidMembers(NamedTuple):
    """What an upstream of this wire said in an event of the stream and has no event here: members of the ``part`` that the
    event is about, and of the event itself."""

    part: Payload
    event: Payload


def members_of(batch: Batch, name: str) -> SaidMembers:
    """Return what the events of that name said."""
    said = SaidMembers({}, {})
    for event in batch:
        if isinstance(event, Extra) and event.wire == WIRE and name in event.members:
            said.part.update(event.members[name])
            said.event.update(event.members.get("event") or {})
    return said
