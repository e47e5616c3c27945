"""Tools and the choice among them (OpenAI API reference, "Create a model response", ``tools`` and ``tool_choice``), and what
chat completions have for them.

A function is a function there too. A custom tool, which takes free text, becomes a function of one text; its calls are written
back as calls of a custom tool. Chat completions have nothing for other tools: those are left out.
"""

from __future__ import annotations

from typing import Any, Final

from ..message_schemas import ref
from ..shapes import FLAG, LIST, NAME, OBJECT, TEXT, Schema, Shape, either, list_of, object_of, object_schema, typed
from .custom_tools import CUSTOM_ARGUMENT

# ---- shapes -----------------------------------------------------------------------------------------------------------

_TOOL: Final = typed(
    {
        "function": object_of({"name": NAME, "description": TEXT, "parameters": OBJECT, "strict": FLAG}, ("name",)),
        "custom": object_of({"name": NAME, "description": TEXT, "format": OBJECT}, ("name",)),
    },
    needed=True,
)
_CHOICE: Final = typed(
    {
        "function": object_of({"name": NAME}, ("name",)),
        "custom": object_of({"name": NAME}, ("name",)),
        "allowed_tools": object_of({"mode": TEXT, "tools": LIST}, ("tools",)),
    },
    needed=True,
)

TOOLS: Final = Shape(list_of(_TOOL).check, {"type": "array", "items": ref("ResponsesTool")})
TOOL_CHOICE: Final = Shape(
    either("text or an object", {str: TEXT, dict: _CHOICE}).check, {"anyOf": [TEXT.schema, ref("ResponsesToolChoice")]}
)

#: What the shapes refer to by name.
COMPONENTS: Final[dict[str, Schema]] = {
    "ResponsesTool": {**_TOOL.schema, "description": "A function, a custom tool, or a tool of the upstream's own."},
    "ResponsesToolChoice": {
        **_CHOICE.schema,
        "description": "The one tool to be called, those that may be, or what else is known.",
    },
}

# ---- for chat completions ---------------------------------------------------------------------------------------------


def tools_for_chat(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``tools``, ``tool_choice`` and ``parallel_tool_calls`` of chat completions, as far as they say anything."""
    choice = document.get("tool_choice")
    tools = [_chat_tool(tool) for tool in document.get("tools") or () if tool["type"] in _WRITERS]
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = [tool.get("name") for tool in choice["tools"] if isinstance(tool, dict)]
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        choice = choice.get("mode") or "auto"
    elif isinstance(choice, dict):
        named = choice.get("name") if choice["type"] in _WRITERS else None
        known = any(tool["function"]["name"] == named for tool in tools)
        choice = {"type": "function", "function": {"name": named}} if known else None
    if not tools:
        return {}
    fields = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": document.get("parallel_tool_calls")}
    return {name: value for name, value in fields.items() if value is not None}


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if tool.get(name) is not None}
    return {**function, "parameters": object_schema(tool["parameters"])} if "parameters" in function else function


def _custom_function(tool: dict[str, Any]) -> dict[str, Any]:
    described = [tool.get("description") or ""]
    form = tool.get("format") or {}
    if form.get("type") == "grammar" and isinstance(form.get("definition"), str):
        described.append(f"The text must obey this grammar ({form.get('syntax') or 'lark'}):\n{form['definition']}")
    argument = {"type": "string", "description": "The complete text that the tool is called with."}
    parameters = {
        "type": "object",
        "properties": {CUSTOM_ARGUMENT: argument},
        "required": [CUSTOM_ARGUMENT],
        "additionalProperties": False,
    }
    return {"name": tool["name"], "description": "\n\n".join(filter(None, described)), "parameters": parameters}


#: What becomes of a tool, by its type. One of another type is left out.
_WRITERS: Final = {"function": _function, "custom": _custom_function}


def _chat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": _WRITERS[tool["type"]](tool)}
