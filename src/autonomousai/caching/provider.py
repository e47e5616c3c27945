"""`CachingProvider`: gives an answer again that was given to the same request before.

An answer is kept when its end is proven and it is one upstream's, with its batches as they came; it is given again with the
same batches, at once. What a request is kept under, its `ChatRequest.cached_as` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from functools import partial
from typing import Final, Self

import msgspec

from ..answer import Answer
from ..batches import BatchStream, GeneratedBatches, JoinedBatches, Sink
from ..events import Batch, ChoiceEvent, FinishReason, begins_answer
from ..outage import Outage
from ..provider import AsyncGeneratorProvider
from ..report import Report
from ..request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from .stores import CacheError, CacheStore

#: The name of the upstream of an answer that is given again.
CACHE: Final = "cache"

#: Bytes of the largest answer that is kept.
MAX_ANSWER: Final = 4_000_000

#: Members of a request that say how long its answer may be.
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")

#: Seconds for which a store is left alone that could not be reached.
_REST_S: Final = 5.0

_log = logging.getLogger("autonomousai.server")


class CachedAnswer(msgspec.Struct, frozen=True):
    """An answer as it is kept. ``at``: when it had come, in seconds since the epoch."""

    at: float
    batches: list[Batch]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CachedAnswer).decode


class CachingProvider(AsyncGeneratorProvider):
    """Answers from *store* what is kept there, and all else from *provider*. ``counts``: by what became of requests that may be
    cached: hit, miss, stored, error. ``outage``: whether the store is away.

    Where the store cannot be reached, everything is asked for upstream, as if nothing were kept.
    """

    def __init__(
        self, provider: AsyncGeneratorProvider, store: CacheStore, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.outage = Outage("answers are neither cached nor found in the cache", "the cache of answers is used again")
        self._provider = provider
        self._store = store
        self._now = now
        self._rests_until = 0.0
        self._storing: set[asyncio.Task[None]] = set()

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """Return the answer; the report of ``options.answer`` says whether it was kept here."""
        answer = options.answer
        if not request.cached_as or answer is None:
            return self._provider.stream(request, options)
        if (report := answer.report) is None:  # those who write the answer down look at it from now on
            report = answer.report = Report()
        return GeneratedOrKept(self, request, options, report)

    def resume(self, request: ChatRequest, options: CallOptions) -> BatchStream:
        """Return the rest of an answer that was begun elsewhere: it is not kept."""
        return self._provider.resume(request, options)

    async def aclose(self) -> None:
        """Close the store, once what is being stored is there. The provider is its owner's."""
        await asyncio.gather(*self._storing, return_exceptions=True)
        await self._store.aclose()

    # ---- for its streams

    def generate(self, request: ChatRequest, options: CallOptions) -> BatchStream:
        """Return the provider's answer."""
        return self._provider.stream(request, options)

    async def find(self, key: str) -> CachedAnswer | None:
        """Return the answer that is kept under *key*; None where none is, or the store cannot be asked."""
        if self._now() < self._rests_until:
            return None
        try:
            data = await self._store.get(key)
        except CacheError as error:
            self._failed(error)
            return None
        self.outage.end(by_reading=True)
        found = None
        if data is not None:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # another version's: replaced
                found = _decode(data)
        self.counts["miss" if found is None else "hit"] += 1
        return found

    def keep(self, key: str, batches: list[Batch]) -> None:
        """Keep an answer that has ended, without making its caller wait."""
        if self._now() < self._rests_until:
            return
        try:
            data = _encode(CachedAnswer(time.time(), batches))
        except (ValueError, TypeError, OverflowError) as error:  # what JSON has no form for; its caller has it all the same
            self.counts["error"] += 1
            _log.warning("an answer cannot be cached: %s", type(error).__name__)
            return
        if len(data) <= MAX_ANSWER:
            task = asyncio.get_running_loop().create_task(self._set(key, data))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def _set(self, key: str, data: bytes) -> None:
        try:
            await self._store.set(key, data)
        except CacheError as error:
            self._failed(error, in_writing=True)
        else:
            self.counts["stored"] += 1
            self.outage.end()

    def _failed(self, error: Exception, *, in_writing: bool = False) -> None:
        self.counts["error"] += 1
        self._rests_until = self._now() + _REST_S
        self.outage.begin(error, in_writing=in_writing)


class GeneratedOrKept:
    """The batches of an answer that is kept, or of one that is generated and then kept; a `BatchStream`."""

    __slots__ = ("_batches", "_cache", "_closed", "_options", "_report", "_request", "_size", "_stream")

    def __init__(self, cache: CachingProvider, request: ChatRequest, options: CallOptions, report: Report) -> None:
        self._cache = cache
        self._request = request
        self._options = options
        self._report = report
        self._stream: BatchStream | None = None
        self._closed = False
        #: What is to be kept; None where nothing is.
        self._batches: list[Batch] | None = None
        self._size = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        if self._stream is None:
            await self._begin()
        if self._stream is None or self._closed:
            raise StopAsyncIteration
        batch = await self._stream.__anext__()
        if self._batches is not None:
            self._note(batch)
            if type(finish := batch[-1]) is FinishReason:
                self._keep(finish)
        return batch

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`."""
        assert self._stream is not None
        return self._stream.pipe_to(sink if self._batches is None else partial(self._pass, sink))

    async def aclose(self) -> None:
        """See `BatchStream.aclose`. What has not ended is not kept."""
        self._closed = True
        self._batches = None
        if self._stream is not None:
            await self._stream.aclose()

    async def _begin(self) -> None:
        request = self._request
        found = None if request.refresh else await self._cache.find(request.cached_as)
        if self._closed:
            return
        if found is None:
            self._report.cache = "miss"
            self._stream = self._cache.generate(request, self._options)
            self._batches = []
        else:
            self._report.upstream, self._report.cache = CACHE, "hit"
            again = GeneratedBatches(partial(_again, found.batches))
            self._stream = again if request.stream else JoinedBatches(again, Answer())

    def _pass(self, sink: Sink, batch: Batch) -> bool:
        self._note(batch)
        return sink(batch)

    def _note(self, batch: Batch) -> None:
        if self._batches is not None:
            if begins_answer(batch):
                self._size = 0
                self._batches.clear()
            self._size += sum(len(event) if type(event) is str else 100 for event in batch)
            if self._size > MAX_ANSWER:
                self._batches = None
            else:
                self._batches.append(batch.copy())  # the provider may use the list again

    def _keep(self, finish: FinishReason) -> None:
        """Keep the answer, where its end is proven, all of it is one upstream's, and it would end there another time too."""
        batches, self._batches = self._batches, None
        if batches is None or not finish.evidence or finish.notes or self._report.splices:
            return
        reasons = {finish.reason, *_other_reasons(batches)}
        if "content_filter" in reasons or ("length" in reasons and not _limits_itself(self._request)):
            return
        self._cache.keep(self._request.cached_as, batches)


def _other_reasons(batches: list[Batch]) -> Iterator[str | None]:
    """Return why the other choices of an answer ended."""
    for batch in batches:
        for event in batch:
            if type(event) is ChoiceEvent and type(event.event) is FinishReason:
                yield event.event.reason


def _limits_itself(request: ChatRequest) -> bool:
    """Return whether a request says how long its answer may be: elsewhere, a limit of the upstream's has cut it off."""
    document = {} if request.origin is None else request.origin.document
    return any(request.fields.get(name) or document.get(name) for name in _LIMITS)


async def _again(batches: list[Batch]) -> AsyncGenerator[Batch]:
    for batch in batches:
        yield batch
