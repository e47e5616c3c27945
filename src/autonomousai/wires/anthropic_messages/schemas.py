"""What the Messages API answers, as JSON schemas, for the published description. Nothing is encoded by them."""

from __future__ import annotations

from typing import Final

from ..message_schemas import ref
from ..shapes import Schema

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_OPTIONAL_TEXT: Final[Schema] = {"type": ["string", "null"]}


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = (), description: str = "") -> Schema:
    required = [name for name in properties if name not in optional]
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    return {**schema, "description": description} if description else schema


_COUNTED: Final[dict[str, Schema]] = {
    "input_tokens": _COUNT,
    "cache_creation_input_tokens": _COUNT,
    "cache_read_input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "output_tokens_details": _object({"thinking_tokens": _COUNT}, ("thinking_tokens",)),
}

_MESSAGE: Final[dict[str, Schema]] = {
    "id": {"type": "string", "pattern": "^msg_"},
    "type": {"const": "message"},
    "role": {"const": "assistant"},
    "model": _TEXT,
    "content": {"type": "array", "items": ref("AnswerBlock")},
    "stop_reason": _OPTIONAL_TEXT,
    "stop_sequence": _OPTIONAL_TEXT,
    "usage": ref("MessagesUsage"),
    "x_autonomousai": ref("Evidence"),
}

_EVENTS: Final[dict[str, Schema]] = {
    "message_start": _object({"type": {"const": "message_start"}, "message": ref("MessagesAnswer")}),
    "content_block_start": _object(
        {"type": {"const": "content_block_start"}, "index": _COUNT, "content_block": ref("AnswerBlock")}
    ),
    "content_block_delta": _object(
        {"type": {"const": "content_block_delta"}, "index": _COUNT, "delta": _object({"type": _TEXT})}
    ),
    "content_block_stop": _object({"type": {"const": "content_block_stop"}, "index": _COUNT}),
    "message_delta": _object(
        {
            "type": {"const": "message_delta"},
            "delta": _object({"stop_reason": _TEXT, "stop_sequence": _OPTIONAL_TEXT}),
            "usage": ref("MessagesUsage"),
            "x_autonomousai": ref("Evidence"),
        }
    ),
    "message_stop": _object({"type": {"const": "message_stop"}}),
    "ping": _object({"type": {"const": "ping"}}),
}

#: By name.
ANSWER_SCHEMAS: Final[dict[str, Schema]] = {
    "MessagesAnswer": _object(
        _MESSAGE, ("x_autonomousai",), "A complete answer. `model`: who really answered. In `message_start` it is still empty."
    ),
    "AnswerBlock": {
        "type": "object",
        "description": "A part of an answer: `text`, `thinking`, `tool_use`, or what else an upstream of this API knows. "
        'Where the model wrote no JSON object as the input of a call, `input` is `{"INVALID_JSON": "what it wrote"}`.',
        "properties": {
            "type": _TEXT,
            "text": _TEXT,
            "thinking": _TEXT,
            "signature": _TEXT,
            "id": _TEXT,
            "name": _TEXT,
            "input": {"type": "object"},
        },
        "required": ["type"],
    },
    "MessagesUsage": _object(
        _COUNTED,
        ("output_tokens_details",),
        "Tokens, as the upstream counted them: `input_tokens` are those that no cache was read for or written with. Zeros "
        "where it counted nothing.",
    ),
    "TokenCount": _object({"input_tokens": _COUNT}, (), "The tokens of a prompt."),
    "MessagesEvent": {
        "type": "object",
        "description": "A server-sent event. `id`: its number, where the stream can be resumed. Each event names its type "
        "twice, in `event` and in its data. A stream that ends without `message_stop` was cut; after `error` none follows.",
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"enum": [*_EVENTS, "error"]},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"anyOf": [*_EVENTS.values(), ref("MessagesError")]},
                "description": "JSON text.",
            },
        },
        "required": ["event", "data"],
    },
    "MessagesError": _object(
        {
            "type": {"const": "error"},
            "error": _object({"type": _TEXT, "message": _TEXT}),
            "request_id": {"type": "string", "pattern": "^req_"},
        },
        ("request_id",),
        "Every error of this API has this shape; inside a stream it is the event `error`.",
    ),
}
