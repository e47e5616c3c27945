"""Finds an answer that makes the same call again and again, until it is cut, and leaves one of it. Pure: knows no engine.

Small models that must call a function write the same call without end. A call that is as the one before is held back until it
differs, or until the end: where the answer was cut and ends in five or more such calls, all but the first say nothing. What
ends of itself stays, however often it says the same: three dice are thrown by three calls.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..events import REPETITION, Batch, Event, FinishReason, ToolCallDelta

#: The same call so often in a row, and then cut, is a loop; as `loops` has it for text.
_TIMES: Final = 5

_CUT: Final = ("length", REPETITION)


class RepeatedCalls:
    """One answer's calls, batch by batch.

    Example::

        calls = RepeatedCalls()
        batch = calls.feed([ToolCallDelta(0, "call_1", "now"), ToolCallDelta(0, arguments="{}")])
    """

    __slots__ = ("_arguments", "_held", "_is_held", "_last", "_name", "_times")

    def __init__(self) -> None:
        self._name: str | None = None  # of the call that is being written, with its arguments so far
        self._arguments = ""
        self._is_held = False
        self._held: list[Event] = []
        self._last: tuple[str, str] | None = None  # the call that was passed on last
        self._times = 0  # how often it was said

    def feed(self, batch: Batch) -> Batch:
        """Return what of *batch*, and of what was held back, can be passed on now."""
        said: list[Event] = []
        for event in batch:
            if isinstance(event, ToolCallDelta):
                self._take(event, said)
            elif isinstance(event, FinishReason):
                said.extend(self._end(event))
            else:
                self._release(said)
                said.append(event)
        return said

    def _take(self, event: ToolCallDelta, said: list[Event]) -> None:
        if event.name is not None:
            self._complete()
            self._name, self._arguments = event.name, event.arguments
        else:
            self._arguments += event.arguments
        self._is_held = (event.name is not None or self._is_held) and self._repeats()
        if self._is_held:
            self._held.append(event)
            return
        self._release(said)
        said.append(event)

    def _repeats(self) -> bool:
        """Return whether the call that is being written may be the last one again."""
        return self._last is not None and self._last[0] == self._name and self._last[1].startswith(self._arguments)

    def _complete(self) -> None:
        """Note the call that has been written."""
        if self._name is None:
            return
        if self._is_held:
            self._times += 1
        else:
            self._last, self._times = (self._name, self._arguments), 1
        self._name = None

    def _release(self, said: list[Event]) -> None:
        said.extend(self._held)
        self._held.clear()

    def _end(self, finish: FinishReason) -> list[Event]:
        if self._held and finish.reason in _CUT and self._times >= _TIMES:
            return [msgspec.structs.replace(finish, reason="tool_calls", notes=())]
        return [*self._held, finish]
