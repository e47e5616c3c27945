"""`Answer`: the one value that an answer's events are folded into. Imports nothing but events."""

from __future__ import annotations

from typing import Final

from .events import (
    Batch,
    ChoiceEvent,
    Event,
    FinishReason,
    Reasoning,
    Refusal,
    Report,
    Started,
    ToolCallDelta,
    ToolCalls,
    join_tool_calls,
)

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
    into nothing else (annotations, images, log probabilities, unknown members), in the order in which they came.

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
        "report",
        "started",
    )

    def __init__(self, report: Report | None = None) -> None:
        self.report = report
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
        else:
            texts = [event for event in batch if type(event) is str]
            self._texts += texts
            self.deltas += len(texts)
            if len(texts) < len(batch):
                self._add_others(batch)
        if len(self._texts) > MANY:
            self._fold()

    def _add_others(self, batch: Batch) -> None:
        for event in batch:
            kind = type(event)
            if kind is str:
                continue
            if kind is Reasoning:
                self._thoughts.append(event.text)  # type: ignore[union-attr]
                self.deltas += 1
            elif isinstance(event, ToolCallDelta):
                self.calls.append(event)
                self.deltas += 1
            elif isinstance(event, Started):
                self.started = event
            elif isinstance(event, FinishReason):
                self.finish = event
            elif isinstance(event, Refusal):
                self._refusals.append(event.text)
                self.deltas += 1
            elif isinstance(event, ChoiceEvent):
                self.choices.setdefault(event.index, Answer()).add([event.event])
            else:
                self.others.append(event)

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
