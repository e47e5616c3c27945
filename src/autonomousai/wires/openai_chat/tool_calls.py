"""Tool calls as they stream: which call a piece belongs to. Knows no stream but the pieces that it is handed, in order."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from ...events import ToolCallDelta
from ...late import late_pattern
from ..json import lenient_decoder
from ..quoted_arguments import QuotedArguments, is_quoted, unquoted
from .chunks import CallPiece

#: Where one object of arguments may end and another one begin.
_SEAM: Final = late_pattern(r"\}\s*\{")

#: Characters of arguments up to which seams are looked for.
_LONGEST: Final = 256 * 1024


def new_call_id() -> str:
    """Return an id that no other call has."""
    return f"call_{uuid4().hex[:24]}"


class ToolCallIndexer:
    """Gives each piece of an answer's tool calls its call's index.

    The piece says it itself, but for servers that leave it out, and for those that give every call the index 0: there, a piece
    that brings a name and an id of its own, or another name behind arguments, begins a new call (a new id alone does not: some
    servers draw one for each piece), and so do arguments that go on behind the end of their object. An id that has come before
    counts more than the index beside it, and arguments at a new index, without id and name, are those of a call that still
    waits for some: some servers count pieces. A call whose first piece
    has no id gets one that no other call has: callers send it back with the call's result. A piece that says nothing begins
    none.

    An id goes with a call's first piece, and each piece of a name and of the arguments once: callers join what they get, and
    some servers repeat the first two in every piece, and all of the arguments at the end or as they grow. Where it *holds*,
    arguments of ``{}`` wait for a further piece, another call or `flush`: some servers begin with them, whatever follows; those
    that are JSON twice wait for their end.
    """

    __slots__ = (
        "_by_id",
        "_free",
        "_growing",
        "_held",
        "_holds",
        "_ids",
        "_last",
        "_names",
        "_places",
        "_quoted",
        "_said",
        "_shares",
    )

    def __init__(self, *, holds: bool = True) -> None:
        self._holds = holds
        self._ids: dict[int, str] = {}  # place -> the call's id
        self._names: dict[int, str] = {}  # place -> what has come of the call's name
        self._said: dict[int, list[str]] = {}  # place -> what has come of its arguments, in pieces
        self._free = 0  # the place after the last
        self._places: dict[int | None, int] = {}  # index as sent -> the place that its pieces go to now
        self._growing: set[int] = set()  # places whose arguments are sent again from their beginning with each piece
        self._held: int | None = None  # the place whose arguments, ``{}``, are held back
        self._quoted: dict[int, QuotedArguments] = {}  # by the place, of calls whose arguments are text of JSON
        self._by_id: dict[str, int] = {}  # id as sent -> the place of its call; -1 where several calls have it
        self._last: int | None = None  # the place of the call that began last
        self._shares = False  # that call began at the index of another one

    @property
    def has_calls(self) -> bool:
        """Return whether a call has begun."""
        return bool(self._ids)

    def deltas(self, call: CallPiece) -> list[ToolCallDelta]:
        """Return what a piece is: a piece of one call, or, where a server runs calls into one another, of several."""
        function = call.function
        name = None if function is None else function.name
        arguments = "" if function is None else function.arguments or ""
        index, call_id = call.index, call.id or None
        place = self._place_of(index, call_id, name, arguments)
        if place is None:
            says = name or arguments or call_id or any((call.extra or {}).values())
            return self._begun(index, call_id, name, arguments, call) if says else []
        is_begun = name and (self._is_new(index, call_id, self._ids[place]) or self._is_other(place, name))
        if is_begun and not self._is_rest(place, name, arguments):
            return self._begun(index, call_id, name, arguments, call)
        if self._held == place and arguments.lstrip().startswith("{"):
            self._held = None
            self._said[place] = []
        said = self._said[place]
        new = self._new_of_arguments(place, arguments)
        if arguments and not new:
            return []
        parts = _parts(said, new)
        if len(parts) > 1 and not parts[0]:  # the call is complete, and all of this is of another one
            whole = "".join(said)
            parts = [part for part in parts[1:] if not _is_repeated(whole, part)]
            return self._begun(index, None, name or self._names[place], "".join(parts), call) if parts else []
        if parts[0]:
            said.append(parts[0])
        delta = ToolCallDelta(place, None, self._new_of_name(place, name), self._held_back(place, parts[0]), call.extra)
        waits = self._held == place or (place in self._quoted and not delta.arguments)
        begun = [] if waits and not delta.name and not delta.extra else [delta]
        return [*begun, *self._further(index, place, parts[1:])]

    def _place_of(self, index: int | None, id: str | None, name: str | None, arguments: str) -> int | None:
        """Return the place of the call that a piece belongs to, as far as the piece itself says; None where it has none yet."""
        if id and name and not arguments and index is not None and index not in self._places:
            return None  # so a call begins, whatever other one has its id
        if id:
            known = self._by_id.get(id)
            if known is not None and known >= 0 and (not name or not self._names[known] or name.startswith(self._names[known])):
                self._places[index] = known
        elif not name and index not in self._places and self._last is not None and (index is None or self._waits(self._last)):
            self._places[index] = self._last
        return self._places.get(index)

    def _waits(self, place: int) -> bool:
        """Return whether the call at *place* must have arguments that have not come."""
        return not self._said[place] or self._is_open(place)

    def _is_open(self, place: int) -> bool:
        """Return whether the arguments of the call at *place* have begun as an object, and are no complete one."""
        said = self._said[place]
        if not said or not said[0].lstrip().startswith("{"):
            return False
        last = next((piece.rstrip() for piece in reversed(said) if not piece.isspace()), "")
        if not last.endswith("}"):
            return True
        said[:] = ["".join(said)]
        try:
            lenient_decoder().decode(said[0])
        except (ValueError, RecursionError):
            return True
        return False

    def _is_rest(self, place: int, name: str | None, arguments: str) -> bool:
        """Return whether *arguments* can only continue those of the call at *place*, whatever id is beside them: none begin so.
        Some servers draw an id for each piece, name the call in each, and have no index."""
        begins = arguments.lstrip()[:1] in ("", "{", '"')
        return not begins and name == self._names[place] and self._is_open(place)

    def flush(self) -> list[ToolCallDelta]:
        """Return what was held back: the answer has ended."""
        rest = [(place, quoted.rest()) for place, quoted in self._quoted.items()]
        return [*self._flush_held(), *(ToolCallDelta(place, arguments=arguments) for place, arguments in rest if arguments)]

    def _flush_held(self) -> list[ToolCallDelta]:
        """Return the arguments that were held back until more of them came: another call begins."""
        place, self._held = self._held, None
        return [] if place is None else [ToolCallDelta(place, arguments="".join(self._said[place]))]

    def _begun(
        self, index: int | None, id: str | None, name: str | None, arguments: str, call: CallPiece
    ) -> list[ToolCallDelta]:
        """Return the first piece of a call, and of those that its arguments run into."""
        flushed = self._flush_held()
        place = index if index is not None and index not in self._ids else self._free
        self._free = max(self._free, place + 1)
        self._shares = index in self._places
        self._places[index] = self._last = place
        self._ids[place] = id or ""
        own = id or new_call_id()
        if own in self._by_id:  # callers tell calls apart by their ids
            self._by_id[own], own = -1, new_call_id()
        else:
            self._by_id[own] = place
        self._names[place] = name or ""
        parts = _distinct(_parts([], arguments))
        self._said[place] = [part for part in parts[:1] if part]
        first = ToolCallDelta(place, own, name, self._held_back(place, parts[0]), call.extra)
        return [*flushed, first, *self._further(index, place, parts[1:])]

    def _further(self, index: int | None, place: int, parts: list[str]) -> list[ToolCallDelta]:
        """Return calls of the same name as that at *place*, whose arguments are *parts*."""
        deltas: list[ToolCallDelta] = []
        for arguments in parts:
            deltas += self._begun(index, None, self._names[place], arguments, CallPiece(index))
        return deltas

    def _held_back(self, place: int, arguments: str) -> str:
        """Return *arguments*, which were added to those of the call at *place*, as far as they can be said now."""
        if self._held == place:
            if not arguments.strip():
                return ""
            self._held = None  # something else came behind the object
            return "".join(self._said[place])
        if place in self._quoted:
            return self._quoted[place].add(arguments)
        if len(self._said[place]) > 1:
            return arguments
        if is_quoted(arguments):
            if not self._holds:
                return unquoted(arguments)
            self._quoted[place] = QuotedArguments()
            return self._quoted[place].add(arguments)
        if not self._holds or arguments.strip() != "{}":
            return arguments
        self._held = place
        return ""

    def _new_of_arguments(self, place: int, arguments: str) -> str:
        """Return what *arguments* add to those of the call at *place*."""
        rest = rest_of_arguments(self._said[place], arguments, grows=place in self._growing)
        if rest is None:
            return arguments
        self._growing.add(place)
        return rest

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


def rest_of_arguments(said: list[str], arguments: str, *, grows: bool) -> str | None:
    """Return what is new in a piece of *arguments* that begins with all that was *said* of them; None where it does not, and
    all of it is new. Where a value can stand, it may be an object within the object, unless the server has repeated itself
    before, so that they are known to grow.

    Example::

        assert rest_of_arguments(['{"a"'], '{"a":1}', grows=False) == ":1}"
        assert rest_of_arguments(['{"a":'], '{"a":', grows=False) is None
    """
    if not said or not arguments.startswith("{"):
        return None
    at = 0
    for piece in said:  # ends at the first that differs: what was said may be long, and this is asked for each piece
        if not arguments.startswith(piece, at):
            return None
        at += len(piece)
    return None if not grows and arguments[:at].rstrip().endswith((":", ",", "[")) else arguments[at:]


def _is_repeated(said: str, arguments: str) -> bool:
    """Return whether two complete objects of arguments are one, however they are written."""
    try:
        return bool(lenient_decoder().decode(said) == lenient_decoder().decode(arguments))
    except (ValueError, RecursionError):
        return False


def _distinct(parts: list[str]) -> list[str]:
    """Return the *parts* of arguments that are calls: an object that repeats the one before it is none, nor is ``{}`` at the
    beginning.

    Example::

        assert _distinct(["{}", '{"a":1}', '{"a": 1}']) == ['{"a":1}']
    """
    kept: list[str] = []
    for part in parts[1:] if len(parts) > 1 and parts[0].strip() == "{}" else parts:
        if not kept or not _is_repeated(kept[-1], part):
            kept.append(part)
    return kept


def _parts(said: list[str], arguments: str) -> list[str]:
    """Return *arguments* in as many parts as there are calls in it: the first belongs to the call of which *said* has come, and
    is empty where that call is complete; each further one is an object, or the beginning of one. The pieces in *said* may be
    joined.

    Example::

        assert _parts(['{"a"'], ':1}{"a":2}') == [':1}', '{"a":2}']
    """
    if "{" not in arguments:
        return [arguments]
    before = next((piece.rstrip()[-1] for piece in reversed(said) if not piece.isspace()), "")
    if not _SEAM.search(before + arguments) or (said and len(said[0]) > _LONGEST):
        return [arguments]
    if len(said) > 1:
        said[:] = ["".join(said)]  # not again at the next seam: there may be many, none of which ends an object
    whole = "".join(said) + arguments
    if len(whole) > _LONGEST:
        return [arguments]
    ends: list[int] = []
    at = 0
    while whole.startswith("{", at):
        try:
            at = lenient_decoder().raw_decode(whole, at)[1]
        except ValueError:
            break
        at = len(whole) - len(whole[at:].lstrip())
        ends.append(at)
    if not ends or (ends[-1] == at < len(whole) and not whole.startswith("{", at)):
        return [arguments]  # no object, or one and something else behind it
    starts = [len(whole) - len(arguments), *(end for end in ends if end < len(whole))]
    return [whole[start:end].rstrip() for start, end in zip(starts, [*starts[1:], len(whole)], strict=True)]
