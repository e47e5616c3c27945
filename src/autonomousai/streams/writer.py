"""The tasks that bring a stream's records: answering in this process, or following another server until it dies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, Final

import msgspec

from ..errors import IncompleteStreamError, ProviderError
from ..events import Answer, Batch
from ..http.server.exchange import internal_error, log_bug
from ..limiter import RequestLimiter
from ..provider import AsyncGeneratorProvider
from ..telemetry.metrics import AnswerMeter, Metrics
from .log import StreamLog
from .recorder import RecordedRequest, Recorder, UnfinishedAnswer, record_error
from .records import Record, decode_record
from .stores import Claim, GoneError, LeaseLostError, Store

#: Seconds that a follower waits for records before it looks whether the writer has died.
_WAIT_S: Final = 1.0


class StreamWriter:
    """Answers requests into logs. ``ready``: starts the provider; ``resolve``: a model's own name; ``places``: how many answers
    are generated at once."""

    def __init__(
        self,
        store: Store,
        provider: AsyncGeneratorProvider,
        *,
        ready: Callable[[], Awaitable[None]],
        resolve: Callable[[str], str],
        places: RequestLimiter,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._provider = provider
        self._ready = ready
        self._resolve = resolve
        self._places = places
        self._metrics = metrics

    async def write(self, stream: StreamLog, request: RecordedRequest, before: UnfinishedAnswer) -> None:
        """Generate what comes after *before*. Raises `LeaseLostError`."""
        began = monotonic()
        try:
            await self._places.acquire()
            try:
                await self._ready()
                await self._generate(stream, request, before, began)
            finally:
                self._places.release()
        except ProviderError as error:
            await _fail(stream, request, error)
        except LeaseLostError:
            raise
        except Exception as error:  # a bug must cost its own stream alone
            log_bug(stream.name, error)
            await _fail(stream, request, internal_error())

    async def _generate(self, stream: StreamLog, request: RecordedRequest, before: UnfinishedAnswer, began: float) -> None:
        batches, answer = before.resume(self._provider, request.request)
        try:
            model = self._resolve(request.request.model)
            with self._metrics.answer(model, answer, began) as stream.meter:
                stream.report = answer.report
                recorder = Recorder(request, before, answer, model)
                sink = partial(_append_now, stream, answer, stream.meter, recorder)
                pipes = not self._store.shared
                async for batch in batches:
                    answer.add(batch)
                    stream.meter.batch()
                    await stream.append(recorder.record(batch))
                    pipes = pipes and await batches.pipe_to(sink)
                if answer.finish is None:
                    raise IncompleteStreamError
        finally:
            await batches.aclose()

    async def follow(self, stream: StreamLog) -> None:
        """Fetch what another server writes; when that has died, write. Raises what the store raises."""
        while not stream.ended:
            page = await self._store.read(stream.id, stream.last)
            if page.records or page.ended:
                stream.grow(self._decoded(page.records), ended=page.ended)
            elif (claim := await self._store.claim(stream.id)) is not None:
                stream.lease = claim.lease
                self._metrics.takeovers += 1
                request, before = await self._take_over(stream, claim)
                await self.write(stream, request, before)
                return
            else:
                await self._store.wait(stream.id, stream.last, _WAIT_S)

    async def _take_over(self, stream: StreamLog, claim: Claim) -> tuple[RecordedRequest, UnfinishedAnswer]:
        """Return what was asked, and what was answered. From now on no other server adds to it."""
        before = UnfinishedAnswer()
        last = 0
        while last < claim.last:
            page = await self._store.read(stream.id, last)
            if not page.records:
                raise GoneError
            records = self._decoded(page.records)
            for record in records:
                before.add(record)
            if page.last > stream.last:
                stream.grow(records[stream.last - page.last :])
            last = page.last
        return msgspec.json.decode(claim.request, type=RecordedRequest), before

    def _decoded(self, records: list[Any]) -> list[Record]:
        return [decode_record(data) for data in records] if self._store.shared else records


def _append_now(stream: StreamLog, answer: Answer, meter: AnswerMeter, recorder: Recorder, batch: Batch) -> bool:
    """Append a batch in the midst of an answer. Returns False where the stream is lost: `StreamLog.append` raises that."""
    meter.batch()
    answer.add(batch)
    try:
        return stream.append_now(recorder.record(batch))
    except LeaseLostError:
        return False


async def _fail(stream: StreamLog, request: RecordedRequest, error: ProviderError) -> None:
    """End *stream* with *error*, unless it has ended already."""
    if not stream.ended:
        stream.error = error
        header = None if stream.last else request.header(request.request.model)
        await stream.append(record_error(error, header))
