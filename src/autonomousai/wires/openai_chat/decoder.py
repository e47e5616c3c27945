"""Answers on the OpenAI wire: chunks and completions <-> events. Knows no network, no clocks, no provider.

Reading is here. It takes what real servers send and is lenient in all but two things: an event that cannot be read is an
error, for it may have held text; and the end of an answer must be proven. Writing is in `wires/openai_chat/encoder.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...errors import HTTPError, IncompleteStreamError, StreamError
from ...events import Batch, Evidence, FinishReason, Reasoning, Started, ToolCallDelta
from ..foreign_errors import error_in_event
from ..redaction import redact
from ..sse import DEFAULT_MAX_EVENT, ServerSentEvent, SSEDecoder
from .chunks import (
    UNREADABLE,
    CallPiece,
    Choice,
    Chunk,
    Delta,
    as_chunk,
    decode,
    decode_usual,
    load,
    mend,
    sole_text,
    split_half,
    usage_of,
)
from .template import ChunkTemplate
from .tool_calls import ToolCallIndexer

_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_SHOWN = 200  # characters of an unreadable event that its error shows
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
        "_done",
        "_half",
        "_misses",
        "_model",
        "_places",
        "_reason",
        "_reason_ended",
        "_reason_is_doubtful",
        "_spoke",
        "_sse",
        "_started",
        "_template",
        "_usage",
        "_usage_came_last",
        "_usual",
        "complete",
        "extension",
        "failure",
    )

    def __init__(self, *, max_event: int = DEFAULT_MAX_EVENT) -> None:
        self.failure: HTTPError | None = None
        self.complete = False
        self.extension: dict[str, Any] | None = None
        self._sse = SSEDecoder(max_event=max_event)
        self._started = False
        self._spoke = False  # a chunk with choices has come
        self._model: str | None = None
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

    @property
    def ending(self) -> bool:
        return self._reason_ended

    @property
    def last_event_id(self) -> str:
        """The id of the last event that came, to resume after."""
        return self._sse.last_event_id

    @property
    def is_proven(self) -> bool:
        """Whether `finish` would succeed now."""
        return self.failure is None and (self._reason_counts or self._done or self._usage_came_last)

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
        try:
            events = self._sse.feed(data)
        except StreamError as error:
            self.failure = error
            return batch
        if len(events) < _FEW or self._misses == _MISSES:
            self._read(events, batch)
        else:
            self._read_many(events, batch)
        if not self.complete and self.failure is None:
            self.failure = self._sse.failure
        return batch

    def finish(self) -> FinishReason:
        """The end of the answer, when no more is to come.

        Raises the ``failure``, or `IncompleteStreamError` where nothing that came proves the end.
        """
        if self.failure is not None:
            raise self.failure
        evidence: Evidence
        if self._reason_counts:
            evidence = "finish_reason"
        elif self._done:
            evidence = "done"
        elif self._usage_came_last:
            evidence = "usage"
        else:
            raise IncompleteStreamError
        return FinishReason(self._reason, evidence, usage_of(self._usage), self._model)

    @property
    def _over(self) -> bool:
        return self.complete or self.failure is not None

    # ---- events of the stream -> chunks

    def _read(self, events: list[bytes | ServerSentEvent] | list[bytes], batch: Batch) -> None:
        for event in events:
            if isinstance(event, ServerSentEvent):
                self._read_odd(event.data, batch, event.event)
            else:
                if self._usual:
                    try:
                        chunk = decode_usual(event)
                    except UNREADABLE:
                        self._usual = False
                    else:
                        choice = chunk.choices[0]
                        if not choice.finish_reason:
                            delta = choice.delta
                            if thoughts := delta.reasoning_content or delta.reasoning:
                                batch.append(Reasoning(thoughts))
                            if text := delta.content:
                                batch.append(text)
                            if delta.tool_calls:
                                self._call(delta.tool_calls, batch)
                            if chunk.usage:
                                self._usage = chunk.usage
                            continue
                self._read_chunk(event, batch)
            if self.complete or self.failure is not None:
                return

    def _read_chunk(self, data: bytes, batch: Batch) -> None:
        if data == _DONE:  # as almost every stream ends; that it is no chunk would be told by an error, which costs more
            self._read_odd(data, batch)
            return
        try:
            chunk = decode(data)
        except UNREADABLE:
            self._read_odd(data, batch)
            return
        if chunk.choices and chunk.error is None:
            self._take(chunk, batch)
        else:
            self._read_odd(data, batch)

    def _read_many(self, events: list[bytes | ServerSentEvent], batch: Batch) -> None:
        """The same, of many at once: a run of chunks that differ in their text alone is read by template."""
        chunks = [event for event in events if type(event) is bytes]
        if len(chunks) < len(events):
            self._read(events, batch)
            return
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
                self._template = ChunkTemplate.learn(chunk, text, sole_text)
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
        batch += texts if all(texts) else [text for text in texts if text]
        return stop

    def _read_odd(self, data: bytes, batch: Batch, event: str = "message") -> None:
        """An event that is no usual chunk: the end, an error, a chunk of another shape, or nothing that can be read."""
        stripped = data.strip()
        if event != "error":
            if stripped == _DONE:
                self._done = self.complete = True
                self._begin(batch)
                return
            if not stripped or (event != "message" and not stripped.startswith(b"{")):
                return  # a sign of life; but an object may be a chunk, whatever type its event is of
        try:
            obj = load(data)
            chunk = as_chunk(obj) if isinstance(obj, dict) else Chunk()
        except UNREADABLE:
            obj, chunk = None, Chunk()
        if event == "error" and not isinstance(obj, dict):
            obj = {"error": obj if isinstance(obj, str) else _shown(data)}
        if not isinstance(obj, dict):
            self._fail(_unreadable("an event of the stream", data))
            return
        error = error_in_event(obj, event=event)
        if chunk.choices or error is None:
            self._take(chunk, batch)
        if error is not None:
            self._fail(error)

    # ---- chunks -> events

    def _take(self, chunk: Chunk, batch: Batch) -> None:
        """Any chunk: what it says goes into the batch, what it proves is kept."""
        before = len(batch)
        choices = chunk.choices or ()
        reason = None if choices else chunk.finish_reason
        for choice in choices:
            if not choice.index:
                self._say(choice, batch)
                reason = choice.finish_reason or chunk.finish_reason or reason
        counted = usage_of(chunk.usage) is not None
        if choices:
            self._spoke = True
            self._usage_came_last = False
        elif counted:
            self._usage_came_last = self._spoke
        if not self._started or reason or not choices:
            self._model = chunk.model or self._model  # who begins, and who ends; in between, not every chunk comes here
        self._usage = chunk.usage or self._usage
        self._weigh(reason, silent=len(batch) == before)
        self.extension = chunk.x_autonomousai or self.extension
        # A chunk that says something with a reason and a usage of its own may be one of many: some servers send all so.
        silent = len(batch) == before
        self.complete = silent and counted and self._reason is not None and self.failure is None
        if choices or self._model is not None or self._reason is not None:
            self._begin(batch)
        self._usual = len(choices) == 1 and not choices[0].index and self._reason is None and not self._half

    @property
    def _reason_counts(self) -> bool:
        return self._reason is not None and (self._reason_ended or not self._reason_is_doubtful)

    def _weigh(self, reason: str | None, *, silent: bool) -> None:
        """What a chunk's *reason* proves. Beside text it may stand in every chunk; text after it shows that it ended none."""
        if not silent:
            self._reason_is_doubtful = self._reason_is_doubtful or self._reason is not None
            self._reason_ended = False
        elif reason:
            self._reason_ended = True
        self._reason = reason or self._reason

    def _begin(self, batch: Batch) -> None:
        """The answer has begun, if it had not. At its end, what was held back is said."""
        if self._half and (self._reason is not None or self._done or self._usage_came_last):
            batch.append(mend(self._half))
            self._half = ""
        if not self._started:
            self._started = True
            batch.insert(0, Started(self._model))

    def _say(self, choice: Choice, batch: Batch) -> None:
        delta = choice.delta
        if delta is None:
            self._say_text(choice.text, batch)
        else:
            thoughts = delta.reasoning_content or delta.reasoning
            if thoughts:
                batch.append(Reasoning(mend(thoughts)))
            self._say_text(delta.content, batch)
            self._say_text(delta.refusal, batch)
            if delta.tool_calls:
                self._call(delta.tool_calls, batch)
            if (function := delta.function_call) is not None:
                batch.append(ToolCallDelta(0, None, function.name, function.arguments or ""))
        if choice.error and (error := error_in_event({"error": choice.error})):
            self._fail(error)

    def _call(self, calls: list[CallPiece], batch: Batch) -> None:
        if self._places is None:
            self._places = ToolCallIndexer()
        batch += map(self._places.delta, calls)

    def _say_text(self, text: str | None, batch: Batch) -> None:
        if text:
            text, self._half = split_half(self._half + text)
            if text:
                batch.append(text)

    def _fail(self, error: StreamError) -> None:
        self.failure = error
        self.complete = False


