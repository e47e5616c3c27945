"""A streamed answer as server-sent events (WHATWG HTML, section 9.2): the part of a `StreamDecoder` that knows no dialect.

Chat completions have a decoder of their own, whose short roads begin in the bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..errors import HTTPError, StreamError
from ..events import Batch
from .sse import DEFAULT_MAX_EVENT, ServerSentEvent, SSEDecoder


class EventStreamDecoder(ABC):
    """Reads the events of a stream up to its end or its failure, and ignores all input after that. A dialect adds what an event
    says, and what proves the end."""

    __slots__ = ("_sse", "complete", "extension", "failure")

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        self.failure: HTTPError | None = None
        self.complete = False
        self.extension: dict[str, Any] | None = None
        self._sse = SSEDecoder(max_event=max_event)

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
        if self.complete or self.failure is not None:
            return batch
        try:
            events = self._sse.feed(data)
        except StreamError as error:
            self.failure = error
            return batch
        self._read_all(events, batch)
        if not self.complete and self.failure is None:
            self.failure = self._sse.failure
        return batch

    def next_text(self, data: bytes) -> str | None:
        """See `StreamDecoder.next_text`; a dialect may know a short road."""
        return None

    def end(self) -> Batch:
        """See `StreamDecoder.end`."""
        if self.complete or self.failure is not None or not self._is_object(self._sse.unfinished_data().strip()):
            return []
        return self.feed(b"\n\n")
