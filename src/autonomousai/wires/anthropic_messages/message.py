"""A message of the Messages API (Anthropic API reference, "Messages"), as it begins, and its usage, which chat
completions have other words for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from ...events import Batch, Extra, Usage
from ..cache_counts import cache_read, cache_written

Payload = dict[str, Any]

_json = msgspec.json.Encoder().encode

#: The name of the wire, in events that are bound to it.
WIRE: Final = "anthropic_messages"

#: The version of the API that is spoken.
VERSION: Final = "2023-06-01"

#: The header that carries the key: Anthropic's own, or that of OpenAI's API, as some servers want it.
KeyHeader: TypeAlias = Literal["x-api-key", "authorization"]

#: The longest answer, in tokens, where a request names none: the API wants a number. Every model that the vendor serves
#: writes as much; an answer that needs more says so with the reason ``length``.
DEFAULT_MAX_TOKENS: Final = 8192

#: Members of a usage object of chat completions that say nothing to a reader of Messages.
_NOT_OURS: Final = frozenset({"prompt_tokens_details", "completion_tokens_details"})


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """Return the usage object of an answer; zeros where nothing was counted, for readers need the numbers.

    ``input_tokens`` are those of the prompt that were neither read from a cache nor written to one.
    """
    if usage is None:
        usage = Usage()
    if extra := usage.extra or {}:
        read, written = cache_read(usage), cache_written(usage)
    else:
        read, written = usage.cached_tokens or 0, 0
    uncached = usage.prompt_tokens - read - written
    counted: dict[str, Any] = {
        "input_tokens": max(0, uncached),
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


#: The usage of an answer before anything was counted.
UNCOUNTED: Final = usage_of(None)


def encode_usage(usage: Usage | None, counted: Payload | None = None) -> bytes:
    """Return the usage object of an answer as JSON. *counted*: what an upstream of this wire counted at its beginning."""
    if (
        usage is not None
        and not usage.extra
        and usage.reasoning_tokens is None
        and (not counted or _COUNTS.issuperset(counted))
    ):
        read = usage.cached_tokens or 0
        uncached = usage.prompt_tokens - read
        return _USAGE % (max(0, uncached), read, usage.completion_tokens)
    return _json({**UNCOUNTED, **(counted or {}), **usage_of(usage)})


#: The members of most usage objects.
_COUNTS: Final = frozenset(UNCOUNTED)
_USAGE: Final = b'{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":%d,"output_tokens":%d}'


def encode_begun(id: str, model: str, members: Payload) -> bytes:
    """Return a message before anything is said, as JSON. *members*: what an upstream of this wire said of it beside."""
    counted = members.get("usage")
    return b"".join(
        (
            b'{"id":',
            _json(id),
            b',"type":"message","role":"assistant","model":',
            _json(model),
            b',"content":[],"stop_reason":null,"stop_sequence":null,"usage":',
            _json({**UNCOUNTED, **counted}) if counted else _UNCOUNTED,
            encode_unknown(members),
            b"}",
        )
    )


_UNCOUNTED: Final = _json(UNCOUNTED)

#: Members of a message that are written here, whatever an upstream writes in their places.
_OWN: Final = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "x_autonomousai"})


def encode_unknown(members: Payload) -> bytes:
    """Return the other *members* of a message, as JSON that follows those."""
    if _OWN.issuperset(members):
        return b""
    return b"," + _json({name: value for name, value in members.items() if name not in _OWN})[1:-1]


class SaidMembers(NamedTuple):
    """What an upstream of this wire said in an event of the stream and has no event here: members of the ``part`` that the
    event is about, and of the event itself."""

    part: Payload
    event: Payload


def members_of(batch: Batch, name: str) -> SaidMembers:
    """Return what the events of that name said."""
    said = SaidMembers({}, {})
    for event in batch:
        if type(event) is Extra and event.wire == WIRE and name in event.members:
            said.part.update(event.members[name])
            said.event.update(event.members.get("event") or {})
    return said
