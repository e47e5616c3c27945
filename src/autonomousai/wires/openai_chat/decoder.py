"""The bytes of a streamed answer on the OpenAI wire -> its chunks. Knows no network, no timeouts, no provider.

An event that cannot be read is an error, for it may have held text. What a chunk says and proves is in `interpreter`; writing
is in `encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import StreamError
from ...events import Batch, ForeignEvent, Reasoning
from ..foreign_errors import error_in_event
from ..sse import DEFAULT_MAX_EVENT, ServerSentEvent, SSEDecoder
from ..text_template import TextTemplate
from ..unreadable import notes_on, shown_bytes, unreadable
from .chunks import UNREADABLE, WIRE, Chunk, as_chunk, load, unknown_members, unwrapped
from .interpreter import ChunkInterpreter
from .odd_events import DONE, meant_by
from .usage import counted_more
from .usual import (
    PLAIN,
    USUAL,
    PlainChunk,
    UsualChunk,
    UsualDelta,
    sole_text,
    sole_texts,
    text_beside,
    unknown_in_choice,
    unknown_in_chunk,
    unknown_of,
    widened_call,
)

_LONG = 2048  # bytes in one read from which on a run of chunks is looked for
_SINGLES = 2  # usual chunks that came alone, after which a template is learnt
_FEW = 3  # chunks in one read below which a template gains nothing
_WORTHWHILE = 8  # chunks in one read from which on it is worth while to learn a template
_ODD_ENDS = 4  # chunks at the end of a read that may be of another kind: finish reason, usage, [DONE]
_MISSES = 8  # reads in a row that a template just learnt did not fit, after which none is learnt again

_NONE = TextTemplate(b"\0", b"\0")  # reads nothing: what stands in place of the quotes is none


class ChatStreamDecoder(ChunkInterpreter):
    """One streamed answer, bytes in and events out. `feed` never raises; split the bytes anywhere, the events are the same.

    After ``failure`` or ``complete`` all input is ignored.
    """

    __slots__ = ("_constant_values", "_max_event", "_misses", "_odd_reads", "_singles", "_sse", "_template", "next_text")

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        super().__init__()
        #: See `StreamDecoder.next_text`: a template's own, where one is learnt and only what it reads may come next.
        self.next_text: Callable[[bytes], str | None] = _NONE.text_of_event
        self._sse = SSEDecoder(max_event=max_event)
        self._max_event = max_event
        # Runs of chunks that differ in their text alone are not even decoded one by one.
        self._template: TextTemplate | None = None
        self._misses = 0
        self._odd_reads = 0  # in which others than texts alone stood, where no template is learnt
        self._singles = 0  # usual chunks that came alone, in a row
        self._constant_values: tuple[tuple[Any, ...], ...] | None = None  # of a chunk that repeats the unknown members

    @property
    def last_event_id(self) -> str:
        """The id of the last event that came, to resume after."""
        return self._sse.last_event_id

    @property
    def _is_over(self) -> bool:
        return self.complete or self.failure is not None

    def _stray(self) -> bytes:
        return self._sse.stray() or super()._stray()

    def reopen(self) -> None:
        """The stream continues over another connection, with the event after the last whole one."""
        self._sse.reopen()
        self.next_text = _NONE.text_of_event
        if self.progress:
            self.extension = None

    def feed(self, data: bytes) -> Batch:
        """The events that *data* brought. What came before a failure is among them."""
        batch: Batch = []
        if self.complete or self.failure is not None:
            return batch
        sse = self._sse
        if len(data) <= _LONG or ((data := self._read_run(data, batch)) and not self._is_over):
            try:
                events = sse.feed(data)
            except StreamError as error:
                self.failure = error
            else:
                if len(events) < _FEW:
                    self._read(events, batch)
                elif self._misses < _MISSES:
                    self._read_many(events, batch)
                else:
                    self._read_texts(events, batch)
                if not self.complete and self.failure is None:
                    self.failure = sse.failure
        is_next = self._usual and sse.is_between and not self.complete and self.failure is None
        self.next_text = (self._template if is_next and self._template is not None else _NONE).text_of_event
        return batch

    def _read_run(self, data: bytes, batch: Batch) -> bytes:
        """Read what *data* begins with, if that is a run of events that differ in their text alone, and return the rest. Where
        no template is learnt yet, it is learnt from the first few."""
        start = 0
        if self._template is None:
            if self._misses == _MISSES or (start := _end_of_few(data)) < 0:
                return data
            self._read_first(data[:start], batch)
        template = self._template
        if template is None or self._is_over or not self._usual or not self._sse.is_between or len(data) > self._max_event:
            return data[start:]
        if (run := template.texts_of_events(data, start)) is None:
            return data[start:]
        texts, end = run
        self._said = 2
        batch += texts if all(texts) else [text for text in texts if text]
        return data[end:]

    def _read_first(self, data: bytes, batch: Batch) -> None:
        """Read few events, and learn a template from one."""
        try:
            events = self._sse.feed(data)
        except StreamError as error:
            self.failure = error
            return
        start = self._learn(events, batch) if self._sse.is_plain else 0  # type: ignore[arg-type]  # plain ones are bytes
        if not self._is_over:
            self._read(events[start:], batch)
        if not self._is_over:
            self.failure = self._sse.failure

    def end(self) -> Batch:
        """See `StreamDecoder.end`."""
        data = self._sse.unfinished_data().strip()
        if self.complete or self.failure is not None or not data or not (_is_object(data) or meant_by(data)):
            return []
        return self.feed(b"\n\n")

    def _read(self, events: list[bytes | ServerSentEvent] | list[bytes], batch: Batch) -> None:
        for event in events:
            if type(event) is bytes:
                self._read_chunk(event, batch)
            elif isinstance(event, ServerSentEvent):
                self._read_odd(event.data, batch, event.event)
            if self.complete or self.failure is not None:
                return

    def _read_usual(self, chunk: PlainChunk | UsualChunk, data: bytes, batch: Batch) -> bool:
        """Read a chunk by which the answer only continues. False: it may be another one, and nothing of it was read."""
        if not chunk.choices or chunk.finish_reason or chunk.x_autonomousai:
            return False
        choice = chunk.choices[0]
        if choice.finish_reason:
            return False
        if type(chunk) is UsualChunk:  # a plain one has no unknown members
            values = unknown_in_chunk(chunk), unknown_in_choice(choice)
            if values != self._constant_values:
                if unknown_of(chunk) != self._constant:
                    return False
                self._constant_values = values
        delta = choice.delta
        if delta.reasoning_content or delta.tool_calls:
            if not self._read_delta(delta, batch):
                return False
        elif text := delta.content:
            self._said = 2
            batch.append(text)
            if self._misses < _MISSES:
                self._learn_single(data, text)
        if chunk.usage:
            self._usage = counted_more(self._usage, chunk.usage) if self._usage else chunk.usage
        return True

    def _read_delta(self, delta: UsualDelta, batch: Batch) -> bool:
        """Read what stands beside, or in place of, the text of a usual chunk. False: nothing of it was read."""
        text, calls = delta.content, delta.tool_calls
        if self._constant and bool(text) + bool(delta.reasoning_content) + len(calls or ()) > 1:
            return False  # events of a chunk with unknown members are kept together
        self._said = 2 if text else self._said or 1
        if delta.reasoning_content:
            batch.append(Reasoning(delta.reasoning_content))
        if text:
            batch.append(text)
        if calls:
            self._call([widened_call(call) for call in calls], batch)
        return True

    def _learn_single(self, data: bytes, text: str) -> None:
        """Learn a template where one chunk after another came alone: each of them is read by it at less cost."""
        self._singles += 1
        if self._singles == _SINGLES:
            self._singles = 0
            self._misses += 1  # where each chunk differs from the last one, learning is soon given up
            self._template = None
            if self._misses < _MISSES:
                self._template = TextTemplate.learn(data, text, self._sole_text, longest=self._max_event)

    def _sole_text(self, data: bytes) -> str | None:
        """Return the text of a chunk that holds nothing besides but what every chunk repeats; None for any other."""
        if not self._constant:
            return sole_text(data)
        if (usual := text_beside(data, self._constant_values)) is not None:
            return usual
        try:
            obj = load(data)
            chunk = as_chunk(obj)
        except (*UNREADABLE, AttributeError):
            return None
        choices = chunk.choices or []
        if len(choices) != 1 or chunk.usage or chunk.finish_reason or chunk.error or chunk.x_autonomousai:
            return None
        if unknown_members(obj) != self._constant:
            return None
        choice = choices[0]
        delta = choice.delta
        if delta is None or not isinstance(obj["choices"][0]["delta"].get("content"), str):
            return None
        if choice.index or choice.finish_reason or choice.error or choice.logprobs or choice.message:
            return None
        said = (delta.reasoning_content, delta.reasoning, delta.refusal, delta.tool_calls, delta.function_call)
        return None if any(said) or delta.annotations is not None or delta.images is not None else delta.content

    def _read_chunk(self, data: bytes, batch: Batch) -> None:
        if self._template is not None and self._usual and (text := self._template.text(data)) is not None:
            if text:
                self._said = 2
                batch.append(text)
            return
        if data == DONE:  # as almost every stream ends; that it is no chunk would be found by an error, which costs more
            self._read_done(batch)
            return
        try:  # one that can have no unknown members costs less than one that may have some
            plain = PLAIN.decode(data) if self._usual and not self._constant else None
        except UNREADABLE:
            plain = None
        if plain is not None and self._read_usual(plain, data, batch):
            return
        try:
            chunk = USUAL.decode(data)
        except UNREADABLE:
            self._read_odd(data, batch)
            return
        if not (self._usual and self._read_usual(chunk, data, batch)):
            if not self._started and chunk.choices:  # all that it has unknown later chunks may repeat
                self._constant_values = unknown_in_chunk(chunk), unknown_in_choice(chunk.choices[0])
            self._take(chunk, batch, unknown_of(chunk))

    def _read_many(self, events: list[bytes | ServerSentEvent], batch: Batch) -> None:
        """The same, of many at once: a run of chunks that differ in their text alone is read by template."""
        if not self._sse.is_plain:
            self._read(events, batch)
            return
        chunks: list[bytes] = events  # type: ignore[assignment]
        start = 0
        if self._template is None or not self._template.fits(chunks[0]):
            if len(chunks) < _WORTHWHILE:
                self._read(chunks, batch)
                return
            start = self._learn(chunks, batch)
        if self._template is not None and self._usual:
            start = self._read_alike(self._template, chunks, start, batch)
        if not self.complete and self.failure is None:
            self._read(chunks[start:] if start else chunks, batch)

    def _read_texts(self, events: list[bytes | ServerSentEvent], batch: Batch) -> None:
        """The same where each chunk differs in more than its text: all but the last few are decoded in one call, if they say
        text alone."""
        stop = len(events) - _ODD_ENDS
        can = self._usual and not self._constant and self._sse.is_plain and self._odd_reads < _MISSES
        if stop < _FEW or not can:
            self._read(events, batch)
            return
        if (texts := sole_texts(events[:stop])) is None:  # type: ignore[arg-type]  # plain ones are bytes
            self._odd_reads += 1
            self._read(events, batch)
            return
        if texts:
            self._said = 2
            batch += texts
        self._read(events[stop:], batch)

    def _learn(self, chunks: list[bytes], batch: Batch) -> int:
        """Read the first few chunks the usual way, until a template is learnt from one. Returns how many were read."""
        self._template = None
        for count, chunk in enumerate(chunks[:_FEW], start=1):
            before = len(batch)
            self._read([chunk], batch)
            text = batch[-1] if len(batch) == before + 1 else None
            if type(text) is str:
                self._template = TextTemplate.learn(chunk, text, self._sole_text, longest=self._max_event)
            if self._template is not None or self.complete or self.failure is not None:
                return count
        return min(_FEW, len(chunks))

    def _read_alike(self, template: TextTemplate, chunks: list[bytes], start: int, batch: Batch) -> int:
        """Read the chunks from *start* on by *template*, but for the last few if they are odd. Returns where it stopped."""
        stop = len(chunks)
        while stop > len(chunks) - _ODD_ENDS and stop > start and not template.fits(chunks[stop - 1]):
            stop -= 1
        if stop - start < _FEW:
            return start
        texts = template.texts(chunks[start:stop])
        if texts is None:
            self._template = None
            self._misses += 1
            return start
        self._misses = 0
        self._said = 2
        batch += texts if all(texts) else [text for text in texts if text]
        return stop

    def _read_odd(self, data: bytes, batch: Batch, event: str = "message") -> None:
        """An event that is no usual chunk: the end, an error, a chunk of another shape, or nothing that can be read."""
        stripped = data.strip()
        if event != "error":
            if stripped == DONE or (event != "message" and meant_by(stripped) == [DONE]):
                self._read_done(batch)
                return
            if not stripped:
                return  # a sign of life
            if event != "message" and not stripped.startswith(b"{"):  # an object may be a chunk, whatever type its event is of
                self._pass_on(ForeignEvent(event, data, WIRE), batch)
                return
        obj, chunk = _load_chunk(data)
        self._notes = self._notes or notes_on(data)
        if event == "error" and not isinstance(obj, dict):
            obj = {"error": obj if isinstance(obj, str) else shown_bytes(data)}
        if not isinstance(obj, dict):
            self._read_meant(data, batch)
            return
        before = len(batch)
        self._read_object(obj, chunk, data, event, batch)
        if (
            self._misses < _MISSES
            and self._constant
            and self._usual
            and len(batch) == before + 1
            and type(text := batch[before]) is str
        ):
            self._learn_single(data, text)

    def _read_meant(self, data: bytes, batch: Batch) -> None:
        """An event that is no object is read as what is meant by it. Behind a proven end it takes nothing from the answer."""
        meant = meant_by(data)
        for payload in meant or ():
            self._read_chunk(payload, batch)
            if self.complete or self.failure is not None:
                return
        if meant is None and not self.is_proven:
            self._fail(_error_behind(data) or unreadable("an event of the stream", data))


def _load_chunk(data: bytes) -> tuple[Any, Chunk]:
    """Return what *data* is, None where it cannot be read, and the chunk that it is, an empty one where it is no object."""
    try:
        obj = load(data)
        if isinstance(obj, dict):
            obj = unwrapped(obj)
            return obj, as_chunk(obj)
        return obj, Chunk()
    except UNREADABLE:
        return None, Chunk()


def _error_behind(data: bytes) -> StreamError | None:
    """Return the error that a server wrote behind an event that it had begun and did not end."""
    _, is_there, last = data.rpartition(b"\n")
    obj = _load_chunk(last)[0] if is_there else None
    return error_in_event(obj) if isinstance(obj, dict) else None


def _end_of_few(data: bytes) -> int:
    """Return where the first few events of *data* end; -1 where there are no more than those."""
    place = 0
    for _ in range(_FEW):
        place = data.find(b"\n\n", place) + 2
        if place < 2:
            return -1
    return place if place < len(data) else -1


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(load(data), dict)
    except UNREADABLE:
        return False
