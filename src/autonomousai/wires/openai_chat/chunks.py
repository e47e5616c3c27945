"""What we read of a chunk of the OpenAI wire, in three widths. Knows no stream, no events and no order of chunks.

`decode_usual` takes a chunk by which an answer goes on: that it can be decoded proves that it does not fail, and no finish
reason in it that it does not end.
`decode` takes every chunk of the shape that servers should send. `load` and `as_chunk` take what they do send: every JSON
object there is. Where two of them can, they read the same. The types name only what we use; the rest is skipped, unread.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec

from ...events import Usage

Json = dict[str, Any]


# ---- a chunk as it should be ------------------------------------------------------------------------------------------


class FunctionPiece(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: FunctionPiece | None = None


class Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: Delta | None = None  # in a chunk
    message: Delta | None = None  # in a completion
    text: str | None = None  # the shape of the older completions
    finish_reason: str | None = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    """A chunk, and a completion too: they differ in where a choice holds what it says."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: Json | None = None
    finish_reason: str | None = None
    error: Any = None
    x_autonomousai: Json | None = None


#: Raises one of `UNREADABLE` for what is not JSON, and for a chunk of another shape than `Chunk`.
decode = msgspec.json.Decoder(Chunk).decode
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


# ---- a chunk by which an answer goes on -------------------------------------------------------------------------------

_Silent = Literal[""] | None


class UsualDelta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallPiece] | None = None
    refusal: _Silent = None
    function_call: None = None


class UsualChoice(msgspec.Struct, gc=False):
    delta: UsualDelta
    index: Literal[0] = 0
    finish_reason: str | None = None  # every answer ends with one, and an error costs more than a look
    error: None = None


class UsualChunk(msgspec.Struct, gc=False):
    choices: tuple[UsualChoice]
    usage: Json | None = None
    finish_reason: _Silent = None
    error: None = None
    x_autonomousai: None = None


#: Raises one of `UNREADABLE` for anything but a `UsualChunk`. One whose choice names a ``finish_reason`` is none.
decode_usual = msgspec.json.Decoder(UsualChunk).decode


def sole_text(data: bytes) -> str | None:
    """The text of a usual chunk that says nothing besides; None for any other."""
    try:
        chunk = decode_usual(data)
    except UNREADABLE:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    if choice.finish_reason or chunk.usage or delta.reasoning_content or delta.reasoning or delta.tool_calls:
        return None
    return delta.content


# ---- a chunk as it may be ---------------------------------------------------------------------------------------------


def load(document: bytes) -> Any:
    """Any JSON, read as leniently as Python does: NaN and halves of surrogate pairs are taken. Raises one of `UNREADABLE`."""
    return json.loads(document.decode("utf-8"))


def as_chunk(obj: Json) -> Chunk:
    """The chunk that any JSON object is: what has no meaning for us is left out. Raises RecursionError alone."""
    choices = obj.get("choices")
    return Chunk(
        choices=[_choice(choice) for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else None,
        model=_string(obj.get("model")),
        usage=_object(obj.get("usage")),
        finish_reason=_string(obj.get("finish_reason")),
        error=obj.get("error"),
        x_autonomousai=_object(obj.get("x_autonomousai")),
    )


def _choice(choice: Json) -> Choice:
    return Choice(
        index=_index(choice.get("index", 0)),
        delta=_delta(choice.get("delta")),
        message=_delta(choice.get("message")),
        text=text_of(choice.get("text")),
        finish_reason=_string(choice.get("finish_reason")),
        error=choice.get("error"),
    )


def _delta(said: Any) -> Delta | None:
    if not isinstance(said, dict):
        return None
    content = said.get("content")
    calls = said.get("tool_calls")
    return Delta(
        content=text_of(content),
        reasoning_content=text_of(said.get("reasoning_content")) or _thoughts(content),
        reasoning=text_of(said.get("reasoning")),
        refusal=text_of(said.get("refusal")),
        tool_calls=[_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None,
        function_call=_function(said.get("function_call")),
    )


def _call(call: Json) -> CallPiece:
    return CallPiece(
        index=_index(call.get("index")),
        id=_id(call.get("id")),
        function=_function(call.get("function")),
    )


def _function(function: Any) -> FunctionPiece | None:
    """A name, and arguments that are JSON text; some servers send the arguments as an object."""
    if not isinstance(function, dict):
        return None
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return FunctionPiece(name=_string(function.get("name")), arguments=arguments and mend(arguments))


def text_of(content: Any) -> str | None:
    """The text of a content that is a string, a list of parts, a part, or a bare number. Halves of pairs are left in it."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text_of(part) or "" for part in content)
    if isinstance(content, dict):
        return text_of(content.get("text"))
    return None if isinstance(content, bool) else str(content)


def _thoughts(content: Any) -> str | None:
    """The reasoning among the parts of a content: ``{"type": "thinking", "thinking": …}``."""
    parts = content if isinstance(content, list) else [content]
    return "".join(text_of(part.get("thinking")) or "" for part in parts if isinstance(part, dict)) or None


def _string(value: Any) -> str | None:
    return mend(value) if isinstance(value, str) else None


def _id(value: Any) -> str | None:
    """An id is a string, or a number that was meant to be one."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _string(value)


def _index(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _object(value: Any) -> Json | None:
    return value if isinstance(value, dict) else None


# ---- usage ------------------------------------------------------------------------------------------------------------


def usage_of(usage: Json | None) -> Usage | None:
    """The tokens that a usage object counts; None where it counts none of the three that make one."""
    if not usage:
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    return Usage(
        prompt_tokens=prompt or 0,
        completion_tokens=completion or 0,
        total_tokens=(prompt or 0) + (completion or 0) if total is None else total,
        cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _count(value: Any) -> int | None:
    if type(value) is int:
        return value if 0 <= value < 2**63 else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value < 2**63 and value == int(value) else None


def _detail(usage: Json, group: str, key: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(key)) if isinstance(details, dict) else None


# ---- surrogates -------------------------------------------------------------------------------------------------------

_HALVES = re.compile("[\ud800-\udfff]")


def mend(text: str) -> str:
    """*text* with halves of surrogate pairs joined, and those that stay alone replaced by U+FFFD: encodable again."""
    if not _HALVES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def split_half(text: str) -> tuple[str, str]:
    """*text* mended, and the first half of a pair that it ends in: servers that cut text by UTF-16 units send the second half
    with the next chunk."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return mend(text[:-1]), text[-1]
    return mend(text), ""
