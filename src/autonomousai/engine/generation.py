"""One answer of the engine: in a slot, from the child that is there now, without what llama.cpp adds for its own caller.

Knows the engine's handle and its client; no process, and not what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..answer import Answer
from ..errors import HTTPError, StatusError
from ..errors import TimeoutError as ClockError
from ..events import Batch, Extra, FinishReason, ForeignEvent, Started
from ..request import CallOptions, ChatRequest
from ..stop_texts import StopTexts
from ..timeouts import Clocks
from ..wires.raw import EMBEDDINGS_WIRE, RERANK_WIRE
from .control_tokens import Restorer, begun_text
from .handle import EngineHandle
from .loops import LoopStop
from .pipe import EnginePipe
from .prompt_progress import reading_of
from .request import explain, refuse_too_long

if TYPE_CHECKING:
    from ..clients.openai import OpenAICompatible


class LoopEngine(NamedTuple):
    """One event loop's engine, its client, and the generator whose closing ends both."""

    supervisor: EngineHandle
    client: OpenAICompatible
    lifetime: AsyncGenerator[None]


class LoopEngines:
    """The engine of each event loop: *make* makes it when it is first asked for, and all that ask in that loop share it."""

    def __init__(self, make: Callable[[], LoopEngine]) -> None:
        self._make = make
        self._engines: dict[weakref.ref[asyncio.AbstractEventLoop], LoopEngine] = {}

    def current(self) -> LoopEngine | None:
        """This loop's engine; outside of any loop, the one that was started last."""
        try:
            return self._engines.get(weakref.ref(asyncio.get_running_loop()))
        except RuntimeError:
            return next(reversed(self._engines.values()), None)

    async def get(self) -> LoopEngine:
        """This loop's engine, which may still be starting. Nothing is awaited that takes time: callers share one start."""
        loop = weakref.ref(asyncio.get_running_loop())
        engine = self._engines.get(loop)
        if engine is None or engine.supervisor.state == "stopped":
            for old in [old for old in self._engines if (owner := old()) is None or owner.is_closed()]:
                del self._engines[old]
            engine = self._engines[loop] = self._make()
            await anext(engine.lifetime)
        return engine

    async def aclose(self) -> None:
        """Stop the engine of this loop, and wait until it is gone."""
        engine = self._engines.pop(weakref.ref(asyncio.get_running_loop()), None)
        if engine is not None:
            await engine.client.aclose()
            await engine.lifetime.aclose()


class EngineSlot:
    """One slot of the engine. ``asked``: whether the engine may be working for its holder."""

    def __init__(self, engine: LoopEngine) -> None:
        self.asked = False
        self._engine = engine

    def release(self) -> None:
        """At once, where the engine has done its work."""
        if self.asked:
            self._engine.supervisor.let_go()
        else:
            self._engine.supervisor.slots.release()


