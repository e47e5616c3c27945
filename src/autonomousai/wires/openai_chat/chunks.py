"""A chunk of chat completions (OpenAI API reference, "The chat completion chunk object"), and a completion, as they may be.

`load`, `as_chunk` and `unknown_members` take what servers do send: every JSON object there is. The usual ones are read at less
cost by `usual`. Knows no stream and no order of chunks.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ...events import LogProbs
from ..json import keep_texts, load_leniently, mend
from ..json import unwrapped as unwrapped_answer
from .content import (
    REASONING,
    calls_among,
    content_of,
    detailed_thoughts,
    images_among,
    refusal_among,
    text_of,
    thought_of,
    thoughts_among,
)

Json = dict[str, Any]

#: The name of the wire, in events that are bound to it.
WIRE: Final = "openai_chat"

#: In `FinishReason.extra`: the unknown members of the chunk with the usage, where it is another one.
TRAILER: Final = "#usage"


# ---- a chunk as it should be ------------------------------------------------------------------------------------------


class FunctionPiece(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None
    extra: Json | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_key: str = "reasoning"  # what the server calls it
    details: str | None = None  # the same once more, in most answers
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: FunctionPiece | None = None
    annotations: list[Any] | None = None
    images: list[Any] | None = None


class Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: Delta | None = None  # in a chunk
    message: Delta | None = None  # in a completion
    text: str | None = None  # the shape of the older completions
    finish_reason: str | None = None
    native_finish_reason: str | None = None  # OpenRouter's: as the server said it that was asked there
    error: Any = None
    logprobs: LogProbs | None = None


class Chunk(msgspec.Struct, gc=False):
    """A chunk, and a completion too: they differ in where a choice holds what it says."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: Json | None = None
    finish_reason: str | None = None
    error: Any = None
    x_autonomousai: Json | None = None


UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


# ---- unknown members ----------------------------------------------------------------------------------------------------

#: Members that have a place in events, or that every encoder writes by itself.
_KNOWN_CHUNK = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "finish_reason", "obfuscation", "error", "x_autonomousai"}
)
_KNOWN_CHOICE = frozenset({"index", "delta", "message", "text", "finish_reason", "logprobs", "error"})
_KNOWN_DELTA = frozenset(
    {
        "role",
        "content",
        "reasoning_content",
        "reasoning",
        "reasoning_text",
        "thinking",
        "refusal",
        "tool_calls",
        "function_call",
        "annotations",
        "images",
    }
)
_KNOWN_CALL = frozenset({"index", "id", "type", "function"})
_KNOWN_FUNCTION = frozenset({"name", "arguments"})
#: What vLLM says of tokens beside their text, and text completions everywhere.
_OF_TOKENS = frozenset({"logprobs", "prompt_logprobs", "prompt_token_ids", "token_ids"})


def unknown_members(obj: Json) -> Json:
    """Return the members of a chunk, or of a completion, that have no place in events: in the chunk's own nesting, where the
    ``message`` of a completion's choice is called ``delta``."""
    members = {name: value for name, value in obj.items() if name not in _KNOWN_CHUNK}
    choices: list[Json] = []
    said = obj.get("choices")
    for place, choice in enumerate(said if isinstance(said, list) else ()):
        if isinstance(choice, dict) and (unknown := _unknown_of_choice(choice)):
            choices.append({"index": _index(choice.get("index", place)) or 0, **unknown})
    if choices:
        members["choices"] = choices
    return members


def constant_of(unknown: Json) -> Json:
    """Return what of a first chunk's unknown members later chunks may repeat: all but those of its delta, of its own tokens and
    of other choices."""
    constant = {name: value for name, value in unknown.items() if name != "choices" and not _is_of_tokens(name, value)}
    for choice in unknown.get("choices", ()):
        rest = {name: value for name, value in choice.items() if name != "delta" and not _is_of_tokens(name, value)}
        if choice["index"] == 0 and rest.keys() != {"index"}:
            constant["choices"] = [rest]
    return constant


