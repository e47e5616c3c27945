"""Ollama's own API as a `Wire` (Ollama API reference). It is served, and spoken to no upstream: Ollama has OpenAI's too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from ...events import Batch, FinishReason
from ...request import ChatRequest
from ..base import AnswerHead, ListedModel, Operation, Wire
from ..fields import FieldTable
from .encoder import PING, OllamaStreamEncoder, encode_ollama_answer
from .errors import encode_ollama_error, error_line
from .models import MODEL_SCHEMAS, list_of_models
from .request import CHAT_FIELDS, EMPTY, GENERATE_FIELDS, PULL_FIELDS, SHOW_FIELDS, WIRE, read_ollama_chat, read_ollama_generate
from .schemas import ANSWER_SCHEMAS

_CHAT: Final = "/api/chat"
_GENERATE: Final = "/api/generate"

#: The details of a model, the version, and what is not served: the store of models is its operator's.
_STORE: Final = ("pull", "push", "create", "copy", "delete", "blobs", "ps", "me", "signout", "web_search", "web_fetch")
_FURTHER: Final = tuple(f"/api/{name}" for name in ("show", "version", *_STORE))


class OllamaWire(Wire):
    """``POST /api/chat``, and ``POST /api/generate``."""

    name = WIRE
    title = "Ollama's own API"
    paths: ClassVar[tuple[str, ...]] = (_CHAT, _GENERATE)
    fields: ClassVar[FieldTable | None] = CHAT_FIELDS
    further_fields = (GENERATE_FIELDS, SHOW_FIELDS, PULL_FIELDS)
    further_paths = _FURTHER
    models_path = "/api/tags"
    models_schema = "OllamaModelList"
    has_events = False
    tells_durations = True
    takes_any_type = True
    ping = PING

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        return read_ollama_generate(body) if path == _GENERATE else read_ollama_chat(body)

    def end_at_once(self, request: ChatRequest) -> FinishReason | None:
        """See `Wire.end_at_once`: a model is loaded, or unloaded, by a request without messages."""
        reason = (request.echo or {}).get(EMPTY)
        return None if reason is None else FinishReason(reason, "done")

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> OllamaStreamEncoder:
        """See `Wire.encoder`; lines have no ids."""
        return OllamaStreamEncoder(head)

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        return encode_ollama_answer(events, head, extension=extension)

    def encode_models(self, models: Sequence[ListedModel]) -> bytes:
        """See `Wire.encode_models`."""
        return msgspec.json.encode(list_of_models(models))

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """See `Wire.encode_error`."""
        return encode_ollama_error(error)

    def encode_error_event(self, error: BaseException) -> bytes:
        """See `Wire.encode_error_event`."""
        return error_line(error)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        if path == _GENERATE:
            return Operation(
                id="ollamaGenerate",
                summary=f"Ask with one prompt, over {self.title}",
                request=GENERATE_FIELDS.name,
                answer="OllamaGenerated",
                event="OllamaGenerated",
                example={"model": "llama", "prompt": "Hello", "stream": False},
                error="OllamaError",
            )
        return Operation(
            id="ollamaChat",
            summary=f"Ask a model, over {self.title}",
            request=CHAT_FIELDS.name,
            answer="OllamaAnswer",
            event="OllamaAnswer",
            example={"model": "llama", "messages": [{"role": "user", "content": "Hello"}], "stream": False},
            error="OllamaError",
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        return {**ANSWER_SCHEMAS, **MODEL_SCHEMAS}


OLLAMA: Final = OllamaWire()
