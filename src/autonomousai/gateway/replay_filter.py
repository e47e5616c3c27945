"""A second stream is joined to what was delivered of a first. Does no I/O: events in, events out. Never a blend of two answers:
where the second does not repeat the first byte for byte, `DivergedError` is raised."""

from __future__ import annotations

from ..answer import Answer
from ..events import Batch, Event, Extra, ForeignEvent, LogProbs, Reasoning, Refusal, ToolCallDelta

#: Characters at the end of a text in which the last whole word is looked for.
_WORD = 64


class DivergedError(Exception):
    """The second stream is not the first one again."""


class ReplayFilter:
    """Drops a stream's events as long as they repeat what was delivered, and passes what comes after.

    ``text``: what of the text will come again; by default all of it. Reasoning, refusal and tool calls come again completely,
    except where the stream continues the text.
    """

    def __init__(self, answer: Answer, *, text: str | None = None) -> None:
        continued = text is not None
        self._made_of = (answer, text)
        self._text = answer.text if text is None else text
        self._reasoning = "" if continued else answer.reasoning
        self._refusal = "" if continued else answer.refusal
        calls = None if continued else answer.tool_calls
        self._calls = {} if calls is None else {call.index: call.arguments for call in calls.calls}
        self._names = {} if calls is None else {call.index: call.name for call in calls.calls if call.name}
        self._known = frozenset(self._calls)
        self._missing = set(self._calls)  # calls of which nothing has come again yet
        self._others = [] if continued else [event for event in answer.others if not isinstance(event, Extra | ForeignEvent)]

    def restarted(self) -> ReplayFilter:
        """Return the same filter from its beginning, for another try."""
        answer, text = self._made_of
        return ReplayFilter(answer, text=text)

    def feed(self, batch: Batch) -> Batch:
        """Return what of *batch* is new. Raises `DivergedError`, before anything of the batch counts."""
        if not (self._text or self._reasoning or self._refusal or self._known or self._others):
            return batch
        fresh: Batch = []
        for event in batch:
            new = self._rest_of(event)
            if new is not None:
                if self._is_replaying:
                    raise DivergedError  # something new, or the end, before everything had come again
                fresh.append(new)
        return fresh

    @property
    def _is_replaying(self) -> bool:
        return bool(self._text or self._reasoning or self._refusal or self._missing or any(self._calls.values()))

    def _rest_of(self, event: Event) -> Event | None:
        """Return what of *event* is new, None where all of it repeats."""
        if isinstance(event, str):
            self._text, rest = _drop(self._text, event)
            return rest or None
        if isinstance(event, Reasoning):
            self._reasoning, rest = _drop(self._reasoning, event.text)
            return Reasoning(rest) if rest else None
        if isinstance(event, Refusal):
            self._refusal, rest = _drop(self._refusal, event.text)
            return Refusal(rest) if rest else None
        if isinstance(event, ToolCallDelta) and event.index in self._known:
            return self._rest_of_call(event)
        if event in self._others:
            self._others.remove(event)
            return None
        # Members that have no event of their own were delivered with the events that they belong to.
        return None if isinstance(event, Extra | ForeignEvent | LogProbs) and self._is_replaying else event

    def _rest_of_call(self, event: ToolCallDelta) -> ToolCallDelta | None:
        """Return what of a known call is new. Its id was delivered, and a second generation draws another; its name must be the
        same, which may come in pieces."""
        name = self._names.get(event.index)
        left, new_name = _drop(name or "", event.name or "")
        if name is not None:
            if new_name or (left and event.arguments):
                raise DivergedError
            self._names[event.index] = left
        self._missing.discard(event.index)
        self._calls[event.index], rest = _drop(self._calls[event.index], event.arguments)
        return ToolCallDelta(event.index, None, new_name or None, rest, event.extra) if rest or new_name else None


def _drop(expected: str, piece: str) -> tuple[str, str]:
    """Return what is still expected after *piece*, and what of it is new."""
    if len(piece) <= len(expected):
        if not expected.startswith(piece):
            raise DivergedError
        return expected[len(piece) :], ""
    if not piece.startswith(expected):
        raise DivergedError
    return "", piece[len(expected) :]


def to_last_whole_word(text: str) -> tuple[str, str]:
    """Return *text* up to the end of its last word that is certainly whole, and the rest, which a continuation will repeat.

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
