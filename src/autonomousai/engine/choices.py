"""One answer of several choices: they are generated side by side in the slots of the engine that are free, else one after the
other. Knows what a choice is asked by; no engine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TypeAlias, TypeVar

import msgspec

from ..events import Batch, ChoiceEvent, Event, FinishReason, Started, Usage
from .completion import RawPart

Slot = TypeVar("Slot")
Piece: TypeAlias = tuple[RawPart, Batch]


async def side_by_side(
    parts: Sequence[RawPart],
    generate: Callable[[RawPart, Slot], AsyncGenerator[Batch]],
    slot: Slot,
    further: Callable[[], AbstractAsyncContextManager[Slot | None]],
    *,
    most: int,
) -> AsyncGenerator[Piece]:
    """Yield what *generate* makes of each of *parts*: in *slot*, and in as many more as *further* finds free, *most* in all.

    An error of one is the error of all. After it, and when its reader leaves, nothing is generated any more.
    """
    left = deque(parts)

    async def work(held: Slot) -> AsyncGenerator[Piece]:
        while left:
            part = left.popleft()
            async with aclosing(generate(part, held)) as batches:
                async for batch in batches:
                    yield part, batch

    async def work_beside() -> AsyncGenerator[Piece]:
        async with further() as found:
            if found is not None:
                async with aclosing(work(found)) as pieces:
                    async for piece in pieces:
                        yield piece

    beside = [work_beside() for _ in range(min(most, len(parts)) - 1)]
    async with aclosing(_merged([work(slot), *beside]) if beside else work(slot)) as pieces:
        async for piece in pieces:
            yield piece


async def _merged(sources: Sequence[AsyncGenerator[Piece]]) -> AsyncGenerator[Piece]:
    """Yield what comes of any of *sources*, until all have ended; each is read by a task of its own, one piece ahead."""
    came: asyncio.Queue[Piece | Exception | None] = asyncio.Queue(1)

    async def read(source: AsyncGenerator[Piece]) -> None:
        try:
            async with aclosing(source):
                async for piece in source:
                    await came.put(piece)
        except Exception as error:  # raised again where it is read
            await came.put(error)
        else:
            await came.put(None)

    tasks = [asyncio.create_task(read(source)) for source in sources]
    running = len(tasks)
    try:
        while running:
            piece = await came.get()
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                running -= 1
            else:
                yield piece
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def one_answer(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Batch]:
    """Yield the answer that is made of the *pieces*: the first choice as it is, the others as `ChoiceEvent`. Who answers is
    said once, at first; the end comes last, with all that was counted."""
    begun: set[int] = set()  # choices whose echo was said
    ends: dict[int, FinishReason] = {}
    counted: list[Usage] = []
    started: Started | None = None
    async with aclosing(pieces):
        async for part, batch in pieces:
            head = [event for event in batch if isinstance(event, Started)][:1] if started is None else []
            started = started or next(iter(head), None)
            said = _said(part, batch, is_begun=part.number in begun)
            if said:
                begun.add(part.number)
            if isinstance(end := batch[-1], FinishReason):
                ends[part.number] = end = _silenced(end) if part.is_silent else end
                if (usage := end.usage) is not None:
                    counted.append(usage if part.is_first else msgspec.structs.replace(usage, prompt_tokens=0, cached_tokens=0))
                if part.number:
                    said.append(FinishReason(end.reason, end.evidence, notes=end.notes))
            if part.number:
                said = [ChoiceEvent(part.number, event) for event in said]
            if head or said:
                yield [*head, *said]
    yield [msgspec.structs.replace(ends[0], usage=_sum(counted) if counted else None)]


def _said(part: RawPart, batch: Batch, *, is_begun: bool) -> list[Event]:
    """Return what *batch* says of its choice, behind the echo where that comes first."""
    said: list[Event] = []
    if not part.is_silent:
        said = [event for event in batch if not isinstance(event, Started | FinishReason)]
    if part.echo and not is_begun and (said or isinstance(batch[-1], FinishReason)):
        return [part.echo, *said]
    return said


def _silenced(end: FinishReason) -> FinishReason:
    """Return the end of an answer of which nothing was wanted."""
    usage = end.usage
    if usage is not None:
        usage = msgspec.structs.replace(usage, completion_tokens=0, total_tokens=usage.prompt_tokens)
    return msgspec.structs.replace(end, reason="length", usage=usage)


def _sum(usage: Sequence[Usage]) -> Usage:
    prompt, completion = sum(each.prompt_tokens for each in usage), sum(each.completion_tokens for each in usage)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=sum(each.cached_tokens or 0 for each in usage) if usage[0].cached_tokens is not None else None,
    )
