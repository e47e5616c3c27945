"""Schemas of tools in other forms, for servers that refuse them as they are. Programs make them of their types, and MCP servers
bring what they like; one such tool would cost the request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..late import late_pattern

Json = dict[str, Any]

#: Keywords that say that a value is of one schema or of another.
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")

_NOT_AT_TOP: Final = late_pattern(
    r"(?:oneOf|anyOf|allOf)[^\n]{0,80}top.?level|top.?level[^\n]{0,80}(?:oneOf|anyOf|allOf)", re.IGNORECASE
)
_UNKNOWN_KEYWORD: Final = late_pattern(
    r"""Unknown name \\*['"](\$?\w+)\\*['"] at \\*['"]?[^'"\n]*(?:parameters|input_schema|schema)""", re.IGNORECASE
)


def _schemas(body: Json) -> Iterator[tuple[Json, str]]:
    """Yield what holds the schema of a tool in a request, of any API, and the schema's name there."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        for holder in (tool, tool.get("function")) if isinstance(tool, dict) else ():
            for name in ("parameters", "input_schema"):
                if isinstance(holder, dict) and isinstance(holder.get(name), dict):
                    yield holder, name


class FlatSchemas(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is: tools whose schemas are an object's in one piece."""

    name: str = "flat_schemas"

    def asked(self, body: Json, said: str, param: str | None) -> FlatSchemas | None:
        """See `Adaptation.asked`."""
        has_branches = any(any(key in holder[name] for key in _BRANCHES) for holder, name in _schemas(body))
        return self if has_branches and _NOT_AT_TOP.search(said) else None

    def named(self, name: str) -> FlatSchemas | None:
        """See `Adaptation.named`."""
        return self if name == self.name else None

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        for holder, name in _schemas(body):
            holder[name] = flattened(holder[name])


def flattened(schema: Json) -> Json:
    """Return a schema of an object without branches at the top: it has the properties of all of them, and wants those that each
    wants."""
    flat = {name: value for name, value in schema.items() if name not in _BRANCHES}
    if len(flat) == len(schema):
        return schema
    properties = dict(flat.get("properties") or {})
    required = dict.fromkeys(flat.get("required") or ())
    for key in _BRANCHES:
        branches = [flattened(branch) for branch in schema.get(key) or () if isinstance(branch, dict)]
        for branch in branches:
            properties = {**(branch.get("properties") or {}), **properties}
        wanted = [dict.fromkeys(branch.get("required") or ()) for branch in branches]
        of_all = set.union if key == "allOf" else set.intersection
        kept = of_all(*map(set, wanted)) if wanted else set()
        required |= {name: None for each in wanted for name in each if name in kept}
    flat |= {"type": "object", "properties": properties}
    return {**flat, "required": list(required)} if required else flat


class WithoutKeyword(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is: tools whose schemas lack a keyword, which is part of its name."""

    name: str = "no_schema_keyword"
    keyword: str = ""

    def asked(self, body: Json, said: str, param: str | None) -> WithoutKeyword | None:
        """See `Adaptation.asked`."""
        match = _UNKNOWN_KEYWORD.search(said)
        if match is None or match[1] == "strict" or not any(_has(holder[name], match[1]) for holder, name in _schemas(body)):
            return None
        return self._without(match[1])

    def named(self, name: str) -> WithoutKeyword | None:
        """See `Adaptation.named`."""
        prefix = f"{self.name} "
        return self._without(name.removeprefix(prefix)) if name.startswith(prefix) else None

    def _without(self, keyword: str) -> WithoutKeyword:
        return WithoutKeyword(f"{self.name} {keyword}", keyword)

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        from ..wires.schema_walk import mapped  # noqa: PLC0415  few servers refuse a schema

        for holder, name in _schemas(body):
            holder[name] = mapped(holder[name], lambda schema: _lacking(schema, self.keyword))


def _lacking(schema: Json, keyword: str) -> Json:
    return {name: value for name, value in schema.items() if name != keyword}


def _has(schema: Any, keyword: str) -> bool:
    from ..wires.schema_walk import mapped  # noqa: PLC0415  few servers refuse a schema

    found: list[bool] = []

    def look(each: Json) -> Json:
        found.append(keyword in each)
        return each

    mapped(schema, look)
    return any(found)
