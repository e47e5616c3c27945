"""A streamed answer on its way to the caller, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..answer import Answer
from ..errors import ProviderError, StatusError
from ..events import Batch
from ..http.server.exchange import ClientLeftError, Exchange
from ..http.sweep import Sweep
from ..limiter import SHUTTING_DOWN
from ..report import Report
from ..telemetry.metrics import AnswerMeter
from ..wires.base import StreamEncoder, Wire
from ..wires.sse import encode_comment
from .cache_status import tell_cache

if TYPE_CHECKING:
    from ..streams.log import StreamReader

#: What a stream says when it continues, but not on this connection: a reader comes back after a second.
_COME_AGAIN: Final = b"retry: 1000\n" + encode_comment("to be continued: GET v1/streams/ID, with Last-Event-ID")

#: Seconds of silence after which a reader who can come back hears how far the prompt is read; others hear it when they would
#: hear that the stream lives, as its head, once it is sent, leaves errors no status of their own.
_READING_S: Final = 1.0

#: What says nothing to any reader, wherever it stands.
_COMMENT: Final = encode_comment("keep-alive")

#: Of the head of every stream; and of one that is no server-sent events.
STREAM_LINES: Final = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_OTHER_LINES: Final = b"content-type: %b\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"


class Signer(Protocol):
    """What writes the sign that a broken answer is being repaired."""

    def sign(self, progress: int) -> bytes: ...


class Repair(NamedTuple):
    """A broken answer that is being repaired: ``report.steps`` grows as it gets on."""

    report: Report
    encoder: Signer


class SSEResponse:
    """A streamed response. Its head waits for the first event, so that an error before it keeps its own status.

    After ``keepalive_s`` of silence, a comment is sent, or the wire's ``ping`` once the answer has begun, lest a proxy take the
    stream for dead. While the embedded engine reads the prompt, the comment says how far it is. While an answer that broke is
    being repaired it is an event that says so instead, which winds the caller's idle timeout.
    """

    __slots__ = (
        "_begun",
        "_draining",
        "_encode",
        "_encoder",
        "_exchange",
        "_goes_on",
        "_id",
        "_is_waiting",
        "_meter",
        "_reader",
        "_silence",
        "_spoke_at",
        "_spoken",
        "_steps",
        "_sweep",
        "_told",
        "_wire",
        "answer",
        "ended",
        "repair",
        "started",
    )

    def __init__(self, exchange: Exchange, wire: Wire, sweep: Sweep, keepalive_s: float) -> None:
        self.started = False
        self.ended = False
        #: What can be seen of an answer that is generated for this response alone.
        self.repair: Repair | None = None
        #: The answer that is generated for this response alone. Until it begins, comments say how far its prompt is read.
        self.answer: Answer | None = None
        self._exchange = exchange
        self._wire = wire
        self._sweep = sweep
        self._silence = keepalive_s
        self._begun = False  # whether anything of the answer was sent
        self._spoken = True  # since the last sweep
        self._spoke_at = 0.0
        self._is_waiting = False  # for the caller to read
        self._draining: asyncio.Task[None] | None = None  # of a comment
        self._id: str | None = None
        self._goes_on = False
        self._reader: StreamReader | None = None
        self._steps = 0
        self._told: tuple[int, int] | None = None  # how far the prompt is read
        self._encoder: StreamEncoder | None = None
        self._meter: AnswerMeter
        sweep.add(self)

    def name(self, id: str, *, goes_on: bool) -> None:
        """Note that the stream can be resumed under that id; *goes_on*: even after this server's end."""
        self._id = id
        self._goes_on = goes_on

    # ---- an answer that is generated for this response alone

    def begin(self, encoder: StreamEncoder, answer: Answer, meter: AnswerMeter) -> None:
        """Prepare `take`."""
        self._encoder = encoder
        self._encode = encoder.write
        self.answer = answer
        self._meter = meter
        if answer.report is not None:
            self.repair = Repair(answer.report, encoder)

    def take(self, batch: Batch) -> bool:
        """Send a batch by which the answer continues, at once. False: the caller reads slowly, `drain` before the next."""
        self._meter.batch()
        self.answer.add(batch)  # type: ignore[union-attr]  # `begin` came before
        self._spoken = True
        return self._exchange.write(self._encode(batch))

    # ---- sending

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send *data* in one piece; with the head, if it is the first."""
        if self._draining is not None:
            await self._draining
            self._draining = None
        self._spoken = True
        self._begun = self._begun or bool(data)
        if not self._put(data, last=last):
            await self.drain()

    async def drain(self) -> None:
        """Wait until the caller has read enough for the next write; meanwhile it is not the stream that is silent."""
        self._is_waiting = True
        await self._exchange.drain()
        self._is_waiting = False
        self._spoken = True

    async def relay(self, reader: StreamReader) -> None:
        """Send what *reader* reads, to the end or until it is to be read elsewhere. An error before the first event is
        raised."""
        self._reader = reader
        while (data := await reader.read()) is not None:
            if not self.started and (report := reader.stream.report) is not None and report.cache is not None:
                tell_cache(self._exchange, report)
            if reader.stream.error is not None and not self.started and reader.last == 1:
                raise reader.stream.error
            if reader.ended:
                self._exchange.unwatch()
            await self.write(data, last=reader.ended)
            if not await reader.pipe_to(self.put):
                await self.drain()
        if not self.ended:
            await self.write(_COME_AGAIN, last=True)

    def put(self, data: bytes) -> bool:
        """Send *data* at once, after the head. False: the caller reads slowly, `drain` before the next."""
        self._spoken = True
        return self._exchange.write(data)

    async def fail(self, error: ProviderError) -> None:
        """Send the last event, an error: no finish reason follows. Or none, where another server continues the stream."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait({self._draining})
            self._draining = None
        goes_on = self._goes_on and isinstance(error, StatusError) and error.code == SHUTTING_DOWN
        encoder = self._encoder if self._reader is None else self._reader.encoder
        event = self._wire.encode_error_event(error) if encoder is None else encoder.fail(error)
        await self.write(_COME_AGAIN if goes_on else event, last=True)

    def close(self) -> None:
        """Send no more comments."""
        self._sweep.discard(self)
        if self._draining is not None:
            self._draining.cancel()

    def _put(self, data: bytes, *, last: bool = False) -> bool:
        exchange = self._exchange
        self.ended = last
        if not self.started:
            self.started = True
            headers = [(b"x-request-id", exchange.request_id.encode())]
            if self._id is not None:
                headers.append((b"x-stream-id", self._id.encode()))
            wire = self._wire
            exchange.start(200, headers, STREAM_LINES if wire.has_events else _OTHER_LINES % wire.stream_type)
            exchange.filler = _COMMENT if wire.has_events and wire.has_comments else wire.ping
        return exchange.end(data) if last else exchange.write(data)

    # ---- silence

    def look(self, now: float) -> None:
        """Send a comment where the stream was silent for too long; called by the sweep."""
        if self._spoken:
            self._spoken = False
            self._spoke_at = now
        elif now - self._spoke_at >= (self._silence if self._begun or self._reader is None else self._patience()) and not (
            self.ended or self._is_waiting or (self._draining is not None and not self._draining.done())
        ):
            self._spoke_at = now
            if not self._put(self._sign_of_life()):
                self._draining = asyncio.get_running_loop().create_task(self._drain_comment())

    def _patience(self) -> float:
        """Return the seconds of silence after which something is said to a reader who can come back and waits."""
        return self._silence if self._reading() in (None, self._told) else min(_READING_S, self._silence)

    def _reading(self) -> tuple[int, int] | None:
        """Return how far the prompt is read, where that is in this process."""
        answer = self.answer if self._reader is None else self._reader.stream.answer
        return None if answer is None else answer.reading

    async def _drain_comment(self) -> None:
        with contextlib.suppress(ClientLeftError):  # the connection reports it to what waits for the answer
            await self._exchange.drain()

    def _sign_of_life(self) -> bytes:
        if not self._begun and self._wire.has_events and self._wire.has_comments:
            self._told = self._reading()
            return _COMMENT if self._told is None else encode_comment("reading: {} of {} tokens".format(*self._told))
        repair = self.repair if self._reader is None else _repair_of(self._reader)
        if not self.started or repair is None or repair.report.steps <= self._steps:
            return self._wire.ping
        self._steps = repair.report.steps
        return repair.encoder.sign(self._steps)


def _repair_of(reader: StreamReader) -> Repair | None:
    """Return what can be seen of an answer that is generated for a stream, where that is in this process."""
    report, encoder = reader.stream.report, reader.encoder
    return None if report is None or encoder is None else Repair(report, encoder)
