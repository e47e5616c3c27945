"""The recorder: an answer's batches become records, from its beginning or from where the server before left off.

Knows the provider, and what another server must know to continue; not where records are stored, nor who reads them.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from ..errors import ProviderError
from ..events import Answer, Attempt, Batch, Extra, FinishReason, ForeignEvent, Report, Started
from ..provider import AsyncGeneratorProvider
from ..request import CallOptions, ChatRequest
from ..result import BatchStream
from ..wires.provenance import make_provenance
from .records import Record, RecordedError, ResumeState, StreamHeader

#: The outcome of an attempt whose server died during it.
LOST_OUTCOME: Final = "server_lost"

#: Events that deliver nothing of an answer.
_UNSPOKEN: Final = (Started, Extra, ForeignEvent)


class RecordedRequest(msgspec.Struct, frozen=True):
    """A request, with all that another server needs to answer it. ``wire``: the name of the one that it came over; ``id``: the
    request's."""

    request: ChatRequest
    wire: str
    id: str

    def header(self, model: str) -> StreamHeader:
        """Return the header of a stream that begins now. *model*: the one that answers."""
        return StreamHeader(self.wire, self.id, int(time.time()), model, self.request.include_usage)


class UnfinishedAnswer:
    """An answer as far as it is recorded: `add` each record of its log, then `resume` it. Without records it is a new one.

    ``state``: the last that a record has. ``is_begun``: whether there are records. ``is_delivered``: whether they hold
    anything of the answer.
    """

    def __init__(self) -> None:
        self.answer = Answer()
        self.state: ResumeState | None = None
        self.is_begun = False
        self.is_delivered = False

    def add(self, record: Record) -> None:
        """Fold in the next record."""
        self.answer.add(record.events)
        self.state = record.state or self.state
        self.is_begun = True
        self.is_delivered = self.is_delivered or any(not isinstance(event, _UNSPOKEN) for event in record.events)

    def resume(self, provider: AsyncGeneratorProvider, request: ChatRequest) -> tuple[BatchStream, Answer]:
        """Return the rest of the answer from *provider*, all of it where nothing was delivered, and the `Answer` to add it to.

        The report is continued.
        """
        answer, state = self.answer, self.state
        if self.is_delivered:
            answer.report = report = Report()
            if state is not None:
                report.author, report.seed = state.author, state.seed
            batches = provider.resume(request, CallOptions(answer=answer))
        else:
            answer = Answer()
            batches = provider.stream(request, CallOptions(answer=answer))
        if state is not None and answer.report is not None:
            _continue_report(answer.report, state)
        return batches, answer


def _continue_report(report: Report, state: ResumeState) -> None:
    upstream = state.splices[-1].target if state.splices else state.author
    report.upstream = upstream
    report.splices[:0] = state.splices
    report.repeated = state.repeated
    report.attempts[:0] = [*state.attempts, Attempt(upstream or "", LOST_OUTCOME, None, 0)]


class Recorder:
    """Makes the records of one answer. *before*: what of it is recorded. *model* is named where the answer names none."""

    def __init__(self, request: RecordedRequest, before: UnfinishedAnswer, answer: Answer, model: str) -> None:
        self._request = request
        self._before = before
        self._answer = answer
        self._model = model
        self._report = answer.report or Report()
        self._is_begun = before.is_begun
        self._author: str | None = None
        self._splices = -1  # how many the state has that was recorded last

    def record(self, batch: Batch) -> Record:
        """Return the record of the next batch, which has been added to the answer already."""
        if len(self._report.splices) == self._splices and type(batch[-1]) is not FinishReason:
            return Record(batch.copy())  # the provider may use the list again
        report = self._report
        if self._answer.report is None:
            report.upstream = self._answer.upstream
        finish = batch[-1]
        ends = type(finish) is FinishReason
        return Record(
            batch.copy(),
            end=ends,
            header=self._header(),
            state=self._new_state(),
            provenance=self._provenance() if ends else None,
        )

    def _provenance(self) -> dict[str, Any]:
        answer = self._answer
        others = {index: choice.text for index, choice in answer.choices.items()} if answer.choices else None
        return make_provenance(self._report, answer.text, others)

    def _header(self) -> StreamHeader | None:
        """Return the header, where the stream has none yet."""
        if self._is_begun:
            return None
        self._is_begun = True
        return self._request.header(self._answer.model or self._model)

    def _new_state(self) -> ResumeState | None:
        """Return the state, where it is not the recorded one any more."""
        if len(self._report.splices) == self._splices:
            return None
        if self._splices < 0:
            before = self._before
            self._author = before.state.author if before.is_delivered and before.state is not None else self._report.upstream
        self._splices = len(self._report.splices)
        return ResumeState.of(self._report, self._author)


def record_error(error: ProviderError, header: StreamHeader | None) -> Record:
    """Return the record of a stream that ends with *error*. *header*: where the stream has none yet."""
    return Record(end=True, header=header, error=RecordedError.of(error))
