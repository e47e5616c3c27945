"""What a model thought, as OpenRouter says it beside chat completions: the member ``reasoning_details`` of a message
(OpenRouter documentation, "Preserving reasoning"). Some of it is signed or encrypted, and its vendor refuses a turn that comes
back without it.

It comes in pieces; the pieces of one detail have its type and its index.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .events import Event, Extra
from .sealed_thoughts import DETAILS, members_of, pack, sealed_in

Json = dict[str, Any]

#: The wire whose events hold details.
CHAT = "openai_chat"

#: Members that come in pieces.
_PIECES = ("text", "summary", "data")


class ReasoningDetails:
    """The details of one answer that were not taken yet."""

    __slots__ = ("_details",)

    def __init__(self) -> None:
        self._details: list[tuple[Json, dict[str, list[str]]]] = []

    def __bool__(self) -> bool:
        return bool(self._details)

    def add(self, event: Extra) -> None:
        """Add what *event* says of an answer's first choice, if anything."""
        for choice in event.members.get("choices") or ():
            said = choice.get("delta") or choice.get("message")
            details = said.get(DETAILS) if isinstance(said, dict) and not choice.get("index") else None
            for piece in details if isinstance(details, list) else ():
                if isinstance(piece, dict):
                    self._add(piece)

    def _add(self, piece: Json) -> None:
        key = piece.get("type"), piece.get("index")
        if not self._details or key != _key(self._details[-1][0]):
            self._details.append(({}, {}))
        detail, pieces = self._details[-1]
        for name, value in piece.items():
            if name in _PIECES and isinstance(value, str):
                pieces.setdefault(name, []).append(value)
            elif value is not None or name not in detail:
                detail[name] = value

    def take(self) -> str | None:
        """Return the details as one text, which `sealed_thoughts` unpacks; None where none of them is signed or encrypted:
        words alone are reasoning."""
        details = self.joined()
        return pack({"type": DETAILS, DETAILS: details}) if details else None

    def joined(self) -> list[Json]:
        """Return the details, each in one piece; none where none of them is signed or encrypted."""
        details = [{**detail, **{name: "".join(said) for name, said in pieces.items()}} for detail, pieces in self._details]
        self._details = []
        return details if any(detail.get("signature") or detail.get("data") for detail in details) else []


def _key(detail: Json) -> tuple[Any, Any]:
    return detail.get("type"), detail.get("index")


def sealed_members(events: Iterable[Event]) -> dict[str, Any]:
    """Return the members of a message of chat completions in which the vendors get back what they signed or encrypted among
    the *events* of an answer; see `sealed_thoughts`."""
    members: dict[str, Any] = {}
    details = ReasoningDetails()
    for event in events:
        if (sealed := sealed_in(event)) is not None:
            for name, said in members_of(sealed).items():
                members[name] = [*members.get(name, ()), *said] if isinstance(said, list) else said
        elif isinstance(event, Extra) and event.wire == CHAT:
            details.add(event)
    if found := details.joined():
        members[DETAILS] = found
    return members
