"""Answers on the OpenAI wire: chunks and completions <-> events. Knows no network, no clocks, no provider.

Reading is here. It takes what real servers send and is lenient in all but two things: an event that cannot be read is an
error, for it may have held text; and the end of an answer must be proven. Writing is in `wires/openai_chat/encoder.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import CUT, HTTPError, IncompleteStreamError, StreamError
from ...events import (
    Annotations,
    Batch,
    ChoiceEvent,
    Evidence,
    Extra,
    FinishReason,
    ForeignEvent,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    Started,
)
from ..finish_reasons import STANDARD, broken_off, finish_reason_of
from ..foreign_errors import error_in_event
from ..json import mend, split_half
from ..sse import DEFAULT_MAX_EVENT, ServerSentEvent, SSEDecoder
from .chunks import (
    SHOWN,
    TRAILER,
    UNREADABLE,
    WIRE,
    CallPiece,
    Choice,
    Chunk,
    Delta,
    as_chunk,
    constant_of,
    load,
    notes_on,
    shown_bytes,
    unknown_members,
    unreadable,
    unwrapped,
    usage_of,
)
from .odd_events import DONE, meant_by
from .template import ChunkTemplate
from .tool_calls import ToolCallIndexer
from .usual import (
    UsualChoice,
    UsualChunk,
    UsualDelta,
    decode_usual,
    decode_usual_completion,
    sole_text,
    unknown_in_choice,
    unknown_in_chunk,
    unknown_of,
    widened_call,
)

_BOM = b"\xef\xbb\xbf"
_REASONS_OF_NOTHING = ("content_filter", "length")  # an answer without a message may have them
_BOUND = (LogProbs, Annotations, Images)  # what belongs to the text that came with it
_SINGLES = 4  # usual chunks that came alone, after which a template is learnt
_FEW = 3  # chunks in one read below which a template gains nothing
_WORTHWHILE = 8  # chunks in one read from which on it is worth while to learn a template
_ODD_ENDS = 4  # chunks at the end of a read that may be of another kind: finish reason, usage, [DONE]
_MISSES = 8  # reads in a row that a template just learnt did not fit, after which none is learnt again


class ChatStreamDecoder:
    """One streamed answer, bytes in and events out. `feed` never raises; split the bytes anywhere, the events are the same.

    ``failure``: what the caller raises after yielding the batch. ``complete``: the answer has come whole, nothing more need be
    read. After either, all input is ignored. ``ending``: a finish reason came, and only usage and ``[DONE]`` can follow.
    ``extension``: the ``x_autonomousai`` object of our own servers.
    """

    __slots__ = (
        "_constant",
        "_constant_values",
        "_done",
        "_finish_extra",
        "_foreign",
        "_half",
        "_max_event",
        "_misses",
        "_model",
        "_notes",
        "_open",
        "_places",
        "_reason",
        "_reason_ended",
        "_reason_is_doubtful",
        "_said",
        "_singles",
        "_spoke",
        "_sse",
        "_started",
        "_template",
        "_told",
        "_trailer",
        "_usage",
        "_usage_came_last",
        "_usual",
        "complete",
        "ending",
        "extension",
        "failure",
    )

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        self.failure: HTTPError | None = None
        self.complete = False
        self.ending = False
        self.extension: dict[str, Any] | None = None
        self._sse = SSEDecoder(max_event=max_event)
        self._max_event = max_event
        self._started = False
        self._spoke = False  # a chunk with choices has come
        self._told: str | None = None  # what messages in the place of deltas have said
        self._said = 0  # what the first choice has said: nothing, something without text (1), text (2)
        self._model: str | None = None
        self._notes: tuple[str, ...] = ()
        self._usage: dict[str, Any] | None = None  # the last that was not empty
        self._places: ToolCallIndexer | None = None
        self._half = ""  # the first half of a surrogate pair, whose second half comes with the next text
        # What proves the end, in this order.
        self._reason: str | None = None
        self._reason_ended = False  # it came in a chunk that said nothing else, and nothing was said since
        self._reason_is_doubtful = False  # text followed one: this server names one in every chunk
        self._done = False
        self._usage_came_last = False
        # The short roads: a chunk by which the answer only goes on need not pass `_take`, and runs of chunks that differ in
        # their text alone are not even decoded one by one.
        self._usual = False
        self._template: ChunkTemplate | None = None
        self._misses = 0
        self._singles = 0  # usual chunks that came alone, in a row
        # What is unknown: members that every chunk repeats, of the chunk with the finish reason, and of that with the usage.
        self._constant: dict[str, Any] = {}
        self._constant_values: tuple[tuple[Any, ...], ...] | None = None  # of a chunk that repeats them
        self._finish_extra: dict[str, Any] | None = None
        self._trailer: dict[str, Any] | None = None
        self._foreign: Batch = []  # events that came before the answer began
        self._open: set[int] = set()  # choices beside the first that have begun and not ended

    @property
    def last_event_id(self) -> str:
        """The id of the last event that came, to resume after."""
        return self._sse.last_event_id

    @property
    def is_proven(self) -> bool:
        """Whether the answer is complete, however its body may end: a reason without a word before it may be of a chunk that
        only begins, and usage may be counted in between."""
        return self.failure is None and (self._done or (self._reason_counts and bool(self._said)))

    @property
    def progress(self) -> int:
        """How far a server of ours has come that brings a broken answer on; 0 where it said nothing of that."""
        said = (self.extension or {}).get("progress")
        return said if type(said) is int else 0

    def reopen(self) -> None:
        """The stream goes on over another connection, with the event after the last whole one."""
        self._sse.reopen()
        if self.progress:
            self.extension = None

    def feed(self, data: bytes) -> Batch:
        """The events that *data* brought. What came before a failure is among them."""
        batch: Batch = []
        if self.complete or self.failure is not None:
            return batch
        sse = self._sse
        if self._template is not None and self._usual and sse.is_between and len(data) <= self._max_event:
            text = self._template.text_of_event(data)
            if text:
                self._said = 2
                batch.append(text)
            if text is not None:
                return batch
        try:
            events = sse.feed(data)
        except StreamError as error:
            self.failure = error
            return batch
        if len(events) < _FEW or self._misses == _MISSES:
            self._read(events, batch)
        else:
            self._read_many(events, batch)
        if not self.complete and self.failure is None:
            self.failure = sse.failure
        return batch

    def end(self) -> Batch:
        """See `StreamDecoder.end`."""
        data = self._sse.unfinished_data().strip()
        if self._over or not data or not (_is_object(data) or meant_by(data)):
            return []
        return self.feed(b"\n\n")

    def finish(self, *, in_good_order: bool = True) -> FinishReason:
        """See `StreamDecoder.finish`."""
        if self.failure is not None:
            raise self.failure
        evidence: Evidence
        if self._reason_counts:
            evidence = "finish_reason"
        elif self._done:
            evidence = "done"
        elif self._usage_came_last and in_good_order and not self._open:
            evidence = "usage"
        elif self.complete and not self._spoke:
            raise IncompleteStreamError("the stream held no answer: nothing came before its [DONE]")
        elif stray := self._sse.stray():
            raise IncompleteStreamError(f"{CUT}; what came is no event: {repr(shown_bytes(stray))[:SHOWN]}")
        else:
            raise IncompleteStreamError
        extra = self._finish_extra
        if self._trailer is not None:
            extra = {**(self._constant if extra is None else extra), TRAILER: self._trailer}
        return FinishReason(self._reason, evidence, usage_of(self._usage), self._model, extra, self._notes)

    @property
    def _over(self) -> bool:
        return self.complete or self.failure is not None

    # ---- events of the stream -> chunks

    def _read(self, events: list[bytes | ServerSentEvent] | list[bytes], batch: Batch) -> None:
        for event in events:
            if type(event) is bytes:
                self._read_chunk(event, batch)
            elif isinstance(event, ServerSentEvent):
                self._read_odd(event.data, batch, event.event)
            if self.complete or self.failure is not None:
                return

    def _read_usual(self, chunk: UsualChunk, data: bytes, batch: Batch) -> bool:
        """Read a chunk by which the answer only continues. False: it may be another one, and nothing of it was read."""
        if not chunk.choices or chunk.finish_reason or chunk.x_autonomousai:
            return False
        choice = chunk.choices[0]
        if choice.finish_reason:
            return False
        if (values := (unknown_in_chunk(chunk), unknown_in_choice(choice))) != self._constant_values:
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
            self._usage = chunk.usage
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
            self._template = ChunkTemplate.learn(data, text, self._sole_text) if self._misses < _MISSES else None

    def _sole_text(self, data: bytes) -> str | None:
        """Return the text of a chunk that holds nothing besides but what every chunk repeats; None for any other."""
        if not self._constant:
            return sole_text(data)
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
        try:
            chunk = decode_usual(data)
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
        if not self._over:
            self._read(chunks[start:] if start else chunks, batch)

    def _learn(self, chunks: list[bytes], batch: Batch) -> int:
        """Read the first few chunks the usual way, until a template is learnt from one. Returns how many were read."""
        self._template = None
        for count, chunk in enumerate(chunks[:_FEW], start=1):
            before = len(batch)
            self._read([chunk], batch)
            text = batch[-1] if len(batch) == before + 1 else None
            if type(text) is str:
                self._template = ChunkTemplate.learn(chunk, text, self._sole_text)
            if self._template is not None or self._over:
                return count
        return min(_FEW, len(chunks))

    def _read_alike(self, template: ChunkTemplate, chunks: list[bytes], start: int, batch: Batch) -> int:
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
        error = error_in_event(obj, event=event)
        if error is None and "choices" not in obj and not (chunk.usage or chunk.x_autonomousai or chunk.finish_reason):
            self._pass_on(ForeignEvent(event, data, WIRE), batch)
            return
        if chunk.choices or error is None:
            before = len(batch)
            self._take(chunk, batch, unknown_members(obj))
            if (
                self._misses < _MISSES
                and self._constant
                and self._usual
                and len(batch) == before + 1
                and type(text := batch[before]) is str
            ):
                self._learn_single(data, text)
        if error is not None:
            self._fail(error)

    def _read_meant(self, data: bytes, batch: Batch) -> None:
        """An event that is no object is read as what is meant by it. Behind a proven end it takes nothing from the answer."""
        meant = meant_by(data)
        for payload in meant or ():
            self._read_chunk(payload, batch)
            if self._over:
                return
        if meant is None and not self.is_proven:
            self._fail(unreadable("an event of the stream", data))

    def _read_done(self, batch: Batch) -> None:
        self.complete = True
        self._done = self._spoke or self._reason is not None  # behind no chunk it proves nothing
        if self._done:
            self._begin(batch)

    def _pass_on(self, event: ForeignEvent, batch: Batch) -> None:
        """An event that is no part of an answer; it is held back until one has begun."""
        (batch if self._started else self._foreign).append(event)

    # ---- chunks -> events

    def _take(self, chunk: Chunk | UsualChunk, batch: Batch, unknown: dict[str, Any]) -> None:
        """Take any chunk: what it says goes into the batch, what it proves is kept. *unknown*: see `unknown_members`."""
        before = len(batch)
        choices = chunk.choices or ()
        reason = finish_reason_of(chunk.finish_reason) if chunk.finish_reason and not choices else None
        said = False  # by the first choice
        for choice in choices:
            if choice.index:
                self._say_choice(choice.index, choice, batch)
            else:
                already = len(batch)
                self._say(choice, batch)
                said = said or len(batch) > already
                if choice.finish_reason in STANDARD:
                    reason = choice.finish_reason
                elif choice.finish_reason or chunk.finish_reason:
                    reason = finish_reason_of(choice.finish_reason) or finish_reason_of(chunk.finish_reason) or reason
        counted = bool(chunk.usage) and usage_of(chunk.usage) is not None
        if choices:
            self._spoke = True
            self._usage_came_last = False
        elif counted:
            self._usage_came_last = self._spoke
        if not self._started or reason or not choices:
            self._model = chunk.model or self._model  # who begins, and who ends; in between, not every chunk comes here
        self._usage = chunk.usage or self._usage
        # A chunk that says something with a reason and a usage of its own may be one of many: some servers send all so.
        silent = len(batch) == before
        if said:
            self._said = 2 if self._said == 2 or any(type(event) is str for event in batch[before:]) else 1
        if reason and reason not in STANDARD and self._is_broken_off(reason):
            reason = None
        self._weigh(reason, silent=not said)
        self.ending = self._reason_ended and not self._open
        self.extension = chunk.x_autonomousai or self.extension
        self.complete = silent and counted and self._reason_counts and bool(self._said) and self.failure is None
        if unknown or self._constant or self._finish_extra or self._trailer or len(batch) > before + 1:
            self._keep_unknown(unknown, batch, before, ends=silent and bool(reason), has_choices=bool(choices), counted=counted)
        if choices or self._model is not None or self._reason is not None:
            self._begin(batch)
        self._usual = len(choices) == 1 and not choices[0].index and self._reason is None and not self._half

    def _keep_unknown(
        self, unknown: dict[str, Any], batch: Batch, before: int, *, ends: bool, has_choices: bool, counted: bool
    ) -> None:
        """Keep a chunk's unknown members: those that every chunk repeats once, those of the end with it, others before the
        chunk's events, which `Extra` binds together."""
        if has_choices and not self._started:
            self._constant = constant_of(unknown)
        if ends:
            self._finish_extra = None if unknown == self._constant else unknown
        elif not has_choices and counted:
            constant = {name: value for name, value in self._constant.items() if name != "choices"}
            self._trailer = None if unknown == constant else unknown
        else:
            covers = len(batch) - before
            bound = covers > 1 and (bool(self._constant) or any(isinstance(event, _BOUND) for event in batch[before:]))
            if bound or (unknown != self._constant and (unknown or covers)):
                if has_choices and not covers and "choices" not in unknown:
                    unknown = {**unknown, "choices": [{"index": 0}]}  # an empty delta is one again
                extra = Extra(unknown, covers, WIRE)
                if has_choices or self._started:
                    batch.insert(before, extra)
                else:
                    self._foreign.append(extra)  # until an answer has begun

    @property
    def _reason_counts(self) -> bool:
        return self._reason is not None and (self._reason_ended or not self._reason_is_doubtful) and not self._open

    def _weigh(self, reason: str | None, *, silent: bool) -> None:
        """What a chunk's *reason* proves. Beside text it may stand in every chunk; text after it shows that it ended none."""
        if not silent:
            self._reason_is_doubtful = self._reason_is_doubtful or self._reason is not None
            self._reason_ended = False
        elif reason:
            self._reason_ended = bool(self._said)
        self._reason = reason or self._reason

    def _begin(self, batch: Batch) -> None:
        """The answer has begun, if it had not. At its end, what was held back is said."""
        if self._half and (self._reason is not None or self._done or self._usage_came_last):
            batch.append(mend(self._half))
            self._half = ""
        if not self._started:
            self._started = True
            batch[:0] = [Started(self._model, None, self._constant or None), *self._foreign]
            self._foreign = []

    def _say(self, choice: Choice | UsualChoice, batch: Batch) -> None:
        delta: Delta | UsualDelta | None = choice.delta
        if isinstance(choice, Choice) and choice.message is not None and (delta is None or delta == Delta()):
            delta = self._new_in(choice.message)  # some servers send what they should not stream
        if choice.logprobs is not None:
            batch.append(choice.logprobs)
        if delta is None:
            if isinstance(choice, Choice):
                self._say_text(choice.text, batch)
        else:
            self._say_delta(delta, batch)
        if choice.error and (error := error_in_event({"error": choice.error})):
            self._fail(error)

    def _new_in(self, message: Delta) -> Delta:
        """Return what *message*, in the place of a delta, says that was not said. It may be a piece like a delta, all that was
        said until now with what is new, or, behind deltas, all of the answer once more."""
        text = message.content or ""
        if self._told is None and self._said:
            return Delta(content=text if self._said == 1 else None, tool_calls=None if self._places else message.tool_calls)
        told = self._told or ""
        if told and text.startswith(told):
            self._told = text
            return msgspec.structs.replace(message, content=text[len(told) :])
        self._told = told + text
        return message

    def _say_delta(self, delta: Delta | UsualDelta, batch: Batch) -> None:
        if delta.reasoning_content:
            batch.append(Reasoning(mend(delta.reasoning_content)))
        elif delta.reasoning and isinstance(delta, Delta):
            batch.append(Reasoning(mend(delta.reasoning), delta.reasoning_key))
        if delta.content:
            self._say_text(delta.content, batch)
        if delta.refusal:
            batch.append(Refusal(mend(delta.refusal)))
        if delta.tool_calls:
            self._call([widened_call(call) for call in delta.tool_calls], batch)
        if (function := delta.function_call) is not None:
            self._call([CallPiece(0, None, function)], batch)
        if delta.annotations is not None:
            batch.append(Annotations(delta.annotations))
        if delta.images is not None:
            batch.append(Images(delta.images))

    def _say_choice(self, index: int, choice: Choice | UsualChoice, batch: Batch) -> None:
        """Take what a choice other than the first says; its tool calls are told apart by their index alone."""
        said: Batch = []
        half, self._half = self._half, ""
        places, self._places = self._places, None
        self._say(choice, said)
        if self._half:
            said.append(mend(self._half))
        self._half, self._places = half, places
        self._open.add(index)
        reason = finish_reason_of(choice.finish_reason)
        if reason and not self._is_broken_off(reason):
            self._open.discard(index)
            said.append(FinishReason(reason, "finish_reason"))
        batch += [ChoiceEvent(index, event) for event in said]

    def _call(self, calls: list[CallPiece], batch: Batch) -> None:
        if self._places is None:
            self._places = ToolCallIndexer()
        for call in calls:
            batch += self._places.deltas(call)

    def _say_text(self, text: str | None, batch: Batch) -> None:
        if text:
            text, self._half = split_half(self._half + text)
            if text:
                batch.append(text)

    def _is_broken_off(self, reason: str) -> bool:
        """Return whether *reason* reports that the answer broke off; then the stream fails, unless it did with more words."""
        error = broken_off(reason)
        if error is not None and self.failure is None:
            self._fail(error)
        return error is not None

    def _fail(self, error: StreamError) -> None:
        self.failure = error
        self.complete = False


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


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(load(data), dict)
    except UNREADABLE:
        return False


