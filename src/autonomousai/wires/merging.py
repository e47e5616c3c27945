"""How the pieces of an answer are folded into one object, as clients fold deltas. Knows no wire."""

from __future__ import annotations

from typing import Any


class _OwnList(list[Any]):
    """A list of the document alone that is being merged: it may grow, where others are copied first."""


class _OwnObject(dict[str, Any]):
    """The same for an object."""


def merge_values(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Fold *more* into what earlier pieces said, as clients fold deltas: text and lists are appended, objects merged."""
    for name, value in more.items():
        known = into.get(name)
        if isinstance(known, list) and isinstance(value, list):
            if type(known) is not _OwnList:
                into[name] = known = _OwnList(known)
            known.extend(value)
        elif isinstance(known, str) and isinstance(value, str) and name not in ("type", "id"):
            into[name] = f"{known}{value}"
        elif isinstance(known, dict) and isinstance(value, dict):
            if type(known) is not _OwnObject:
                into[name] = known = _OwnObject(known)
            merge_values(known, value)
        else:
            into[name] = value


def merge_choice(choice: dict[str, Any], more: dict[str, Any]) -> None:
    """Put unknown members of a piece's choice into the *choice* of a document. The ids of tokens follow those before, as text
    does; null takes none of them away."""
    for name, value in more.items():
        if isinstance(choice.get(name), list) and (value is None or name == "token_ids"):
            merge_values(choice, {name: value or []})
        else:
            choice[name] = value
