"""Messages as JSON schemas: what `messages` checks, for the published description. Tests hold the two together."""

from __future__ import annotations

from typing import Final

from .messages import ROLES, TEXT_PARTS, check_messages
from .shapes import NAME, Schema, Shape, with_other_type, with_type

_NAME: Final = NAME.schema


def ref(name: str) -> Schema:
    """Return the reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


#: The list of messages; its check returns them as they may be sent.
MESSAGES: Final = Shape(lambda _, value: check_messages(value), {"type": "array", "items": ref("Message"), "minItems": 1})


def message_schemas(*, vision: bool = True) -> dict[str, Schema]:
    """Return the schemas by name. *vision*: whether some model takes images."""
    return {**_MESSAGES, "Content": _content(vision=vision)}


def _content(*, vision: bool) -> Schema:
    parts = [_part(name, {"type": "string"}) for name in TEXT_PARTS]
    if vision:
        address: Schema = {"type": "object", "properties": {"url": _NAME}, "required": ["url"]}
        parts.append(_part("image_url", {"anyOf": [address, _NAME]}))
    other = with_other_type((*TEXT_PARTS, "image_url", ""))
    blind = "" if vision else " No model here sees: images are refused."
    return {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [{"type": "string"}, *parts, other]}}],
        "description": "Text, or a list of parts; those of other types are passed on. The embedded engine takes text alone."
        + blind,
    }


def _part(name: str, schema: Schema) -> Schema:
    return with_type(name, {"type": "object", "properties": {name: schema}, "required": [name]})


def _message(roles: list[str], properties: dict[str, Schema], required: list[str], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {"role": {"enum": roles}, **properties},
        "required": ["role", *required],
    }


_FUNCTION_CALL: Final[Schema] = {
    "type": "object",
    "properties": {"name": _NAME, "arguments": {"type": ["string", "object", "null"]}},
    "required": ["name"],
}

_CALLS: Final[dict[str, Schema]] = {
    "tool_calls": {"type": ["array", "null"], "items": ref("RequestedCall")},
    "function_call": {"anyOf": [_FUNCTION_CALL, {"type": "null"}]},
    "refusal": {"type": ["string", "null"]},
}

#: A list of what is neither text nor a part.
_VALUES: Final[Schema] = {
    "type": "array",
    "items": {"anyOf": [{"type": ["number", "boolean", "null", "array"]}, {"type": "object", "not": {"required": ["type"]}}]},
}

_MESSAGES: Final[dict[str, Schema]] = {
    "Message": {
        "anyOf": [
            ref("SpokenMessage"),
            ref("AssistantMessage"),
            ref("ToolMessage"),
            ref("FunctionMessage"),
            ref("OtherMessage"),
        ],
        "description": "Keys that are not named here (`name`, …) are kept.",
    },
    "SpokenMessage": _message(["system", "developer", "user"], {"content": ref("Content")}, ["content"], "What is said."),
    "AssistantMessage": _message(
        ["assistant"],
        {"content": {"anyOf": [ref("Content"), {"type": "null"}]}, **_CALLS},
        [],
        "What was answered. As the last of all it is the beginning of the answer, where the upstream continues one.",
    ),
    "ToolMessage": _message(
        ["tool"],
        {
            "content": {"anyOf": [ref("Content"), {"type": ["object", "number", "boolean", "null"]}, _VALUES]},
            "tool_call_id": _NAME,
        },
        ["tool_call_id"],
        "What a tool returned: text, parts, or a value, which becomes the text of its JSON.",
    ),
    "FunctionMessage": _message(
        ["function"], {"content": ref("Content"), "name": _NAME}, ["content", "name"], "The older shape of the same."
    ),
    "OtherMessage": {
        "type": "object",
        "description": "A message of another role, which the upstream may know; the embedded engine does not.",
        "properties": {
            "role": {**_NAME, "not": {"enum": list(ROLES)}},
            "content": {"anyOf": [ref("Content"), {"type": "null"}]},
        },
        "required": ["role"],
    },
    "RequestedCall": {
        "description": "A call that the assistant had asked for.",
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "id": {"type": ["string", "null"]},
                    "type": {"enum": ["function", "", None]},
                    "function": _FUNCTION_CALL,
                },
                "required": ["function"],
            },
            with_other_type(("function", "")),
        ],
    },
}
