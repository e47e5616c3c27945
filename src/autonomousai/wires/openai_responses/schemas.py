"""The answers of the Responses API as JSON schemas, for the published description."""

from __future__ import annotations

from typing import Any, Final

from ..message_schemas import ref
from ..shapes import Schema, or_null

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object"}
_MAYBE_TEXT: Final = or_null(_TEXT)
_MAYBE_COUNT: Final = or_null(_COUNT)


def _object(description: str, properties: dict[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": properties, "required": required}


_ITEM: Final = _object(
    "A message, reasoning, a call, or what else the upstream made. Its `type` says which.", {"type": _TEXT, "id": _TEXT}, "id"
)

_RESPONSE: Final = _object(
    "An answer, as far as it has come. It repeats what its request said, or what counts where that said nothing.",
    {
        "id": {"type": "string", "pattern": "^resp_"},
        "object": {"const": "response"},
        "created_at": {"type": "integer", "description": "seconds since 1970"},
        "completed_at": {"type": ["integer", "null"], "description": "seconds since 1970"},
        "status": {"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
        "error": {"anyOf": [_object("Why it failed.", {"code": _TEXT, "message": _TEXT}), {"type": "null"}]},
        "incomplete_details": {"anyOf": [_object("Why it is incomplete.", {"reason": _TEXT}), {"type": "null"}]},
        "model": {"type": "string", "description": "who really answered"},
        "output": {"type": "array", "items": ref("ResponseItem")},
        "usage": {"anyOf": [ref("ResponseUsage"), {"type": "null"}]},
        "background": _FLAG,
        "frequency_penalty": {"type": "number"},
        "instructions": _MAYBE_TEXT,
        "max_output_tokens": {"type": ["integer", "null"]},
        "max_tool_calls": {"type": ["integer", "null"]},
        "metadata": _OBJECT,
        "parallel_tool_calls": _FLAG,
        "presence_penalty": {"type": "number"},
        "previous_response_id": _MAYBE_TEXT,
        "prompt_cache_key": _MAYBE_TEXT,
        "reasoning": _OBJECT,
        "safety_identifier": _MAYBE_TEXT,
        "service_tier": _TEXT,
        "store": _FLAG,
        "temperature": {"type": "number"},
        "text": _OBJECT,
        "tool_choice": {"type": ["string", "object"]},
        "tools": {"type": "array", "items": _OBJECT},
        "top_logprobs": {"type": "integer"},
        "top_p": {"type": "number"},
        "truncation": _TEXT,
        "user": _MAYBE_TEXT,
        "x_autonomousai": {"anyOf": [ref("Evidence"), _OBJECT], "description": "how the answer came about, at its end"},
    },
    "x_autonomousai",
)

_USAGE: Final = _object(
    "Tokens, as the upstream counted them.",
    {
        "input_tokens": _COUNT,
        "input_tokens_details": _object("Of the prompt's tokens.", {"cached_tokens": _COUNT}),
        "output_tokens": _COUNT,
        "output_tokens_details": _object("Of the answer's tokens.", {"reasoning_tokens": _COUNT}),
        "total_tokens": _COUNT,
    },
)

_DATA: Final[Schema] = {
    "type": "object",
    "properties": {"type": _TEXT, "sequence_number": _COUNT, "response": ref("Response")},
    "required": ["type", "sequence_number"],
}

_EVENT: Final = {
    "type": "object",
    "description": "A server-sent event. `id`: its number, where the stream can be resumed. `event`: its type, which its data "
    "names too. The last is one of `response.completed`, `response.incomplete`, `response.failed` and `error`; after the first "
    "two comes `[DONE]`.",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": _TEXT,
        "data": {
            "anyOf": [
                {"const": "[DONE]"},
                {"type": "string", "contentMediaType": "application/json", "contentSchema": _DATA},
            ],
            "description": "JSON text, or the end.",
        },
    },
    "required": ["data"],
}

_INPUT_TOKENS: Final[Schema] = {
    "type": "object",
    "description": "The tokens of a request.",
    "properties": {"object": {"const": "response.input_tokens"}, "input_tokens": {"type": "integer", "minimum": 0}},
    "required": ["object", "input_tokens"],
}

SCHEMAS: Final[dict[str, Any]] = {
    "InputTokens": _INPUT_TOKENS,
    "Response": _RESPONSE,
    "ResponseItem": _ITEM,
    "ResponseUsage": _USAGE,
    "ResponsesEvent": _EVENT,
}
