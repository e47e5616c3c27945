"""The table of a request's fields: one row says how a field is checked, how it is described, and what becomes of it at each
kind of upstream. The 400s, the published JSON schema and the reference are made from it. Knows no wire: each brings its rows.

Here a value must only be well-formed. What is out of some upstream's range, or not known here, is passed on as it came, for the
upstream to judge. An upstream that is known not to honour a field refuses it by its column, and ignores none that would change
the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..errors import StatusError
from ..request import OPTION_NAMES, RESERVED
from ..suggestions import did_you_mean, nearest
from .shapes import ANYTHING, Schema, Shape, or_null, refusal

#: The code of a field that an upstream cannot honour.
UNSUPPORTED: Final = "unsupported_parameter"


class FieldUse(msgspec.Struct, frozen=True):
    """What becomes of a field at one kind of upstream.

    ``honoured``: it must have a narrower ``shape`` there. ``dropped``: it changes nothing there, and is left out. ``refused``:
    a 400 that ``says`` why, except for the values that ask for what is the case anyway, which are left out: ``neutral``, and of
    fields without a row those of their name in ``named`` (None: any). ``approximated``: it is honoured, but says less there, or
    something else.
    """

    what: Literal["honoured", "dropped", "refused"]
    shape: Shape = ANYTHING
    neutral: tuple[Any, ...] = ()
    says: str = ""
    approximated: bool = False
    named: Mapping[str, tuple[Any, ...] | None] = {}

    def asks_nothing(self, name: str, value: Any) -> bool:
        """Return whether the field *name* with that *value*, where it is refused, asks for what is the case anyway."""
        if name not in self.named:
            return value in self.neutral
        values = self.named[name]
        return values is None or value in values


DROPPED: Final = FieldUse("dropped")


def honoured(shape: Shape = ANYTHING, says: str = "") -> FieldUse:
    """Return the use of a field that must have that shape; *says*: what the reference adds."""
    return FieldUse("honoured", shape, says=says)


def approximated(says: str) -> FieldUse:
    """Return the use of a field that says less there, or something else: that is what it *says*."""
    return FieldUse("honoured", says=says, approximated=True)


def refused(says: str, *neutral: Any) -> FieldUse:
    """Return the use of a field that is refused with that problem, unless its value is one of the *neutral* ones."""
    return FieldUse("refused", neutral=neutral, says=says)


class RequestField(msgspec.Struct, frozen=True):
    """A row: one field of a request.

    ``shape``: what it must be to be well-formed. ``says``: a sentence for people. ``needed``: whether a request must have it.
    ``dropped``: whether no upstream gets it. ``becomes``: what it becomes for an upstream of another wire, for people, nothing
    where it is left out there; None where all wires share the field. ``approximated``: whether it says less then. ``uses``: by
    kind of upstream, as a config names it; other kinds get the field unchanged.
    """

    name: str
    shape: Shape
    says: str
    needed: bool = False
    dropped: bool = False
    becomes: str | None = None
    approximated: bool = False
    uses: Mapping[str, FieldUse] = {}

    @property
    def schema(self) -> Schema:
        """The JSON schema of the field: null is the same as leaving it out."""
        schema = self.shape.schema if self.needed else or_null(self.shape.schema)
        return {**schema, "description": self.says}


class FieldRule(msgspec.Struct, frozen=True):
    """What holds between fields: ``check`` raises `StatusError` 400 for exactly the requests that ``schema`` forbids."""

    check: Callable[[Mapping[str, Any]], None]
    schema: Schema


#: Rows by the names of their fields.
FieldRows: TypeAlias = Mapping[str, RequestField]


class FieldTable(msgspec.Struct, frozen=True):
    """The request of one wire.

    ``name``: of its schema. ``says``: a sentence or two for people. ``rules``: what holds between fields. ``components``: the
    schemas that its rows refer to. ``others``: by kind of upstream, what becomes of a field without a row; other kinds get it
    unchanged. ``ignored``: members that other wires have, which say nothing here and are let through.
    """

    name: str
    says: str
    rows: FieldRows
    rules: tuple[FieldRule, ...] = ()
    components: Mapping[str, Schema] = {}
    others: Mapping[str, FieldUse] = {}
    ignored: frozenset[str] = frozenset()

    def take(self, document: dict[str, Any], name: str) -> Any:
        """Take a field out of *document*; None where it is absent or null. Raises `StatusError` 400 where it is malformed."""
        value = document.pop(name, None)
        return None if value is None else self.rows[name].shape.check(name, value)

    def check(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return *fields* without those that are null or dropped, and whole numbers as integers. Raises `StatusError` 400 that
        names the field that is malformed, or an option of clients."""
        checked: dict[str, Any] = {}
        for name, value in fields.items():
            if name in RESERVED:
                if name in self.ignored:
                    continue
                what = "an option of clients, not a field of a request" if name in OPTION_NAMES else "no field of this request"
                raise refusal(name, f"is {what}; leave it out", "unsupported")
            if value is None:
                continue
            if (row := self.rows.get(name)) is not None:
                value = row.shape.check(name, value)
            if row is None or not row.dropped:
                checked[name] = value
        return checked

    def for_kind(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked *fields* as an upstream of that kind gets them. Raises `StatusError` 400 that names the first one
        that it cannot honour, in the order of the rows."""
        passed: dict[str, Any] = {}
        order = [name for name in fields if name in self.rows]
        if len(order) > 1:
            order.sort(key=list(self.rows).index)
        if len(order) < len(fields):
            order += [name for name in fields if name not in self.rows]
        for name in order:
            row, value = self.rows.get(name), fields[name]
            use = (self.others if row is None else row.uses).get(kind)
            if use is None:
                passed[name] = value
            elif use.what == "honoured":
                passed[name] = use.shape.check(name, value)
            elif use.what == "refused" and not use.asks_nothing(name, value):
                meant = did_you_mean(name[:100], self.rows) if row is None else ""
                raise refusal(name[:100], f"{use.says}{meant}", UNSUPPORTED)
        return passed

    @property
    def schema(self) -> Schema:
        """The JSON schema of a request."""
        return {
            "type": "object",
            "description": self.says,
            "properties": {
                **{name: row.schema for name, row in self.rows.items()},
                **dict.fromkeys(sorted(RESERVED - self.rows.keys() - self.ignored), False),
            },
            "required": [name for name, row in self.rows.items() if row.needed],
            "additionalProperties": True,
            **({"allOf": [rule.schema for rule in self.rules]} if self.rules else {}),
        }


#: Names that other APIs have for what is asked.
_ASKED: Final = ("messages", "prompt", "input", "inputs", "texts", "text", "query", "documents")


def missing(name: str, says: str, document: Mapping[str, Any], known: Collection[str] = ()) -> StatusError:
    """Return the 400 for a request without the field *name*; *says*: what to send. It names the field in *document* that was
    probably meant, which is none of the *known* ones."""
    others = [each for each in document if each not in (name, "model", "stream", *known)]
    near = nearest(name, others) or next((each for each in others if each in _ASKED), None)
    return refusal(name, f"is missing; {says}" + (f", in place of {near[:100]!r}" if near else ""), "missing")


def table_of(*rows: RequestField) -> FieldRows:
    """Return *rows* by their names."""
    return {row.name: row for row in rows}
