"""Embeddings of the Gemini API (Gemini API reference, "batchEmbedContents"), asked for and answered as OpenAI's."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...events import Batch, Extra, FinishReason, Started
from ...request import ChatRequest
from ..json import BOM
from ..openai_chat.chunks import UNREADABLE
from ..openai_documents.embeddings import OpenAIEmbeddingsWire
from ..request_body import encode_request
from ..shapes import refusal
from .upstream_shapes import Json
from .upstream_usage import usage_of

#: Fields of the API's own, and those of OpenAI's, by their names there.
_FIELDS: Final = {"dimensions": "outputDimensionality", "taskType": "taskType", "task_type": "taskType", "title": "title"}


class _Vector(msgspec.Struct):
    values: msgspec.Raw


class _Vectors(msgspec.Struct):
    embeddings: list[_Vector] | None = None
    usageMetadata: dict[str, Any] | None = None  # noqa: N815  the API's own name


class _Requests(msgspec.Struct):
    requests: list[msgspec.Raw]


class GeminiEmbeddingsWire(OpenAIEmbeddingsWire):
    """``POST /v1beta/models/{model}:batchEmbedContents``."""

    holds = "embeddings"

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`. Raises `StatusError` 400 for tokens, of which the API has no vocabulary."""
        assert request.origin is not None
        document = request.origin.document
        said = document.get("input")
        texts = [said] if isinstance(said, str) else list(said or ())
        if not all(isinstance(text, str) for text in texts):
            raise refusal("input", "must be a text, or texts: the Gemini API takes no tokens")
        options: Json = {name: document[field] for field, name in _FIELDS.items() if document.get(field) is not None}
        named = model if "/" in model else f"models/{model}"
        requests = [{"model": named, "content": {"parts": [{"text": text}]}, **options} for text in texts]
        return encode_request({"requests": requests})

    def decode_answer(self, body: bytes) -> Batch:
        """See `Wire.decode_answer`."""
        try:
            answer = msgspec.json.decode(body.removeprefix(BOM), type=_Vectors)
        except UNREADABLE:
            raise self._no_answer(body) from None
        if answer.embeddings is None:
            raise self._no_answer(body)
        members = self.read_members({"data": msgspec.Raw(_as_entries(answer.embeddings))})
        return [Started(None), Extra(members, 0, self.name), FinishReason(None, "body", usage_of(answer.usageMetadata))]

    def check_answer(self, batch: Batch, asked: bytes) -> None:
        """See `Wire.check_answer`: vectors are distinguished by their order alone, so none may be missing."""
        self._check_count(batch, len(msgspec.json.decode(asked, type=_Requests).requests))


def _as_entries(vectors: list[_Vector]) -> bytes:
    return msgspec.json.encode([{"embedding": vector.values} for vector in vectors])


GEMINI_EMBEDDINGS: Final = GeminiEmbeddingsWire()
