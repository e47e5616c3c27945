"""Schemas that a model is held to, in other forms, for servers that refuse them as they are: of an answer, and of tools whose
calls are ``strict``. Each vendor can hold its models to other keywords, and callers of another API wrote for another vendor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..late import late_pattern
from ..wires.schema_walk import mapped

Json = dict[str, Any]

#: What Anthropic's server says of keywords that it holds no model to.
_NOT_PLAIN: Final = late_pattern(
    r"propert(?:y|ies) [^.\n]{1,200}(?:is|are) not supported|additionalProperties\b[^.\n]{0,80}(?:must be|explicitly|required)"
    r"|\b(?:oneOf|not|if|patternProperties|prefixItems|uniqueItems|minItems|format|pattern)\b[^.\n]{0,80}not supported"
    r"|schema[^.\n]{0,40} (?:is )?not supported",
    re.IGNORECASE,
)
#: What OpenAI's server says of a schema that is not strict enough to be held to.
_NOT_STRICT: Final = late_pattern(
    r"invalid schema for (?:response_format|function|text)"
    r"|['`\"](?:additionalProperties|required)['`\"] is required to be supplied",
    re.IGNORECASE,
)
#: What servers say of schemas that are too large to be held to.
TOO_COMPLEX: Final = late_pattern(
    r"schemas?\b[^.\n]{0,60}too (?:complex|large|many)|grammar[^.\n]{0,40}too (?:complex|large)"
    r"|too many (?:optional|strict|union)",
    re.IGNORECASE,
)

#: Keywords that Anthropic holds its models to (Claude documentation, "Structured outputs", JSON Schema limitations).
_PLAIN: Final = frozenset(
    {"type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions", "properties", "required"}
    | {"additionalProperties", "items", "description", "title", "default"}
)
_FORMATS: Final = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
#: Keywords that say nothing to a model.
_SILENT: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "examples", "deprecated", "readOnly", "writeOnly"})


def _member(holder: Json, *names: str) -> Json:
    for name in names:
        inner = holder.get(name)
        holder = inner if isinstance(inner, dict) else {}
    return holder


def _functions(body: Json) -> Iterator[Json]:
    """Yield what holds ``strict`` and the schema of each function, in any API."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            yield tool["function"] if isinstance(tool.get("function"), dict) else tool


def _strict_ones(body: Json) -> list[Json]:
    """Return what says that it is strict: formats of answers, and functions."""
    formats = (_member(body, "response_format", "json_schema"), _member(body, "text", "format"))
    return [holder for holder in (*formats, *_functions(body)) if holder.get("strict") is True]


def _held(body: Json) -> Iterator[tuple[Json, str]]:
    """Yield what holds a schema that Anthropic's models are held to, and the schema's name there."""
    for holder in (_member(body, "output_config", "format"), _member(body, "output_format")):
        if isinstance(holder.get("schema"), dict):
            yield holder, "schema"
    for tool in _functions(body):
        if tool.get("strict") is True and isinstance(tool.get("input_schema"), dict):
            yield tool, "input_schema"


class PlainSchemas(msgspec.Struct, frozen=True):
    """A form of a request, as an `Adaptation` is: schemas of the keywords that Anthropic holds its models to. What others say
    stands in the description, as its own SDKs write it."""

    name: str = "plain_schemas"

    def asked(self, body: Json, said: str, param: str | None) -> PlainSchemas | None:
        """See `Adaptation.asked`."""
        if not _NOT_PLAIN.search(said):
            return None
        return self if any(plain_schema(holder[name]) != holder[name] for holder, name in _held(body)) else None

    def named(self, name: str) -> PlainSchemas | None:
        """See `Adaptation.named`."""
        return self if name == self.name else None

    def apply(self, body: Json) -> None:
        """See `Adaptation.apply`."""
        for holder, name in _held(body):
            holder[name] = plain_schema(holder[name])


def plain_schema(schema: Json) -> Any:
    """Return *schema* in keywords that Anthropic holds its models to.

    Example::

        held = plain_schema({"type": "integer", "minimum": 1})
        assert held == {"type": "integer", "description": '{"minimum":1}'}
    """
    return mapped(schema, _plain)


def _plain(schema: Json) -> Json:
    if "oneOf" in schema and "anyOf" not in schema:
        schema = {("anyOf" if name == "oneOf" else name): value for name, value in schema.items()}
    kept = {name: value for name, value in schema.items() if _is_plain(name, value)}
    if schema.get("type") == "object" or "properties" in schema:
        kept["additionalProperties"] = False
    told = {name: value for name, value in schema.items() if name not in kept and name not in _SILENT}
    if told:
        words = msgspec.json.encode(told).decode()
        description = schema.get("description")
        kept["description"] = f"{description}\n\n{words}" if isinstance(description, str) and description else words
    return kept


def _is_plain(name: str, value: Any) -> bool:
    if name == "format":
        return value in _FORMATS if isinstance(value, str) else False
    if name == "minItems":
        return value in (0, 1)
    return name in _PLAIN


def refuses_strict(body: Json, said: str, param: str | None) -> bool:
    """Return whether a refusal is about a schema to which the model was to be held."""
    return bool(_NOT_STRICT.search(said) or TOO_COMPLEX.search(said)) and bool(_strict_ones(body))


def loosen(body: Json) -> None:
    """Say of no schema that it is strict: the model has it in sight all the same."""
    for holder in _strict_ones(body):
        holder["strict"] = False
