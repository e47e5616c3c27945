"""`Answer`: one answer, folded of the batches of its events as they come. The only place where a text is put together.

Its reader owns it and hands it down; see `CallOptions.answer`. So the text of an answer exists once, whichever layers read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .events import (
    Batch,
    ChoiceEvent,
    Event,
    FinishReason,
    Reasoning,
    Refusal,
    Started,
    ToolCallDelta,
    ToolCalls,
    join_tool_calls,
)
from .report import Report

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


#: Pieces of text after which the list of them is folded. To count them is all that one more piece costs.
MANY: Final = 64

#: Of the latest pieces, how many stay as they came.
RECENT: Final = 32

#: Events of a short answer: `Started`, its text, `FinishReason`.
_WHOLE: Final = 3

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
        self._folded: Sequence[int] = ()
        #: Lists from the first one on: most answers have none.
        self._thoughts: list[str] | None = None
        self._refusals: list[str] | None = None

    def clear(self) -> None:
        """Empty it: another answer comes in place of this one. The report stays."""
        Answer.__init__(self, self.report)

    def add(self, batch: Batch) -> None:
        """Fold *batch* in."""
        events = len(batch)
        if events == 1 and type(text := batch[0]) is str:  # as usual
            self._texts.append(text)
            self.deltas += 1
        elif events > RUN:
            self._add_run(batch)
        elif events == _WHOLE:
            started, text, finish = batch
            if type(started) is Started and type(text) is str and type(finish) is FinishReason:  # a short answer
                self.started = started
                self._texts.append(text)
                self.deltas += 1
                self.finish = finish
            else:
                self._add_all(batch)
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
                if self._thoughts is None:
                    self._thoughts = []
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
                if self._refusals is None:
                    self._refusals = []
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
        """Return how many characters are kept, in all choices: of text, reasoning and refusal, and of all else as it is
        shown."""
        size = self._words
        if self.calls or self.others:
            size += sum(len(repr(event)) for event in (*self.calls, *self.others))
        return size + sum(choice.size for choice in self.choices.values()) if self.choices else size

    @property
    def generated(self) -> int:
        """Return how many characters were generated, in all choices: of text, reasoning, refusals and tool calls."""
        size = self._words
        if self.calls:
            size += sum(len(call.arguments) + len(call.name or "") for call in self.calls)
        return size + sum(choice.generated for choice in self.choices.values()) if self.choices else size

    @property
    def _words(self) -> int:
        size = sum(map(len, self._texts))
        if self._thoughts or self._refusals:
            size += sum(map(len, (*(self._thoughts or ()), *(self._refusals or ()))))
        return size

    @property
    def reasoning(self) -> str:
        """Return the reasoning so far."""
        return "".join(self._thoughts or ())

    @property
    def refusal(self) -> str:
        """Return the refusal so far."""
        return "".join(self._refusals or ())

    @property
    def tool_calls(self) -> ToolCalls | None:
        """Return the tool calls so far, joined; None where there are none."""
        return join_tool_calls(self.calls) if self.calls else None

    @property
    def pieces(self) -> int:
        """Return how many pieces of text, reasoning and tool calls have come, in all choices."""
        return self.deltas + sum(choice.deltas for choice in self.choices.values()) if self.choices else self.deltas

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
