"""The answer of an upstream over HTTP as batches of events: what every client shares, whatever its wire.

Knows no endpoint and no model. Whether an answer is complete is decided by the wire; here it is read, under the four clocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Self

from ..answer import Answer
from ..awaitables import DONE, not_now
from ..batches import Sink, cannot_pipe, joined
from ..completion import CLOSED
from ..errors import HTTPError, IncompleteStreamError, StreamError
from ..errors import TimeoutError as ClockError
from ..events import SAYING_NOTHING, Batch, ForeignEvent
from ..http.pool import HttpPool
from ..http.transport import Response
from ..wires.foreign_errors import redact_error
from . import retries
from .error_details import explain
from .one_document import check_text, decode_document, read_document
from .prepared_request import PreparedRequest, adapted, secrets_sent
from .reconnecting import STREAM_ID, ResumableStream
from .refusals import answer_without_room, empty_body, refuse, too_large, web_page
from .watched_stream import GRACE_S, WatchedStream

if TYPE_CHECKING:
    from ..http.connection import ClientConnection

#: Characters that a streamed answer may hold, text, reasoning and calls together; looked at whenever so many bytes have come.
_STREAMED: Final = 64 * 1024 * 1024

#: Bytes of white space before an answer: some servers send blank lines as a sign of life.
_BLANKS: Final = 1024 * 1024

#: How a document begins, as a rule.
_OPENING: Final = (b"{", b"[")


class ResponseStream(WatchedStream):
    """The answer's batches: `Started` first and `FinishReason` last, or an error. Nothing is retried once an event came.

    Whatever was asked for, a body that begins with ``{`` or ``[`` is one document, any other one an event stream. ``answer``:
    what its reader fills; where there is none, the text is kept here, for the checksum that servers of this package send.
    """

    __slots__ = (
        "_asker", "_begun", "_fed", "_is_over", "_is_whole", "_own", "_pool", "_sent", "_sink", "_uncounted",
    )  # fmt: skip

    def __init__(
        self, pool: HttpPool, request: PreparedRequest, answer: Answer | None = None, sent: ClientConnection | None = None
    ) -> None:
        self._pool = pool
        self._request = request
        self._sent = sent  # the first try, where it was sent before
        self._own = Answer() if answer is None and request.stream else None
        self._answer: Answer = answer if self._own is None else self._own  # type: ignore[assignment]  # see `_first`
        self._response: Response | None = None
        self._resumable: ResumableStream | None = None
        self._sink: Sink
        self._fed: Batch | None = None  # a batch that `pipe_to` left to `anext`
        self._asker: asyncio.Task[Any] | None = None  # waits for the first batch
        self._progress = 0
        self._pinged = 0, -1, 0.0  # pings, pieces of the answer that had come, and when the first ping after them came
        self._has_spoken = False
        self._begun = False
        self._is_whole = False  # the answer has come completely
        self._is_over = False
        self._is_framed = False  # the body has come completely, and says so itself
        self._uncounted = 0  # bytes since the answer was last measured

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Batch]:
        return self._next() if self._begun else self._begin()

    def aclose(self) -> Awaitable[None]:
        """Close the response, if it is open; after a complete answer its connection is kept. Safe to call again, and while
        another task waits for the answer."""
        asker, self._asker = self._asker, None
        if asker is not None and not self._is_over and asker is not asyncio.current_task():
            asker.cancel()
        self._is_over = True
        if self._sent is not None:
            self._sent.abort()
            self._sent = None
        if self._response is None:
            return DONE
        if self._is_whole and self._response.release():
            self._response = None
            return DONE
        return self._hang_up()

    # ---- asking

    async def _begin(self) -> Batch:
        """Return the first batch, by the first try that brings one."""
        if self._is_over:
            raise StopAsyncIteration
        loop = asyncio.get_running_loop()
        request = self._request
        deadline = loop.time() + request.clocks.total if request.deadline is None else request.deadline
        failures = 0
        self._asker = asyncio.current_task(loop)
        try:
            while True:
                try:
                    sent, self._sent = self._sent, None
                    if sent is not None and await sent.is_answered(request.url, alone=False, reused=True):
                        response: Response = sent
                    else:
                        response = await self._pool.post(
                            request.url,
                            headers=request.headers,
                            body=request.body,
                            clocks=request.clocks,
                            streaming=request.stream,
                            deadline=deadline,
                            proxy=request.proxy,
                            fresh=sent is not None,
                        )
                    self._response = response
                    if (batch := self._short(response)) is None:
                        batch = await self._try(response, deadline)
                except HTTPError as error:
                    if (batch := answer_without_room(error)) is not None:
                        self._is_whole = self._begun = True
                        self._response = self._asker = None
                        return batch
                    if (other := adapted(request, error)) is not None and loop.time() < deadline:
                        request = self._request = other
                        delay = 0.0
                    else:
                        failures += 1
                        delay = self._pause_after(error, failures, deadline - loop.time())
                else:
                    self._begun = True
                    self._asker = None
                    return batch
                await self._hang_up()
                if delay:
                    await retries.sleep(delay)
        except BaseException as error:
            await self._leave(error)
            raise

    def _pause_after(self, error: HTTPError, failures: int, remaining: float) -> float:
        """Return the seconds before another try, after so many *failures*. Raises *error* where there is none in the
        *remaining* seconds."""
        request = self._request
        pause = retries.retry_delay(error, failures, request.retries)
        if pause is None or pause >= remaining:
            explain(error, self._pool, request.url, request.proxy, failures=failures, retries=request.retries)
            raise error
        return pause

    def _short(self, response: Response) -> Batch | None:
        """Return a whole answer that has come with its head already; None where it is anything else."""
        request = self._request
        wire = request.wire
        batch: Batch | None = None
        if response.status != 200 or request.forms:
            return None
        if not request.stream:
            if (body := response.whole()) is not None and body.startswith(_OPENING):
                batch = joined(decode_document(body, response.headers, wire, request.body))
        elif (end := wire.short_end) and (data := response.peek()).endswith(end):
            batch = wire.decode_short(data)
        self._is_whole = batch is not None
        return batch

    async def _try(self, response: Response, deadline: float) -> Batch:
        """Return the first batch of what *response* answers; all of it where it is not to be streamed."""
        request = self._request
        if not 200 <= response.status < 300:
            await refuse(response, request.wire, secrets_sent(request))
        if request.forms and request.adaptations is not None:
            request.adaptations.remember(request.model, request.forms)
        self._resumable = None
        if request.stream and request.streams_url and (stream_id := response.headers.get(STREAM_ID)) is not None:
            self._resumable = ResumableStream.of(self._pool, request, stream_id, deadline)
        batch = await self._first()
        if request.stream:
            return batch
        if self._is_whole:
            return joined(batch)
        answer = self._answer
        answer.add(batch)
        try:
            while answer.finish is None:
                answer.add(await self._read())
        except HTTPError as error:
            error.partial = answer.text
            raise
        return answer.joined()

    async def _leave(self, error: BaseException) -> None:
        """Close. A reader that was only woken because another task closes gets an error, and is not cancelled."""
        if isinstance(error, HTTPError):
            redact_error(error, secrets_sent(self._request))
        woken = self._is_over and isinstance(error, asyncio.CancelledError) and not self._begun
        await self.aclose()
        task = asyncio.current_task()
        if woken and task is not None and not task.uncancel():
            raise IncompleteStreamError(CLOSED, status=None) from None

    async def _hang_up(self) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        if self._is_whole:
            if not response.release():
                await response.drain()
            return
        await response.aclose()
        if self._resumable is not None:
            await self._resumable.stop()

    # ---- reading

    async def _next(self) -> Batch:
        """Return the next batch."""
        if self._is_over or self._is_whole:
            await self.aclose()
            raise StopAsyncIteration
        decoder, resumable = self._decoder, self._resumable
        data: bytes | None = None
        try:
            if (
                self._has_spoken
                and self._fed is None
                and not decoder.ending
                and decoder.failure is None
                and (resumable is None or not resumable.is_unchecked)
            ):
                # As `_read`, in fewer turns, for a piece of text that comes alone.
                response: Response = self._response  # type: ignore[assignment]  # it is there while the answer is read
                try:
                    data = await response.read_some()
                except (IncompleteStreamError, ClockError) as error:
                    data = await self._more_after(error)
                else:
                    self._uncounted += len(data)
                    if self._uncounted > _STREAMED:
                        self._measure()
                    if not data:
                        data = await self._more_after(None)
                    elif (text := decoder.next_text(data)) is not None:
                        if resumable is not None:
                            resumable.has_heard = True
                        response.progress()
                        if self._own is not None:
                            self._own.add([text])
                        return [text]
            return await self._read(data)
        except BaseException as error:
            await self._leave(error)
            raise

    def pipe_to(self, sink: Sink) -> Awaitable[bool]:
        """See `BatchStream.pipe_to`: batches by which the answer only continues. Whatever else has come waits for `anext`."""
        response = self._response
        if response is None or self._is_whole or not self._request.stream:
            return cannot_pipe()
        decoder = self._decoder
        if not self._has_spoken or decoder.failure is not None or decoder.ending or self._fed is not None:
            return not_now()
        if self._resumable is not None and self._resumable.is_unchecked:
            return not_now()
        self._sink = sink
        return response.pipe_to(self._take)

    def _take(self, data: bytes) -> bool:
        """Hand on what *data* brought; False where something of it is left for `anext`. Most of an answer passes here."""
        self._uncounted += len(data)
        if self._uncounted > _STREAMED:
            self._measure()
        decoder = self._decoder
        is_ping = False
        batch: Batch
        if decoder.failure is None and (text := decoder.next_text(data)) is not None:
            batch = [text]
        else:
            batch = decoder.feed(data)
            if not batch or decoder.complete or decoder.ending or decoder.failure is not None:
                self._fed = batch
                return False
            is_ping = type(batch[-1]) is ForeignEvent
        if self._own is not None:
            self._own.add(batch)
        if is_ping:
            self._note_ping()
        else:
            if self._resumable is not None:
                self._resumable.has_heard = True
            self._response.progress()  # type: ignore[union-attr]  # it is there while it hands on
        return self._sink(batch)

    def _measure(self) -> None:
        """End an answer that has become too large: an upstream may not fill this machine's memory, however long it lasts."""
        self._uncounted = 0
        if self._answer.size > _STREAMED and self._decoder.failure is None:
            self._decoder.failure = too_large(_STREAMED)

    def _note_progress(self) -> None:
        """An event came: the idle timeout begins anew."""
        if self._resumable is not None:
            self._resumable.has_heard = True
        if self._response is not None:
            self._response.progress()

    async def _first(self) -> Batch:
        """Return the first batch: of an event stream, or of one document, which is all of it."""
        assert self._response is not None
        parts: list[bytes] = []
        first = b""  # the first byte that is no white space
        size = 0
        while self._resumable is None and not first and (data := await self._response.read_some()):
            parts.append(data)
            size += len(data)
            first = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
            if not first:
                self._response.alive()
                if size > _BLANKS:
                    raise StreamError(f"the answer begins with more than {_BLANKS} bytes of white space", status=200)
        head = b"".join(parts)
        if not first and self._resumable is None:
            raise empty_body(self._response.status)
        if first and first in b"{[":
            batch = await read_document(self._response, head, self._request.wire, self._request.body)
            self._is_whole = True
            return batch
        if first == b"<":
            raise web_page()
        if not self._request.stream:  # its reader gets all as one batch, which is folded here
            self._answer = Answer()
        self._decoder = self._request.wire.decoder()
        return await self._read(head or None)

    async def _read(self, data: bytes | None = None) -> Batch:
        """Return more of an event stream. Bytes that complete no event are no batch: then it reads on. *data*: what has come,
        ``b""`` for the end."""
        decoder = self._decoder
        while True:
            if self._fed is None:
                if decoder.failure is not None:
                    raise decoder.failure
                if data is None:
                    data = await self._more()
                batch = decoder.feed(data) if data else decoder.end()
                if not data and not batch and decoder.failure is None:
                    return self._finish([])
                data = None
            else:
                batch, self._fed = self._fed, None
            if decoder.complete:
                return self._finish(batch)
            if batch:
                if not SAYING_NOTHING.issuperset(map(type, batch)):
                    self._has_spoken = True
                    self._note_progress()
                else:
                    self._note_ping()
                if self._own is not None and self._request.stream:
                    self._own.add(batch)
                return batch
            self._on_silent()

    async def _more(self) -> bytes:
        """Return what comes next, ``b""`` where the body has ended and the answer with it, or is to be judged by the
        decoder."""
        response = self._response
        assert response is not None
        if self._decoder.ending:
            response.wait_no_longer_than(GRACE_S)
        try:
            data = await response.read_some()
        except (IncompleteStreamError, ClockError) as error:
            return await self._more_after(error)
        if not data:
            return await self._more_after(None)
        if self._resumable is not None:
            self._resumable.check(data)
        self._uncounted += len(data)
        if self._uncounted > _STREAMED:
            self._measure()
        return data

    def _finish(self, batch: Batch) -> Batch:
        finish = self._decoder.finish(in_good_order=self._is_framed)
        if (provenance := self._decoder.extension) is not None:
            check_text(provenance, self._answer.text + "".join([event for event in batch if type(event) is str]))
        self._is_whole = True
        return [*batch, finish]
