"""Tools and the choice among them (OpenAI API reference, "Create a model response", ``tools`` and ``tool_choice``), and what
chat completions have for them.

A function is a function there too; those of a namespace are functions of their own. A custom tool, which takes free text,
becomes a function of one text, and a tool of the API's own that the caller runs a function of its arguments; calls are written
back as calls of what they were. Chat completions have nothing for other tools: those are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ..custom_tools import custom_function
from ..message_schemas import ref
from ..shapes import FLAG, LIST, NAME, OBJECT, TEXT, Schema, Shape, either, list_of, object_of, object_schema, typed
from ..tool_forms import flat_choice, flat_tool
from .client_tools import BRINGING_TOOLS, CLIENT_TOOLS
from .namespaces import offered_name, offered_tools

# ---- shapes -----------------------------------------------------------------------------------------------------------


def _nested_or_flat(name: str, flat: Shape) -> Shape:
    """Return the shape of a tool, or of the choice of one, as this API has it, or as chat completions do."""
    nested = object_of({name: flat}, (name,))

    def check(param: str, value: Any) -> Any:
        is_nested = value.get("name") is None and isinstance(value.get(name), dict)
        return (nested if is_nested else flat).check(param, value)

    chat_form = {**nested.schema, "properties": {"name": {"type": "null"}, **nested.schema["properties"]}}
    return Shape(check, {"anyOf": [flat.schema, chat_form]})


_NAMED: Final = object_of({"name": NAME}, ("name",))
_FUNCTION: Final = object_of({"name": NAME, "description": TEXT, "parameters": OBJECT, "strict": FLAG}, ("name",))
_CUSTOM: Final = object_of({"name": NAME, "description": TEXT, "format": OBJECT}, ("name",))
_TOOL: Final = typed(
    {"function": _nested_or_flat("function", _FUNCTION), "custom": _nested_or_flat("custom", _CUSTOM)}, needed=True
)
_CHOICE: Final = typed(
    {
        "function": _nested_or_flat("function", _NAMED),
        "custom": _nested_or_flat("custom", _NAMED),
        "allowed_tools": object_of({"mode": TEXT, "tools": LIST}, ("tools",)),
    },
    needed=True,
)

_CHOICES: Final = either("text or an object", {str: TEXT, dict: _CHOICE})


def _check_tools(param: str, value: Any) -> Any:
    return [flat_tool(tool) for tool in list_of(_TOOL).check(param, value)]


TOOLS: Final = Shape(_check_tools, {"type": "array", "items": ref("ResponsesTool")})
TOOL_CHOICE: Final = Shape(
    lambda param, value: flat_choice(_CHOICES.check(param, value)), {"anyOf": [TEXT.schema, ref("ResponsesToolChoice")]}
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
    offered = [(tool, called) for tool, called in offered_tools(document.get("tools") or ()) if tool["type"] in _WRITERS]
    tools = [_chat_tool(tool) for tool, _ in offered]
    names = {called: tool["name"] for tool, called in offered if called is not None}
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = [_name_of(tool, names) for tool in choice["tools"] if isinstance(tool, dict)]
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        choice = choice.get("mode") or "auto"
    elif isinstance(choice, dict):
        named = _name_of(choice, names) if choice["type"] in (*_WRITERS, *CLIENT_TOOLS) else None
        known = any(tool["function"]["name"] == named for tool in tools)
        choice = {"type": "function", "function": {"name": named}} if known else None
    if not tools:
        return {}
    fields = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": document.get("parallel_tool_calls")}
    return {name: value for name, value in fields.items() if value is not None}


def all_tools(tools: Iterable[dict[str, Any]], items: Any) -> list[dict[str, Any]]:
    """Return the *tools* of a request, and those that checked *items* of its input bring: what was found by a search, and what
    is added later. A name that is there already is left out. Raises `StatusError` 400 that names the field."""
    found = list(tools)
    known = set(map(_mark, found))
    for place, item in enumerate(items if isinstance(items, list) else ()):
        if item.get("type") in BRINGING_TOOLS and item.get("tools"):
            brought = TOOLS.check(f"input[{place}].tools", item["tools"])
            new = [tool for tool in brought if _mark(tool) not in known]
            known.update(map(_mark, new))
            found += new
    return found


def _mark(tool: dict[str, Any]) -> tuple[str, str | None]:
    """Return what a tool is known by. The name of one of a type that is not known here may be anything."""
    name = tool.get("name")
    return tool["type"], name if isinstance(name, str) else None


def _name_of(tool: dict[str, Any], names: dict[tuple[str, str], str]) -> Any:
    """Return the name under which the *tool* of a choice is offered. *names*: of the tools of namespaces."""
    name, space = tool.get("name"), tool.get("namespace")
    if name is None and tool.get("type") in CLIENT_TOOLS:
        return tool["type"]
    known = names.get((space, name)) if isinstance(name, str) and isinstance(space, str) else None
    return offered_name(name, space) if known is None else known


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if tool.get(name) is not None}
    return {**function, "parameters": object_schema(tool["parameters"])} if "parameters" in function else function


#: What becomes of a tool, by its type. One of another type is left out.
_WRITERS: Final = {"function": _function, "custom": custom_function}


def _chat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": _WRITERS[tool["type"]](tool)}
