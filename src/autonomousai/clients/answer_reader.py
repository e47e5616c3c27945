"""An answer's bytes become batches of events: whichever form the server chose, one document or a stream of events.

Knows the wire's readers and a `ReconnectingResponse` to read from; no URL, no request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any

from ..answer import MANY, fold
from ..errors import HTTPError, IncompleteStreamError, StreamError
from ..errors import TimeoutError as ClockError
from ..events import Batch, Event, FinishReason, Reasoning, Started, ToolCallDelta
from ..result import Sink
from ..wires.openai_chat.decoder import ChatStreamDecoder, decode_completion
from ..wires.provenance import check_provenance, provenance_of_document
from .reconnecting import ReconnectingResponse

#: Bytes of an answer in one document.
_DOCUMENT = 64 * 1024 * 1024

#: Seconds to wait for usage or [DONE] after a finish reason: many servers send neither.
_GRACE = 1.0


async def _no_more() -> None:
    return None


class AnswerReader:
    """One answer, batch by batch. Whatever was asked for: a body that begins with ``{`` is one document, any other one is an
    event stream."""

    def __init__(self, line: ReconnectingResponse) -> None:
        self._line = line
        self._stream = ChatStreamDecoder()
        self._texts: list[str] = []
        self._progress = 0
        self._has_spoken = False
        self._begun = False
        self._ended = False
        self._fed: Batch | None = None  # what a `pour` left to the reader

    def next(self) -> Awaitable[Batch | None]:
        """The events that came next; None after the last. An error comes after the events that had come before it."""
        if self._ended:
            return _no_more()
        if not self._begun:
            return self._begin()
        if self._fed is None:
            if self._stream.failure is not None:
                raise self._stream.failure
            if self._stream.ending:
                self._line.wait_no_longer_than(_GRACE)
        return self._read_on()

    async def _begin(self) -> Batch:
        self._begun = True
        line = self._line
        head = first = b""  # what comes first, and the first byte of it that is no white space
        while not line.is_resumable and not first and (data := await line.read()):
            head += data
            first = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if first == b"{":
            self._ended = True
            return await self._read_document(head)
        if first == b"<":
            raise StreamError(
                "the server answered with a web page instead of an answer; check base_url", status=200, retryable=False
            )
        return await self._read_on(head)

    async def pipe_to(self, sink: Sink) -> bool:
        """See `provider.pour`: batches by which the answer only goes on. Whatever else has come waits for `next`."""
        stream, line, texts = self._stream, self._line, self._texts
        if self._ended or not self._has_spoken or stream.failure is not None or stream.ending:
            return True

        def take(data: bytes) -> bool:
            batch = stream.feed(data)
            if not batch or stream.complete or stream.failure is not None or stream.ending:
                self._fed = batch
                return False
            if type(text := batch[0]) is str and len(batch) == 1:  # as usual
                texts.append(text)
            else:
                texts.extend([event for event in batch if type(event) is str])
            if len(texts) > MANY:
                fold(texts)
            line.progress()
            return sink(batch)

        return await line.pipe_to(take)

    async def whole(self) -> Batch:
        """All of the answer in one batch, as `joined` makes it."""
        joiner = _BatchJoiner()
        try:
            while (batch := await self.next()) is not None:
                joiner.add(batch)
        except HTTPError as error:
            error.partial = joiner.text
            raise
        return joiner.batch()

    async def _read_document(self, head: bytes) -> Batch:
        line = self._line
        parts = [head]
        size = len(head)
        line.progress()
        while data := await line.read():
            line.progress()
            parts.append(data)
            size += len(data)
            if size > _DOCUMENT:
                raise StreamError(f"the answer is larger than {_DOCUMENT} bytes", status=200, code="answer_too_large")
        body = b"".join(parts)
        batch = decode_completion(body)
        _check(provenance_of_document(body), [event for event in batch if type(event) is str])
        return batch

    async def _read_on(self, data: bytes = b"") -> Batch:
        """More of an event stream. Bytes by which no event came to its end are no batch: then it reads on."""
        stream, line = self._stream, self._line
        while True:
            if self._fed is None and not data:
                try:
                    data = await line.read()
                except (IncompleteStreamError, ClockError) as error:
                    if not await self._is_resumed(error):
                        return self._finish([])
                    continue
                if not data:
                    if stream.is_proven or not await line.resume(stream.last_event_id):
                        return self._finish([])
                    self._reopen()
                    continue
            if self._fed is None:
                batch = stream.feed(data)
                data = b""
            else:
                batch, self._fed = self._fed, None
            if stream.complete:
                return self._finish(batch)
            if batch:
                self._note(batch)
                if len(batch) > 1 or type(batch[0]) is not Started:
                    self._has_spoken = True
                    line.progress()
                return batch
            if stream.failure is not None:
                raise stream.failure
            self._on_silent()

    def _on_silent(self) -> None:
        """Something came that said nothing: the end is near, or a server of ours gets on with an answer that broke."""
        if self._stream.ending:
            self._line.wait_no_longer_than(_GRACE)
        elif self._has_spoken and self._stream.progress > self._progress:
            self._progress = self._stream.progress
            self._line.progress()

    async def _is_resumed(self, error: IncompleteStreamError | ClockError) -> bool:
        """A connection that breaks before the answer's end is replaced where the server can; False where the answer is whole,
        however its connection ended; else the error is raised."""
        stream, line = self._stream, self._line
        if stream.is_proven:
            return False  # the finish reason had come
        # A network that is gone may leave the connection standing, silent: the idle clock tells, and nobody else does. One
        # that was replaced and is silent too is not the network's fault.
        lost = isinstance(error, IncompleteStreamError) or (error.clock == "idle" and line.has_heard)
        if not lost or not await line.resume(stream.last_event_id):
            raise error
        self._reopen()
        return True

    def _reopen(self) -> None:
        self._stream.reopen()
        self._progress = 0  # whoever brings the rest counts from anew

    def _note(self, batch: Batch) -> None:
        self._texts += [event for event in batch if type(event) is str]
        if len(self._texts) > MANY:
            fold(self._texts)

    def _finish(self, batch: Batch) -> Batch:
        self._ended = True
        finish = self._stream.finish()
        self._note(batch)
        _check(self._stream.extension, self._texts)
        self._line.is_whole = True
        return [*batch, finish]


def _check(evidence: Mapping[str, Any] | None, texts: list[str]) -> None:
    if evidence is not None and (mismatch := check_provenance(evidence, "".join(texts))):
        raise mismatch


class _BatchJoiner:
    """Batches become one: who answers, the reasoning, the text as one string, the tool calls, the finish reason."""

    def __init__(self) -> None:
        self._started: list[Event] = []
        self._reasoning: list[str] = []
        self._texts: list[str] = []
        self._rest: list[Event] = []

    def add(self, batch: Batch) -> None:
        for event in batch:
            if type(event) is str:
                self._texts.append(event)
            elif type(event) is Reasoning:
                self._reasoning.append(event.text)
            elif type(event) is Started:
                self._started.append(event)
            elif type(event) is ToolCallDelta or type(event) is FinishReason:
                self._rest.append(event)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def batch(self) -> Batch:
        reasoning: Batch = [Reasoning("".join(self._reasoning))] if self._reasoning else []
        text: Batch = [self.text] if self._texts else []
        return [*self._started, *reasoning, *text, *self._rest]


async def joined(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    """All of an answer in one batch: who answers, the reasoning, the text as one string, the tool calls, the finish reason."""
    joiner = _BatchJoiner()
    try:
        async for batch in batches:
            joiner.add(batch)
    except HTTPError as error:
        error.partial = joiner.text
        raise
    finally:
        await batches.aclose()
    yield joiner.batch()
