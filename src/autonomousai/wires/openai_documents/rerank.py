"""Rankings as a `Wire`: ``POST /v1/rerank`` in the shape that Jina and Cohere have made usual, and vLLM and llama.cpp serve.

Documents are put in the order in which they answer a query. What an upstream answers is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from ...errors import StatusError
from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, Operation
from ..fields import FieldTable, RequestField, missing, table_of
from ..raw import RERANK_WIRE, raw_request
from ..raw_errors import read_raw_error
from ..request_body import decode_object, encode_request
from ..shapes import FLAG, OBJECT, TEXT, Shape, either, list_of, refusal, whole
from .document import DocumentWire, route_of

_TEXT_OR_OBJECT: Final = either("text or an object", {str: TEXT, dict: OBJECT})
_LIST: Final = list_of(_TEXT_OR_OBJECT)


def _check_documents(param: str, value: Any) -> Any:
    if value == []:
        raise refusal(param, "must not be an empty list")
    return _LIST.check(param, value)


RERANK: Final = FieldTable(
    name="RerankRequest",
    says="A request to rank documents. A field without a row is passed on to the upstream.",
    rows=table_of(
        RequestField("model", TEXT, "One of `GET /v1/models`, or an alias; absent or empty: the default model."),
        RequestField("query", _TEXT_OR_OBJECT, "What the documents are to answer.", needed=True),
        RequestField(
            "documents",
            Shape(_check_documents, {**_LIST.schema, "minItems": 1}),
            "The documents: texts, or objects that the upstream knows.",
            needed=True,
        ),
        RequestField("top_n", whole(1, 2**31 - 1), "Only so many of the best; absent: all."),
        RequestField("return_documents", FLAG, "Whether the answer repeats the documents."),
    ),
    ignored=frozenset({"stream"}),  # there is nothing to stream
)


class OpenAIRerankWire(DocumentWire):
    """``POST /v1/rerank``."""

    name = RERANK_WIRE
    title = "rankings"
    root = "/v1"
    paths: ClassVar[tuple[str, ...]] = ("/v1/rerank",)
    fields: ClassVar[FieldTable | None] = RERANK
    holds = "results"

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        document = decode_object(body)
        model = RERANK.take(document, "model")
        for name, what in (("query", "send what the documents are to answer"), ("documents", "send a list of texts")):
            if document.get(name) is None:
                raise missing(name, what, document, RERANK.rows)
        fields = RERANK.check(document)
        options = {name: value for name, value in fields.items() if name not in ("query", "documents")}
        return raw_request(self.name, model or "", fields, fields=options)

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        assert request.origin is not None
        return encode_request({"model": model, **request.origin.document})

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        return msgspec.json.encode({**self.members_of(events), "model": head.model, "x_autonomousai": route_of(extension)})

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> StatusError:
        """See `Wire.decode_error`."""
        return read_raw_error(self.name, status, body, headers, secrets=secrets)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        return Operation(
            id="rerank",
            summary="Rank documents",
            request="RerankRequest",
            answer="Ranking",
            event="",
            example={"model": "llama", "query": "What is the capital of France?", "documents": ["Berlin", "Paris"], "top_n": 1},
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        result = {
            "type": "object",
            "properties": {"index": {"type": "integer", "minimum": 0}, "relevance_score": {"type": "number"}},
        }
        return {
            "Ranking": {
                "type": "object",
                "description": "The documents by how well they answer the query, the best first; as the upstream says it.",
                "properties": {
                    "results": {"type": "array", "items": result},
                    "model": {"type": "string"},
                    "x_autonomousai": {"$ref": "#/components/schemas/AnswerRoute"},
                },
                "required": ["results", "model", "x_autonomousai"],
            }
        }


OPENAI_RERANK: Final = OpenAIRerankWire()
