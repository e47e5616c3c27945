"""What an answer is made of, between all layers. Imports nothing of ours.

A *batch* is the list of all events that one network read brought. Text is plain `str`; everything else is a small frozen
struct that is falsy and whose `str()` is `""`, so that `"".join(map(str, chunks))` is the answer.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Evidence = Literal["finish_reason", "done", "usage", "body"]


class _Silent(msgspec.Struct, frozen=True, gc=False):
    """Falsy, and empty as text: what is not part of the answer's words."""

    def __str__(self) -> str:
        return ""

    def __bool__(self) -> bool:
        return False


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens, as the upstream counted them. ``total_tokens`` is the sum where the upstream gave none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Started(_Silent, frozen=True, gc=False):
    """The upstream has begun to answer. Only in batches, and first there; never a public chunk. ``model``: who answers, as it
    names itself, or None. ``upstream``: the upstream's name in the config, set by the gateway."""

    model: str | None = None
    upstream: str | None = None


class Reasoning(_Silent, frozen=True, gc=False):
    """A piece of the model's reasoning, which is not part of its answer."""

    text: str


class ToolCallDelta(_Silent, frozen=True, gc=False):
    """A piece of a tool call, as it streams. Only in batches; the public iterator puts them together into `ToolCalls`."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """One call that the model asks for. ``arguments`` is the JSON text that the model wrote; it may be invalid JSON."""

    id: str
    name: str
    arguments: str
    index: int = 0


class ToolCalls(_Silent, frozen=True, gc=False):
    """All tool calls of an answer, whole; the chunk before the `FinishReason`."""

    calls: tuple[ToolCall, ...]


class FinishReason(_Silent, frozen=True, gc=False):
    """The last chunk of every answer, exactly one.

    ``reason``: as the upstream named it (``"stop"``, ``"length"``, ``"tool_calls"``, …), None where the end is proven but no
    reason was named. ``evidence``: what proved the end. ``usage``: tokens, where the upstream said so. ``model``: who answered.
    """

    reason: str | None
    evidence: Evidence
    usage: Usage | None = None
    model: str | None = None


Event: TypeAlias = str | Started | Reasoning | ToolCallDelta | FinishReason
Batch: TypeAlias = list[Event]
Chunk: TypeAlias = str | Reasoning | ToolCalls | FinishReason
Message: TypeAlias = dict[str, Any]
Messages: TypeAlias = list[Message]


def join_tool_calls(deltas: list[ToolCallDelta]) -> ToolCalls:
    """Put streamed pieces together by index: the first id and name count, arguments are joined in order of arrival."""
    ids: dict[int, str] = {}
    names: dict[int, str] = {}
    arguments: dict[int, list[str]] = {}
    for delta in deltas:
        pieces = arguments.setdefault(delta.index, [])
        pieces.append(delta.arguments)
        if delta.id and delta.index not in ids:
            ids[delta.index] = delta.id
        if delta.name and delta.index not in names:
            names[delta.index] = delta.name
    return ToolCalls(
        tuple(
            ToolCall(
                id=ids.get(index, f"call_{index}"), name=names.get(index, ""), arguments="".join(arguments[index]), index=index
            )
            for index in sorted(arguments)
        )
    )


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try at one upstream. ``outcome``: ``"ok"``, or what ended it; ``status``: its HTTP status, None before an answer;
    ``ms``: how long it took."""

    upstream: str
    outcome: str
    status: int | None
    ms: int


class Splice(msgspec.Struct, frozen=True, gc=False, rename={"source": "from", "target": "to"}):
    """Where an answer went on elsewhere. ``offset``: characters of the text before it; from which upstream to which."""

    offset: int
    source: str
    target: str


class Report(msgspec.Struct, gc=False):
    """How an answer came about: filled by a gateway while it answers, and complete with the `FinishReason` or the error.

    ``seed``: what an upstream that repeats itself was asked with, where it was drawn for it. ``repeated``: pieces that had been
    generated without being part of the text, when the last splice was made. ``begun``: the index of the attempt that was the
    first to deliver something, -1 where another server did; None before. ``ways``: of each splice that was made here, what kind
    of rescue it was: again, continue or anew. ``steps``: grows while a broken answer is brought on, with each batch that brings
    again what was delivered, and with each try that ends.
    """

    upstream: str | None = None
    attempts: list[Attempt] = []
    splices: list[Splice] = []
    seed: int | None = None
    repeated: int = 0
    begun: int | None = None
    ways: list[str] = []
    steps: int = 0