def _shown(data: bytes) -> str:
    return redact(data[: 4 * _SHOWN].decode("utf-8", "replace"))[:_SHOWN]


def _unreadable(what: str, data: bytes) -> StreamError:
    return StreamError(
        f"{what} could not be read, the rest may be missing; it begins with {repr(_shown(data))[:_SHOWN]}",
        status=200,
        retryable=True,
        code="unreadable_event",
    )


def decode_completion(body: bytes) -> Batch:
    """A whole answer that was not streamed: `Started`, what it says, `FinishReason`.

    Raises `StreamError` where it cannot be read, or is an error that came with a status of success.
    """
    chunk = _completion(body)
    choice = next((choice for choice in chunk.choices or () if not choice.index), None)
    if choice is None or (choice.message is None and choice.text is None and choice.finish_reason is None):
        raise _unreadable("the answer holds no message and", body)
    if choice.finish_reason and choice.error is None and (text := _sole_text(choice.message)) is not None:
        model = chunk.model or None
        finish = FinishReason(choice.finish_reason, "finish_reason", usage_of(chunk.usage), model)
        return [Started(model), text, finish] if text else [Started(model), finish]
    choice.delta = choice.message
    chunk.choices = [choice]
    for place, call in enumerate(choice.message.tool_calls or () if choice.message else ()):
        call.index = place  # each is whole, and one of its own
    answer = ChatStreamDecoder()
    answer._done = True  # a document that can be read is whole
    batch: Batch = []
    answer._take(chunk, batch)
    finish = answer.finish()
    batch.append(finish if finish.reason is not None else msgspec.structs.replace(finish, evidence="body"))
    return batch


def _sole_text(message: Delta | None) -> str | None:
    """The text of a message that says nothing besides, and needs no mending; None for any other."""
    if message is None or message.content is None or message.tool_calls or message.function_call:
        return None
    says_more = message.reasoning_content or message.reasoning or message.refusal
    return None if says_more or mend(message.content) is not message.content else message.content


def _completion(body: bytes) -> Chunk:
    try:
        chunk = decode(body)
        if chunk.choices and chunk.error is None:
            return chunk
    except UNREADABLE:
        pass
    try:
        obj = load(body.removeprefix(_BOM))
        chunk = as_chunk(obj) if isinstance(obj, dict) else Chunk()
    except UNREADABLE:
        obj = None
    if not isinstance(obj, dict):
        raise _unreadable("the answer", body)
    error = error_in_event(obj)
    if error is not None:
        raise error
    return chunk
