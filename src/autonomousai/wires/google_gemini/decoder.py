"""Answers of the Gemini API, streamed and as a document (Gemini API reference, "GenerateContentResponse"): bytes in, events
out. Knows no network, no timeouts, no provider.

It is lenient in all but two things: an event that cannot be read is an error, for it may have held text; and the end of an
answer must be proven, by the reason of each candidate, or by the reason for which the prompt was blocked.
"""

from __future__ import annotations

from typing import Final

from ...errors import HTTPError, StreamError
from ...events import Annotations, Batch, ChoiceEvent, Evidence, Extra, FinishReason, Started
from ...late import late_pattern
from ..event_stream import EventStreamDecoder
from ..foreign_errors import error_in_event
from ..json import BOM
from ..provenance import KEY
from ..sse import DEFAULT_MAX_EVENT
from ..unreadable import notes_on, shown_bytes, unreadable, without_end
from .stop import filtered, reason_in
from .upstream_candidate import CandidateReader
from .upstream_shapes import Json, candidates_of, chunks_in, extra, text_in, unknown_of_chunk
from .upstream_usage import merge_usage, usage_of

#: A sentinel of other wires that some servers send after the last event.
_DONE: Final = b"[DONE]"

#: A line that is no event: the vendor's server writes an error so, over several lines, into a stream that breaks.
_BRACE: Final = late_pattern(rb"(?<![^\r\n])\{(?:[\r\n]|\Z)")

#: Bytes of such an error.
_LONGEST_BARE: Final = 64 * 1024

#: Events that may come with the end of an answer, and are none of what it says.
_BESIDE: Final = frozenset({Started, Extra, Annotations})

#: Candidates that are read of one answer: each holds memory.
_MOST_CANDIDATES: Final = 128


class ChunkReader:
    """What the chunks of one answer say, and what they prove. ``failure``: what the caller raises after yielding the batch."""

    __slots__ = ("_blocked", "_candidates", "_held", "_model", "_notes", "_started", "_usage", "extension", "failure")

    def __init__(self) -> None:
        self.failure: HTTPError | None = None
        self.extension: Json | None = None
        self._candidates: dict[int, CandidateReader] = {}
        self._blocked: str | None = None  # what is said of a prompt that the vendor's filter stopped
        self._model: str | None = None
        self._notes: tuple[str, ...] = ()
        self._usage: Json | None = None
        self._started = False
        self._held: Batch = []  # what came before the answer began

    @property
    def has_reasons(self) -> bool:
        """Return whether each candidate has ended for a reason, or the prompt was blocked."""
        if 0 not in self._candidates:
            return self._blocked is not None
        return self._blocked is not None or all(each.reason is not None for each in self._candidates.values())

    @property
    def is_doubtful(self) -> bool:
        """Return whether a candidate has said more behind a reason before: some servers name one in each chunk."""
        return any(each.is_doubtful for each in self._candidates.values())

    def read(self, chunk: Json, data: bytes, batch: Batch) -> None:
        """Add what a *chunk* says, which came as *data*."""
        self._notes = self._notes or notes_on(data)
        if isinstance(extension := chunk.get(KEY), dict):
            self.extension = extension
        if "candidates" not in chunk and (error := error_in_event(chunk)) is not None:
            self._fail(error)
            return
        self._model = text_in(chunk.get("modelVersion")) or self._model
        self._usage = merge_usage(self._usage, chunk.get("usageMetadata"))
        said: Batch = []
        for index, candidate in candidates_of(chunk):
            self._read_candidate(index, candidate, said)
            if self.failure is not None:
                break
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and (blocked := reason_in(feedback.get("blockReason"))) is not None:
            self._blocked = filtered("prompt", blocked, feedback.get("blockReasonMessage"))
        unknown = unknown_of_chunk(chunk)
        if self.has_reasons and self._usage and "usageMetadata" in chunk:
            unknown["usageMetadata"] = self._usage  # also what of it other APIs have nothing for
        if unknown:
            said.append(extra(unknown))
        self._say(said, batch)
        if self.failure is None and (error_said := chunk.get("error")):
            self._fail(error_in_event({"error": error_said}) or StreamError("the server sent an error", status=200))

    def _say(self, said: Batch, batch: Batch) -> None:
        """Add what a chunk says. What comes before the first word is held back: it begins no answer."""
        if not self._started and not self.has_reasons and all(type(event) is Extra for event in said):
            self._held += said
            return
        if not self._started:
            self._started = True
            batch += [Started(self._model), *self._held]
            self._held = []
        batch += said

    def _read_candidate(self, index: int, candidate: Json, batch: Batch) -> None:
        reader = self._candidates.get(index)
        if reader is None:
            if len(self._candidates) >= _MOST_CANDIDATES:
                return
            reader = self._candidates[index] = CandidateReader(index)
        said: Batch = []
        try:
            reader.read(candidate, said)
        except StreamError as error:
            self._fail(error)
        if not index:
            batch += said
            return
        if reader.reason is not None and self.failure is None:
            said.append(FinishReason(reader.chat_reason, "finish_reason"))
        batch += [event if type(event) is Extra else ChoiceEvent(index, event) for event in said]

    def _fail(self, error: HTTPError) -> None:
        error.after_end = self.has_reasons and not self.is_doubtful
        self.failure = error

    def finish(self, evidence: Evidence = "finish_reason") -> FinishReason:
        """Return the end of the answer, by that *evidence*."""
        first, notes = self._candidates.get(0), self._notes
        if first is not None and first.reason is not None:
            reason = first.chat_reason
            if reason == "content_filter":
                notes = (*notes, filtered("answer", first.reason, first.message))
        elif self._blocked is not None:
            reason, notes = "content_filter", (*notes, self._blocked)
        else:
            reason = "tool_calls" if first is not None and first.has_calls else None
        return FinishReason(reason, evidence, usage_of(self._usage), self._model, None, notes)


