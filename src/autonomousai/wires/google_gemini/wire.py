"""Google's Gemini API as a `Wire` (Gemini API reference, "models.generateContent", "models.streamGenerateContent",
"models.countTokens", "models.list")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs

import msgspec

from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, ListedModel, Operation, StreamEncoder, Wire
from ..fields import FieldTable
from ..raw import GEMINI_WIRE as WIRE
from .encoder import ARRAY_PING, PING, GeminiArrayEncoder, GeminiStreamEncoder, encode_gemini_answer, error_event
from .errors import encode_gemini_error, error_document
from .models import MODEL_SCHEMAS, list_of_models, model_info
from .paths import COUNT, GENERATE, MODELS, STREAM
from .request import COUNT_REQUEST, GENERATE_REQUEST, read_generate_request
from .schemas import ANSWER_SCHEMAS

_EXAMPLE: Final = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

_ERROR: Final = "GeminiError"


class GoogleGeminiWire(Wire):
    """``POST /v1beta/models/{model}:generateContent`` and ``:streamGenerateContent``, as server-sent events."""

    name = WIRE
    title = "the Gemini API"
    paths: ClassVar[tuple[str, ...]] = (GENERATE, STREAM)
    fields: ClassVar[FieldTable | None] = GENERATE_REQUEST
    has_comments = False
    key_header = "x-goog-api-key"
    key_query = "key"
    count_path = COUNT
    count_fields: ClassVar[FieldTable | None] = COUNT_REQUEST
    further_paths = ("/v1beta", "/v1alpha")
    models_path = MODELS
    models_header = "x-goog-api-key"
    models_schema = "GeminiModelList"
    model_schema = "GeminiModel"
    ping = PING

    def in_form(self, query: bytes) -> Wire:
        """See `Wire.in_form`: events where ``alt=sse`` asks for them."""
        asked = parse_qs(query.decode("latin-1"))
        return self if "sse" in (*asked.get("alt", ()), *asked.get("$alt", ())) else _ARRAY

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`. The path names the model."""
        return read_generate_request(body, path)

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        """See `Wire.encoder`; each event is complete in itself."""
        return GeminiStreamEncoder(head, ids)

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        return encode_gemini_answer(events, head, extension=extension)

    def encode_count(self, tokens: int) -> bytes:
        """See `Wire.encode_count`."""
        return b'{"totalTokens":%d}' % tokens

    def encode_models(self, models: Sequence[ListedModel]) -> bytes:
        """See `Wire.encode_models`."""
        return msgspec.json.encode(list_of_models(models))

    def encode_model(self, model: ListedModel) -> bytes:
        """See `Wire.encode_model`."""
        return msgspec.json.encode(model_info(model))

    def answer_id(self, request_id: str) -> str:
        """See `Wire.answer_id`."""
        return request_id.removeprefix("req_")

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """See `Wire.encode_error`."""
        return encode_gemini_error(error)

    def encode_error_event(self, error: BaseException) -> bytes:
        """See `Wire.encode_error_event`."""
        return error_event(error)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        if path == COUNT:
            return Operation(
                id="geminiCountTokens",
                summary=f"Count the tokens of a request, over {self.title}",
                request=COUNT_REQUEST.name,
                answer="GeminiTokenCount",
                event="",
                example=_EXAMPLE,
                error=_ERROR,
            )
        if path == STREAM:
            return Operation(
                id="geminiStreamGenerateContent",
                summary=f"Ask a model for a stream, over {self.title}",
                request=GENERATE_REQUEST.name,
                answer="GeminiAnswers",
                event="GeminiAnswer",
                example=_EXAMPLE,
                error=_ERROR,
                query={"alt": "`sse`: the stream comes as server-sent events; otherwise as one JSON array."},
            )
        return Operation(
            id="geminiGenerateContent",
            summary=f"Ask a model, over {self.title}",
            request=GENERATE_REQUEST.name,
            answer="GeminiAnswer",
            event="",
            example=_EXAMPLE,
            error=_ERROR,
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        return {**ANSWER_SCHEMAS, **MODEL_SCHEMAS}


class _GeminiArrayWire(GoogleGeminiWire):
    """The same, with streams that are one JSON array."""

    has_events = False
    stream_type = b"application/json"
    ping = ARRAY_PING

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        """See `Wire.encoder`; nothing in an array has an id."""
        return GeminiArrayEncoder(head)

    def encode_error_event(self, error: BaseException) -> bytes:
        """See `Wire.encode_error_event`: an array that is not closed."""
        return b"[" + error_document(error)


GOOGLE_GEMINI: Final = GoogleGeminiWire()
_ARRAY: Final = _GeminiArrayWire()
