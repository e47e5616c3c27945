"""The requests of both wires as JSON schemas: what is accepted, what is refused, and what is taken without changing anything.

The rules themselves are `wire.request`'s and `wire.messages`'; tests hold each name and each bound against them.
"""

from __future__ import annotations

from typing import Any, Final

from ...request import CALL_OPTIONS
from ...wires.fields import MAX_TOOLS
from ...wires.messages import PARTS

Schema = dict[str, Any]

_TOKENS: Final = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
_TEXT: Final = {"type": "string", "minLength": 1}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema, description: str) -> Schema:
    """*schema*, or null, which is the same as leaving the field out."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"], "description": description}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None], "description": description}
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def _number(low: int, high: int) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


#: The fields that both wires share: schema, and what it does.
FIELDS: Final[dict[str, tuple[Schema, str]]] = {
    "temperature": (_number(0, 2), "How freely the next token is chosen; 0: always the likeliest."),
    "top_p": (_number(0, 1), "Only the likeliest tokens that together have this probability are chosen from."),
    "presence_penalty": (_number(-2, 2), "Against what was said at all."),
    "frequency_penalty": (_number(-2, 2), "Against what was said often."),
    "max_tokens": (_TOKENS, "The longest answer, in tokens."),
    "max_completion_tokens": (_TOKENS, "The newer name of `max_tokens`; send one of the two."),
    "seed": (
        {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
        "The embedded engine gives the same answer to the same request with the same seed; other upstreams may.",
    ),
    "stop": (
        {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": 4}]},
        "Up to four texts at which the answer ends.",
    ),
    "logit_bias": (
        {"type": "object", "additionalProperties": _number(-100, 100)},
        "By a token's number: what is added to its likelihood.",
    ),
    "response_format": (_ref("ResponseFormat"), "Text, any JSON object, or JSON that obeys a schema."),
    "tools": (
        {"type": "array", "items": _ref("Tool"), "maxItems": MAX_TOOLS},
        "Functions that the model may ask to be called. The embedded engine has no tools: 400.",
    ),
    "tool_choice": (
        {"anyOf": [{"enum": ["none", "auto", "required"]}, _ref("FunctionChoice")]},
        "Whether and which. `required` and a function need `tools`.",
    ),
    "parallel_tool_calls": ({"type": "boolean"}, "Whether several calls may be asked for at once."),
    "stream_options": (
        {
            "type": "object",
            "properties": {
                "include_usage": {"type": ["boolean", "null"]},
                "include_obfuscation": {"type": ["boolean", "null"]},
            },
            "additionalProperties": False,
        },
        "`include_usage`: the last chunk counts the tokens.",
    ),
    "n": (
        {"type": "integer", "minimum": 1, "maximum": 1024},
        "How many choices, where the upstream can; such an answer is not rescued.",
    ),
    "logprobs": ({"type": "boolean"}, "Log probabilities of the tokens, where the upstream can."),
    "top_logprobs": (
        {"type": "integer", "minimum": 0, "maximum": 1024},
        "How many of the likeliest tokens, where the upstream can.",
    ),
    "modalities": ({"type": "array"}, "What the answer may be made of, for the upstream to judge."),
    "audio": ({"type": "object"}, "For the upstream to judge."),
    "functions": ({"type": "array"}, "The older form of `tools`, for the upstream to judge."),
    "function_call": ({}, "The older form of `tool_choice`, for the upstream to judge."),
    **{
        name: ({"type": kind}, "Passed on to the upstream; it does not change the answer.")
        for name, kind in (
            ("metadata", "object"),
            ("prediction", "object"),
            ("prompt_cache_key", "string"),
            ("prompt_cache_retention", "string"),
            ("safety_identifier", "string"),
            ("service_tier", "string"),
            ("store", "boolean"),
            ("user", "string"),
        )
    },
}

#: Options of clients, which no request may carry.
REFUSED: Final = sorted(CALL_OPTIONS | {"base_url", "self"})

_OTHERS: Final = (
    "Fields that stand in no list here are passed on to an OpenAI-compatible upstream, which may know them (`top_k`, "
    "`guided_json`, …); the embedded engine honours `top_k`, `min_p`, `typical_p` and `repeat_penalty`, and refuses any other."
)


def request_schemas(*, vision: bool) -> dict[str, Schema]:
    """The requests and what they are made of, by name. *vision*: whether some model here takes images."""
    return {
        "ChatRequest": _request(
            {
                "model": _or_null(
                    {"type": "string"}, "One of `GET /v1/models`, or an alias; absent or empty: the default model."
                ),
                "messages": _messages(),
            },
            "A request of the OpenAI wire. " + _OTHERS,
        ),
        "AutonomousAIRequest": _request(
            {
                "messages": {
                    "anyOf": [{"type": "string", "minLength": 1, "format": "base64-messages"}, _messages()],
                    "description": "The base64 of the messages' JSON text, or of a bare prompt; or the list itself.",
                },
                "aiAgent": _or_null({"type": "string"}, "The model; else `model` names it, else the path does."),
                "model": _or_null({"type": "string"}, "Another name of `aiAgent`, which goes first."),
                "threadId": _or_null({"type": "string"}, "Passed on to the upstream; it does not change the answer."),
                "userId": _or_null({"type": "string"}, "Passed on to the upstream; it does not change the answer."),
                "useTool": _or_null({"type": "boolean"}, "Passed on to the upstream; it does not change the answer."),
            },
            "A request of the AutonomousAI wire, which takes the fields of the other one too. " + _OTHERS,
        ),
        **_MESSAGES,
        "Content": _content(vision=vision),
        **_OPTIONS,
    }


def _request(own: dict[str, Schema], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {
            **own,
            "stream": _or_null({"type": "boolean"}, "Whether the answer comes as server-sent events."),
            **{name: _or_null(*field) for name, field in FIELDS.items()},
            **dict.fromkeys(REFUSED, False),
        },
        "required": ["messages"],
        "additionalProperties": True,
        "allOf": [_ONE_LIMIT, _TOOLS_FOR_A_CHOICE],
    }


_ONE_LIMIT: Final = {
    "anyOf": [{"properties": {name: {"type": "null"}}} for name in ("max_tokens", "max_completion_tokens")],
}
_TOOLS_FOR_A_CHOICE: Final = {
    "anyOf": [
        {"properties": {"tools": {"type": "array", "minItems": 1}}, "required": ["tools"]},
        {"properties": {"tool_choice": {"enum": ["none", "auto", None]}}},
    ],
}


def _messages() -> Schema:
    return {"type": "array", "items": _ref("Message"), "minItems": 1}


# ---- messages ---------------------------------------------------------------------------------------------------------


def _message(roles: list[str], properties: dict[str, Schema], required: list[str], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {"role": {"enum": roles}, **properties},
        "required": ["role", *required],
    }


_FUNCTION_CALL: Final = {
    "type": "object",
    "properties": {"name": _TEXT, "arguments": {"type": "string"}},
    "required": ["name", "arguments"],
}

_CALLS: Final[dict[str, Schema]] = {
    "tool_calls": {"type": ["array", "null"], "items": _ref("RequestedCall")},
    "function_call": {"anyOf": [_FUNCTION_CALL, {"type": "null"}]},
    "refusal": {"type": ["string", "null"]},
}

_MESSAGES: Final[dict[str, Schema]] = {
    "Message": {
        "anyOf": [
            _ref("SpokenMessage"),
            _ref("AssistantMessage"),
            _ref("CallingMessage"),
            _ref("ToolMessage"),
            _ref("FunctionMessage"),
        ],
        "description": "Keys that are not named here (`name`, …) are kept.",
    },
    "SpokenMessage": _message(["system", "developer", "user"], {"content": _ref("Content")}, ["content"], "What is said."),
    "AssistantMessage": _message(
        ["assistant"],
        {"content": _ref("Content"), **_CALLS},
        ["content"],
        "What was answered. As the last of all it is the beginning of the answer, where the upstream continues one.",
    ),
    "CallingMessage": {
        **_message(
            ["assistant"], {"content": {"type": "null"}, **_CALLS}, [], "An answer without content: calls, or a refusal."
        ),
        "anyOf": [
            {"properties": {"tool_calls": {"type": "array", "minItems": 1}}, "required": ["tool_calls"]},
            {"properties": {"function_call": {"type": "object"}}, "required": ["function_call"]},
            {"properties": {"refusal": _TEXT}, "required": ["refusal"]},
        ],
    },
    "ToolMessage": _message(
        ["tool"],
        {"content": _ref("Content"), "tool_call_id": _TEXT},
        ["content", "tool_call_id"],
        "What a tool returned.",
    ),
    "FunctionMessage": _message(
        ["function"], {"content": _ref("Content"), "name": _TEXT}, ["content", "name"], "The older shape of the same."
    ),
    "RequestedCall": {
        "type": "object",
        "description": "A call that the assistant had asked for.",
        "properties": {"id": _TEXT, "type": {"enum": ["function"]}, "function": _FUNCTION_CALL},
        "required": ["id", "function"],
    },
}

_PART_SHAPES: Final[dict[str, Schema]] = {
    "image_url": {"type": "object", "properties": {"url": _TEXT}, "required": ["url"]},
}


def _content(*, vision: bool) -> Schema:
    names = [name for name in PARTS if vision or name != "image_url"]
    parts = [_part(name) for name in names]
    blind = "" if vision else " No model here sees: images are refused."
    return {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": parts}, "minItems": 1}],
        "description": "Text, or a list of parts. The embedded engine takes text alone." + blind,
    }


def _part(name: str) -> Schema:
    shape = _PART_SHAPES.get(name, {"type": "string" if PARTS[name] is str else "object"})
    return {"type": "object", "properties": {"type": {"enum": [name]}, name: shape}, "required": ["type", name]}


# ---- options that are objects -----------------------------------------------------------------------------------------

_NAMED: Final = {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]}

_OPTIONS: Final[dict[str, Schema]] = {
    "ResponseFormat": {
        "anyOf": [
            {"type": "object", "properties": {"type": {"enum": ["text", "json_object"]}}, "required": ["type"]},
            {
                "type": "object",
                "properties": {
                    "type": {"enum": ["json_schema"]},
                    "json_schema": {
                        "type": "object",
                        "properties": {"schema": {"type": "object"}},
                        "required": ["schema"],
                    },
                },
                "required": ["type", "json_schema"],
            },
        ],
        "description": "The embedded engine takes schemas of up to 64 levels and 64 KiB.",
    },
    "Tool": {
        "type": "object",
        "description": "A function that the model may ask to be called.",
        "properties": {
            "type": {"enum": ["function"]},
            "function": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "description": {"type": ["string", "null"]},
                    "parameters": {"type": ["object", "null"]},
                    "strict": {"type": ["boolean", "null"]},
                },
                "required": ["name"],
            },
        },
        "required": ["type", "function"],
    },
    "FunctionChoice": {
        "type": "object",
        "description": "The one function to be called.",
        "properties": {"type": {"enum": ["function"]}, "function": _NAMED},
        "required": ["type", "function"],
    },
}
