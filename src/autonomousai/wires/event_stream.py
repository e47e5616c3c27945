"""A streamed answer as server-sent events (WHATWG HTML, section 9.2): the part of a `StreamDecoder` that knows no dialect.

A dialect whose events of text differ in their text alone learns a template from one of them: then those that follow are read
together, or singly at less cost. Chat completions have a decoder of their own, whose short roads begin in the bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from ..errors import HTTPError, StreamError
from ..events import Batch
from .sse import DEFAULT_MAX_EVENT, ServerSentEvent, SSEDecoder
from .text_template import TextTemplate

#: Bytes in one read from which on a run of texts is looked for.
_LONG: Final = 2048

#: Events of an answer among which is one that a template is learnt from, in most answers.
_FEW: Final = 6

#: Templates that are learnt in a row, while none reads a run.
_ENOUGH: Final = 8


class EventStreamDecoder(ABC):
    """Reads the events of a stream up to its end or its failure, and ignores all input after that. A dialect adds what an event
    says, and what proves the end."""

    __slots__ = ("_is_continuing", "_learnt", "_max_event", "_sse", "_template", "complete", "extension", "failure", "pings")

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        self.failure: HTTPError | None = None
        self.complete = False
        self.extension: dict[str, Any] | None = None
        self.pings = 0
        self._sse = SSEDecoder(max_event=max_event)
        self._max_event = max_event
        #: Whether the last event was text, and a further one of its kind only continues that; a dialect says so.
        self._is_continuing = False
        self._template: TextTemplate | None = None
        self._learnt = 0

    @abstractmethod
    def _read(self, data: bytes, event: str, batch: Batch) -> None:
        """Add what an event of the type *event* says to *batch*, or set ``complete`` or ``failure``."""

    @abstractmethod
    def _is_object(self, data: bytes) -> bool:
        """Return whether *data* is a whole JSON object."""

    def _read_all(self, events: list[bytes | ServerSentEvent], batch: Batch) -> None:
        for event in events:
            if isinstance(event, ServerSentEvent):
                self._read(event.data, event.event, batch)
            else:
                self._read(event, "message", batch)
            if self.complete or self.failure is not None:
                return

    @property
    def progress(self) -> int:
        """See `StreamDecoder`."""
        said = (self.extension or {}).get("progress")
        return said if type(said) is int else 0

    @property
    def last_event_id(self) -> str:
        """See `StreamDecoder`."""
        return self._sse.last_event_id

    def reopen(self) -> None:
        """See `StreamDecoder.reopen`."""
        self._sse.reopen()
        if self.progress:
            self.extension = None

    def feed(self, data: bytes) -> Batch:
        """See `StreamDecoder.feed`."""
        batch: Batch = []
        if not self._is_over and (len(data) < _LONG or (data := self._read_run(data, batch))):
            self._feed(data, batch)
        return batch

    @property
    def _is_over(self) -> bool:
        return self.complete or self.failure is not None

    def _feed(self, data: bytes, batch: Batch) -> None:
        if self._is_over:
            return
        try:
            events = self._sse.feed(data)
        except StreamError as error:
            self.failure = error
            return
        self._read_all(events, batch)
        if not self._is_over:
            self.failure = self._sse.failure

    def _read_run(self, data: bytes, batch: Batch) -> bytes:
        """Read what *data* begins with, if that is a run of events that differ in their text alone, and return the rest. Where
        no template is learnt yet, that may happen in the first few."""
        if (self._template is None and self._learnt == _ENOUGH) or (start := self._start_of_run(data)) < 0:
            return data
        if start:
            self._feed(data[:start], batch)
        template = self._fitting(data)
        if template is None or (run := template.texts_of_events(data, start)) is None:
            return data[start:]
        texts, end = run
        self._learnt = 0
        batch += texts if all(texts) else [text for text in texts if text]
        return data[end:]

    def _start_of_run(self, data: bytes) -> int:
        """Return where a run may begin in *data*: behind the first few events where a template is to be learnt, and behind the
        rest of an event that came before; -1 where nothing follows."""
        if self._template is None:
            return _end_of(_FEW, data)
        return 0 if self._sse.is_between else _end_of(1, data)

    def _fitting(self, data: bytes) -> TextTemplate | None:
        """Return the template that *data* may be read by: where all that came before is read, and was text that continues."""
        if not (self._is_continuing and self._sse.is_between) or self._is_over or len(data) > self._max_event:
            return None
        return self._template

    def _learn(self, data: bytes, text: str, read: Callable[[bytes], str | None], *, member: bytes, lead: bytes) -> None:
        """Learn a template from the *data* of an event of text, if no known one reads it; see `TextTemplate.learn`."""
        if self._learnt < _ENOUGH and (self._template is None or not self._template.fits(data)):
            self._learnt += 1  # where each event differs from the last one, learning is soon given up
            self._template = TextTemplate.learn(data, text, read, member=member, lead=lead)

    def next_text(self, data: bytes) -> str | None:
        """See `StreamDecoder.next_text`: of one event by which a text continues, as the one before it was but for its text."""
        template = self._template
        if template is None or not (self._is_continuing and self._sse.is_between) or self.complete or self.failure is not None:
            return None
        return template.text_of_event(data) if len(data) <= self._max_event else None

    def end(self) -> Batch:
        """See `StreamDecoder.end`."""
        if self.complete or self.failure is not None or not self._is_object(self._sse.unfinished_data().strip()):
            return []
        return self.feed(b"\n\n")


def _end_of(count: int, data: bytes) -> int:
    """Return where the first *count* events of *data* end; -1 where there are no more than those."""
    place = 0
    for _ in range(count):
        place = data.find(b"\n\n", place) + 2
        if place < 2:
            return -1
    return place if place < len(data) else -1
