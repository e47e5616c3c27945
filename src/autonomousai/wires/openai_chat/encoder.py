"""Events -> chunks and completions of the OpenAI wire. One shape, strict, and no end of an answer that was not handed in.

The other half of `wires/openai_chat/decoder.py`, which reads what is written here. Knows no network and no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ...events import Batch, Event, FinishReason, Reasoning, ToolCallDelta, Usage, join_tool_calls

_json = msgspec.json.Encoder().encode

#: The end of an event.
_CLOSING: Final = b"}\n\n"

#: What follows the delta in a chunk; and where usage is wanted, which every chunk then names.
_AFTER: Final = b',"finish_reason":null}]' + _CLOSING
_AFTER_USAGE: Final = b',"finish_reason":null}],"usage":null' + _CLOSING

#: The delta of the first chunk.
_ROLE: Final = b'{"role":"assistant","content":""}'


class ChatStreamEncoder:
    """Events become the bytes of one streamed answer. A batch becomes one bytes object, to be sent in one write.

    *id*, *created* (seconds since the epoch) and *model* stand in every chunk. *finish_reason_at_top*: the AutonomousAI wire
    names the finish reason inside the choice and beside it, and tells the usage there unasked. *include_usage*: the last chunk
    counts the tokens, as the caller asked. *ids*: each event gets the next of them as its ``id``, to be resumed after. *begun*:
    the answer's beginning was written before, by somebody else.
    """

    __slots__ = ("_after", "_before", "_begun", "_both_places", "_ids", "_include_usage", "_opening")

    def __init__(
        self,
        *,
        id: str,
        created: int,
        model: str,
        finish_reason_at_top: bool = False,
        include_usage: bool = False,
        ids: Iterator[str] | None = None,
        begun: bool = False,
    ) -> None:
        self._both_places = finish_reason_at_top
        self._include_usage = include_usage
        self._ids = ids
        self._begun = begun
        # A chunk is: opening, its choices and what else it says, closing. One with a delta is: before, its delta, after.
        self._opening = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            _json(id),
            created,
            _json(model),
        )
        self._before = self._opening + b'{"index":0,"delta":'
        self._after = _AFTER_USAGE if include_usage else _AFTER

    def write(self, batch: Batch) -> bytes:
        """All that *batch* says; its `FinishReason` is for `end`. The first chunk of an answer names the role."""
        if self._begun and len(batch) == 1 and type(text := batch[0]) is str and text and self._ids is None:
            return b"".join((self._before, b'{"content":', _json(text), b"}", self._after))
        pieces: list[bytes] = []
        if not self._begun and batch:
            self._begun = True
            self._add(pieces, _ROLE)
        for event in batch:
            if delta := _delta(event):
                self._add(pieces, delta)
        return b"".join(pieces)

    def _add(self, pieces: list[bytes], delta: bytes) -> None:
        pieces += (self._id_line(), self._before, delta, self._after)

    def _id_line(self) -> bytes:
        """What stands before the next event's data."""
        return b"" if self._ids is None else b"id: %b\n" % next(self._ids).encode()

    def sign(self, progress: int) -> bytes:
        """A chunk that says nothing but that the answer is being brought on: *progress* is higher each time. It has no id:
        there is nothing to resume after."""
        return b'%b{},"finish_reason":null}],"x_autonomousai":{"progress":%d}}\n\n' % (self._before, progress)

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """The chunk with the finish reason, that with the usage if it is wanted and known, and ``[DONE]``.

        *extension* goes into the last of the chunks. A reason that nobody named is written as null.
        """
        reason = _json(finish.reason)
        usage = None if finish.usage is None else _json(_usage(finish.usage))
        pieces = [] if self._begun else [self.write([finish])]
        pieces += (self._id_line(), self._before, b'{},"finish_reason":', reason, b"}]")
        if self._both_places:
            pieces += (b',"finish_reason":', reason)
        if self._include_usage:
            pieces.append(b',"usage":null')
            if usage is not None:
                pieces += (_CLOSING, self._id_line(), self._opening, b'],"usage":', usage)
        elif self._both_places and usage is not None:
            pieces += (b',"usage":', usage)
        if extension is not None:
            pieces += (b',"x_autonomousai":', _json(extension))
        pieces += (_CLOSING, self._id_line(), b"data: [DONE]\n\n")
        return b"".join(pieces)


def encode_completion(
    events: Batch,
    *,
    id: str,
    created: int,
    model: str,
    finish_reason_at_top: bool = False,
    extension: dict[str, Any] | None = None,
) -> bytes:
    """A whole answer as one document. Its last event is the `FinishReason`; a usage that is not known is left out."""
    finish = events[-1]
    if type(finish) is not FinishReason:
        raise ValueError("the events of a whole answer end with its FinishReason")
    message = _message(events)
    reason = _json(finish.reason)
    pieces = [
        b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":'
        % (_json(id), created, _json(model)),
        message,
        b',"finish_reason":',
        reason,
        b"}]",
    ]
    if finish_reason_at_top:
        pieces += (b',"finish_reason":', reason)
    if finish.usage is not None:
        pieces += (b',"usage":', _json(_usage(finish.usage)))
    if extension is not None:
        pieces += (b',"x_autonomousai":', _json(extension))
    pieces.append(b"}")
    return b"".join(pieces)


def _message(events: Batch) -> bytes:
    """What a whole answer says, as the message that it is."""
    texts: list[str] = []
    thoughts: list[str] = []
    deltas: list[ToolCallDelta] = []
    for event in events:
        if type(event) is str:
            texts.append(event)
        elif type(event) is Reasoning:
            thoughts.append(event.text)
        elif type(event) is ToolCallDelta:
            deltas.append(event)
    text, thought = "".join(texts), "".join(thoughts)
    message: dict[str, Any] = {"role": "assistant", "content": None if deltas and not text else text}
    if thought:
        message["reasoning_content"] = thought
    if deltas:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in join_tool_calls(deltas).calls
        ]
    return _json(message)


def _delta(event: Event) -> bytes | None:
    """The delta of a chunk that says what *event* says; None where it says nothing."""
    if type(event) is str:
        return b'{"content":%b}' % _json(event) if event else None
    if type(event) is Reasoning:
        return b'{"reasoning_content":%b}' % _json(event.text) if event.text else None
    if type(event) is not ToolCallDelta:
        return None
    function = {"name": event.name} if event.name is not None else {}
    function["arguments"] = event.arguments
    call: dict[str, Any] = {"index": event.index}
    if event.id is not None:
        call |= {"id": event.id, "type": "function"}
    return _json({"tool_calls": [call | {"function": function}]})


def _usage(usage: Usage) -> dict[str, Any]:
    counted: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        counted["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        counted["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counted
