"""Rankings as a `Wire`: ``POST /v1/rerank`` in the shape that Jina and Cohere have made usual, and vLLM and llama.cpp serve.

Documents are put in the order in which they answer a query. What an upstream answers is passed on, under the names that clients
read: other servers have `score`, a bare list, `data` in place of `results`, or documents that are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from ...errors import StatusError, StreamError
from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, Operation
from ..fields import FieldTable, RequestField, missing, table_of
from ..raw import RERANK_WIRE, raw_request
from ..raw_errors import read_raw_error
from ..request_body import decode_object, encode_request
from ..shapes import FLAG, OBJECT, TEXT, Shape, either, list_of, refusal, whole
from .document import DocumentWire, Members, route_of

_TEXT_OR_OBJECT: Final = either("text or an object", {str: TEXT, dict: OBJECT})
_LIST: Final = list_of(_TEXT_OR_OBJECT)


def _check_documents(param: str, value: Any) -> Any:
    if value == []:
        raise refusal(param, "must not be an empty list")
    return _LIST.check(param, value)


_decode_results: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode

#: What servers call how well a document answers.
_SCORES: Final = ("relevance_score", "score", "similarity")

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
        echo = {"top_n": fields.get("top_n")}
        if fields.get("return_documents"):
            echo["documents"] = fields["documents"]
        return raw_request(self.name, model or "", fields, fields=options, echo=echo)

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        assert request.origin is not None
        return encode_request({"model": model, **request.origin.document})

    def _unwrapped(self, members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """See `DocumentWire._unwrapped`; some servers have the list under the name that OpenAI's lists have."""
        members = super()._unwrapped(members)
        data = members.get("data")
        if self.holds not in members and data is not None and bytes(data)[:1] == b"[":
            return {self.holds: data, **{name: value for name, value in members.items() if name not in ("object", "data")}}
        return members

    def read_members(self, members: dict[str, msgspec.Raw]) -> Members:
        """See `DocumentWire.read_members`: the results, the best first, as most servers sort them."""
        try:
            results = [_result_of(entry, place) for place, entry in enumerate(_decode_results(members["results"]))]
        except msgspec.DecodeError as error:
            raise StreamError(f"the ranking cannot be read: {error}", status=200, retryable=True) from None
        results.sort(key=lambda result: -result["relevance_score"])
        return {**members, "results": results}

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        members, echo = self.members_of(events), head.echo or {}
        results = members["results"][: echo.get("top_n")]
        if (documents := echo.get("documents")) is not None:
            results = [_with_document(result, documents) for result in results]
        return msgspec.json.encode({**members, "results": results, "model": head.model, "x_autonomousai": route_of(extension)})

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
                "description": "The documents by how well they answer the query, the best first.",
                "properties": {
                    "results": {"type": "array", "items": result},
                    "model": {"type": "string"},
                    "x_autonomousai": {"$ref": "#/components/schemas/AnswerRoute"},
                },
                "required": ["results", "model", "x_autonomousai"],
            }
        }


def _result_of(entry: dict[str, Any], place: int) -> dict[str, Any]:
    """Return one result as clients read it. Raises `StreamError` where it does not say how well its document answers."""
    name = next((each for each in _SCORES if type(entry.get(each)) in (int, float)), None)
    if name is None:
        raise StreamError("the answer lacks scores", status=200, retryable=True)
    index, document = entry.get("index"), entry.get("document", entry.get("text"))
    result = {"index": index if type(index) is int else place, "relevance_score": entry[name]}
    result |= {key: value for key, value in entry.items() if key not in (*result, name, "document", "text")}
    if document is not None:
        result["document"] = {"text": document} if isinstance(document, str) else document
    return result


def _with_document(result: dict[str, Any], documents: list[Any]) -> dict[str, Any]:
    """Return a result with its document, where the upstream did not repeat it."""
    if "document" in result or not 0 <= result["index"] < len(documents):
        return result
    document = documents[result["index"]]
    return {**result, "document": {"text": document} if isinstance(document, str) else document}


OPENAI_RERANK: Final = OpenAIRerankWire()
