"""A JSON schema in the form that the engine's tables know (draft 2020-12), as generators of many languages write it otherwise.
Pure; knows no engine, and refuses nothing: what it does not know stays as it came.

Each rule is exact, or narrower: an answer that obeys what is returned obeys what came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

#: Keywords whose values are schemas of names, schemas in a list, or one schema.
_MAPPINGS: Final = ("properties", "patternProperties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE: Final = (
    "items",
    "additionalProperties",
    "additionalItems",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "contains",
)

#: Beside null, they may have any value.
_VALUES: Final = frozenset({"const", "default", "example", "examples"})

_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})

#: Types as Python, Java and Protobuf call them.
_FOREIGN_TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(("str", "text"), "string"),
    **dict.fromkeys(("int", "long", "int32", "int64"), "integer"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    "bool": "boolean",
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    **dict.fromkeys(("dict", "map"), "object"),
}

#: Counts above it are drawn in: the engine holds an answer to them, and no answer is so long.
_GREATEST: Final = {"maxLength": 10_000, "maxItems": 10_000}
_LEAST: Final = {"maxLength": "minLength", "maxItems": "minItems"}

#: A reference that every grammar of the engine resolves, and how many others are brought into that form.
_PLAIN: Final = re.compile(r"#/(\$defs|definitions)/[A-Za-z0-9_.-]+")
_MOST_REFERENCES: Final = 64


def usual_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return *schema*, which is bounded in depth, in the usual form; it stays as it is.

    Example::

        assert {"type": "integer"} == usual_schema({"type": "INTEGER", "enum": None})
    """
    references = _References(schema)
    usual = _usual(schema, references)
    return {**usual, "$defs": {**usual.get("$defs", {}), **references.moved}} if references.moved else usual


def _usual(node: dict[str, Any], references: _References) -> dict[str, Any]:
    usual = dict(node)
    for keyword, value in node.items():
        if keyword in _MAPPINGS and value in (None, []):  # so PHP writes no properties
            usual[keyword] = {}
        elif value is None and keyword not in _VALUES:
            del usual[keyword]
    for rule in (_type, _tuple, _bounds, _counts, _no_others):
        rule(usual)
    _names(usual, references)
    for keyword, value in usual.items():
        if keyword in _MAPPINGS and isinstance(value, dict):
            usual[keyword] = {name: _child(each, references) for name, each in value.items()}
        elif keyword in _LISTS and isinstance(value, list):
            usual[keyword] = [_child(each, references) for each in value]
        elif keyword in _SINGLE:
            usual[keyword] = _child(value, references)
        elif keyword == "$ref":
            usual[keyword] = references.plain(value)
    return usual


def _child(node: Any, references: _References) -> Any:
    if node in ({"not": {}}, {"not": True}):
        return False
    return _usual(node, references) if isinstance(node, dict) else node


# ---- rules ------------------------------------------------------------------------------------------------------------


def _type(node: dict[str, Any]) -> None:
    """Types in capitals, as Google has them, and those of other languages; any type is no word about it."""
    named = node.get("type")
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return
    known: list[str] = []
    for name in names:
        low: str = name.lower()
        known.append(low if low in _TYPES else _FOREIGN_TYPES.get(low, str(name)))
    if "any" in (name.lower() for name in known):
        del node["type"]
    else:
        node["type"] = known[0] if isinstance(named, str) else known


def _tuple(node: dict[str, Any]) -> None:
    """A list of ``items``, as up to draft 2019-09."""
    if isinstance(node.get("items"), list) and "prefixItems" not in node:
        node["prefixItems"] = node.pop("items")
        if "additionalItems" in node:
            node["items"] = node.pop("additionalItems")
        if not node["prefixItems"]:
            del node["prefixItems"]


def _bounds(node: dict[str, Any]) -> None:
    """A bound that is said to be exclusive, as in draft 4 and OpenAPI 3.0."""
    for keyword, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(node.get(keyword), bool) and node.pop(keyword) and bound in node:
            node[keyword] = node.pop(bound)


