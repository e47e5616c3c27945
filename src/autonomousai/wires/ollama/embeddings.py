"""Embeddings over Ollama's API (Ollama API reference, "Generate embeddings"): asked of upstreams as OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from ...events import Batch, FinishReason
from ...request import ChatRequest
from ..base import AnswerHead, Operation
from ..fields import FieldTable, RequestField, table_of
from ..openai_documents.document import DocumentWire, route_of
from ..openai_documents.embeddings import OPENAI_EMBEDDINGS, in_format
from ..prompts import texts_or_tokens
from ..raw import raw_request
from ..request_body import decode_object
from ..shapes import ANYTHING, FLAG, NAME, OBJECT, TEXT, Schema, Shape, whole
from .errors import encode_ollama_error
from .request import EMPTY

#: Where one text is embedded, which is the older way; and the member of an answer's echo that says so.
_ONE: Final = "/api/embeddings"
_ALONE: Final = "one"

#: What stands where there is no text.
_NOTHING: Final[tuple[Any, ...]] = (None, "", [])

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}

_MODEL: Final = RequestField("model", TEXT, "One of `GET /api/tags`, or an alias; absent or empty: the default model.")
_SHARED: Final = (
    RequestField("dimensions", whole(1, 2**31 - 1), "How many numbers a vector has."),
    RequestField(
        "truncate",
        FLAG,
        "Whether a text that is too long is cut, which is so unless it is false; other upstreams than the engine decide.",
        becomes="",
    ),
    RequestField("options", OBJECT, "Options of the model; none are for embeddings.", becomes=""),
    RequestField("keep_alive", ANYTHING, "How long the model stays loaded.", becomes=""),
)


def _or_nothing(shape: Shape, *nothing: Any) -> Shape:
    """Return the *shape* of texts, or of *nothing*, of which there are no vectors."""
    return Shape(
        lambda param, value: value if value in nothing else shape.check(param, value),
        {"anyOf": [shape.schema, {"enum": list(nothing)}]},
    )


EMBED_FIELDS: Final = FieldTable(
    name="OllamaEmbedRequest",
    says="A request of Ollama's `/api/embed`. A field without a row is ignored.",
    rows=table_of(
        _MODEL,
        RequestField("input", _or_nothing(texts_or_tokens(NAME), "", []), "A text, or a list of texts; none empty but all."),
        *_SHARED,
    ),
    ignored=frozenset({"stream"}),
)

ONE_FIELDS: Final = FieldTable(
    name="OllamaEmbeddingRequest",
    says="A request of Ollama's older `/api/embeddings`. A field without a row is ignored.",
    rows=table_of(_MODEL, RequestField("prompt", _or_nothing(NAME, ""), "The text."), *_SHARED),
    ignored=frozenset({"stream"}),
)


class OllamaEmbedWire(DocumentWire):
    """``POST /api/embed``, and ``POST /api/embeddings``."""

    name = "ollama_embed"
    title = "Ollama's embeddings"
    paths: ClassVar[tuple[str, ...]] = ("/api/embed", _ONE)
    fields: ClassVar[FieldTable | None] = EMBED_FIELDS
    further_fields = (ONE_FIELDS,)
    holds = "embeddings"
    tells_durations = True
    takes_any_type = True

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        document = decode_object(body)
        is_one = path == _ONE
        table, wanted, other = (ONE_FIELDS, "prompt", "input") if is_one else (EMBED_FIELDS, "input", "prompt")
        if document.get(wanted) in _NOTHING:
            there = document.pop(other, None)
            document[wanted] = None if there in _NOTHING else there  # under the name that it has at the other path
        model = table.take(document, "model")
        echo = {_ALONE: True} if is_one else {}
        texts = table.take(document, wanted)
        checked = table.check(document)
        if texts in _NOTHING:
            return ChatRequest(model or "", [], echo={**echo, EMPTY: "load"})
        fields = {name: checked[name] for name in ("dimensions",) if name in checked}
        return raw_request(
            OPENAI_EMBEDDINGS.name,
            model or "",
            {"input": texts, **fields},
            # Other servers have no word for it, and judge themselves.
            fields={**fields, "truncate": checked.get("truncate", True)},
            echo=echo or None,
        )

    def end_at_once(self, request: ChatRequest) -> FinishReason | None:
        """See `Wire.end_at_once`: of no text there are no vectors."""
        return FinishReason("load", "done") if request.echo and EMPTY in request.echo else None

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        echo = head.echo or {}
        entries = [] if EMPTY in echo else OPENAI_EMBEDDINGS.members_of(events)["data"]
        vectors = [in_format(entry["embedding"], "float") for entry in entries]
        if _ALONE in echo:
            return msgspec.json.encode({"embedding": vectors[0] if vectors else []})
        finish = events[-1]
        usage = finish.usage if type(finish) is FinishReason else None
        return msgspec.json.encode(
            {
                "model": head.model,
                "embeddings": vectors,
                **({} if head.durations is None else {"total_duration": head.durations()[0], "load_duration": 0}),
                **({} if usage is None else {"prompt_eval_count": usage.prompt_tokens}),
                **({} if extension is None else {"x_autonomousai": route_of(extension)}),
            }
        )

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """See `Wire.encode_error`."""
        return encode_ollama_error(error)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        if path == _ONE:
            return Operation(
                id="ollamaEmbedding",
                summary=f"Make one of {self.title}",
                request=ONE_FIELDS.name,
                answer="OllamaEmbedding",
                event="",
                example={"model": "llama", "prompt": "The capital of France"},
                error="OllamaError",
            )
        return Operation(
            id="ollamaEmbed",
            summary=f"Make {self.title}",
            request=EMBED_FIELDS.name,
            answer="OllamaEmbeddings",
            event="",
            example={"model": "llama", "input": ["The capital of France", "Paris"]},
            error="OllamaError",
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        vector = {"type": "array", "items": {"type": "number"}}
        return {
            "OllamaEmbeddings": {
                "type": "object",
                "description": "A vector for each text, in their order.",
                "properties": {
                    "model": {"type": "string"},
                    "embeddings": {"type": "array", "items": vector},
                    **dict.fromkeys(("total_duration", "load_duration", "prompt_eval_count"), _COUNT),
                    "x_autonomousai": {"$ref": "#/components/schemas/AnswerRoute"},
                },
                "required": ["model", "embeddings"],
            },
            "OllamaEmbedding": {"type": "object", "properties": {"embedding": vector}, "required": ["embedding"]},
        }


OLLAMA_EMBED: Final = OllamaEmbedWire()
