"""OpenAI's chat completions as a `Wire` (OpenAI API reference, "Chat completions": create, streaming)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ...events import Batch, FinishReason
from ...request import ChatRequest
from ..base import AnswerHead, Operation, StreamEncoder, Wire
from ..fields import FieldTable
from ..request_body import decode_object, write_chat_request
from ..tool_names import CUSTOM, NAMES
from ..usual_request import read_usual_request
from .chunks import Chunk
from .completion import decode_completion, encode_completion
from .decoder import ChatStreamDecoder
from .encoder import ChatStreamEncoder
from .older_calls import OLDER, older_document, older_events
from .request import CHAT, read_chat_document
from .short_answer import read_short_stream
from .short_writer import write_short_answer, write_short_stream
from .usual import UsualChunk


class OneChoiceDecoder(ChatStreamDecoder):
    """Reads an answer of which one choice was asked for: a choice that is alone in its chunk is that one, whatever its number.
    Some servers count tokens or chunks there. Documents are read so too."""

    __slots__ = ()

    def _read_object(self, obj: dict[str, Any], chunk: Chunk, data: bytes, event: str, batch: Batch) -> None:
        choices = chunk.choices
        if choices and len(choices) == 1 and choices[0].index:
            choices[0].index = 0
            if isinstance(said := obj["choices"], list):
                obj = {**obj, "choices": [{**choice, "index": 0} for choice in said if isinstance(choice, dict)]}
        super()._read_object(obj, chunk, data, event, batch)


class OpenAIChatWire(Wire):
    """``POST /v1/chat/completions``."""

    name = "openai_chat"
    title = "the OpenAI API"
    root = "/v1"
    paths: ClassVar[tuple[str, ...]] = ("/v1/chat/completions",)
    fields: ClassVar[FieldTable | None] = CHAT
    key_header = "api-key"  # Azure's
    count_path: ClassVar[str | None] = "/v1/chat/completions/input_tokens"  # as at llama.cpp's server

    #: Whether the finish reason stands beside the choices as well as in them, and usage comes unasked.
    finish_reason_at_top = False

    decode_usual = staticmethod(read_usual_request)

    def decode_request(self, body: bytes, path: str) -> ChatRequest:
        """See `Wire.decode_request`."""
        usual = read_usual_request(body)
        return usual if usual is not None else self._read(body)

    def _read(self, body: bytes) -> ChatRequest:
        """Return a request that is no usual one. One of the Responses API, which Cursor sends to this path, is answered in this
        API."""
        document = decode_object(body)
        if document.get("messages") is None and document.get("input") is not None:
            from ..openai_responses.request import read_foreign_request  # noqa: PLC0415  no client needs it

            return read_foreign_request(document)
        return read_chat_document(document)

    def encode_request(self, request: ChatRequest, model: str) -> bytes:
        """See `Wire.encode_request`."""
        return write_chat_request(model, request.messages, stream=request.stream, fields=request.fields)

    decoder: ClassVar[type[ChatStreamDecoder]] = OneChoiceDecoder
    decode_answer = staticmethod(decode_completion)
    decode_short = staticmethod(read_short_stream)
    short_end = b"data: [DONE]\n\n"

    def encoder(self, head: AnswerHead, *, ids: Iterator[str] | None = None, begun: bool = False) -> StreamEncoder:
        """See `Wire.encoder`."""
        echo = head.echo or {}
        made = OlderCallsEncoder if echo.get(OLDER) else ChatStreamEncoder
        encoder = made(
            id=head.id,
            created=head.created,
            model=head.model,
            finish_reason_at_top=self.finish_reason_at_top,
            include_usage=head.include_usage,
            ids=ids,
            begun=begun,
        )
        if not (NAMES in echo or CUSTOM in echo):
            return encoder
        from .asked_calls import AskedCallsEncoder  # noqa: PLC0415  few requests have such tools

        return AskedCallsEncoder(encoder, echo)

    def encode_stream(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_stream`."""
        stream = None
        if not self.finish_reason_at_top and not (head.echo or {}).get(OLDER):
            stream = write_short_stream(events, head, extension)
        return super().encode_stream(events, head, extension=extension) if stream is None else stream

    def encode_answer(self, events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `Wire.encode_answer`."""
        document = None
        if not self.finish_reason_at_top:
            document = write_short_answer(events, head, extension)
        if document is None:
            document = encode_completion(
                _as_asked(events, head.echo) if head.echo else events,
                id=head.id,
                created=head.created,
                model=head.model,
                finish_reason_at_top=self.finish_reason_at_top,
                extension=extension,
            )
        return older_document(document) if (head.echo or {}).get(OLDER) else document

    def encode_count(self, tokens: int) -> bytes:
        """See `Wire.encode_count`."""
        return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens

    def operation(self, path: str) -> Operation:
        """See `Wire.operation`."""
        if path == self.count_path:
            return Operation(
                id="countChatTokens",
                summary=f"Count the tokens of a request, over {self.title}",
                request="ChatRequest",
                answer="InputTokens",
                event="",
                example={"model": "llama", "messages": [{"role": "user", "content": "Hello"}]},
            )
        return Operation(
            id="chatCompletions",
            summary=f"Ask a model, over {self.title}",
            request="ChatRequest",
            answer="ChatCompletion",
            event="Event",
            example={"model": "llama", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20},
        )


OPENAI_CHAT: Final = OpenAIChatWire()


def _as_asked(events: Batch, echo: dict[str, Any]) -> Batch:
    from .asked_calls import asked_events  # noqa: PLC0415  few requests have such tools

    return asked_events(events, echo)


class OlderCallsEncoder(ChatStreamEncoder):
    """Writes calls in the older form, for a caller who knows no other."""

    __slots__ = ()

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`."""
        return older_events(super().write(batch))

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`."""
        return older_events(super().end(finish, extension=extension))


class ContinuousUsageDecoder(ChatStreamDecoder):
    """Takes the usage of a chunk that says something for one of its members: it comes with the chunk's events."""

    __slots__ = ()

    def _take(self, chunk: Chunk | UsualChunk, batch: Batch, unknown: dict[str, Any]) -> None:
        if chunk.usage and chunk.choices and self._started:
            unknown = {**unknown, "usage": chunk.usage}
        super()._take(chunk, batch, unknown)
        self._usual = False  # each chunk is read here: none is like the one before it


class ContinuousUsageWire(OpenAIChatWire):
    """Chat completions with usage in each chunk (``stream_options.continuous_usage_stats`` of vLLM and SGLang), for callers
    that ask for it. Others get usage at the end alone, whatever an upstream sends: many count in each chunk, unasked."""

    decoder = ContinuousUsageDecoder
    short_end = b""  # usage in each chunk is not usual


CONTINUOUS_USAGE: Final = ContinuousUsageWire()


class SeveralChoicesWire(OpenAIChatWire):
    """Chat completions of which several choices were asked for: each chunk says which of them it continues."""

    decoder = ChatStreamDecoder


SEVERAL_CHOICES: Final = SeveralChoicesWire()


def wire_for(fields: Mapping[str, Any]) -> OpenAIChatWire:
    """Return what reads the answer to a request with these *fields*."""
    if "stream_options" in fields and asks_for_usage(fields):
        return CONTINUOUS_USAGE
    return SEVERAL_CHOICES if asks_for_several(fields) else OPENAI_CHAT


def asks_for_several(fields: Mapping[str, Any]) -> bool:
    """Return whether the *fields* of a request ask for several choices."""
    return fields.get("n") not in (None, 1)


def asks_for_usage(fields: Mapping[str, Any]) -> bool:
    """Return whether the *fields* of a request ask for usage in each chunk."""
    options = fields.get("stream_options")
    return options is not None and isinstance(options, Mapping) and options.get("continuous_usage_stats") is True
