"""The wires that a stream can be read over, by their names.

A wire's encoder makes the events of any batch into server-sent events, numbered by the ``ids`` that it is given, one for each
event. It is deterministic: the same batches give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from ..errors import ProviderError
from ..events import Batch, FinishReason
from ..wires.errors import error_event
from ..wires.openai_chat.encoder import ChatStreamEncoder


class StreamEncoder(Protocol):
    """The encoder of one streamed answer."""

    def write(self, batch: Batch) -> bytes:
        """Return the events of *batch*, all but its `FinishReason`."""

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """Return the events that end the answer."""

    def sign(self, progress: int) -> bytes:
        """Return an event without a number, which says that a broken answer is being rescued."""


class StreamWire(Protocol):
    """A wire, as far as streams need it."""

    @property
    def name(self) -> str: ...

    def encoder(
        self, *, id: str, created: int, model: str, include_usage: bool = False, ids: Iterator[str] | None = None
    ) -> StreamEncoder: ...

    def answer_id(self, request_id: str) -> str: ...

    def encode_error_event(self, error: ProviderError) -> bytes: ...


class ChatStreamWire:
    """Streams of chat completions, or of the AutonomousAI wire. *finish_reason_at_top*: see `ChatStreamEncoder`."""

    def __init__(self, name: str, *, finish_reason_at_top: bool) -> None:
        self.name = name
        self._finish_reason_at_top = finish_reason_at_top

    def encoder(
        self, *, id: str, created: int, model: str, include_usage: bool = False, ids: Iterator[str] | None = None
    ) -> ChatStreamEncoder:
        return ChatStreamEncoder(
            id=id,
            created=created,
            model=model,
            finish_reason_at_top=self._finish_reason_at_top,
            include_usage=include_usage,
            ids=ids,
        )

    def answer_id(self, request_id: str) -> str:
        return "chatcmpl-" + request_id.removeprefix("req_")

    def encode_error_event(self, error: ProviderError) -> bytes:
        return error_event(error)


CHAT: Final = ChatStreamWire("openai_chat", finish_reason_at_top=False)
AUTONOMOUSAI: Final = ChatStreamWire("autonomousai", finish_reason_at_top=True)

STREAM_WIRES: Final[Mapping[str, StreamWire]] = {wire.name: wire for wire in (CHAT, AUTONOMOUSAI)}
