"""Events: what an answer is made of, between all layers; and `Answer`, which they are folded into. Imports nothing of the
package.

A *batch* is the list of all events that one network read brought. The text of the first choice is plain `str`; everything else
is a small frozen struct whose `str()` is `""`, so that `"".join(map(str, chunks))` is the answer.

Each struct has a tag: `msgspec` writes it as the member ``type``, and tells the kinds of a `Batch` apart by it. The logs of
streams are kept in this form, so a tag never changes its meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from .report import Report

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
    """

    model: str | None = None
    upstream: str | None = None
    extra: dict[str, Any] | None = None


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


#: Events above which it is worth while to look for a run of texts.
RUN: Final = 8


def split_run(batch: Batch) -> tuple[Batch, list[str], Batch]:
    """Return what comes before a run of many texts in *batch*, the run, and what follows it. Where there are few texts, or they
    are no one run, all is before it.

    Example::

        texts = ["a"] * 10
        assert split_run([Started("m"), *texts]) == ([Started("m")], texts, [])
        assert split_run(["a", Started("m")]) == (["a", Started("m")], [], [])
    """
    start, end = 0, len(batch)
    while start < end and type(batch[start]) is not str:
        start += 1
    while end > start and type(batch[end - 1]) is not str:
        end -= 1
    run: list[Any] = batch[start:end]
    if len(run) > RUN and _are_texts(run):
        return batch[:start], run, batch[end:]
    return batch, [], []


def _are_texts(events: list[Any]) -> bool:
    try:
        "".join(events)  # the quickest look at the type of each
    except TypeError:
        return False
    return True


def rest_of_name(known: str, piece: str) -> str:
    """Return what a *piece* of a call's name brings beyond what is *known*. Servers cut names, or say them again whole."""
    return piece.removeprefix(known)


def join_tool_calls(deltas: list[ToolCallDelta]) -> ToolCalls:
    """Join streamed pieces by index: the first id counts; names and arguments are joined in the order of arrival."""
    ids: dict[int, str] = {}
    names: dict[int, str] = {}
    extras: dict[int, dict[str, Any]] = {}
    arguments: dict[int, list[str]] = {}
    for delta in deltas:
        if delta.extra:
            extras[delta.index] = {**extras.get(delta.index, {}), **delta.extra}
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


# ---- an answer, folded -------------------------------------------------------------------------------------------------

#: Pieces of text after which the list of them is folded. To count them is all that one more piece costs.
MANY: Final = 64

#: Of the latest pieces, how many stay as they came.
RECENT: Final = 32

#: Characters up to which a part at the end is joined again, whatever comes after it.
_SMALL: Final = 4096


