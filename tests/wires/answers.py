"""Streamed answers for tests: chunks as servers send them, and all that an `ChatStreamDecoder` makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
import pytest

from autonomousai.errors import HTTPError
from autonomousai.events import Batch, ChoiceEvent, Extra, FinishReason, ForeignEvent, Reasoning, Started
from autonomousai.wires.base import StreamDecoder
from autonomousai.wires.openai_chat import decoder as openai
from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder

Json = dict[str, Any]

DONE = "[DONE]"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(delta: Any = None, reason: Any = None, **more: Any) -> Json:
    """A chunk as most servers send it. *more* replaces or adds fields of the chunk."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": reason}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | more


def text(content: Any, **more: Any) -> Json:
    return chunk({"content": content}, **more)


def usage(**more: Any) -> Json:
    return chunk(choices=[], usage=USAGE | more)


def sse(*events: Json | str | bytes) -> bytes:
    """Events of a stream: objects as JSON, text as the data, bytes as they are."""
    return b"".join(
        event if isinstance(event, bytes) else f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        for event in events
    )


def plain(events: Batch) -> Batch:
    """What the first choice says: without the beginning, other choices, unknown members, and what reasoning is called."""
    kept = [event for event in events if not isinstance(event, Started | ChoiceEvent | Extra | ForeignEvent)]
    return [Reasoning(event.text) if isinstance(event, Reasoning) else event for event in kept]


ROLE = chunk({"role": "assistant", "content": ""})
FINISH = chunk(reason="stop")


class Outcome:
    """All that a decoder made of the reads that it was fed."""

    decoder: ClassVar[Callable[[], StreamDecoder]] = ChatStreamDecoder

    def __init__(self, *reads: bytes) -> None:
        self.stream = self.decoder()
        self.batches: list[Batch] = [self.stream.feed(data) for data in reads]
        if last := self.stream.end():
            self.batches.append(last)
        self.events: Batch = [event for batch in self.batches for event in batch]
        self.error: HTTPError | None = None
        self.finish: FinishReason | None = None
        try:
            self.finish = self.stream.finish()
        except HTTPError as error:
            self.error = error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and self.seen() == other.seen()

    __hash__ = None  # type: ignore[assignment]  # it is compared, never looked up

    def __repr__(self) -> str:
        return repr(self.seen())

    def seen(self) -> tuple[Any, ...]:
        error = self.error and (type(self.error), self.error.code, self.error.message, self.error.type, self.error.param)
        stream = self.stream
        return self.events, self.finish, error, stream.complete, stream.ending, stream.extension, stream.failure is not None

    @property
    def end(self) -> Any:
        """The `FinishReason`, or the error's code, or its class where it has none."""
        if self.error is not None:
            return self.error.code or type(self.error)
        return None if self.finish is None else msgspec.structs.replace(self.finish, extra=None)


def call(index: int | None, arguments: str | None = None, **more: Any) -> Json:
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return ({} if index is None else {"index": index}) | more | {"function": function}


def calls(*pieces_of_calls: Json) -> Json:
    return chunk({"tool_calls": list(pieces_of_calls)})


def leniently(*reads: bytes) -> Outcome:
    """The outcome when each event is read as if it had an odd shape."""

    def refuse(data: bytes) -> Any:
        raise ValueError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai, "USUAL", SimpleNamespace(decode=refuse))
        return Outcome(*reads)
