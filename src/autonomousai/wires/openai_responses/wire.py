"""OpenAI's Responses API as a `Wire` (OpenAI API reference, "Responses"; Open Responses)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, Operation, Wire
from ..fields import FieldTable
from .answer import encode_response, write_short_stream
from .decoder import ResponsesStreamDecoder
from .document import decode_response
from .encoder import ResponsesStreamEncoder, encode_error_event
from .errors import write_error
from .request import COUNTED, RESPONSES, read_responses_request
from .schemas import SCHEMAS
from .upstream_request import write_response_request
from .usual_request import read_usual_response

#: The end of the path where tokens are counted.
_COUNT: Final = "/input_tokens"


class OpenAIResponsesWire(Wire):
    """``POST /v1/responses``."""

    name = "openai_responses"
    title = "the Responses API"
    root = "/v1"
    keeps_order = True
    paths: ClassVar[tuple[str, ...]] = ("/v1/responses",)
    fields: ClassVar[FieldTable | None] = RESPONSES
    count_path = "/v1/responses/input_tokens"
    count_fields: ClassVar[FieldTable | None] = COUNTED

    decode_usual = staticmethod(read_usual_response)

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        request = read_usual_response(body) or read_responses_request(body)
        if path.endswith(_COUNT) and request.origin is not None:
            COUNTED.take(dict(request.origin.document), "previous_response_id")
        return request

    def encode_count(self, tokens: int) -> bytes:
        """See `Wire.encode_count`."""
        return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> ResponsesStreamEncoder:
        """See `Wire.encoder`."""
        return ResponsesStreamEncoder(head, ids=ids, begun=begun)

    def encode_stream(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_stream`."""
        stream = write_short_stream(events, head, extension)
        return super().encode_stream(events, head, extension=extension) if stream is None else stream

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        return encode_response(events, head, extension=extension)

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """See `Wire.encode_error`."""
        return write_error(error)

    def encode_error_event(self, error: BaseException) -> bytes:
        """See `Wire.encode_error_event`."""
        return encode_error_event(error)

    def answer_id(self, request_id: str) -> str:
        """See `Wire.answer_id`."""
        return "resp_" + request_id.removeprefix("req_")

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        return write_response_request(model, request)

    decoder = ResponsesStreamDecoder
    decode_answer = staticmethod(decode_response)

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        return SCHEMAS

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        example = {"model": "llama", "input": "Hello"}
        if path == self.count_path:
            return Operation(
                id="countInputTokens",
                summary=f"Count the tokens of a request, over {self.title}",
                request=COUNTED.name,
                answer="InputTokens",
                event="",
                example=example,
            )
        return Operation(
            id="createResponse",
            summary=f"Ask a model, over {self.title}",
            request=RESPONSES.name,
            answer="Response",
            event="ResponsesEvent",
            example={**example, "max_output_tokens": 20},
        )


OPENAI_RESPONSES: Final = OpenAIResponsesWire()
