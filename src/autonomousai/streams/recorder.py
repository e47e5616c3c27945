"""A stream that can be resumed is written: an answer's batches become numbered pieces, from its beginning or from where another
writer left off. Knows wire and provider, and what a successor must be told; not where pieces are stored, nor who reads them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

import msgspec

from ..errors import ProviderError
from ..events import Answer, Attempt, Batch, FinishReason, Report, Splice, Started
from ..provider import AsyncGeneratorProvider
from ..request import CallOptions, ChatRequest
from ..result import AsyncResult
from ..wires.base import StreamEncoder
from ..wires.errors import error_event
from ..wires.openai_chat.decoder import ChatStreamDecoder
from ..wires.provenance import make_provenance
from ..wires.registry import WIRES

#: What an attempt is called whose server died over it.
LOST_OUTCOME = "server_lost"

_ID_LINE = re.compile(rb"^id: [0-9]+$", re.MULTILINE)


class RecordedRequest(msgspec.Struct, frozen=True):
    """What a stream answers: all that another server needs to go on with it."""

    request: ChatRequest
    wire: str


class RecorderNote(msgspec.Struct):
    """What a successor must know of the answer so far. ``id``, ``created`` and ``model`` stand in each of its chunks;
    ``author``: the upstream that began it, ``seed``: what it was asked with, where it can be asked for the same again;
    ``repeated``: pieces that were generated and are not in the text."""

    id: str
    created: int
    model: str
    author: str | None
    seed: int | None
    attempts: list[Attempt]
    splices: list[Splice]
    repeated: int = 0


class Begun(NamedTuple):
    """What there is of an answer before it is gone on with: nothing, by default. ``last``: the number of its last event."""

    last: int = 0
    delivered: Batch = []
    note: RecorderNote | None = None

    @property
    def says_something(self) -> bool:
        return any(type(event) is not Started for event in self.delivered)


class Piece(NamedTuple):
    """Events to store and to send, all or none. ``last``: the number of the last of them; ``note``: where it has changed."""

    data: bytes
    last: int
    note: RecorderNote | None = None
    end: bool = False


class RescueProgress(NamedTuple):
    """How far an answer has come that broke and is being brought on, and who writes it."""

    report: Report
    encoder: StreamEncoder


def begun(last: int, data: bytes, note: bytes) -> Begun:
    """What the pieces *data* say, for somebody who goes on after them."""
    return Begun(last, ChatStreamDecoder().feed(data), msgspec.json.decode(note, type=RecorderNote) if note else None)


def ask(provider: AsyncGeneratorProvider, request: ChatRequest, before: Begun) -> AsyncResult:
    """Return the answer to *request*, or its rest after what there is of it. Its report is continued as well."""
    if not before.says_something:
        answer = Answer()
        stream = provider.stream(request, CallOptions(answer=answer))
        if before.note is not None and answer.report is not None:
            _go_on(answer.report, before.note)
        return AsyncResult(stream, answer=answer)
    report = Report()
    if (note := before.note) is not None:
        report.author, report.seed = note.author, note.seed
        report.upstream = note.author
        _go_on(report, note)
    delivered = Answer(report)
    delivered.add(before.delivered)
    stream = provider.resume(request, CallOptions(answer=delivered))
    return AsyncResult(stream, answer=delivered)


def _go_on(report: Report, note: RecorderNote) -> None:
    upstream = note.splices[-1].target if note.splices else note.author
    report.upstream = upstream
    report.splices[:0] = note.splices
    report.repeated = note.repeated
    report.attempts[:0] = [*note.attempts, Attempt(upstream or "", LOST_OUTCOME, None, 0)]


async def pieces(
    result: AsyncResult, question: RecordedRequest, model: str, before: Begun, tell: Callable[[RescueProgress], None]
) -> AsyncGenerator[Piece]:
    """The pieces of *result*, whose first is numbered after what there is. *model* is named where the answer names none.
    *tell* hears, once there is a writer, where progress can be seen."""
    numbers = _Numbers(before.last)
    texts = [event for event in before.delivered if type(event) is str]
    note = before.note
    noted = -1  # splices that a note tells of
    report = result.report or Report()
    writer: StreamEncoder | None = None
    if note is not None:
        writer = _chunk_writer(note, question, numbers, begun=True)
        tell(RescueProgress(report, writer))
    async for batch in result.batches():
        if result.report is None:
            report.upstream = result.upstream
        if note is None:
            note = RecorderNote("chatcmpl-" + os.urandom(12).hex(), int(time.time()), result.model or model, None, None, [], [])
        if writer is None:
            writer = _chunk_writer(note, question, numbers, begun=False)
            tell(RescueProgress(report, writer))
        if noted < 0 and not before.says_something:
            note.author = report.upstream
        data = writer.write(batch)
        texts += [event for event in batch if type(event) is str]
        end = type(finish := batch[-1]) is FinishReason
        if type(finish) is FinishReason:
            data += writer.end(finish, extension=make_provenance(report, "".join(texts)))
        if data:
            news = None
            if noted != len(report.splices):
                noted = len(report.splices)
                note.seed, note.attempts, note.splices = report.seed, report.attempts, report.splices
                note.repeated = report.repeated
                news = note
            yield Piece(data, numbers.last, news, end)


def last_words(error: ProviderError, last: int) -> Piece:
    """The piece that ends a stream with an error: no finish reason and no [DONE] follow."""
    return Piece(b"id: %d\n%b" % (last + 1, error_event(error)), last + 1, end=True)


def after(data: bytes, number: int) -> bytes:
    """Of pieces, the events after that number."""
    first = b"id: %d\n" % (number + 1)
    if data.startswith(first):
        return data
    # No line of a chunk's JSON begins so: its line ends are escaped.
    start = data.find(b"\n\n" + first)
    return data[start + 2 :] if start >= 0 else data


def without_numbers(data: bytes) -> bytes:
    """The same events under an id that nobody can resume after."""
    return _ID_LINE.sub(b"id: -", data)


class _Numbers:
    """The ids of events: 1, 2, 3, …"""

    def __init__(self, last: int) -> None:
        self.last = last

    def __iter__(self) -> _Numbers:
        return self

    def __next__(self) -> str:
        self.last += 1
        return str(self.last)


def _chunk_writer(note: RecorderNote, question: RecordedRequest, numbers: _Numbers, *, begun: bool) -> StreamEncoder:
    return WIRES[question.wire].encoder(
        id=note.id,
        created=note.created,
        model=note.model,
        include_usage=question.request.include_usage,
        ids=numbers,
        begun=begun,
    )
