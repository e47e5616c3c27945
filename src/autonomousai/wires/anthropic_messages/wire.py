"""Anthropic's Messages API as a `Wire` (Anthropic API reference, "Messages": create, streaming, errors)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from ...errors import StatusError
from ...events import Batch
from ...request import ChatRequest
from ..base import AnswerHead, ListedModel, Operation, Wire
from ..fields import FieldTable
from .answer import encode_message, write_short_stream
from .decoder import MessageStreamDecoder
from .document import decode_message
from .encoder import PING, MessagesStreamEncoder
from .errors import write_error, write_error_event
from .message import WIRE
from .models import MODEL_SCHEMAS, list_of_models, model_info
from .request import COUNT_REQUEST, MESSAGES_REQUEST, read_messages_request
from .schemas import ANSWER_SCHEMAS
from .short_answer import END, read_short_message
from .upstream_errors import read_messages_error
from .upstream_request import write_messages_request
from .usual_request import read_usual_messages

#: The end of the path where tokens are counted.
_COUNT: Final = "/count_tokens"


class AnthropicMessagesWire(Wire):
    """``POST /v1/messages``."""

    name = WIRE
    title = "the Anthropic API"
    paths: ClassVar[tuple[str, ...]] = ("/v1/messages",)
    fields: ClassVar[FieldTable | None] = MESSAGES_REQUEST
    key_header = "x-api-key"
    id_header = "request-id"
    passed_headers = ("anthropic-beta",)
    models_header = "anthropic-version"
    models_schema = "MessagesModelList"
    model_schema = "MessagesModel"
    keeps_order = True
    count_path = "/v1/messages/count_tokens"
    count_fields: ClassVar[FieldTable | None] = COUNT_REQUEST
    ping = PING

    decode_usual = staticmethod(read_usual_messages)

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        if path.endswith(_COUNT):
            return read_messages_request(body, COUNT_REQUEST)
        return read_usual_messages(body) or read_messages_request(body)

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> MessagesStreamEncoder:
        """See `Wire.encoder`."""
        return MessagesStreamEncoder(head, ids=ids, begun=begun)

    def encode_stream(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_stream`."""
        stream = write_short_stream(events, head, extension)
        return super().encode_stream(events, head, extension=extension) if stream is None else stream

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        return encode_message(events, head, extension=extension)

    def encode_count(self, tokens: int) -> bytes:
        """See `Wire.encode_count`."""
        return b'{"input_tokens":%d}' % tokens

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        example: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}
        if path == self.count_path:
            return Operation(
                id="countTokens",
                summary=f"Count the tokens of a request, over {self.title}",
                request=COUNT_REQUEST.name,
                answer="TokenCount",
                event="",
                example=example,
                error="MessagesError",
            )
        return Operation(
            id="messages",
            summary=f"Ask a model, over {self.title}",
            request=MESSAGES_REQUEST.name,
            answer="MessagesAnswer",
            event="MessagesEvent",
            example={**example, "max_tokens": 20},
            error="MessagesError",
        )

    def schemas(self) -> Mapping[str, Any]:
        """See `Wire.schemas`."""
        return {**ANSWER_SCHEMAS, **MODEL_SCHEMAS}

    def encode_models(self, models: Sequence[ListedModel]) -> bytes:
        """See `Wire.encode_models`: all of them are one page."""
        return msgspec.json.encode(list_of_models(models))

    def encode_model(self, model: ListedModel) -> bytes:
        """See `Wire.encode_model`."""
        return msgspec.json.encode(model_info(model))

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        return write_messages_request(request, model)

    decoder = MessageStreamDecoder
    decode_answer = staticmethod(decode_message)
    decode_short = staticmethod(read_short_message)
    short_end = END

    def decode_error(self, status: int, body: bytes, headers: Mapping[str, str], *, secrets: Iterable[str] = ()) -> StatusError:
        """See `Wire.decode_error`; where no pause is asked for, it lasts until the spent limit is filled again."""
        return read_messages_error(status, body, headers, secrets=secrets)

    def answer_id(self, request_id: str) -> str:
        """See `Wire.answer_id`."""
        return "msg_" + request_id.removeprefix("req_")

    def encode_error(self, error: BaseException, request_id: str = "") -> tuple[int, dict[str, str], bytes]:
        """See `Wire.encode_error`."""
        return write_error(error, request_id)

    def encode_error_event(self, error: BaseException) -> bytes:
        """See `Wire.encode_error_event`."""
        return write_error_event(error)


ANTHROPIC_MESSAGES: Final = AnthropicMessagesWire()