class Answer:
    """One answer as far as it has come: `add` each batch, read the rest at any time.

    ``started``: the first event, which names who answers. ``finish``: the `FinishReason`, once it has come. ``report``: how a
    gateway came by the answer, None elsewhere. ``deltas``: pieces of text, reasoning and tool calls that have come.
    ``choices``: the other choices (``n`` above 1) by their index, each an answer of its own. ``others``: events that are folded
    into nothing else (annotations, images, log probabilities, unknown members), in the order in which they came. ``reading``:
    how many tokens of the prompt the embedded engine has read, and how many there are, while it reads.

    Example::

        answer = Answer()
        answer.add([Started("llama"), "Hel"])
        answer.add(["lo"])
        assert answer.text == "Hello"
    """

    __slots__ = (
        "_blocks",
        "_folded",
        "_refusals",
        "_texts",
        "_thoughts",
        "calls",
        "choices",
        "deltas",
        "finish",
        "others",
        "reading",
        "report",
        "started",
    )

    def __init__(self, report: Report | None = None) -> None:
        self.report = report
        self.reading: tuple[int, int] | None = None
        self.started: Started | None = None
        self.finish: FinishReason | None = None
        self.deltas = 0
        self.calls: list[ToolCallDelta] = []
        self.choices: dict[int, Answer] = {}
        self.others: list[Event] = []
        self._texts: list[str] = []
        #: How many of the texts, from the first, are folded; and the lengths of the pieces that were folded last.
        self._blocks = 0
        self._folded: list[int] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []

    def add(self, batch: Batch) -> None:
        """Fold *batch* in."""
        if len(batch) == 1 and type(text := batch[0]) is str:  # as usual
            self._texts.append(text)
            self.deltas += 1
        elif len(batch) > RUN:
            self._add_run(batch)
        else:
            self._add_all(batch)
        if len(self._texts) > MANY:
            self._fold()

    def _add_run(self, batch: Batch) -> None:
        before, run, after = split_run(batch)
        self._add_all(before)
        self._texts += run
        self.deltas += len(run)
        self._add_all(after)

    def _add_all(self, batch: Batch) -> None:
        texts = self._texts
        before = len(texts)
        # Types are compared exactly, none of them has subtypes: `isinstance` costs five times as much where it says no.
        for event in batch:
            if type(event) is str:
                texts.append(event)
            elif type(event) is Reasoning:
                self._thoughts.append(event.text)
                self.deltas += 1
            elif type(event) is Started:
                self.started = event
            elif type(event) is FinishReason:
                self.finish = event
            elif type(event) is ToolCallDelta:
                self.calls.append(event)
                self.deltas += 1
            elif type(event) is Refusal:
                self._refusals.append(event.text)
                self.deltas += 1
            elif type(event) is ChoiceEvent:
                self.choices.setdefault(event.index, Answer()).add([event.event])
            else:
                self.others.append(event)
        self.deltas += len(texts) - before

    @property
    def model(self) -> str | None:
        """Return the model as the upstream names it; None before the first event, or where it named none."""
        return None if self.started is None else self.started.model

    @property
    def upstream(self) -> str | None:
        """Return which upstream of a gateway answers; None elsewhere."""
        return None if self.started is None else self.started.upstream

    @property
    def text(self) -> str:
        """Return the text so far."""
        return "".join(self._texts)

    @property
    def size(self) -> int:
        """Return how many characters have come, in all choices: of text, reasoning and refusal, and of all else as it is
        shown."""
        shown = sum(len(repr(event)) for event in (*self.calls, *self.others))
        said = sum(map(len, (*self._texts, *self._thoughts, *self._refusals)))
        return said + shown + sum(choice.size for choice in self.choices.values())

    @property
    def reasoning(self) -> str:
        """Return the reasoning so far."""
        return "".join(self._thoughts)

    @property
    def refusal(self) -> str:
        """Return the refusal so far."""
        return "".join(self._refusals)

    @property
    def tool_calls(self) -> ToolCalls | None:
        """Return the tool calls so far, joined; None where there are none."""
        return join_tool_calls(self.calls) if self.calls else None

    def deltas_after(self, offset: int) -> int:
        """Return how many pieces of text reach beyond *offset* characters. Exact for the latest `MANY` pieces."""
        end = sum(map(len, self._texts))
        count = 0
        for length in reversed([*self._folded, *map(len, self._texts[self._blocks :])]):
            if end <= offset:
                break
            count += 1
            end -= length
        return count

    def joined(self) -> Batch:
        """Return the whole answer as one batch: `Started`, reasoning, the text as one string, refusal, all else,
        `FinishReason`."""
        batch: Batch = [] if self.started is None else [self.started]
        if self._thoughts:
            batch.append(Reasoning(self.reasoning))
        if self._texts:
            batch.append(self.text)
        if self._refusals:
            batch.append(Refusal(self.refusal))
        batch += self.calls
        batch += self.others
        for index, choice in self.choices.items():
            batch += [ChoiceEvent(index, event) for event in choice.joined()]
        if self.finish is not None:
            batch.append(self.finish)
        return batch

    def _fold(self) -> None:
        self._folded = [*self._folded, *map(len, self._texts[self._blocks : -RECENT])][-RECENT:]
        fold(self._texts)
        self._blocks = len(self._texts) - RECENT


def fold(pieces: list[str]) -> None:
    """Join all but the last `RECENT` of more pieces than those.

    As an object of its own, a small piece takes ten times its characters. A long part is joined again only when what follows it
    is half as long, so that a text of n characters is copied at most log n times, and is kept in at most as many parts.
    """
    start, end = 0, len(pieces) - RECENT
    while start < end - 1 and len(pieces[start]) > _SMALL:
        start += 1
    size = sum(map(len, pieces[start:end]))
    while start and len(pieces[start - 1]) <= 2 * size:
        start -= 1
        size += len(pieces[start])
    pieces[start:end] = ["".join(pieces[start:end])]