class GeminiStreamDecoder(EventStreamDecoder):
    """One streamed answer, bytes in and events out; a `StreamDecoder`."""

    __slots__ = ("_bare", "_chunks", "_ends_line", "_held", "_stood_alone")

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        super().__init__(max_event=max_event)
        self._chunks = ChunkReader()
        self._stood_alone = False  # the last chunk with a reason said nothing else
        self._bare = b""  # JSON without the framing of an event
        self._held = b""  # a brace that may begin such
        self._ends_line = True  # the last byte ended a line, or none has come

    @property
    def ending(self) -> bool:
        """See `StreamDecoder`: a reason came in a chunk that says nothing else, and only usage can follow."""
        return self._stood_alone and self._chunks.has_reasons

    @property
    def is_proven(self) -> bool:
        """See `StreamDecoder`."""
        return self.failure is None and self._chunks.has_reasons and not self._chunks.is_doubtful

    def feed(self, data: bytes) -> Batch:
        """See `StreamDecoder.feed`. A line of a brace alone is no event, see `_BRACE`."""
        if self._is_over or not data:
            return []
        if self._bare:
            self._keep_bare(data)
            return []
        data, self._held = self._held + data, b""
        place = self._place_of_brace(data)
        if place < 0:
            self._ends_line = data[-1:] in b"\r\n"
            return super().feed(data)
        batch = super().feed(data[:place])
        self._ends_line = True
        if place == len(data) - 1:  # what follows it says whether it is alone
            self._held = data[place:]
        elif not self._is_over:
            self._keep_bare(data[place:])
        return batch

    def _place_of_brace(self, data: bytes) -> int:
        """Return where a brace stands alone in its line, or may do so; -1 where none does."""
        if b"{\n" not in data and b"{\r" not in data and data[-1:] != b"{":
            return -1
        found = _BRACE.search(data, 0 if self._ends_line else 1)
        return -1 if found is None else found.start()

    def _keep_bare(self, data: bytes) -> None:
        """Fail with the error that comes without the framing of an event, once it is complete."""
        self._bare += data
        if self._bare.rstrip()[-1:] == b"}" and (chunks := chunks_in(self._bare)):
            self._chunks.read({"error": chunks[0].get("error")}, b"", [])
            self.failure = self._chunks.failure or unreadable("an event of the stream", self._bare)
        elif len(self._bare) > _LONGEST_BARE:
            self.failure = unreadable("an event of the stream", self._bare)

    def end(self) -> Batch:
        """See `StreamDecoder.end`."""
        if self._bare or self._held:
            self.failure = self.failure or unreadable("an event of the stream", self._bare or self._held)
            return []
        return super().end()

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """See `StreamDecoder.finish`. Where a reason stands in each chunk, the body must have come completely."""
        if self.failure is not None:
            raise self.failure
        if not self._chunks.has_reasons or (self._chunks.is_doubtful and not in_good_order):
            raise without_end(self._sse.stray())
        return self._chunks.finish()

    def _is_object(self, data: bytes) -> bool:
        return chunks_in(data) is not None

    def _read(self, data: bytes, event: str, batch: Batch) -> None:
        stripped = data.strip()
        if not stripped or stripped == _DONE:
            return  # a sign of life
        chunks = chunks_in(data)
        if event == "error":
            said = chunks[0] if chunks else {"error": {"message": shown_bytes(data)}}
            self.failure = error_in_event(said, event="error")
            return
        if chunks is None:
            self.failure = unreadable("an event of the stream", data)
            return
        for chunk in chunks:
            before = len(batch)
            self._chunks.read(chunk, data, batch)
            self._stood_alone = self._chunks.has_reasons and _BESIDE.issuperset(map(type, batch[before:]))
            self.extension = self._chunks.extension
            if (failure := self._chunks.failure) is not None:
                self.failure = failure
                return


def decode_gemini_answer(body: bytes) -> Batch:
    """Return a whole answer that was not streamed: `Started`, what it says, `FinishReason`. A list is the chunks of a stream
    for which no events were asked.

    Raises `StreamError` where it cannot be read, or is an error that came with a status of success.
    """
    body = body.removeprefix(BOM)
    chunks = chunks_in(body)
    if not chunks:
        raise unreadable("the answer", body)
    reader = ChunkReader()
    batch: Batch = []
    for chunk in chunks:
        reader.read(chunk, body, batch)
        if reader.failure is not None:
            reader.failure.partial = _text_of(batch)
            raise reader.failure
    if reader.has_reasons:
        return [*batch, reader.finish()]
    if len(chunks) == 1 and batch:
        return [*batch, reader.finish("body")]
    error = without_end(b"") if batch else unreadable("the answer holds no candidate and", body)
    error.partial = _text_of(batch)
    raise error


def _text_of(batch: Batch) -> str:
    return "".join([event for event in batch if type(event) is str])
