"""Events -> chunks and completions of the OpenAI wire. One shape, strict, and no end of an answer that was not handed in.

The other half of `wire/openai.py`, which reads what is written here. Knows no network and no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..events import Batch, Event, FinishReason, Reasoning, ToolCallDelta, Usage, join_tool_calls

_json = msgspec.json.Encoder().encode


class ChunkWriter:
    """Events become the bytes of one streamed answer. A batch becomes one bytes object, to be sent in one write.

    *id*, *created* (seconds since the epoch) and *model* stand in every chunk. *both_places*: the AutonomousAI wire names the
    finish reason inside the choice and beside it, and tells the usage there unasked. *include_usage*: the last chunk counts the
    tokens, as the caller asked. *ids*: each event gets the next of them as its ``id``, to be resumed after. *begun*: the
    answer's beginning was written before, by somebody else.
    """

    __slots__ = ("_after", "_before", "_begun", "_both_places", "_head", "_ids", "_include_usage")

    def __init__(
        self,
        *,
        id: str,
        created: int,
        model: str,
        both_places: bool = False,
        include_usage: bool = False,
        ids: Iterator[str] | None = None,
        begun: bool = False,
    ) -> None:
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._both_places = both_places
        self._include_usage = include_usage
        self._ids = ids
        self._begun = begun
        # A chunk is: before, its delta, after.
        self._before = _json(self._head)[:-1] + b',"choices":[{"index":0,"delta":'
        self._after = b',"finish_reason":null}]%b}' % (b',"usage":null' if include_usage else b"")

    def write(self, batch: Batch) -> bytes:
        """All that *batch* says; its `FinishReason` is for `end`. The first chunk of an answer names the role."""
        if len(batch) == 1 and type(text := batch[0]) is str and text and self._begun and self._ids is None:
            return b'data: %b{"content":%b}%b\n\n' % (self._before, _json(text), self._after)
        deltas = [delta for event in batch if (delta := _delta(event))]
        if not self._begun and batch:
            self._begun = True
            deltas.insert(0, b'{"role":"assistant","content":""}')
        if not deltas:
            return b""
        if self._ids is not None:
            return b"".join([self._event(self._before + delta + self._after) for delta in deltas])
        between = b"%b\n\ndata: %b" % (self._after, self._before)
        return b"data: %b%b%b\n\n" % (self._before, between.join(deltas), self._after)

    def sign(self, progress: int) -> bytes:
        """A chunk that says nothing but that the answer is being brought on: *progress* is higher each time. It has no id:
        there is nothing to resume after."""
        chunk = self._head | {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]}
        return b"data: %b\n\n" % _json(chunk | {"x_autonomousai": {"progress": progress}})

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """The chunk with the finish reason, that with the usage if it is wanted and known, and ``[DONE]``.

        *extension* goes into the last of the chunks. A reason that nobody named is written as null.
        """
        opening = self.write([finish])
        last: dict[str, Any] = self._head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish.reason}]}
        if self._both_places:
            last["finish_reason"] = finish.reason
        chunks = [last]
        if self._include_usage:
            last["usage"] = None
            if finish.usage is not None:
                chunks.append(self._head | {"choices": [], "usage": _usage(finish.usage)})
        elif self._both_places and finish.usage is not None:
            last["usage"] = _usage(finish.usage)
        if extension is not None:
            chunks[-1]["x_autonomousai"] = extension
        return opening + b"".join([self._event(data) for data in (*map(_json, chunks), b"[DONE]")])

    def _event(self, data: bytes) -> bytes:
        if self._ids is None:
            return b"data: %b\n\n" % data
        return b"id: %b\ndata: %b\n\n" % (next(self._ids).encode(), data)


def write_completion(
    events: Batch,
    *,
    id: str,
    created: int,
    model: str,
    both_places: bool = False,
    extension: dict[str, Any] | None = None,
) -> bytes:
    """A whole answer as one document. Its last event is the `FinishReason`; a usage that is not known is left out."""
    finish = events[-1]
    if type(finish) is not FinishReason:
        raise ValueError("the events of a whole answer end with its FinishReason")
    text = "".join([event for event in events if type(event) is str])
    thoughts = "".join([event.text for event in events if type(event) is Reasoning])
    calls = join_tool_calls([event for event in events if type(event) is ToolCallDelta]).calls
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not text else text}
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in calls
        ]
    document: dict[str, Any] = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish.reason}],
    }
    if both_places:
        document["finish_reason"] = finish.reason
    if finish.usage is not None:
        document["usage"] = _usage(finish.usage)
    if extension is not None:
        document["x_autonomousai"] = extension
    return _json(document)


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
