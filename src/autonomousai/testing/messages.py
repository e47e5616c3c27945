"""Answers of Anthropic's Messages API as its servers write them, for scripts: streamed and as a document.

Bytes are written here with `json` alone, not with our own wire: what tests the wire must not be made by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

_USAGE = {"input_tokens": 1, "output_tokens": 1}

#: Deltas of a block that is given whole: the member that they bring, and their type.
_DELTAS = {
    "text": ("text", "text_delta", "text"),
    "thinking": ("thinking", "thinking_delta", "thinking"),
    "tool_use": ("input", "input_json_delta", "partial_json"),
}


def message_events(
    *parts: str | Mapping[str, Any],
    finish: str | None = "end_turn",
    usage: Mapping[str, Any] | None = None,
    model: str = "scripted",
    id: str = "msg_scripted",
) -> bytes:
    """Return a streamed answer of the Messages API: ``message_events("Hello", " world", finish="end_turn", usage=…)``.

    A text is one delta; texts in a row are one block. A mapping is a whole block, such as ``{"type": "tool_use", "id":
    "toolu_1", "name": "f", "input": {}}`` or ``{"type": "thinking", "thinking": "hm", "signature": "s"}``. Without a *finish*
    the answer breaks off: its last block does not end.
    """
    counted = dict(_USAGE if usage is None else usage)
    message = {**_message(id, model, []), "usage": {**counted, "output_tokens": 0}}
    events = [{"type": "message_start", "message": message}, *_blocks(parts, is_whole=finish is not None)]
    if finish is not None:
        events.append({"type": "message_delta", "delta": {"stop_reason": finish, "stop_sequence": None}, "usage": counted})
        events.append({"type": "message_stop"})
    return b"".join(message_event(event) for event in events)


def message_event(payload: Mapping[str, Any]) -> bytes:
    """Return one event of a stream, of the type that *payload* names."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return f"event: {payload['type']}\ndata: {text}\n\n".encode()


def message(
    *parts: str | Mapping[str, Any],
    finish: str | None = "end_turn",
    usage: Mapping[str, Any] | None = None,
    model: str = "scripted",
) -> bytes:
    """Return a whole answer of the Messages API as JSON; a text is a block of its own."""
    content = [{"type": "text", "text": part} if isinstance(part, str) else dict(part) for part in parts]
    answer = {**_message("msg_scripted", model, content), "stop_reason": finish, "usage": dict(usage or _USAGE)}
    return json.dumps(answer, ensure_ascii=False).encode()


def _message(id: str, model: str, content: list[Json]) -> Json:
    said = {"id": id, "type": "message", "role": "assistant", "model": model, "content": content}
    return {**said, "stop_reason": None, "stop_sequence": None}


def _blocks(parts: tuple[str | Mapping[str, Any], ...], *, is_whole: bool) -> Iterator[Json]:
    index, is_open = -1, False
    for part in parts:
        if not (isinstance(part, str) and is_open):
            if is_open:
                yield {"type": "content_block_stop", "index": index}
            index += 1
            yield {"type": "content_block_start", "index": index, "content_block": _opening(part)}
        is_open = isinstance(part, str)
        for delta in _deltas(part):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        if not is_open and (is_whole or part is not parts[-1]):
            yield {"type": "content_block_stop", "index": index}
    if is_open and is_whole:
        yield {"type": "content_block_stop", "index": index}


def _opening(part: str | Mapping[str, Any]) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": ""}
    member, _, _ = _DELTAS.get(part["type"], ("", "", ""))
    empty = {member: {} if member == "input" else ""} if member else {}
    return {**part, **empty, **({"signature": ""} if "signature" in part else {})}


def _deltas(part: str | Mapping[str, Any]) -> Iterator[Json]:
    if isinstance(part, str):
        yield {"type": "text_delta", "text": part}
    elif part["type"] in _DELTAS:
        member, kind, name = _DELTAS[part["type"]]
        said = part.get(member)
        yield {"type": kind, name: said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)}
        if part.get("signature"):
            yield {"type": "signature_delta", "signature": part["signature"]}
