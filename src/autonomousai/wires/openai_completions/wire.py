"""OpenAI's text completions as a `Wire` (OpenAI API reference, "Completions"): raw prompts, continued as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from ...errors import StatusError
from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, Operation, Wire
from ..fields import FieldTable
from ..openai_chat.completion import decode_completion
from ..openai_chat.decoder import ChatStreamDecoder
from ..openai_chat.wire import OneChoiceDecoder, asks_for_several
from ..raw import COMPLETIONS_WIRE
from ..raw_errors import read_raw_error
from .encoder import TextStreamEncoder, encode_text_completion
from .request import COMPLETIONS, read_completion_request, write_completion_request
from .schemas import text_completion_schemas


class OpenAICompletionsWire(Wire):
    """``POST /v1/completions``."""

    name = COMPLETIONS_WIRE
    title = "OpenAI's text completions"
    root = "/v1"
    paths: ClassVar[tuple[str, ...]] = ("/v1/completions",)
    fields: ClassVar[FieldTable | None] = COMPLETIONS

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        return read_completion_request(body)

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        return write_completion_request(request, model)

    # A server that answers in the shape of chat completions is understood, too.
    decoder: ClassVar[type[ChatStreamDecoder]] = ChatStreamDecoder
    decode_answer = staticmethod(decode_completion)

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> TextStreamEncoder:
        """See `Wire.encoder`."""
        return TextStreamEncoder(head, ids)

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        return encode_text_completion(events, head, extension=extension)

    def answer_id(self, request_id: str) -> str:
        """See `Wire.answer_id`."""
        return "cmpl-" + request_id.removeprefix("req_")

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> StatusError:
        """See `Wire.decode_error`."""
        return read_raw_error(COMPLETIONS_WIRE, status, body, headers, secrets=secrets)

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        return Operation(
            id="completions",
            summary="Continue a raw prompt",
            request="TextCompletionRequest",
            answer="TextCompletion",
            event="TextEvent",
            example={"model": "llama", "prompt": "The capital of France is", "max_tokens": 8},
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        return text_completion_schemas()


OPENAI_COMPLETIONS: Final = OpenAICompletionsWire()


class OneTextWire(OpenAICompletionsWire):
    """Text completions of which one choice was asked for: a choice that is alone in its chunk is that one."""

    decoder = OneChoiceDecoder


_ONE: Final = OneTextWire()


def wire_for(fields: Mapping[str, Any]) -> OpenAICompletionsWire:
    """Return what reads the answer to a request with these *fields*, whose ``n`` counts the choices of all prompts."""
    return OPENAI_COMPLETIONS if asks_for_several(fields) else _ONE