def decode_completion(body: bytes) -> Batch:
    """Return a whole answer that was not streamed: `Started`, what it says, `FinishReason`.

    Raises `StreamError` where it cannot be read, or is an error that came with a status of success.
    """
    if (usual := decode_usual_completion(body)) is not None:
        return usual
    obj = _load_document(body)
    if obj is None:
        return _decode_events(body)
    chunk = as_chunk(obj)
    error = error_in_event(obj)
    if error is not None:
        error.partial = _text_of(chunk)
        raise error
    first = next((choice for choice in chunk.choices or () if not choice.index), None)
    says_nothing = first is None or (first.message is None and first.delta is None and first.text is None)
    if first is None or (says_nothing and first.finish_reason not in _REASONS_OF_NOTHING):
        raise unreadable("the answer holds no message and", body)
    chunk.choices = list({choice.index or 0: choice for choice in reversed(chunk.choices or ())}.values())[::-1]
    for choice in chunk.choices:
        choice.delta = choice.message or choice.delta
        for place, call in enumerate(choice.delta.tool_calls or () if choice.delta else ()):
            call.index = place  # each is whole, and one of its own
    answer = ChatStreamDecoder()
    answer._done = True  # a document that can be read is whole
    batch: Batch = []
    unknown = unknown_members(obj)
    answer._started = True  # the document's members are those of no other one
    answer._model = chunk.model or None
    answer._notes = notes_on(body)
    answer._take(chunk, batch, {})
    if answer.failure is not None:
        answer.failure.partial = _text_of(chunk)
        raise answer.failure
    answer._open.clear()
    finish = answer.finish()
    events: Batch = [Started(answer._model)]
    if unknown:
        events.append(Extra(unknown, len([event for event in batch if not isinstance(event, Extra)]), WIRE))
    events += [event for event in batch if not isinstance(event, Extra)]
    finish = finish if finish.reason is not None else msgspec.structs.replace(finish, evidence="body")
    return [*events, finish]


def _text_of(chunk: Chunk) -> str:
    """Return the text of a document's first choice, as far as there is one."""
    first = next((choice for choice in chunk.choices or () if not choice.index), Choice())
    said = first.message or first.delta
    return mend((first.text if said is None else said.content) or "")


def _load_document(body: bytes) -> dict[str, Any] | None:
    try:
        obj = load(body.removeprefix(_BOM))
    except UNREADABLE:
        obj = None
    return unwrapped(obj) if isinstance(obj, dict) else None


def _decode_events(body: bytes) -> Batch:
    """Return the answer of a body that holds chunks without a stream's framing: a line each, or an item of a list."""
    chunks = meant_by(body.removeprefix(_BOM))
    if not chunks:
        raise unreadable("the answer", body)
    answer = ChatStreamDecoder()
    batch: Batch = []
    answer._read_many(chunks, batch)  # type: ignore[arg-type]
    try:
        return [*batch, answer.finish()]
    except HTTPError as error:
        error.partial = "".join([event for event in batch if type(event) is str])
        raise
