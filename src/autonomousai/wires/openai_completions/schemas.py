"""The documents of text completions as JSON schemas, for the published description."""

from __future__ import annotations

from typing import Final

from ..shapes import Schema

#: One choice, of an answer and of a chunk.
_CHOICE: Final[Schema] = {
    "type": "object",
    "description": "One choice. Of several prompts, those of the first come first.",
    "properties": {
        "text": {"type": "string", "description": "In a chunk: what is new."},
        "index": {"type": "integer", "minimum": 0},
        "logprobs": {
            "type": ["object", "null"],
            "description": "`tokens`, `token_logprobs`, `top_logprobs`, `text_offset`.",
        },
        "finish_reason": {"type": ["string", "null"], "description": "stop, length, …; in a chunk null until the end."},
    },
    "required": ["text", "index", "logprobs", "finish_reason"],
}


def text_completion_schemas() -> dict[str, Schema]:
    """Return the schemas of an answer and of an event of a streamed one, by name."""
    head = {
        "id": {"type": "string"},
        "object": {"const": "text_completion"},
        "created": {"type": "integer", "description": "seconds since 1970"},
        "model": {"type": "string"},
    }
    usage = {"$ref": "#/components/schemas/Usage"}
    evidence = {"$ref": "#/components/schemas/Evidence"}
    choices = {"type": "array", "items": {"$ref": "#/components/schemas/TextChoice"}}
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("TextChunk", "Error")]},
    }
    return {
        "TextChoice": _CHOICE,
        "TextCompletion": {
            "type": "object",
            "description": "A complete text completion. `usage`: absent where the upstream counted nothing.",
            "properties": {**head, "choices": {**choices, "minItems": 1}, "usage": usage, "x_autonomousai": evidence},
            "required": [*head, "choices", "x_autonomousai"],
        },
        "TextChunk": {
            "type": "object",
            "description": "One event of a streamed text completion. The last before `[DONE]` carries `x_autonomousai`; with "
            "`include_usage`, its `choices` are empty and it has the `usage`, which is null in all others.",
            "properties": {
                **head,
                "choices": choices,
                "usage": {"anyOf": [usage, {"type": "null"}]},
                "x_autonomousai": evidence,
            },
            "required": [*head, "choices"],
        },
        "TextEvent": {
            "type": "object",
            "description": "A server-sent event. `id`: its number, where the stream can be resumed.",
            "properties": {
                "id": {"type": "string", "pattern": "^[0-9]+$"},
                "event": {"const": "message"},
                "data": {"anyOf": [{"const": "[DONE]"}, data], "description": "JSON text, or the end."},
            },
            "required": ["data"],
        },
    }
