"""Calls in the form in which their caller offered the tools, where an upstream of another API knows no such tools: calls of
custom tools (OpenAI API reference, "Create chat completion": ``custom``), and names that it does not take. Knows no upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...events import Batch, Extra, FinishReason, ToolCallDelta
from ..custom_tools import custom_input
from ..tool_names import CUSTOM, NAMES
from .chunks import WIRE

if TYPE_CHECKING:
    from ..base import StreamEncoder

Json = dict[str, Any]


class AskedCalls:
    """Calls of one answer. A call of a custom tool is written once it is complete: of the arguments of a function, no piece is
    one of its text."""

    __slots__ = ("_custom", "_held", "_names")

    def __init__(self, echo: Json) -> None:
        self._names: Mapping[str, str] = echo.get(NAMES) or {}
        self._custom = frozenset(echo.get(CUSTOM) or ())
        self._held: dict[int, list[ToolCallDelta]] = {}

    def read(self, batch: Batch) -> Batch:
        """Return *batch* with calls as they were asked for, but for those that `rest` brings. An upstream of this API makes
        them so itself."""
        if not any(type(event) is ToolCallDelta for event in batch):
            return batch
        if any(type(event) is Extra and event.wire == WIRE for event in batch):
            return batch
        return [event for event in map(self._named, batch) if not self._is_held(event)]

    def rest(self) -> Batch:
        """Return the calls of custom tools that have come."""
        return [_custom_call(deltas) for _, deltas in sorted(self._held.items())]

    def _named(self, event: Any) -> Any:
        if type(event) is not ToolCallDelta or (own := self._names.get(event.name or "")) is None:
            return event
        return msgspec.structs.replace(event, name=own)

    def _is_held(self, event: Any) -> bool:
        if type(event) is not ToolCallDelta or not (event.index in self._held or event.name in self._custom):
            return False
        self._held.setdefault(event.index, []).append(event)
        return True


def _custom_call(deltas: list[ToolCallDelta]) -> ToolCallDelta:
    first = deltas[0]
    text = custom_input("".join(delta.arguments for delta in deltas))
    extra = {"type": CUSTOM, CUSTOM: {"name": first.name, "input": text}}
    return ToolCallDelta(first.index, first.id, extra=extra)


def asked_events(events: Batch, echo: Json) -> Batch:
    """Return the *events* of a complete answer with calls as they were asked for."""
    calls = AskedCalls(echo)
    *said, finish = events
    return [*calls.read(said), *calls.rest(), finish]


class AskedCallsEncoder:
    """A `StreamEncoder` that hands on to another one, with calls as they were asked for."""

    __slots__ = ("_calls", "_encoder")

    def __init__(self, encoder: StreamEncoder, echo: Json) -> None:
        self._encoder = encoder
        self._calls = AskedCalls(echo)

    def write(self, batch: Batch) -> bytes:
        """See `StreamEncoder.write`."""
        return self._encoder.write(self._calls.read(batch))

    def end(self, finish: FinishReason, *, extension: Json | None = None) -> bytes:
        """See `StreamEncoder.end`."""
        rest = self._calls.rest()
        return (self._encoder.write(rest) if rest else b"") + self._encoder.end(finish, extension=extension)

    def sign(self, progress: int) -> bytes:
        """See `StreamEncoder.sign`."""
        return self._encoder.sign(progress)

    def fail(self, error: BaseException) -> bytes:
        """See `StreamEncoder.fail`."""
        return self._encoder.fail(error)
