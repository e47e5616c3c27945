"""Tool calls as they stream: which call a piece belongs to. Knows no stream but the pieces that it is handed, in order."""

from __future__ import annotations

from uuid import uuid4

from ...events import ToolCallDelta
from .chunks import CallPiece


def new_call_id() -> str:
    """Return an id that no other call has."""
    return f"call_{uuid4().hex[:24]}"


class ToolCallIndexer:
    """Gives each piece of an answer's tool calls its call's index.

    The piece says it itself, but for servers that leave it out, and for those that give every call the index 0: there, a piece
    that brings a name and an id of its own begins a new call. (A new id alone does not: some servers draw one for each piece.)
    A call whose first piece has no id gets one that no other call has: callers send it back with the call's result.
    """

    __slots__ = ("_drawn", "_free", "_ids", "_places")

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}  # place -> the call's id
        self._drawn: set[int] = set()  # places of calls whose id is of our making
        self._free = 0  # the place after the last
        self._places: dict[int | None, int] = {}  # index as sent -> the place that its pieces go to now

    def delta(self, call: CallPiece) -> ToolCallDelta:
        function = call.function
        name = None if function is None else function.name
        arguments = None if function is None else function.arguments
        call_id = call.id or None
        place = self._places.get(call.index)
        calls = len(self._ids)
        if place is None or name:
            place = self._place(call.index, call_id, name)
        if len(self._ids) > calls and call_id is None:
            self._drawn.add(place)
            call_id = new_call_id()
        elif place in self._drawn:
            call_id = None  # it comes too late: callers have another one
        return ToolCallDelta(place, call_id, name, arguments or "", call.extra)

    def _place(self, index: int | None, id: str | None, name: str | None) -> int:
        place = self._places.get(index)
        if place is None or (name and self._is_new(index, id, self._ids[place])):
            place = index if index is not None and index not in self._ids else self._free
            self._free = max(self._free, place + 1)
            self._places[index] = place
            self._ids[place] = id or ""
        return place

    @staticmethod
    def _is_new(index: int | None, id: str | None, known: str) -> bool:
        if not id:
            return index is None
        return id != known and (bool(known) or index is None)
