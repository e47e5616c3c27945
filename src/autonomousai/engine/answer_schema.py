"""How a grammar holds the engine to the JSON schema of an answer, which llama.cpp's own way does not honour word by word.

Knows no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tool_schema import json_rule


def guided_schemas(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the schema that a grammar holds an answer to, by its place in the request; nothing where none does."""
    described = fields.get("response_format") or {}
    return {"response_format": described["json_schema"]["schema"]} if described.get("guided") else {}


def with_grammar(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* with a grammar in the place of the schema, where one holds the answer to it."""
    for schema in guided_schemas(fields).values():
        rest = {name: value for name, value in fields.items() if name != "response_format"}
        return {**rest, "grammar": f"%llguidance {{}}\nstart: {json_rule(schema)}\n"}
    return fields
