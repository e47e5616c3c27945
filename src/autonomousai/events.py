"""Events: what an answer is made of, between all layers. Imports nothing of the package. `answer` folds them.

A *batch* is the list of all events that one network read brought. The text of the first choice is plain `str`; everything else
is a small frozen struct whose `str()` is `""`, so that `"".join(map(str, chunks))` is the answer.

Each struct has a tag: `msgspec` writes it as the member ``type``, and tells the kinds of a `Batch` apart by it. The logs of
streams are kept in this form, so a tag never changes its meaning.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

Evidence = Literal["finish_reason", "done", "usage", "body"]


class _Silent(msgspec.Struct, frozen=True, gc=False):
    """The base of events that are no text: empty as text."""

    def __str__(self) -> str:
        return ""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens, as the upstream counted them. ``total_tokens`` is the sum where the upstream gave none. ``extra``: members of the
    upstream's object that have no field here (``cost``, further details), in its own nesting."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    extra: dict[str, Any] | None = None


class Started(_Silent, frozen=True, gc=False, tag="started"):
    """The upstream has begun to answer. Only in batches, and first there; never a public chunk.

    ``model``: the model as the upstream names it, or None. ``upstream``: the upstream's name in the config, set by the gateway.
    ``extra``: members of the first chunk that every chunk repeats (``system_fingerprint``, ``service_tier``, unknown ones).
    ``spliced``: the answer had begun before, and from here on has another ``extra``; the names stay those of its beginning.
    """

    model: str | None = None
    upstream: str | None = None
    extra: dict[str, Any] | None = None
    spliced: bool = False


class Reasoning(_Silent, frozen=True, gc=False, tag="reasoning"):
    """A piece of the model's reasoning, which is not part of its answer. ``key``: what the upstream calls it, where that is not
    ``reasoning_content``."""

    text: str
    key: str | None = None


class Refusal(_Silent, frozen=True, gc=False, tag="refusal"):
    """A piece of a refusal, which is not part of the answer's text."""

    text: str


class ToolCallDelta(_Silent, frozen=True, gc=False, tag="tool_call_delta"):
    """A piece of a tool call, as it streams. Only in batches; the public iterator joins them into `ToolCalls`. ``extra``:
    members of the call that have no field here (``extra_content``), in the upstream's own nesting."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    extra: dict[str, Any] | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """One call that the model asks for. ``arguments`` is the JSON text that the model wrote; it may be invalid JSON. ``extra``:
    see `ToolCallDelta`; some servers want it back with the call (thought signatures)."""

    id: str
    name: str
    arguments: str
    index: int = 0
    extra: dict[str, Any] | None = None


class ToolCalls(_Silent, frozen=True, gc=False, tag="tool_calls"):
    """All tool calls of an answer, complete; the chunk before the `FinishReason`."""

    calls: tuple[ToolCall, ...]


class LogProbs(_Silent, frozen=True, gc=False, tag="log_probs"):
    """Log probabilities of tokens, in the upstream's own objects. ``content``: of the text's tokens; ``refusal``: of a
    refusal's."""

    content: list[Any] | None = None
    refusal: list[Any] | None = None


class Annotations(_Silent, frozen=True, gc=False, tag="annotations"):
    """Annotations of the text, such as citations of web pages, in the upstream's own objects."""

    items: list[Any]


class Images(_Silent, frozen=True, gc=False, tag="images"):
    """Images that the model made, as content parts in the upstream's own objects."""

    items: list[Any]


class Extra(_Silent, frozen=True, gc=False, tag="extra"):
    """Members of one chunk, or of one whole document, that have no event of their own. Only in batches.

    ``members``: in the nesting of the wire that they came over; ``wire``: that wire's name. ``covers``: how many of the events
    that follow came in the same chunk, so that the encoder of the same wire writes them as one chunk again.
    """

    members: dict[str, Any]
    covers: int
    wire: str


class ForeignEvent(_Silent, frozen=True, gc=False, tag="foreign_event"):
    """A server-sent event that is no part of an answer as far as the wire knows. Only in batches, and passed on by the encoder
    of the same wire. ``event``: its type; ``data``: its data as it came; ``wire``: the wire's name."""

    event: str
    data: bytes
    wire: str


class FinishReason(_Silent, frozen=True, gc=False, tag="finish_reason"):
    """The last chunk of every answer, exactly one.

    ``reason``: as the upstream named it (``"stop"``, ``"length"``, ``"tool_calls"``, …), None where the end is proven but no
    reason was named. ``evidence``: what proved the end. ``usage``: tokens, where the upstream counted them. ``model``: the
    model that answered. ``extra``: unknown members of the chunk that named the reason, in the nesting of the wire. ``notes``:
    what was wrong with the answer's bytes and was mended, or why it was stopped here, a sentence each.
    """

    reason: str | None
    evidence: Evidence
    usage: Usage | None = None
    model: str | None = None
    extra: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def standard_reason(self) -> str | None:
        """The reason in the words of OpenAI's API reference, which has none for an answer that the embedded engine stopped.

        Example::

            assert FinishReason("repetition", "finish_reason", notes=(REPEATED,)).standard_reason == "length"
            assert FinishReason("repetition", "finish_reason").standard_reason == "repetition"
        """
        return "length" if self.reason == REPETITION and REPEATED in self.notes else self.reason


