"""One chat request, from its body to the last byte of its answer: what both wires share. Plain ASGI, no request object.

Knows how an answer is sent and how it is stopped; which bytes it is made of is the wire's business, where it comes from the
provider's. Whatever way a request ends, the answer is closed before its place is given back. One that can be resumed is
generated elsewhere (see `streams`), and only read here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from ..answer import Answer
from ..errors import ProviderError, StatusError
from ..events import Batch, FinishReason, Report
from ..http.server.asgi import (
    CLIENT_LEFT,
    LEAVING,
    WRITE,
    ClientLeftError,
    Receive,
    Scope,
    Send,
    head_of,
    internal_error,
    log_bug,
    read_json_body,
    refuse,
    respond,
)
from ..limiter import SHUTTING_DOWN, RequestLimiter
from ..provider import AsyncGeneratorProvider
from ..request import CallOptions, ChatRequest
from ..result import AsyncResult
from ..streams.broker import StreamBroker
from ..streams.log import RescueProgress, StreamReader
from ..streams.orphans import Orphans
from ..streams.wires import AUTONOMOUSAI, CHAT
from ..telemetry.metrics import AnswerMeter, Metrics
from ..wires.errors import error_event
from ..wires.messages import has_images
from ..wires.openai_chat.encoder import ChatStreamEncoder, encode_completion
from ..wires.provenance import make_provenance
from ..wires.sse import encode_comment
from .disconnect import DisconnectScope

_KEEP_ALIVE: Final = encode_comment("keep-alive")

#: What a stream says when it goes on, but not on this connection: a reader comes back after a second.
_COME_AGAIN: Final = b"retry: 1000\n" + encode_comment("to be continued: GET v1/streams/ID, with Last-Event-ID")

Read: TypeAlias = Callable[[bytes], ChatRequest]


class EndpointContext(msgspec.Struct, frozen=True):
    """What the hot routes need: the provider, how it is made ready, the places, what is counted,
    the streams that can be resumed and whose they are, the bounds."""

    provider: AsyncGeneratorProvider
    ready: Callable[[], Awaitable[None]]
    resolve: Callable[[str], str]
    places: RequestLimiter
    orphans: Orphans
    metrics: Metrics
    streams: StreamBroker
    key_of: Callable[[Scope], bytes]
    keepalive_s: float
    max_body: int


class Endpoint:
    """``POST`` of a chat request. ``read``: the wire's reader of bodies. ``finish_reason_at_top``: see `ChatStreamEncoder`."""

    def __init__(self, service: EndpointContext, read: Read, *, finish_reason_at_top: bool) -> None:
        self._service = service
        self._read = read
        self._both_places = finish_reason_at_top

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `StatusError` where nobody more may come inside; every other error is told to the caller here."""
        service = self._service
        stream: SSEResponse | None = None
        service.places.enter()
        try:
            request = self._read(await read_json_body(scope, receive, service.max_body))
            if request.stream:
                stream = SSEResponse(scope, send, service.keepalive_s)
            with DisconnectScope(scope.get(LEAVING), receive, service.places.callers, service.orphans) as caller:
                await self._answer(request, caller, stream, scope, send)
        except ClientLeftError:
            scope["status"] = CLIENT_LEFT
        except ProviderError as error:
            await fail(error, stream, scope, send)
        except Exception as error:  # a bug must cost its own request alone
            log_bug(scope, error)
            await fail(internal_error(), stream, scope, send)
        finally:
            if stream is not None:
                stream.close()
            service.places.leave()

    async def _answer(
        self, request: ChatRequest, caller: DisconnectScope, stream: SSEResponse | None, scope: Scope, send: Send
    ) -> None:
        service = self._service
        model = service.resolve(request.model)
        if (index := has_images(request.messages)) is not None and not service.provider.capabilities_of(model).vision:
            raise _blind(request, index)
        if stream is not None and head_of(scope).get(b"x-stream-resumable") == b"1":
            await service.ready()
            if await self._send_resumable(request, caller, stream, scope):
                return
        if not service.places.try_acquire():
            await service.places.take()
        try:
            await service.ready()
            answer = Answer()
            result = AsyncResult(service.provider.stream(request, CallOptions(answer=answer)), answer=answer)
            try:
                with service.metrics.answer(model, result, scope["began"]) as watch:
                    scope["watch"] = watch
                    if stream is None:
                        await self._send_whole(result, watch, caller, scope, send)
                    else:
                        await self._send_stream(result, watch, caller, stream, scope, include_usage=request.include_usage)
            finally:
                await result.aclose()
        finally:
            service.places.release()

    async def _send_stream(
        self,
        result: AsyncResult,
        watch: AnswerMeter,
        caller: DisconnectScope,
        stream: SSEResponse,
        scope: Scope,
        *,
        include_usage: bool,
    ) -> None:
        writer: ChatStreamEncoder | None = None
        pipes = stream.put_now is not None
        batches = result.batches()
        async for batch in batches:
            watch.batch()
            if writer is None:
                writer = ChatStreamEncoder(
                    id=_completion_id(scope),
                    created=int(time.time()),
                    model=result.model or watch.model,
                    finish_reason_at_top=self._both_places,
                    include_usage=include_usage,
                )
                if result.report is not None:
                    stream.progress = RescueProgress(result.report, writer)
            data = writer.write(batch)
            if type(finish := batch[-1]) is FinishReason:
                data += writer.end(finish, extension=_extension(result))
                caller.release()
                await stream.write(data, last=True)
                return  # closing the answer does the rest
            if data:
                await stream.write(data)
            if pipes and stream.started:
                pipes = await batches.pipe_to(partial(_pass_on, watch, writer, stream))

    async def _send_resumable(self, request: ChatRequest, caller: DisconnectScope, stream: SSEResponse, scope: Scope) -> bool:
        """Be the first reader of a stream that outlives this connection. False where there is no place for one."""
        streams = self._service.streams
        wire = AUTONOMOUSAI if self._both_places else CHAT
        kept = await streams.begin(request, self._service.key_of(scope), scope["request_id"], wire)
        if kept is None:
            return False
        stream.name(kept.id, goes_on=streams.outlive_us)
        try:
            with streams.reader(kept, 0, wire) as reader:
                await stream.relay(reader, caller)
        finally:
            scope["watch"] = kept.watch
            if not stream.started:
                streams.forget(kept)
        return True

    async def _send_whole(
        self, result: AsyncResult, watch: AnswerMeter, caller: DisconnectScope, scope: Scope, send: Send
    ) -> None:
        events: Batch = []
        async for batch in result.batches():
            watch.batch()
            events += batch
            if type(batch[-1]) is FinishReason:
                body = encode_completion(
                    events,
                    id=_completion_id(scope),
                    created=int(time.time()),
                    model=result.model or watch.model,
                    finish_reason_at_top=self._both_places,
                    extension=_extension(result),
                )
                caller.release()
                await respond(scope, send, 200, body)
                return


class SSEResponse:
    """A streamed answer on its way. Its head waits for the first event, so that an error before it keeps its own status; but
    after ``keepalive_s`` of silence, then and later, a comment is sent, lest somebody between us take the stream for dead.
    While an answer that broke is being brought on, it is a chunk that says so instead, which winds a caller's idle clock."""

    __slots__ = (
        "_comment",
        "_goes_on",
        "_id",
        "_loop",
        "_progress",
        "_reader",
        "_scope",
        "_send",
        "_silence",
        "_spoke",
        "_timer",
        "_writing",
        "ended",
        "progress",
        "put_now",
        "started",
    )

    def __init__(self, scope: Scope, send: Send, keepalive_s: float) -> None:
        self.started = False
        self.ended = False
        #: Writes without a turn of our task, where the server can.
        self.put_now: Callable[[bytes], bool] | None = scope.get(WRITE)
        self._scope = scope
        self._send = send
        self._silence = keepalive_s
        self._loop = asyncio.get_running_loop()
        self._spoke = self._loop.time()
        self._writing = False
        self._comment: asyncio.Task[None] | None = None
        self._id: str | None = None
        self._goes_on = False
        self._reader: StreamReader | None = None
        #: What can be seen of an answer that is generated for this stream alone.
        self.progress: RescueProgress | None = None
        self._progress = 0
        self._timer = self._loop.call_later(keepalive_s, self._on_timer)

    def name(self, id: str, *, goes_on: bool) -> None:
        """It can be resumed under that id; *goes_on*: even after our end."""
        self._id = id
        self._goes_on = goes_on

    async def open(self) -> None:
        """Send the head now."""
        await self.write(b"")

    async def relay(self, reader: StreamReader, caller: DisconnectScope) -> None:
        """Send what *reader* reads. An error before anything was said is raised."""
        self._reader = reader
        while (data := await reader.read()) is not None:
            if reader.stream.error is not None and not self.started and reader.last == 1:
                raise reader.stream.error
            if reader.ended:
                caller.release()
            await self.write(data, last=reader.ended)
            if self.put_now is not None:
                await reader.pipe_to(self.put)
        if not self.ended:
            await self.write(_COME_AGAIN, last=True)

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send *data* in one piece; with the head, if it is the first."""
        if self._comment is not None:
            await self._comment
            self._comment = None
        self._writing = True
        if self.started:
            self._spoke = self._loop.time()
            self.ended = last
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        else:
            await self._put(data, last=last)
        self._writing = False

    def put(self, data: bytes) -> bool:
        """Send *data* at once, after the head, where there is a ``put_now``. False: the next is to be written with `write`."""
        self._spoke = self._loop.time()
        return not data or (self.put_now is not None and self.put_now(data))

    async def fail(self, error: ProviderError) -> None:
        """The last event is an error: no finish reason and no [DONE] follow. Or it is none, where another server goes on."""
        if self._comment is not None:
            self._comment.cancel()
            await asyncio.wait({self._comment})
            self._comment = None
        goes_on = self._goes_on and isinstance(error, StatusError) and error.code == SHUTTING_DOWN
        await self.write(_COME_AGAIN if goes_on else error_event(error), last=True)

    def close(self) -> None:
        self._timer.cancel()
        if self._comment is not None:
            self._comment.cancel()

    async def _put(self, data: bytes, *, last: bool = False) -> None:
        self._spoke = self._loop.time()
        self.ended = last
        if not self.started:
            self.started = True
            self._scope["status"] = 200
            headers = _stream_headers(self._scope)
            if self._id is not None:
                headers.append((b"x-stream-id", self._id.encode()))
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    def _on_timer(self) -> None:
        """One timer a stream: it looks how long ago we spoke, and does not have to be set back at each event."""
        if self.ended:
            return  # what it was made of is being closed
        due = self._spoke + self._silence
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._on_timer)
            return
        self._timer = self._loop.call_later(self._silence, self._on_timer)
        # While something is being written, the stream is not silent: the caller just does not read it.
        if not self._writing and (self._comment is None or self._comment.done()):
            self._comment = self._loop.create_task(self._put(self._sign_of_life()))

    def _sign_of_life(self) -> bytes:
        progress = self.progress if self._reader is None else self._reader.progress
        if not self.started or progress is None or progress.report.steps <= self._progress:
            return _KEEP_ALIVE
        self._progress = progress.report.steps
        return progress.writer.sign(self._progress)


def _pass_on(watch: AnswerMeter, writer: ChatStreamEncoder, stream: SSEResponse, batch: Batch) -> bool:
    """A batch in the midst of an answer goes to the caller at once. False: they do not read, or cannot be written to so."""
    watch.batch()
    return stream.put(writer.write(batch))


def _stream_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", scope["request_id"].encode()),
    ]


async def fail(error: ProviderError, stream: SSEResponse | None, scope: Scope, send: Send) -> None:
    """Tell the caller: by a status while there is none yet, else in the stream."""
    if stream is not None and stream.started:
        if not stream.ended:
            await stream.fail(error)
    elif "status" not in scope:  # not answered yet
        if stream is not None:
            stream.close()
        await refuse(scope, send, error)


def _blind(request: ChatRequest, index: int) -> StatusError:
    return StatusError(
        f"messages[{index}].content: carries an image, and nobody who answers as {request.model!r} can see; "
        "send text, or configure an upstream with vision = true",
        status=400,
        type="invalid_request_error",
        param=f"messages[{index}].content",
        code="images_not_supported",
    )


def _completion_id(scope: Scope) -> str:
    """An answer has its request's name: as hard to guess, and drawn once."""
    request_id: str = scope["request_id"]
    return "chatcmpl-" + request_id.removeprefix("req_")


def _extension(result: AsyncResult) -> dict[str, Any]:
    """How the answer came about, and what a client can check it against: its length in characters, a hash over its UTF-8."""
    return make_provenance(result.report or Report(upstream=result.upstream), result.text_so_far)
