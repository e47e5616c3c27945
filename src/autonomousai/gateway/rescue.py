"""Joining a second stream to what was delivered of a first: pure, events in and events out. Never a blend: where the second
does not repeat the first byte for byte, it is `DivergedError`."""

from __future__ import annotations

import msgspec

from ..answer import MANY, RECENT, fold
from ..events import Batch, Event, Reasoning, ToolCallDelta

#: Characters at the end of a text in which the last whole word is looked for.
_WORD = 64


class DivergedError(Exception):
    """The second stream is not the first one again."""


class Delivered(msgspec.Struct, eq=False):
    """What a caller has been given so far."""

    deltas: int = 0
    #: Deltas that tries which have ended had generated: they are not in the last upstream's own count.
    spent: int = 0
    texts: list[str] = []
    #: How many of the texts, from the first, are folded, and how long those were that were the last to be.
    blocks: int = 0
    folded: list[int] = []
    thoughts: list[str] = []
    calls: dict[int, list[str]] = {}
    names: dict[int, str] = {}

    def add(self, batch: Batch) -> None:
        """Note what was delivered."""
        if len(batch) == 1 and type(text := batch[0]) is str:  # as usual
            self.append(text)
            return
        texts = [event for event in batch if type(event) is str]
        self.texts += texts
        self.deltas += len(texts)
        if len(self.texts) > MANY:
            self._fold()
        if len(texts) < len(batch):
            for event in batch:
                if type(event) is Reasoning:
                    self.thoughts.append(event.text)
                    self.deltas += 1
                elif type(event) is ToolCallDelta:
                    self.calls.setdefault(event.index, []).append(event.arguments)
                    if event.name:
                        self.names.setdefault(event.index, event.name)
                    self.deltas += 1

    def append(self, text: str) -> None:
        """Note one more piece of text."""
        self.deltas += 1
        self.texts.append(text)
        if len(self.texts) > MANY:
            self._fold()

    def _fold(self) -> None:
        self.folded = [*self.folded, *map(len, self.texts[self.blocks : -RECENT])][-RECENT:]
        fold(self.texts)
        self.blocks = len(self.texts) - RECENT

    def __bool__(self) -> bool:
        return self.deltas > 0

    @property
    def text(self) -> str:
        """The text, whole."""
        return "".join(self.texts)

    def deltas_after(self, offset: int) -> int:
        """How many deltas of text reach beyond that many characters. Exact for the last 64."""
        end = sum(map(len, self.texts))
        count = 0
        for length in reversed([*self.folded, *map(len, self.texts[self.blocks :])]):
            if end <= offset:
                break
            count += 1
            end -= length
        return count

    @property
    def reasoning(self) -> str:
        """The reasoning, whole."""
        return "".join(self.thoughts)


class ReplayFilter:
    """Swallows a stream as long as it repeats what was delivered, and lets through what comes after.

    ``text``: what of the text will come again; by default all of it. Reasoning and tool calls come again whole, except where
    the stream continues the text.
    """

    def __init__(self, delivered: Delivered, *, text: str | None = None) -> None:
        continued = text is not None
        self._made_of = (delivered, text)
        self._text = delivered.text if text is None else text
        self._reasoning = "" if continued else delivered.reasoning
        self._calls = {} if continued else {index: "".join(pieces) for index, pieces in delivered.calls.items()}
        self._names = delivered.names
        self._known = frozenset(self._calls)
        self._missing = set(self._calls)  # calls of which nothing has come again yet

    def anew(self) -> ReplayFilter:
        """The same from its beginning, for another try."""
        delivered, text = self._made_of
        return ReplayFilter(delivered, text=text)

    def feed(self, batch: Batch) -> Batch:
        """What of *batch* is new. Raises `DivergedError`, before anything of the batch counts."""
        if not (self._text or self._reasoning or self._known):
            return batch
        fresh: Batch = []
        for event in batch:
            if type(event) is str:
                self._text, rest = _swallow(self._text, event)
                new: Event | None = rest or None
            elif type(event) is Reasoning:
                self._reasoning, rest = _swallow(self._reasoning, event.text)
                new = Reasoning(rest) if rest else None
            elif type(event) is ToolCallDelta and event.index in self._known:
                new = self._rest_of_call(event)
            else:
                new = event
            if new is not None:
                if self._text or self._reasoning or self._missing or any(self._calls.values()):
                    raise DivergedError  # something new, or the end, before everything had come again
                fresh.append(new)
        return fresh

    def _rest_of_call(self, event: ToolCallDelta) -> ToolCallDelta | None:
        """What of a known call is new. Its id was delivered, a second generation draws another; its name must be the same."""
        name = self._names.get(event.index)
        if name is not None and event.name and event.name != name:
            raise DivergedError
        self._missing.discard(event.index)
        self._calls[event.index], rest = _swallow(self._calls[event.index], event.arguments)
        new_name = event.name if name is None else None
        return ToolCallDelta(event.index, None, new_name, rest) if rest or new_name else None


def _swallow(expected: str, piece: str) -> tuple[str, str]:
    """What is still expected after *piece*, and what of it is new."""
    if len(piece) <= len(expected):
        if not expected.startswith(piece):
            raise DivergedError
        return expected[len(piece) :], ""
    if not piece.startswith(expected):
        raise DivergedError
    return "", piece[len(expected) :]


def to_last_whole_word(text: str) -> tuple[str, str]:
    """*text* up to the end of its last word that is certainly whole, and the rest, which a continuation will repeat.

    Models stumble over half a word, and continue a final space with nonsense; so the rest begins with the white space before
    the last word. Where no word ends in the last 64 characters (some scripts have no spaces), all but final white space is
    the text.
    """
    kept = text.rstrip()
    if kept != text:
        return kept, text[len(kept) :]
    start = max(0, len(text) - _WORD)
    cut = max((at for at in range(start, len(text)) if text[at].isspace()), default=-1)
    kept = text[:cut].rstrip() if cut > 0 else ""
    return (kept, text[len(kept) :]) if kept else (text, "")