#: The reason of an answer that the embedded engine stopped because it repeated itself, and the note that it has besides: an
#: upstream may have such a reason of its own, which is passed on.
REPETITION: Final = "repetition"
REPEATED: Final = "the answer repeated itself, and was stopped"


class ChoiceEvent(_Silent, frozen=True, gc=False, tag="choice_event"):
    """An event of a choice other than the first (``n`` above 1). ``index``: the choice's, from 1 on. ``event``: what the same
    event would be in the first choice."""

    index: int
    event: Event


Event: TypeAlias = (
    str
    | Started
    | Reasoning
    | Refusal
    | ToolCallDelta
    | LogProbs
    | Annotations
    | Images
    | ChoiceEvent
    | Extra
    | ForeignEvent
    | FinishReason
)
Batch: TypeAlias = list[Event]
Chunk: TypeAlias = str | Reasoning | Refusal | ToolCalls | LogProbs | Annotations | Images | ChoiceEvent | FinishReason
Message: TypeAlias = dict[str, Any]
Messages: TypeAlias = list[Message]


def rest_of_name(known: str, piece: str) -> str:
    """Return what a *piece* of a call's name brings beyond what is *known*. Servers cut names, or say them again whole."""
    return piece.removeprefix(known)


def _with_input(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a call with *more*. The input of a custom tool comes in pieces; others are said again."""
    before, custom = known.get("custom"), more.get("custom")
    if isinstance(before, dict) and isinstance(custom, dict):
        pieces = [said for part in (before, custom) if isinstance(said := part.get("input"), str)]
        more = {**more, "custom": {**before, **custom, **({"input": "".join(pieces)} if pieces else {})}}
    return {**known, **more}


def join_tool_calls(deltas: list[ToolCallDelta]) -> ToolCalls:
    """Join streamed pieces by index: the first id counts; names and arguments are joined in the order of arrival."""
    ids: dict[int, str] = {}
    names: dict[int, str] = {}
    extras: dict[int, dict[str, Any]] = {}
    arguments: dict[int, list[str]] = {}
    for delta in deltas:
        if delta.extra:
            extras[delta.index] = _with_input(extras.get(delta.index, {}), delta.extra)
        pieces = arguments.setdefault(delta.index, [])
        pieces.append(delta.arguments)
        if delta.id and delta.index not in ids:
            ids[delta.index] = delta.id
        if delta.name:
            known = names.get(delta.index, "")
            names[delta.index] = known + rest_of_name(known, delta.name)
    return ToolCalls(
        tuple(
            ToolCall(
                id=ids.get(index, f"call_{index}"),
                name=names.get(index, ""),
                arguments="".join(arguments[index]),
                index=index,
                extra=extras.get(index),
            )
            for index in sorted(arguments)
        )
    )


#: Reasons of an answer that was cut: a call of it that has no arguments may have been about to have some.
_CUT_SHORT: Final = frozenset({"length", "content_filter"})

#: How servers write that a call has no arguments, beside ``{}``.
_NO_ARGUMENTS: Final = frozenset({"", "null"})


def as_readable(calls: ToolCalls, reason: str | None) -> ToolCalls:
    """Return the *calls* of an answer that ended for *reason*, as they are read: a call of a function without arguments has
    ``{}``, in place of the text without a character that many servers send, and that no JSON reader takes, or of ``null``."""
    if all(call.arguments not in _NO_ARGUMENTS or not call.name for call in calls.calls) or reason in _CUT_SHORT:
        return calls
    return ToolCalls(
        tuple(
            msgspec.structs.replace(call, arguments="{}") if call.arguments in _NO_ARGUMENTS and call.name else call
            for call in calls.calls
        )
    )


def call_in_message(call: ToolCall) -> dict[str, Any]:
    """Return *call* as it stands in a message of chat completions; one of a custom tool has no ``function``."""
    extra = call.extra or {}
    if "custom" in extra and not call.name:
        return {"type": "custom", **extra, "id": call.id}
    return {**extra, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def split_tool_calls(calls: ToolCalls) -> list[ToolCallDelta]:
    """Return *calls* as they stream; `join_tool_calls` joins them again. Calls that share an index are counted."""
    numbers = [call.index for call in calls.calls]
    if len({*numbers}) < len(numbers):
        numbers = [*range(len(numbers))]
    return [
        ToolCallDelta(at, call.id, call.name, call.arguments, call.extra) for at, call in zip(numbers, calls.calls, strict=True)
    ]


def begins_answer(batch: Batch) -> bool:
    """Return whether *batch* is the first of an answer, also of another one that comes in place of one that broke."""
    return type(first := batch[0]) is Started and not first.spliced


#: Events that say nothing of an answer: an upstream that sends them alone shows signs of life.
SAYING_NOTHING: Final = frozenset({Started, ForeignEvent})
