"""An answer's bytes become batches of events: whichever form the server chose, one document or a stream of events.

Knows the wire's readers and a `Line` to read from; no URL, no request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ..errors import HTTPError, IncompleteStreamError, StreamError
from ..errors import TimeoutError as ClockError
from ..events import Batch, Event, FinishReason, Reasoning, Started, ToolCallDelta
from ..wire.evidence import check_evidence, evidence_of_document
from ..wire.openai import AnswerStream, read_completion
from .line import Line

#: Bytes of an answer in one document.
_DOCUMENT = 64 * 1024 * 1024

#: Seconds to wait for usage or [DONE] after a finish reason: many servers send neither.
_GRACE = 1.0


async def read_answer(line: Line) -> AsyncGenerator[Batch]:
    """Whatever was asked for: a body that begins with ``{`` is one document, any other one is an event stream."""
    head = b""
    first = b""
    while not line.is_resumable and not first:
        data = await line.read()
        if data is None:
            break
        head += data
        first = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if first == b"{":
        yield await _read_document(head, line)
        return
    if first == b"<":
        raise StreamError(
            "the server answered with a web page instead of an answer; check base_url", status=200, retryable=False
        )
    events = _read_events(head, line)
    try:
        async for batch in events:
            yield batch
    finally:
        await events.aclose()


async def _read_document(head: bytes, line: Line) -> Batch:
    parts = [head]
    size = len(head)
    line.progress()
    while (data := await line.read()) is not None:
        line.progress()
        parts.append(data)
        size += len(data)
        if size > _DOCUMENT:
            raise StreamError(f"the answer is larger than {_DOCUMENT} bytes", status=200, code="answer_too_large")
    body = b"".join(parts)
    batch = read_completion(body)
    _check(evidence_of_document(body), [event for event in batch if type(event) is str])
    return batch


def _check(evidence: Mapping[str, Any] | None, texts: list[str]) -> None:
    if evidence is not None and (mismatch := check_evidence(evidence, "".join(texts))):
        raise mismatch


async def _read_events(head: bytes, line: Line) -> AsyncGenerator[Batch]:
    stream = AnswerStream()
    texts: list[str] = []
    data: bytes | None = head
    while data is not None:
        batch = stream.feed(data)
        texts += [event for event in batch if type(event) is str]
        if stream.complete:
            break
        if batch:
            if len(batch) > 1 or type(batch[0]) is not Started:
                line.progress()
            yield batch
            batch = []
        if stream.failure is not None:
            raise stream.failure
        if stream.ending:
            line.wait_no_longer_than(_GRACE)
        data = await _read_on(line, stream)
    finish = stream.finish()
    _check(stream.extension, texts)
    line.is_whole = True
    yield [*batch, finish]


async def _read_on(line: Line, stream: AnswerStream) -> bytes | None:
    """More bytes, or None at the end. A connection that breaks before the answer's end is replaced where the server can."""
    try:
        data = await line.read()
        if data is None and not stream.is_proven and await line.resume(stream.last_event_id):
            stream.reopen()
            return b""
    except (IncompleteStreamError, ClockError) as error:
        if stream.is_proven:
            return None  # the finish reason had come: the answer is whole, however its connection ended
        # A network that is gone may leave the connection standing, silent: the idle clock tells, and nobody else does. One
        # that was replaced and is silent too is not the network's fault.
        lost = isinstance(error, IncompleteStreamError) or (error.clock == "idle" and line.has_heard)
        if not lost or not await line.resume(stream.last_event_id):
            raise
        stream.reopen()
        return b""
    return data


async def joined(batches: AsyncGenerator[Batch]) -> AsyncGenerator[Batch]:
    """All of an answer in one batch: who answers, the reasoning, the text as one string, the tool calls, the finish reason."""
    started: list[Event] = []
    reasoning: list[str] = []
    texts: list[str] = []
    rest: list[Event] = []
    try:
        async for batch in batches:
            for event in batch:
                if type(event) is str:
                    texts.append(event)
                elif type(event) is Reasoning:
                    reasoning.append(event.text)
                elif type(event) is Started:
                    started.append(event)
                elif type(event) is ToolCallDelta or type(event) is FinishReason:
                    rest.append(event)
    except HTTPError as error:
        error.partial = "".join(texts)
        raise
    finally:
        await batches.aclose()
    if reasoning:
        started.append(Reasoning("".join(reasoning)))
    if texts:
        started.append("".join(texts))
    yield [*started, *rest]
