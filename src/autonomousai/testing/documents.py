"""Answers of OpenAI's further endpoints, for scripts: text completions, embeddings, rankings. Written with `json` alone, as
`scripts` is."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from ..events import Usage
from .completions import event, usage_object
from .scripts import Script
from .steps import JSON, Head, Send


def text_chunks(
    *texts: str,
    finish: str | None = "stop",
    usage: Usage | Mapping[str, Any] | None = None,
    done: bool = True,
    model: str = "scripted",
) -> bytes:
    """A streamed text completion: an event for each text, the finish reason (unless it is None), the usage (if given) and
    ``[DONE]`` (if ``done``)."""
    head = {"id": "cmpl-scripted", "object": "text_completion", "created": 1_700_000_000, "model": model}
    choices = [{"text": text, "index": 0, "logprobs": None, "finish_reason": None} for text in texts]
    if finish is not None:
        choices.append({"text": "", "index": 0, "logprobs": None, "finish_reason": finish})
    parts = [event({**head, "choices": [choice]}) for choice in choices]
    if usage is not None:
        parts.append(event({**head, "choices": [], "usage": usage_object(usage)}))
    if done:
        parts.append(event("[DONE]"))
    return b"".join(parts)


def text_completion(
    *texts: str,
    finish: str | None = "stop",
    usage: Usage | Mapping[str, Any] | None = None,
    model: str = "scripted",
) -> dict[str, Any]:
    """A whole text completion, a choice for each text."""
    choices = [{"text": text, "index": index, "logprobs": None, "finish_reason": finish} for index, text in enumerate(texts)]
    head = {"id": "cmpl-scripted", "object": "text_completion", "created": 1_700_000_000, "model": model}
    return {**head, "choices": choices, **({} if usage is None else {"usage": usage_object(usage)})}


def embedding_list(
    *vectors: Sequence[float], base64: bool = False, usage: Mapping[str, int] | None = None, model: str = "scripted"
) -> dict[str, Any]:
    """The answer of an embeddings endpoint. ``base64``: each vector as little-endian floats of 32 bits."""
    data = [
        {"object": "embedding", "index": index, "embedding": base64_of(vector) if base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    counted = {"prompt_tokens": 1, "total_tokens": 1} if usage is None else dict(usage)
    return {"object": "list", "data": data, "model": model, **({"usage": counted} if counted else {})}


def base64_of(vector: Sequence[float]) -> str:
    """A vector as OpenAI's clients ask for it."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def document_script(document: Any) -> Script:
    """A script that answers with *document*, as JSON."""
    body = json.dumps(document).encode()
    return Script(Head(content_type=JSON, length=len(body)), Send(body))


def usual_answer(path: str, request: Mapping[str, Any]) -> Script | None:
    """What a server without scripts answers at *path*; None for a path of chats."""
    if path.endswith("/chat/completions"):
        return None
    if path.endswith("/messages"):
        return Script.messages("Hello", " world") if request.get("stream") is True else Script.message("Hello world")
    if path.endswith("/responses"):
        return Script.responses("Hello", " world") if request.get("stream") is True else Script.response("Hello world")
    if path.endswith("/completions"):
        if request.get("stream") is True:
            return Script.body(text_chunks("Hello", " world"))
        return document_script(text_completion("Hello world"))
    if path.endswith("/embeddings"):
        texts = request.get("input")
        several = isinstance(texts, list) and bool(texts) and isinstance(texts[0], str | list)
        vectors = [[0.25, -0.5, 1.0]] * (len(texts) if several and isinstance(texts, list) else 1)
        return document_script(embedding_list(*vectors, base64=request.get("encoding_format") == "base64"))
    if path.endswith("/rerank"):
        documents = request.get("documents") or []
        results = [{"index": index, "relevance_score": 1 / (index + 1)} for index in range(len(documents))]
        return document_script({"id": "rerank-scripted", "results": results[: request.get("top_n") or None]})
    return None
