"""What the values of a Messages request must look like (Anthropic API reference, "Create a Message")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..message_schemas import ref
from ..shapes import (
    FLAG,
    NAME,
    OBJECT,
    TEXT,
    Schema,
    Shape,
    check_type,
    either,
    list_of,
    object_of,
    refusal,
    shown,
    typed,
    with_other_type,
    with_type,
)


def _block(known: Mapping[str, Shape]) -> Shape:
    """Return the shape of a block: of a *known* type it has that shape, and another passes with whatever it holds."""
    other = object_of({"type": NAME}, ("type",))

    def check(param: str, value: Any) -> Any:
        other.check(param, value)
        if (shape := known.get(value["type"])) is not None:
            shape.check(param, value)
        return value

    schemas = [with_type(name, shape.schema) for name, shape in known.items()]
    return Shape(check, {"anyOf": [*schemas, with_other_type((*known, ""))]})


def _text_or_blocks(block: Shape) -> Shape:
    return either("text or a list of blocks", {str: TEXT, list: list_of(block)})


def _named(shape: Shape, name: str) -> Shape:
    """Return *shape*, whose schema is published under that name."""
    return Shape(shape.check, ref(name))


# ---- blocks -----------------------------------------------------------------------------------------------------------

_DATA: Final = object_of({"media_type": NAME, "data": TEXT}, ("media_type", "data"))
_URL: Final = object_of({"url": NAME}, ("url",))

_TEXT_BLOCK: Final = object_of({"text": TEXT}, ("text",))
_IMAGE: Final = object_of({"source": typed({"base64": _DATA, "url": _URL}, needed=True)}, ("source",))
_SHOWN: Final = _block({"text": _TEXT_BLOCK, "image": _IMAGE})
_DOCUMENT: Final = object_of(
    {
        "source": typed(
            {
                "base64": _DATA,
                "url": _URL,
                "text": object_of({"data": TEXT}, ("data",)),
                "content": object_of({"content": _text_or_blocks(_SHOWN)}, ("content",)),
            },
            needed=True,
        ),
        "title": TEXT,
        "context": TEXT,
    },
    ("source",),
)
_RESULT_BLOCK: Final = _block({"text": _TEXT_BLOCK, "image": _IMAGE, "document": _DOCUMENT})
_TOOL_USE: Final = object_of({"id": TEXT, "name": NAME, "input": OBJECT}, ("name",))
_TOOL_RESULT: Final = object_of(
    {"tool_use_id": TEXT, "content": _text_or_blocks(_named(_RESULT_BLOCK, "ResultBlock")), "is_error": FLAG}
)
_THINKING: Final = object_of({"thinking": TEXT, "signature": TEXT})
_INPUT_BLOCK: Final = _block(
    {
        "text": _TEXT_BLOCK,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "tool_use": _TOOL_USE,
        "tool_result": _TOOL_RESULT,
        "thinking": _THINKING,
    }
)

# ---- messages ---------------------------------------------------------------------------------------------------------

ROLES: Final = ("user", "assistant", "system")


def _check_role(param: str, value: Any) -> Any:
    check_type(param, value, str)
    if value not in ROLES:
        raise refusal(param, f"must be one of {', '.join(ROLES)}, not {shown(value)}")
    return value


_ROLE: Final = Shape(_check_role, {"enum": list(ROLES)})
_MESSAGE: Final = object_of(
    {"role": _ROLE, "content": _text_or_blocks(_named(_INPUT_BLOCK, "InputBlock"))}, ("role", "content")
)


def _check_conversation(param: str, value: Any) -> Any:
    _MESSAGES.check(param, value)
    if not value:
        raise refusal(param, 'the list is empty; send a list such as [{"role": "user", "content": "Hello"}]')
    return value


_MESSAGES: Final = list_of(_MESSAGE)
CONVERSATION: Final = Shape(_check_conversation, {"type": "array", "items": ref("InputMessage"), "minItems": 1})

SYSTEM: Final = _text_or_blocks(_block({"text": _TEXT_BLOCK}))

# ---- tools and formats ------------------------------------------------------------------------------------------------

_CUSTOM: Final = object_of(
    {"name": NAME, "description": TEXT, "input_schema": OBJECT, "strict": FLAG}, ("name", "input_schema")
)


def _check_tool(param: str, value: Any) -> Any:
    check_type(param, value, dict)
    kind = value.get("type")
    if kind is None or kind == "custom":
        return _CUSTOM.check(param, value)
    check_type(f"{param}.type", kind, str)
    if kind == "function":
        raise refusal(f"{param}.type", "is a tool of chat completions; send its name, description and input_schema")
    return value


_CUSTOM_SCHEMA: Final[Schema] = {
    **_CUSTOM.schema,
    "properties": {"type": {"enum": ["custom", None]}, **_CUSTOM.schema["properties"]},
}
_TOOL_SCHEMA: Final[Schema] = {"anyOf": [_CUSTOM_SCHEMA, with_other_type(("custom", "function"))]}
TOOLS: Final = Shape(list_of(Shape(_check_tool, _TOOL_SCHEMA)).check, {"type": "array", "items": ref("MessagesTool")})

_CHOICE: Final = {"disable_parallel_tool_use": FLAG}
_TOOL_CHOICE: Final = typed(
    {
        "auto": object_of(_CHOICE),
        "any": object_of(_CHOICE),
        "none": object_of({}),
        "tool": object_of({"name": NAME, **_CHOICE}, ("name",)),
    },
    needed=True,
)
TOOL_CHOICE: Final = _named(_TOOL_CHOICE, "MessagesToolChoice")

_FORMAT: Final = typed({"json_schema": object_of({"schema": OBJECT}, ("schema",))}, needed=True)
FORMAT: Final = _named(_FORMAT, "MessagesFormat")

#: What the rows refer to by name.
COMPONENTS: Final[dict[str, Schema]] = {
    "InputMessage": {**_MESSAGE.schema, "description": "A message of the conversation."},
    "InputBlock": {
        **_INPUT_BLOCK.schema,
        "description": "A part of a message. Signatures and the blocks of tools that the vendor runs reach an upstream of the "
        "kind `anthropic` alone; a block of another type is passed on.",
    },
    "ResultBlock": {**_RESULT_BLOCK.schema, "description": "A part of what a tool returned."},
    "MessagesTool": {
        **_TOOL_SCHEMA,
        "description": "A tool that the model may call; or, by its `type`, one of the vendor's own.",
    },
    "MessagesToolChoice": {**_TOOL_CHOICE.schema, "description": "`auto`, `any`, `none`, or the one `tool` to be called."},
    "MessagesFormat": {**_FORMAT.schema, "description": "The schema that the answer obeys."},
}
