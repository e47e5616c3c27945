"""Answers of OpenAI's chat completions as its servers write them, for scripts: streamed and as a document.

Bytes are written here with `json` alone, not with our own wire: what tests the wire must not be made by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..events import Usage


def event(payload: Any) -> bytes:
    """One server-sent event: JSON of *payload*, or the text itself when it is a `str`."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def usage_object(usage: Usage | Mapping[str, Any]) -> dict[str, Any]:
    """Usage as the OpenAI wire writes it."""
    if not isinstance(usage, Usage):
        return dict(usage)
    total = usage.total_tokens or usage.prompt_tokens + usage.completion_tokens
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}


def chunks(
    *deltas: str | Mapping[str, Any],
    finish: str | None = "stop",
    usage: Usage | Mapping[str, Any] | None = None,
    done: bool = True,
    model: str = "scripted",
    id: str = "chatcmpl-scripted",
    created: int = 1_700_000_000,
) -> bytes:
    """A streamed answer on the OpenAI wire: ``chunks("Hello", " world", finish="stop", usage=…, done=True)``.

    Each delta is one event: a text, or a mapping that is the ``delta`` object itself. Before them comes the chunk with the
    role, after them the finish reason (unless ``finish`` is None), the usage chunk (if given) and ``[DONE]`` (if ``done``).
    """

    def chunk(choices: list[dict[str, Any]], **extra: Any) -> bytes:
        head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        return event({**head, "choices": choices, **extra})

    def choice(delta: Mapping[str, Any], reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": dict(delta), "finish_reason": reason}]

    parts = [chunk(choice({"role": "assistant", "content": ""}))]
    parts += [chunk(choice({"content": delta} if isinstance(delta, str) else delta)) for delta in deltas]
    if finish is not None:
        parts.append(chunk(choice({}, finish)))
    if usage is not None:
        parts.append(chunk([], usage=usage_object(usage)))
    if done:
        parts.append(event("[DONE]"))
    return b"".join(parts)


def completion(
    text: str,
    *,
    finish: str | None = "stop",
    usage: Usage | Mapping[str, Any] | None = None,
    model: str = "scripted",
    message: Mapping[str, Any] | None = None,
) -> bytes:
    """A whole answer on the OpenAI wire, as JSON. ``message`` adds fields to the message (``tool_calls``, …)."""
    answer: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **(message or {})}, "finish_reason": finish},
        ],
    }
    if usage is not None:
        answer["usage"] = usage_object(usage)
    return json.dumps(answer, ensure_ascii=False).encode()
