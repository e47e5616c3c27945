"""Finds an answer that repeats itself without end, and ends it. Pure: knows no engine.

Small models fall into loops ("his son's son's son's …") and would fill an answer's greatest length with them. An answer is
taken for one that loops where its last 1,000 characters, or more, are the same text at least five times in a row and nothing
else. What is repeated on purpose is shorter ("hello" fifty times: 300 characters) or not the same each time (numbered lists,
tables, code).

It depends on the text alone, not on how it was cut into pieces: the same answer always ends at the same place.
"""

from __future__ import annotations

from typing import Final

from ..events import REPEATED, REPETITION, Batch, Extra, FinishReason, Reasoning, Started, Usage

#: Characters that a loop has at the least, and how often it says the same.
_LOOP: Final = 1000
_TIMES: Final = 5

#: Characters that are kept: five times the longest text whose repetition is noticed.
_KEPT: Final = 3000

#: Characters between two looks. Each costs a search in what is kept.
_STEP: Final = 64

#: Characters by whose earlier place the repeated text's length is guessed.
_PROBE: Final = 16


def is_loop(text: str) -> bool:
    """Return whether *text* ends in a loop; its last 3,000 characters count.

    Example::

        assert is_loop("The cop" + "'s son" * 200)
        assert not is_loop("hello " * 50)
    """
    text = text[-_KEPT:]
    probe = text[-_PROBE:]
    end = len(text) - 1
    while (place := text.rfind(probe, 0, end)) >= 0:
        period = len(text) - _PROBE - place
        length = max(_LOOP, _TIMES * period)
        if length > len(text):
            return False
        if text[-length:-period] == text[period - length :]:
            return True
        end = place + _PROBE - 1
    return False


class _Said:
    """The end of one text that grows, and how long it is."""

    __slots__ = ("_pieces", "_size", "_tail")

    def __init__(self, begun: str) -> None:
        self._tail = begun[-_KEPT:]
        self._size = len(begun) % _STEP  # since the last look
        self._pieces: list[str] = []

    def add(self, text: str) -> bool:
        """Return whether the text loops now. Looks stand at every 64th character of the whole text, however it comes."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size < _STEP:
            return False
        tail = self._tail + "".join(self._pieces)
        self._size, looks = self._size % _STEP, self._size // _STEP
        self._pieces = []
        self._tail = tail[-_KEPT:]
        last = len(tail) - self._size
        return any(is_loop(tail[: last - _STEP * back]) for back in reversed(range(looks)))


class LoopStop:
    """Watches one answer, batch by batch. *begun*: the text that it continues. *model*: who answers.

    ``found``: whether it looped, and was ended.
    """

    __slots__ = ("_counted", "_model", "_prompt", "_texts", "_thoughts", "_tokens", "found")

    def __init__(self, model: str, begun: str = "") -> None:
        self.found = False
        self._model = model
        self._texts = _Said(begun)
        self._thoughts = _Said("")
        self._counted = 0
        self._tokens = 0  # at least: one for each piece
        self._prompt: dict[str, int] = {}

    def note(self, batch: Batch) -> None:
        """Note how long the prompt is, which llama.cpp tells while it reads, and how many tokens there are by now, where it was
        asked for that: an answer that is stopped has no other count."""
        first = batch[0]
        if type(first) is Started and first.extra is not None:
            self._prompt = first.extra.get("prompt_progress") or {}
        elif type(first) is Extra and (timings := first.members.get("timings")):
            self._counted = timings.get("predicted_n", 0)

    def watch(self, batch: Batch) -> Batch:
        """Return *batch*, or where the answer loops its beginning and an end. The piece in which it is noticed is the last."""
        for place, event in enumerate(batch):
            if type(event) is str:
                said, text = self._texts, event
            elif type(event) is Reasoning:
                said, text = self._thoughts, event.text
            else:
                continue
            self._tokens += 1
            if said.add(text):
                self.found = True
                return [*batch[: _end_of_chunk(batch, place)], self.end(REPETITION, REPEATED)]
        return batch

    def end(self, reason: str, *notes: str) -> FinishReason:
        """Return the end of an answer that is stopped now."""
        prompt, tokens = self._prompt.get("total", 0), self._counted or self._tokens
        usage = Usage(prompt, tokens, prompt + tokens, self._prompt.get("cache", 0)) if prompt else None
        return FinishReason(reason, "finish_reason", usage, self._model, notes=notes)


def _end_of_chunk(batch: Batch, place: int) -> int:
    """Return where the chunk ends that the event at *place* came in, as far as `Extra` keeps it together."""
    ends = [index + event.covers for index, event in enumerate(batch[:place]) if type(event) is Extra]
    return max([place, *ends]) + 1
