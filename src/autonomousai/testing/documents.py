"""Answers of OpenAI's further endpoints, for scripts: text completions, embeddings, rankings. Written with `json` alone, as
`scripts` is."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

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


def usual_answer(method: str, target: str, body: bytes) -> Script:
    """What a server without scripts answers: as the API of the path would, and a 404 where the path is none of them.

    A body that is no JSON object gets a 400, as it would anywhere; none at all is an empty object.
    """
    path = target.partition("?")[0].rstrip("/")
    if method == "GET" and path.endswith("/models"):
        model = {"id": "scripted", "object": "model", "created": 1_700_000_000, "owned_by": "autonomousai.testing"}
        return document_script({"object": "list", "data": [model]})
    answer = next(
        (answer for end, answer in _ANSWERS.items() if path.endswith(end)), _chat if not path or "/ai/" in path else None
    )
    if answer is None:
        told = f"no script was played for {method} {path}, and it is no path of a known API: play(script, path={path!r})"
        return _refused(404, told)
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        return _refused(400, f"the request's body is no JSON: {error}")
    return answer(request) if isinstance(request, dict) else _refused(400, "the request's body is JSON, but no object")


def _refused(status: int, told: str) -> Script:
    error = {"message": f"autonomousai.testing: {told}", "type": "invalid_request_error", "param": None, "code": None}
    return Script.status(status, {"type": "error", "error": error})


def _chat(request: Mapping[str, Any]) -> Script:
    return Script.stream("Hello", " world") if request.get("stream") is True else Script.document("Hello world")


def _messages(request: Mapping[str, Any]) -> Script:
    return Script.messages("Hello", " world") if request.get("stream") is True else Script.message("Hello world")


def _responses(request: Mapping[str, Any]) -> Script:
    return Script.responses("Hello", " world") if request.get("stream") is True else Script.response("Hello world")


def _texts(request: Mapping[str, Any]) -> Script:
    if request.get("stream") is True:
        return Script.body(text_chunks("Hello", " world"))
    return document_script(text_completion("Hello world"))


def _embeddings(request: Mapping[str, Any]) -> Script:
    texts = request.get("input")
    several = isinstance(texts, list) and bool(texts) and isinstance(texts[0], str | list)
    vectors = [[0.25, -0.5, 1.0]] * (len(texts) if several and isinstance(texts, list) else 1)
    return document_script(embedding_list(*vectors, base64=request.get("encoding_format") == "base64"))


def _ranking(request: Mapping[str, Any]) -> Script:
    documents = request.get("documents") or []
    results = [{"index": index, "relevance_score": 1 / (index + 1)} for index in range(len(documents))]
    return document_script({"id": "rerank-scripted", "results": results[: request.get("top_n") or None]})


def _gemini(request: Mapping[str, Any]) -> Script:
    return Script.gemini_document("Hello world")


def _gemini_stream(request: Mapping[str, Any]) -> Script:
    return Script.gemini("Hello", " world")


def _gemini_vectors(request: Mapping[str, Any]) -> Script:
    asked = request.get("requests")
    count = len(asked) if isinstance(asked, list) else 0
    return document_script({"embeddings": [{"values": [0.25, -0.5, 1.0]}] * count})


#: The end of a path -> what its API answers. Chats of the hosted service are below ``/ai/``; the root is chats' too.
_ANSWERS: Final[dict[str, Callable[[Mapping[str, Any]], Script]]] = {
    "/chat/completions": _chat,
    "/messages": _messages,
    "/responses": _responses,
    "/completions": _texts,
    "/embeddings": _embeddings,
    "/rerank": _ranking,
    ":generateContent": _gemini,
    ":streamGenerateContent": _gemini_stream,
    ":countTokens": lambda request: document_script({"totalTokens": 3}),
    ":embedContent": lambda request: document_script({"embedding": {"values": [0.25, -0.5, 1.0]}}),
    ":batchEmbedContents": _gemini_vectors,
}
