"""Events -> a whole answer of the Messages API, as one document. Made of the same blocks as a stream is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...events import Batch, Extra, FinishReason, Started
from ...sealed_thoughts import sealed_in
from ..base import AnswerHead
from ..finish_reasons import with_reason
from ..merging import merge_values
from ..tool_forms import object_of_arguments
from ..tool_names import NAMES
from .blocks import BlockWriter
from .message import UNCOUNTED, WIRE, Payload, members_of, usage_of
from .stop import OWN_REASONS, stop_of, stop_text_in

_json = msgspec.json.Encoder().encode

#: What an upstream of this wire says of blocks and has no event: see `members`.
_OF_BLOCKS: Final = frozenset({"content_block", "delta", "content_block_stop"})


def encode_message(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return a whole answer as one document. Its last event is the `FinishReason`."""
    finish = events[-1]
    if type(finish) is not FinishReason:
        raise ValueError("the events of a complete answer end with its FinishReason")
    start: Payload = {}
    delta: Payload = {}
    if (text := _sole_text(events, start, delta)) is None:
        writer = BlockWriter(head.id.removeprefix("msg_"), (head.echo or {}).get(NAMES))
        payloads = [payload for event in events[:-1] for payload in writer.add(event)]
        payloads += writer.finish()
        stop = stop_of(finish, has_calls=writer.has_calls, is_refused=writer.is_refused, stopped_at=_stopped_at(events))
        content = _fold(payloads)
        start, delta = members_of(events, "message_start").part, members_of(events, "message_delta").part
    else:
        stop = (
            {} if delta.keys() >= _STOP else stop_of(finish, has_calls=False, is_refused=False, stopped_at=_stopped_at(events))
        )
        content = [{"type": "text", "text": text}]
    message: Payload = {
        **start,
        "id": head.id,
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**UNCOUNTED, **(start.get("usage") or {}), **usage_of(finish.usage)},
        **stop,
    }
    if delta:
        counted = message["usage"]
        message |= delta
        message |= {"content": content, "usage": counted}  # whatever an upstream writes in their places
    if extension is not None:
        message["x_autonomousai"] = with_reason(extension, finish, *OWN_REASONS)
    return _json(message)


def _stopped_at(events: Batch) -> str | None:
    found = [stop_text_in(event) for event in events if type(event) is Extra or (type(event) is Started and event.extra)]
    return next((text for text in reversed(found) if text is not None), None)


#: What an upstream of this wire says of the end.
_STOP: Final = frozenset({"stop_reason", "stop_sequence"})


def _sole_text(events: Batch, start: Payload, delta: Payload) -> str | None:
    """Return the text that is all the content of an answer, one block; None where there may be more, or less. What an upstream
    of this wire said at its *start* and of its end, the *delta*, is added to those two."""
    texts: list[str] = []
    for event in events:
        if type(event) is str:
            texts.append(event)
        elif type(event) is Extra:
            if event.wire == WIRE:
                members = event.members
                if not _OF_BLOCKS.isdisjoint(members):
                    return None
                start.update(members.get("message_start", ()))
                delta.update(members.get("message_delta", ()))
            elif sealed_in(event) is not None:
                return None
        elif type(event) is not Started and type(event) is not FinishReason:
            return None
    return "".join(texts) or None


def _fold(payloads: list[Payload]) -> list[Payload]:
    """Return the blocks that the *payloads* of a stream make."""
    blocks: list[Payload] = []
    pieces: list[list[Payload]] = []
    for payload in payloads:
        if payload["type"] == "content_block_start":
            blocks.append(payload["content_block"])
            pieces.append([])
        elif payload["type"] == "content_block_delta":
            pieces[payload["index"]].append(payload["delta"])
    return [_grown(block, deltas) for block, deltas in zip(blocks, pieces, strict=True)]


#: The member of a block that a delta of that type is a piece of.
_TEXTS: Final = {"text_delta": "text", "thinking_delta": "thinking"}


def _grown(block: Payload, deltas: list[Payload]) -> Payload:
    """Return *block* with all its *deltas*."""
    grown = dict(block)
    texts: dict[str, list[str]] = {}
    arguments: list[str] = []
    for delta in deltas:
        kind = delta.get("type")
        if kind == "input_json_delta":
            arguments.append(delta.get("partial_json") or "")
        elif kind in _TEXTS:
            member = _TEXTS[kind]
            texts.setdefault(member, [grown.get(member) or ""]).append(delta.get(member) or "")
        elif kind == "signature_delta":
            grown["signature"] = delta.get("signature")
        elif kind == "citations_delta":
            grown["citations"] = [*(grown.get("citations") or ()), delta.get("citation")]
        else:
            merge_values(grown, {name: value for name, value in delta.items() if name != "type"})
    grown |= {member: "".join(said) for member, said in texts.items()}
    if text := "".join(arguments):
        grown["input"] = object_of_arguments(text)
    return grown