def _counts(node: dict[str, Any]) -> None:
    for keyword, greatest in _GREATEST.items():
        count, least = node.get(keyword), node.get(_LEAST[keyword], 0)
        if type(count) is int and count > greatest and type(least) is int and least <= greatest:
            node[keyword] = greatest


def _no_others(node: dict[str, Any]) -> None:
    """``unevaluatedProperties`` where nothing else is evaluated."""
    if node.keys() & {"$ref", "anyOf", "oneOf", "allOf", "if", "additionalProperties"}:
        return
    if node.get("unevaluatedProperties") in (False, {"not": {}}):
        del node["unevaluatedProperties"]
        node["additionalProperties"] = False


def _names(node: dict[str, Any], references: _References) -> None:
    """``propertyNames``, as Zod and pydantic write the keys of a map: any text, some words, or a pattern."""
    if "propertyNames" not in node:
        return
    names = references.followed(node["propertyNames"])
    said = {key: value for key, value in names.items() if key not in ("title", "description", "default")}
    if said in ({}, {"type": "string"}):
        del node["propertyNames"]
        return
    others = node.get("additionalProperties", {})
    words = said.get("enum", [said["const"]] if "const" in said else None)
    if said.get("type", "string") != "string" or node.get("patternProperties"):
        return
    if not said.keys() - {"type", "enum", "const"} and isinstance(words, list) and all(isinstance(word, str) for word in words):
        described = node.get("properties", {})
        node["properties"] = {word: described.get(word, others) for word in words}
    elif not said.keys() - {"type", "pattern"} and isinstance(said.get("pattern"), str) and "properties" not in node:
        node["patternProperties"] = {said["pattern"]: others}
    else:
        return
    del node["propertyNames"]
    node["additionalProperties"] = False


# ---- references -------------------------------------------------------------------------------------------------------


class _References:
    """Those of one schema. ``moved``: what they lead to, where that is no definition of the root, under new names."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.moved: dict[str, Any] = {}
        self._root = root
        self._plain: dict[str, str] = {}
        self._taken = {name for keyword in ("$defs", "definitions") for name in root.get(keyword) or ()}

    @cached_property
    def _named(self) -> dict[str, dict[str, Any]]:
        """What has an ``$id`` or an ``$anchor``, by how it is referred to."""
        named: dict[str, dict[str, Any]] = {}
        for node in _nodes(self._root):
            for keyword, sign in (("$id", ""), ("$anchor", "#")):
                if isinstance(name := node.get(keyword), str):
                    named.setdefault(f"{sign}{name}", node)
        return named

    def plain(self, reference: Any) -> Any:
        """Return a reference to the same schema in a form that every grammar resolves; *reference* where there is none."""
        if not isinstance(reference, str):
            return reference
        if reference not in self._plain:
            target = self._target(reference)
            is_found = isinstance(target, dict) and len(self._plain) < _MOST_REFERENCES
            if target is self._root:
                self._plain[reference] = "#"
            elif _PLAIN.fullmatch(reference) or not is_found:
                return reference
            else:
                name = next(name for number in range(1000) if (name := f"part{number}") not in self._taken)
                self._taken.add(name)
                self._plain[reference] = f"#/$defs/{name}"
                self.moved[name] = _child(target, self)
        return self._plain[reference]

    def followed(self, node: Any) -> dict[str, Any]:
        """Return *node*, or what it refers to; True is a schema that says nothing."""
        target = self._target(node["$ref"]) if isinstance(node, dict) and isinstance(node.get("$ref"), str) else node
        return {} if target is True else target if isinstance(target, dict) else {"$ref": ""}

    def _target(self, reference: str) -> Any:
        """Return what a JSON pointer (RFC 6901), an ``$id`` or an ``$anchor`` leads to in the root; None where nothing is."""
        if reference == "#":
            return self._root
        if not reference.startswith("#/"):
            return self._named.get(reference)
        node: Any = self._root
        for step in unquote(reference[2:]).split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isascii() and name.isdecimal() and int(name[:6]) < len(node):
                node = node[int(name[:6])]
            elif isinstance(node, dict) and name in node:
                node = node[name]
            else:
                return None
        return node


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(each)
