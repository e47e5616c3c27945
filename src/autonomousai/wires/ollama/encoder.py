"""Events -> lines and documents of Ollama's API (Ollama API reference, "Generate a chat message", "Generate a response").

A stream is lines of JSON: pieces with ``"done": false``, then one with ``"done": true`` and why it ended. One that breaks ends
with a line that is an ``error``. Calls come whole, as they have objects for arguments. How long it took, by which clients
compute the tokens of a second, is said where the head knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ...events import (
    Batch,
    FinishReason,
    LogProbs,
    Reasoning,
    Refusal,
    ToolCallDelta,
    Usage,
    join_tool_calls,
)
from ..base import AnswerHead
from ..tool_forms import object_of_arguments
from ..tool_names import NAMES
from .contexts import Said, context_of
from .errors import error_line
from .request import GENERATED

_json = msgspec.json.Encoder().encode

Line = dict[str, Any]

#: Bridges a silence: a piece of both APIs that says nothing, at the time that is none.
PING: Final = (
    b'{"model":"","created_at":"0001-01-01T00:00:00Z","response":"","message":{"role":"assistant","content":""},"done":false}\n'
)


def _stamp(head: AnswerHead) -> Line:
    created = datetime.fromtimestamp(head.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"model": head.model, "created_at": created}


def _said_in_chat(text: str = "", thinking: str = "", calls: list[Line] | None = None) -> Line:
    message: Line = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = calls
    return {"message": message}


def _said(text: str = "", thinking: str = "", calls: list[Line] | None = None) -> Line:
    """What an answer of ``/api/generate`` says; it has no calls."""
    return {"response": text, **({"thinking": thinking} if thinking else {})}


def _says(head: AnswerHead) -> Callable[..., Line]:
    return _said if head.echo and GENERATED in head.echo else _said_in_chat


class OllamaStreamEncoder:
    """One streamed answer, a line for each piece."""

    __slots__ = ("_calls", "_durations", "_names", "_says", "_stamp", "_text", "_turns")

    def __init__(self, head: AnswerHead) -> None:
        self._stamp = _stamp(head)
        self._says = _says(head)
        self._durations = head.durations
        self._names = _names(head)
        self._calls: list[ToolCallDelta] = []
        self._turns = _turns(head)
        self._text: list[str] = []  # where it is to be continued by its context

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`."""
        lines: list[Line] = []
        held: list[Any] = []  # log probabilities, which go with the text that they came with
        for event in batch:
            if type(event) is str or type(event) is Refusal:
                if text := event if type(event) is str else event.text:  # type: ignore[union-attr]
                    lines.append(self._line(self._says(text)))
                    if held:
                        lines[-1]["logprobs"], held = held, []
                    if self._turns is not None:
                        self._text.append(text)
            elif type(event) is Reasoning:
                lines.append(self._line(self._says(thinking=event.text)))
            elif type(event) is ToolCallDelta:
                self._calls.append(event)
            elif type(event) is LogProbs and event.content:
                held += event.content
        if held:
            if not lines or "logprobs" in lines[-1]:
                lines.append(self._line(self._says()))
            lines[-1]["logprobs"] = held
        return b"".join([_json(line) + b"\n" for line in lines])

    def sign(self, progress: int) -> bytes:
        """See `StreamEncoder.sign`."""
        return _json({**self._line(self._says()), "x_autonomousai": {"progress": progress}}) + b"\n"

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        return error_line(error)

    def end(self, finish: FinishReason, *, extension: dict[str, Any] | None = None) -> bytes:
        """See `StreamEncoder.end`."""
        calls = b""
        if self._calls and self._says is _said_in_chat:
            calls = _json(self._line(self._says(calls=_calls(self._calls, self._names)))) + b"\n"
        context = _context(self._turns, "".join(self._text))
        return calls + _json({**self._stamp, **self._says(), **context, **_end(finish, extension, self._durations)}) + b"\n"

    def _line(self, said: Line) -> Line:
        return {**self._stamp, **said, "done": False}


def encode_ollama_answer(events: Batch, head: AnswerHead, *, extension: dict[str, Any] | None = None) -> bytes:
    """Return a whole answer as one document. Its last event is the `FinishReason`."""
    finish = events[-1]
    assert type(finish) is FinishReason
    text = "".join([event if type(event) is str else event.text for event in events if type(event) in (str, Refusal)])  # type: ignore[union-attr]
    thinking = "".join([event.text for event in events if type(event) is Reasoning])
    calls = _calls([event for event in events if type(event) is ToolCallDelta], _names(head))
    probabilities = [each for event in events if type(event) is LogProbs for each in event.content or ()]
    return _json(
        {
            **_stamp(head),
            **_says(head)(text, thinking, calls),
            **({"logprobs": probabilities} if probabilities else {}),
            **_context(_turns(head), text),
            **_end(finish, extension, head.durations),
        }
    )


def _turns(head: AnswerHead) -> list[Said] | None:
    """Return the conversation before an answer of ``/api/generate``; None for any other answer."""
    return (head.echo or {}).get(GENERATED)


def _context(turns: list[Said] | None, text: str) -> Line:
    return {} if turns is None else {"context": context_of([*turns, ("assistant", text)])}


def _names(head: AnswerHead) -> Mapping[str, str]:
    """Return the tools' own names by those under which an upstream may have been offered them."""
    return (head.echo or {}).get(NAMES) or {}


def _calls(pieces: list[ToolCallDelta], names: Mapping[str, str]) -> list[Line]:
    calls = join_tool_calls(pieces).calls
    return [
        {
            "id": call.id,
            "function": {
                "index": place,
                "name": names.get(call.name, call.name),
                "arguments": object_of_arguments(call.arguments),
            },
        }
        for place, call in enumerate(calls)
    ]


def _end(finish: FinishReason, extension: dict[str, Any] | None, durations: Callable[[], tuple[int, int]] | None) -> Line:
    reason = finish.standard_reason
    ended: Line = {"done": True, "done_reason": "stop" if reason in (None, "tool_calls", "function_call") else reason}
    if durations is not None:
        ended |= _durations(*durations())
    if (usage := finish.usage) is not None:
        ended |= _counts(usage)
    if extension is not None:
        ended["x_autonomousai"] = extension
    return ended


def _durations(total: int, before: int) -> Line:
    """Return how long an answer took, in nanoseconds, and *before* its first event. Clients divide by the time that its tokens
    took, which is never 0; of an answer that came at once it is all of it."""
    before = min(before, total - 1) if before < total else 0
    return {
        "total_duration": total,
        "load_duration": 0,
        "prompt_eval_duration": before,
        "eval_duration": max(1, total - before),
    }


def _counts(usage: Usage) -> Line:
    return {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.completion_tokens}
