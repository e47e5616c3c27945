"""The writer of resumable streams: generates an answer into its log, or follows the server that does, and takes over its work
where that has died.

Knows no callers and no readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic, time
from typing import Any, Final

import msgspec

from ..answer import Answer
from ..batches import BatchStream
from ..errors import IncompleteStreamError, ProviderError
from ..events import Batch, begins_answer
from ..http.server.exchange import internal_error, log_bug
from ..limiter import Place, QuotaHold, RequestLimiter
from ..provider import AsyncGeneratorProvider
from ..telemetry.metrics import AnswerMeter, Asked, Metrics
from .contexts import with_context
from .errors import cancelled
from .log import StreamLog
from .recorder import Recorder
from .records import Record, RecordedRequest, decode_record, encode_record, size_of
from .stores import Claim, GoneError, LeaseLostError, Store

#: Seconds that a follower waits for records before it looks whether the writer has died.
_WAIT_S: Final = 1.0


class StreamWriter:
    """Writes the logs of one server's streams, with answers of *provider*.

    ``ready``: starts the provider; ``resolve``: a model's own name; ``places``: how many answers are generated at once;
    ``adopt``: see `StreamBroker`.
    """

    def __init__(
        self,
        store: Store,
        provider: AsyncGeneratorProvider,
        *,
        ready: Callable[[], Awaitable[None]],
        resolve: Callable[[str], str],
        places: RequestLimiter,
        metrics: Metrics,
        adopt: Callable[[RecordedRequest], QuotaHold | None],
    ) -> None:
        self._store = store
        self._provider = provider
        self._ready = ready
        self._resolve = resolve
        self._places = places
        self._metrics = metrics
        self._adopt = adopt

    async def write(self, stream: StreamLog, recorder: Recorder, place: Place) -> None:
        """Generate what *recorder* has not recorded yet. Raises `LeaseLostError`."""
        began = monotonic()
        try:
            try:
                await place.acquire()
                await self._ready()
                await self._generate(stream, recorder, began)
            finally:
                place.release()
        except ProviderError as error:
            await _fail(stream, recorder, error)
        except LeaseLostError:
            raise
        except asyncio.CancelledError:
            if not stream.is_cancelled:
                raise
            await _fail(stream, recorder, cancelled())
        except Exception as error:  # a bug must cost its own stream alone
            log_bug(stream.name, error)
            await _fail(stream, recorder, internal_error())

    async def _generate(self, stream: StreamLog, recorder: Recorder, began: float) -> None:
        model = self._resolve(recorder.request.model)
        whole = recorder.recorded.kept == "attended" and _is_whole(recorder.recorded)
        batches = recorder.start(self._provider, model, whole=whole)
        answer = recorder.answer
        try:
            with self._metrics.answer(model, answer, began) as stream.meter:
                stream.meter.key = recorder.recorded.key
                if self._metrics.on_end is not None:
                    stream.meter.asked = _asked(recorder.recorded, stream)
                stream.report, stream.answer = answer.report, answer
                if whole:
                    for batch in await _complete(batches, answer, stream.meter):
                        await stream.append(recorder.record(batch))
                else:
                    append = stream.append_soon if self._store.shared else stream.append_now
                    sink = partial(_take, append, recorder, stream.meter)
                    pipes = True
                    async for batch in batches:
                        answer.add(batch)
                        stream.meter.batch()
                        await stream.append(recorder.record(batch))
                        pipes = pipes and not stream.ended and await batches.pipe_to(sink)
                if answer.finish is None:
                    raise IncompleteStreamError
        except LeaseLostError:
            stream.is_handed_over = True
            raise
        finally:
            try:
                await batches.aclose()
                await stream.settled()
            finally:
                if (meter := stream.meter) is not None and meter.asked is not None and self._metrics.on_end is not None:
                    meter.handed_over = stream.is_handed_over
                    self._metrics.on_end(meter)

    async def follow(self, stream: StreamLog) -> None:
        """Fetch what another server writes; when that has died, write. Raises what the store raises."""
        while not stream.ended:
            page = (await self._store.read(stream.id, stream.last)).check(stream.last)
            if page.records or page.ended:
                stream.grow(self._decoded(page.records), ended=page.ended)
            elif (claim := await self._store.claim(stream.id)) is not None:
                await self.take_over(stream, claim)
                return
            else:
                await self._store.wait(stream.id, stream.last, _WAIT_S)

    async def take_over(self, stream: StreamLog, claim: Claim) -> None:
        """Write what the server that has died left unwritten."""
        stream.lease = claim.lease
        self._metrics.takeovers += 1
        recorder = await self._replayed(stream, claim)
        if stream.recorded is not None:
            stream.hold = self._adopt(stream.recorded)
        await self.write(stream, recorder, self._places.place())

    async def _replayed(self, stream: StreamLog, claim: Claim) -> Recorder:
        """Return a recorder that has replayed all of the log. From now on no other server adds to it."""
        recorded = await with_context(self._store, msgspec.json.decode(claim.request, type=RecordedRequest))
        stream.recorded = recorded
        recorder = Recorder(recorded)
        last = 0
        while last < claim.last:
            page = (await self._store.read(stream.id, last)).check(last)
            if not page.records:
                raise GoneError
            records = self._decoded(page.records)
            for record in records:
                recorder.replay(record)
            if page.last > stream.last:
                stream.grow(records[stream.last - page.last :])
            last = page.last
        return recorder

    def _decoded(self, records: list[Any]) -> list[Record]:
        return [decode_record(data) for data in records] if self._store.shared else records

    async def end_as_cancelled(self, id: str, claim: Claim) -> None:
        """End the stream of that id, which was claimed, as cancelled. Raises what the store raises."""
        recorder = Recorder(msgspec.json.decode(claim.request, type=RecordedRequest))
        if claim.last:
            recorder.replay(Record())  # the header is written
        record = recorder.fail(cancelled())
        if self._store.shared:
            await self._store.append(id, claim.lease, claim.last + 1, encode_record(record), end=True)
        else:
            self._store.append_now(id, claim.lease, claim.last + 1, record, size_of(record), end=True)


async def _complete(batches: BatchStream, answer: Answer, meter: AnswerMeter) -> list[Batch]:
    """Return all batches of an answer; of the last one, where another began in place of one that broke."""
    complete: list[Batch] = []
    async for batch in batches:
        answer.add(batch)
        meter.batch()
        if begins_answer(batch):
            complete.clear()
        complete.append(batch.copy())  # the provider may use the list again
    return complete


def _take(append: Callable[[Record], bool], recorder: Recorder, meter: AnswerMeter, batch: Batch) -> bool:
    """Record a batch in the midst of an answer. Returns False where the writer is to wait for the store, or the stream is lost:
    `StreamLog.append` raises that next."""
    meter.batch()
    recorder.answer.add(batch)
    try:
        return append(recorder.record(batch))
    except LeaseLostError:
        return False


def _asked(recorded: RecordedRequest, stream: StreamLog) -> Asked:
    """Return what an answer is accounted to, also one that another server has begun."""
    whole = recorded.kept == "attended" and _is_whole(recorded)
    name = recorded.request_id or stream.name
    return Asked(name, recorded.wire, recorded.key, recorded.came or time(), recorded.request, whole)


def _is_whole(recorded: RecordedRequest) -> bool:
    """Return whether the caller who waits for an answer gets it when it is complete."""
    origin = recorded.request.origin
    return origin is not None and origin.document.get("stream") is not True


async def _fail(stream: StreamLog, recorder: Recorder, error: ProviderError) -> None:
    """End *stream* with *error*, unless it has ended already."""
    if not stream.ended:
        stream.error = error
        await stream.append(recorder.fail(error))
