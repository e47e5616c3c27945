"""Answers of Google's Gemini API as its servers write them, for scripts: streamed and as a document.

Bytes are written here with `json` alone, not with our own wire: what tests the wire must not be made by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_USAGE = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}


def gemini_chunks(
    *parts: str | Mapping[str, Any],
    finish: str | None = "STOP",
    usage: Mapping[str, Any] | None = None,
    model: str = "scripted",
) -> bytes:
    """Return a streamed answer of the Gemini API: ``gemini_chunks("Hello", " world", finish="STOP", usage=…)``.

    Each part is a chunk: a text, or a whole part such as ``{"functionCall": {"name": "f", "args": {}}}`` or ``{"text": "hm",
    "thought": True}``. The last chunk has the reason and the usage besides; without a *finish* the answer breaks off.
    """
    counted = dict(_USAGE if usage is None else usage)
    chunks = [_chunk([_part(part)], model) for part in parts]
    if finish is not None:
        last = chunks[-1] if chunks else _chunk([], model)
        last["candidates"][0]["finishReason"] = finish
        last["usageMetadata"] = counted
        chunks = chunks or [last]
    return b"".join(map(gemini_event, chunks))


def gemini_event(payload: Mapping[str, Any]) -> bytes:
    """Return one event of a stream."""
    return f"data: {json.dumps(payload, ensure_ascii=False)}\r\n\r\n".encode()


def gemini_answer(
    *parts: str | Mapping[str, Any],
    finish: str | None = "STOP",
    usage: Mapping[str, Any] | None = None,
    model: str = "scripted",
) -> bytes:
    """Return a whole answer of the Gemini API as JSON."""
    answer = {**_chunk([_part(part) for part in parts], model), "usageMetadata": dict(_USAGE if usage is None else usage)}
    if finish is not None:
        answer["candidates"][0]["finishReason"] = finish
    return json.dumps(answer, ensure_ascii=False).encode()


def _chunk(parts: list[Json], model: str) -> Json:
    content = {"parts": parts, "role": "model"}
    return {"candidates": [{"content": content, "index": 0}], "modelVersion": model, "responseId": "scripted"}


def _part(part: str | Mapping[str, Any]) -> Json:
    return {"text": part} if isinstance(part, str) else dict(part)
