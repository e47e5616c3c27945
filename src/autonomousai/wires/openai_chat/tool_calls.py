"""Tool calls as they stream: which call a piece belongs to. Knows no stream but the pieces that it is handed, in order."""

from __future__ import annotations

import json
import re
from typing import Final
from uuid import uuid4

from ...events import ToolCallDelta
from .chunks import CallPiece

#: Where one object of arguments may end and another one begin.
_SEAM: Final = re.compile(r"\}\s*\{")

#: Characters of arguments up to which seams are looked for.
_LONGEST: Final = 256 * 1024

_decoder: Final = json.JSONDecoder(strict=False)


def new_call_id() -> str:
    """Return an id that no other call has."""
    return f"call_{uuid4().hex[:24]}"


class ToolCallIndexer:
    """Gives each piece of an answer's tool calls its call's index.

    The piece says it itself, but for servers that leave it out, and for those that give every call the index 0: there, a piece
    that brings a name and an id of its own, or another name behind arguments, begins a new call (a new id alone does not: some
    servers draw one for each piece), and so do arguments that go on behind the end of their object. A call whose first piece
    has no id gets one that no other call has: callers send it back with the call's result.

    An id goes with a call's first piece, and each piece of a name once: callers join what they get, and some servers repeat
    both in every piece.
    """

    __slots__ = ("_free", "_ids", "_names", "_places", "_said")

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}  # place -> the call's id
        self._names: dict[int, str] = {}  # place -> what has come of the call's name
        self._said: dict[int, list[str]] = {}  # place -> what has come of its arguments, in pieces
        self._free = 0  # the place after the last
        self._places: dict[int | None, int] = {}  # index as sent -> the place that its pieces go to now

    def deltas(self, call: CallPiece) -> list[ToolCallDelta]:
        """Return what a piece is: a piece of one call, or, where a server runs calls into one another, of several."""
        function = call.function
        name = None if function is None else function.name
        arguments = "" if function is None else function.arguments or ""
        index, call_id = call.index, call.id or None
        place = self._places.get(index)
        if place is None or (name and (self._is_new(index, call_id, self._ids[place]) or self._is_other(place, name))):
            return self._begun(index, call_id, name, arguments, call)
        said = self._said[place]
        parts = _parts(said, arguments)
        if len(parts) > 1 and not parts[0]:  # the call is complete, and all of this is of another one
            return self._begun(index, None, name or self._names[place], arguments.lstrip(), call)
        said.append(parts[0])
        delta = ToolCallDelta(place, None, self._new_of_name(place, name), parts[0], call.extra)
        return [delta, *self._further(index, place, parts[1:])]

    def _begun(
        self, index: int | None, id: str | None, name: str | None, arguments: str, call: CallPiece
    ) -> list[ToolCallDelta]:
        """Return the first piece of a call, and of those that its arguments run into."""
        place = index if index is not None and index not in self._ids else self._free
        self._free = max(self._free, place + 1)
        self._places[index] = place
        self._ids[place] = id or ""
        self._names[place] = name or ""
        parts = _parts([], arguments)
        self._said[place] = parts[:1]
        first = ToolCallDelta(place, id or new_call_id(), name, parts[0], call.extra)
        return [first, *self._further(index, place, parts[1:])]

    def _further(self, index: int | None, place: int, parts: list[str]) -> list[ToolCallDelta]:
        """Return calls of the same name as that at *place*, whose arguments are *parts*."""
        deltas: list[ToolCallDelta] = []
        for arguments in parts:
            deltas += self._begun(index, None, self._names[place], arguments, CallPiece(index))
        return deltas

    def _new_of_name(self, place: int, name: str | None) -> str | None:
        """Return what *name* adds to the name of the call at *place*: all of it where it is a piece, and what is new in it
        where it repeats the pieces before."""
        if not name:
            return name
        known = self._names[place]
        new = name.removeprefix(known)
        self._names[place] = known + new
        return new or None

    def _is_other(self, place: int, name: str) -> bool:
        """Return whether *name* is another call's than that at *place*: names come before arguments."""
        return any(self._said[place]) and not name.startswith(self._names[place])

    @staticmethod
    def _is_new(index: int | None, id: str | None, known: str) -> bool:
        if not id:
            return index is None
        return id != known and (bool(known) or index is None)


def _parts(said: list[str], arguments: str) -> list[str]:
    """Return *arguments* in as many parts as there are calls in it: the first belongs to the call of which *said* has come, and
    is empty where that call is complete; each further one is an object, or the beginning of one.

    Example::

        assert _parts(['{"a"'], ':1}{"a":2}') == [':1}', '{"a":2}']
    """
    before = next((piece.rstrip()[-1] for piece in reversed(said) if not piece.isspace() and piece), "")
    if "{" not in arguments or not _SEAM.search(before + arguments):
        return [arguments]
    whole = "".join(said) + arguments
    if len(whole) > _LONGEST:
        return [arguments]
    ends: list[int] = []
    at = 0
    while whole.startswith("{", at):
        try:
            at = _decoder.raw_decode(whole, at)[1]
        except ValueError:
            break
        at = len(whole) - len(whole[at:].lstrip())
        ends.append(at)
    if not ends or (ends[-1] == at < len(whole) and not whole.startswith("{", at)):
        return [arguments]  # no object, or one and something else behind it
    starts = [len(whole) - len(arguments), *(end for end in ends if end < len(whole))]
    return [whole[start:end].rstrip() for start, end in zip(starts, [*starts[1:], len(whole)], strict=True)]
