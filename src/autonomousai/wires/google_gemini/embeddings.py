"""Embeddings over the Gemini API (Gemini API reference, "models.embedContent", "models.batchEmbedContents"): asked of upstreams
as OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from ...events import Batch, FinishReason
from ...request import ChatRequest
from ..base import AnswerHead, Operation
from ..fields import FieldTable, RequestField, missing, table_of
from ..openai_documents.document import DocumentWire, route_of
from ..openai_documents.embeddings import OPENAI_EMBEDDINGS, in_format
from ..raw import raw_request
from ..request_body import decode_object
from ..shapes import ANYTHING, TEXT, Shape, check_type, list_of, object_of, refusal, whole
from .content import parts_of, text_of
from .errors import encode_gemini_error
from .member_names import EMBEDDING, EMBEDDINGS, with_camel_case
from .paths import EMBED, EMBED_SEVERAL
from .request_shapes import TEXTS

_SIZE: Final = whole(1, 2**31 - 1)

_SHARED: Final = (
    RequestField("model", TEXT, "The model is the one that the path names; this changes nothing.", becomes=""),
    RequestField("outputDimensionality", _SIZE, "How many numbers a vector has."),
    RequestField("taskType", ANYTHING, "What the vectors are for: left out.", becomes=""),
    RequestField("title", ANYTHING, "The title of a document: left out.", becomes=""),
)

EMBED_REQUEST: Final = FieldTable(
    name="GeminiEmbedRequest",
    says="A request of the Gemini API's `embedContent`. A field without a row is ignored.",
    rows=table_of(RequestField("content", TEXTS, "The text: all texts of its parts.", needed=True), *_SHARED),
)

_REQUEST: Final = object_of({"content": TEXTS, "outputDimensionality": _SIZE}, ("content",))


def _check_requests(param: str, value: Any) -> Any:
    check_type(param, value, list)
    if not value:
        raise refusal(param, "must not be an empty list")
    return list_of(_REQUEST).check(param, value)


BATCH_REQUEST: Final = FieldTable(
    name="GeminiBatchEmbedRequest",
    says="A request of the Gemini API's `batchEmbedContents`. A field without a row is ignored.",
    rows=table_of(
        RequestField(
            "requests",
            Shape(_check_requests, {**list_of(_REQUEST).schema, "minItems": 1}),
            "Requests of `embedContent`; all want as many numbers.",
            needed=True,
        )
    ),
)


class GoogleGeminiEmbedWire(DocumentWire):
    """``POST /v1beta/models/{model}:embedContent`` and ``:batchEmbedContents``."""

    name = "google_gemini_embed"
    title = "the Gemini API's embeddings"
    paths: ClassVar[tuple[str, ...]] = (EMBED, EMBED_SEVERAL)
    fields: ClassVar[FieldTable | None] = EMBED_REQUEST
    further_fields = (BATCH_REQUEST,)
    holds = "embeddings"

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`. The path names the model."""
        document = decode_object(body)
        if path == EMBED:
            asked = [_checked(EMBED_REQUEST, with_camel_case(document, EMBEDDING), "content")]
        else:
            asked = _checked(BATCH_REQUEST, with_camel_case(document, EMBEDDINGS), "requests")["requests"]
        sizes = {_size_of(each) for each in asked}
        if len(sizes) > 1:
            raise refusal("requests", "must all have one outputDimensionality; send the others by themselves")
        texts = [text_of(parts_of(each["content"])) for each in asked]
        size = next(iter(sizes))
        fields = {} if size is None else {"dimensions": size}
        echo = {"one": True} if path == EMBED else None
        return raw_request(OPENAI_EMBEDDINGS.name, "", {"input": texts, **fields}, fields=fields, echo=echo)

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        entries = OPENAI_EMBEDDINGS.members_of(events)["data"]
        vectors = [{"values": in_format(entry["embedding"], "float")} for entry in entries]
        finish = events[-1]
        usage = finish.usage if type(finish) is FinishReason else None
        return msgspec.json.encode(
            {
                **({"embeddings": vectors} if head.echo is None else {"embedding": vectors[0]}),
                **({} if usage is None else {"usageMetadata": {"promptTokenCount": usage.prompt_tokens}}),
                "x_autonomousai": route_of(extension),
            }
        )

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """See `Wire.encode_error`."""
        return encode_gemini_error(error)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        content = {"parts": [{"text": "The capital of France"}]}
        if path == EMBED:
            return Operation(
                id="geminiEmbedContent",
                summary=f"Make one of {self.title}",
                request=EMBED_REQUEST.name,
                answer="GeminiEmbedding",
                event="",
                example={"content": content},
                error="GeminiError",
            )
        return Operation(
            id="geminiBatchEmbedContents",
            summary=f"Make {self.title}",
            request=BATCH_REQUEST.name,
            answer="GeminiEmbeddings",
            event="",
            example={"requests": [{"content": content}]},
            error="GeminiError",
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        vector = {
            "type": "object",
            "properties": {"values": {"type": "array", "items": {"type": "number"}}},
            "required": ["values"],
        }
        route = {"$ref": "#/components/schemas/AnswerRoute"}
        usage = {"type": "object", "properties": {"promptTokenCount": {"type": "integer", "minimum": 0}}}
        several = {"type": "array", "items": vector, "minItems": 1}
        return {
            name: {
                "type": "object",
                "properties": {member: schema, "usageMetadata": usage, "x_autonomousai": route},
                "required": [member],
            }
            for name, member, schema in (
                ("GeminiEmbedding", "embedding", vector),
                ("GeminiEmbeddings", "embeddings", several),
            )
        }


def _checked(table: FieldTable, document: dict[str, Any], needed: str) -> dict[str, Any]:
    if document.get(needed) is None:
        raise missing(needed, "send what is to be embedded", document, table.rows)
    if "model" in table.rows:
        table.take(document, "model")
    return table.check(document)


def _size_of(asked: dict[str, Any]) -> Any:
    """Return how many numbers a vector is to have: newer clients say it in an object of its own."""
    config = asked.get("embedContentConfig")
    inner = config.get("outputDimensionality") if isinstance(config, dict) else None
    return inner if asked.get("outputDimensionality") is None else asked["outputDimensionality"]


GOOGLE_GEMINI_EMBED: Final = GoogleGeminiEmbedWire()
