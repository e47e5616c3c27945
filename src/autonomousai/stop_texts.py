"""Ends an answer at the texts that its caller named, and says which it was, for what answers without looking for them.

They are looked for in what the model says alone: in the arguments of a call, or in its thoughts, they end nothing. What may
still become one is held back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from .batches import BatchStream
from .events import Batch, Event, Extra, FinishReason, Started, ToolCallDelta


class StopTexts:
    """One answer's. ``found``: the text that ended it. Of several, the one that is complete first.

    Example::

        stops = StopTexts(["END"])
        assert ["one "] == stops.feed(["one E"])
        assert [] == stops.feed(["ND two"])
        assert "END" == stops.found
    """

    __slots__ = ("_calls", "_held", "_model", "_said", "_texts", "found")

    def __init__(self, texts: Sequence[str]) -> None:
        self.found: str | None = None
        self._texts = texts
        self._held = ""
        self._said: list[Event] = []
        self._calls = False
        self._model: str | None = None

    def feed(self, batch: Batch) -> Batch:
        """Return what of *batch*, and of what was held back, can be passed on now. Behind a text that was found that is the end
        alone, which names it as vLLM does."""
        for event in batch:
            if isinstance(event, FinishReason):
                self._flush()
                self._said.append(event if self.found is None else self._named(event))
            elif type(event) is Started:
                self._model = event.model
                self._said.append(event)
            elif self.found is not None or isinstance(event, Extra):
                continue  # what says which events came together is true no more
            elif type(event) is str:
                self._held += event
                self._take()
            else:
                self._calls = self._calls or isinstance(event, ToolCallDelta)
                self._flush()
                self._said.append(event)
        said, self._said = self._said, []
        return said

    def end(self) -> FinishReason:
        """Return the end of an answer whose upstream is left at the text that was found."""
        return self._named(FinishReason("tool_calls" if self._calls else "stop", "finish_reason", model=self._model))

    def _take(self) -> None:
        held = self._held
        ends = [(place + len(text), place, text) for text in self._texts if (place := held.find(text)) >= 0]
        if ends:
            _, place, self.found = min(ends)
            self._held = held[:place]
            self._flush()
            return
        kept = max(_begun(held, text) for text in self._texts)
        self._held = held[: len(held) - kept]
        self._flush()
        self._held = held[len(held) - kept :]

    def _flush(self) -> None:
        if self._held:
            self._said.append(self._held)
        self._held = ""

    def _named(self, end: FinishReason) -> FinishReason:
        reason = "tool_calls" if end.reason == "tool_calls" else "stop"
        return msgspec.structs.replace(
            end, reason=reason, extra={"choices": [{"index": 0, "stop_reason": self.found}]}, notes=()
        )


def _begun(held: str, text: str) -> int:
    """Return with how many characters at its end *held* begins *text*."""
    return next((size for size in range(min(len(text) - 1, len(held)), 0, -1) if held.endswith(text[:size])), 0)


async def with_stops(batches: AsyncGenerator[Batch], stops: StopTexts) -> AsyncGenerator[Batch]:
    """Yield the answer up to the text that ends it."""
    async with aclosing(batches):
        async for brought in batches:
            if batch := stops.feed(brought):
                yield batch


async def ended_at(texts: Sequence[str], answer: BatchStream) -> AsyncGenerator[Batch]:
    """Yield an upstream's *answer* up to the first of the *texts*. There the upstream is left: nothing of what it would say yet
    is wanted, nor the count of its tokens, which comes last."""
    stops = StopTexts(texts)
    try:
        async for brought in answer:
            batch = stops.feed(brought)
            is_over = type(brought[-1]) is FinishReason
            if stops.found is not None and not is_over:
                batch = [*batch, stops.end()]
            if batch:
                yield batch
            if stops.found is not None or is_over:
                return
    finally:
        await answer.aclose()
