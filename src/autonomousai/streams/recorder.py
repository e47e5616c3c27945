"""The recorder of one answer: its batches become records, from its beginning or from where the server before left off.

Knows the provider, and what another server must know to continue; not where records are stored, nor who reads them.
"""

from __future__ import annotations

import time
from typing import Final

from ..answer import Answer
from ..batches import BatchStream
from ..errors import ProviderError
from ..events import Batch, Extra, FinishReason, ForeignEvent, Started
from ..provider import AsyncGeneratorProvider
from ..report import Attempt, Report
from ..request import CallOptions
from ..wires.provenance import make_provenance
from .records import Record, RecordedError, RecordedRequest, ResumeState, StreamHeader

#: The outcome of an attempt whose server died during it.
LOST_OUTCOME: Final = "server_lost"

#: Events that deliver nothing of an answer.
_UNSPOKEN: Final = (Started, Extra, ForeignEvent)


class Recorder:
    """Records the answer to one request, ``recorded``. ``answer``: what each batch is added to before it is recorded.

    Where another server has begun the answer, `replay` each of its records first. Then `start`, and `record` each batch; or
    `fail`.
    """

    def __init__(self, request: RecordedRequest) -> None:
        self.request = request.request
        self.answer = Answer()
        self.recorded = request
        self._model = request.request.model
        self._has_header = False
        self._is_delivered = False  # whether the records hold anything of the answer
        self._state: ResumeState | None = None  # the last that was recorded
        self._report = Report()
        self._splices = -1  # how many the state has that was recorded here

    def replay(self, record: Record) -> None:
        """Take in the next record of the server before."""
        self.answer.add(record.events)
        self._has_header = True
        self._is_delivered = self._is_delivered or any(not isinstance(event, _UNSPOKEN) for event in record.events)
        self._state = record.state or self._state

    def start(self, provider: AsyncGeneratorProvider, model: str, *, whole: bool = False) -> BatchStream:
        """Return the rest of the answer from *provider*; all of it, where nothing was delivered. Its report is continued.

        *model* is named where the answer names none. *whole*: see `CallOptions`.
        """
        self._model = model
        state = self._state
        if self._is_delivered:
            self.answer.report = report = Report()
            if state is not None:
                report.author, report.seed = state.author, state.seed
            batches = provider.resume(self.request, CallOptions(answer=self.answer))
        else:
            self.answer = Answer()
            batches = provider.stream(self.request, CallOptions(answer=self.answer, whole=whole))
        if self.answer.report is not None:
            self._report = self.answer.report
            if state is not None:
                _continue_report(self._report, state, self.answer.deltas if self._is_delivered else 0)
        return batches

    def record(self, batch: Batch) -> Record:
        """Return the record of the next batch."""
        if len(self._report.splices) == self._splices and type(batch[-1]) is not FinishReason:
            return Record(batch.copy())  # the provider may use the list again
        return self._changed(batch)

    def fail(self, error: ProviderError) -> Record:
        """Return the record of an answer that ends with *error*."""
        return Record(end=True, header=None if self._has_header else self._header(), error=RecordedError.of(error))

    def _changed(self, batch: Batch) -> Record:
        """Return a record that has more than events: the first, the last, or one after a splice."""
        answer, report = self.answer, self._report
        if answer.report is None:
            report.upstream = answer.upstream
        header = provenance = state = None
        if not self._has_header:
            self._has_header = True
            self._model = answer.model or self._model
            header = self._header()
        if len(report.splices) != self._splices:
            before = self._state
            author = before.author if before is not None and (self._splices >= 0 or self._is_delivered) else report.upstream
            self._splices = len(report.splices)
            self._state = state = ResumeState(author, report.seed, list(report.attempts), list(report.splices), report.repeated)
        ends = type(batch[-1]) is FinishReason
        if ends:
            others = {index: choice.text for index, choice in answer.choices.items()} if answer.choices else None
            notes = () if answer.finish is None else answer.finish.notes
            provenance = make_provenance(report, answer.text, others, notes)
        return Record(batch.copy(), end=ends, header=header, state=state, provenance=provenance)

    def _header(self) -> StreamHeader:
        recorded = self.recorded
        return StreamHeader(
            recorded.wire,
            recorded.id,
            recorded.created or int(time.time()),
            self._model,
            self.request.include_usage,
            self.request.echo,
        )


def _continue_report(report: Report, state: ResumeState, delivered: int) -> None:
    """Continue what *state* says, as that many pieces were *delivered* before."""
    upstream = state.splices[-1].target if state.splices else state.author
    report.upstream = upstream
    report.splices[:0] = state.splices
    report.repeated = state.repeated
    generated = delivered + state.repeated - sum(attempt.tokens for attempt in state.attempts)
    report.attempts[:0] = [*state.attempts, Attempt(upstream or "", LOST_OUTCOME, None, 0, max(generated, 0))]
