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

    An id goes with a call's first piece, and each piece of a name once: callers join what they get, and some servers repeat
    both in every piece.
    """

    __slots__ = ("_free", "_ids", "_names", "_places")

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}  # place -> the call's id
        self._names: dict[int, str] = {}  # place -> what has come of the call's name
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
        call_id = (call_id or new_call_id()) if len(self._ids) > calls else None
        return ToolCallDelta(place, call_id, self._new_of_name(place, name), arguments or "", call.extra)

    def _new_of_name(self, place: int, name: str | None) -> str | None:
        """Return what *name* adds to the name of the call at *place*: all of it where it is a piece, and what is new in it
        where it repeats the pieces before."""
        if not name:
            return name
        known = self._names.get(place, "")
        new = name.removeprefix(known)
        self._names[place] = known + new
        return new or None

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
