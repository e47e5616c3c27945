"""The members of a message and of its stream (Anthropic API reference, "Create a Message", "Streaming Messages"): which have
events, which are unknown, and what the words and the counts mean in the terms of chat completions. Knows no order of events.

What has no event travels as `Extra` with ``covers=0``, under the name of the part of the stream where it stood:
``message_start`` (unknown members of the message), ``content_block`` (a block that begins, as it came), ``delta`` (a delta, as
it came), ``content_block_stop``, ``message_delta`` (the reason and what stands beside it), ``message_stop``. ``event`` has the
unknown members that stood beside that part. With ``covers=1``, ``delta`` and ``event`` are unknown members of the event's own
delta that follows.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ...events import Extra, Usage
from ..json import keep_texts, load_leniently
from ..openai_chat.chunks import UNREADABLE
from ..provenance import KEY
from ..quoted_arguments import unquoted
from .message import WIRE

Json = dict[str, Any]

#: Stop reasons, in the words of chat completions; another one is passed on.
FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

#: Blocks that become events of their own, with the members that do.
KNOWN_BLOCKS: Final = {
    "text": frozenset({"type", "text"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}

#: Deltas that become events of their own, by the block that they belong to, and the member that does.
TEXT_OF_DELTA: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
BLOCK_OF_DELTA: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"}

_KNOWN_MESSAGE: Final = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "error", KEY})
#: Members of the events themselves; usage stands beside the delta of a message.
_OF_ANY_EVENT: Final = frozenset({"type", "index", "usage", KEY})
#: A number of tokens that is none.
_TOO_MANY: Final = 2**63

#: How many counts every server has: those of the prompt and of the answer.
_LEAST: Final = 2

_KNOWN_USAGE: Final = frozenset({"input_tokens", "output_tokens", "cache_read_input_tokens"})


def unknown(obj: Json, known: frozenset[str]) -> Json:
    """Return the members of *obj* that are not *known*."""
    return {name: value for name, value in obj.items() if name not in known}


def beside(obj: Json, part: str) -> Json:
    """Return the members of an event that stand beside its *part*, its type and its index."""
    return {name: value for name, value in obj.items() if name not in _OF_ANY_EVENT and name != part}


def unknown_of_message(message: Json) -> Json:
    """Return the members of a message that have no event, and its usage: the prompt is counted with its beginning. A usage that
    is no object counts nothing."""
    members = {name: value for name, value in message.items() if name not in _KNOWN_MESSAGE}
    if "usage" in members and not (members["usage"] and isinstance(members["usage"], dict)):
        del members["usage"]
    return members


def extra(part: str, members: Json, others: Json | None = None, covers: int = 0) -> Extra:
    """Return the event of what has no other: *members* of one *part* of the stream, and the *others* that stood beside it."""
    return Extra({part: members, "event": others} if others else {part: members}, covers, WIRE)


def finish_reason_of(stop_reason: str | None, *, has_calls: bool) -> str | None:
    """Return a stop reason in the words of chat completions, whose readers run tools only where it says so. Some servers say of
    an answer with calls that its turn has ended, or nothing."""
    if has_calls and stop_reason in (None, "end_turn"):
        return "tool_calls"
    return None if stop_reason is None else FINISH_REASONS.get(stop_reason, stop_reason)


# ---- JSON, read leniently ------------------------------------------------------------------------------------------------


def load(document: bytes) -> Any:
    """Return any JSON, read leniently: see `load_leniently`. Halves of characters stay in what a delta says. Raises one of
    `UNREADABLE`."""
    return load_leniently(document, _keep_halves)


def _keep_halves(obj: Any, mended: Any) -> None:
    if isinstance(obj, dict):
        keep_texts(obj.get("delta"), mended.get("delta"), tuple(TEXT_OF_DELTA.values()))


def load_object(document: bytes) -> Json | None:
    """Return the JSON object that *document* is, None where it is none."""
    try:
        obj = load(document)
    except UNREADABLE:
        return None
    return obj if isinstance(obj, dict) else None


def arguments_of(value: Any) -> str:
    """Return the input of a tool as the JSON text that the arguments of a call are; some servers write it as that text."""
    if isinstance(value, str) and (text := unquoted(value)).lstrip().startswith("{"):
        return text
    return json.dumps({} if value is None else value, ensure_ascii=False, separators=(",", ":"))


def text_in(value: Any) -> str:
    """Return *value* where it is text, else nothing."""
    return value if isinstance(value, str) else ""


# ---- usage ---------------------------------------------------------------------------------------------------------------


def merge_usage(earlier: Json | None, later: Any) -> Json | None:
    """Return the counts of an answer: those of a later event are cumulative. Some servers send zeros where they know nothing,
    first or last: the greater number counts."""
    if not isinstance(later, dict):
        return earlier
    if not earlier:
        return later or None
    merged = dict(earlier)
    for name, value in later.items():
        if (known := merged.get(name)) is not None:
            if value is None:
                continue
            if type(value) is type(known) is int and 0 <= known <= value < _TOO_MANY:  # as usual
                merged[name] = value
                continue
            if _count(value) is not None and (was := _count(known)) is not None and was > value:
                continue
        merged[name] = value
    return merged or None


def usage_of(usage: Json | None) -> Usage | None:
    """Return the tokens in the terms of chat completions, where the prompt's include what was read from a cache or written to
    one; None where they were not counted."""
    if not usage:
        return None
    if len(usage) == _LEAST:
        read, said = usage.get("input_tokens"), usage.get("output_tokens")
        if type(read) is type(said) is int and 0 <= read < _TOO_MANY and 0 <= said < _TOO_MANY:  # as usual
            return Usage(read, said, read + said)
    uncached, completion = _either(usage, "input_tokens", "prompt_tokens"), _either(usage, "output_tokens", "completion_tokens")
    if uncached is None and completion is None:
        return None
    cached = _count(usage.get("cache_read_input_tokens"))
    prompt = (uncached or 0) + (cached or 0) + (_count(usage.get("cache_creation_input_tokens")) or 0)
    details = usage.get("output_tokens_details")
    others = unknown(usage, _KNOWN_USAGE)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion or 0,
        total_tokens=prompt + (completion or 0),
        cached_tokens=cached,
        reasoning_tokens=_count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
        extra=others or None,
    )


def _either(usage: Json, name: str, other: str) -> int | None:
    """Return a count under its *name*, or under the *other* one that chat completions have, as some gateways write it."""
    count = _count(usage.get(name))
    return _count(usage.get(other)) if count is None else count


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value < _TOO_MANY:  # as usual
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TOO_MANY or value != int(value):
        return None
    return int(value)