async def counters(supervisor: EngineHandle, client: OpenAICompatible) -> dict[str, float]:
    """The engine's own counters; none while it is down."""
    if supervisor.state != "ready":
        return {}
    text = (await client.fetch("/metrics")).decode()
    samples = (line.removeprefix("llamacpp:").rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


async def busy_slots(supervisor: EngineHandle, client: OpenAICompatible) -> float:
    """How many the engine works for, by its own count."""
    told = await counters(supervisor, client)
    return told.get("requests_processing", 0) + told.get("requests_deferred", 0)


def take_stops(fields: dict[str, Any]) -> tuple[str, ...]:
    """Take the texts at which the answer ends out of the engine's *fields*, and have it count its tokens with each piece.

    None where log probabilities are asked for: then the engine looks for the texts itself, and tells no tokens of one.

    Example::

        fields = {"stop": ["!"]}
        assert ("!",) == take_stops(fields)
        assert {"timings_per_token": True} == fields
    """
    if not fields.get("stop") or "logprobs" in fields:
        return ()
    stop = fields.pop("stop")
    fields["timings_per_token"] = True
    return (stop,) if isinstance(stop, str) else tuple(stop)


class EnginePrompt(NamedTuple):
    """What the engine is asked. ``param``: the field that has the prompt, for errors. ``prepare``: return the request to the
    child that is there now, and what puts its answer right again. ``answer``: gets how far the prompt is read. ``check``:
    raises `StatusError` where the engine cannot be held to what is asked. ``pipe``: opened when the answer has begun;
    None where its pieces are looked at further on. ``stops``: looks for the texts that end it, further on."""

    param: str
    prepare: Callable[[EngineHandle], tuple[ChatRequest, Restorer | None]]
    answer: Answer | None = None
    check: Callable[[LoopEngine, ChatRequest, CallOptions], Awaitable[None]] | None = None
    pipe: EnginePipe | None = None
    stops: StopTexts | None = None


def refuse_too_large(supervisor: EngineHandle, size: int, param: str) -> None:
    refuse_too_long(size, context=supervisor.settings.context, longest=supervisor.condition.longest, param=param)


async def generate_answer(
    engine: LoopEngine, slot: EngineSlot, prompt: EnginePrompt, clocks: Clocks, deadline: float
) -> AsyncGenerator[Batch]:
    """The answer to *prompt*, in a slot that is held."""
    while True:
        death = engine.supervisor.death
        began = False
        batches = _ask(engine, slot, prompt, clocks, deadline)
        try:
            async for batch in batches:
                began = True
                yield batch
            return
        except HTTPError as error:
            # A request just as the child dies, or the next one loads, has lost nothing yet: it goes to the next one.
            if began or not error.retryable or isinstance(error, ClockError):
                raise
            engine.supervisor.suspect()
            if not await engine.supervisor.has_died(death):
                raise
        finally:
            await batches.aclose()
        await wait_ready(engine.supervisor, deadline, clocks)


async def _ask(
    engine: LoopEngine, slot: EngineSlot, prompt: EnginePrompt, clocks: Clocks, deadline: float
) -> AsyncGenerator[Batch]:
    """The answer of the child that is there now. It tells who answers as soon as it reads the prompt; that is held back until
    there is something to say, since nothing is lost until then."""
    started: Batch = []
    request, restorer = prompt.prepare(engine.supervisor)
    loop = LoopStop(engine.supervisor.settings.name, begun_text(request.messages))
    options = CallOptions(timeout=clocks, deadline=deadline)
    reader = prompt.answer
    batches = engine.client.stream(request, options)
    pipe = prompt.pipe or EnginePipe()
    pipe.open(batches, partial(_continued, loop, restorer))
    slot.asked = True
    engine.supervisor.asking += 1
    try:
        if prompt.check is not None:
            await prompt.check(engine, request, options)
        async for brought in batches:
            _note(loop, reader, brought)
            if not (batch := _without_internals(brought)) or type(batch[-1]) is Started:
                started = batch or started
                continue
            reader = None
            if type(batch[-1]) is FinishReason:
                engine.supervisor.completed()
                slot.asked = False
            batch = loop.watch(batch if restorer is None else restorer.restore(batch))
            if batch:
                yield [*started, *batch]
                started = []
            if pipe.left:
                yield pipe.left
            is_stopped = slot.asked and prompt.stops is not None and prompt.stops.found is not None
            if is_stopped and not loop.found:
                yield [loop.end("stop")]
            if loop.found or is_stopped:
                engine.supervisor.completed()
                return
    except StatusError as error:
        slot.asked = False
        raise explain(error, prompt.param) from None
    except ClockError as error:
        if error.clock == "total":
            raise ClockError("total", clocks.total, status=error.status) from None
        raise
    finally:
        engine.supervisor.asking -= 1
        pipe.close()
        await batches.aclose()


def _note(loop: LoopStop, reader: Answer | None, brought: Batch) -> None:
    loop.note(brought)
    if reader is not None:  # what is read last may come with the first text
        reader.reading = reading_of(brought) or reader.reading


def _continued(loop: LoopStop, restorer: Restorer | None, brought: Batch) -> tuple[Batch, bool]:
    """Return what is handed on of a batch by which the answer continues, and whether it continues."""
    batch = brought if len(brought) == 1 and type(brought[0]) is str else _without_internals(brought)
    batch = loop.watch(batch if restorer is None else restorer.restore(batch))
    return batch, not loop.found


@cache
def fingerprint() -> str:
    """Return what OpenAI calls ``system_fingerprint``: the engine's build, whose last number is llama.cpp's."""
    return f"xllamacpp-{version('xllamacpp')}"


def _without_internals(batch: Batch) -> Batch:
    """Return *batch* without the members that llama.cpp adds for its own caller: its progress with a prompt, its timings. The
    engine's build is said by its version, as llama.cpp does not know it."""
    kept: Batch = []
    for event in batch:
        if isinstance(event, Started):
            kept.append(msgspec.structs.replace(event, extra={"system_fingerprint": fingerprint()}))
        elif isinstance(event, FinishReason) and event.extra:
            kept.append(msgspec.structs.replace(event, extra=None))
        elif isinstance(event, Extra) and event.covers > 1:  # keeps together what came in one chunk
            kept.append(Extra({"system_fingerprint": fingerprint()}, event.covers, event.wire))
        elif event.wire in (EMBEDDINGS_WIRE, RERANK_WIRE) if isinstance(event, Extra) else not isinstance(event, ForeignEvent):
            kept.append(event)  # of these wires it is the answer
    return kept


@contextlib.asynccontextmanager
async def engine_slot(engine: LoopEngine, deadline: float, clocks: Clocks, queue: float) -> AsyncIterator[EngineSlot]:
    """One of the engine's slots, in the order of asking, with the engine ready. Who leaves the queue costs nothing; the clocks
    of the first token and of idleness do not run yet, the total one does."""
    supervisor, slot = engine.supervisor, EngineSlot(engine)
    async with contextlib.AsyncExitStack() as held:
        try:
            async with asyncio.timeout_at(deadline):
                await supervisor.slots.acquire(queue)
        except TimeoutError:
            raise ClockError("total", clocks.total) from None
        held.callback(slot.release)
        await wait_ready(supervisor, deadline, clocks)
        yield slot


@contextlib.asynccontextmanager
async def further_slot(engine: LoopEngine, deadline: float, clocks: Clocks) -> AsyncIterator[EngineSlot | None]:
    """One more of the engine's slots, where one is free now; else None."""
    try:
        await engine.supervisor.slots.acquire(0)
    except StatusError:
        yield None
        return
    slot = EngineSlot(engine)
    try:
        await wait_ready(engine.supervisor, deadline, clocks)
        yield slot
    finally:
        slot.release()


async def wait_ready(supervisor: EngineHandle, deadline: float, clocks: Clocks) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await supervisor.ready()
    except TimeoutError:
        raise ClockError("total", clocks.total) from None