def _is_of_tokens(name: str, value: Any) -> bool:
    """Return whether a member says something of a chunk's own tokens, or of the prompt's, which come once."""
    return value is not None and name in _OF_TOKENS


def _unknown_of_choice(choice: Json) -> Json:
    unknown = {name: value for name, value in choice.items() if name not in _KNOWN_CHOICE}
    logprobs = choice.get("logprobs")
    if logprobs is not None and log_probs_of(logprobs) is None:
        unknown["logprobs"] = logprobs
    said = choice.get("delta")
    if not isinstance(said, dict):
        said = choice.get("message")
    if isinstance(said, dict):
        delta = {name: value for name, value in said.items() if name not in _KNOWN_DELTA}
        for name in ("annotations", "images"):
            if said.get(name) is not None and not isinstance(said[name], list):
                delta[name] = said[name]
        if delta:
            unknown["delta"] = delta
    return unknown


def unknown_of_call(call: Json) -> Json | None:
    """Return the members of a tool call that have no place in events, None where there are none."""
    unknown = {name: value for name, value in call.items() if name not in _KNOWN_CALL}
    if call.get("type") not in (None, "function"):
        unknown["type"] = call["type"]
    if isinstance(function := call.get("function"), dict):
        inner = {name: value for name, value in function.items() if name not in _KNOWN_FUNCTION}
        if inner:
            unknown["function"] = inner
    return unknown or None


def log_probs_of(logprobs: Any) -> LogProbs | None:
    """Return the log probabilities of a choice; None where they have another shape, or there are none."""
    if not isinstance(logprobs, dict) or not logprobs.keys() <= {"content", "refusal"}:
        return None
    content, refusal = logprobs.get("content"), logprobs.get("refusal")
    if any(value is not None and not isinstance(value, list) for value in (content, refusal)):
        return None
    return LogProbs(content, refusal)


# ---- a chunk as it may be ---------------------------------------------------------------------------------------------


def load(document: bytes) -> Any:
    """Any JSON, read leniently: see `load_leniently`. Halves of characters stay in what an answer says. Raises one of
    `UNREADABLE`."""
    return load_leniently(document, _keep_halves)


def _keep_halves(obj: Any, mended: Any) -> None:
    if not isinstance(obj, dict) or not isinstance(choices := obj.get("choices"), list):
        return
    for choice, mended_choice in zip(choices, mended["choices"], strict=True):
        keep_texts(choice, mended_choice, ("text",))
        for said in ("delta", "message") if isinstance(choice, dict) else ():
            _keep_halves_of_said(choice.get(said), mended_choice.get(said))


def _keep_halves_of_said(said: Any, mended: Any) -> None:
    keep_texts(said, mended, ("content", "reasoning_content", *REASONING))
    if isinstance(said, dict) and isinstance(calls := said.get("tool_calls"), list):
        for call, mended_call in zip(calls, mended["tool_calls"], strict=True):
            if isinstance(call, dict):
                keep_texts(call.get("function"), mended_call.get("function"), ("arguments",))


def unwrapped(obj: Json) -> Json:
    """Return the chunk, or the completion, that *obj* is or holds; see `json.unwrapped`."""
    return unwrapped_answer(obj, "choices")


