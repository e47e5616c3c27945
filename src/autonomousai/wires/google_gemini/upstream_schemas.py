"""JSON schemas, of tools and of answers, as the Gemini API takes them (Gemini API reference, "FunctionDeclaration", "Schema",
"GenerationConfig"): most as they are, and for models that refuse that, in the words that OpenAPI 3.0 has.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..schema_walk import mapped

Json = dict[str, Any]

#: What `Schema` has beside what it holds: a further keyword is a 400.
_OPENAPI: Final = frozenset(
    {"type", "format", "title", "description", "nullable", "enum", "items", "minItems", "maxItems", "properties", "required"}
    | {"minProperties", "maxProperties", "minLength", "maxLength", "pattern", "anyOf", "propertyOrdering", "minimum", "maximum"}
)
_FORMATS: Final = frozenset({"enum", "date-time", "int32", "int64", "float", "double"})

#: Schemas that one is made of, at most: references to others may name so many that no memory holds them.
_MOST: Final = 10_000

#: References within one another, at most.
_DEEPEST: Final = 24


# ---- as JSON Schema ------------------------------------------------------------------------------------------------------


def plain_schema(schema: Json) -> Json:
    """Return *schema* in the keywords of JSON Schema that the API knows: one value alone is a choice of one, what is of all of
    one schema is of that, and beside a reference nothing stands.

    Example::

        assert plain_schema({"const": 1}) == {"enum": [1]}
        assert plain_schema({"$ref": "#/$defs/A", "title": "x"}) == {"title": "x", "anyOf": [{"$ref": "#/$defs/A"}]}
    """
    said: Json = mapped(schema, _plain)
    if isinstance(moved := said.pop("definitions", None), dict):
        said["$defs"] = {**moved, **(said.get("$defs") or {})}
    return said


def _plain(schema: Json) -> Json:
    said = {name: value for name, value in schema.items() if name not in ("$schema", "$id", "$comment")}
    if "const" in said:
        said.setdefault("enum", [said["const"]])
        del said["const"]
    every = said.get("allOf")
    if isinstance(every, list) and len(every) == 1 and isinstance(every[0], dict) and not said.keys() & every[0].keys():
        del said["allOf"]
        said = _plain({**said, **every[0]})
    reference = said.get("$ref")
    if isinstance(reference, str):
        reference = said["$ref"] = reference.replace("#/definitions/", "#/$defs/", 1)
        if any(not name.startswith("$") for name in said) and "anyOf" not in said:
            del said["$ref"]
            said["anyOf"] = [{"$ref": reference}]
    return said


def has_properties(schema: Any) -> bool:
    """Return whether the schema of a function's arguments says anything of them."""
    return isinstance(schema, dict) and bool(
        schema.keys() - {"type", "properties", "required", "$schema", "additionalProperties"} or schema.get("properties")
    )


# ---- in the words of OpenAPI ---------------------------------------------------------------------------------------------


def openapi_schema(schema: Json) -> Json:
    """Return *schema* in the words of OpenAPI 3.0, without references. What those have no word for is left out, and what a
    schema refers to by itself is any object.

    Example::

        assert openapi_schema({"type": ["integer", "null"], "enum": [1, 2]}) == {
            "type": "integer", "nullable": True, "description": "One of: 1, 2"
        }
    """
    return _OpenApi(schema).written(schema, ())


class _OpenApi:
    """Writes one schema, whose references lead into *root*."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._count = 0

    def written(self, schema: Any, within: tuple[str, ...]) -> Json:
        """Return a *schema* that stands *within* these references."""
        self._count += 1
        if not isinstance(schema, dict) or self._count > _MOST:
            return {"type": "object"} if schema is not True else {}
        schema, within = self._resolved(schema, within)
        kept: Json = {name: value for name, value in _of_one_type(_joined(schema)).items() if name in _OPENAPI}
        if "format" in kept and str(kept["format"]) not in _FORMATS:
            del kept["format"]
        _say_choices(kept)
        if isinstance(kept.get("properties"), dict):
            kept["properties"] = {name: self.written(each, within) for name, each in kept["properties"].items()}
            kept["required"] = [name for name in _names(kept.get("required")) if name in kept["properties"]]
            if not kept["required"]:
                del kept["required"]
        if kept.get("type") == "array" or "items" in kept:
            kept["items"] = self.written(kept["items"], within) if isinstance(kept.get("items"), dict) else {"type": "string"}
        if isinstance(kept.get("anyOf"), list):
            kept["anyOf"] = [self.written(each, within) for each in kept["anyOf"]]
        return kept

    def _resolved(self, schema: Json, within: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """Return a schema with what it refers to in its place, and the references that it then stands within."""
        while isinstance(reference := schema.get("$ref"), str):
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            found = self._found(reference) if reference not in within and len(within) < _DEEPEST else None
            if found is None:
                return {"type": "object", **beside}, within
            schema, within = {**found, **beside}, (*within, reference)
        return schema, within

    def _found(self, reference: str) -> Json | None:
        found: Any = self._root
        for name in reference.removeprefix("#").split("/")[1:]:
            found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found if isinstance(found, dict) and reference.startswith("#") else None


def _joined(schema: Json) -> Json:
    """Return a schema of all of some, and one of one of some, with one kind of branches."""
    said = dict(schema)
    every = said.pop("allOf", None)
    for each in every if isinstance(every, list) else ():
        if isinstance(each, dict):
            properties = {**_object(said.get("properties")), **_object(each.get("properties"))}
            required = [name for part in (said, each) for name in _names(part.get("required"))]
            said = {**each, **said, **({"properties": properties} if properties else {})}
            if required:
                said["required"] = list(dict.fromkeys(required))
    if "oneOf" in said:
        said.setdefault("anyOf", said.pop("oneOf"))
    if "const" in said:
        said.setdefault("enum", [said.pop("const")])
    return said


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _of_one_type(schema: Json) -> Json:
    """Return a schema whose type is one, and that says apart whether it may be null."""
    said = dict(schema)
    if isinstance(types := said.get("type"), list):
        if "null" in types:
            said["nullable"] = True
        types = [each for each in types if each != "null"]
        del said["type"]
        if len(types) == 1:
            said["type"] = types[0]
        elif types and "anyOf" not in said:
            said["anyOf"] = [{"type": each} for each in types]
    branches = said.get("anyOf")
    if isinstance(branches, list) and {"type": "null"} in branches:
        said["nullable"] = True
        rest = [each for each in branches if each != {"type": "null"}]
        said["anyOf"] = rest
        if len(rest) == 1 and isinstance(rest[0], dict) and "$ref" not in rest[0]:
            del said["anyOf"]
            said = {**rest[0], **said}
    if "type" not in said and isinstance(said.get("properties"), dict):
        said["type"] = "object"
    return said


def _say_choices(kept: Json) -> None:
    """The API takes choices of texts alone: others stand in the description."""
    choices = kept.get("enum")
    if not isinstance(choices, list):
        return
    if None in choices:
        kept["nullable"] = True
        kept["enum"] = choices = [each for each in choices if each is not None]
    if all(isinstance(each, str) for each in choices):
        kept["type"] = "string"
        return
    del kept["enum"]
    words = "One of: " + ", ".join(msgspec.json.encode(each).decode() for each in choices)
    description = kept.get("description")
    kept["description"] = f"{description} {words}" if isinstance(description, str) and description else words