def as_chunk(obj: Json) -> Chunk:
    """The chunk that any JSON object is: what has no meaning for us is left out. Raises RecursionError alone."""
    choices = obj.get("choices")
    if isinstance(choices, dict):  # the only one, or several by their numbers
        choices = [choices] if "message" in choices or "delta" in choices else list(choices.values())
    return Chunk(
        choices=[_choice(choice) for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else None,
        model=_string(obj.get("model")),
        usage=_object(obj.get("usage")) or _usage_elsewhere(obj),
        finish_reason=_string(obj.get("finish_reason")),
        error=obj.get("error"),
        x_autonomousai=_object(obj.get("x_autonomousai")),
    )


def _usage_elsewhere(obj: Json) -> Json | None:
    """Return the usage that some servers have elsewhere: Groq in a member of its own, Moonshot in the last choice."""
    choices = obj.get("choices")
    places = [obj.get("x_groq"), *(choices if isinstance(choices, list) else ())]
    return next((usage for place in places if isinstance(place, dict) and (usage := _object(place.get("usage")))), None)


def _choice(choice: Json) -> Choice:
    return Choice(
        index=_index(choice.get("index", 0)),
        delta=_delta(choice.get("delta")),
        message=_delta(choice.get("message")),
        text=text_of(choice.get("text", choice.get("content"))),
        finish_reason=_string(choice.get("finish_reason")) or _string(choice.get("finishReason")) or _reason_in(choice),
        native_finish_reason=_string(choice.get("native_finish_reason")),
        error=choice.get("error"),
        logprobs=log_probs_of(choice.get("logprobs")),
    )


def _reason_in(choice: Json) -> str | None:
    """Return the reason that some servers put into the delta."""
    delta = choice.get("delta")
    return _string(delta.get("finish_reason")) if isinstance(delta, dict) else None


def _delta(said: Any) -> Delta | None:
    if isinstance(said, str):
        said = {"content": said}
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, dict):
        return None
    content = said.get("content")
    key = next((name for name in REASONING if said.get(name)), "reasoning")
    calls = said.get("tool_calls") or calls_among(content)
    calls = _listed(calls) if isinstance(calls, dict) else calls
    return Delta(
        content=content_of(content),
        reasoning_content=thought_of(said.get("reasoning_content")) or thoughts_among(content),
        reasoning=thought_of(said.get(key)),
        reasoning_key=key,
        details=detailed_thoughts(said),
        refusal=text_of(said.get("refusal")) or refusal_among(content),
        tool_calls=[_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None,
        function_call=_function(said.get("function_call")),
        annotations=_list(said.get("annotations")),
        images=_list(said.get("images")) or images_among(content),
    )


def _listed(calls: Json) -> list[Any]:
    """Return the calls that an object holds: by their numbers, or the only one, which it is."""
    if not calls or not all(number.isdecimal() and isinstance(call, dict) for number, call in calls.items()):
        return [calls]
    return [{"index": number, **call} for number, call in calls.items()]


#: What servers call the arguments of a function, beside OpenAI's name.
_ARGUMENTS: Final = ("parameters", "args", "input")


def _with_function(call: Json) -> Json:
    """Return a call with its function as an object: where it stands beside the id, is text, of JSON or the name alone, or has
    its arguments under another name."""
    function = call.get("function")
    if call.get("type") not in (None, "", "function") or not isinstance(function, str | dict | None):
        return call
    inside: Json = function if isinstance(function, dict) else {}
    if isinstance(function, str):
        inside = _object_in(function) or {"name": function}
    beside: Json = {}
    if not isinstance(function, dict) and isinstance(name := call.get("name", inside.get("name")), str):
        beside = {"name": name, **{each: call[each] for each in ("arguments", *_ARGUMENTS) if each in call}}
    merged = {**beside, **inside}
    if merged.get("arguments") is None:
        other = next((each for each in _ARGUMENTS if isinstance(merged.get(each), dict | str)), None)
        if other is not None:
            merged["arguments"] = merged.pop(other)
    if merged == function or (function is None and not merged):
        return call
    return {**{name: value for name, value in call.items() if name not in beside}, "function": merged}


def _object_in(text: str) -> Json | None:
    """Return the object that *text* is in JSON, None where it is none."""
    try:
        return _object(msgspec.json.decode(text))
    except UNREADABLE:
        return None


def _call(call: Json) -> CallPiece:
    call = _with_function(call)
    return CallPiece(
        index=_index(call.get("index")),
        id=_id(call.get("id")),
        function=_function(call.get("function")),
        extra=unknown_of_call(call),
    )


def _function(function: Any) -> FunctionPiece | None:
    """A name, and arguments that are JSON text, halves of pairs in it; some servers send the arguments as an object."""
    if not isinstance(function, dict):
        return None
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        from json import dumps  # noqa: PLC0415  msgspec writes no half of a pair

        arguments = dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return FunctionPiece(name=_string(function.get("name")), arguments=arguments)


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
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


def _object(value: Any) -> Json | None:
    return value if isinstance(value, dict) else None
